"""Data parallel training of one process: wrappers that run the module.

In: a module. Out: the wrapper, whose attribute `module` it is, so that parameters and state dicts
have torch's names (`module.weight`).

>>> from picograd import nn
>>> list(DataParallel(nn.Linear(1, 1, bias=False)).state_dict())
['module.weight']
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from picograd.cuda.opening import check_device
from picograd.nn.module import Module


class Wrapper(Module):
    """A module that runs another one."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's result."""
        return self.module(*inputs, **kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients add up without being exchanged, as they always do."""
        yield


class DataParallel(Wrapper):
    """A module that torch would copy to several GPUs."""

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__(module)
        for device in device_ids or ():
            check_device(device)
        self.device_ids: list[Any] = []
        self.output_device, self.dim = output_device, dim


class DistributedDataParallel(Wrapper):
    """A module whose gradients torch would average over processes. It needs a process group."""

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        **_: Any,
    ) -> None:
        from picograd.distributed.distributed_c10d import _get_default_group

        super().__init__(module)
        self.process_group = process_group or _get_default_group()
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter "
                "that requires a gradient."
            )
        self.device_ids, self.output_device, self.dim = device_ids, output_device, dim
        self.broadcast_buffers, self.find_unused_parameters = (
            broadcast_buffers,
            find_unused_parameters,
        )

    @contextlib.contextmanager
    def join(self, *_: Any, **__: Any) -> Iterator[None]:
        """Processes with fewer batches would wait here."""
        yield


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """The module's result for a tensor or a tuple of arguments."""
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*given, **(module_kwargs or {}))


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """The tensors of a structure in one piece per device, a structure for each."""
    count = len(target_gpus)
    if hasattr(inputs, "tensor_split"):
        return inputs.chunk(count, dim)
    if isinstance(inputs, (tuple, list)):
        parts = zip(*(scatter(entry, target_gpus, dim) for entry in inputs), strict=False)
        return [type(inputs)(part) for part in parts]
    if isinstance(inputs, dict):
        parts = zip(*(scatter(entry, target_gpus, dim) for entry in inputs.values()), strict=False)
        return [dict(zip(inputs, part, strict=True)) for part in parts]
    return [inputs] * count


def gather(outputs: Sequence[Any], target_device: Any = None, dim: int = 0) -> Any:
    """Pieces put together again."""
    from picograd.frontend.movement import cat

    first = outputs[0]
    if isinstance(first, dict):
        return {key: gather([part[key] for part in outputs], target_device, dim) for key in first}
    if isinstance(first, (tuple, list)):
        return type(first)(
            gather(parts, target_device, dim) for parts in zip(*outputs, strict=True)
        )
    return cat(list(outputs), dim)
