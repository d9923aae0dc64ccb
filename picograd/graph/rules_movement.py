"""Rules of movement ops and reductions: chains of one op become one, no-ops go.

In: nothing. Out: `RULES`, which `rules.py` joins with the other tables. All are exact: movement
copies values, and the reductions joined here are those whose order is free.

>>> len({rule.name for rule in RULES}) == len(RULES)
True
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.dtypes import DType
from picograd.graph.build import (
    expand,
    full,
    full_like,
    permute,
    reduce,
    reshape,
    uniform_constant,
    uniform_source,
)
from picograd.graph.index import Index, constant, variable
from picograd.graph.movement import source_index
from picograd.graph.node import Node, make
from picograd.graph.ops import (
    AxesAttr,
    Combiner,
    Op,
    PadAttr,
    ReduceAttr,
    ShapeAttr,
    SliceAttr,
)
from picograd.graph.rewrite import Match, Pattern, Rule

X = Pattern(name="x")
MAPS = frozenset({Op.RESHAPE, Op.EXPAND, Op.PERMUTE, Op.FLIP, Op.SLICE})


def _nested(op: Op) -> Pattern:
    return Pattern(op, (Pattern(op, (X,), name="inner"),))


def _axes(node: Node) -> tuple[int, ...]:
    assert isinstance(node.attr, AxesAttr | ReduceAttr)
    return node.attr.axes


def _window(node: Node) -> SliceAttr:
    assert isinstance(node.attr, SliceAttr)
    return node.attr


def _pad(node: Node) -> PadAttr:
    assert isinstance(node.attr, PadAttr)
    return node.attr


def _index(start: int | Index) -> Index:
    return start if isinstance(start, Index) else constant(start)


# --- uniform values -------------------------------------------------------------------------------


def _uniform(match: Match) -> Node | None:
    """Movement of a repeated number is that number repeated, written in one way."""
    node = match["node"]
    scalar = uniform_source(node.srcs[0])
    if scalar is None or node.srcs[0].size == 0:
        return None
    if node.op is Op.PAD:
        attr = uniform_constant(scalar)
        if attr is None or attr != _pad(node).value:
            return None
    result = full(scalar, node.shape)
    return None if result is node else result


# --- chains ---------------------------------------------------------------------------------------


def _permute_twice(match: Match) -> Node:
    inner = _axes(match["inner"])
    return permute(match["x"], tuple(inner[axis] for axis in _axes(match["node"])))


def _permute_of_ones(match: Match) -> Node | None:
    """A permutation that keeps the order of the axes longer than 1 is a reshape."""
    x, node = match["x"], match["node"]
    long = [axis for axis in _axes(node) if x.shape[axis] != 1]
    return reshape(x, node.shape) if long == sorted(long) else None


def _flip_twice(match: Match) -> Node:
    axes = set(_axes(match["node"])) ^ set(_axes(match["inner"]))
    return _flip(match["x"], tuple(sorted(axes)))


def _flip(x: Node, axes: tuple[int, ...]) -> Node:
    return make(Op.FLIP, (x,), AxesAttr(axes)) if axes else x


def _flip_of_ones(match: Match) -> Node | None:
    node = match["node"]
    axes = tuple(axis for axis in _axes(node) if node.shape[axis] > 1)
    return _flip(match["x"], axes) if axes != _axes(node) else None


def _slice_twice(match: Match) -> Node:
    outer, inner = _window(match["node"]), _window(match["inner"])
    axes = range(len(outer.sizes))
    starts = tuple(
        _join_starts(outer.starts[axis], inner.starts[axis], inner.steps[axis]) for axis in axes
    )
    steps = tuple(outer.steps[axis] * inner.steps[axis] for axis in axes)
    return make(Op.SLICE, (match["x"],), SliceAttr(starts, outer.sizes, steps))


def _join_starts(outer: int | Index, inner: int | Index, step: int) -> int | Index:
    if isinstance(outer, int) and isinstance(inner, int):
        return outer * step + inner
    return _index(outer) * step + inner


def _pad_twice(match: Match) -> Node | None:
    outer, inner = _pad(match["node"]), _pad(match["inner"])
    if outer.value != inner.value:
        return None
    before = tuple(a + b for a, b in zip(outer.before, inner.before, strict=True))
    after = tuple(a + b for a, b in zip(outer.after, inner.after, strict=True))
    return make(Op.PAD, (match["x"],), PadAttr(before, after, outer.value))


def _slice_of_pad(match: Match) -> Node | None:
    """A window that lies inside what was padded is a window of the source."""
    window, pad, x = _window(match["node"]), _pad(match["inner"]), match["x"]
    starts: list[Index] = []
    for axis, extent in enumerate(x.shape):
        start = _index(window.starts[axis]) - pad.before[axis]
        low, high = start.bounds()
        size = window.sizes[axis]
        if size == 0 or low < 0 or high + (size - 1) * window.steps[axis] >= extent:
            return None
        starts.append(start)
    return make(Op.SLICE, (x,), SliceAttr(tuple(starts), window.sizes, window.steps))


# --- updates --------------------------------------------------------------------------------------


def _is_whole(attr: SliceAttr, shape: tuple[int, ...]) -> bool:
    """True when the window is everything: then the starts can only be 0."""
    return attr.sizes == shape and all(
        step == 1 or size <= 1 for step, size in zip(attr.steps, shape, strict=True)
    )


def _same_window(first: Node, second: Node) -> bool:
    one, two = _window(first), _window(second)
    return (one.sizes, one.steps) == (two.sizes, two.steps) and all(
        _index(a) == _index(b) for a, b in zip(one.starts, two.starts, strict=True)
    )


def _slice_beside_update(match: Match) -> Node | None:
    """A window that an update surely does not touch reads the base."""
    node, update = match["node"], match["inner"]
    read, written = _window(node), _window(update)
    for axis in range(len(node.shape)):
        distance = _index(read.starts[axis]) - _index(written.starts[axis])
        low, high = distance.bounds()
        after = low >= (written.sizes[axis] - 1) * written.steps[axis] + 1
        before = high + (read.sizes[axis] - 1) * read.steps[axis] < 0
        if after or before:
            return make(Op.SLICE, (update.srcs[0],), read)
    return None


# --- reductions -----------------------------------------------------------------------------------


def _free_order(combiner: Combiner, dtype: DType) -> bool:
    """True where a reduction may be regrouped without rounding between its steps."""
    return combiner in (Combiner.MAX, Combiner.MIN) or not (dtype.is_float and dtype.itemsize == 2)


def _reduce_twice(match: Match) -> Node | None:
    node, inner = match["node"], match["inner"]
    assert isinstance(node.attr, ReduceAttr) and isinstance(inner.attr, ReduceAttr)
    combiner = node.attr.combiner
    if combiner is not inner.attr.combiner or not _free_order(combiner, node.dtype):
        return None
    kept = [axis for axis in range(len(match["x"].shape)) if axis not in inner.attr.axes]
    outer = [kept[axis] for axis in node.attr.axes]
    if combiner is Combiner.SUM and _sums_a_matrix(match["x"], outer):
        return None
    return reduce(combiner, match["x"], tuple(sorted((*inner.attr.axes, *outer))))


def _sums_a_matrix(x: Node, outer: Sequence[int]) -> bool:
    """Whether a sum over `outer` axes adds up a matrix product's rows or columns: in one sum, each
    of its products would have to be made for that alone."""
    if x.op is not Op.MUL:
        return False
    varies = [_varying_axes(factor) for factor in x.srcs]
    both = {axis for axis, extent in enumerate(x.shape) if extent > 1}
    if any(axes >= both for axes in varies):
        return False
    return any((axis in varies[0]) != (axis in varies[1]) for axis in outer)


def _varying_axes(node: Node) -> set[int]:
    """The axes along which a node differs, looking through index maps."""
    axes = [variable(f"i{axis}", extent) for axis, extent in enumerate(node.shape)]
    indices = tuple(axes)
    while node.op in MAPS:
        indices = source_index(node, indices)[0]
        node = node.srcs[0]
    used = {atom for index in indices for atom in index.atoms()}
    return {number for number, axis in enumerate(axes) if axis.atoms() & used}


def _reduce_ones(match: Match) -> Node | None:
    """Axes of extent 1 need no reduction."""
    node, x = match["node"], match["x"]
    assert isinstance(node.attr, ReduceAttr)
    ones = [axis for axis in node.attr.axes if x.shape[axis] == 1]
    if not ones:
        return None
    kept = [axis for axis in range(len(x.shape)) if axis not in ones]
    axes = tuple(n for n, axis in enumerate(kept) if axis in node.attr.axes)
    return reduce(node.attr.combiner, reshape(x, tuple(x.shape[n] for n in kept)), axes)


def _reduce_expanded(match: Match) -> Node | None:
    """Reducing equal numbers: one of them, or (integers) a product with their count."""
    node, x = match["node"], match["x"]
    assert isinstance(node.attr, ReduceAttr)
    before = match["inner"].shape
    repeated = [axis for axis in node.attr.axes if x.shape[axis] == 1 and before[axis] > 1]
    combiner = node.attr.combiner
    idempotent = combiner in (Combiner.MAX, Combiner.MIN) or node.dtype.is_bool
    counted = combiner is Combiner.SUM and node.dtype.is_integer
    if not repeated or not (idempotent or counted):
        return None
    shape = tuple(1 if axis in repeated else extent for axis, extent in enumerate(before))
    result = reduce(combiner, expand(x, shape), node.attr.axes)
    if idempotent:
        return result
    count = 1
    for axis in repeated:
        count *= before[axis]
    return make(Op.MUL, (result, full_like(count, result)))


def _reduce_repeated(match: Match) -> Node | None:
    """Where no factor differs along a kept axis, neither do the products' reductions."""
    node, product = match["node"], match["product"]
    kept = [axis for axis in range(len(product.shape)) if axis not in _axes(node)]
    repeated = [
        axis
        for axis in kept
        if product.shape[axis] > 1 and match["x"].shape[axis] == match["y"].shape[axis] == 1
    ]
    if not repeated:
        return None
    shape = tuple(1 if n in repeated else extent for n, extent in enumerate(product.shape))
    once = make(Op.MUL, (expand(match["x"], shape), expand(match["y"], shape)))
    reduced = make(Op.REDUCE, (once,), node.attr)
    return expand(reduced, node.shape)


