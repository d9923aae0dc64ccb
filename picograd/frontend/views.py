"""The views: functions whose result shares the memory of its input.

In: a tensor and a description of the view. Out: a tensor over the same storage. Strides and offset
follow torch's arithmetic, because programs can ask for them, and because `view` must refuse what no
strides can express (`reshape` copies then).

>>> import picograd
>>> x = picograd.arange(6).view(2, 3)
>>> x.t().stride(), x.t().is_contiguous()
((1, 3), False)
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import cast

import numpy as np

from picograd.dtypes import DType, computable
from picograd.frontend import primitives, view
from picograd.frontend.memory_formats import formatted, in_format, preserve_format
from picograd.frontend.promotion import broadcast_pair, wrap_dim, wrap_dims
from picograd.frontend.registry import METHODS, attribute, operation
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op, Shape


def sizes_of(given: tuple[object, ...], name: str) -> list[int]:
    """The integers of `f(2, 3)` or `f((2, 3))`."""
    if len(given) == 1 and isinstance(given[0], Sequence):
        given = tuple(cast("Sequence[object]", given[0]))
    try:
        return [operator.index(cast("int", extent)) for extent in given]
    except TypeError:
        found = ", ".join(type(extent).__name__ for extent in given)
        raise TypeError(
            f"{name}(): argument 'shape' must be tuple of ints, not ({found})"
        ) from None


def resolve(x: Tensor, given: list[int]) -> Shape:
    """A target shape with its -1 filled in; torch's errors if it doesn't fit."""
    count = x.numel()
    known = 1
    unknown = -1
    for position, extent in enumerate(given):
        if extent == -1:
            if unknown >= 0:
                raise RuntimeError("only one dimension can be inferred")
            unknown = position
        elif extent < 0:
            raise RuntimeError(f"invalid shape dimension {extent}")
        else:
            known *= extent
    if unknown >= 0:
        if not known:
            if not count:
                raise RuntimeError(
                    f"cannot reshape tensor of 0 elements into shape {given} because the "
                    "unspecified dimension size -1 can be any value and is ambiguous"
                )
        elif not count % known:
            given[unknown] = count // known
            known = count
    if known != count or (unknown >= 0 and given[unknown] == -1):
        raise RuntimeError(f"shape '{given}' is invalid for input of size {count}")
    return tuple(given)


@operation(function=False, name="view")
def view_(self: Tensor, *shape: object, size: object = None, dtype: object = None) -> Tensor:
    """The elements in row-major order in another shape, or their bits as another dtype."""
    if not shape:
        shape = (size if dtype is None else dtype,)
    if len(shape) == 1 and isinstance(shape[0], DType):
        return _view_dtype(self, shape[0])
    target = resolve(self, sizes_of(shape, "view"))
    strides = view.view_strides(self._shape, self.stride(), target)
    if strides is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return self._derive(view.reshape_step(self._shape, target), target, strides, self._offset)


def _view_dtype(x: Tensor, dtype: DType) -> Tensor:
    computable(dtype)
    if dtype is x.dtype:
        return view_(x, x._shape)
    if dtype.itemsize != x.dtype.itemsize:
        return _view_resized(x, dtype)
    if x.requires_grad:
        raise RuntimeError(
            "view(dtype) of a tensor that requires grad isn't supported; detach() it"
        )
    step = view.bitcast_step(x.dtype, dtype)
    result = x._derive(step, x._shape, x.stride(), x._offset)
    result.dtype = dtype
    return result


def _view_resized(x: Tensor, dtype: DType) -> Tensor:
    """The memory as elements of another size: another storage over it, and both are pinned."""
    if not x.ndim:
        raise RuntimeError(
            f"self.dim() cannot be 0 to view {x.dtype} as {dtype} (different element sizes)"
        )
    old, new, strides = x.dtype.itemsize, dtype.itemsize, x.stride()
    counts = (x._shape[-1], x._offset, *strides[:-1])
    if strides[-1] != 1 or any(count * old % new for count in counts):
        raise RuntimeError(
            f"self.size(-1) * {x.dtype.itemsize} must be divisible by {dtype.itemsize}, and "
            f"self.stride(-1) must be 1, to view {x.dtype} as {dtype} (different element sizes), "
            f"but got size {list(x._shape)} and stride {list(x.stride())}"
        )
    base = _over_memory(x, dtype)
    shape = (*x._shape[:-1], x._shape[-1] * old // new)
    resized = (*[step * old // new for step in strides[:-1]], 1)
    return base.as_strided(shape, resized, x._offset * old // new)._alias()


def _over_memory(x: Tensor, dtype: DType) -> Tensor:
    """The whole memory of a tensor's storage as elements of a dtype."""
    storage = x._storage
    if x.is_cuda:
        from picograd.frontend.gpu_memory import over

        memory = storage.own_memory()
        storage.pin()
        return over(memory.address, dtype, (memory.nbytes // dtype.itemsize,), None, memory.owner)
    from picograd.frontend.interop import _sharing

    whole = storage.export((storage.node.size,), (1,), 0).view(np.uint8)
    storage.pin()
    used = whole[: whole.size - whole.size % dtype.itemsize].view(dtype.numpy)
    return _sharing(used, storage.node.device)


@operation()
def reshape(input: Tensor, *shape: object, **named: object) -> Tensor:
    """The elements in row-major order in another shape: a view if strides allow, else a copy."""
    target = resolve(input, sizes_of(shape or (named["shape"],), "reshape"))
    strides = view.view_strides(input._shape, input.stride(), target)
    if strides is None:
        return primitives.primitive(Op.RESHAPE, (input,), view.shape_attr(target))
    step = view.reshape_step(input._shape, target)
    return input._derive(step, target, strides, input._offset)


@operation()
def permute(input: Tensor, *dims: object, **named: object) -> Tensor:
    """Axis k of the result is axis `dims[k]` of the input."""
    given = sizes_of(dims or (named["dims"],), "permute")
    if len(given) != input.ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {input.ndim} is not "
            f"equal to len(dims) = {len(given)}"
        )
    order = [wrap_dim(dim, input.ndim) for dim in given]
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return ordered(input, tuple(order), "PermuteBackward0")


def ordered(x: Tensor, order: tuple[int, ...], name: str) -> Tensor:
    """The view whose axis k is axis `order[k]`."""
    shape, strides = x._shape, x.stride()
    return x._derive(
        view.permute_step(order),
        tuple([shape[axis] for axis in order]),
        tuple([strides[axis] for axis in order]),
        x._offset,
        name,
    )


@operation(aliases=("swapaxes", "swapdims"), also={"axis0": "dim0", "axis1": "dim1"})
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    a, b = wrap_dim(dim0, input.ndim), wrap_dim(dim1, input.ndim)
    order = list(range(input.ndim))
    if order:
        order[a], order[b] = b, a
    return ordered(input, tuple(order), "TransposeBackward0")


@operation()
def t(input: Tensor) -> Tensor:
    """A matrix transposed; vectors and numbers stay."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return ordered(input, tuple(reversed(range(input.ndim))), "TBackward0")


@operation()
def adjoint(input: Tensor) -> Tensor:
    """The last two axes exchanged and the elements conjugated; a number stays."""
    if input.ndim == 1:
        raise RuntimeError(
            "tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor."
        )
    turned = input if not input.ndim else transpose(input, -2, -1)
    return cast("Tensor", METHODS["conj"](turned)) if input.dtype.is_complex else turned


@attribute
def mH(self: Tensor) -> Tensor:
    """The adjoint of each matrix of a batch; a number stays."""
    if self.ndim == 1:
        raise RuntimeError(
            f"tensor.mH is only supported on matrices or batches of matrices. Got {self.ndim}-D "
            "tensor."
        )
    return adjoint(self)


@operation(aliases=("moveaxis",))
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes `source` moved to the positions `destination`; the others keep their order."""
    rank = input.ndim
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    if len(sources) != len(targets):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({sources} dims) should contain "
            f"the same number of dims as destination ({targets} dims)"
        )
    moved, places = wrap_dims(sources, rank), wrap_dims(targets, rank)
    if not rank:
        return ordered(input, (), "AliasBackward0")
    order = [-1] * rank
    for axis, place in zip(moved, places, strict=True):
        order[place] = axis
    rest = iter([axis for axis in range(rank) if axis not in moved])
    filled = tuple([next(rest) if axis < 0 else axis for axis in order])
    return ordered(input, filled, "PermuteBackward0")


