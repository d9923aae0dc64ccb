"""Which values are stored, and which are recomputed in their consumers.

In: the nodes of a program in topological order. Out: the set of stored nodes, one `Decision` with
its reason for each that had a choice. Called by `schedule.plan`.

A stored value costs the bytes of writing it once and reading it in every stage that uses it. A
recomputed one costs its operations, again in every stage and for every element that a broadcast
repeats. Both are counted in one unit, about the time of one float addition on one element:

>>> OPERATION_COST[Op.ADD], OPERATION_COST[Op.EXP], BYTE_COST
(1, 12, 1)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from picograd.graph.index import Param, Var, of
from picograd.graph.movement import source_index
from picograd.graph.node import Node
from picograd.graph.ops import ELEMENTWISE, Combiner, Op, ReduceAttr
from picograd.graph.tables import gathered, is_static
from picograd.schedule.express import MOVES
from picograd.schedule.kernel import Decision

BYTE_COST = 1
OPERATION_COST: dict[Op, int] = {
    **dict.fromkeys(ELEMENTWISE, 1),
    **dict.fromkeys((Op.DIV, Op.SQRT, Op.RECIPROCAL), 5),
    **dict.fromkeys((Op.FLOORDIV, Op.MOD), 8),
    **dict.fromkeys((Op.EXP, Op.EXP2, Op.EXPM1, Op.LOG, Op.LOG2, Op.LOG1P), 12),
    **dict.fromkeys((Op.SIN, Op.COS, Op.TANH, Op.ATAN), 16),
    Op.ERF: 24,
    Op.POW: 40,
    Op.RANDOM: 60,
    Op.GATHER: 6,
    Op.PAD: 2,
    Op.UPDATE: 2,
    Op.CONCAT: 4,
}
CHEAP = 4  # below this, a repeated value is recomputed whatever the repetition: it is hoisted
MAX_WEIGHT = 96  # expression nodes of one stage
MAX_ROOTS = 6  # stages that one recomputed value may be part of
FEW_PARTS = 4  # that are joined within the expressions that use the whole
ALWAYS = frozenset({Op.REDUCE, Op.SCAN, Op.SCATTER_REDUCE, Op.SCATTER})
FREE = frozenset({Op.CONST, Op.PARAMETER, Op.IOTA})


@dataclass(slots=True)
class Choice:
    """Ids of the stored nodes, and why."""

    stored: set[int] = field(default_factory=set)
    decisions: list[Decision] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Demands:
    """What is known before the decision: ids of output nodes, ids of nodes that must be stored
    (with a reason), and of the updates that write into their base's memory."""

    outputs: Collection[int]
    forced: Mapping[int, str]
    in_place: Collection[int]

    def must_store(self, node: Node) -> str:
        """The reason why a node has memory in any case, or nothing."""
        if node.op in ALWAYS:
            return "reductions and scatters have memory"
        if node.op is Op.CONCAT and len(node.srcs) > FEW_PARTS:
            return "joined from many parts"
        if id(node) in self.in_place:
            return "written into its base"
        if id(node) in self.outputs:
            return "output"
        return self.forced.get(id(node), "")


def moves(node: Node) -> bool:
    """True for an index map: a view, or a gather at known positions (windows)."""
    return node.op in MOVES or (node.op is Op.GATHER and is_static(node))


def describe(node: Node) -> str:
    return f"{node.op.name.lower()} {node.dtype.name}{list(node.shape)}"


def is_contraction(node: Node) -> bool:
    """True for the sum of a product of two broadcast factors: a matmul, most likely."""
    attr = node.attr
    if not isinstance(attr, ReduceAttr) or attr.combiner is not Combiner.SUM:
        return False
    product = node.srcs[0]
    if product.op is not Op.MUL:
        return False
    return all(_distinct(factor) < product.size for factor in product.srcs)


def _distinct(node: Node) -> int:
    """How many elements of a factor differ, looking through index maps."""
    least = node.size
    while moves(node):
        node = node.srcs[0]
        least = min(least, node.size)
    return least


def _under_windows(contraction: Node) -> Iterator[int]:
    """Ids of the computed nodes of which a contraction's factors are windows: stored, each element
    is computed and padded once, not once for each place in a window. Not where the factors share
    all axes that the sum leaves (depthwise): there is too little to do with each element."""
    product, attr = contraction.srcs[0], contraction.attr
    assert isinstance(attr, ReduceAttr)
    factors = [_source(factor) for factor in product.srcs]
    kept = [{axis for axis in found.axes if axis not in attr.axes} for found in factors]
    if kept[0] <= kept[1] or kept[1] <= kept[0]:
        return
    for found in factors:
        if found.windows and found.node.op not in FREE and found.node.op is not Op.BUFFER:
            yield id(found.node)


