"""Datasets, samplers, collation and loaders against torch; worker processes under duress."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")
MODULES = (picograd, torch)
Pair = namedtuple("Pair", "a b")


def plain(value):
    """Contents and types without the library's names."""
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return (str(value.dtype), tuple(value.shape), value.tolist())
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [plain(one) for one in value])
    return value


def both(expression: str):
    """An expression's value, or its error, in both libraries."""
    found = []
    for module in MODULES:
        scope = {"m": module, "d": module.utils.data, "np": np, "OrderedDict": OrderedDict,
                 "Pair": Pair, "plain": plain}  # fmt: skip
        try:
            found.append(plain(eval(expression, scope)))
        except Exception as e:
            found.append((type(e), str(e)))
    return found


ROWS = "d.TensorDataset(m.arange(10).view(5, 2), m.arange(5.0))"
SAME = [
    f"len({ROWS}), {ROWS}[1], {ROWS}[1:3]",
    "d.TensorDataset(m.ones(2), m.ones(3))",
    f"d.StackDataset({ROWS}, {ROWS})[2]",
    f"d.StackDataset(x={ROWS})[0]",
    "d.StackDataset()",
    "d.StackDataset([1], [1, 2])",
    "d.StackDataset([1], x=[1])",
    "[d.ConcatDataset([[1, 2], [3], [4, 5]])[n] for n in (0, 2, 4, -1, -5)]",
    "d.ConcatDataset([[1, 2], [3]])[-4]",
    "d.ConcatDataset([])",
    "d.Subset([5, 6, 7], [2, 0])[1], d.Subset([5, 6, 7], [2, 0]).__getitems__([0, 1])",
    "d.Dataset()[0]",
    "[len(p) for p in d.random_split(range(10), [0.5, 0.3, 0.2])]",
    "[len(p) for p in d.random_split(range(10), [0.33, 0.33, 0.34])]",
    "sorted(x for p in d.random_split(range(10), [3, 7]) for x in p)",
    "d.random_split(range(10), [3, 6])",
    "d.random_split(range(10), [1.5, -0.5])",
    "list(d.BatchSampler(range(7), 3, False)), list(d.BatchSampler(range(7), 3, True))",
    "len(d.BatchSampler(range(7), 3, False)), len(d.BatchSampler(range(7), 3, True))",
    "d.BatchSampler(range(7), 0, False)",
    "d.BatchSampler(range(7), 2, 0)",
    "sorted(d.RandomSampler(range(7))), len(list(d.RandomSampler(range(3), True, 100)))",
    "sorted(d.RandomSampler(range(3), num_samples=6)), len(d.RandomSampler(range(3)))",
    "d.RandomSampler([])",
    "d.RandomSampler([1], replacement=3)",
    "sorted(d.SubsetRandomSampler([4, 6, 8]))",
    "set(d.WeightedRandomSampler([0.0, 1.0, 0.0, 3.0], 200)), len(d.WeightedRandomSampler([1], 5))",
    "sorted(d.WeightedRandomSampler([1.0, 1.0, 0.0, 3.0], 3, replacement=False))",
    "d.WeightedRandomSampler([[1.0]], 1)",
    "d.WeightedRandomSampler([1.0], 0)",
    "d.default_collate([1, 2]), d.default_collate([True, False]), d.default_collate([1.5, 2])",
    "d.default_collate(['a', 'b']), d.default_collate([b'a'])",
    "d.default_collate([(1, 'a'), (2, 'b')]), d.default_collate([[1, 2.0], [2, 3.0]])",
    "d.default_collate([{'a': 1, 'b': (2, 3)}, {'a': 4, 'b': (5, 6)}])",
    "d.default_collate([OrderedDict(a=1), OrderedDict(a=2)])",
    "d.default_collate([Pair(1, 2.0), Pair(3, 4.0)])",
    "d.default_collate([np.arange(3), np.arange(3)])",
    "d.default_collate([np.float32(1), np.float32(2)])",
    "d.default_collate([m.ones(2, 3).t(), m.zeros(3, 2)])",
    "d.default_collate([m.tensor(1), m.tensor(2)])",
    "d.default_collate([m.ones(2), m.ones(2) * 3])",
    "d.default_collate([[1, 2], [1]])",
    "d.default_collate([object])",
    "d.default_collate([np.array(['a'])])",
    "d.default_collate([None])",
    "d.default_convert([np.arange(2), 'a', {'b': np.int64(3)}, (1, np.ones(1))])",
    f"list(d.DataLoader({ROWS}, 2))",
    f"list(d.DataLoader({ROWS}, 2, drop_last=True)), len(d.DataLoader({ROWS}, 2, drop_last=True))",
    f"list(d.DataLoader({ROWS}, batch_size=None)), len(d.DataLoader({ROWS}, batch_size=None))",
    f"list(d.DataLoader({ROWS}, batch_sampler=[[4, 0], [1]])), len(d.DataLoader({ROWS}, 3))",
    f"list(d.DataLoader({ROWS}, 2, sampler=[3, 1, 2]))",
    "list(d.DataLoader(d.Subset([5, 6, 7], [2, 0]), 2))",
    "list(d.DataLoader([1, 2, 3], 2, collate_fn=lambda b: sum(b)))",
    f"d.DataLoader({ROWS}, num_workers=-1)",
    f"d.DataLoader({ROWS}, timeout=-1)",
    f"d.DataLoader({ROWS}, prefetch_factor=2)",
    f"d.DataLoader({ROWS}, persistent_workers=True)",
    f"d.DataLoader({ROWS}, sampler=[1], shuffle=True)",
    f"d.DataLoader({ROWS}, batch_sampler=[[1]], batch_size=3)",
    f"d.DataLoader({ROWS}, batch_size=None, drop_last=True)",
    f"d.DataLoader({ROWS}, batch_size=0)",
    f"d.DataLoader({ROWS}, multiprocessing_context='fork')",
    f"d.DataLoader({ROWS}, multiprocessing_context='x', num_workers=1)",
    f"setattr(d.DataLoader({ROWS}), 'batch_size', 3)",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("expression", SAME)
def test_same_as_torch(expression):
    ours, theirs = both(expression)
    assert ours == theirs


def test_modules_that_programs_import_from():
    from picograd.utils.data.dataloader import DataLoader, default_collate
    from picograd.utils.data.dataset import Dataset
    from picograd.utils.data.sampler import Sampler

    data = picograd.utils.data
    found = (DataLoader, default_collate, Dataset, Sampler)
    assert found == (data.DataLoader, data.default_collate, data.Dataset, data.Sampler)


def test_seeds_repeat_an_order():
    orders = []
    for seed in (1, 1, 2):
        picograd.manual_seed(seed)
        loader = picograd.utils.data.DataLoader(range(50), batch_size=50, shuffle=True)
        orders.append(next(iter(loader)).tolist())
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == list(range(50))
    generators = [picograd.Generator().manual_seed(3) for _ in range(2)]
    loaders = [
        picograd.utils.data.DataLoader(range(9), shuffle=True, generator=g) for g in generators
    ]
    assert [x.item() for x in loaders[0]] == [x.item() for x in loaders[1]]


def test_gradients_go_through_collation():
    w = picograd.ones(2, requires_grad=True)
    picograd.utils.data.default_collate([w, w * 2]).sum().backward()
    assert w.grad.tolist() == [3, 3]


# --- worker processes ---------------------------------------------------------------------------


class Squares(picograd.utils.data.Dataset):
    """Computes in the worker; misbehaves at an index on request."""

    def __init__(self, length, act=None, at=-1):
        self.length, self.act, self.at = length, act, at

    def __getitem__(self, index):
        if index == self.at:
            self.act()
        return picograd.arange(3.0) * index

    def __len__(self):
        return self.length


class Stream(picograd.utils.data.IterableDataset):
    """A part of some numbers per worker."""

    def __init__(self, count):
        self.count = count

    def __iter__(self):
        info = picograd.utils.data.get_worker_info()
        begin, step = (info.id, info.num_workers) if info else (0, 1)
        return iter(range(begin, self.count, step))

    def __len__(self):
        return self.count


def loader(*args, **kwargs):
    kwargs.setdefault("timeout", 30)
    return picograd.utils.data.DataLoader(*args, **kwargs)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_give_the_same_batches_in_order(start):
    (picograd.rand(300, 300) @ picograd.rand(300, 300)).sum().item()  # the pool has threads now
    data = Squares(11)
    batches = loader(data, 2, num_workers=2, multiprocessing_context=start)
    expected = [batch.tolist() for batch in loader(data, 2, timeout=0)]
    for _ in range(2):
        assert [batch.tolist() for batch in batches] == expected


def test_large_batches_and_long_requests_do_not_block():
    """More bytes in both directions than a pipe holds."""
    data = list(range(60000))
    batches = loader(data, 30000, num_workers=1, prefetch_factor=4)
    assert sum(batch.sum().item() for batch in batches) == sum(data)


def test_streams_are_shared_by_workers():
    for workers in (0, 1, 3):
        batches = loader(Stream(10), 2, num_workers=workers, timeout=30 if workers else 0)
        assert sorted(x for batch in batches for x in batch.tolist()) == list(range(10))
        assert len(batches) == 5
    uneven = [batch.tolist() for batch in loader(Stream(7), 2, num_workers=2)]
    assert uneven == both_workers(7)


def both_workers(count):
    class Twin(torch.utils.data.IterableDataset):
        def __iter__(self):
            info = torch.utils.data.get_worker_info()
            return iter(range(info.id, count, info.num_workers))

    return [b.tolist() for b in torch.utils.data.DataLoader(Twin(), 2, num_workers=2)]


def test_persistent_workers_stay():
    pids = []
    batches = loader(Pids(), None, num_workers=1, persistent_workers=True)
    for _ in range(3):
        pids += list(batches)
    assert len(set(pids)) == 1 and pids[0] != os.getpid()
    batches._kept.close()


class Pids(picograd.utils.data.Dataset):
    def __getitem__(self, index):
        return os.getpid()

    def __len__(self):
        return 2


class Infos(Pids):
    def __getitem__(self, index):
        info = picograd.utils.data.get_worker_info()
        draws = [np.random.rand(), picograd.rand(1).item()]
        return [info.id, info.num_workers, info.dataset is self, seen[0], *draws]


seen = [-1]


def _note(worker):
    seen[0] = worker


def test_worker_info_and_seeds():
    first, second = list(loader(Infos(), None, num_workers=2, worker_init_fn=_note))
    assert first[:4] == [0, 2, True, 0] and second[:4] == [1, 2, True, 1]
    assert first[4] != second[4] and first[5] != second[5] and seen == [-1]


def _fail():
    raise KeyError("the key that is missing")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_here(workers):
    batches = iter(loader(Squares(6, _fail, 3), None, num_workers=workers))
    assert [next(batches)[1].item() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError) as caught:
        next(batches)
    text = str(caught.value)
    assert f"in DataLoader worker process {3 % workers}" in text
    assert "the key that is missing" in text and "_fail" in text


def test_an_error_while_a_worker_starts():
    with pytest.raises(RuntimeError, match="in DataLoader worker process 0"):
        list(loader(Squares(3), num_workers=1, worker_init_fn=lambda n: exec("raise RuntimeError")))


def test_a_dead_worker_is_an_error_not_a_wait():
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(loader(Squares(8, lambda: os._exit(3), 5), None, num_workers=2, timeout=0))
    assert time.monotonic() - begin < 20


def test_a_slow_worker_times_out():
    batches = loader(Squares(2, lambda: time.sleep(60), 1), None, num_workers=1, timeout=1)
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="timed out after 1 seconds"):
        list(batches)
    assert time.monotonic() - begin < 20


def test_an_iterator_that_is_dropped_ends_its_workers():
    batches = iter(loader(Squares(100), None, num_workers=2))
    next(batches)
    workers = list(batches._crew.processes)
    del batches
    assert not any(worker.is_alive() for worker in workers)


def test_a_program_that_stops_early_ends():
    program = (
        "import picograd\n"
        "loader = picograd.utils.data.DataLoader(list(range(1000)), num_workers=2)\n"
        "kept = iter(loader)\n"
        "print(next(kept).item())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout.strip() == "0" and done.returncode == 0, done.stderr
