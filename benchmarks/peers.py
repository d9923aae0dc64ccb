"""The frameworks that are timed: how each gets its inputs, its step, and its numbers back.

In: the name of a peer and a workload. Out: `step()`, finished when it returns. Called by `run.py`,
`memory.py` and the tests.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from workloads.base import Arrays, Step, Tensors, Workload

OWN = "picograd"
# What each peer is made of, in the order in which the table shows them.
PEERS = {
    "numpy": "numpy",
    "torch": "torch",
    "torch out=": "torch",
    "compile": "torch",
    "jax": "jax",
    "tinygrad": "tinygrad",
}


def tensors(module: Any, arrays: Arrays, dtype: str) -> Tensors:
    """The arrays as tensors of PyTorch's or picograd's; those of floats in the asked type."""
    made = {name: module.tensor(array) for name, array in arrays.items()}
    target = getattr(module, dtype)
    return {n: t.to(target) if t.is_floating_point() else t for n, t in made.items()}


def build(peer: str, workload: Workload, arrays: Arrays) -> Step | None:
    """The step of a peer, or None where the workload has none for it."""
    return _BUILDERS[peer](workload, arrays)


def _picograd(workload: Workload, arrays: Arrays) -> Step:
    import picograd

    step = workload.program(picograd, tensors(picograd, arrays, workload.dtype), lambda f: f)
    picograd.synchronize()

    def finished() -> Any:
        result = step()
        picograd.synchronize()  # it is lazy: a step ends when its numbers are there
        return result

    return finished


def _numpy(workload: Workload, arrays: Arrays) -> Step | None:
    function = workload.numpy
    if function is None:
        return None
    given = {name: _typed(array, workload.dtype) for name, array in arrays.items()}
    return lambda: function(**given)


def _torch(workload: Workload, arrays: Arrays) -> Step:
    import torch

    return workload.program(torch, tensors(torch, arrays, workload.dtype), lambda f: f)


def _torch_out(workload: Workload, arrays: Arrays) -> Step | None:
    import torch

    function = workload.out
    if function is None:
        return None
    given = tensors(torch, arrays, workload.dtype)
    out = torch.empty_like(_torch(workload, arrays)())
    return lambda: function(torch, out, **given)


def _compiled(workload: Workload, arrays: Arrays) -> Step | None:
    import torch

    if not workload.compiles:
        return None
    torch._dynamo.reset()  # what was compiled before counts towards a limit
    given = tensors(torch, arrays, workload.dtype)
    return workload.program(torch, given, torch.compile)


def _jax(workload: Workload, arrays: Arrays) -> Step | None:
    import jax

    jax.config.update("jax_enable_x64", True)  # or float64 and int64 would be halved
    if workload.jax is None:
        return None
    given = {name: _typed(array, workload.dtype) for name, array in arrays.items()}
    return workload.jax(jax, given)


def _tinygrad(workload: Workload, arrays: Arrays) -> Step | None:
    import tinygrad

    if workload.tinygrad is None:
        return None
    given = {name: tinygrad.Tensor(array).realize() for name, array in arrays.items()}
    return workload.tinygrad(tinygrad, given)


def _typed(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(dtype) if array.dtype == np.float32 else array


_BUILDERS: dict[str, Callable[[Workload, Arrays], Step | None]] = {
    OWN: _picograd,
    "numpy": _numpy,
    "torch": _torch,
    "torch out=": _torch_out,
    "compile": _compiled,
    "jax": _jax,
    "tinygrad": _tinygrad,
}


def as_arrays(result: Any) -> list[np.ndarray]:
    """The numbers of a result, whoever computed it, in float64."""
    parts = result if isinstance(result, tuple | list) else (result,)
    return [_as_array(part) for part in parts]


def _as_array(part: Any) -> np.ndarray:
    if hasattr(part, "detach"):  # PyTorch's, picograd's
        part = part.detach()
        if str(part.dtype).endswith("bfloat16"):
            part = part.float()
    if hasattr(part, "numpy") and not isinstance(part, np.ndarray | np.generic):
        part = part.numpy()
    return np.asarray(part).astype(np.float64)


def unusable(peer: str) -> str | None:
    """Why a peer can't be timed here, or None."""
    if importlib.util.find_spec(PEERS[peer]) is None:
        return "not installed"
    if peer == "tinygrad":
        return _tinygrad_fails()
    return None


def _tinygrad_fails() -> str | None:
    """Why tinygrad can't run: its CPU device needs clang or libLLVM, which it doesn't bring."""
    from tinygrad import Tensor

    try:
        Tensor([1.0]).exp().realize().numpy()
    except Exception as error:  # whatever it is, the other peers can be timed
        return f"it cannot compute here: {type(error).__name__}: {error}"
    return None


def version(peer: str) -> str:
    """The name and version of a peer, and the mode it is in where it has several."""
    if peer == OWN:
        import picograd

        return f"{OWN} {picograd.__version__}"
    package = PEERS[peer]
    mode = f" DEV={os.environ.get('DEV', 'default')}" if peer == "tinygrad" else ""
    return f"{package} {importlib.metadata.version(package)}{mode}"
