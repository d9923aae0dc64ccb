"""Samples into batches: `default_collate`, `default_convert`.

In: a list of samples (tensors, arrays, numbers, text, and containers of those). Out: one sample of
the same form, whose tensors have a batch axis in front. Samples that are computed already are
copied side by side without a graph: loading data compiles nothing.

>>> default_collate([(1, [2.0]), (3, [4.0])])
[tensor([1, 3]), [tensor([2., 4.], dtype=torch.float64)]]
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from picograd.dtypes import float64
from picograd.frontend.hostdata import from_array
from picograd.frontend.interop import as_tensor, tensor
from picograd.frontend.movement import stack
from picograd.frontend.tensor import Tensor

Collate = Callable[..., Any]
UNKNOWN = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)
_TEXT = re.compile("[SaUO]")  # the NumPy types that no tensor can hold


def collate(batch: Sequence[Any], *, collate_fn_map: dict[Any, Collate] | None = None) -> Any:
    """One batch, by the functions of a table and, for containers, by what is in them."""
    first = batch[0]
    known = collate_fn_map or {}
    found = known.get(type(first))
    if found is None:
        found = next((known[kind] for kind in known if isinstance(first, kind)), None)
    if found is not None:
        return found(batch, collate_fn_map=collate_fn_map)

    def part(samples: Sequence[Any]) -> Any:
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        return _mapping(first, {key: part([one[key] for one in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*[part(samples) for samples in zip(*batch, strict=False)])
    if isinstance(first, Sequence):
        if any(len(one) != len(first) for one in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        parts = [part(samples) for samples in zip(*batch, strict=True)]
        return parts if isinstance(first, tuple) else _like(first, parts)
    raise TypeError(UNKNOWN.format(type(first)))


def _mapping(example: Mapping[Any, Any], contents: dict[Any, Any]) -> Any:
    """A mapping of the example's type."""
    try:
        if isinstance(example, MutableMapping):
            result = copy.copy(example)
            result.update(contents)
            return result
        return type(example)(contents)  # type: ignore[call-arg]
    except TypeError:
        return contents


def _like(example: Sequence[Any], contents: list[Any]) -> Any:
    """A sequence of the example's type."""
    if type(example) is list:
        return contents
    try:
        return type(example)(contents)  # type: ignore[call-arg]
    except TypeError:
        return contents


def _tensors(batch: Sequence[Tensor], *, collate_fn_map: Any = None) -> Tensor:
    first = batch[0]
    ready = all(
        one._storage.node.buffer is not None
        and not one.requires_grad
        and one._shape == first._shape
        and one.dtype is first.dtype
        and one._storage.node.device == first._storage.node.device
        for one in batch
    )
    if not ready:
        return stack(list(batch), 0)
    return from_array(np.stack([one._array() for one in batch]), first._storage.node.device)


def _arrays(batch: Sequence[np.ndarray], *, collate_fn_map: Any = None) -> Any:
    kind = batch[0].dtype
    if _TEXT.search(kind.str) is not None:
        raise TypeError(UNKNOWN.format(kind))
    return collate([as_tensor(one) for one in batch], collate_fn_map=collate_fn_map)


def _scalars(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Tensor:
    return as_tensor(np.asarray(batch))


def _floats(batch: Sequence[float], *, collate_fn_map: Any = None) -> Tensor:
    return tensor(list(batch), dtype=float64)


def _integers(batch: Sequence[int], *, collate_fn_map: Any = None) -> Tensor:
    return tensor(list(batch))


def _unchanged(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Sequence[Any]:
    return batch


default_collate_fn_map: dict[Any, Collate] = {
    Tensor: _tensors,
    np.ndarray: _arrays,
    (np.bool_, np.number, np.object_): _scalars,
    float: _floats,
    int: _integers,
    str: _unchanged,
    bytes: _unchanged,
}


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch of samples, as `DataLoader` makes it by default."""
    return collate(batch, collate_fn_map=default_collate_fn_map)


def default_convert(data: Any) -> Any:
    """One sample with its arrays as tensors, as `DataLoader` gives it without batches."""
    if isinstance(data, np.ndarray) and _TEXT.search(data.dtype.str) is not None:
        return data
    if isinstance(data, (np.ndarray, np.bool_, np.number)):
        return as_tensor(np.asarray(data))
    if isinstance(data, Mapping):
        return _mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[default_convert(one) for one in data])
    if isinstance(data, tuple):
        return [default_convert(one) for one in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like(data, [default_convert(one) for one in data])
    return data


def pinned(data: Any) -> Any:
    """A batch whose tensors of the CPU are in pinned memory."""
    return _changed(data, _pinned)


def _pinned(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data if data.is_cuda else data.pin_memory()
    return data.pin_memory() if hasattr(data, "pin_memory") else data


def on_gpu(data: Any) -> Any:
    """A batch with its tensors on the GPU."""
    return _changed(data, lambda one: one.cuda() if isinstance(one, Tensor) else one)


def _changed(data: Any, change: Callable[[Any], Any]) -> Any:
    """A batch, what is neither text nor a container of others changed."""
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, Mapping):
        return _mapping(data, {key: _changed(data[key], change) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[_changed(one, change) for one in data])
    if isinstance(data, tuple):
        return tuple([_changed(one, change) for one in data])
    if isinstance(data, Sequence):
        return _like(data, [_changed(one, change) for one in data])
    return change(data)
