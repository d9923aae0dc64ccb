"""The special methods of `Tensor` that are not operators: conversions, copying, pickling, printing.

In: the functions of `frontend/memory.py` and `frontend/printing.py`. Out: `install`, which
`picograd/__init__.py` calls once.

>>> import copy, picograd
>>> copy.deepcopy(picograd.tensor([1, 2])).tolist()
[1, 2]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from picograd.dtypes import BY_NAME
from picograd.frontend import memory, printing
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.missing import method_of_tensors
from picograd.frontend.storage import Storage
from picograd.frontend.tensor import Tensor, wrap


def only_number(x: Tensor) -> memory.Number:
    """The only element of a tensor."""
    if memory.numel(x) != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return memory.item(x)


def to_float(self: Tensor) -> float:
    """`float(x)`."""
    return float(cast("float", only_number(self)))


def to_int(self: Tensor) -> int:
    """`int(x)`."""
    return int(cast("int", only_number(self)))


def to_complex(self: Tensor) -> complex:
    """`complex(x)`."""
    return complex(only_number(self))


def deepcopy(self: Tensor, memo: dict[int, object]) -> Tensor:
    """A leaf with memory of its own; tensors that share memory share the copy's."""
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment.  If you were attempting to deepcopy a module, this may be "
            "because of a torch.nn.utils.weight_norm usage, see "
            "https://github.com/pytorch/pytorch/pull/103001"
        )
    if id(self) in memo:
        return cast("Tensor", memo[id(self)])
    result = self._alias()
    storage = memo.get(id(self._storage))
    if storage is None:
        whole = self._alias()
        whole._steps, whole._shape, whole._strides = (), self._storage.node.shape, None
        whole._offset = 0
        storage = Storage(whole._snapshot())
        memo[id(self._storage)] = storage
        memo[("kept", id(self))] = self  # type: ignore[index]  # its id must not be used again
    result._storage = cast("Storage", storage)
    result.__class__ = type(self)
    memo[id(self)] = result
    result.__dict__.update(_copied_attributes(self, memo))
    if self.requires_grad:
        result.requires_grad_()
    if self.grad is not None:
        result.grad = deepcopy(self.grad, memo)
    return result


def _copied_attributes(x: Tensor, memo: dict[int, object]) -> dict[str, object]:
    import copy

    return copy.deepcopy(x.__dict__, memo)


def shallow_copy(self: Tensor) -> Tensor:
    """`copy.copy(x)`: another tensor over the same memory."""
    result = self._alias()
    result.__class__ = type(self)
    result.__dict__.update(self.__dict__)
    if self.requires_grad:
        result.requires_grad_()
    return result


def rebuild(
    kind: type[Tensor],
    storage: Storage,
    dtype_name: str,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    offset: int,
    requires_grad: bool,
    attributes: dict[str, object],
) -> Tensor:
    """Undo `reduce`."""
    result = wrap(storage.node)
    result._storage = storage
    if storage.node.dtype.name != dtype_name:
        result = result.view(BY_NAME[dtype_name])
    if strides is not None:
        with no_grad():
            result = result.view(-1).as_strided(shape, strides, offset)
    result = result._as_class(kind)
    result.__dict__.update(attributes)
    return result.requires_grad_() if requires_grad else result


def reduce(self: Tensor, protocol: int = 2) -> tuple[object, tuple[object, ...]]:
    """For pickle: the memory and where in it the tensor is, not what it was computed from.

    Pickle writes each storage once, so tensors that share memory share it afterwards too.
    """
    whole = not self._steps and self.dtype is self._storage.node.dtype
    return (
        rebuild,
        (
            type(self),
            self._storage,
            self.dtype.name,
            self._shape,
            None if whole else self.stride(),
            self._offset,
            self.requires_grad,
            dict(self.__dict__),
        ),
    )


METHODS: dict[str, Callable[..., object]] = {
    "__float__": to_float,
    "__int__": to_int,
    "__complex__": to_complex,
    "__bool__": memory.truth,
    "__index__": memory.index,
    "__array__": memory.array_protocol,
    "__format__": memory.format_,
    "__contains__": memory.contains,
    "__iter__": memory.iterate,
    "__getattr__": method_of_tensors,
    "__deepcopy__": deepcopy,
    "__copy__": shallow_copy,
    "__reduce_ex__": reduce,
    "__repr__": printing.represent,
    "__str__": printing.represent,
}


def install() -> None:
    """Give `Tensor` its special methods."""
    for name, method in METHODS.items():
        setattr(Tensor, name, method)
