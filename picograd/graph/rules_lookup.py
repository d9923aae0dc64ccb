"""A product of looked-up rows is looked up in the table's product.

In: sums of products one factor of which is `table[index]`, with fewer rows in the table than there
are indices (a vocabulary of characters, an LSTM's input), and the two sums that its gradients are.
Out: the same sums with one row for each row of the table, not one for each index:

    sum_k table[index][i, k] * w[k, c]     =  (sum_k table[v, k] * w[k, c]) [index]
    sum_i table[index][i, r] * d[i, c]     =  sum_v table[v, r] * s[v, c]
    scatter of sum_c d[i, c] * w[r, c]     =  sum_c s[v, c] * w[r, c]

with s = the rows of d summed by their index. The first keeps every bit; the others add in another
order. Rows of the table that no index names stay without influence, whatever stands in them.

>>> [rule.name for rule in RULES]
['product of looked-up rows', 'product with looked-up rows', 'sums by index of a product']
"""

from __future__ import annotations

from dataclasses import dataclass

from picograd.dtypes import bool_
from picograd.graph.build import (
    expand,
    full,
    full_like,
    permute,
    reshape,
    select,
    uniform_constant,
)
from picograd.graph.index import Index, Var, of
from picograd.graph.movement import source_index
from picograd.graph.node import Node, const, make
from picograd.graph.ops import (
    AxesAttr,
    Combiner,
    GatherAttr,
    Op,
    ReduceAttr,
    ScatterReduceAttr,
    Shape,
)
from picograd.graph.rewrite import Match, Pattern, Rule

_MOVES = frozenset({Op.RESHAPE, Op.PERMUTE, Op.EXPAND})
# Sums by index add element by element: they take the time of so many products each.
LEAST_COLUMNS = 32
# Fewer looked-up elements than this are no work worth moving.
LEAST_ELEMENTS = 1 << 12


@dataclass(frozen=True, slots=True)
class _Lookup:
    """A factor that is `table[index]` seen through index maps: what lies between, and the axes of
    the factor along which the index, and the place in a row, vary."""

    gather: Node
    path: tuple[Node, ...]
    looked_up: tuple[int, ...]
    along: int

    @property
    def table(self) -> Node:
        return self.gather.srcs[0]

    @property
    def checked(self) -> bool:
        attr = self.gather.attr
        assert isinstance(attr, GatherAttr)
        return attr.checked

    def index(self, shape: Shape) -> Node:
        """The indices with the axes `looked_up` of a factor of this shape."""
        gather, rank = self.gather, len(shape)
        index = gather.srcs[1]
        index = expand(reshape(index, (*index.shape, 1)), gather.shape)
        for step in reversed(self.path):
            index = make(step.op, (index,), step.attr)
        for axis in range(rank):
            if axis not in self.looked_up:
                index = select(index, axis, 0)
        rest = tuple(shape[axis] for axis in self.looked_up)
        return _straightened(reshape(index, rest), gather.srcs[1])


def _straightened(moved: Node, source: Node) -> Node:
    """What index maps make of a source, as one permutation where it is one: so equal indices are
    one node, and what is summed by them is summed once."""
    places: tuple[Index, ...] = tuple(map(of, _variables(moved)))
    axes, node = list(places), moved
    while node is not source:
        places, _ = source_index(node, places)
        node = node.srcs[0]
    if len(places) != len(axes) or set(places) != set(axes):
        return moved
    return permute(source, tuple(places.index(axis) for axis in axes))


def _variables(node: Node) -> list[Var]:
    """A variable for each axis."""
    return [Var(f"i{n}", 0, extent - 1) for n, extent in enumerate(node.shape)]


def _lookup(factor: Node) -> _Lookup | None:
    """A factor as rows looked up in a matrix."""
    variables = _variables(factor)
    indices: tuple[Index, ...] = tuple(map(of, variables))
    path: list[Node] = []
    node = factor
    while node.op in _MOVES and node.buffer is None:
        path.append(node)
        indices, _ = source_index(node, indices)
        node = node.srcs[0]
    attr = node.attr
    if node.op is not Op.GATHER or node.buffer is not None or not isinstance(attr, GatherAttr):
        return None
    if attr.axes != (0,) or len(node.srcs[0].shape) != 2 or not _pays(node.srcs[0], node):
        return None
    *rows, along = indices
    if along not in map(of, variables):
        return None
    used = {atom for index in rows for atom in index.atoms()}
    place = list(map(of, variables)).index(along)
    if variables[place] in used:
        return None
    looked_up = tuple(n for n, variable in enumerate(variables) if variable in used)
    return _Lookup(node, tuple(path), looked_up, place)


