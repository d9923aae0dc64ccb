"""The largest elements and the sums of windows, one axis after the other.

In: a tensor, where the windows of each axis lie (`Window`). Out: the largest elements, with a
gradient for the first of equal ones, and where they were; the sums. `picograd.nn.pooling` calls it.

The elements at one place of all windows are a slice, so a window of n elements is n slices that are
compared, and the gradient is n slices that are added: nothing is scattered. Windows that lie side
by side have a gradient of one piece: every element belongs to one of them.

>>> import picograd
>>> largest(picograd.tensor([[1.0, 3.0, 2.0]]), [Window(1, 2, 1, 0, 1, 2, 0)]).tolist()
[[3.0, 3.0]]
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from picograd.dtypes import int32
from picograd.frontend import primitives
from picograd.frontend.comparison import eq, gt, logical_or, ne
from picograd.frontend.composite import with_rule
from picograd.frontend.creation import arange, zeros
from picograd.frontend.elementwise import add, mul
from picograd.frontend.gathering import along_dim
from picograd.frontend.grad_mode import no_grad, state
from picograd.frontend.movement import stack
from picograd.frontend.selection import choose, maximum
from picograd.frontend.tensor import Tensor


class Window(NamedTuple):
    """Where the windows of one axis lie."""

    axis: int
    size: int
    stride: int
    padding: int
    dilation: int
    number: int  # of windows
    after: int  # elements to pad behind, beyond the input

    @property
    def side_by_side(self) -> bool:
        return self.stride == self.size and self.dilation == 1

    def slices(self, x: Tensor, outside: float) -> list[Tensor]:
        """The elements at each place of all windows; a number stands for those outside."""
        if self.padding or self.after:
            before, after = [0] * x.ndim, [0] * x.ndim
            before[self.axis], after[self.axis] = self.padding, self.after
            x = primitives.pad(x, tuple(before), tuple(after), outside)
        return [self._slice(x, place) for place in range(self.size)]

    def _slice(self, x: Tensor, place: int) -> Tensor:
        starts, sizes, steps = [0] * x.ndim, list(x._shape), [1] * x.ndim
        starts[self.axis], sizes[self.axis] = place * self.dilation, self.number
        steps[self.axis] = self.stride
        return primitives.slice_(x, tuple(starts), tuple(sizes), tuple(steps))

    def along(self, vector: Tensor, rank: int, behind: int = 0) -> Tensor:
        """One number a window (or for what lies so many axes behind), to be broadcast."""
        return vector.reshape([-1 if n == self.axis + behind else 1 for n in range(rank)])


def largest(x: Tensor, windows: Sequence[Window]) -> Tensor:
    """The largest element of every window: the last axis goes first, so that of equal elements the
    first in memory has the gradient."""
    recorded = state.enabled and x._edge() is not None
    for window in reversed(windows):
        x = _recorded(x, window) if recorded else _maximum(x, window)
    return x


def places(x: Tensor, windows: Sequence[Window]) -> Tensor:
    """Where the largest elements are, counted through the axes of the windows (the last ones)."""
    rank, factor, found = x.ndim, 1, None
    with no_grad():
        for window in reversed(windows):
            which, best = _compare(x, window)
            first = arange(window.number, device=x.device) * window.stride - window.padding
            here = add(mul(which.long(), window.dilation), window.along(first, rank))
            before = None if found is None else along_dim(found, window.axis, here)
            here = mul(here, factor)
            found = here if before is None else add(before, here)
            factor *= x._shape[window.axis]
            x = best
    assert found is not None
    return found


def total(x: Tensor, windows: Sequence[Window]) -> Tensor:
    """The sum of every window."""
    for window in reversed(windows):
        x = _total(x, window)
    return x


def _maximum(x: Tensor, window: Window) -> Tensor:
    return functools.reduce(maximum, window.slices(x, _lowest(x)))


def _lowest(x: Tensor) -> float:
    return -math.inf if x.dtype.is_float else x.dtype.lowest


def _total(x: Tensor, window: Window) -> Tensor:
    extent = x._shape[window.axis]

    def rule(gradient: Tensor) -> tuple[Tensor]:
        if window.side_by_side:
            return (_unrolled(_places(gradient, window), window, extent),)
        return (_spread([gradient] * window.size, window, extent),)

    def compute() -> Tensor:
        return functools.reduce(add, window.slices(x.detach(), 0))

    return with_rule("AvgPoolBackward0", compute, (x,), rule, ())


def _compare(x: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Along one axis: the place of the first largest element in its window (of NaNs: the last), and
    the element."""
    best, *others = window.slices(x, _lowest(x))
    which = zeros(best._shape, dtype=int32, device=x.device)
    for place, one in enumerate(others, 1):
        better = gt(one, best)
        better = logical_or(better, ne(one, one)) if x.dtype.is_float else better
        best, which = choose(better, one, best), choose(better, place, which)
    if window.padding:  # where all elements are the lowest number, the first real one is chosen
        starts = arange(window.number, dtype=int32, device=x.device) * -window.stride
        outside = (starts + (window.padding + window.dilation - 1)) // window.dilation
        which = maximum(which, window.along(outside.clamp(min=0), x.ndim).expand(which._shape))
    return which, best