# --- axes of extent 1 ---------------------------------------------------------------------------


@operation()
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without the axes of extent 1 (or without those of `dim` that have extent 1)."""
    if dim is None:
        wanted = set(range(input.ndim))
    else:
        wanted = set() if dim == () else set(wrap_dims(dim, input.ndim))
    strides = input.stride()
    kept = [n for n, extent in enumerate(input._shape) if extent != 1 or n not in wanted]
    shape = tuple([input._shape[n] for n in kept])
    step = view.reshape_step(input._shape, shape)
    kept_strides = tuple([strides[n] for n in kept])
    return input._derive(
        step,
        shape,
        kept_strides,
        input._offset,
        "SqueezeBackward0" if dim is None else "SqueezeBackward1",
    )


@operation()
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With one more axis, of extent 1."""
    axis = wrap_dim(dim, input.ndim + 1)
    old, strides = input._shape, input.stride()
    shape = (*old[:axis], 1, *old[axis:])
    inner = old[axis] * strides[axis] if axis < len(old) else 1
    step = view.reshape_step(old, shape)
    new_strides = (*strides[:axis], inner, *strides[axis:])
    return input._derive(step, shape, new_strides, input._offset, "UnsqueezeBackward0")


@operation()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """A run of axes as one."""
    if not input.ndim:
        return reshape(input, 1)
    first, last = wrap_dim(start_dim, input.ndim), wrap_dim(end_dim, input.ndim)
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last:
        return input
    shape, merged = input._shape, 1
    for extent in shape[first : last + 1]:
        merged *= extent
    return reshape(input, (*shape[:first], merged, *shape[last + 1 :]))


