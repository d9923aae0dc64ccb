"""`torch.cuda.random`: one generator serves all devices, the CPU's.

In: seeds and states. Out: the same. Without a GPU, seeds are accepted and do nothing.

>>> from picograd.cuda import is_available
>>> len(get_rng_state_all()) == int(is_available())
True
"""

from __future__ import annotations

from typing import Any

from picograd.frontend import random
from picograd.runtime import cuda as runtime


def _present() -> bool:
    return runtime.why_not() is None


def _check() -> None:
    reason = runtime.why_not()
    if reason is not None:
        raise AssertionError(f"Torch not compiled with CUDA enabled: {reason}")


def manual_seed(seed: int) -> None:
    """Seed the generator."""
    if _present():
        random.manual_seed(seed)


manual_seed_all = manual_seed


def seed() -> None:
    """Seed the generator from the operating system."""
    if _present():
        random.seed()


seed_all = seed


def initial_seed() -> int:
    """The seed of the generator."""
    _check()
    return random.initial_seed()


def get_rng_state(device: Any = None) -> Any:
    """The state of the generator."""
    _check()
    return random.get_rng_state()


def set_rng_state(new_state: Any, device: Any = None) -> None:
    """Restore what `get_rng_state` gave."""
    _check()
    random.set_rng_state(new_state)


def get_rng_state_all() -> list[Any]:
    """The state of each GPU's generator: without a GPU, none."""
    return [get_rng_state()] if _present() else []


def set_rng_state_all(new_states: Any) -> None:
    """Restore what `get_rng_state_all` gave."""
    for state in new_states:
        set_rng_state(state)