RULES = (
    Rule(
        "move a repeated number",
        Pattern(frozenset({Op.RESHAPE, Op.EXPAND, Op.PERMUTE, Op.FLIP, Op.SLICE, Op.PAD}), (X,)),
        _uniform,
        why="all elements are equal, so where they come from does not matter",
        condition=lambda m: m["node"].size > 0,
    ),
    Rule(
        "reshape to the same shape",
        Pattern(frozenset({Op.RESHAPE, Op.EXPAND}), (X,)),
        lambda m: m["x"],
        why="nothing moves",
        condition=lambda m: m["x"].shape == m["node"].shape,
    ),
    Rule(
        "reshape of a reshape",
        _nested(Op.RESHAPE),
        lambda m: reshape(m["x"], m["node"].shape),
        why="both keep the row-major order",
    ),
    Rule(
        "expand of an expand",
        _nested(Op.EXPAND),
        lambda m: make(Op.EXPAND, (m["x"],), ShapeAttr(m["node"].shape)),
        why="an axis repeated twice was 1 before",
    ),
    Rule(
        "permute of a permute",
        _nested(Op.PERMUTE),
        _permute_twice,
        why="permutations compose",
    ),
    Rule(
        "permute of axes of one element",
        Pattern(Op.PERMUTE, (X,)),
        _permute_of_ones,
        why="the row-major order stays",
    ),
    Rule(
        "flip of a flip",
        _nested(Op.FLIP),
        _flip_twice,
        why="flips commute, and an axis flipped twice is as before",
    ),
    Rule(
        "flip of axes of one element",
        Pattern(Op.FLIP, (X,)),
        _flip_of_ones,
        why="one element stays where it is",
    ),
    Rule(
        "pad by nothing",
        Pattern(Op.PAD, (X,)),
        lambda m: m["x"],
        why="nothing is added",
        condition=lambda m: m["x"].shape == m["node"].shape,
    ),
    Rule(
        "pad of a pad",
        _nested(Op.PAD),
        _pad_twice,
        why="the same value surrounds what it surrounded already",
    ),
    Rule(
        "slice of everything",
        Pattern(Op.SLICE, (X,)),
        lambda m: m["x"],
        why="a window as large as its source starts at 0",
        condition=lambda m: _is_whole(_window(m["node"]), m["x"].shape),
    ),
    Rule(
        "slice of a slice",
        _nested(Op.SLICE),
        _slice_twice,
        why="s1 + t1*(s2 + t2*k) = (s1 + t1*s2) + (t1*t2)*k",
        condition=lambda m: m["node"].size > 0,
    ),
    Rule(
        "slice inside a pad",
        Pattern(Op.SLICE, (Pattern(Op.PAD, (X,), name="inner"),)),
        _slice_of_pad,
        why="the window's bounds prove that it reads no padding",
    ),
    Rule(
        "update of everything",
        Pattern(Op.UPDATE, (Pattern(), X)),
        lambda m: m["x"],
        why="nothing of the base is left",
        condition=lambda m: (
            _is_whole(_window(m["node"]), m["x"].shape) and m["node"].shape == m["x"].shape
        ),
    ),
    Rule(
        "update with nothing",
        Pattern(Op.UPDATE, (X, Pattern(name="value"))),
        lambda m: m["x"],
        why="nothing is written",
        condition=lambda m: m["value"].size == 0,
    ),
    Rule(
        "read what was written",
        Pattern(Op.SLICE, (Pattern(Op.UPDATE, (Pattern(), X), name="inner"),)),
        lambda m: m["x"],
        why="the window read is the window written",
        condition=lambda m: _same_window(m["node"], m["inner"]),
    ),
    Rule(
        "read beside what was written",
        Pattern(Op.SLICE, (Pattern(Op.UPDATE, name="inner"),)),
        _slice_beside_update,
        why="the windows are disjoint on one axis for all values of the starts",
        condition=lambda m: m["node"].size > 0,
    ),
    Rule(
        "write what was read",
        Pattern(Op.UPDATE, (X, Pattern(Op.SLICE, (X,), name="inner"))),
        lambda m: m["x"],
        why="the window holds these values already",
        condition=lambda m: _same_window(m["node"], m["inner"]),
    ),
    Rule(
        "write twice",
        Pattern(Op.UPDATE, (Pattern(Op.UPDATE, (X, Pattern()), name="inner"), Pattern(name="y"))),
        lambda m: make(Op.UPDATE, (m["x"], m["y"]), m["node"].attr),
        why="the second write covers the first",
        condition=lambda m: _same_window(m["node"], m["inner"]),
    ),
    Rule(
        "reduce no axes",
        Pattern(Op.REDUCE, (X,)),
        lambda m: m["x"],
        why="there is nothing to combine",
        condition=lambda m: not _axes(m["node"]),
    ),
    Rule(
        "reduce axes of one element",
        Pattern(Op.REDUCE, (X,)),
        _reduce_ones,
        why="the combination of one number is that number",
    ),
    Rule(
        "reduce of a reduce",
        _nested(Op.REDUCE),
        _reduce_twice,
        why="the order of a reduction is free, and no 16-bit rounding stands between",
    ),
    Rule(
        "reduce of an expand",
        Pattern(Op.REDUCE, (Pattern(Op.EXPAND, (X,), name="inner"),)),
        _reduce_expanded,
        why="max(x, x) = x and x + ... + x = n*x modulo 2**bits",
    ),
    Rule(
        "reduce of repeated products",
        Pattern(
            Op.REDUCE,
            (
                Pattern(
                    Op.MUL,
                    (Pattern(Op.EXPAND, (X,)), Pattern(Op.EXPAND, (Pattern(name="y"),))),
                    name="product",
                ),
            ),
        ),
        _reduce_repeated,
        why="equal products have equal reductions",
    ),
)