def _recorded(x: Tensor, window: Window) -> Tensor:
    """The largest elements along one axis, with a gradient."""
    extent = x._shape[window.axis]
    with no_grad():
        which, best = _compare(x.detach(), window)

    def rule(gradient: Tensor, which: Tensor) -> tuple[Tensor]:
        if window.side_by_side:
            place = arange(window.size, dtype=int32, device=gradient.device)
            chosen = eq(_places(which, window), window.along(place, x.ndim + 1, 1))
            parts = choose(chosen, _places(gradient, window), 0)
            return (_unrolled(parts, window, extent),)
        parts = [choose(eq(which, place), gradient, 0) for place in range(window.size)]
        return (_spread(parts, window, extent),)

    return with_rule("MaxPoolBackward0", lambda: best, (x,), rule, (which,))


def _places(x: Tensor, window: Window) -> Tensor:
    """What belongs to a window, at each of its places: an axis more."""
    shape = (*x._shape[: window.axis + 1], window.size, *x._shape[window.axis + 1 :])
    return x.unsqueeze(window.axis + 1).expand(shape)


def _unrolled(x: Tensor, window: Window, extent: int) -> Tensor:
    """The places of windows side by side, one after the other: what lies in the input."""
    axis = window.axis
    flat = x.flatten(axis, axis + 1)
    kept = flat.narrow(axis, window.padding, min(extent, flat._shape[axis] - window.padding))
    if kept._shape[axis] == extent:
        return kept
    before, after = [0] * kept.ndim, [0] * kept.ndim
    after[axis] = extent - kept._shape[axis]
    return primitives.pad(kept, tuple(before), tuple(after), 0)


def _spread(gradients: list[Tensor], window: Window, extent: int) -> Tensor:
    """What each place of the windows has as its gradient, added up at the elements.

    Elements whose positions leave the same rest by the stride are contiguous slices together.
    """
    axis, stride, gradient = window.axis, window.stride, gradients[0]
    count = -(-extent // stride)
    rests: list[Tensor | None] = [None] * stride
    for place, one in enumerate(gradients):
        shift, rest = divmod(place * window.dilation - window.padding, stride)
        part, known = _moved(one, axis, shift, count), rests[rest]
        rests[rest] = part if known is None else add(known, part)
    shape = (*gradient._shape[:axis], count, *gradient._shape[axis + 1 :])
    nothing = zeros(shape, dtype=gradient.dtype, device=gradient.device)
    parts = [nothing if rest is None else rest for rest in rests]
    if stride == 1:
        return parts[0]
    whole = stack(parts, axis + 1)
    flat = whole.reshape((*shape[:axis], count * stride, *shape[axis + 1 :]))
    return flat.narrow(axis, 0, extent)


def _moved(x: Tensor, axis: int, shift: int, count: int) -> Tensor:
    """Element n of an axis at n + shift of `count`; what falls outside is dropped."""
    start, stop = max(0, -shift), min(x._shape[axis], count - shift)
    if stop <= start:
        shape = (*x._shape[:axis], count, *x._shape[axis + 1 :])
        return zeros(shape, dtype=x.dtype, device=x.device)
    kept = x.narrow(axis, start, stop - start)
    before, after = [0] * x.ndim, [0] * x.ndim
    before[axis], after[axis] = start + shift, count - stop - shift
    return primitives.pad(kept, tuple(before), tuple(after), 0)
