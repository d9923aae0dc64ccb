"""Named gathers and scatters along one dimension.

In: a tensor, a dimension, an index tensor (and what to write). Out: tensors. All are the movements
GATHER and SCATTER(_REDUCE) by table, with the other dimensions' own positions as further indices.

>>> import picograd
>>> picograd.gather(picograd.tensor([[1, 2], [3, 4]]), 1, picograd.tensor([[1], [0]]))
tensor([[2],
        [3]])
"""

from __future__ import annotations

from picograd.dtypes import bool_, int64
from picograd.frontend import primitives
from picograd.frontend.autocasting import SWITCH, widest
from picograd.frontend.elementwise import add, div, filled_like, mul
from picograd.frontend.indexing import from_place, prepared, to_place
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import (
    Number,
    Operand,
    broadcast_pair,
    broadcast_to,
    number_of,
    type_name,
    wrap_dim,
)
from picograd.frontend.reductions import positions
from picograd.frontend.registry import operation
from picograd.frontend.selection import choose, clamp
from picograd.frontend.tensor import Tensor
from picograd.frontend.views import movedim
from picograd.graph.ops import Combiner

REDUCTIONS = {
    "sum": Combiner.SUM,
    "add": Combiner.SUM,
    "mean": Combiner.SUM,
    "prod": Combiner.PROD,
    "multiply": Combiner.PROD,
    "amax": Combiner.MAX,
    "amin": Combiner.MIN,
}


def along_dim(x: Tensor, axis: int, index: Tensor, checked: bool = True) -> Tensor:
    """`x` picked along one axis by an index of the same rank."""
    axes, indices = _table(x, axis, index)
    return primitives.gather(x, axes, indices, checked)


def _table(x: Tensor, axis: int, index: Tensor) -> tuple[tuple[int, ...], tuple[Tensor, ...]]:
    """The axes and index tensors of a GATHER that takes `index` along one axis."""
    indices = [index if n == axis else positions(index, n) for n in range(x.ndim)]
    return tuple(range(x.ndim)), tuple(indices)


def _index_of(x: Tensor, axis: int, index: Tensor, name: str) -> tuple[Tensor, bool]:
    if index.dtype.name not in ("int64", "int32") and index.numel():
        raise RuntimeError(
            f"{name}(): Expected dtype int32/int64 for index, got {type_name(index.dtype)}"
        )
    if index.ndim != x.ndim and index.numel():
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as input tensor, got "
            f"{index.ndim} and {x.ndim}"
        )
    for n, (a, b) in enumerate(zip(index._shape, x._shape, strict=False)):
        if n != axis and a > b:
            raise RuntimeError(
                f"Size does not match at dimension {n} expected index {list(index._shape)} to be "
                f"no larger than self {list(x._shape)} apart from dimension {axis}"
            )
    try:
        return prepared(index, x._shape[axis], axis, wrapping=False)
    except IndexError as error:
        raise RuntimeError(str(error)) from None


@operation(out=True)
@recorded_as("GatherBackward0")
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """`out[i][j] = input[index[i][j]][j]` for dim 0, and so on."""
    axis = wrap_dim(dim, input.ndim)
    if not input.ndim:
        if index.ndim > 1:
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as input tensor: "
                f"{index.ndim} for a tensor of 0 dimensions"
            )
        return broadcast_to(input.reshape((1,) * index.ndim), index._shape).clone()
    inside, checked = _index_of(input, axis, index, "gather")
    return along_dim(input, axis, inside, checked)


