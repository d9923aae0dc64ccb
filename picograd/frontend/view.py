"""Views: chains of movement steps over a storage, and the strides torch would report for them.

In: a view step asked for by a Tensor method. Out: the simplified chain (`append`), the node that
reading gives (`read`), the node of the whole storage after a write through the view (`written`),
and torch's stride arithmetic (`contiguous_strides`, `view_strides`).

A step is `(op, attr, inverse)`: RESHAPE, PERMUTE, SLICE, EXPAND or BITCAST with its attribute, and
the attribute of the way back (the shape before for RESHAPE, SLICE and EXPAND).

>>> contiguous_strides((2, 3, 4))
(12, 4, 1)
>>> view_strides((2, 3), (1, 2), (6,)) is None
True
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from picograd.dtypes import DType
from picograd.graph.node import Node, make
from picograd.graph.ops import AxesAttr, CastAttr, Op, Shape, ShapeAttr, SliceAttr

StepAttr = ShapeAttr | AxesAttr | SliceAttr | CastAttr
Step = tuple[Op, StepAttr, StepAttr]
Steps = tuple[Step, ...]
Strides = tuple[int, ...]


class SeveralViews(tuple):
    """The steps of a view that came with others (`split`, `unbind`): autograd lets nobody write it.

    Torch has this rule, since such views share one step of its tape.
    """

    __slots__ = ()


# What the tape notes for a view made under no_grad: it is not a differentiable view of anything.
NO_GRAD_VIEW: Steps = ((Op.RESHAPE, ShapeAttr(()), ShapeAttr(())),)
# What `x.data` has as its steps from a base: autograd doesn't notice writes through it.
DATA: Steps = ((Op.RESHAPE, ShapeAttr((0,)), ShapeAttr((0,))),)

shape_attr = lru_cache(maxsize=4096)(ShapeAttr)


def reshape_step(before: Shape, after: Shape) -> Step:
    """The step that reads `before` as `after`, in row-major order."""
    return (Op.RESHAPE, shape_attr(after), shape_attr(before))


def permute_step(order: tuple[int, ...]) -> Step:
    """The step whose axis k is axis `order[k]` of what it reads."""
    inverse = [0] * len(order)
    for position, axis in enumerate(order):
        inverse[axis] = position
    return (Op.PERMUTE, AxesAttr(order), AxesAttr(tuple(inverse)))


def slice_step(
    before: Shape, starts: tuple[int, ...], sizes: tuple[int, ...], steps: tuple[int, ...]
) -> Step:
    """The step that takes element `start + k*step` for `k < size` of each axis."""
    return (Op.SLICE, SliceAttr(starts, sizes, steps), shape_attr(before))


def expand_step(before: Shape, after: Shape) -> Step:
    """The step that repeats axes of extent 1."""
    return (Op.EXPAND, shape_attr(after), shape_attr(before))


def bitcast_step(before: DType, after: DType) -> Step:
    """The step that reads the same bits as another dtype of the same size."""
    return (Op.BITCAST, CastAttr(after), CastAttr(before))


def append(steps: Steps, step: Step) -> Steps:
    """The chain with one more step; two neighbours of one kind become one, no-ops vanish.

    An expansion stays behind what can come before it, so that part of an expanded tensor is
    known not to repeat what isn't repeated there.
    """
    if not steps:
        return () if _is_identity(step) else (step,)
    op, attr, _ = step
    last_op, last_attr, last_inverse = steps[-1]
    if last_op is Op.EXPAND and op is not Op.EXPAND:
        before = cast("ShapeAttr", last_inverse).shape
        exchanged = _before_expansion(before, cast("ShapeAttr", last_attr).shape, step)
        if exchanged is not None:
            first, second = exchanged
            return append(append(steps[:-1], first), second)
    if op is last_op and op is not Op.BITCAST:
        if op is Op.PERMUTE:
            before = cast("AxesAttr", last_attr).axes
            step = permute_step(tuple([before[axis] for axis in cast("AxesAttr", attr).axes]))
        elif op is Op.SLICE:
            step = (
                op,
                _compose(cast("SliceAttr", last_attr), cast("SliceAttr", attr)),
                last_inverse,
            )
        else:
            step = (op, attr, last_inverse)
        steps = steps[:-1]
        return append(steps, step) if steps else append((), step)
    return steps if _is_identity(step) else (*steps, step)


def _compose(first: SliceAttr, second: SliceAttr) -> SliceAttr:
    """One slice that does what `first` and then `second` do."""
    starts = cast("tuple[int, ...]", first.starts)
    inner = cast("tuple[int, ...]", second.starts)
    return SliceAttr(
        tuple(
            [
                a + b * s if n else 0
                for a, b, s, n in zip(starts, inner, first.steps, second.sizes, strict=True)
            ]
        ),
        second.sizes,
        tuple([a * b for a, b in zip(first.steps, second.steps, strict=True)]),
    )


def _before_expansion(before: Shape, after: Shape, step: Step) -> tuple[Step, Step] | None:
    """A step and an expansion that do what an expansion and then `step` do."""
    op, attr, _ = step
    if op is Op.PERMUTE:
        order = cast("AxesAttr", attr).axes
        narrow, wide = tuple([before[n] for n in order]), tuple([after[n] for n in order])
        return step, expand_step(narrow, wide)
    if op is Op.SLICE:
        given = cast("SliceAttr", attr)
        starts, sizes, strides = [], [], []
        for n, (low, high) in enumerate(zip(before, after, strict=True)):
            repeated = low != high
            starts.append(0 if repeated else given.starts[n])
            sizes.append(min(given.sizes[n], 1) if repeated else given.sizes[n])
            strides.append(1 if repeated else given.steps[n])
        narrow = tuple(sizes)
        first = slice_step(before, tuple(starts), narrow, tuple(strides))
        return first, expand_step(narrow, given.sizes)
    if op is Op.RESHAPE:
        target = cast("ShapeAttr", attr).shape
        if [n for n in after if n != 1] != [n for n in target if n != 1]:
            return None
        kept = iter([low for low, high in zip(before, after, strict=True) if high != 1])
        narrow = tuple([1 if n == 1 else next(kept) for n in target])
        return reshape_step(before, narrow), expand_step(narrow, target)
    return None


def _is_identity(step: Step) -> bool:
    op, attr, inverse = step
    if op is Op.SLICE:
        sizes = cast("SliceAttr", attr).sizes
        return sizes == cast("ShapeAttr", inverse).shape
    if op is Op.PERMUTE:
        axes = cast("AxesAttr", attr).axes
        return axes == tuple(range(len(axes)))
    return attr == inverse


def read(node: Node, steps: Steps) -> Node:
    """What the view shows of a storage whose contents are `node`."""
    for op, attr, _ in steps:
        node = make(op, (node,), attr)
    return node


def first_of(shape: Shape) -> SliceAttr:
    """The slice that undoes an expansion of equal elements."""
    return SliceAttr((0,) * len(shape), shape, (1,) * len(shape))


def written(base: Node, steps: Steps, value: Node, uniform: bool = False) -> Node:
    """The storage's contents after `value` was stored through the view.

    All the elements of a `uniform` value are equal. For other values it raises torch's
    RuntimeError if several elements of the view share one memory location.
    """
    if 0 in value.shape:
        return base
    last_slice = -1
    for position, (op, _, _) in enumerate(steps):
        if op is Op.SLICE:
            last_slice = position
    partial = [base]
    for op, attr, _ in steps[: max(last_slice, 0)]:
        partial.append(make(op, (partial[-1],), attr))
    for position in range(len(steps) - 1, -1, -1):
        op, attr, inverse = steps[position]
        if op is Op.SLICE:
            value = make(Op.UPDATE, (partial[position], value), attr)
        elif op is Op.EXPAND and uniform and position > last_slice:
            value = make(Op.SLICE, (value,), first_of(cast("ShapeAttr", inverse).shape))
        elif op is Op.EXPAND:
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to "
                "a single memory location. Please clone() the tensor before performing the "
                "operation."
            )
        else:
            value = make(op, (value,), inverse)
    return value


# --- strides ------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def contiguous_strides(shape: Shape) -> Strides:
    """Row-major strides, in elements; an extent of 0 counts as 1, as in torch."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    return tuple(strides)


