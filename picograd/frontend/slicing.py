"""Parts of a tensor as views: basic indexing, `select`, `narrow`, `diagonal`, `split`, ...

In: a tensor and integers or slices. Out: views; a basic `x[...]` is one slice and one reshape.
Index tensors, lists and boolean masks are left to `frontend/indexing.py`.

>>> import picograd
>>> x = picograd.arange(12).view(3, 4)
>>> x[1, 1:].tolist(), x[:, ::2].stride()
([5, 6, 7], (4, 2))
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from functools import lru_cache
from types import EllipsisType
from typing import cast

import numpy as np

from picograd.frontend import view
from picograd.frontend.grad_mode import state
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import wrap_dim
from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor
from picograd.frontend.view import Step, Strides
from picograd.frontend.views import movedim, ordered
from picograd.graph.ops import Shape

Basic = int | slice | EllipsisType | None


def getitem(self: Tensor, index: object) -> Tensor:
    """`self[index]`: a view for basic indices, else a copy."""
    parts = index if type(index) is tuple else (index,)
    basic = basic_index(parts)
    if basic is None:
        from picograd.frontend.indexing import advanced_getitem

        return advanced_getitem(self, index)
    return sliced(self, basic)


def setitem(self: Tensor, index: object, value: object) -> None:
    """`self[index] = value`, broadcast and converted to the dtype of `self`."""
    parts = index if type(index) is tuple else (index,)
    basic = basic_index(parts)
    if basic is None:
        from picograd.frontend.indexing import advanced_setitem

        advanced_setitem(self, index, value)
        return
    target = sliced(self, basic)
    if isinstance(value, Tensor) and _is_same(value, target):
        target._check_inplace()
        return  # the end of `x[i] += y`: the view was written already
    if isinstance(value, Tensor) or not isinstance(value, (bool, int, float, complex)):
        source = value if isinstance(value, Tensor) else _as_tensor(value, self)
        while source.ndim > target.ndim and source._shape[0] == 1:
            source = source.squeeze(0)
        target.copy_(source)
    else:
        target.fill_(value)


def _is_same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same view of the same memory."""
    return a._storage is b._storage and a._steps == b._steps and a.dtype is b.dtype


def _as_tensor(value: object, like: Tensor) -> Tensor:
    from picograd.frontend.interop import tensor

    if isinstance(value, (list, tuple)):
        raise TypeError(f"can't assign a {type(value).__name__} to a {like.type()}")
    return tensor(value, device=like._storage.node.device)


def basic_index(parts: tuple[object, ...]) -> list[Basic] | None:
    """The parts if all are integers, slices, None or `...`; None if a tensor or list is there."""
    basic: list[Basic] = []
    for part in parts:
        kind = type(part)
        if kind is int or kind is slice or part is None or part is Ellipsis:
            basic.append(cast("Basic", part))
        elif isinstance(part, Tensor):
            # A 0-d integer tensor selects like an integer; but its value isn't known here.
            return None
        elif isinstance(part, np.integer):
            basic.append(int(part))
        elif kind is bool or isinstance(part, (np.bool_, list, tuple, range, np.ndarray)):
            return None
        elif hasattr(part, "__index__"):
            basic.append(operator.index(cast("int", part)))
        elif kind is str:
            raise TypeError("new(): invalid data type 'str'")
        else:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables "
                f"are valid indices (got {kind.__name__})"
            )
    return basic


def sliced(x: Tensor, parts: list[Basic]) -> Tensor:
    """The view of basic indices: at most one slice step and one reshape step."""
    rank = len(x._shape)
    used = sum([part is not None and part is not Ellipsis for part in parts])
    if used > rank:
        if not rank:
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
                "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {rank}")
    if Ellipsis not in parts:
        parts = [*parts, Ellipsis]
    strides = x._strides
    if strides is None:
        strides = view.contiguous_strides(x._shape)
    found = _cut_at if any(type(part) is slice for part in parts) else _known_cut
    cut, shape, strides, offset, name, more = found(x._shape, strides, tuple(parts), rank - used)
    return x._derive(cut, shape, strides, x._offset + offset, name, more)


_Cut = tuple[Step, Shape, Strides, int, str, Step | None]


def _cut_at(extents: Shape, strides: Strides, parts: tuple[Basic, ...], free: int) -> _Cut:
    """The step of a slice, the view's shape, strides and offset, what torch calls it, and the step
    to the shape if there is one."""
    starts, sizes, steps = [], [], []
    shape, new_strides = [], []
    offset = axis = 0
    for part in parts:
        if part is None:
            shape.append(1)
            new_strides.append(extents[axis] * strides[axis] if axis < len(extents) else 1)
            continue
        if part is Ellipsis:
            for _ in range(free):
                starts.append(0)
                sizes.append(extents[axis])
                steps.append(1)
                shape.append(extents[axis])
                new_strides.append(strides[axis])
                axis += 1
            free = 0
            continue
        extent, stride = extents[axis], strides[axis]
        if isinstance(part, int):
            start = part + extent if part < 0 else part
            if not 0 <= start < extent:
                raise IndexError(
                    f"index {part} is out of bounds for dimension {axis} with size {extent}"
                )
            size = step = 1
        else:
            start, size, step = _bounds(cast("slice", part), extent)
            shape.append(size)
            new_strides.append(stride * step)
        starts.append(start)
        sizes.append(size)
        steps.append(step)
        offset += start * stride
        axis += 1
    result = tuple(shape)
    cut = view.slice_step(extents, tuple(starts), tuple(sizes), tuple(steps))
    more = None if result == tuple(sizes) else view.reshape_step(tuple(sizes), result)
    if more is None:
        name = "SliceBackward0"
    else:  # torch's last step is what took an axis away or put one in
        name = "SelectBackward0" if len(result) < len(extents) else "UnsqueezeBackward0"
    return cut, result, tuple(new_strides), offset, name, more