@operation(out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As `gather`, with the other dimensions broadcast; the flattened tensor without a dim."""
    if dim is None:
        return take_along_dim(input.reshape((-1,)), indices.reshape((-1,)), 0)
    if input.ndim != indices.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    axis = wrap_dim(dim, input.ndim)
    first = (*input._shape[:axis], 1, *input._shape[axis + 1 :])
    second = (*indices._shape[:axis], 1, *indices._shape[axis + 1 :])
    shape = broadcast_pair(first, second)
    extent = input._shape[axis]
    wide = (*shape[:axis], indices._shape[axis], *shape[axis + 1 :])
    tall = (*shape[:axis], extent, *shape[axis + 1 :])
    inside = choose(indices < 0, add(indices, extent), indices)
    return gather(broadcast_to(input, tall), axis, broadcast_to(inside, wide))


def _written(
    input: Tensor, dim: int, index: Tensor, src: Operand, combiner: Combiner | None, name: str
) -> Tensor:
    """SCATTER or SCATTER_REDUCE along one dimension."""
    if not input.ndim:
        if index.ndim > 1:
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as self tensor, got "
                f"{index.ndim} and 0"
            )
        one = _written(input.reshape((1,)), 0, index.reshape((-1,)), _flat(src), combiner, name)
        return one.reshape(())
    axis = wrap_dim(dim, input.ndim)
    inside, checked = _index_of(input, axis, index, name)
    axes, indices = _table(input, axis, inside)
    return _combine(combiner, input, _source(input, index, src, name), axes, indices, checked)


def _flat(src: Operand) -> Operand:
    return src.reshape((-1,)) if isinstance(src, Tensor) else src


def _combine(
    combiner: Combiner | None,
    base: Tensor,
    value: Tensor,
    axes: tuple[int, ...],
    indices: tuple[Tensor, ...],
    checked: bool,
) -> Tensor:
    if combiner is None:
        return primitives.scatter(base, value, axes, indices, checked)
    return primitives.scatter_reduce(combiner, base, value, axes, indices, checked)


def _source(input: Tensor, index: Tensor, src: Operand, name: str) -> Tensor:
    """What is written: the part of `src` that the index covers, or one number."""
    if not isinstance(src, Tensor):
        number = number_of(src)
        if number is None:
            raise TypeError(f"{name}(): argument 'src' must be Tensor or a number")
        device = input._storage.node.device
        return primitives.constant(number, input.dtype, device, index._shape)
    if src.dtype is not input.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    if not src.ndim and index.ndim:
        return broadcast_to(src, index._shape)
    if src.ndim != index.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    if any(a > b for a, b in zip(index._shape, src._shape, strict=True)):
        raise RuntimeError(
            f"Expected index {list(index._shape)} to be no larger than src {list(src._shape)}"
        )
    if src._shape == index._shape:
        return src
    rank = src.ndim
    return primitives.slice_(src, (0,) * rank, index._shape, (1,) * rank)


@operation(inplace=True, out=True)
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Operand | None = None,
    *,
    value: Number | None = None,
    reduce: str | None = None,
) -> Tensor:
    """`out[index[i][j]][j] = src[i][j]` for dim 0, and so on; the rest as `input`."""
    written = value if src is None else src
    if written is None:
        raise TypeError("scatter(): missing the argument 'src' or 'value'")
    if reduce is not None and reduce not in ("add", "multiply"):
        raise RuntimeError(f"reduce argument must be either add or multiply, got {reduce}")
    combiner = None if reduce is None else REDUCTIONS[reduce]
    return _written(input, dim, index, written, combiner, "scatter")


@operation(inplace=True, out=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`out[index[i][j]][j] += src[i][j]` for dim 0, and so on."""
    return _written(input, dim, index, src, Combiner.SUM, "scatter_add")


@operation(inplace=True, out=True)
def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """`scatter` that combines by sum, prod, mean, amax or amin, with or without what was there."""
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    base = input
    combiner = REDUCTIONS[reduce]
    if not include_self:
        identity = {
            Combiner.SUM: 0,
            Combiner.PROD: 1,
            Combiner.MAX: input.dtype.lowest,
            Combiner.MIN: input.dtype.highest,
        }[combiner]
        base = _written(input, dim, index, identity, None, "scatter_reduce")
    total = _written(base, dim, index, src, combiner, "scatter_reduce")
    if reduce != "mean":
        return total
    start = filled_like(input, 1)
    if not include_self:
        start = _written(start, dim, index, 0, None, "scatter_reduce")
    number = _written(start, dim, index, 1, Combiner.SUM, "scatter_reduce")
    mode = None if total.dtype.is_inexact else "floor"
    return div(total, clamp(number, min=1), rounding_mode=mode)


# --- whole slices by index -----------------------------------------------------------------------


def _vector(index: Tensor, name: str) -> Tensor:
    if index.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, got {list(index._shape)}")
    if index.dtype.name not in ("int64", "int32"):
        raise RuntimeError(
            f"{name}(): Expected dtype int32 or int64 for index, got {type_name(index.dtype)}"
        )
    return index.reshape((1,)) if not index.ndim else index


@operation(out=True)
@recorded_as("IndexSelectBackward0")
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along a dimension that the index names."""
    axis = wrap_dim(dim, input.ndim)
    vector = _vector(index, "index_select")
    if not input.ndim:
        if vector.numel() != 1:
            raise RuntimeError(
                "index_select(): Index to scalar can have only 1 value, got "
                f"{vector.numel()} value(s)"
            )
        return input.clone()
    try:
        inside, checked = prepared(vector, input._shape[axis], axis, wrapping=False)
    except IndexError as error:
        raise IndexError(f"index out of range in self ({error})") from None
    return to_place(primitives.gather(input, (axis,), (inside,), checked), 1, axis)


def _slices(
    input: Tensor, dim: int, index: Tensor, source: Tensor, combiner: Combiner | None, name: str
) -> Tensor:
    """Write or combine slices along a dimension."""
    axis = wrap_dim(dim, input.ndim)
    vector = _vector(index, name)
    if not input.ndim:
        return _slices(
            input.reshape((1,)), 0, vector, source.reshape((1,)), combiner, name
        ).reshape(())
    shape = (*input._shape[:axis], vector._shape[0], *input._shape[axis + 1 :])
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}(): self ({type_name(input.dtype)}) and source ({type_name(source.dtype)}) "
            "must have the same scalar type"
        )
    if source.ndim and source._shape != shape:
        raise RuntimeError(
            f"{name}(): Number of indices ({vector._shape[0]}) and the source's shape "
            f"{list(source._shape)} don't fit: expected {list(shape)}"
        )
    inside, checked = prepared(vector, input._shape[axis], axis, wrapping=False)
    value = from_place(broadcast_to(source, shape), 1, axis)
    return _combine(combiner, input, value, (axis,), (inside,), checked)


@operation(inplace=True, out=True)
@recorded_as("IndexAddBackward0")
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Number = 1
) -> Tensor:
    """`input` with the slices of `source` added where the index says."""
    added = source if alpha == 1 else mul(source, alpha)
    return _slices(input, dim, index, added, Combiner.SUM, "index_add")


@operation(inplace=True, out=True)
@recorded_as("IndexCopyBackward0")
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`input` with the slices of `source` where the index says."""
    if SWITCH.used:
        input, source = widest(input, source)
    return _slices(input, dim, index, source, None, "index_copy")


@operation(inplace=True)
@recorded_as("IndexFillBackward0")
def index_fill(input: Tensor, dim: int, index: Tensor, value: Operand) -> Tensor:
    """`input` with one value in the slices that the index names."""
    device = input._storage.node.device
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)."
            )
        filler = primitives.cast(value, input.dtype)
    else:
        filler = primitives.constant(value, input.dtype, device)
    axis, vector = wrap_dim(dim, input.ndim), _vector(index, "index_fill")
    shape = input._shape or (1,)
    # A slice that is named twice is filled once, for gradients too.
    inside, checked = prepared(vector, shape[axis], axis)
    nowhere = primitives.constant(False, bool_, device, (shape[axis],))
    here = primitives.constant(True, bool_, device, vector._shape)
    named = primitives.scatter(nowhere, here, (0,), (inside,), checked)
    along = [1] * len(shape)
    along[axis] = shape[axis]
    return choose(named.reshape(along if input.ndim else ()), filler, input)


