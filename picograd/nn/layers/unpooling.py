"""Layers of `picograd.nn.unpooling`: power means, maxima put back, local response norm.

In: extents. Out: modules without parameters.

>>> LPPool2d(2, 3)
LPPool2d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from picograd.frontend.tensor import Tensor
from picograd.nn import functional as F
from picograd.nn.convolution import Extents, per_axis
from picograd.nn.module import Module


class _MaxUnpool(Module):
    rank: ClassVar[int]

    def __init__(
        self, kernel_size: Extents, stride: Extents | None = None, padding: Extents = 0
    ) -> None:
        super().__init__()
        self.kernel_size = per_axis(kernel_size, self.rank, "kernel_size")
        given = kernel_size if stride is None else stride
        self.stride = per_axis(given, self.rank, "stride")
        self.padding = per_axis(padding, self.rank, "padding")

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Maxima and their places, both (N, C, *) -> (N, C, *)."""
        function = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self.rank - 1]
        return function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Puts the maxima of `MaxPool1d` back."""

    rank = 1


class MaxUnpool2d(_MaxUnpool):
    """Puts the maxima of `MaxPool2d` back."""

    rank = 2


class MaxUnpool3d(_MaxUnpool):
    """Puts the maxima of `MaxPool3d` back."""

    rank = 3


class _LPPool(Module):
    rank: ClassVar[int]

    def __init__(
        self,
        norm_type: float,
        kernel_size: Extents,
        stride: Extents | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> (N, C, *)."""
        function = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[self.rank - 1]
        return function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The p-norm of every window of a signal."""

    rank = 1


class LPPool2d(_LPPool):
    """The p-norm of every window of an image."""

    rank = 2


class LPPool3d(_LPPool):
    """The p-norm of every window of a volume."""

    rank = 3


class LocalResponseNorm(Module):
    """Divides by the size of neighbouring channels."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> the same."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
