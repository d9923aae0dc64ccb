"""Advanced indexing: reading and writing by integer tensors, lists and bool masks.

In: what stands between the brackets of `x[...]`. Out: tensors made by GATHER, writes made by
SCATTER, with the position rules of NumPy and torch. Named functions (`gather`, `scatter`, ...) are
in `gathering.py`. Core's `Tensor.__getitem__` calls `advanced_getitem` and `advanced_setitem` when
an index is more than integers, slices, None and Ellipsis.

Indices that are known when the call is made are checked there and then; others when the program
runs. Those that lie in the host's memory go to the device of what they index when they have been
checked. Masks are realised, except where one number is written (`x[x < 0] = 0` stays lazy).

>>> import picograd
>>> x = picograd.arange(6).reshape(2, 3)
>>> x[[1, 0], [2, 0]]
tensor([5, 0])
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex, cast

import numpy as np

from picograd.dtypes import bool_, int64, uint8
from picograd.frontend import batching, known, primitives
from picograd.frontend.elementwise import filled_like
from picograd.frontend.hostdata import from_array, set_places, unravelled, values
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import broadcast_pair, broadcast_to, type_name
from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor
from picograd.graph.infer import numbered
from picograd.graph.ops import IotaAttr, Op, Shape

Index = object
SMALL = 65536
_FULL = slice(None)


# --- indices -------------------------------------------------------------------------------------


def known_range(index: Tensor) -> tuple[int, int] | None:
    """The least and greatest index if they can be told without computing anything."""
    node = index.node
    if isinstance(node.attr, IotaAttr):
        return (0, node.attr.extent - 1)
    if not node.size:
        return (0, -1)
    array = known.contents(node) if node.size <= SMALL else None
    if array is None:
        return None
    return int(np.minimum.reduce(array, axis=None)), int(np.maximum.reduce(array, axis=None))


def prepared(
    index: Tensor, extent: int, dim: int, wrapping: bool = True, device: str | None = None
) -> tuple[Tensor, bool]:
    """An index tensor as int64, negative ones wrapped, and whether it is known to be inside; on the
    device that is named.

    Raises torch's IndexError for known indices outside.
    """
    if index.dtype.is_inexact:
        index = primitives.cast(index.detach(), int64)
    bounds = known_range(index)
    if device is not None and index._storage.node.device != device:
        index = index.to(device)
    index = primitives.cast(index, int64)
    lowest = -extent if wrapping else 0
    if bounds is not None:
        for found in bounds if bounds[1] >= bounds[0] else ():
            if not lowest <= found < extent:
                raise IndexError(
                    f"index {found} is out of bounds for dimension {dim} with size {extent}"
                )
        if bounds[0] >= 0:
            return index, True
    if not wrapping:
        return index, bounds is not None
    negative = primitives.elementwise(Op.LT, index, filled_like(index, 0))
    moved = primitives.elementwise(Op.ADD, index, filled_like(index, extent))
    return primitives.elementwise(Op.WHERE, negative, moved, index), bounds is not None


def _as_index(item: Index) -> Index:
    """Lists, ranges and arrays as tensors of the CPU; anything else as it is."""
    if isinstance(item, np.ndarray) or (isinstance(item, np.generic) and item.dtype == bool):
        return from_array(np.array(item), "cpu")
    if isinstance(item, (list, tuple, range)):
        items = [one.item() if isinstance(one, Tensor) else one for one in item]
        array = np.array(items)
        if not array.size:
            array = array.astype(np.int64)
        if array.dtype.kind not in "iub":
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and long, int, byte or bool "
                f"tensors are valid indices, not a list of {array.dtype}"
            )
        return from_array(array, "cpu")
    return item


def _check_place(index: Tensor, device: str) -> None:
    """Raise RuntimeError for an index that is neither beside what it indexes nor on the CPU."""
    if index._storage.node.device not in (device, "cpu"):
        raise RuntimeError(
            "indices should be either on cpu or on the same device as the indexed tensor "
            f"({numbered(device)})"
        )


def _is_mask(item: Index) -> bool:
    return isinstance(item, bool) or (
        isinstance(item, Tensor) and (item.dtype is bool_ or item.dtype is uint8)
    )


def _consumed(item: Index) -> int:
    """How many dimensions of the tensor an index item stands for."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if isinstance(item, Tensor) and _is_mask(item) else 1


