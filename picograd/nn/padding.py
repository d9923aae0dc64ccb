"""Padding: more elements, or fewer, at the ends of the last dimensions.

In: a tensor and pairs of numbers, the last dimension's first. Out: a tensor. Exported by
`picograd.nn.functional`.

>>> import picograd
>>> pad(picograd.tensor([1, 2]), (1, 0)).tolist()
[0, 1, 2]
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.frontend import primitives
from picograd.frontend.autocasting import raised
from picograd.frontend.tensor import Tensor


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """More (or, for negative numbers, fewer) elements at both ends of the last dimensions."""
    if len(pad) % 2 or len(pad) // 2 > input.ndim:
        raise RuntimeError(
            "Padding length must be divisible by 2 and at most twice the number of dimensions, got "
            f"{list(pad)} for a tensor of {input.ndim} dimensions"
        )
    pairs = [(int(pad[n]), int(pad[n + 1])) for n in range(0, len(pad), 2)]
    axes = [input.ndim - 1 - n for n in range(len(pairs))]
    if mode == "constant":
        return _pad_constant(input, axes, pairs, 0 if value is None else value)
    result = input
    if mode == "replicate" or (mode == "reflect" and len(pairs) < 3):
        result = raised(input)
    return _pad_axes(result, list(zip(axes, pairs, strict=True)), mode)


def _pad_axes(x: Tensor, axes: list[tuple[int, tuple[int, int]]], mode: str) -> Tensor:
    """Padding along all axes: the last of them here, the others in each part that is joined, so
    that no axis takes a pass over memory of its own."""
    if not axes:
        return x
    *others, (axis, (before, after)) = axes
    crops = min(before, 0), min(after, 0)
    if mode == "circular":  # what is left goes around
        x = _cropped(x, axis, *crops)
    parts = _pad_parts(x, axis, max(before, 0), max(after, 0), mode)
    parts = [_pad_axes(part, others, mode) for part in parts]
    whole = parts[0] if len(parts) == 1 else primitives.concat(parts, axis)
    return whole if mode == "circular" else _cropped(whole, axis, *crops)


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """`pad` with one number, as torch has it beside its tensors."""
    pairs = [(int(pad[n]), int(pad[n + 1])) for n in range(0, len(pad), 2)]
    return _pad_constant(input, [input.ndim - 1 - n for n in range(len(pairs))], pairs, value)


def _cropped(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Fewer elements at both ends (the numbers are negative)."""
    extent = x._shape[axis]
    if extent + before + after < 0:
        raise RuntimeError(
            f"The input size {extent}, plus negative padding {before} and {after} resulted in a "
            f"negative output size, in dimension {axis}"
        )
    return x.narrow(axis, -before, extent + before + after) if before or after else x


def _pad_constant(x: Tensor, axes: list[int], pairs: list[tuple[int, int]], value: float) -> Tensor:
    before, after = [0] * x.ndim, [0] * x.ndim
    for axis, (low, high) in zip(axes, pairs, strict=True):
        extent = x._shape[axis]
        if low + high + extent < 0:
            raise RuntimeError(
                f"The input size {extent}, plus negative padding {low} and {high} resulted in a "
                f"negative output size, in dimension {axis}"
            )
        start, stop = max(0, -low), extent - max(0, -high)
        if start or stop != extent:
            x = x.narrow(axis, start, stop - start)
        before[axis], after[axis] = max(0, low), max(0, high)
    return primitives.pad(x, tuple(before), tuple(after), value)


def _pad_parts(x: Tensor, axis: int, before: int, after: int, mode: str) -> list[Tensor]:
    """What an axis consists of when it is padded by the tensor's own elements."""
    if not before and not after:
        return [x]
    extent = x._shape[axis]
    if mode == "reflect" and max(before, after) >= extent:
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but "
            f"got: padding ({before}, {after}) at dimension {axis} of input {list(x._shape)}"
        )
    if mode == "circular" and max(before, after) > extent:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    if mode not in ("circular", "replicate", "reflect"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    left, right = _sides(x, axis, before, after, mode)
    return [part for part, size in ((left, before), (x, 1), (right, after)) if size]


def _sides(x: Tensor, axis: int, before: int, after: int, mode: str) -> tuple[Tensor, Tensor]:
    """What stands in front of an axis and behind it."""
    extent = x._shape[axis]
    if mode == "circular":
        return x.narrow(axis, extent - before, before), x.narrow(axis, 0, after)
    if mode == "reflect":
        left = x.narrow(axis, min(1, extent), before)
        return left.flip(axis), x.narrow(axis, extent - 1 - after, after).flip(axis)
    left, right = list(x._shape), list(x._shape)
    left[axis], right[axis] = before, after
    return x.narrow(axis, 0, 1).expand(*left), x.narrow(axis, extent - 1, 1).expand(*right)
