"""The group of processes, which is this one, and the questions about it.

In: `init_process_group`'s arguments, or the environment variables RANK and WORLD_SIZE that
launchers set. Out: the answers of a group of one. Everything that needs the group raises
ValueError before there is one, as torch does.

>>> get_default_backend_for_device("cpu")
'gloo'
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any


class Backend(str):
    """The name of a way to communicate, in lower case."""

    UNDEFINED, GLOO, NCCL, MPI, UCC, XCCL = "undefined", "gloo", "nccl", "mpi", "ucc", "xccl"
    backend_list = ("undefined", "gloo", "nccl", "xccl", "ucc", "mpi")

    def __new__(cls, name: str) -> Backend:
        """Raises ValueError for what is no string."""
        if not isinstance(name, str):
            raise ValueError(f"Backend constructor parameter must be string-ish, not {name!r}")
        return super().__new__(cls, name.lower())


class ProcessGroup:
    """The processes that work together: this one."""

    def __init__(self, backend: str = "gloo", name: str = "0") -> None:
        self.backend, self.group_name = Backend(backend), name

    def rank(self) -> int:
        """This process's number."""
        return 0

    def size(self) -> int:
        """How many processes there are."""
        return 1

    def name(self) -> str:
        """The backend's name."""
        return self.backend


class GroupMember:
    """`WORLD`, the group of all processes, once there is one; and what a stranger gets instead."""

    WORLD: ProcessGroup | None = None
    NON_GROUP_MEMBER = -100


group = GroupMember


def is_available() -> bool:
    """Whether groups can be made."""
    return True


def is_gloo_available() -> bool:
    """Whether the CPU's backend exists."""
    return True


def is_nccl_available() -> bool:
    """Whether CUDA's backend exists."""
    return False


def is_mpi_available() -> bool:
    """Whether MPI's backend exists."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether a launcher started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_initialized() -> bool:
    """Whether there is a group."""
    return GroupMember.WORLD is not None


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Make the group of this process alone.

    ValueError if there is one already; NotImplementedError if more processes should be in it;
    RuntimeError for a backend that needs other hardware.
    """
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    name = Backend((backend or "gloo").partition(":")[2].partition(",")[0] or backend or "gloo")
    if name in (Backend.NCCL, Backend.MPI, Backend.UCC, Backend.XCCL):
        raise RuntimeError(
            f"Distributed package doesn't have {name.upper()} built in: use the backend 'gloo'"
        )
    size = int(os.environ.get("WORLD_SIZE", 1)) if world_size < 0 else world_size
    number = int(os.environ.get("RANK", 0)) if rank < 0 else rank
    if size != 1 or number != 0:
        raise NotImplementedError(
            f"init_process_group of rank {number} of {size} processes: picograd runs in one "
            "process; start the program with world_size=1"
        )
    GroupMember.WORLD = ProcessGroup(name)


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Forget the group."""
    if _get_default_group() is (group or GroupMember.WORLD):
        GroupMember.WORLD = None


def _get_default_group() -> ProcessGroup:
    if GroupMember.WORLD is None:
        raise ValueError(
            "Default process group has not been initialized, please make sure to call "
            "init_process_group."
        )
    return GroupMember.WORLD


def get_rank(group: ProcessGroup | None = None) -> int:
    """This process's number in a group."""
    return (group or _get_default_group()).rank()


def get_world_size(group: ProcessGroup | None = None) -> int:
    """How many processes a group has."""
    return (group or _get_default_group()).size()


def get_backend(group: ProcessGroup | None = None) -> Backend:
    """How a group communicates."""
    return (group or _get_default_group()).backend


def get_default_backend_for_device(device: Any) -> str:
    """The backend for tensors of a device."""
    return "nccl" if str(device).startswith("cuda") else "gloo"


def get_process_group_ranks(group: ProcessGroup | None) -> list[int]:
    """The numbers of a group's processes."""
    return list(range(get_world_size(group)))


def new_group(
    ranks: Sequence[int] | None = None, timeout: Any = None, backend: str | None = None, **_: Any
) -> ProcessGroup | int:
    """A group of some of the processes."""
    world = _get_default_group()
    if ranks is not None and 0 not in ranks:
        return GroupMember.NON_GROUP_MEMBER
    if ranks is not None and list(ranks) != [0]:
        raise ValueError(f"new_group of ranks {list(ranks)}: there is one process, of rank 0")
    return ProcessGroup(backend or world.backend)


def new_subgroups(
    group_size: int | None = None, group: ProcessGroup | None = None, **_: Any
) -> tuple[ProcessGroup | int, list[ProcessGroup | int]]:
    """The processes in groups of one size: one group."""
    world = get_world_size(group)
    if (group_size or world) > world:
        raise ValueError(f"The group size ({group_size}) must not exceed the world size ({world})")
    own = new_group([0])
    return own, [own]