def _complete(x: Tensor, index: Index) -> list[Index]:
    """The index as one item per dimension and new dimension: Ellipsis and the rest spelled out."""
    device = x._storage.node.device
    items = list(index) if isinstance(index, tuple) else [index]
    items = [_as_index(item) for item in items]
    items = [
        int(item.item())
        if isinstance(item, Tensor)
        and not item.ndim
        and item.dtype.is_integer
        and not _is_mask(item)
        and not batching.stands_on_hole(item.node)
        else item
        for item in items
    ]
    items = [
        operator.index(cast("SupportsIndex", item))
        if not isinstance(item, (bool, Tensor)) and hasattr(item, "__index__")
        else item
        for item in items
    ]
    for item in items:
        if not isinstance(item, Tensor):
            continue
        _check_place(item, device)
        if not (item.dtype.is_integer or item.dtype is bool_):
            raise IndexError(
                "tensors used as indices must be long, int, byte or bool tensors, not "
                + type_name(item.dtype)
            )
    used = sum(_consumed(item) for item in items)
    if used > x.ndim:
        raise IndexError(
            f"too many indices for tensor of dimension {x.ndim} (shape {list(x._shape)})"
        )
    rest: list[Index] = [_FULL] * (x.ndim - used)
    for number, item in enumerate(items):
        if item is Ellipsis:
            if any(other is Ellipsis for other in items[number + 1 :]):
                raise IndexError("an index can only have a single ellipsis ('...')")
            return items[:number] + rest + items[number + 1 :]
    return items + rest


def _mask_indices(x: Tensor, mask: Tensor, dim: int) -> list[Tensor]:
    """A mask as one index vector per dimension that it covers."""
    for n, extent in enumerate(mask._shape):
        if x._shape[dim + n] != extent:
            raise IndexError(
                f"The shape of the mask {list(mask._shape)} at index {n} does not match the shape "
                f"of the indexed tensor {list(x._shape)} at index {dim + n}"
            )
    if mask._storage.node.device == "cuda":
        from picograd.frontend import selecting

        return selecting.axes_of(mask)
    return [from_array(np.ascontiguousarray(one), "cpu") for one in np.nonzero(values(mask))]


class Selection:
    """An index taken apart: a basic view of the tensor, and the advanced part on top of it.

    view      the tensor after integers, slices and None
    axes      which dims of the view are indexed by tensors
    indices   their index tensors, broadcast to one shape, wrapped
    checked   all indices are known to be inside
    place     where the indices' dims stand in the result
    """

    __slots__ = ("axes", "checked", "indices", "place", "view")

    def __init__(self, x: Tensor, index: Index) -> None:
        items = _complete(x, index)
        basic: list[Index] = []
        advanced: list[tuple[int, Tensor]] = []
        masks: list[Tensor] = []
        source = target = 0
        for item in items:
            if isinstance(item, bool):
                item = from_array(np.array(item), "cpu")
            if isinstance(item, Tensor):
                if _is_mask(item) and not item.ndim:
                    # A single truth value: a new dim of extent 1 or 0.
                    basic.append(None)
                    found = np.flatnonzero(values(item))
                    advanced.append((target, from_array(found, "cpu")))
                    target += 1
                    continue
                single = [item] if not _is_mask(item) else _mask_indices(x, item, source)
                masks += single if _is_mask(item) else []
                basic.extend([_FULL] * len(single))
                for one in single:
                    advanced.append((target, one))
                    target, source = target + 1, source + 1
                continue
            basic.append(item)
            source += item is not None
            target += not isinstance(item, int)
        self.view = (
            x
            if all(item == _FULL for item in basic if item is not None)
            and not any(item is None for item in basic)
            else x[tuple(basic)]
        )
        self._place(advanced, masks)

    def _place(self, advanced: list[tuple[int, Tensor]], inside: list[Tensor]) -> None:
        """`inside`: indices that point inside by what they are."""
        shape: Shape = ()
        try:
            for _, one in advanced:
                shape = broadcast_pair(shape, one._shape)
        except RuntimeError as error:
            shapes = ", ".join(str(list(one._shape)) for _, one in advanced)
            raise IndexError(
                "shape mismatch: indexing tensors could not be broadcast together with shapes "
                + shapes
            ) from error
        self.axes = tuple(axis for axis, _ in advanced)
        self.checked = True
        indices = []
        device = self.view._storage.node.device
        for axis, one in advanced:
            known = any(one is other for other in inside)
            if not known or one._storage.node.device != device:
                one, known = prepared(one, self.view._shape[axis], axis, device=device)
            indices.append(broadcast_to(one, shape))
            self.checked = self.checked and known
        self.indices = tuple(indices)
        first = self.axes[0]
        together = self.axes == tuple(range(first, first + len(self.axes)))
        self.place = first if together else 0

    @property
    def rank(self) -> int:
        """How many dims the indices have."""
        return self.indices[0].ndim

    def read(self) -> Tensor:
        """What the index selects."""
        found = primitives.gather(self.view, self.axes, self.indices, self.checked)
        return to_place(found, self.rank, self.place)

    def shape(self) -> Shape:
        """The shape of what the index selects."""
        rest = [n for axis, n in enumerate(self.view._shape) if axis not in self.axes]
        return (*rest[: self.place], *self.indices[0]._shape, *rest[self.place :])

    def ordered(self, value: Tensor) -> Tensor:
        """A value of the selected shape with the indices' dims in front, as SCATTER wants it."""
        return from_place(value, self.rank, self.place)