@dataclass(frozen=True, slots=True)
class _Source:
    """What index maps show of a node: the axes above on which its element depends."""

    node: Node
    axes: frozenset[int]
    windows: bool


def _source(node: Node) -> _Source:
    """Go down from a factor through index maps."""
    axes = [Var(f"i{axis}", 0, extent - 1) for axis, extent in enumerate(node.shape)]
    indices, windows = tuple(of(axis) for axis in axes), False
    while moves(node):
        if node.op is Op.GATHER:
            windows = True
            indices = gathered(node, indices)
        else:
            indices, _ = source_index(node, indices)
        node = node.srcs[0]
    used = frozenset[Var | Param]().union(*(index.atoms() for index in indices))
    return _Source(node, frozenset(n for n, axis in enumerate(axes) if axis in used), windows)


def decide(order: Sequence[Node], demands: Demands) -> Choice:
    """Choose the stored nodes among `order` (sources first)."""
    choice = Choice()
    costs = _costs(order, demands)
    weights, long = _weights(order, demands)
    contractions = {id(node) for node in order if is_contraction(node)}
    windowed = {key for node in order if id(node) in contractions for key in _under_windows(node)}
    free = _epilogues(order)
    running = _running_sums(order)
    uses: dict[int, dict[tuple[int, int], int]] = {}
    for node in reversed(order):
        key = id(node)
        if node.op is Op.BUFFER:
            continue
        wanted = uses.get(key, {})
        reason = demands.must_store(node)
        if not reason and key in long:
            reason = "the expression is long enough"
        if (
            not reason
            and node.op is Op.GATHER
            and not moves(node)
            and any(root in contractions for root, _ in wanted)
        ):
            reason = "a contraction reads it many times"
        if not reason and key in windowed:
            reason = "a contraction reads its windows in place"
        if not reason and key in free and len({root for root, _ in wanted}) > 1:
            reason = "instead of the reduction that it completes"
        if not reason and key in running:
            reason = "a running sum of reductions, instead of each of them"
        if not reason and node.op not in FREE:
            reason = _worth_storing(node, wanted, costs[key], weights[key])
        if reason:
            choice.stored.add(key)
            if node.op not in ALWAYS:
                choice.decisions.append(Decision(describe(node), "stored", reason))
        elif len(wanted) > 1 and costs[key] > 0:
            choice.decisions.append(
                Decision(describe(node), "recomputed", f"cheap: {costs[key]} operations")
            )
        if reason:
            _start(node, key in demands.in_place, uses)
        else:
            _pass_on(node, wanted, contractions, uses)
    choice.decisions.reverse()
    return choice


def _epilogues(order: Sequence[Node]) -> set[int]:
    """Ids of elementwise nodes that are the only use of a reduction's result, of equal size.

    Storing one costs nothing: the reduction's own result then stays in a register.
    """
    consumers = _count_consumers(order)
    found: set[int] = set()
    for node in order:
        if node.op not in ELEMENTWISE:
            continue
        for src in node.srcs:
            while src.op is Op.RESHAPE and consumers[id(src)] == 1:
                src = src.srcs[0]
            if consumers[id(src)] == 1 and (src.op is Op.REDUCE or id(src) in found):
                found.add(id(node))
    return found


def _running_sums(order: Sequence[Node]) -> set[int]:
    """Ids of the sums of two reductions, or more, that are only added to further ones.

    The gradient of a weight that is used at every time step is such a chain. Summed up at its end,
    all its terms would be in memory at once.
    """
    consumers = _count_consumers(order)
    links: set[int] = set()
    found: set[int] = set()
    for node in order:
        if node.op is not Op.ADD:
            continue
        terms = [_arranged(src) for src in node.srcs]
        if all(term.op is Op.REDUCE or id(term) in links for term in terms):
            links.add(id(node))
            found.update(id(term) for term in terms if consumers[id(term)] == 1)
    return found & links


def _arranged(node: Node) -> Node:
    """The value that a node shows in another shape or order."""
    while node.op in (Op.RESHAPE, Op.PERMUTE):
        node = node.srcs[0]
    return node


def _count_consumers(order: Sequence[Node]) -> dict[int, int]:
    consumers: dict[int, int] = {}
    for node in order:
        for src in {id(src) for src in node.srcs}:
            consumers[src] = consumers.get(src, 0) + 1
    return consumers