def _pays(table: Node, looked_up: Node) -> bool:
    """Whether the table has so many fewer rows that its product is less work."""
    if table.dtype.name not in ("float32", "float64") or table.device.startswith("cuda"):
        return False
    return looked_up.size >= LEAST_ELEMENTS and 2 * table.size <= looked_up.size


def _varies(node: Node) -> set[int]:
    """The axes along which a factor may differ."""
    inner = node.srcs[0] if node.op is Op.EXPAND and node.buffer is None else node
    return {axis for axis, extent in enumerate(inner.shape) if extent > 1}


def _narrowed(node: Node, axes: tuple[int, ...]) -> Node:
    """A factor that differs along these axes only, with no others, in this order."""
    inner = node.srcs[0] if node.op is Op.EXPAND and node.buffer is None else node
    inner = expand(inner, tuple(e if a in axes else 1 for a, e in enumerate(node.shape)))
    kept = reshape(inner, tuple(node.shape[axis] for axis in sorted(axes)))
    return permute(kept, tuple(sorted(axes).index(axis) for axis in axes))


def _product(left: Node, right: Node, attr: ReduceAttr) -> Node:
    """`sum over the last axis` of left (rows, depth) and right (columns..., depth)."""
    rows, depth = left.shape
    columns = right.shape[:-1]
    shape = (rows, *columns, depth)
    one = expand(reshape(left, (rows, *(1,) * len(columns), depth)), shape)
    two = expand(reshape(right, (1, *right.shape)), shape)
    total = ReduceAttr(Combiner.SUM, (len(shape) - 1,), attr.coarse)
    return make(Op.REDUCE, (make(Op.MUL, (one, two)),), total)


def _factors(product: Node) -> list[tuple[_Lookup, Node]]:
    """Each factor that is looked up, with the other one."""
    first, second = product.srcs
    pairs = [(_lookup(first), second), (_lookup(second), first)]
    return [(found, other) for found, other in pairs if found is not None]


def _sum_attr(node: Node) -> ReduceAttr | None:
    attr = node.attr
    assert isinstance(attr, ReduceAttr)
    return attr if attr.combiner is Combiner.SUM else None


def _product_of_rows(match: Match) -> Node | None:
    """The sum runs along the rows."""
    attr, product = _sum_attr(match["node"]), match["product"]
    if attr is None or len(attr.axes) != 1:
        return None
    (depth,) = attr.axes
    for found, weight in _factors(product):
        if found.along != depth or _varies(weight) & set(found.looked_up):
            continue
        columns = tuple(
            axis for axis in range(len(product.shape)) if axis not in (*found.looked_up, depth)
        )
        if not columns:
            continue
        table = _product(found.table, _narrowed(weight, (*columns, depth)), attr)
        lookup = GatherAttr((0,), found.checked)
        rows = make(Op.GATHER, (table, found.index(product.shape)), lookup)
        order = (*found.looked_up, *columns)
        return permute(rows, tuple(order.index(axis) for axis in sorted(order)))
    return None


def _summed_rows(value: Node, index: Node, rows: int, checked: bool) -> tuple[Node, Node]:
    """The sums (rows, ...) of a value's rows by their index, and which rows (rows,) have any."""
    device = value.device
    rest = value.shape[len(index.shape) :]
    zeros = full(const(0, value.dtype, device), (rows, *rest))
    attr = ScatterReduceAttr((0,), checked, Combiner.SUM)
    sums = make(Op.SCATTER_REDUCE, (zeros, value, index), attr)
    no, yes = (const(flag, bool_, device) for flag in (False, True))
    known = make(
        Op.SCATTER, (full(no, (rows,)), full(yes, index.shape), index), GatherAttr((0,), checked)
    )
    return sums, known


def _only_known(x: Node, known: Node) -> Node:
    """Rows of zeros where no index names a row."""
    mask = expand(reshape(known, (known.shape[0], *(1,) * (len(x.shape) - 1))), x.shape)
    return make(Op.WHERE, (mask, x, full_like(0, x)))


