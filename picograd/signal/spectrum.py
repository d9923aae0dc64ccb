"""The short-time Fourier transform and its inverse.

In: signals (..., L) and a window. Out: spectra (..., frequencies, frames), and signals again:
frames are windows onto the signal, transformed by `picograd.fft`, and added where they overlap.

>>> import picograd
>>> x, hann = picograd.arange(16).float(), picograd.hann_window(8)
>>> spectrum = stft(x, 8, window=hann, return_complex=True)
>>> spectrum.shape, istft(spectrum, 8, window=hann).round().tolist()[1:4]
(torch.Size([5, 9]), [1.0, 2.0, 3.0])
"""

from __future__ import annotations

from typing import cast

from picograd import fft
from picograd.frontend.autocasting import in_float32
from picograd.frontend.conversion import complex, imag, real
from picograd.frontend.numeric import view_as_real
from picograd.frontend.tensor import Tensor
from picograd.nn.columns import fold
from picograd.nn.padding import pad


def _window(given: Tensor | None, like: Tensor, n_fft: int, win_length: int, name: str) -> Tensor:
    """The window with zeros on both sides up to the size of a frame."""
    if not 0 < win_length <= n_fft:
        raise RuntimeError(f"{name}: expected 0 < win_length <= n_fft, but got {win_length}")
    dtype = like.real.dtype if like.dtype.is_complex else like.dtype  # type: ignore[attr-defined]
    window = like.new_ones((win_length,), dtype=dtype) if given is None else given
    if window.ndim != 1 or window._shape[0] != win_length:
        raise RuntimeError(
            f"{name}: expected a 1D window of size win_length={win_length}, but got "
            f"window with size {list(window._shape)}"
        )
    before = (n_fft - win_length) // 2
    return pad(window, (before, n_fft - win_length - before))


@in_float32
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """The spectra of frames of `n_fft` elements, `hop_length` apart, in columns."""
    hop = n_fft // 4 if hop_length is None else hop_length
    if input.ndim not in (1, 2):
        raise RuntimeError(f"stft(...): expected a 1D or 2D tensor, got {input.ndim}D")
    if hop <= 0:
        raise RuntimeError(f"stft(...): expected hop_length > 0, but got hop_length={hop}")
    if align_to_window is not None:
        raise NotImplementedError("stft(align_to_window=...) isn't supported")
    whole = input.dtype.is_complex or (window is not None and window.dtype.is_complex)
    if return_complex is None:
        if not whole:
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will "
                "further require that return_complex=True in a future PyTorch release."
            )
        return_complex = True
    signal = pad(input, (n_fft // 2, n_fft // 2), pad_mode) if center else input
    if not 0 < n_fft <= signal._shape[-1]:
        raise RuntimeError(
            f"stft(...): expected 0 < n_fft <= {signal._shape[-1]}, but got n_fft={n_fft}"
        )
    shape = _window(window, input, n_fft, n_fft if win_length is None else win_length, "stft")
    frames = signal.unfold(-1, n_fft, hop) * shape  # type: ignore[attr-defined]
    norm = "ortho" if normalized else None
    half = not whole if onesided is None else onesided
    if half and whole:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    found = (fft.rfft if half else fft.fft)(frames, norm=norm).transpose(-1, -2)
    return found if return_complex else view_as_real(found)


def _overlapped(frames: Tensor, hop: int) -> Tensor:
    """(N, frames, size) -> (N, length): frames added where they lie."""
    _, count, size = frames._shape
    length = size + hop * (count - 1)
    return fold(frames.transpose(1, 2), (1, length), (1, size), stride=(1, hop)).flatten(1)


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal of least squared distance whose `stft` this is."""
    if not input.dtype.is_complex:
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    hop = n_fft // 4 if hop_length is None else hop_length
    columns = input if input.ndim == 3 else input.unsqueeze(0)
    half = columns._shape[1] != n_fft if onesided is None else onesided
    wanted = n_fft // 2 + 1 if half else n_fft
    if columns.ndim != 3 or columns._shape[1] != wanted or not columns._shape[2]:
        raise RuntimeError(
            f"istft: expected {wanted} frequencies in a 2D or 3D tensor for n_fft={n_fft}, but got "
            f"an input of size {list(input._shape)}"
        )
    size = n_fft if win_length is None else win_length
    shape = _window(window, input, n_fft, size, "istft")
    norm = "ortho" if normalized else None
    spectra = columns.transpose(1, 2)
    if return_complex:
        if half:
            raise RuntimeError("Cannot have onesided output if window or input is complex")
        frames = fft.ifft(spectra, norm=norm)
    elif half:
        frames = fft.irfft(spectra, n_fft, norm=norm)
    else:
        frames = cast("Tensor", fft.ifft(spectra, norm=norm).real)  # type: ignore[attr-defined]
    frames = frames * shape
    squares = (shape * shape).expand((1, columns._shape[2], n_fft))
    if return_complex:
        total = complex(*[_overlapped(part, hop) for part in (real(frames), imag(frames))])
    else:
        total = _overlapped(frames, hop)
    envelope = _overlapped(squares, hop)
    start = n_fft // 2 if center else 0
    end = total._shape[-1] - (n_fft // 2 if center else 0) if length is None else start + length
    total, envelope = total[:, start:end], envelope[:, start:end]
    if not bool((envelope.abs() > 1e-11).all().item()):  # type: ignore[attr-defined]
        raise RuntimeError("window overlap add min: 1: the windows leave a gap in the signal")
    result = total / envelope
    missing = end - start - result._shape[-1]
    result = pad(result, (0, missing)) if missing > 0 else result
    return result if input.ndim == 3 else result.squeeze(0)
