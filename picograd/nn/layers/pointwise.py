"""Activations and dropout: modules that hold numbers and apply one function.

In: hyper-parameters. Out: modules without parameters (but for `PReLU`). One line of the table below
is one class: its name, its function, and its arguments with their defaults in order.

>>> LeakyReLU(0.2)
LeakyReLU(negative_slope=0.2)
>>> LeakyReLU(0.2).forward.__doc__
'Elementwise, or along a dimension: the shape stays.'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from picograd.dtypes import DType
from picograd.frontend.creation import full
from picograd.frontend.tensor import Tensor
from picograd.nn import functional as F
from picograd.nn.module import Module
from picograd.nn.parameter import Parameter


class Pointwise(Module):
    """A module whose arguments go to one function as they are."""

    function: ClassVar[Callable[..., Tensor]]
    arguments: ClassVar[dict[str, Any]]
    uses_training: ClassVar[bool] = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        names = list(self.arguments)
        if len(args) > len(names):
            raise TypeError(f"{type(self).__name__} takes {names}, got {len(args)} arguments")
        given = dict(zip(names, args, strict=False))
        for name in kwargs:
            if name not in self.arguments or name in given:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{name}'"
                )
        for name, value in {**self.arguments, **given, **kwargs}.items():
            if value is ...:
                raise TypeError(f"{type(self).__name__} needs the argument '{name}'")
            setattr(self, name, value)
        if self.uses_training and not 0 <= self.p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {self.p}")

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise, or along a dimension: the shape stays."""
        given = {name: getattr(self, name) for name in self.arguments}
        if self.uses_training:
            given["training"] = self.training
        return type(self).function(input, **given)

    def extra_repr(self) -> str:
        shown = {name: getattr(self, name) for name in self.arguments}
        if list(shown) == ["lambd"]:  # the shrinks show a bare number
            return str(shown["lambd"])
        if not self.uses_training and not shown.get("inplace"):
            shown.pop("inplace", None)
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())


def _of(name: str, function: Callable[..., Tensor], **arguments: Any) -> type[Pointwise]:
    body = {"function": staticmethod(function), "arguments": arguments, "__module__": __name__}
    return type(name, (Pointwise,), {**body, "__doc__": function.__doc__})


def _dropout(name: str, function: Callable[..., Tensor]) -> type[Pointwise]:
    made = _of(name, function, p=0.5, inplace=False)
    made.uses_training = True
    return made


# `...`: no default.
CELU = _of("CELU", F.celu, alpha=1.0, inplace=False)
ELU = _of("ELU", F.elu, alpha=1.0, inplace=False)
GELU = _of("GELU", F.gelu, approximate="none")
GLU = _of("GLU", F.glu, dim=-1)
Hardshrink = _of("Hardshrink", F.hardshrink, lambd=0.5)
Hardsigmoid = _of("Hardsigmoid", F.hardsigmoid, inplace=False)
Hardswish = _of("Hardswish", F.hardswish, inplace=False)
Hardtanh = _of("Hardtanh", F.hardtanh, min_val=-1.0, max_val=1.0, inplace=False)
LeakyReLU = _of("LeakyReLU", F.leaky_relu, negative_slope=0.01, inplace=False)
LogSigmoid = _of("LogSigmoid", F.logsigmoid)
LogSoftmax = _of("LogSoftmax", F.log_softmax, dim=None)
Mish = _of("Mish", F.mish, inplace=False)
ReLU = _of("ReLU", F.relu, inplace=False)
ReLU6 = _of("ReLU6", F.relu6, inplace=False)
SELU = _of("SELU", F.selu, inplace=False)
SiLU = _of("SiLU", F.silu, inplace=False)
Sigmoid = _of("Sigmoid", F.sigmoid)
Softmax = _of("Softmax", F.softmax, dim=None)
Softmin = _of("Softmin", F.softmin, dim=None)
Softplus = _of("Softplus", F.softplus, beta=1.0, threshold=20.0)
Softshrink = _of("Softshrink", F.softshrink, lambd=0.5)
Softsign = _of("Softsign", F.softsign)
Tanh = _of("Tanh", F.tanh)
Tanhshrink = _of("Tanhshrink", F.tanhshrink)
Threshold = _of("Threshold", F.threshold, threshold=..., value=...)

Dropout = _dropout("Dropout", F.dropout)
Dropout1d = _dropout("Dropout1d", F.dropout1d)
Dropout2d = _dropout("Dropout2d", F.dropout2d)
Dropout3d = _dropout("Dropout3d", F.dropout3d)
AlphaDropout = _dropout("AlphaDropout", F.alpha_dropout)
FeatureAlphaDropout = _dropout("FeatureAlphaDropout", F.feature_alpha_dropout)


class RReLU(Module):
    """Leaky relu whose slopes are random in training."""

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False):
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        inplace = ", inplace=True" if self.inplace else ""
        return f"lower={self.lower}, upper={self.upper}{inplace}"


class Softmax2d(Module):
    """Softmax over the channels of every pixel."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) -> the same."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)


class PReLU(Module):
    """`max(x, 0) + weight * min(x, 0)` with a trained slope, one or one per channel."""

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init, device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise; channels are dimension 1."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
