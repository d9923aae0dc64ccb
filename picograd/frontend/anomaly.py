"""Anomaly detection: backward stops at the first gradient that is NaN, and says where it began.

In: `detect_anomaly()` around forward and backward, or `set_detect_anomaly(True)`. Out: RuntimeError
that names the step, after a warning with the user's line that recorded it. It computes every
gradient as it arrives, so it is slow.

>>> import picograd, warnings
>>> warnings.simplefilter("ignore")
>>> with detect_anomaly():
...     x = picograd.tensor([0.0], requires_grad=True)
...     (x.sqrt() * 0).sum().backward()
Traceback (most recent call last):
    ...
RuntimeError: Function 'SqrtBackward0' returned nan values in its 0th output.
"""

from __future__ import annotations

import warnings

from picograd.frontend.registry import operation
from picograd.frontend.tape import Gradients, GradNode
from picograd.frontend.watching import ANOMALY


class set_detect_anomaly:
    """Switch anomaly detection on or off at once; as a context manager, until its end."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = (ANOMALY.enabled, ANOMALY.check_nan)
        ANOMALY.enabled, ANOMALY.check_nan = bool(mode), check_nan

    def __enter__(self) -> None:
        pass

    def __exit__(self, *details: object) -> None:
        ANOMALY.enabled, ANOMALY.check_nan = self._before


class detect_anomaly:
    """Within it, backward raises where a gradient becomes NaN."""

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan

    def __enter__(self) -> None:
        self._mode = set_detect_anomaly(True, self._check_nan)

    def __exit__(self, *details: object) -> None:
        self._mode.__exit__()


@operation(method=False)
def is_anomaly_enabled() -> bool:
    """Whether backward looks for NaN."""
    return ANOMALY.enabled


def check(node: GradNode, results: Gradients) -> None:
    """Raise RuntimeError if a step gave a NaN."""
    if not ANOMALY.check_nan:
        return
    for number, gradient in enumerate(results):
        if gradient is not None and bool(gradient.isnan().any()):
            line = ANOMALY.lines.get(node)
            if line is not None:
                warnings.warn(
                    f"Error detected in {node.name()}. It was recorded at {line}", stacklevel=2
                )
            raise RuntimeError(
                f"Function '{node.name()}' returned nan values in its {number}th output."
            )