def _product_with_rows(match: Match) -> Node | None:
    """The sum runs over all that is looked up: the gradient of a weight."""
    attr, product = _sum_attr(match["node"]), match["product"]
    if attr is None:
        return None
    for found, other in _factors(product):
        if set(found.looked_up) != set(attr.axes) or found.along in _varies(other):
            continue
        columns = tuple(a for a in range(len(product.shape)) if a not in (*attr.axes, found.along))
        if not columns or found.table.shape[1] < LEAST_COLUMNS:
            continue
        value = _narrowed(other, (*found.looked_up, *columns))
        rows = found.table.shape[0]
        sums, known = _summed_rows(value, found.index(product.shape), rows, found.checked)
        left = permute(_only_known(found.table, known), (1, 0))
        right = permute(sums, (*range(1, len(sums.shape)), 0))
        result = _product(left, right, attr)
        order = (found.along, *columns)
        return permute(result, tuple(order.index(axis) for axis in sorted(order)))
    return None


def _sums_of_product(match: Match) -> Node | None:
    """The gradient of a table whose rows went through a product."""
    node, base, value, index = match["node"], *match["node"].srcs[:3]
    attr = node.attr
    assert isinstance(attr, ScatterReduceAttr)
    zero = uniform_constant(base)
    if attr.axes != (0,) or attr.combiner is not Combiner.SUM or len(node.shape) != 2:
        return None
    if zero is None or zero.value != 0 or not _pays(base, value):
        return None
    path: list[Node] = []
    variables = _variables(value)
    indices: tuple[Index, ...] = tuple(map(of, variables))
    source = value
    while source.op in (Op.RESHAPE, Op.PERMUTE) and source.buffer is None:
        path.append(source)
        indices, _ = source_index(source, indices)
        source = source.srcs[0]
    if source.op is not Op.REDUCE or source.buffer is not None or source.srcs[0].op is not Op.MUL:
        return None
    return _summed_first(node, source, indices, variables[-1], path, index)


def _summed_first(
    node: Node,
    source: Node,
    indices: tuple[Index, ...],
    last: Var,
    path: list[Node],
    index: Node,
) -> Node | None:
    """The rows of the factor that varies with the index summed, then multiplied with the other."""
    total, product = _sum_attr(source), source.srcs[0]
    attr = node.attr
    assert isinstance(attr, ScatterReduceAttr)
    if total is None or len(total.axes) != 1 or product.buffer is not None:
        return None
    (depth,) = total.axes
    kept = [axis for axis in range(len(product.shape)) if axis != depth]
    along = [axis for axis, place in zip(kept, indices, strict=True) if last in place.atoms()]
    if len(along) != 1 or indices[kept.index(along[0])].atoms() != {last}:
        return None
    if product.shape[along[0]] != node.shape[1] or node.shape[1] < LEAST_COLUMNS:
        return None
    rows = tuple(axis for axis in kept if axis != along[0])
    for one, other in (product.srcs, product.srcs[::-1]):
        if along[0] in _varies(one) or _varies(other) & set(rows):
            continue
        summed = _narrowed(one, (*rows, depth))
        where = _index_of_rows(index, node.shape[1], path, source.shape, kept.index(along[0]))
        sums, known = _summed_rows(summed, where, node.shape[0], attr.checked)
        weight = _narrowed(other, (along[0], depth))
        return _only_known(_product(sums, weight, total), known)
    return None


def _index_of_rows(index: Node, width: int, path: list[Node], shape: Shape, along: int) -> Node:
    """The index of each row of what a path of reshapes and permutations moved."""
    result = expand(reshape(index, (*index.shape, 1)), (*index.shape, width))
    for step in path:
        if isinstance(step.attr, AxesAttr):
            axes = step.attr.axes
            result = permute(result, tuple(axes.index(n) for n in range(len(axes))))
        else:
            result = reshape(result, step.srcs[0].shape)
    rest = tuple(extent for axis, extent in enumerate(shape) if axis != along)
    return _straightened(reshape(select(result, along, 0), rest), index)


_PRODUCT = Pattern(Op.REDUCE, (Pattern(Op.MUL, name="product"),))

RULES = (
    Rule(
        "product of looked-up rows",
        _PRODUCT,
        _product_of_rows,
        why="equal rows have equal products",
    ),
    Rule(
        "product with looked-up rows",
        _PRODUCT,
        _product_with_rows,
        why="a row that is looked up twice is a common factor (floats: up to rounding)",
    ),
    Rule(
        "sums by index of a product",
        Pattern(Op.SCATTER_REDUCE),
        _sums_of_product,
        why="the sum of products with one factor is the product with the sum (up to rounding)",
    ),
)
