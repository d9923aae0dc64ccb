"""What replaces all the tensors of a tree of modules: other dtypes, devices, shared memory.

In: a module. Out: the same module; parameters stay the same objects and get other contents.
`Module` inherits these methods.

>>> from picograd import nn
>>> nn.Linear(1, 1, bias=False).double().weight.dtype
torch.float64
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from picograd.dtypes import DType
from picograd.frontend.creation import empty_like
from picograd.frontend.device import device as Device
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from picograd.nn.parameter import Parameter

M = TypeVar("M", bound="Convertible")


class Convertible:
    """The methods; a subclass has the tables of parameters and buffers."""

    if TYPE_CHECKING:
        _parameters: dict[str, Parameter | None]
        _buffers: dict[str, Tensor | None]

        def children(self) -> Iterator[Any]: ...

    def _apply(self: M, change: Callable[[Tensor], Tensor], recurse: bool = True) -> M:
        """Replace what every parameter, gradient and buffer holds."""
        for module in self.children() if recurse else ():
            module._apply(change)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with no_grad():
                parameter.data = change(parameter.detach())
                if parameter.grad is not None:
                    gradient = change(parameter.grad.detach())
                    parameter.grad = None
                    parameter.grad = gradient
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = change(buffer)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Move to a device and convert floating-point contents to a dtype, in place.

        `to(device)`, `to(dtype)`, `to(device, dtype)`, `to(tensor)`, or the same as keywords.
        """
        where, dtype = _destination(args, kwargs)

        def change(tensor: Tensor) -> Tensor:
            kept = dtype if dtype is not None and tensor.dtype.is_inexact else tensor.dtype
            return tensor.to(where if where is not None else tensor.device, kept)

        return self._apply(change)

    def type(self: M, dst_type: DType) -> M:
        """Convert all parameters and buffers."""
        return self._apply(lambda tensor: tensor.to(dst_type))

    def _floating(self: M, dtype: str) -> M:
        return self._apply(lambda t: getattr(t, dtype)() if t.is_floating_point() else t)

    def float(self: M) -> M:
        """Convert floating-point parameters and buffers to float32."""
        return self._floating("float")

    def double(self: M) -> M:
        """Convert floating-point parameters and buffers to float64."""
        return self._floating("double")

    def half(self: M) -> M:
        """Convert floating-point parameters and buffers to float16."""
        return self._floating("half")

    def bfloat16(self: M) -> M:
        """Convert floating-point parameters and buffers to bfloat16."""
        return self._floating("bfloat16")

    def cpu(self: M) -> M:
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self: M, device: int | str | None = None) -> M:
        """Move to a GPU."""
        return self.to("cuda" if device is None else Device(device))

    def to_empty(self: M, *, device: str | Device | None, recurse: bool = True) -> M:
        """Move to a device without the contents."""
        return self._apply(lambda tensor: empty_like(tensor, device=device), recurse)

    def share_memory(self: M) -> M:
        """Let forked processes see what is written to parameters and buffers."""
        for child in self.children():
            child.share_memory()
        for tensor in (*self._parameters.values(), *self._buffers.values()):
            if tensor is not None:
                tensor.share_memory_()
        return self


def _destination(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, DType | None]:
    """The device and the dtype that the arguments of `to` name."""
    where, dtype = kwargs.get("device"), kwargs.get("dtype")
    for arg in args:
        if isinstance(arg, Tensor):
            where, dtype = arg.device, arg.dtype
        elif isinstance(arg, DType):
            dtype = arg
        elif isinstance(arg, str | Device):
            where = arg
    if dtype is not None and not dtype.is_inexact:
        raise TypeError(
            f"nn.Module.to only accepts floating point or complex dtypes, but got desired "
            f"dtype={dtype}"
        )
    return where, dtype
