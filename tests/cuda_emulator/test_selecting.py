"""Selection, search and counts on the GPU: what the CPU says, without its memory.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import picograd as torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

NAN = float("nan")


def given(device: str, *shape: int, dtype: Any = torch.float32, seed: int = 0) -> Any:
    found = np.random.default_rng(seed).integers(-9, 9, shape) / 4
    return torch.tensor(found, device=device).to(dtype)


def special(device: str) -> Any:
    numbers = [NAN, 1.0, -0.0, 0.0, float("inf"), NAN, 1.0, float("-inf"), 1.0]
    return torch.tensor(numbers, device=device)


def rows(device: str) -> tuple[Any, Any]:
    return torch.sort(given(device, 3, 50)).values, given(device, 3, 7, seed=1)


CASES: dict[str, Callable[[str], Any]] = {
    # a place or none, a block's border, several blocks, a rest
    **{
        f"nonzero {n}": (lambda d, n=n: given(d, n, dtype=torch.int32).nonzero())
        for n in (0, 1, 16, 4095, 4096, 4097, 9000)
    },
    "nonzero of axes": lambda d: torch.nonzero(given(d, 7, 5, 6), as_tuple=True),
    "nonzero of a view": lambda d: (given(d, 40, 30) > 0).t()[::2].nonzero(),
    "nonzero of special": lambda d: special(d).nonzero(),
    "no element": lambda d: torch.zeros(3, 4, device=d).nonzero(),
    "masked_select": lambda d: given(d, 30, 40).masked_select(given(d, 30, 40, seed=2) > 0),
    "mask": lambda d: given(d, 30, 4)[given(d, 30, seed=2) > 0],
    "mask and slice": lambda d: given(d, 5, 30, 4)[1:, given(d, 30, seed=2) > 0, 2],
    "write by mask": lambda d: given(d, 30, 4).index_put(
        (given(d, 30, seed=2) > 0,), torch.tensor(5.0, device=d)
    ),
    "search": lambda d: torch.searchsorted(rows(d)[0][0], given(d, 300, seed=1)),
    "search behind": lambda d: torch.searchsorted(*rows(d), right=True, out_int32=True),
    "search of special": lambda d: torch.searchsorted(special(d).sort().values, special(d)),
    "search of other types": lambda d: torch.searchsorted(
        torch.arange(20, device=d), given(d, 6, 5) * 3
    ),
    "search of a number": lambda d: torch.searchsorted(torch.arange(20, device=d), 7.5),
    "search of nothing": lambda d: torch.searchsorted(torch.zeros(0, device=d), given(d, 4)),
    "search with sorter": lambda d: torch.searchsorted(
        given(d, 30), given(d, 9, seed=1), sorter=given(d, 30).argsort()
    ),
    "bucketize": lambda d: torch.bucketize(given(d, 4, 4), torch.tensor([-1.0, 0, 1], device=d)),
    **{
        f"unique {name}": (
            lambda d, t=kind: torch.unique(
                given(d, 40, 30, dtype=t), return_inverse=True, return_counts=True
            )
        )
        for name, kind in {
            "floats": torch.float32,
            "bytes": torch.int8,
            "truths": torch.bool,
            "halves": torch.float16,
            "longs": torch.int64,
        }.items()
    },
    "unique of special": lambda d: torch.unique(special(d), return_counts=True),
    "unique of one": lambda d: torch.unique(given(d, 1), return_inverse=True),
    "unique of nothing": lambda d: torch.unique(given(d, 0)),
    "consecutive": lambda d: torch.unique_consecutive(
        given(d, 500) > 1, return_inverse=True, return_counts=True
    ),
    "bincount": lambda d: torch.bincount(given(d, 5000).abs().long(), minlength=5),
    "weighted": lambda d: torch.bincount(given(d, 70).abs().long(), given(d, 70, seed=3)),
    "histc": lambda d: torch.histc(given(d, 3, 1000), 7),
    "histc within": lambda d: torch.histc(given(d, 1000), 4, -1, 1.5),
    "isin": lambda d: torch.isin(given(d, 40, 3), given(d, 4, seed=4)),
    "not in": lambda d: torch.isin(special(d), special(d)[:3], invert=True),
    "repeats": lambda d: torch.repeat_interleave(
        given(d, 40, 2), given(d, 40, seed=5).abs().long(), dim=0
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_as_on_the_cpu(name: str) -> None:
    found, wanted = (CASES[name](device) for device in ("cuda", "cpu"))
    if not isinstance(found, tuple):
        found, wanted = (found,), (wanted,)
    for mine, other in zip(found, wanted, strict=True):
        assert mine.is_cuda and mine.dtype is other.dtype and mine.shape == other.shape
        assert str(mine.tolist()) == str(other.tolist())  # NaN and -0 too


def test_only_sizes_go_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    from picograd.runtime.cuda.memory import DeviceBuffer

    copied = DeviceBuffer.array

    def small(buffer: Any) -> Any:
        assert buffer.size <= 2, f"{buffer} was copied to the host"
        return copied.fget(buffer)

    x = given("cuda", 3000)
    edges = torch.linspace(-2, 2, 9, device="cuda")
    with monkeypatch.context() as patched:
        patched.setattr(DeviceBuffer, "array", property(small))
        found = [x.nonzero(), x[x > 0], torch.unique(x, return_inverse=True)[1]]
        found += [torch.bucketize(x, edges), torch.histc(x, 5), torch.bincount(x.abs().long())]
        found += [torch.isin(x, edges), torch.repeat_interleave(x, x.abs().long())]
        torch.cuda.synchronize()
    assert all(one.is_cuda for one in found)


def test_what_is_wrong_is_said() -> None:
    x = given("cuda", 4, 3)
    for call, error in [
        (lambda: torch.bincount(x.long()[0] - 9), "non-negative"),
        (lambda: torch.repeat_interleave(x, x[:, 0].long() - 9, 0), "negative"),
        (lambda: torch.searchsorted(x, x[:2]), "first N-1"),
    ]:
        with pytest.raises(RuntimeError, match=error):
            call()
