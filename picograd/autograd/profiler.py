"""`torch.autograd.profiler`: the older path to `picograd.profiler`.

In and out: see there.

>>> import picograd
>>> with profile() as run:
...     total = picograd.ones(3).exp().sum().item()
>>> len(run.key_averages()) > 0
True
"""

from typing import Any

from picograd.profiler import ProfilerAction, record_function
from picograd.profiler import profile as _profile

__all__ = ["profile", "record_function"]


class profile(_profile):
    """`profiler.profile`, which may be switched off."""

    def __init__(self, enabled: bool = True, **options: Any) -> None:
        super().__init__(schedule=None if enabled else lambda step: ProfilerAction.NONE)
