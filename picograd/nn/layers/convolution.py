"""Convolution layers.

In: channels and extents. Out: modules with a `weight` of kernels and a `bias`, drawn as `Linear`
draws its own.

>>> Conv2d(3, 8, 3, padding=1)
Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from picograd.dtypes import DType
from picograd.frontend.creation import empty
from picograd.frontend.device import device as Device
from picograd.frontend.tensor import Tensor
from picograd.nn import functional as F
from picograd.nn import init
from picograd.nn.convolution import Extents, per_axis
from picograd.nn.module import Module
from picograd.nn.parameter import Parameter


class _Convolution(Module):
    """What all convolutions share: the arguments, the parameters, the description."""

    rank: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        stride: Extents = 1,
        padding: str | Extents = 0,
        dilation: Extents = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str | Device | None = None,
        dtype: DType | None = None,
        *,
        output_padding: Extents = 0,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        modes = ("zeros",) if self.transposed else ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(f"padding_mode must be one of {modes}, but got '{padding_mode}'")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(
                f"Invalid padding string {padding!r}, should be one of {{'valid', 'same'}}"
            )
        rank = self.rank
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(kernel_size, rank, "kernel_size")
        self.stride = per_axis(stride, rank, "stride")
        self.padding = padding if isinstance(padding, str) else per_axis(padding, rank, "padding")
        self.dilation = per_axis(dilation, rank, "dilation")
        self.output_padding = per_axis(output_padding, rank, "output_padding")
        self.padding_mode = padding_mode
        first, second = out_channels, in_channels // groups
        if self.transposed:
            first, second = in_channels, out_channels // groups
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = Parameter(empty((first, second, *self.kernel_size), **options))
        self.register_parameter("bias", Parameter(empty(out_channels, **options)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters again."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            inputs, _ = init._fans(self.weight)
            bound = 1 / math.sqrt(inputs) if inputs else 0.0
            init.uniform_(self.bias, -bound, bound)

    def _numbers(self) -> tuple[int, ...]:
        """The padding of every axis, where it isn't a word."""
        if isinstance(self.padding, str):
            raise TypeError(f"{type(self).__name__} needs numbers for padding")
        return self.padding

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        plain = (0,) * self.rank
        if self.padding != plain:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.rank:
            text += f", dilation={self.dilation}"
        if self.output_padding != plain:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Plain(_Convolution):
    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, *) -> (N, out_channels, *)."""
        function = (F.conv1d, F.conv2d, F.conv3d)[self.rank - 1]
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._amounts(), mode=self.padding_mode)
            padding = 0
        return function(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _amounts(self) -> list[int]:
        """Before and after, last axis first."""
        if self.padding == "valid":
            return [0] * (2 * self.rank)
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            pairs = [(total // 2, total - total // 2) for total in totals]
        else:
            pairs = [(p, p) for p in self._numbers()]
        return [number for pair in reversed(pairs) for number in pair]


class Conv1d(_Plain):
    """Convolves signals."""

    rank = 1


class Conv2d(_Plain):
    """Convolves images."""

    rank = 2


class Conv3d(_Plain):
    """Convolves volumes."""

    rank = 3


class _Transposed(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        stride: Extents = 1,
        padding: Extents = 0,
        output_padding: Extents = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Extents = 1,
        padding_mode: str = "zeros",
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype, output_padding=output_padding,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, in_channels, *) -> (N, out_channels, *), of `output_size` if that is possible."""
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.rank - 1]
        padding = self._numbers()
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra(input, output_size, padding)
        return function(
            input, self.weight, self.bias, self.stride, padding, extra, self.groups, self.dilation
        )

    def _extra(
        self, input: Tensor, output_size: list[int], padding: tuple[int, ...]
    ) -> tuple[int, ...]:
        wanted = list(output_size)[-self.rank :]
        extra = []
        for n, size in enumerate(wanted):
            extent = input.shape[n - self.rank]
            least = (extent - 1) * self.stride[n] - 2 * padding[n]
            least += self.dilation[n] * (self.kernel_size[n] - 1) + 1
            if not least <= size < least + self.stride[n]:
                raise ValueError(
                    f"requested an output size of {wanted}, but valid sizes range from {least} to "
                    f"{least + self.stride[n] - 1} in dimension {n} (for an input of "
                    f"{list(input.shape)})"
                )
            extra.append(size - least)
        return tuple(extra)


class ConvTranspose1d(_Transposed):
    """The transpose of a convolution of signals."""

    rank = 1


class ConvTranspose2d(_Transposed):
    """The transpose of a convolution of images."""

    rank = 2


class ConvTranspose3d(_Transposed):
    """The transpose of a convolution of volumes."""

    rank = 3
