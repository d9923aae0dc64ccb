"""Pooling and padding layers.

In: extents. Out: modules without parameters.

>>> MaxPool2d(2)
MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from picograd.frontend.tensor import Tensor
from picograd.nn import functional as F
from picograd.nn.convolution import Extents
from picograd.nn.module import Module
from picograd.nn.pooling import Wanted


class _MaxPool(Module):
    rank: ClassVar[int]

    def __init__(
        self,
        kernel_size: Extents,
        stride: Extents | None = None,
        padding: Extents = 0,
        dilation: Extents = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        """(N, C, *) -> (N, C, *), and the places of the maxima if asked for."""
        function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.rank - 1]
        return function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of every window of a signal."""

    rank = 1


class MaxPool2d(_MaxPool):
    """The largest element of every window of an image."""

    rank = 2


class MaxPool3d(_MaxPool):
    """The largest element of every window of a volume."""

    rank = 3


class AvgPool1d(Module):
    """The mean of every window of a signal."""

    def __init__(
        self,
        kernel_size: Extents,
        stride: Extents | None = None,
        padding: Extents = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()

        def single(value: Extents) -> Extents:
            return (value,) if isinstance(value, int) else value

        self.kernel_size = single(kernel_size)
        self.stride = single(kernel_size if stride is None else stride)
        self.padding = single(padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, L')."""
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    rank: ClassVar[int]

    def __init__(
        self,
        kernel_size: Extents,
        stride: Extents | None = None,
        padding: Extents = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> (N, C, *)."""
        function = F.avg_pool2d if self.rank == 2 else F.avg_pool3d
        return function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean of every window of an image."""

    rank = 2


class AvgPool3d(_AvgPool):
    """The mean of every window of a volume."""

    rank = 3


class _Adaptive(Module):
    function: ClassVar[Any]

    def __init__(self, output_size: Wanted) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> (N, C, *output_size)."""
        return type(self).function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """Means over as many windows as wanted."""

    function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_Adaptive):
    """Means over as many windows as wanted."""

    function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_Adaptive):
    """Means over as many windows as wanted."""

    function = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Wanted, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """(N, C, *) -> (N, C, *output_size), and the places of the maxima if asked for."""
        return type(self).function(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Maxima over as many windows as wanted."""

    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Maxima over as many windows as wanted."""

    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMax):
    """Maxima over as many windows as wanted."""

    function = staticmethod(F.adaptive_max_pool3d)


class _Pad(Module):
    rank: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: int | Sequence[int], value: float = 0.0) -> None:
        super().__init__()
        amounts = (padding,) * (2 * self.rank) if isinstance(padding, int) else tuple(padding)
        self.padding, self.value = amounts, value

    def forward(self, input: Tensor) -> Tensor:
        """More elements at both ends of the last dimensions."""
        if self.mode == "constant":
            return F.pad(input, self.padding, self.mode, self.value)
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        constant = type(self).__name__.startswith("Constant")
        return f"padding={self.padding}, value={self.value}" if constant else f"{self.padding}"


class ConstantPad1d(_Pad):
    """Pads signals with a number."""

    rank, mode = 1, "constant"


class ConstantPad2d(_Pad):
    """Pads images with a number."""

    rank, mode = 2, "constant"


class ConstantPad3d(_Pad):
    """Pads volumes with a number."""

    rank, mode = 3, "constant"


class ZeroPad1d(_Pad):
    """Pads signals with zeros."""

    rank, mode = 1, "constant"


class ZeroPad2d(_Pad):
    """Pads images with zeros."""

    rank, mode = 2, "constant"


class ReflectionPad1d(_Pad):
    """Pads signals with their mirror image."""

    rank, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Pads images with their mirror image."""

    rank, mode = 2, "reflect"


class ReplicationPad1d(_Pad):
    """Pads signals with their last elements."""

    rank, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Pads images with their last elements."""

    rank, mode = 2, "replicate"


class CircularPad1d(_Pad):
    """Pads signals with their other end."""

    rank, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Pads images with their other end."""

    rank, mode = 2, "circular"


class ZeroPad3d(_Pad):
    """Pads volumes with zeros."""

    rank, mode = 3, "constant"


class ReflectionPad3d(_Pad):
    """Pads volumes with their mirror image."""

    rank, mode = 3, "reflect"


class ReplicationPad3d(_Pad):
    """Pads volumes with their last elements."""

    rank, mode = 3, "replicate"


class CircularPad3d(_Pad):
    """Pads volumes with their other end."""

    rank, mode = 3, "circular"
