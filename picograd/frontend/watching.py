"""What the tape watches besides gradients: writes to what it saved, and where NaN began.

In: steps of the tape, and the storages that torch's formulas save. Out: torch's error when such a
storage was written before backward; for anomaly detection (`frontend/anomaly.py`), the user's line
of each step. Called by `frontend/tape.py`, and by `Tensor._overwrite` when it writes.

>>> import picograd
>>> x = picograd.ones(2, requires_grad=True)
>>> y = x.exp()
>>> y.add_(1).sum().backward()  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
RuntimeError: one of the variables needed for gradient computation has been modified by an ...
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from picograd.frontend.storage import Storage
    from picograd.frontend.tape import Edge, GradNode
    from picograd.frontend.tensor import Tensor

Versions = list[tuple["weakref.ref[Storage]", int]]


def check_versions(node: GradNode, versions: Versions) -> None:
    """Raise torch's error if something that a step saved was written since.

    What is saved here can't change, so the gradient would be that of the old contents; a program
    that torch refuses is refused all the same.
    """
    for reference, version in versions:
        storage = reference()
        if storage is not None and storage.version != version:
            shape = list(storage.node.shape)
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: a {storage.node.dtype} tensor of shape {shape}, saved by "
                f"{node.name()}, is at version {storage.version}; expected version {version} "
                "instead. Hint: enable anomaly detection to find the operation that failed to "
                "compute its gradient, with torch.autograd.set_detect_anomaly(True)."
            )


def watch_factors(result: Tensor, first: Tensor, second: Tensor) -> None:
    """Let the last step of a product notice writes to a factor that the other's gradient needs."""
    meta = result._meta
    node: Any = None if meta is None or meta.edge is None else meta.edge[0]
    if hasattr(node, "versions"):
        node.versions = [
            (weakref.ref(one._storage), one._storage.version)
            for one, other in ((first, second), (second, first))
            if other._edge() is not None
        ]


_NEAR = 32


def forgive(value: Edge, before: Edge | None, storage: Storage) -> None:
    """When a value is written to a storage: the steps that made it of the old contents, whose edge
    is `before`, may have saved those (`x.mul_(w)`), and their gradients are right."""
    first = -1 if before is None else before[0].sequence
    stack: list[GradNode] = [value[0]]
    seen: set[GradNode] = set()
    while stack and len(seen) < _NEAR:
        node = stack.pop()
        if node in seen or node.sequence <= first:
            continue
        seen.add(node)
        versions: Versions | None = getattr(node, "versions", None)
        if versions:
            kept = [entry for entry in versions if entry[0]() is not storage]
            node.versions = kept  # type: ignore[attr-defined]
        stack.extend([below[0] for below in node.edges if below is not None])


class _Anomaly:
    """Whether backward looks for NaN, and which of the user's lines recorded each step."""

    enabled = False
    check_nan = True

    def __init__(self) -> None:
        self.lines: weakref.WeakKeyDictionary[GradNode, str] = weakref.WeakKeyDictionary()

    def note(self, node: GradNode) -> None:
        """Remember where a step is recorded."""
        from picograd.frontend.primitives import user_line

        self.lines[node] = user_line() or "an unknown line"


ANOMALY = _Anomaly()
