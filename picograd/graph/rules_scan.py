"""A long running combination is one of blocks side by side.

In: a SCAN along an axis that is long, and next to few others. Out: the axis cut into blocks; each
is combined as a whole, those results run, and each block runs on from the one before. The blocks
are rows beside each other, which vectors and threads share out; one row is a chain of additions.

The blocks depend on the extent alone. In floating point a sum of blocks rounds less often. A GPU
has use for more rows than a CPU, and cuts any axis: its last block is filled up.

>>> blocks(1 << 24), blocks(10**6), blocks(999_983)
(1024, 1000, None)
"""

from __future__ import annotations

from math import isqrt, prod

from picograd.dtypes import int64
from picograd.graph.build import expand, full_like, reduce, reshape, window
from picograd.graph.node import Node, make
from picograd.graph.ops import Combiner, ConstAttr, IotaAttr, Op, PadAttr, ScanAttr
from picograd.graph.rewrite import Match, Pattern, Rule

LONG = 1 << 16  # shorter axes are done before the threads are awake
FEW = 16  # this many scans side by side are rows enough,
FEW_BLOCKS = 128  # or this many for a GPU
FEWEST, MOST = 16, 1024  # blocks

_COMBINE = {
    Combiner.SUM: Op.ADD,
    Combiner.PROD: Op.MUL,
    Combiner.MAX: Op.MAXIMUM,
    Combiner.MIN: Op.MINIMUM,
}


def blocks(extent: int) -> int | None:
    """How many equal blocks an axis is cut into; None when it has no suitable divisor."""
    most = min(MOST, isqrt(extent))
    return next((n for n in range(most, FEWEST - 1, -1) if extent % n == 0), None)


def _in_blocks(match: Match) -> Node | None:
    node = match["node"]
    attr, (x,) = node.attr, node.srcs
    assert isinstance(attr, ScanAttr)
    axis, shape = attr.axis, node.shape
    extent = shape[axis]
    on_gpu = node.device == "cuda"
    if extent < LONG or prod(shape) // extent >= (FEW_BLOCKS if on_gpu else FEW):
        return None
    if x.dtype is not node.dtype or not (x.dtype.is_float or x.dtype.is_integer):
        return None
    count = blocks(extent) or (min(MOST, isqrt(extent)) if on_gpu else None)
    if count is None or attr.combiner not in _COMBINE:
        return None
    size = -(-extent // count)
    cut = (*shape[:axis], count, size, *shape[axis + 1 :])
    rows = reshape(_filled_up(x, axis, count * size), cut)
    ends = make(Op.SCAN, (reduce(attr.combiner, rows, (axis + 1,)),), attr)
    before = reshape(_moved_on(ends, axis), (*cut[: axis + 1], 1, *cut[axis + 2 :]))
    joined = make(_COMBINE[attr.combiner], (rows, expand(before, cut)))
    begins = make(Op.AND, (_is_first(cut, axis + 1, node), _not(_is_first(cut, axis, node))))
    started = make(Op.WHERE, (begins, joined, rows))
    made = make(Op.SCAN, (started,), ScanAttr(attr.combiner, axis + 1))
    whole = reshape(made, (*shape[:axis], count * size, *shape[axis + 1 :]))
    return window(whole, (0,) * len(shape), shape) if count * size > extent else whole


def _filled_up(x: Node, axis: int, extent: int) -> Node:
    """Zeros behind the elements along an axis; what comes last does not matter."""
    more = tuple((extent - size) * (n == axis) for n, size in enumerate(x.shape))
    if not any(more):
        return x
    zero = ConstAttr(0.0 if x.dtype.is_float else 0, x.dtype)
    return make(Op.PAD, (x,), PadAttr((0,) * len(more), more, zero))


def _moved_on(x: Node, axis: int) -> Node:
    """Each element one place further along an axis; what comes first does not matter."""
    rank = len(x.shape)
    sizes = tuple(extent - (n == axis) for n, extent in enumerate(x.shape))
    kept = window(x, (0,) * rank, sizes)
    before = tuple(int(n == axis) for n in range(rank))
    zero = ConstAttr(0.0 if x.dtype.is_float else 0, x.dtype)
    return make(Op.PAD, (kept,), PadAttr(before, (0,) * rank, zero))


def _is_first(shape: tuple[int, ...], axis: int, like: Node) -> Node:
    """Where the position along an axis is 0."""
    iota = make(Op.IOTA, (), IotaAttr(shape[axis], int64), like.device)
    place = reshape(iota, tuple(shape[axis] if n == axis else 1 for n in range(len(shape))))
    return expand(make(Op.EQ, (place, full_like(0, place))), shape)


def _not(x: Node) -> Node:
    return make(Op.NOT, (x,))


RULES = (
    Rule(
        "scan in blocks",
        Pattern(Op.SCAN),
        _in_blocks,
        why="combining is associative (in floating point: up to rounding)",
    ),
)