def to_place(x: Tensor, number: int, place: int) -> Tensor:
    """The first `number` dims moved to stand from dim `place` on."""
    if not place or not number:
        return x
    rest = list(range(number, x.ndim))
    return primitives.permute(x, (*rest[:place], *range(number), *rest[place:]))


def from_place(x: Tensor, number: int, place: int) -> Tensor:
    """The inverse of `to_place`."""
    if not place or not number:
        return x
    inside = range(place, place + number)
    return primitives.permute(x, (*inside, *range(place), *range(place + number, x.ndim)))


# --- x[...] and x[...] = v -----------------------------------------------------------------------


def advanced_getitem(x: Tensor, index: Index) -> Tensor:
    """`x[index]` for an index that holds tensors, lists, arrays or bools."""
    mask = _lone_mask(x, index)
    if mask is None or not mask.ndim:
        return _settled(x, index).read()
    # One index into the dims that the mask covers as one, all of them known to be inside.
    found = set_places(mask)
    flat = x.reshape((mask.numel(), *x._shape[mask.ndim :]))
    return primitives.gather(flat, (0,), (found,), True)


def _settled(x: Tensor, index: Index) -> Selection | _Basic:
    items = _complete(x, index)
    if any(isinstance(item, (Tensor, bool)) for item in items):
        return Selection(x, tuple(items))
    return _Basic(x[tuple(items)])


class _Basic:
    """An index that turned out to need no tensors: a 0-d integer tensor counts as an integer."""

    def __init__(self, view: Tensor) -> None:
        self.view = view

    def read(self) -> Tensor:
        return self.view


def _converted(x: Tensor, value: object, check: bool) -> Tensor:
    """The right-hand side of an assignment in the dtype and on the device of `x`."""
    from picograd.frontend.interop import tensor

    device = x._storage.node.device
    if isinstance(value, (bool, int, float, complex)):
        return primitives.constant(value, x.dtype, device)
    given = value if isinstance(value, Tensor) else tensor(value, device=device)
    if check and isinstance(value, Tensor) and given.dtype is not x.dtype and given.ndim:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{type_name(x.dtype)} for the destination and {type_name(given.dtype)} for the source."
        )
    if given._storage.node.device != device:
        given = given.to(device)
    return primitives.cast(given, x.dtype)


def advanced_setitem(x: Tensor, index: Index, value: object) -> None:
    """`x[index] = value` for an index that holds tensors, lists, arrays or bools."""
    x._check_inplace()
    filler = _converted(x, value, True)
    mask = _lone_mask(x, index)
    if mask is not None and filler.numel() == 1:
        wide = primitives.reshape(mask, mask._shape + (1,) * (x.ndim - mask.ndim))
        condition = broadcast_to(wide, x._shape)
        one = broadcast_to(primitives.reshape(filler, ()), x._shape)
        x._assign(primitives.elementwise(Op.WHERE, condition, one, x))
        return
    selection = _settled(x, index)
    if isinstance(selection, _Basic):
        selection.view._assign(broadcast_to(filler, selection.view._shape))
        return
    put(selection, filler, accumulate=False)


