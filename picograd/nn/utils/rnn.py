"""Sequences of different lengths in one tensor: padded, or packed time step by time step.

In: sequences (L_i, *) or a padded tensor with lengths. Out: `PackedSequence`, which recurrent
layers take, and padded tensors again.

>>> import picograd
>>> rows = [picograd.tensor([1, 2]), picograd.tensor([3])]
>>> pad_sequence(rows, batch_first=True).tolist()
[[1, 2], [3, 0]]
>>> pack_sequence(rows).data.tolist()
[1, 3, 2]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from picograd.frontend.interop import tensor
from picograd.frontend.movement import cat, stack
from picograd.frontend.tensor import Tensor
from picograd.nn import functional as F


class PackedSequence(NamedTuple):
    """data: all sequences' elements, time by time; batch_sizes: how many run at each time."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data moved or converted."""
        return self._replace(data=self.data.to(*args, **kwargs))

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return self.data.device.type == "cuda"


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L_i, *) as one tensor (longest, N, *), or (N, longest, *)."""
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side should be 'left' or 'right', got {padding_side!r}")
    longest = max(len(s) for s in sequences)
    rows = []
    for row in sequences:
        missing = longest - len(row)
        ends = [missing, 0] if padding_side == "left" else [0, missing]
        rows.append(F.pad(row, [0, 0] * (row.ndim - 1) + ends, value=padding_value))
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded tensor."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [rows[n][:length] for n, length in enumerate(lengths.tolist())]


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """A padded tensor without its padding."""
    numbers = np.asarray(lengths.tolist() if isinstance(lengths, Tensor) else lengths, np.int64)
    x = input.transpose(0, 1) if batch_first else input
    if len(numbers) != x.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(numbers)} "
            f"(batch_size={x.shape[1]})"
        )
    if (numbers <= 0).any():
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    order = back = None
    if not enforce_sorted:
        positions = np.argsort(-numbers, kind="stable")
        order = tensor(positions, device=x.device)
        back = tensor(np.argsort(positions, kind="stable"), device=x.device)
        x, numbers = x.index_select(1, order), numbers[positions]
    elif (np.diff(numbers) > 0).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
            "You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability."
        )
    sizes = [int((numbers > time).sum()) for time in range(int(numbers[0]))]
    data = cat([x[time, :size] for time, size in enumerate(sizes)])
    return PackedSequence(data, tensor(sizes, device="cpu"), order, back)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """A packed sequence as a padded tensor and its lengths, in the order before packing."""
    sizes = sequence.batch_sizes.tolist()
    length = len(sizes)
    if total_length is not None and total_length < length:
        raise ValueError(
            f"Expected total_length to be at least the length of the longest sequence in input, "
            f"but got total_length={total_length} and max sequence length being {length}"
        )
    rest = tuple(sequence.data.shape[1:])
    rows, start = [], 0
    for size in sizes:
        row = sequence.data[start : start + size]
        if size < sizes[0]:
            filler = row.new_full((sizes[0] - size, *rest), padding_value)
            row = cat([row, filler])
        rows.append(row)
        start += size
    for _ in range((total_length or length) - length):
        rows.append(sequence.data.new_full((sizes[0], *rest), padding_value))
    x = stack(rows)
    lengths = tensor([sum(size > n for size in sizes) for n in range(sizes[0])], device="cpu")
    if sequence.unsorted_indices is not None:
        x = x.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices.cpu()]
    return (x.transpose(0, 1) if batch_first else x), lengths


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (L_i, *) packed."""
    lengths = [len(s) for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed one."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
