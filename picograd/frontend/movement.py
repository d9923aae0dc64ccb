"""Joining, repeating, shifting and padding: movement that makes new tensors.

In: tensors and dimensions. Out: tensors with fresh storage. What torch gives as a view (`split`,
`permute`, `diagonal`, ...) is in `views.py`.

>>> import picograd
>>> picograd.cat([picograd.tensor([1, 2]), picograd.tensor([3])])
tensor([1, 2, 3])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from picograd.dtypes import DType, int64, promote
from picograd.frontend import primitives
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import (
    broadcast_shapes,
    common_device,
    wrap_dim,
    wrap_dims,
)
from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Shape

FEW = 4  # parts of a tensor in which the others keep their places: one update each


def _sequence(tensors: Sequence[Tensor], name: str) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        raise TypeError(f"{name}(): argument 'tensors' must be tuple of Tensors, not Tensor")
    found = list(tensors)
    for number, tensor in enumerate(found):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"expected Tensor as element {number} in argument 0, but got "
                f"{type(tensor).__name__}"
            )
    if not found:
        if name == "cat":
            raise ValueError("torch.cat(): expected a non-empty list of Tensors")
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return found


def replaced(shape: Shape, axis: int, extent: int) -> Shape:
    """A shape with one extent changed."""
    return (*shape[:axis], extent, *shape[axis + 1 :])


@operation(method=False, out=True, aliases=("concat", "concatenate"))
@recorded_as("CatBackward0")
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along a dimension."""
    parts = _sequence(tensors, "cat")
    dtype = parts[0].dtype
    for part in parts[1:]:
        dtype = promote(dtype, part.dtype)
    for number, part in enumerate(parts):
        if not part.ndim:
            raise RuntimeError(
                f"zero-dimensional tensor (at position {number}) cannot be concatenated"
            )
    # An empty 1-d tensor joins anything (torch keeps that for old programs).
    kept = [part for part in parts if part._shape != (0,)] or parts[:1]
    common_device(kept)
    axis = wrap_dim(dim, kept[0].ndim)
    _check_cat(kept, axis)
    kept = [primitives.cast(part, dtype) for part in kept]
    if len(kept) == 1:
        return kept[0].clone()
    if len(kept) > FEW:
        return primitives.concat(kept, axis)
    extents = [part._shape[axis] for part in kept]
    result = broadcast_zero(kept[0], replaced(kept[0]._shape, axis, sum(extents)))
    before, after = (0,) * axis, (0,) * (result.ndim - 1 - axis)
    steps, start = (1,) * result.ndim, 0
    for part, extent in zip(kept, extents, strict=True):
        if not extent and not part.requires_grad:
            continue
        starts = (*before, start, *after)
        result = primitives.update(result, part, starts, part._shape, steps)
        start += extent
    return result


def broadcast_zero(x: Tensor, shape: Shape) -> Tensor:
    """Zeros of the dtype and device of `x`."""
    return primitives.constant(0, x.dtype, x._storage.node.device, shape)


def _check_cat(parts: list[Tensor], axis: int) -> None:
    first = parts[0]
    for number, part in enumerate(parts[1:], 1):
        if part._shape == first._shape:
            continue
        if part.ndim != first.ndim:
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {first.ndim} and {part.ndim}"
            )
        for n, (expected, got) in enumerate(zip(first._shape, part._shape, strict=True)):
            if n != axis and expected != got:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size "
                    f"{expected} but got size {got} for tensor number {number} in the list."
                )


@operation(method=False, out=True)
@recorded_as("StackBackward0")
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors along a new dimension."""
    parts = _sequence(tensors, "stack")
    axis = wrap_dim(dim, parts[0].ndim + 1)
    for number, part in enumerate(parts):
        if part._shape != parts[0]._shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(parts[0]._shape)} at "
                f"entry 0 and {list(part._shape)} at entry {number}"
            )
    one = parts[0]._shape
    if axis < len(one):  # one after the other first: one reshape, not one for each
        return primitives.reshape(cat(parts, axis), (*one[:axis], len(parts), *one[axis:]))
    shape = (*one, 1)
    return cat([primitives.reshape(part, shape) for part in parts], axis)


def at_least(x: Tensor, rank: int) -> Tensor:
    """The tensor with axes of extent 1 where it has too few, as `atleast_2d` and its like have."""
    if x.ndim >= rank:
        return x
    if rank == 3 and x.ndim:
        shape = (1, x._shape[0], 1) if x.ndim == 1 else (*x._shape, 1)
    else:
        shape = (1,) * (rank - x.ndim) + x._shape
    return x.reshape(shape)


def _each_at_least(tensors: tuple[object, ...], rank: int) -> Tensor | tuple[Tensor, ...]:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return at_least(tensors[0], rank)
    given = cast("Sequence[Tensor]", tensors[0] if len(tensors) == 1 else tensors)
    return tuple(at_least(x, rank) for x in given)


@operation(method=False)
def atleast_1d(*tensors: object) -> Tensor | tuple[Tensor, ...]:
    """Each tensor with at least one dimension."""
    return _each_at_least(tensors, 1)


@operation(method=False)
def atleast_2d(*tensors: object) -> Tensor | tuple[Tensor, ...]:
    """Each tensor with at least two dimensions."""
    return _each_at_least(tensors, 2)


@operation(method=False)
def atleast_3d(*tensors: object) -> Tensor | tuple[Tensor, ...]:
    """Each tensor with at least three dimensions."""
    return _each_at_least(tensors, 3)


@operation(method=False, out=True)
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors side by side (along dim 1; vectors along dim 0)."""
    parts = [at_least(x, 1) for x in _sequence(tensors, "hstack")]
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


