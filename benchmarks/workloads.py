"""The workloads: inputs, a float64 reference, and one program per kind of peer.

In: a NumPy random generator. Out: `WORKLOADS`, read by `run.py`. PyTorch and picograd run the very
same function (`program`), given the module; NumPy, JAX and tinygrad have their own where the
workload can be said in them. Every program is a factory: it prepares its inputs once and returns
`step()`, which computes one result and returns it as something `numpy.asarray` accepts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Step = Callable[[], Any]


@dataclass(frozen=True)
class Workload:
    """One row of the table. `flops` and `bytes` are what one step must at least do and move."""

    name: str
    flops: float
    bytes: float
    inputs: Callable[[np.random.Generator], Arrays]
    program: Callable[[Any, Arrays], Step]  # (torch or picograd, inputs)
    reference: Callable[[Arrays], np.ndarray] | None = None  # None: picograd's "numpy" device
    numpy: Callable[[Arrays], Step] | None = None
    jax: Callable[[Any, Arrays], Step] | None = None  # (jax, inputs)
    tinygrad: Callable[[Any, Arrays], Step] | None = None  # (tinygrad.Tensor, inputs)
    tolerance: float = 2e-5  # of the result's largest magnitude
    rounds: int = 15


def normal(**shapes: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    """Standard normal float32 inputs of the given shapes."""
    return lambda rng: {
        name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()
    }


def _tensors(torch: Any, arrays: Arrays) -> dict[str, Any]:
    return {name: torch.tensor(array) for name, array in arrays.items()}


def erf(x: np.ndarray) -> np.ndarray:
    """The error function in float64 (NumPy has none)."""
    return np.vectorize(math.erf, otypes=[np.float64])(x)


# --- matmul -----------------------------------------------------------------------------------


def matmul(size: int) -> Workload:
    def program(torch: Any, arrays: Arrays) -> Step:
        x = _tensors(torch, arrays)
        return lambda: x["a"] @ x["b"]

    def jax_program(jax: Any, arrays: Arrays) -> Step:
        a, b = jax.numpy.asarray(arrays["a"]), jax.numpy.asarray(arrays["b"])
        compiled = jax.jit(lambda a, b: a @ b)
        return lambda: compiled(a, b).block_until_ready()

    return Workload(
        f"matmul {size}",
        flops=2.0 * size**3,
        bytes=12.0 * size**2,
        inputs=normal(a=(size, size), b=(size, size)),
        program=program,
        reference=lambda x: x["a"].astype(np.float64) @ x["b"].astype(np.float64),
        numpy=lambda x: lambda: x["a"] @ x["b"],
        jax=jax_program,
        tinygrad=lambda Tensor, x: _tinygrad(Tensor, x, lambda a, b: a @ b, "a", "b"),
        rounds=15 if size <= 2048 else 5,
    )


def _tinygrad(Tensor: Any, arrays: Arrays, function: Callable[..., Any], *names: str) -> Step:
    from tinygrad import TinyJit

    inputs = [Tensor(arrays[name]).realize() for name in names]
    compiled = TinyJit(lambda *tensors: function(*tensors).realize())
    return lambda: compiled(*inputs)


# --- elementwise and rows ---------------------------------------------------------------------


def unary(
    name: str,
    torch_function: Callable[[Any, Any], Any],
    reference: Callable[[np.ndarray], np.ndarray],
    numpy_function: Callable[[np.ndarray], np.ndarray] | None,
    jax_function: Callable[[Any, Any], Any],
    tinygrad_function: Callable[[Any], Any],
    flops_per_element: float,
    result_size: int | None = None,
    shape: tuple[int, int] = (4096, 4096),
) -> Workload:
    """A function of one matrix."""
    size = shape[0] * shape[1]

    def program(torch: Any, arrays: Arrays) -> Step:
        x = torch.tensor(arrays["x"])
        return lambda: torch_function(torch, x)

    def jax_program(jax: Any, arrays: Arrays) -> Step:
        x = jax.numpy.asarray(arrays["x"])
        compiled = jax.jit(lambda x: jax_function(jax, x))
        return lambda: compiled(x).block_until_ready()

    return Workload(
        name,
        flops=flops_per_element * size,
        bytes=4.0 * (size + (size if result_size is None else result_size)),
        inputs=normal(x=shape),
        program=program,
        reference=lambda x: reference(x["x"].astype(np.float64)),
        numpy=None if numpy_function is None else lambda x: lambda: numpy_function(x["x"]),
        jax=jax_program,
        tinygrad=lambda Tensor, x: _tinygrad(Tensor, x, tinygrad_function, "x"),
    )


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _layer_norm(x: np.ndarray) -> np.ndarray:
    mean = x.mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=-1, keepdims=True) + 1e-5)


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def summation(name: str, axis: int | None) -> Workload:
    kwargs = {} if axis is None else {"axis": axis}
    return unary(
        name,
        lambda torch, x: x.sum() if axis is None else x.sum(axis),
        lambda x: x.sum(**kwargs),
        lambda x: x.sum(**kwargs),
        lambda jax, x: x.sum(**kwargs),
        lambda x: x.sum(**kwargs),
        flops_per_element=1,
        result_size=1 if axis is None else 4096,
    )


def linear_gelu() -> Workload:
    batch, fan_in, fan_out = 1024, 1024, 4096

    def program(torch: Any, arrays: Arrays) -> Step:
        t = _tensors(torch, arrays)
        functional = torch.nn.functional
        return lambda: functional.gelu(functional.linear(t["x"], t["w"], t["b"]))

    def jax_program(jax: Any, arrays: Arrays) -> Step:
        x, w, b = (jax.numpy.asarray(arrays[name]) for name in "xwb")
        compiled = jax.jit(lambda x, w, b: jax.nn.gelu(x @ w.T + b, approximate=False))
        return lambda: compiled(x, w, b).block_until_ready()

    def reference(x: Arrays) -> np.ndarray:
        return _gelu(x["x"].astype(np.float64) @ x["w"].astype(np.float64).T + x["b"])

    return Workload(
        "linear+bias+gelu",
        flops=2.0 * batch * fan_in * fan_out,
        bytes=4.0 * (batch * fan_in + fan_in * fan_out + fan_out + batch * fan_out),
        inputs=normal(x=(batch, fan_in), w=(fan_out, fan_in), b=(fan_out,)),
        program=program,
        reference=reference,
        jax=jax_program,
        tolerance=5e-5,
    )


# --- training steps ---------------------------------------------------------------------------


def mlp_adam() -> Workload:
    """784 -> 512 -> 10, batch 128: forward, cross-entropy, backward, Adam."""
    batch, sizes = 128, (784, 512, 10)

    def inputs(rng: np.random.Generator) -> Arrays:
        return {
            "x": rng.standard_normal((batch, sizes[0]), dtype=np.float32),
            "y": rng.integers(0, sizes[2], batch),
            "w1": rng.standard_normal((sizes[1], sizes[0]), dtype=np.float32) / 28,
            "b1": np.zeros(sizes[1], np.float32),
            "w2": rng.standard_normal((sizes[2], sizes[1]), dtype=np.float32) / 23,
            "b2": np.zeros(sizes[2], np.float32),
        }

    def program(torch: Any, arrays: Arrays) -> Step:
        t = _tensors(torch, arrays)
        functional = torch.nn.functional
        parameters = [t[name].requires_grad_() for name in ("w1", "b1", "w2", "b2")]
        optimizer = torch.optim.Adam(parameters, lr=1e-3)

        def step() -> Any:
            hidden = functional.relu(functional.linear(t["x"], t["w1"], t["b1"]))
            loss = functional.cross_entropy(functional.linear(hidden, t["w2"], t["b2"]), t["y"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    weights = sizes[0] * sizes[1] + sizes[1] * sizes[2]
    return Workload(
        "mlp step (Adam)",
        flops=6.0 * batch * weights - 2.0 * batch * sizes[0] * sizes[1],
        bytes=4.0 * 8 * weights,
        inputs=inputs,
        program=program,
        tolerance=1e-4,
        rounds=60,
    )


def names_step() -> Workload:
    """One step of `examples/names.py`: B=128, T=3, E=10, D=200, V=27."""
    batch, context, vocabulary, width, hidden = 128, 3, 27, 10, 200
    shapes = {
        "c": (vocabulary, width),
        "w1": (context * width, hidden),
        "b1": (hidden,),
        "w2": (hidden, hidden),
        "b2": (hidden,),
        "w3": (hidden, vocabulary),
        "b3": (vocabulary,),
    }

    def inputs(rng: np.random.Generator) -> Arrays:
        arrays: Arrays = {
            name: rng.standard_normal(shape, dtype=np.float32) * np.float32(0.1)
            for name, shape in shapes.items()
        }
        arrays["x"] = rng.integers(0, vocabulary, (batch, context))
        arrays["y"] = rng.integers(0, vocabulary, batch)
        return arrays

    def program(torch: Any, arrays: Arrays) -> Step:
        t = _tensors(torch, arrays)
        parameters = [t[name].requires_grad_() for name in shapes]
        optimizer = torch.optim.Adam(parameters, lr=1e-3)

        def step() -> Any:
            x = t["c"][t["x"]].view(-1, context * width)
            x = torch.tanh(x @ t["w1"] + t["b1"])
            x = torch.tanh(x @ t["w2"] + t["b2"])
            loss = torch.nn.functional.cross_entropy(x @ t["w3"] + t["b3"], t["y"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    weights = context * width * hidden + hidden * hidden + hidden * vocabulary
    return Workload(
        "names step (Adam)",
        flops=6.0 * batch * weights,
        bytes=4.0 * 8 * weights,
        inputs=inputs,
        program=program,
        tolerance=1e-4,
        rounds=60,
    )


WORKLOADS = [
    *(matmul(size) for size in (256, 512, 1024, 2048, 4096)),
    unary(
        "softmax 4096x4096",
        lambda torch, x: torch.softmax(x, dim=-1),
        _softmax,
        _softmax,
        lambda jax, x: jax.nn.softmax(x),
        lambda x: x.softmax(),
        flops_per_element=5,
    ),
    unary(
        "layernorm 4096x4096",
        lambda torch, x: torch.nn.functional.layer_norm(x, (4096,)),
        _layer_norm,
        _layer_norm,
        lambda jax, x: (
            (x - x.mean(-1, keepdims=True)) / jax.numpy.sqrt(x.var(-1, keepdims=True) + 1e-5)
        ),
        lambda x: x.layernorm(),
        flops_per_element=8,
    ),
    unary(
        "gelu 4096x4096",
        lambda torch, x: torch.nn.functional.gelu(x),
        _gelu,
        None,
        lambda jax, x: jax.nn.gelu(x, approximate=False),
        lambda x: x * 0.5 * (1 + (x / math.sqrt(2)).erf()),
        flops_per_element=20,
    ),
    summation("sum rows (axis 1)", 1),
    summation("sum columns (axis 0)", 0),
    summation("sum all", None),
    linear_gelu(),
    mlp_adam(),
    names_step(),
]
