"""Gradients that arrive in pieces: those of parts of one tensor are joined, not added up.

In: the gradients that have arrived at one place, in their order. Out: their sum. The gradient of a
part is the part's, padded with zeros; where such parts don't overlap (chunks, rows by time, pieces
of a split) their sum is all of them side by side: one pass over memory, and not one for each.
Called by `frontend/autograd.py`.

>>> import picograd
>>> x = picograd.tensor([1.0, 2.0, 3.0, 4.0])
>>> ends = [primitives.pad(x[:2], (0,), (2,)), primitives.pad(x[3:], (3,), (0,))]
>>> total(ends), total(ends).node.op.name
(tensor([1., 2., 0., 4.]), 'UPDATE')
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from picograd.frontend import primitives
from picograd.frontend.shared_weights import summed_products
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.build import uniform_constant
from picograd.graph.node import Node
from picograd.graph.ops import Op, PadAttr, SliceAttr

# A part of a whole and where it stands: its first element along each axis.
_Piece = tuple[Tensor, tuple[int, ...]]


def total(gradients: Sequence[Tensor]) -> Tensor:
    """The sum of at least one gradient."""
    if len(gradients) == 1:
        return gradients[0]
    whole: list[Tensor] = []
    pieces: list[_Piece] = []
    for gradient in gradients:
        found = _pieces(gradient)
        if found is None:
            whole.append(gradient)
        else:
            pieces += found
    if pieces:
        beside = _side_by_side(pieces)
        if beside is None:
            whole = list(gradients)
        else:
            whole.append(_joined(beside, gradients[0]))
    merged = summed_products(whole)
    if merged is not None:
        return merged
    result = whole[0]
    for gradient in whole[1:]:
        result = primitives.elementwise(Op.ADD, result, gradient)
    return result


def _pieces(gradient: Tensor) -> list[_Piece] | None:
    """What a gradient that is zero elsewhere is made of; None if it is no such gradient."""
    if gradient._meta is not None:
        return None  # it can be differentiated, and its steps not be taken apart
    node, found = gradient.node, cast("list[_Piece]", [])
    while node.op is Op.UPDATE and node.buffer is None:
        part = cast("SliceAttr", node.attr)
        if any(step != 1 for step in part.steps):
            return None
        found.append((wrap(node.srcs[1]), cast("tuple[int, ...]", part.starts)))
        node = node.srcs[0]
    if found:
        return found[::-1] if _is_zero(node) and _side_by_side(found) is not None else None
    if node.op is not Op.PAD or node.buffer is not None:
        return None
    attr = cast("PadAttr", node.attr)
    return [(wrap(node.srcs[0]), attr.before)] if attr.value.value == 0 else None


def _is_zero(node: Node) -> bool:
    number = uniform_constant(node)
    return number is not None and number.value == 0


def _side_by_side(pieces: list[_Piece]) -> list[_Piece] | None:
    """The pieces ordered along the one axis on which they differ; those of one place are added.

    None if they lie otherwise, or overlap.
    """
    shape, first = pieces[0][0]._shape, pieces[0][1]
    axes = {
        axis
        for piece, starts in pieces
        for axis, start in enumerate(starts)
        if start != first[axis] or piece._shape[axis] != shape[axis]
    }
    if len(axes) > 1:
        return None
    axis = axes.pop() if axes else 0
    found: list[_Piece] = []
    end = 0
    for piece, starts in sorted(pieces, key=lambda one: one[1][axis]):
        if found and starts == found[-1][1] and piece._shape == found[-1][0]._shape:
            found[-1] = (primitives.elementwise(Op.ADD, found[-1][0], piece), starts)
        elif starts[axis] < end:
            return None
        else:
            found.append((piece, starts))
            end = starts[axis] + piece._shape[axis]
    return found


def _joined(pieces: list[_Piece], like: Tensor) -> Tensor:
    """Zeros with the pieces in their places."""
    if len(pieces) == 1:
        piece, starts = pieces[0]
        sides = zip(like._shape, starts, piece._shape, strict=True)
        return primitives.pad(piece, starts, tuple([n - a - k for n, a, k in sides]))
    result = primitives.constant(0, like.dtype, like._storage.node.device, like._shape)
    for piece, starts in pieces:
        ones = (1,) * len(starts)
        result = primitives.update(result, piece, starts, piece._shape, ones)
    return result