@operation(method=False, out=True, aliases=("row_stack",))
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors on top of each other; vectors are rows."""
    return cat([at_least(x, 2) for x in _sequence(tensors, "vstack")], 0)


@operation(method=False, out=True)
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors along the third dimension."""
    return cat([at_least(x, 3) for x in _sequence(tensors, "dstack")], 2)


@operation(method=False, out=True)
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors side by side; vectors are columns."""
    parts = [
        x.reshape((x.numel(), 1)) if x.ndim < 2 else x for x in _sequence(tensors, "column_stack")
    ]
    return cat(parts, 1)


# --- repeating -----------------------------------------------------------------------------------


def _flat_sizes(sizes: tuple[object, ...]) -> tuple[int, ...]:
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        return tuple(int(n) for n in sizes[0])
    return tuple(int(n) for n in sizes)  # type: ignore[call-overload]


@operation(function=False)
@recorded_as("RepeatBackward0")
def repeat(self: Tensor, *sizes: object, repeats: object = None) -> Tensor:
    """The tensor so many times along each dimension, as tiles."""
    if not sizes and repeats is None:
        raise TypeError('repeat() missing 1 required positional arguments: "repeats"')
    times = _flat_sizes(sizes or (repeats,))
    if len(times) < self.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            f"tensor ({list(times)} for a tensor of shape {list(self._shape)})"
        )
    if any(n < 0 for n in times):
        raise RuntimeError(f"Trying to create tensor with negative dimension: {list(times)}")
    shape = (1,) * (len(times) - self.ndim) + self._shape
    split = tuple(n for extent in shape for n in (1, extent))
    wide = tuple(n for k, extent in zip(times, shape, strict=True) for n in (k, extent))
    tiles = primitives.expand(primitives.reshape(self, split), wide)
    return primitives.reshape(
        tiles, tuple(k * extent for k, extent in zip(times, shape, strict=True))
    )


@operation()
def tile(input: Tensor, *sizes: object, dims: object = ()) -> Tensor:
    """`repeat` with missing leading factors taken as 1."""
    times = _flat_sizes(sizes or (dims,))
    return repeat(input, (1,) * (input.ndim - len(times)) + times)


@operation()
def repeat_interleave(
    input: Tensor,
    repeats: int | Tensor,
    dim: int | None = None,
    *,
    output_size: int | None = None,
) -> Tensor:
    """Each element along a dimension several times in a row (a tensor: so often each)."""
    if dim is None:
        input, dim = input.reshape((-1,)), 0
    axis = wrap_dim(dim, input.ndim)
    shape = input._shape
    if isinstance(repeats, Tensor) and repeats.numel() == 1:
        repeats = int(repeats.item())
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        wide = (*shape[: axis + 1], repeats, *shape[axis + 1 :])
        one = primitives.reshape(input, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
        return primitives.reshape(
            primitives.expand(one, wide), replaced(shape, axis, shape[axis] * repeats)
        )
    import numpy as np

    from picograd.frontend.hostdata import values
    from picograd.frontend.interop import tensor

    if repeats._storage.node.device == "cuda" and repeats._shape == (shape[axis],) != (0,):
        from picograd.frontend.selecting import repeated

        low, total = (int(values(one)) for one in (repeats.min(), repeats.sum()))
        if low < 0:
            raise RuntimeError("repeats can not be negative")
        return along(input, axis, repeated(repeats.detach(), total))
    counts = values(repeats.detach())
    if counts.ndim != 1 or len(counts) != shape[axis]:
        raise RuntimeError("repeats must have the same size as input along dim")
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    where = tensor(np.repeat(np.arange(shape[axis]), counts), device=input._storage.node.device)
    return along(input, axis, where)


def along(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """`x` with dimension `axis` indexed by a vector of indices that are known to be inside."""
    taken = primitives.gather(x, (axis,), (index,), True)
    return front_to(taken, 1, axis)


def front_to(x: Tensor, number: int, axis: int) -> Tensor:
    """The first `number` dimensions moved to stand at position `axis`."""
    if not axis:
        return x
    rest = list(range(number, x.ndim))
    return primitives.permute(x, (*rest[:axis], *range(number), *rest[axis:]))


# --- turning and shifting ------------------------------------------------------------------------


@operation()
def flip(input: Tensor, *axes: object, dims: object = None) -> Tensor:
    """The order along the given dimensions turned round."""
    chosen = _flat_sizes(axes if dims is None else (dims,))
    if not chosen:
        return input.clone()
    if not input.ndim:
        wrap_dims(chosen, 0)
        return input.clone()
    return primitives.flip(input, tuple(sorted(wrap_dims(chosen, input.ndim))))


@operation()
def fliplr(input: Tensor) -> Tensor:
    """The columns turned round."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


