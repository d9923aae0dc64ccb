"""Memory formats: the order in which the axes of images lie in memory.

In: a tensor and what a program passed as `memory_format`. Out: the tensor in that format. The two
channels-last formats are the strides of a view of a row-major tensor, so that `stride` and
`is_contiguous(memory_format=...)` say what is so. No operation keeps a format by itself: results
are row-major, whatever their operands are.

>>> import picograd
>>> x = picograd.zeros(2, 3, 4, 5).to(memory_format=picograd.channels_last)
>>> x.stride(), x.is_contiguous(memory_format=picograd.channels_last), x.is_contiguous()
((60, 1, 15, 3), True, False)
"""

from __future__ import annotations

from picograd.frontend import view
from picograd.frontend.tensor import Tensor


class MemoryFormat:
    """One of `FORMATS`; `order` are the axes from the outermost in memory to the innermost."""

    __slots__ = ("name", "order")

    def __init__(self, name: str, order: tuple[int, ...] = ()) -> None:
        self.name, self.order = name, order

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (_named, (self.name,))


contiguous_format = MemoryFormat("contiguous_format")
preserve_format = MemoryFormat("preserve_format")
channels_last = MemoryFormat("channels_last", (0, 2, 3, 1))
channels_last_3d = MemoryFormat("channels_last_3d", (0, 2, 3, 4, 1))
FORMATS = (contiguous_format, preserve_format, channels_last, channels_last_3d)


def _named(name: str) -> MemoryFormat:
    return next(one for one in FORMATS if one.name == name)


def checked(memory_format: object) -> MemoryFormat:
    """What was passed, if it is a format."""
    if not isinstance(memory_format, MemoryFormat):
        raise TypeError(
            f"argument 'memory_format' must be torch.memory_format, not "
            f"{type(memory_format).__name__}"
        )
    return memory_format


def in_format(x: Tensor, memory_format: object) -> bool:
    """Whether the strides are those of the format, for a tensor of the format's rank."""
    order = checked(memory_format).order
    if not order:
        return x._strides is None or view.is_contiguous(x._shape, x._strides)
    if x.ndim != len(order):
        return False
    strides = x.stride()
    shape = tuple([x._shape[axis] for axis in order])
    return view.is_contiguous(shape, tuple([strides[axis] for axis in order]))


def formatted(x: Tensor, memory_format: object) -> Tensor:
    """The tensor itself if it is in the format, else a copy that is."""
    if memory_format is None or memory_format is preserve_format:
        return x
    wanted = checked(memory_format)
    if wanted.order and x.ndim != len(wanted.order):
        raise RuntimeError(
            f"required rank {len(wanted.order)} tensor to use {wanted.name} format, got shape "
            f"{list(x._shape)}"
        )
    return x if in_format(x, wanted) else copied(x, wanted)


def copied(x: Tensor, memory_format: object) -> Tensor:
    """A copy in a format."""
    order = checked(memory_format).order
    if not order:
        return x.clone()
    if x.ndim != len(order):
        return formatted(x, memory_format)  # raises
    inverse = tuple([order.index(axis) for axis in range(len(order))])
    return x.permute(*order).clone().permute(*inverse)


EXPORTS = {"memory_format": MemoryFormat, **{one.name: one for one in FORMATS}}