def _costs(order: Sequence[Node], demands: Demands) -> dict[int, int]:
    """Operations for one element of each node, by sources that are likely to be recomputed too."""
    consumers = _count_consumers(order)
    costs: dict[int, int] = {}
    for node in order:
        total = 0 if moves(node) else OPERATION_COST.get(node.op, 0)
        for src in node.srcs:
            likely = consumers[id(src)] > 1 and OPERATION_COST.get(src.op, 0) > CHEAP
            if not likely and not demands.must_store(src):
                total += costs[id(src)]
        if node.op is Op.EXPAND and total >= CHEAP and node.size > node.srcs[0].size:
            total = 0  # what is expensive is stored before it is repeated
        costs[id(node)] = 0 if node.op in ALWAYS else min(total, 10_000)
    return costs


def _weights(order: Sequence[Node], demands: Demands) -> tuple[dict[int, int], set[int]]:
    """Expression size of each node as a tree, and the ids of sources stored to bound it."""
    weights: dict[int, int] = {}
    long: set[int] = set()
    for node in order:
        if demands.must_store(node):
            total = 1
            if sum(weights[id(src)] for src in node.srcs) > MAX_WEIGHT:
                _cut(node, weights, long)
        elif moves(node):
            total = weights[id(node.srcs[0])]
        else:
            total = 1 + sum(weights[id(src)] for src in node.srcs)
            if total > MAX_WEIGHT:
                total = _cut(node, weights, long)
        weights[id(node)] = total
    return weights, long


def _below(node: Node) -> Node:
    """What an index map shows."""
    while moves(node):
        node = node.srcs[0]
    return node


def _cut(node: Node, weights: dict[int, int], long: set[int]) -> int:
    """Store the largest sources of a node until the rest is small."""
    sources = sorted(node.srcs, key=lambda src: -weights[id(src)])
    for src in sources:
        if sum(weights[id(other)] for other in node.srcs) < MAX_WEIGHT // 2:
            break
        below = _below(src)
        if weights[id(src)] > 1 and below.op not in FREE:
            long.add(id(below))
            weights[id(below)] = 1
            for other in node.srcs:
                if _below(other) is below:
                    weights[id(other)] = 1
    return 1 + sum(weights[id(src)] for src in node.srcs)


def _worth_storing(
    node: Node, wanted: Mapping[tuple[int, int], int], cost: int, weight: int
) -> str:
    """A reason to store a node that the given stages use, or nothing."""
    if node.size == 0 or not wanted or moves(node):
        return ""
    stages = len({root for root, _ in wanted})
    if stages >= MAX_ROOTS and weight > 4:
        return f"{stages} stages use it"
    repeated = sum(wanted.values()) - node.size
    if repeated <= 0 or cost < CHEAP:
        return ""
    reads = sum(min(count, 2 * node.size) for count in wanted.values())
    loads = min(weight, 4) * node.dtype.itemsize  # what recomputing reads again
    again = repeated * cost + min(repeated, reads) * loads * BYTE_COST
    keep = (node.size + reads) * node.dtype.itemsize * BYTE_COST
    if again <= keep:
        return ""
    return f"storing moves {keep} bytes, recomputing repeats {repeated} x {cost} operations"


def _start(node: Node, in_place: bool, uses: dict[int, dict[tuple[int, int], int]]) -> None:
    """Tell the sources of a stored node how many of their elements its stage evaluates."""
    for position, src in enumerate(node.srcs):
        count = node.size
        if node.op in (Op.REDUCE, Op.SCAN):
            count = node.srcs[0].size
        elif node.op is Op.CONCAT:
            count = src.size
        elif in_place or node.op in (Op.SCATTER, Op.SCATTER_REDUCE):
            count = node.srcs[min(position, 1)].size
        if not (in_place and position == 0):
            uses.setdefault(id(src), {})[id(node), id(node)] = count


def _pass_on(
    node: Node,
    wanted: Mapping[tuple[int, int], int],
    contractions: Collection[int],
    uses: dict[int, dict[tuple[int, int], int]],
) -> None:
    """Hand the uses of a recomputed node down to its sources: (stage, index map) -> evaluations."""
    elementwise = node.op in ELEMENTWISE
    for src in node.srcs:
        if src.op in FREE or src.op is Op.BUFFER:
            continue
        target = uses.setdefault(id(src), {})
        for (root, via), count in wanted.items():
            if len(target) > 4 * MAX_ROOTS:
                break
            if node.op is Op.MUL and root in contractions:
                count = min(count, 4 * _distinct(src))
            path = (root, via if elementwise else id(node))
            target[path] = max(target.get(path, 0), count)