def put(selection: Selection, filler: Tensor, accumulate: bool) -> None:
    """Write (or add) a value where a selection points, through its view."""
    shape = selection.shape()
    while filler.ndim > len(shape) and filler._shape[0] == 1:
        filler = primitives.reshape(filler, filler._shape[1:])
    try:
        fits = broadcast_pair(filler._shape, shape) == shape
    except RuntimeError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(filler._shape)} cannot be broadcast to "
            f"indexing result of shape {list(shape)}"
        )
    value = selection.ordered(broadcast_to(filler, shape))
    view = selection.view
    if accumulate:
        from picograd.graph.ops import Combiner

        result = primitives.scatter_reduce(
            Combiner.SUM, view, value, selection.axes, selection.indices, selection.checked
        )
    else:
        result = primitives.scatter(
            view, value, selection.axes, selection.indices, selection.checked
        )
    view._assign(result)


def _lone_mask(x: Tensor, index: Index) -> Tensor | None:
    """The mask of `x[mask]`, if it covers leading dims of `x`; None for other indices."""
    if isinstance(index, tuple):
        if len(index) != 1:
            return None
        index = index[0]
    item = _as_index(index)
    if not isinstance(item, Tensor) or not _is_mask(item):
        return None
    if item.ndim > x.ndim:
        return None
    if item._shape != x._shape[: item.ndim]:
        _mask_indices(x, item, 0)
        return None
    device = x._storage.node.device
    _check_place(item, device)
    return primitives.cast(item if item._storage.node.device == device else item.to(device), bool_)


# --- index_put and what masks select -------------------------------------------------------------


def _selection(x: Tensor, indices: Sequence[Tensor | None]) -> Selection:
    return Selection(x, tuple(_FULL if index is None else index for index in indices))


@operation(function=False)
def index_put_(
    input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """`input[indices] = values`, or `+=` with every repetition counted."""
    input._check_inplace()
    put(_selection(input, indices), _converted(input, values, True), accumulate)
    return input


@operation()
def index_put(
    input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """A copy with `values` at the indices (added there with `accumulate`)."""
    result = input.clone()
    put(_selection(result, indices), _converted(result, values, True), accumulate)
    return result


@operation(out=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    """Where the elements are not zero: a row per element, or a vector per dimension."""
    device = input._storage.node.device
    if device == "cuda" and input.ndim and not input.dtype.is_complex:
        from picograd.frontend.selecting import axes_of, rows_of

        return tuple(axes_of(input)) if as_tuple else rows_of(input)
    array = values(input)
    found = np.flatnonzero(array)
    if as_tuple:
        return tuple(from_array(one, device) for one in unravelled(found, array.shape or (1,)))
    if array.ndim:
        table = np.empty((found.size, array.ndim), np.int64)
        for column, one in zip(table.T, unravelled(found, array.shape), strict=True):
            column[:] = one
        return from_array(table, device)
    return from_array(np.zeros((int(array != 0), 0), np.int64), device)


@operation()
def argwhere(input: Tensor) -> Tensor:
    """Where the elements are not zero, a row per element."""
    result = nonzero(input)
    assert isinstance(result, Tensor)
    return result


@operation(out=True)
@recorded_as("MaskedSelectBackward0")
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, as a vector."""
    if mask.dtype is not bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_pair(input._shape, mask._shape)
    wide = broadcast_to(input, shape)
    if not shape:
        return advanced_getitem(wide.reshape((1,)), mask.reshape((1,)))
    return advanced_getitem(wide, broadcast_to(mask, shape))


@operation(inplace=True)
@recorded_as("MaskedScatterBackward0")
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`input` with the elements where the mask holds taken from `source`, one after the other."""
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{type_name(input.dtype)} and {type_name(source.dtype)}"
        )
    from picograd.graph.ops import Combiner

    shape = broadcast_pair(input._shape, mask._shape)
    x, wide = broadcast_to(input, shape), broadcast_to(mask, shape)
    flat = primitives.reshape(primitives.cast(wide, int64), (wide.numel(),))
    rank = primitives.scan(Combiner.SUM, flat, 0)
    zero = filled_like(rank, 0)
    position = primitives.elementwise(Op.SUB, rank, filled_like(rank, 1))
    chosen = primitives.reshape(wide, flat._shape)
    position = primitives.elementwise(Op.WHERE, chosen, position, zero)
    taken = primitives.gather(source.reshape((-1,)), (0,), (position,))
    return primitives.elementwise(Op.WHERE, wide, primitives.reshape(taken, shape), x)