# Loops over elements come to the same places again.
_known_cut = lru_cache(maxsize=1 << 13)(_cut_at)


def _bounds(part: slice, extent: int) -> tuple[int, int, int]:
    """Start, size and step of a slice; torch refuses negative steps."""
    step = 1 if part.step is None else operator.index(part.step)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    if part.start is None and part.stop is None and step == 1:
        return 0, extent, 1
    first, last, _ = slice(_index(part.start), _index(part.stop)).indices(extent)
    size = max(0, -(-(last - first) // step))
    return (first if size else min(first, extent)), size, step


def _index(bound: object) -> int | None:
    return None if bound is None else operator.index(cast("int", bound))


@operation()
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One position of an axis, which vanishes."""
    if not input.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    axis = wrap_dim(dim, input.ndim)
    extent = input._shape[axis]
    if not -extent <= index < extent:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input._shape)} at "
            f"dimension {axis}"
        )
    return sliced(input, [*[slice(None)] * axis, int(index)])


@operation()
def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """`length` positions of an axis from `start` on."""
    if not input.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    axis, first = wrap_dim(dim, input.ndim), int(cast("int", start))
    extent = input._shape[axis]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -extent <= first <= extent:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-extent}, {extent}], but got "
            f"{first})"
        )
    first += extent if first < 0 else 0
    if first + length > extent:
        raise RuntimeError(
            f"start ({first}) + length ({length}) exceeds dimension size ({extent})."
        )
    return sliced(input, [*[slice(None)] * axis, slice(first, first + length)])


@operation(also={"split_size": "split_size_or_sections"})
@recorded_as("SplitBackward0")
def split(
    tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Consecutive pieces of an axis, of one size or of the given sizes."""
    if not tensor.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    axis = wrap_dim(dim, tensor.ndim)
    extent = tensor._shape[axis]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0 or (size == 0 and extent):
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={size}"
            )
        sections = [min(size, extent - at) for at in range(0, extent, size or 1)] or [0]
    else:
        sections = [int(size) for size in split_size_or_sections]
        if sum(sections) != extent:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {extent} (input tensor's "
                f"size at dimension {axis}), but got split_sizes={sections}"
            )
    pieces, at = [], 0
    for size in sections:
        pieces.append(sliced(tensor, [*[slice(None)] * axis, slice(at, at + size)]))
        at += size
    return together(pieces)


def together(pieces: list[Tensor]) -> tuple[Tensor, ...]:
    """The views that one function returns, marked as such for autograd."""
    if state.enabled:
        for piece in pieces:
            piece._relative = view.SeveralViews(piece._relative)
    return tuple(pieces)


@operation()
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`input.split(list, dim)`."""
    return split(input, list(split_sizes), dim)


@operation()
@recorded_as("SplitBackward0")
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of an axis, all but the last of one size."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    if not input.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    axis = wrap_dim(dim, input.ndim)
    extent = input._shape[axis]
    if not extent:
        return split(input, [0] * chunks, axis)
    return split(input, -(-extent // chunks), axis)


@operation(
    also=dict.fromkeys(("sections", "indices", "tensor_indices_or_sections"), "indices_or_sections")
)
def tensor_split(
    input: Tensor, indices_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Pieces of an axis: so many of about one size, or cut at the given positions."""
    if not input.ndim:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    axis = wrap_dim(dim, input.ndim)
    extent = input._shape[axis]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        count = indices_or_sections
        if count <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {count}")
        small, more = divmod(extent, count)
        sizes = [small + (n < more) for n in range(count)]
        indices_or_sections = list(itertools.accumulate(sizes[:-1]))
    cuts = [0, *[int(cut) for cut in indices_or_sections], extent]
    lead = [slice(None)] * axis
    return tuple([sliced(input, [*lead, slice(a, b)]) for a, b in itertools.pairwise(cuts)])


@operation()
@recorded_as("UnbindBackward0")
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The positions of an axis, one tensor each."""
    if not input.ndim:
        raise IndexError("unbind(): dimension specified as 0 but tensor has no dimensions")
    axis = wrap_dim(dim, input.ndim)
    lead = [slice(None)] * axis
    return together([sliced(input, [*lead, n]) for n in range(input._shape[axis])])


@operation()
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, as the last axis: a stride through the two axes joined."""
    a, b = wrap_dim(dim1, input.ndim), wrap_dim(dim2, input.ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    moved = movedim(input, (a, b), (input.ndim - 2, input.ndim - 1))
    lead = moved._shape[:-2]
    rows, columns = moved._shape[-2:]
    length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    first = (offset if offset >= 0 else -offset * columns) if length else 0
    joined = (*lead, rows * columns)
    strides = moved.stride()
    step = strides[-2] + strides[-1]
    start = (offset * strides[-1] if offset >= 0 else -offset * strides[-2]) if length else 0
    none, ones = (0,) * len(lead), (1,) * len(lead)
    # The joined axis may have no stride of its own; the cut through it has one.
    join = view.reshape_step(moved._shape, joined)
    cut = view.slice_step(joined, (*none, first), (*lead, length), (*ones, columns + 1))
    new_strides = (*strides[:-2], step)
    return moved._derive(
        join, (*lead, length), new_strides, moved._offset + start, "DiagonalBackward0", cut
    )


def transposed(x: Tensor) -> Tensor:
    """`x.T`: all axes reversed."""
    name = "PermuteBackward0" if x.ndim != 2 else "TBackward0"
    return ordered(x, tuple(reversed(range(x.ndim))), name)
