"""Functions of rows: softmax, norms and cross-entropy, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from workloads.base import Arrays, Workload, computation, normal, sizes

EPSILON = 1e-5


def row_function(
    name: str,
    shape: tuple[int, ...],
    function: Callable[[Any, Any], Any],
    jax: Callable[[Any, Any], Any],
    *,
    numpy: Callable[[Any], Any] | None = None,
    tinygrad: Callable[[Any], Any] | None = None,
    out: Callable[..., Any] | None = None,
    backward: bool = False,
    compiles: bool = False,
) -> Workload:
    """A function of one array that keeps its shape; `backward`: forward and the gradient."""
    elements = float(np.prod(shape))
    return computation(
        "rows",
        name,
        normal(x=shape, **({"upstream": shape} if backward else {})),
        function,
        gradients=("x",) if backward else (),
        numpy=None if backward else numpy,
        jax=jax,
        tinygrad=None if backward else tinygrad,
        out=out,
        flops=elements * (12 if backward else 6),
        bytes=4 * elements * (3 if backward else 2),
        compiles=compiles,
    )


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _centred(x: Any, axes: Any) -> Any:
    """What layer and batch norm are without their weights, for NumPy and JAX alike."""
    centred = x - x.mean(axes, keepdims=True)
    return centred * ((centred * centred).mean(axes, keepdims=True) + EPSILON) ** -0.5


def cross_entropy(name: str, rows: int, classes: int, backward: bool) -> Workload:
    """The mean loss of logits against class numbers; `backward`: and the logits' gradient."""

    def inputs(rng: np.random.Generator) -> Arrays:
        x = rng.standard_normal((rows, classes), dtype=np.float32)
        return {"x": x, "y": rng.integers(0, classes, rows)}

    def jax_function(jax: Any, x: Any, y: Any) -> Any:
        scores = jax.nn.log_softmax(x)
        return -jax.numpy.take_along_axis(scores, y[:, None], 1).mean()

    return computation(
        "rows",
        name,
        inputs,
        lambda torch, x, y: torch.nn.functional.cross_entropy(x, y),
        gradients=("x",) if backward else (),
        jax=jax_function,
        tinygrad=None if backward else lambda x, y: x.sparse_categorical_crossentropy(y),
        flops=float(rows * classes * (8 if backward else 4)),
        bytes=4.0 * rows * classes * (2 if backward else 1),
        compiles=backward,
    )


def ladder(tiny: bool = False) -> list[Workload]:
    n = sizes(tiny)
    square = (n(4096), n(4096))
    image = (n(64), n(64), max(n(64), 4), max(n(64), 4))

    def layer_norm(torch: Any, x: Any) -> Any:
        return torch.nn.functional.layer_norm(x, x.shape[-1:])

    def rms_norm(torch: Any, x: Any) -> Any:
        return torch.nn.functional.rms_norm(x, x.shape[-1:], eps=EPSILON)

    def batch_norm(torch: Any, x: Any) -> Any:
        return torch.nn.functional.batch_norm(x, None, None, training=True)

    def softmax(torch: Any, x: Any) -> Any:
        return torch.softmax(x, -1)

    def log_softmax(torch: Any, x: Any) -> Any:
        return torch.log_softmax(x, -1)

    def jax_softmax(jax: Any, x: Any) -> Any:
        return jax.nn.softmax(x)

    def jax_layer(jax: Any, x: Any) -> Any:
        return _centred(x, -1)

    def jax_rms(jax: Any, x: Any) -> Any:
        return x * ((x * x).mean(-1, keepdims=True) + EPSILON) ** -0.5

    def jax_batch(jax: Any, x: Any) -> Any:
        return _centred(x, (0, 2, 3))

    def jax_log(jax: Any, x: Any) -> Any:
        return jax.nn.log_softmax(x)

    return [
        row_function(
            *("softmax", square, softmax, jax_softmax),
            numpy=_softmax,
            tinygrad=lambda x: x.softmax(),
            out=lambda torch, out, x: torch.softmax(x, -1, out=out),
            compiles=True,
        ),
        row_function("softmax, backward", square, softmax, jax_softmax, backward=True),
        row_function(
            *("softmax over columns", square),
            lambda torch, x: torch.softmax(x, 0),
            lambda jax, x: jax.nn.softmax(x, 0),
        ),
        row_function(
            "log_softmax", square, log_softmax, jax_log, tinygrad=lambda x: x.log_softmax()
        ),
        row_function(
            *("layer norm", square, layer_norm, jax_layer),
            numpy=lambda x: _centred(x, -1),
            tinygrad=lambda x: x.layernorm(),
            compiles=True,
        ),
        row_function("layer norm, backward", square, layer_norm, jax_layer, backward=True),
        row_function("layer norm, rows of 768", (n(16384), n(768)), layer_norm, jax_layer),
        row_function("RMS norm", square, rms_norm, jax_rms),
        row_function("RMS norm, backward", square, rms_norm, jax_rms, backward=True),
        row_function("batch norm (training)", image, batch_norm, jax_batch),
        row_function("batch norm, backward", image, batch_norm, jax_batch, backward=True),
        cross_entropy("cross-entropy", n(2048), n(8192), False),
        cross_entropy("cross-entropy, backward", n(2048), n(8192), True),
    ]
