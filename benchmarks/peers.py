"""The frameworks that are timed: how each gets its inputs, its step, and its numbers back.

In: the name of a peer, a workload, a device. Out: `step()`, finished when it returns; on a GPU,
handed over to it. Called by `run.py`, `gpu.py`, `memory.py` and the tests.
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
    "torch math": "torch",
    "cupy": "cupy",
    "jax": "jax",
    "triton": "triton",
    "tinygrad": "tinygrad",
}
ONLY_CPU = ("numpy", "torch out=", "tinygrad")
ONLY_GPU = ("torch math", "cupy", "triton")


def tensors(module: Any, arrays: Arrays, dtype: str, device: str | None = None) -> Tensors:
    """The arrays as tensors of PyTorch's or picograd's; those of floats in the asked type."""
    made = {name: module.tensor(array, device=device) for name, array in arrays.items()}
    target = getattr(module, dtype)
    return {n: t.to(target) if t.is_floating_point() else t for n, t in made.items()}


def build(peer: str, workload: Workload, arrays: Arrays, device: str | None = None) -> Step | None:
    """The step of a peer on a device (None: its own default), or None where the workload has none
    for it."""
    return _BUILDERS[peer](workload, arrays, device)


def _picograd(workload: Workload, arrays: Arrays, device: str | None) -> Step:
    import picograd
    from picograd import engine

    _allow_tf32(picograd, workload)
    given = tensors(picograd, arrays, workload.dtype, device)
    step = workload.program(picograd, given, lambda f: f)
    picograd.synchronize()
    # It is lazy: a step ends when its numbers are there, or when a GPU has been told of them.
    finish = engine.realize_pending if device == "cuda" else picograd.synchronize

    def finished() -> Any:
        result = step()
        finish()
        return result

    return finished


def _allow_tf32(module: Any, workload: Workload) -> None:
    """Say to PyTorch or picograd how exact products of float32 are to be."""
    module.backends.cuda.matmul.allow_tf32 = workload.tf32
    module.backends.cudnn.allow_tf32 = workload.tf32


def _numpy(workload: Workload, arrays: Arrays, device: str | None) -> Step | None:
    function = workload.numpy
    if function is None:
        return None
    given = {name: _typed(array, workload.dtype) for name, array in arrays.items()}
    return lambda: function(**given)


def _torch(workload: Workload, arrays: Arrays, device: str | None) -> Step:
    import torch

    _allow_tf32(torch, workload)
    return workload.program(torch, tensors(torch, arrays, workload.dtype, device), lambda f: f)


def _torch_math(workload: Workload, arrays: Arrays, device: str | None) -> Step | None:
    """Attention that stores its scores."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if workload.family != "attention":
        return None
    step = _torch(workload, arrays, device)

    def plain() -> Any:
        with sdpa_kernel(SDPBackend.MATH):
            return step()

    return plain


def _cupy(workload: Workload, arrays: Arrays, device: str | None) -> Step | None:
    """The twin for NumPy: its functions, given CuPy's arrays, are CuPy's."""
    import cupy

    function = workload.numpy
    if function is None or workload.tf32:
        return None
    given = {name: cupy.asarray(_typed(array, workload.dtype)) for name, array in arrays.items()}
    return lambda: function(**given)


def _triton(workload: Workload, arrays: Arrays, device: str | None) -> Step | None:
    import torch
    import triton_kernels

    function = triton_kernels.FUNCTIONS.get(workload.name)
    if function is None:
        return None
    given = tensors(torch, arrays, workload.dtype, device)
    return lambda: function(**given)


def _torch_out(workload: Workload, arrays: Arrays, device: str | None) -> Step | None:
    import torch

    function = workload.out
    if function is None:
        return None
    given = tensors(torch, arrays, workload.dtype)
    out = torch.empty_like(_torch(workload, arrays, device)())
    return lambda: function(torch, out, **given)


def _compiled(workload: Workload, arrays: Arrays, device: str | None) -> Step | None:
    import torch

    if not workload.compiles:
        return None
    torch._dynamo.reset()  # what was compiled before counts towards a limit
    _allow_tf32(torch, workload)
    given = tensors(torch, arrays, workload.dtype, device)
    return workload.program(torch, given, torch.compile)


def _jax(workload: Workload, arrays: Arrays, device: str | None) -> Step | None:
    import jax

    exact = "tensorfloat32" if workload.tf32 else "highest"
    jax.config.update("jax_default_matmul_precision", exact)
    jax.config.update("jax_enable_x64", True)  # or float64 and int64 would be halved
    if workload.jax is None:
        return None
    given = {name: _typed(array, workload.dtype) for name, array in arrays.items()}
    return workload.jax(jax, given)


def _tinygrad(workload: Workload, arrays: Arrays, device: str | None) -> Step | None:
    import tinygrad

    if workload.tinygrad is None:
        return None
    given = {name: tinygrad.Tensor(array).realize() for name, array in arrays.items()}
    return workload.tinygrad(tinygrad, given)


def _typed(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(dtype) if array.dtype == np.float32 else array


_BUILDERS: dict[str, Callable[[Workload, Arrays, str | None], Step | None]] = {
    OWN: _picograd,
    "numpy": _numpy,
    "torch": _torch,
    "torch out=": _torch_out,
    "compile": _compiled,
    "torch math": _torch_math,
    "cupy": _cupy,
    "jax": _jax,
    "triton": _triton,
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
        part = part.cpu()
    if hasattr(part, "get") and hasattr(part, "device"):  # CuPy's
        part = part.get()
    if hasattr(part, "numpy") and not isinstance(part, np.ndarray | np.generic):
        part = part.numpy()
    return np.asarray(part).astype(np.float64)


def unusable(peer: str, device: str | None = None) -> str | None:
    """Why a peer can't be timed on a device, or None."""
    if peer in (ONLY_CPU if device == "cuda" else ONLY_GPU):
        return "for the CPU only" if device == "cuda" else "for a GPU only"
    if importlib.util.find_spec(PEERS[peer]) is None:
        return "not installed"
    if peer == "tinygrad":
        return _tinygrad_fails()
    return _has_no_gpu(peer) if device == "cuda" else None


def _has_no_gpu(peer: str) -> str | None:
    """Why an installed peer can't use the GPU, or None."""
    try:
        if peer == "jax":
            import jax

            return None if jax.default_backend() == "gpu" else "this JAX is for the CPU"
        if peer == "cupy":
            import cupy

            return None if cupy.cuda.runtime.getDeviceCount() else "it sees no GPU"
        import torch

        return None if torch.cuda.is_available() else "this PyTorch sees no GPU"
    except Exception as error:  # whatever it is, the other peers can be timed
        return f"it cannot compute here: {type(error).__name__}: {error}"


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