@operation()
def ravel(input: Tensor) -> Tensor:
    """All the elements in one axis."""
    return reshape(contiguous(input), -1)


@operation()
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis cut into several."""
    if not input.ndim:
        raise RuntimeError("unflatten: a tensor of 0 dimensions has no dimension to cut")
    axis = wrap_dim(dim, input.ndim)
    shape, parts = input._shape, list(sizes)
    if -1 in parts:
        known = 1
        for extent in parts:
            known *= 1 if extent == -1 else extent
        parts[parts.index(-1)] = shape[axis] // known if known else 0
    product = 1
    for extent in parts:
        product *= extent
    if product != shape[axis]:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {axis} "
            f"({shape[axis]}) in the input tensor"
        )
    return view_(input, (*shape[:axis], *parts, *shape[axis + 1 :]))


@operation(function=False)
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """`self.view(other.shape)`."""
    return view_(self, other._shape)


@operation(function=False)
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """`self.reshape(other.shape)`."""
    return reshape(self, other._shape)


# --- repetition ---------------------------------------------------------------------------------


@operation(function=False)
def expand(self: Tensor, *sizes: object, size: object = None, implicit: bool = False) -> Tensor:
    """Axes of extent 1 repeated without copying; -1 keeps an extent, new axes go in front."""
    given = sizes_of(sizes or (size or (),), "expand")
    old, strides = self._shape, self.stride()
    lead = len(given) - len(old)
    if lead < 0:
        raise RuntimeError(
            f"expand({_type_of(self)}{{{list(old)}}}, size={given}): the number of sizes provided "
            f"({len(given)}) must be greater or equal to the number of dimensions in the tensor "
            f"({len(old)})"
        )
    padded = (1,) * lead + old
    target = []
    new_strides = []
    for axis, (extent, own) in enumerate(zip(given, padded, strict=True)):
        if extent == -1:
            if axis < lead:
                raise RuntimeError(
                    f"The expanded size of the tensor ({extent}) isn't allowed in a leading, "
                    f"non-existing dimension {axis}"
                )
            extent = own
        elif extent != own and own != 1:
            raise RuntimeError(
                f"The expanded size of the tensor ({extent}) must match the existing size ({own}) "
                f"at non-singleton dimension {axis}.  Target sizes: {given}.  Tensor sizes: "
                f"{list(old)}"
            )
        target.append(extent)
        keeps = axis >= lead and extent == own
        new_strides.append(strides[axis - lead] if keeps else 0)
    shape = tuple(target)
    if shape == old:
        return self._derive(view.reshape_step(old, old), old, strides, self._offset)
    repeat = view.expand_step(padded, shape)
    arguments = (shape, tuple(new_strides), self._offset, "ExpandBackward0")
    if lead:
        return self._derive(view.reshape_step(old, padded), *arguments, repeat)
    return self._derive(repeat, *arguments)


def _type_of(x: Tensor) -> str:
    return cast("str", x.type()).replace(".", "").removesuffix("Tensor") + "Type"


@operation(function=False)
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """`self.expand(other.shape)`."""
    return expand(self, other._shape)


@operation()
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """`input.expand(size)`."""
    return expand(input, tuple(size))


def expanded_to(x: Tensor, shape: Shape) -> Tensor:
    """`x` as a view of a shape that it broadcasts to; torch's error if it doesn't."""
    if x._shape == shape:
        return x
    broadcast_pair(x._shape, shape)
    return expand(x, shape)


# --- copies -------------------------------------------------------------------------------------


@operation(function=False)
def contiguous(self: Tensor, memory_format: object = None) -> Tensor:
    """The tensor itself if its memory is in the format (row-major by default), else a copy."""
    if memory_format is None:
        return self if self.is_contiguous() else self.clone()
    if memory_format is preserve_format and not in_format(self, memory_format):
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    return formatted(self, memory_format)