@operation()
def flipud(input: Tensor) -> Tensor:
    """The rows turned round."""
    if not input.ndim:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


@operation()
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two dimensions turned by k quarter turns."""
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    first, second = dims
    turns = k % 4
    if turns == 0:
        return input.clone()
    if turns == 2:
        return flip(input, first, second)
    if turns == 1:
        return flip(input, second).transpose(first, second).clone()
    return flip(input, first).transpose(first, second).clone()


@operation()
@recorded_as("RollBackward0")
def roll(
    input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None
) -> Tensor:
    """The elements shifted round along dimensions (of the flattened tensor if none is given)."""
    if dims is None or dims == ():
        if not isinstance(shifts, int):
            if len(shifts) != 1:
                raise RuntimeError("shifts and dimensions must align")
            shifts = shifts[0]
        return roll(input.reshape((-1,)), shifts, 0).reshape(input._shape)
    moves = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    axes = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(moves) != len(axes):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(axes)}"
        )
    result = input
    for move, dim in zip(moves, axes, strict=True):
        axis = wrap_dim(dim, input.ndim)
        extent = input._shape[axis]
        cut = (extent - move) % extent if extent else 0
        if cut:
            result = cat(
                [result.narrow(axis, cut, extent - cut), result.narrow(axis, 0, cut)], axis
            )
    return result.clone() if result is input else result


# --- grids ---------------------------------------------------------------------------------------


@operation(method=False)
def meshgrid(*tensors: object, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid: each vector repeated along the dimensions of the others."""
    given = tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    vectors = [x.reshape((-1,)) for x in _sequence(given, "meshgrid")]  # type: ignore[arg-type]
    if any(x.ndim > 1 for x in given):  # type: ignore[attr-defined]
        raise RuntimeError("torch.meshgrid: Expected 0D or 1D tensor in the tensor list")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    swap = indexing == "xy" and len(vectors) > 1
    if swap:
        vectors[0], vectors[1] = vectors[1], vectors[0]
    shape = tuple(x._shape[0] for x in vectors)
    grids = [
        x.reshape(tuple(-1 if n == k else 1 for n in range(len(shape)))).expand(shape)
        for k, x in enumerate(vectors)
    ]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


@operation(method=False)
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the vectors' elements, a row each."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([grid.reshape((-1,)) for grid in meshgrid(*tensors)], 1)


@operation(method=False)
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Views of the tensors in their common shape."""
    shape = broadcast_shapes(*[x._shape for x in tensors])
    return tuple(x.expand(shape) for x in tensors)


def triangle_indices(
    rows: int, columns: int, offset: int, lower: bool, dtype: DType, place: str
) -> Tensor:
    """Row and column indices of a triangle, as `tril_indices` and `triu_indices` return them."""
    import numpy as np

    from picograd.frontend.interop import tensor

    found = (
        np.tril_indices(rows, offset, columns) if lower else np.triu_indices(rows, offset, columns)
    )
    return tensor(np.stack(found), dtype=dtype, device=place)


@operation(method=False)
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType = int64, device: str = "cpu"
) -> Tensor:
    """Where the elements of the lower triangle stand."""
    return triangle_indices(row, col, offset, True, dtype, str(device))


@operation(method=False)
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType = int64, device: str = "cpu"
) -> Tensor:
    """Where the elements of the upper triangle stand."""
    return triangle_indices(row, col, offset, False, dtype, str(device))
