"""What a workload is, and the one way to say a function of tensors as a workload.

In: a function that runs on PyTorch and on picograd (it is given the module and tensors by name),
and twins of it for NumPy, JAX and tinygrad where they can say it. Out: `Workload`, which `run.py`
times. A workload's `program` is a factory: given the module, the tensors and what to wrap a model
or function in (`torch.compile` for one peer), it gives `step()`, which computes one result: a
tensor, several, or a Python number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Tensors = dict[str, Any]
Step = Callable[[], Any]
Wrap = Callable[[Any], Any]

# The gradient that a workload's backward starts from is an input like others.
UPSTREAM = "upstream"
# The tests run every workload at a small size: lengths are divided by this.
SHRINK = 32


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One row of the table. `flops` and `bytes` are what one step must at least do and move."""

    family: str
    name: str
    inputs: Callable[[np.random.Generator], Arrays]
    program: Callable[[Any, Tensors, Wrap], Step]  # (torch or picograd, tensors, compiler)
    out: Callable[..., Any] | None = None  # (torch, out, **tensors): the form with out=
    numpy: Callable[..., Any] | None = None  # (**arrays)
    jax: Callable[[Any, Arrays], Step] | None = None  # (jax, arrays)
    tinygrad: Callable[[Any, Tensors], Step] | None = None  # (tinygrad, tensors)
    flops: float = 0.0
    bytes: float = 0.0
    dtype: str = "float32"  # of the inputs that are floats
    tolerance: float = 2e-5  # of the result's largest magnitude
    checked: int = 1  # how many results in a row are compared: steps that train change their state
    compiles: bool = False  # whether torch.compile, which takes some 10 s to start, is measured
    tf32: bool = False  # whether a GPU may round the factors of float32 products to 10 bits
    waits: bool = False  # whether what counts on a GPU is the clock on the wall


def normal(**shapes: Sequence[int]) -> Callable[[np.random.Generator], Arrays]:
    """Standard normal float32 inputs of the given shapes."""
    return lambda rng: {
        name: rng.standard_normal(tuple(shape), dtype=np.float32) for name, shape in shapes.items()
    }


def sizes(tiny: bool) -> Callable[[int], int]:
    """How a family writes its lengths: as they are, or small enough for a test."""
    return (lambda length: max(2, length // SHRINK)) if tiny else lambda length: length


def count(*shapes: Sequence[int], width: int = 4) -> float:
    """The bytes of arrays of the given shapes."""
    return float(width * sum(prod(shape) for shape in shapes))


def computation(
    family: str,
    name: str,
    inputs: Callable[[np.random.Generator], Arrays],
    function: Callable[..., Any],
    *,
    gradients: Sequence[str] = (),
    jax: Callable[..., Any] | None = None,
    tinygrad: Callable[..., Any] | None = None,
    **described: Any,
) -> Workload:
    """A function `(torch, **tensors)`; with `gradients`, forward and backward to these inputs.

    The JAX twin is `(jax, **arrays)`, tinygrad's `(**tensors)`: their backward is derived here.
    """
    return Workload(
        family=family,
        name=name,
        inputs=inputs,
        program=_program(function, gradients),
        jax=None if jax is None else _jax_program(jax, gradients),
        tinygrad=None if tinygrad is None else _tinygrad_program(tinygrad, gradients),
        **described,
    )


def _program(
    function: Callable[..., Any], gradients: Sequence[str]
) -> Callable[[Any, Tensors, Wrap], Step]:
    def program(torch: Any, tensors: Tensors, wrap: Wrap) -> Step:
        given = {name: tensor for name, tensor in tensors.items() if name != UPSTREAM}
        wrapped = wrap(lambda **tensors: function(torch, **tensors))
        leaves = [given[name].requires_grad_() for name in gradients]

        def step() -> Any:
            for leaf in leaves:
                leaf.grad = None
            result = wrapped(**given)
            if not leaves:
                return result
            result.backward(tensors.get(UPSTREAM))
            return tuple(leaf.grad for leaf in leaves)

        return step

    return program


def _jax_program(
    function: Callable[..., Any], gradients: Sequence[str]
) -> Callable[[Any, Arrays], Step]:
    def program(jax: Any, arrays: Arrays) -> Step:
        given = {name: jax.numpy.asarray(array) for name, array in arrays.items()}

        def backward(given: dict[str, Any]) -> Any:
            rest = {name: value for name, value in given.items() if name not in gradients}
            upstream = rest.pop(UPSTREAM, None)

            def forward(leaves: dict[str, Any]) -> Any:
                return function(jax, **leaves, **rest)

            result, pull = jax.vjp(forward, {name: given[name] for name in gradients})
            found = pull(jax.numpy.ones_like(result) if upstream is None else upstream)[0]
            return tuple(found[name] for name in gradients)

        plain = backward if gradients else lambda given: function(jax, **given)
        compiled = jax.jit(plain)
        return lambda: jax.block_until_ready(compiled(given))

    return program


def _tinygrad_program(
    function: Callable[..., Any], gradients: Sequence[str]
) -> Callable[[Any, Tensors], Step]:
    def program(tinygrad: Any, tensors: Tensors) -> Step:
        names = list(tensors)

        def plain(*values: Any) -> Any:
            given = dict(zip(names, values, strict=True))
            upstream = given.pop(UPSTREAM, None)
            result = function(**given)
            if not gradients:
                return result.realize()
            found = result.gradient(*(given[name] for name in gradients), gradient=upstream)
            return tuple(part.realize() for part in found)

        compiled, device = tinygrad.TinyJit(plain), tinygrad.Device[tinygrad.Device.DEFAULT]

        def step() -> Any:
            result = compiled(*tensors.values())
            device.synchronize()
            return result

        return step

    return program
