"""Runs the same expression in picograd and in torch and compares everything a program could see.

In: a function of (module, tensors) and sample arrays. Out: an AssertionError that names what
differs: values, shapes, dtypes, gradients, or the exception's type. picograd computes on the
device "numpy", the executable semantics, so a failure here is a mistake of the frontend.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

Sample = np.ndarray
SEED = 20240607


def sample(spec: object, rng: np.random.Generator) -> object:
    """An array of a specification: a shape (float32), (dtype, shape), an array, or a number."""
    if isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[0], str):
        kind, shape = spec
        if kind == "bool":
            return rng.random(shape) < 0.5
        if kind == "positive":
            return (rng.random(shape) * 3 + 0.1).astype(np.float32)
        if kind == "unit":
            return (rng.random(shape) * 1.8 - 0.9).astype(np.float32)
        if kind.startswith(("int", "uint")):
            low = 0 if kind[0] == "u" else -5
            return rng.integers(low, 6, shape).astype(kind)
        return rng.standard_normal(shape).astype(kind)
    if isinstance(spec, tuple):
        return rng.standard_normal(spec).astype(np.float32)
    return spec


def _tensors(module: object, arrays: Sequence[object], grad: bool) -> list[object]:
    made = []
    for array in arrays:
        if not isinstance(array, np.ndarray):
            made.append(array)
            continue
        needs = grad and array.dtype.kind == "f"
        made.append(module.tensor(array.copy(), requires_grad=needs))
    return made


def flatten(result: object) -> list[object]:
    """The tensors and numbers of a result, in order."""
    if isinstance(result, (tuple, list)):
        return [leaf for one in result for leaf in flatten(one)]
    if isinstance(result, dict):
        return [leaf for key in sorted(result) for leaf in flatten(result[key])]
    return [result]


def _is_tensor(value: object) -> bool:
    return isinstance(value, (picograd.Tensor, torch.Tensor))


def _array(value: object) -> np.ndarray:
    value = value.detach()
    if str(value.dtype) in ("torch.bfloat16", "torch.float16"):
        value = value.float()
    return value.numpy()


def compare(ours: object, theirs: object, rtol: float, atol: float, what: str) -> None:
    """Assert that two results have the same structure, dtypes, shapes and (nearly) values."""
    mine, other = flatten(ours), flatten(theirs)
    assert len(mine) == len(other), f"{what}: {len(mine)} results, torch has {len(other)}"
    for number, (a, b) in enumerate(zip(mine, other, strict=True)):
        if not _is_tensor(b):
            assert a == b or (a != a and b != b) or abs(a - b) < 1e-5, f"{what}: {a} != {b}"
            continue
        assert _is_tensor(a), f"{what}: not a tensor: {a!r}"
        assert repr(a.dtype) == repr(b.dtype), f"{what} {number}: {a.dtype}, torch {b.dtype}"
        assert tuple(a.shape) == tuple(b.shape), f"{what} {number}: {a.shape}, torch {b.shape}"
        np.testing.assert_allclose(
            _array(a), _array(b), rtol=rtol, atol=atol, err_msg=f"{what} {number}"
        )


def _run(module: object, function: Callable[..., object], tensors: list[object]) -> object:
    try:
        return function(module, *tensors)
    except Exception as error:  # the type is what is compared
        return error


def _backward(module: object, result: object) -> None:
    total = None
    for number, one in enumerate(flatten(result)):
        if _is_tensor(one) and one.requires_grad and one.is_floating_point():
            weights = module.arange(one.numel(), dtype=one.dtype).reshape(one.shape) * 0.1 + 0.5
            part = (one * weights).sum() * (number + 1)
            total = part if total is None else total + part
    if total is not None:
        total.backward()


def check(
    function: Callable[..., object],
    *specs: object,
    grad: bool = True,
    rtol: float = 2e-5,
    atol: float = 2e-6,
) -> None:
    """Assert that `function(module, *tensors)` does the same in picograd and torch."""
    rng = np.random.default_rng(SEED)
    arrays = [sample(spec, rng) for spec in specs]
    picograd.set_default_device(os.environ.get("DEVICE", "numpy"))
    try:
        tensors = _tensors(picograd, arrays, grad), _tensors(torch, arrays, grad)
        ours = _run(picograd, function, tensors[0])
        theirs = _run(torch, function, tensors[1])
        if isinstance(theirs, Exception):
            assert isinstance(ours, Exception), f"torch raises {theirs!r}, picograd gives {ours!r}"
            assert isinstance(ours, type(theirs)) or type(ours) is type(theirs), (
                f"torch raises {theirs!r}, picograd {ours!r}"
            )
            return
        if isinstance(ours, Exception):
            raise AssertionError(f"picograd raises {ours!r}, torch gives {theirs!r}") from ours
        compare(ours, theirs, rtol, atol, "result")
        if not grad:
            return
        _backward(picograd, ours)
        _backward(torch, theirs)
        for number, (a, b) in enumerate(zip(*tensors, strict=True)):
            if not _is_tensor(b) or not b.requires_grad:
                continue
            mine = getattr(a, "grad", None)
            other = torch.zeros_like(b) if b.grad is None else b.grad
            if mine is None:
                mine = picograd.zeros_like(a)
            compare(mine, other, rtol * 5, atol * 5, f"gradient {number}")
    finally:
        picograd.set_default_device(None)
