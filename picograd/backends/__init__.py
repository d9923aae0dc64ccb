"""Switches of torch's backends, accepted and without an effect: there is one backend, our own.

In: assignments such as `backends.cudnn.benchmark = True`. Out: objects that remember them, and
`is_available()` answers.

>>> cudnn.benchmark = True
>>> mps.is_available()
False
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class _Backend(SimpleNamespace):
    """Flags by name; any flag may be set."""

    def is_available(self) -> bool:
        """Whether torch's library of this name is there: it isn't."""
        return False

    is_built = is_available

    def flags(self, **_: Any) -> Any:
        """A context that sets flags: it changes nothing."""
        from contextlib import nullcontext

        return nullcontext()


cudnn = _Backend(enabled=False, benchmark=False, deterministic=False, allow_tf32=True)
mps = _Backend()
mkldnn = _Backend(enabled=False)
openmp = _Backend()
cuda = _Backend(matmul=_Backend(allow_tf32=False), enable_flash_sdp=lambda enabled: None)
