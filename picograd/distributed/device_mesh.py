"""A grid of devices, where there is one device.

In: a device's type and a shape of ones. Out: the mesh, which programs ask for sizes and groups.

>>> mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("data", "model"))
>>> mesh["model"].size(), mesh.get_local_rank("data")
(1, 0)
>>> distributed_c10d.destroy_process_group()
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from picograd.distributed import distributed_c10d
from picograd.distributed.distributed_c10d import ProcessGroup
from picograd.dtypes import int64
from picograd.frontend.creation import zeros
from picograd.frontend.tensor import Tensor

Dim = int | str | None


class DeviceMesh:
    """One device, at every place of a grid whose extents are 1."""

    def __init__(
        self, device_type: str, mesh: Any, *, mesh_dim_names: Sequence[str] | None = None, **_: Any
    ) -> None:
        shape = tuple(mesh.shape) if isinstance(mesh, Tensor) else _shape_of(mesh)
        if math.prod(shape) != 1:
            raise RuntimeError(f"a mesh of shape {shape} needs {math.prod(shape)} processes, not 1")
        self.device_type, self.shape = device_type, shape
        self.mesh = zeros(shape, dtype=int64)
        self.mesh_dim_names = None if mesh_dim_names is None else tuple(mesh_dim_names)
        if not distributed_c10d.is_initialized():
            distributed_c10d.init_process_group("gloo", world_size=1, rank=0)

    @property
    def ndim(self) -> int:
        """How many dimensions the grid has."""
        return len(self.shape)

    def size(self, mesh_dim: Dim = None) -> int:
        """How many devices there are, or along one dimension."""
        return 1

    def _place(self, dim: Dim) -> int:
        names = self.mesh_dim_names or ()
        if isinstance(dim, str) and dim not in names:
            raise KeyError(f"Invalid mesh_dim_name {dim!r}: the mesh has {names}")
        return names.index(dim) if isinstance(dim, str) else dim or 0

    def get_group(self, mesh_dim: Dim = None) -> ProcessGroup:
        """The group along a dimension."""
        self._place(mesh_dim)
        return distributed_c10d._get_default_group()

    def get_rank(self) -> int:
        """This process's number."""
        return 0

    def get_local_rank(self, mesh_dim: Dim = None) -> int:
        """This process's place along a dimension."""
        self._place(mesh_dim)
        return 0

    def get_coordinate(self) -> list[int]:
        """This process's place."""
        return [0] * self.ndim

    def __getitem__(self, names: str | tuple[str, ...]) -> DeviceMesh:
        chosen = (names,) if isinstance(names, str) else names
        for name in chosen:
            self._place(name)
        return DeviceMesh(self.device_type, zeros((1,) * len(chosen)), mesh_dim_names=chosen)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeviceMesh) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.device_type, self.shape, self.mesh_dim_names

    def __repr__(self) -> str:
        return f"DeviceMesh('{self.device_type}', {self.mesh.tolist()}, {self.mesh_dim_names})"


def _shape_of(mesh: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(mesh, (list, tuple)):
        shape.append(len(mesh))
        mesh = mesh[0] if mesh else None
    return tuple(shape)


def init_device_mesh(
    device_type: str, mesh_shape: Sequence[int], *, mesh_dim_names: Sequence[str] | None = None
) -> DeviceMesh:
    """The mesh of a shape, whose extents must be 1."""
    if mesh_dim_names is not None and len(mesh_dim_names) != len(mesh_shape):
        raise RuntimeError(
            "mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): "
            f"{len(mesh_dim_names)} and len(mesh_shape):{len(mesh_shape)}."
        )
    if math.prod(mesh_shape) != 1:
        raise RuntimeError(f"Mesh of shape {tuple(mesh_shape)} in a world of 1 process")
    return DeviceMesh(device_type, zeros(tuple(mesh_shape)), mesh_dim_names=mesh_dim_names)
