"""Windows as columns, and columns added back into an image.

In: (N, C, H, W) and extents, or columns (N, C KH KW, L). Out: the other. `fold` is the transpose of
`unfold`. Exported by `picograd.nn.functional`.

>>> import picograd
>>> columns = unfold(picograd.ones(1, 1, 3, 3), 2)
>>> columns.shape, fold(columns, (3, 3), 2)[0, 0, 1].tolist()
(torch.Size([1, 4, 4]), [2.0, 4.0, 2.0])
"""

from __future__ import annotations

import numpy as np

from picograd.frontend.interop import tensor
from picograd.frontend.naming import recorded_as
from picograd.frontend.tensor import Tensor
from picograd.nn.convolution import Extents, per_axis
from picograd.nn.correlation import windows
from picograd.nn.padding import pad


@recorded_as("Im2ColBackward0")
def unfold(
    input: Tensor,
    kernel_size: Extents,
    dilation: Extents = 1,
    padding: Extents = 0,
    stride: Extents = 1,
) -> Tensor:
    """(N, C, H, W) -> (N, C KH KW, number of windows)."""
    if input.ndim not in (3, 4):
        raise RuntimeError(
            f"Expected 3D or 4D (batch mode) tensor for input, but got: {list(input.shape)}"
        )
    if input.ndim == 3:
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    sizes, strides = per_axis(kernel_size, 2, "kernel_size"), per_axis(stride, 2, "stride")
    amounts = [n for p in reversed(per_axis(padding, 2, "padding")) for n in (p, p)]
    x = pad(input, amounts) if any(amounts) else input
    seen = windows(x, sizes, strides, per_axis(dilation, 2, "dilation"))
    return seen.permute(0, 1, 4, 5, 2, 3).flatten(4).flatten(1, 3)


def fold(
    input: Tensor,
    output_size: Extents,
    kernel_size: Extents,
    dilation: Extents = 1,
    padding: Extents = 0,
    stride: Extents = 1,
) -> Tensor:
    """(N, C KH KW, number of windows) -> (N, C, H, W): overlapping windows are added."""
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"Expected 2D or 3D (batch mode) tensor for input, but got: {list(input.shape)}"
        )
    if input.ndim == 2:
        batch = input.unsqueeze(0)
        return fold(batch, output_size, kernel_size, dilation, padding, stride).squeeze(0)
    extents = per_axis(output_size, 2, "output_size")
    sizes = per_axis(kernel_size, 2, "kernel_size")
    paddings = per_axis(padding, 2, "padding")
    places = []
    for n, step in enumerate(per_axis(stride, 2, "stride")):
        reach = per_axis(dilation, 2, "dilation")[n] * (sizes[n] - 1) + 1
        number = (extents[n] + 2 * paddings[n] - reach) // step + 1
        inside = np.arange(sizes[n]) * per_axis(dilation, 2, "dilation")[n]
        places.append(inside[:, None] + np.arange(number) * step)
    rows, columns = places
    height, width = extents[0] + 2 * paddings[0], extents[1] + 2 * paddings[1]
    window = sizes[0] * sizes[1]
    count = rows.shape[1] * columns.shape[1]
    if input.shape[1] % window or input.shape[2] != count:
        raise RuntimeError(
            f"Given output_size={extents}, kernel_size={sizes}, dilation={dilation}, "
            f"padding={padding}, stride={stride}, expected size of input's dimension 2 to match "
            f"the calculated number of sliding blocks {count} and dimension 1 to be divisible by "
            f"{window}, but got input of shape {list(input.shape)}"
        )
    flat = rows[:, None, :, None] * width + columns[None, :, None, :]
    channels = input.shape[1] // window
    x = input.unflatten(1, (channels, window)).flatten(2)
    plane = x.new_zeros(x.shape[0], channels, height * width)
    at = tensor(flat.reshape(-1), device=x.device)
    summed = plane.index_add(2, at, x).unflatten(2, (height, width))
    top, left = paddings
    return summed[:, :, top : top + extents[0], left : left + extents[1]]
