"""Locks after a fork.

In: a function that replaces a module's locks. Out: nothing; it runs in every forked child, where a
lock that another thread of the parent held would never be released.

>>> renew_in_child(lambda: None)
"""

from __future__ import annotations

import os
from collections.abc import Callable


def renew_in_child(renew: Callable[[], None]) -> None:
    """Call `renew` in the child of every fork (systems without fork have none)."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)