def is_contiguous(shape: Shape, strides: Strides) -> bool:
    """Whether memory order is row-major order (strides of axes of extent 1 don't matter)."""
    if 0 in shape:
        return True
    expected = 1
    for extent, stride in zip(reversed(shape), reversed(strides), strict=True):
        if extent != 1:
            if stride != expected:
                return False
            expected *= extent
    return True


def view_strides(shape: Shape, strides: Strides, target: Shape) -> Strides | None:
    """The strides of the same memory seen in shape `target`; None if no strides can do it.

    The target must have as many elements. Runs of axes that lie behind each other in memory are
    merged, then cut anew.
    """
    if 0 in shape:
        return strides if shape == target else contiguous_strides(target)
    if not shape:
        return (1,) * len(target)
    result = [0] * len(target)
    position = len(target) - 1
    run = 1
    inner = strides[-1]
    for axis in range(len(shape) - 1, -1, -1):
        run *= shape[axis]
        ends = axis == 0 or (shape[axis - 1] != 1 and strides[axis - 1] != run * inner)
        if not ends:
            continue
        taken = 1
        while position >= 0 and (taken < run or target[position] == 1):
            result[position] = taken * inner
            taken *= target[position]
            position -= 1
        if taken != run:
            return None
        if axis > 0:
            inner = strides[axis - 1]
            run = 1
    return tuple(result) if position == -1 else None
