"""What the processes of a group do together, where the group has one process.

In: tensors, and objects that pickle. Out: each receives what its only sender, itself, has. All
check that there is a group, that ranks are 0 and that sizes fit.

>>> import picograd
>>> from picograd import distributed
>>> distributed.init_process_group(world_size=1, rank=0)
>>> x = picograd.ones(2)
>>> all_reduce(x); x
tensor([1., 1.])
>>> distributed.destroy_process_group()
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, NoReturn

from picograd.distributed.distributed_c10d import ProcessGroup, _get_default_group
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.tensor import Tensor

Group = ProcessGroup | None


class ReduceOp(enum.Enum):
    """How values of several processes become one; of one process they stay."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


class Work:
    """A communication that has happened."""

    def __init__(self, result: Any = None) -> None:
        self._result = result

    def wait(self, timeout: Any = None) -> bool:
        """True: it is done."""
        return True

    def is_completed(self) -> bool:
        """True."""
        return True

    def is_success(self) -> bool:
        """True."""
        return True

    def result(self) -> Any:
        """What was received."""
        return self._result


def _done(async_op: bool, result: Any = None) -> Work | None:
    return Work(result) if async_op else None


def _check(group: Group, *ranks: int | None) -> None:
    _ = group or _get_default_group()
    if any(rank not in (0, None) for rank in ranks):
        raise ValueError(f"ranks {ranks}: the group has one process, of rank 0")


def _one(tensors: Sequence[Any], name: str) -> Any:
    if len(tensors) != 1:
        raise RuntimeError(f"{name}: {len(tensors)} tensors for a group of 1 process")
    return tensors[0]


def _copy(target: Tensor, source: Tensor) -> None:
    if target.numel() != source.numel():
        raise RuntimeError(
            f"a tensor of shape {list(source.shape)} does not fit into one of {list(target.shape)} "
            "in a group of 1 process"
        )
    with no_grad():
        target.copy_(source.reshape(target.shape))


def barrier(group: Group = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait for all processes."""
    _check(group)
    return _done(async_op)


def monitored_barrier(
    group: Group = None, timeout: Any = None, wait_all_ranks: bool = False
) -> None:
    """Wait for all processes."""
    _check(group)


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Group = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """One process's tensor for all."""
    _check(group, src, group_src)
    return _done(async_op, [tensor])


def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Group = None, async_op: bool = False
) -> Work | None:
    """All processes' tensors combined, for all."""
    _check(group)
    return _done(async_op, [tensor])


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: ReduceOp = ReduceOp.SUM,
    group: Group = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """All processes' tensors combined, for one."""
    _check(group, dst, group_dst)
    return _done(async_op, [tensor])


def all_gather(
    tensor_list: list[Tensor], tensor: Tensor, group: Group = None, async_op: bool = False
) -> Work | None:
    """All processes' tensors in a list, for all."""
    _check(group)
    _copy(_one(tensor_list, "all_gather"), tensor)
    return _done(async_op, tensor_list)


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Group = None, async_op: bool = False
) -> Work | None:
    """All processes' tensors one after the other, for all."""
    _check(group)
    _copy(output_tensor, input_tensor)
    return _done(async_op, output_tensor)


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int | None = None,
    group: Group = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """All processes' tensors in a list, for one."""
    _check(group, dst, group_dst)
    _copy(_one(gather_list or (), "gather"), tensor)
    return _done(async_op, gather_list)


def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int | None = None,
    group: Group = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """One of a process's tensors for each."""
    _check(group, src, group_src)
    _copy(tensor, _one(scatter_list or (), "scatter"))
    return _done(async_op, [tensor])


def reduce_scatter(
    output: Tensor,
    input_list: list[Tensor],
    op: ReduceOp = ReduceOp.SUM,
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Lists combined element by element, of which each process gets one."""
    _check(group)
    _copy(output, _one(input_list, "reduce_scatter"))
    return _done(async_op, output)


def reduce_scatter_tensor(
    output: Tensor,
    input: Tensor,
    op: ReduceOp = ReduceOp.SUM,
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Tensors combined, of which each process gets a piece."""
    _check(group)
    _copy(output, input)
    return _done(async_op, output)


def all_to_all(
    output_tensor_list: list[Tensor],
    input_tensor_list: list[Tensor],
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Each process's tensors for each other."""
    _check(group)
    _copy(_one(output_tensor_list, "all_to_all"), _one(input_tensor_list, "all_to_all"))
    return _done(async_op, output_tensor_list)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Each process's pieces for each other."""
    _check(group)
    _copy(output, input)
    return _done(async_op, output)


def all_gather_object(object_list: list[Any], obj: Any, group: Group = None) -> None:
    """All processes' objects, for all."""
    _check(group)
    _one(object_list, "all_gather_object")
    object_list[0] = obj


def gather_object(
    obj: Any,
    object_gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: Group = None,
    group_dst: int | None = None,
) -> None:
    """All processes' objects, for one."""
    _check(group, dst, group_dst)
    _one(object_gather_list or (), "gather_object")
    assert object_gather_list is not None
    object_gather_list[0] = obj


def broadcast_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Group = None,
    device: Any = None,
    group_src: int | None = None,
) -> None:
    """One process's objects for all."""
    _check(group, src, group_src)


def scatter_object_list(
    scatter_object_output_list: list[Any],
    scatter_object_input_list: list[Any] | None = None,
    src: int | None = None,
    group: Group = None,
    group_src: int | None = None,
) -> None:
    """One of a process's objects for each."""
    _check(group, src, group_src)
    scatter_object_output_list[0] = _one(scatter_object_input_list or (), "scatter_object_list")


def _to_itself(*args: Any, **kwargs: Any) -> NoReturn:
    """Needs another process. Raises ValueError, as torch does when a process sends to itself."""
    _get_default_group()
    raise ValueError("send and recv need another process, and the group has one")


send = recv = isend = irecv = _to_itself
