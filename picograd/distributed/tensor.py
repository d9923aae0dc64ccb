"""Tensors spread over a mesh of one device: each is whole.

In: tensors, a mesh and placements. Out: `DTensor`, a tensor that knows them.

>>> import picograd
>>> from picograd.distributed.device_mesh import init_device_mesh
>>> x = distribute_tensor(picograd.ones(2), init_device_mesh("cpu", (1,)), [Shard(0)])
>>> x.to_local().tolist(), x.placements
([1.0, 1.0], (Shard(dim=0),))
>>> picograd.distributed.destroy_process_group()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from picograd.distributed.device_mesh import DeviceMesh as DeviceMesh
from picograd.distributed.device_mesh import init_device_mesh as init_device_mesh
from picograd.frontend import creation, random
from picograd.frontend.tensor import Tensor


class Placement:
    """How a tensor lies along one dimension of a mesh."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether it is cut along a dimension."""
        return isinstance(self, Shard) and dim in (None, self.dim)

    def is_replicate(self) -> bool:
        """Whether every device has all of it."""
        return isinstance(self, Replicate)

    def is_partial(self) -> bool:
        """Whether devices have parts of a sum."""
        return isinstance(self, Partial)


@dataclass(frozen=True)
class Shard(Placement):
    """Cut along a dimension."""

    dim: int


@dataclass(frozen=True)
class Replicate(Placement):
    """The same everywhere."""


@dataclass(frozen=True)
class Partial(Placement):
    """To be combined."""

    reduce_op: str = "sum"


class DTensor(Tensor):
    """A tensor with a mesh and placements. Operations on it give plain tensors."""

    device_mesh: DeviceMesh
    placements: tuple[Placement, ...]

    @staticmethod
    def from_local(
        local_tensor: Tensor,
        device_mesh: DeviceMesh | None = None,
        placements: Sequence[Placement] | None = None,
        **_: Any,
    ) -> DTensor:
        """The tensor whose only piece this is."""
        mesh = device_mesh or init_device_mesh("cpu", (1,))
        found = local_tensor.view_as(local_tensor).as_subclass(DTensor)
        found.device_mesh = mesh
        found.placements = tuple(placements or [Replicate()] * mesh.ndim)
        return found

    def to_local(self, *, grad_placements: Any = None) -> Tensor:
        """This process's piece: all of it."""
        return self.view_as(self).as_subclass(Tensor)

    def full_tensor(self, *, grad_placements: Any = None) -> Tensor:
        """All the pieces."""
        return self.to_local()

    def redistribute(
        self,
        device_mesh: DeviceMesh | None = None,
        placements: Sequence[Placement] | None = None,
        **_: Any,
    ) -> DTensor:
        """The tensor with other placements."""
        return DTensor.from_local(self, device_mesh or self.device_mesh, placements)


def distribute_tensor(
    tensor: Tensor,
    device_mesh: DeviceMesh | None = None,
    placements: Sequence[Placement] | None = None,
    **_: Any,
) -> DTensor:
    """A tensor spread over a mesh."""
    return DTensor.from_local(tensor, device_mesh, placements)


def distribute_module(
    module: Any, device_mesh: DeviceMesh | None = None, *_: Any, **__: Any
) -> Any:
    """The module, whose parameters are whole."""
    return module


def _spread(make: Callable[..., Tensor]) -> Callable[..., DTensor]:
    def function(
        *size: Any,
        device_mesh: DeviceMesh | None = None,
        placements: Sequence[Placement] | None = None,
        **options: Any,
    ) -> DTensor:
        return DTensor.from_local(make(*size, **options), device_mesh, placements)

    function.__doc__ = f"`{make.__name__}`, spread over a mesh."
    return function


zeros, ones, empty = _spread(creation.zeros), _spread(creation.ones), _spread(creation.empty)
rand, randn = _spread(random.rand), _spread(random.randn)
