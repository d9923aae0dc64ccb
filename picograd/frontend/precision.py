"""How exactly products of float32 are summed: torch's `allow_tf32` and its other names.

In: the switches of `picograd.backends.cuda.matmul` and `set_float32_matmul_precision`. Out:
`coarse()`, which `primitives.reduce` puts into the graph, so that a program computes as it was
written, whenever it runs. Only GPUs have TensorFloat32: ten bits after the point; sums are float32.

>>> set_float32_matmul_precision("high"), coarse()
(None, True)
>>> set_float32_matmul_precision("highest"), coarse()
(None, False)
"""

from __future__ import annotations

_PRECISIONS = ("highest", "high", "medium")
_current = ["highest"]


def coarse() -> bool:
    """Whether factors of float32 may be rounded to TensorFloat32."""
    return _current[0] != "highest"


def get_float32_matmul_precision() -> str:
    """What was set; "highest" at first."""
    return _current[0]


def set_float32_matmul_precision(precision: str) -> None:
    """ "high" and "medium" are TensorFloat32."""
    if precision not in _PRECISIONS:
        raise RuntimeError(f"Invalid float32 matmul precision: {precision}")
    _current[0] = precision
