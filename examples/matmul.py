"""A matrix product in nine ways, from three loops to one call.

A notebook's walk from lists of numbers to tensors: batches of a list, an image from a row of
pixels, indexing, broadcasting, and the same product of five images with 10 columns of weights
written with fewer Python loops each time. Three calls fail on purpose; their exceptions are
PyTorch's.

    python examples/matmul.py [--torch]

Prints what each way costs. The loops over single elements build thousands of tiny tensors: with
picograd, which is lazy, they cost even more than with PyTorch, and the last forms cost as little.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice

import digits
import numpy as np

if "--torch" in sys.argv:  # the same program on PyTorch
    import torch
else:
    import picograd as torch


# --- lists ----------------------------------------------------------------------------------------


def chunks(values: list, size: int) -> Iterator[list]:
    """Batches of a list, by slices."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def taken(values: list, size: int) -> Iterator[list]:
    """The same from any iterator: take `size` values until there are none."""
    iterator = iter(values)
    return iter(lambda: list(islice(iterator, size)), [])


class Matrix:
    """Rows in a list, read as `m[row, column]`."""

    def __init__(self, rows: list) -> None:
        self.rows = rows

    def __getitem__(self, place: tuple[int, int]) -> float:
        return self.rows[place[0]][place[1]]


# --- products -------------------------------------------------------------------------------------


def three_loops(a, b):
    result = torch.zeros(a.shape[0], b.shape[1])
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                result[i, j] += a[i, k] * b[k, j]
    return result


def numbers_of_python(a, b):
    """The loops without tensors: lists of floats."""
    rows, columns = a.tolist(), b.T.tolist()
    return torch.tensor([[sum(x * y for x, y in zip(r, c)) for c in columns] for r in rows])


def kernel(place: tuple[int, int], a, b, result) -> None:
    """What one thread of a GPU does: one element of the result."""
    i, j = place
    if i < result.shape[0] and j < result.shape[1]:
        total = 0.0
        for k in range(a.shape[1]):
            total += a[i, k] * b[k, j]
        result[i, j] = total


def launched(a, b):
    """Every thread of a grid, one after the other."""
    result = torch.zeros(a.shape[0], b.shape[1])
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            kernel((i, j), a, b, result)
    return result


def elementwise(a, b):
    result = torch.zeros(a.shape[0], b.shape[1])
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            result[i, j] = (a[i, :] * b[:, j]).sum()
    return result


def dots(a, b):
    result = torch.zeros(a.shape[0], b.shape[1])
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            result[i, j] = torch.dot(a[i, :], b[:, j])
    return result


def rows_broadcast(a, b):
    """A row as a column [k, 1] beside b [k, n]: multiplied, summed over k."""
    result = torch.zeros(a.shape[0], b.shape[1])
    for i in range(a.shape[0]):
        result[i] = (a[i, :, None] * b).sum(dim=0)
    return result


def all_broadcast(a, b):
    return (a[:, :, None] * b).sum(dim=1)


def summation(a, b):
    return torch.einsum("ik,kj->ij", a, b)


def operator(a, b):
    return a @ b


WAYS: tuple[Callable, ...] = (
    three_loops, launched, numbers_of_python, elementwise, dots, rows_broadcast, all_broadcast,
    summation, operator,
)  # fmt: skip


def failing(images) -> dict[str, Callable]:
    """Calls that fail, as they do with PyTorch."""
    failures: dict[str, Callable] = {
        "reshape to another size": lambda: images.reshape(1, 2, 3),
        "a name that is not there": lambda: torch.zeros(number_of_rows, 10),  # noqa: F821
    }
    if not torch.cuda.is_available():
        failures["a device that is not there"] = lambda: images.to("cuda")
    return failures


def main() -> None:
    array, _ = digits.load(100)
    pixels = array[0].ravel().tolist()
    picture = list(chunks(pixels, 8))
    print(
        f"row of {len(pixels)} pixels -> {len(picture)} x {len(picture[0])} image, its middle row:"
    )
    print([round(p, 2) for p in picture[4]], picture == list(taken(pixels, 8)))

    images = torch.tensor(array).reshape(-1, 64)
    print(images.shape, images.dtype, images.device, images.type())
    same = Matrix(picture)[4, 5] == images.reshape(-1, 8, 8)[0, 4, 5].item()
    print(f"element [4, 5] of the list and of the tensor are the same: {same}")
    for name, call in failing(images).items():
        try:
            call()
        except Exception as error:  # whatever it is: its type is shown
            print(f"{name}: {type(error).__name__}")

    column = torch.tensor([10.0, 20.0, 30.0])
    print("\n[3, 1] * [1, 3]:", (column[:, None] * column[None, :]).tolist())
    wide = column.expand(2, 3)
    print(f"expanded to {tuple(wide.shape)} with strides {wide.stride()}: no copy is made\n")

    weights = torch.tensor(np.random.default_rng(1).standard_normal((64, 10), np.float32))
    a = images[:5]
    expected = a.cpu().numpy() @ weights.cpu().numpy()
    for way in WAYS:
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            result = way(a, weights).cpu().numpy()
            seconds.append(time.perf_counter() - started)
        error = np.abs(result - expected).max()
        print(f"{way.__name__:18}{min(seconds) * 1e3:9.3f} ms, differs by {error:.1e}", flush=True)


if __name__ == "__main__":
    main()