# --- the flattened tensor ------------------------------------------------------------------------


@operation(out=True)
@recorded_as("TakeBackward0")
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened tensor that the index names."""
    inside, checked = prepared(index, input.numel(), 0)
    return primitives.gather(input.reshape((-1,)), (0,), (inside,), checked)


@operation(inplace=True)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """`input` with elements of the flattened tensor replaced by (or increased by) `source`."""
    inside, checked = prepared(index, input.numel(), 0)
    flat = inside.reshape((-1,))
    combiner = Combiner.SUM if accumulate else None
    value = source.reshape((-1,))
    result = _combine(combiner, input.reshape((-1,)), value, (0,), (flat,), checked)
    return result.reshape(input._shape)


# --- windows --------------------------------------------------------------------------------------


@operation(function=False)
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` elements along a dimension, `step` apart, in a new last dimension.

    A view if windows neither overlap nor reach past the end with their gap, else a copy (torch's
    is always a view, but doesn't let anybody write to windows that overlap).
    """
    axis = wrap_dim(dimension, self.ndim)
    extent = self._shape[axis] if self.ndim else 1
    if size < 0 or size > extent:
        raise RuntimeError(
            f"maximum size for tensor at dimension {axis} is {extent} but size is {size}"
        )
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    number = (extent - size) // step + 1
    if not self.ndim:
        return self.reshape(1).narrow(0, 0, size)
    if size == 1:
        windows = self[(*[slice(None)] * axis, slice(None, None, step))]
        return windows.unsqueeze(-1)
    if size <= step and number * step <= extent:
        parts = self.narrow(axis, 0, number * step).unflatten(axis, (number, step))
        return movedim(parts.narrow(axis + 1, 0, size), axis + 1, -1)
    device = self._storage.node.device
    starts = mul(primitives.iota(number, int64, device), step)
    inside = primitives.iota(size, int64, device)
    table = add(primitives.reshape(starts, (number, 1)), inside)
    found = to_place(primitives.gather(self, (axis,), (table,), True), 2, axis)
    order = [n for n in range(found.ndim) if n != axis + 1]
    return primitives.permute(found, (*order, axis + 1))
