"""Fully sharded training of one process: the parameters stay where they are.

In: modules. Out: `fully_shard` gives the module itself, which is now an `FSDPModule` too;
`FullyShardedDataParallel` wraps it as torch does.

>>> from picograd import nn
>>> isinstance(fully_shard(nn.Linear(1, 1)), FSDPModule)
True
"""

from __future__ import annotations

import enum
from typing import Any

from picograd.distributed.distributed_c10d import _get_default_group
from picograd.nn.module import Module
from picograd.nn.parallel import Wrapper


class ShardingStrategy(enum.Enum):
    """What torch would cut into pieces."""

    FULL_SHARD = 1
    SHARD_GRAD_OP = 2
    NO_SHARD = 3
    HYBRID_SHARD = 4


class BackwardPrefetch(enum.Enum):
    """When torch would fetch the next pieces."""

    BACKWARD_PRE = 1
    BACKWARD_POST = 2


class StateDictType(enum.Enum):
    """What a state dict has."""

    FULL_STATE_DICT = 1
    LOCAL_STATE_DICT = 2
    SHARDED_STATE_DICT = 3


class FSDPModule:
    """What a module is, too, after `fully_shard`."""

    def reshard(self) -> None:
        """Nothing to cut."""

    def unshard(self, async_op: bool = False) -> None:
        """Nothing to put together."""

    def set_requires_gradient_sync(self, requires: bool, *, recurse: bool = True) -> None:
        """Nothing to exchange."""

    def set_is_last_backward(self, is_last: bool) -> None:
        """Nothing waits for it."""


def fully_shard(module: Module, *, mesh: Any = None, **options: Any) -> Module:
    """The module, whose class is from now on an `FSDPModule` too.

    `mp_policy` and `offload_policy` would change numbers or places: NotImplementedError.
    """
    for name in ("mp_policy", "offload_policy"):
        if options.get(name) is not None:
            raise NotImplementedError(f"fully_shard with {name}: convert the module with .to()")
    if not isinstance(module, FSDPModule):
        own = type(module)
        module.__class__ = type(f"FSDP{own.__name__}", (FSDPModule, own), {})
    return module


class FullyShardedDataParallel(Wrapper):
    """A module in a wrapper with torch's arguments."""

    def __init__(
        self,
        module: Module,
        process_group: Any = None,
        sharding_strategy: ShardingStrategy | None = None,
        cpu_offload: Any = None,
        auto_wrap_policy: Any = None,
        backward_prefetch: BackwardPrefetch | None = None,
        mixed_precision: Any = None,
        **_: Any,
    ) -> None:
        super().__init__(module)
        self.process_group = process_group or _get_default_group()
        if mixed_precision is not None:
            raise NotImplementedError(
                "FullyShardedDataParallel with mixed_precision: convert the module with .to()"
            )

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Any:
        """`nn.utils.clip_grad_norm_` of all the parameters."""
        from picograd.nn.utils import clip_grad_norm_

        return clip_grad_norm_(self.parameters(), max_norm, norm_type)
