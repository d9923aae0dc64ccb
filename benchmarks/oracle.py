"""What a workload's results must be, in float64.

In: a workload and its inputs. Out: the results of its first steps, each a list of arrays. The same
program runs in float64 on PyTorch, which shares no code with picograd; where PyTorch isn't
installed, on picograd's own device "numpy", which interprets the graph instead of compiling it.
Where PyTorch has a GPU, it computes there: products of 8192 x 8192 matrices take a while elsewhere.
"""

from __future__ import annotations

import importlib.util

import numpy as np
from peers import as_arrays, tensors
from workloads.base import Arrays, Workload


def expected(workload: Workload, arrays: Arrays) -> list[list[np.ndarray]]:
    """The results of `workload.checked` steps in a row, in float64."""
    if importlib.util.find_spec("torch") is not None:
        import torch

        if not torch.cuda.is_available():
            return _steps(torch, workload, arrays, "cpu")
        results = _steps(torch, workload, arrays, "cuda")
        torch.cuda.empty_cache()  # others need the memory
        return results
    import picograd
    from picograd.env import Context

    with Context(DEVICE="numpy"):
        return _steps(picograd, workload, arrays, "numpy")


def _steps(
    module: object, workload: Workload, arrays: Arrays, device: str
) -> list[list[np.ndarray]]:
    # What the type of the inputs can't hold is no fault of the computation.
    rounded = tensors(module, arrays, workload.dtype, device)
    exact = {n: t.double() if t.is_floating_point() else t for n, t in rounded.items()}
    step = workload.program(module, exact, lambda f: f)
    return [as_arrays(step()) for _ in range(workload.checked)]


def error(got: list[np.ndarray], want: list[np.ndarray]) -> float:
    """The largest error, as a part of the largest magnitude; infinite if the shapes differ."""
    if [a.shape for a in got] != [a.shape for a in want]:
        return float("inf")
    worst = 0.0
    for a, b in zip(got, want, strict=True):
        scale = float(np.abs(b).max(initial=0.0)) or 1.0
        worst = max(worst, float(np.nan_to_num(np.abs(a - b).max(initial=0.0), nan=np.inf)) / scale)
    return worst
