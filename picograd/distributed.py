"""Several processes: not supported, so programs learn that they are alone.

In: questions. Out: `is_available()` is False; what would talk to others raises RuntimeError.

>>> is_available(), is_initialized()
(False, False)
"""

from __future__ import annotations

from typing import Any, NoReturn


def is_available() -> bool:
    """Whether processes can work together."""
    return False


def is_initialized() -> bool:
    """Whether they do."""
    return False


def _alone(*args: Any, **kwargs: Any) -> NoReturn:
    """Needs other processes."""
    raise RuntimeError(
        "picograd has no distributed support: ask `torch.distributed.is_available()` first"
    )


init_process_group = destroy_process_group = barrier = broadcast = all_reduce = all_gather = _alone
get_rank = get_world_size = _alone
