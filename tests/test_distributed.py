"""Process groups of one process, as torch's gloo group of one."""

from __future__ import annotations

import socket

import pytest

import picograd
from picograd import distributed, nn, optim
from picograd.distributed import checkpoint
from picograd.distributed.checkpoint import state_dict as states
from picograd.distributed.device_mesh import init_device_mesh
from picograd.distributed.fsdp import FSDPModule, FullyShardedDataParallel, fully_shard
from picograd.distributed.tensor import Replicate, Shard, distribute_tensor


@pytest.fixture
def group():
    distributed.init_process_group("gloo", rank=0, world_size=1)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def into(call, *given):
    """What the tensors of a call are after it."""
    call(*given)
    return given


# Each is the same program for torch and picograd: d is the module `distributed`.
PROGRAMS = {
    "rank": lambda m, d: (d.get_rank(), d.get_world_size(), str(d.get_backend())),
    "all_reduce": lambda m, d: into(d.all_reduce, m.arange(3.0)),
    "all_reduce max": lambda m, d: into(lambda x: d.all_reduce(x, op=d.ReduceOp.MAX), m.ones(2)),
    "broadcast": lambda m, d: into(d.broadcast, m.arange(3.0), 0),
    "reduce": lambda m, d: into(d.reduce, m.arange(3.0), 0),
    "all_gather": lambda m, d: into(d.all_gather, [m.zeros(3)], m.arange(3.0))[0],
    "all_gather sizes": lambda m, d: d.all_gather([m.zeros(3), m.zeros(3)], m.arange(3.0)),
    "into tensor": lambda m, d: into(d.all_gather_into_tensor, m.zeros(3), m.arange(3.0)),
    "scatter": lambda m, d: into(d.scatter, m.zeros(2), [m.ones(2)]),
    "gather": lambda m, d: into(d.gather, m.ones(2), [m.zeros(2)])[1],
    "objects": lambda m, d: into(d.all_gather_object, [None], {"a": 1})[0],
    "asynchronous": lambda m, d: d.all_reduce(m.ones(2), async_op=True).wait(),
    "barrier": lambda m, d: d.barrier(),
    "twice": lambda m, d: d.init_process_group("gloo", rank=0, world_size=1),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_torch(name, group):
    torch = pytest.importorskip("torch")
    from tests.frontend.twins import same

    if not torch.distributed.is_available():
        pytest.skip("this build of torch has no process groups")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=0, world_size=1)
    try:
        same(lambda m: PROGRAMS[name](m, m.distributed), messages=False)
    finally:
        torch.distributed.destroy_process_group()


WITHOUT_A_GROUP = [
    lambda: distributed.get_rank(),
    lambda: distributed.all_reduce(picograd.ones(1)),
    lambda: distributed.barrier(),
    lambda: nn.parallel.DistributedDataParallel(nn.Linear(1, 1)),
]


@pytest.mark.parametrize("call", WITHOUT_A_GROUP)
def test_there_must_be_a_group(call):
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        call()


def test_one_process_only(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(NotImplementedError, match="4 processes"):
        distributed.init_process_group("gloo")
    with pytest.raises(RuntimeError, match="NCCL"):
        distributed.init_process_group("nccl", world_size=1, rank=0)
    assert not distributed.is_initialized()


WRAPPERS = {
    "DataParallel": nn.DataParallel,
    "DistributedDataParallel": nn.parallel.DistributedDataParallel,
    "FullyShardedDataParallel": FullyShardedDataParallel,
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_train(name, group):
    plain = nn.Linear(2, 1)
    wrapped = WRAPPERS[name](plain)
    x = picograd.randn(4, 2)
    wrapped(x).sum().backward()
    assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]
    assert picograd.equal(plain.weight.grad, x.sum(0, keepdim=True))


def test_fully_shard():
    model = nn.Sequential(nn.Linear(2, 2))
    assert fully_shard(model[0]) is model[0] and isinstance(model[0], (FSDPModule, nn.Linear))
    with pytest.raises(NotImplementedError, match="mp_policy"):
        fully_shard(model, mp_policy=object())


def test_meshes(group):
    mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("a", "b"))
    assert (mesh.ndim, mesh.size(), mesh["b"].mesh_dim_names) == (2, 1, ("b",))
    x = distribute_tensor(picograd.arange(4.0), mesh["a"], [Shard(0)])
    assert x.placements[0].is_shard(0) and x.redistribute(placements=[Replicate()]).full_tensor()[3]
    with pytest.raises(RuntimeError):
        init_device_mesh("cpu", (2,))
    with pytest.raises(KeyError):
        _ = mesh["c"]


def trained():
    model = nn.Linear(2, 1)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    model(picograd.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def test_checkpoints_restore_a_run(tmp_path):
    (model, optimizer), (other, fresh) = trained(), trained()
    state = {"model": states.get_model_state_dict(model), "step": 3}
    state["optimizer"] = states.get_optimizer_state_dict(model, optimizer)
    checkpoint.save(state, storage_writer=checkpoint.FileSystemWriter(tmp_path))
    target = {"model": states.get_model_state_dict(other), "step": 0}
    target["optimizer"] = states.get_optimizer_state_dict(other, fresh)
    checkpoint.load(target, storage_reader=checkpoint.FileSystemReader(tmp_path))
    states.set_model_state_dict(other, target["model"])
    states.set_optimizer_state_dict(other, fresh, target["optimizer"])
    for one, its in ((model, optimizer), (other, fresh)):
        one(picograd.ones(1, 2)).square().sum().backward()
        its.step()
    assert target["step"] == 3 and picograd.equal(model.weight, other.weight)
    with pytest.raises(RuntimeError, match="Missing key"):
        checkpoint.load({"nothing": 1}, checkpoint_id=tmp_path)


SAMPLERS = [
    {"num_replicas": 3, "rank": 1, "shuffle": False},
    {"num_replicas": 4, "rank": 3, "shuffle": False, "drop_last": True},
    {"num_replicas": 7, "rank": 6, "shuffle": False},
    {"num_replicas": 2, "rank": 2},
]


@pytest.mark.parametrize("options", SAMPLERS, ids=str)
def test_samplers(options):
    pytest.importorskip("torch")
    from tests.frontend.twins import same

    def program(m):
        found = m.utils.data.distributed.DistributedSampler(range(5), **options)
        return list(found), len(found)

    same(program, messages=False)


def test_epochs_shuffle_alike_in_all_processes():
    make = picograd.utils.data.DistributedSampler
    parts = [make(range(10), num_replicas=2, rank=rank) for rank in (0, 1)]
    first = [list(part) for part in parts]
    assert sorted(first[0] + first[1]) == list(range(10))
    for part in parts:
        part.set_epoch(1)
    assert [list(part) for part in parts] != first
