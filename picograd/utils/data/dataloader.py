"""`DataLoader`: batches of a dataset, in this process or made ahead by worker processes.

In: a dataset, an order (sampler) and a way to collate. Out: an iterable of batches.

>>> import picograd
>>> from picograd.utils.data.dataset import TensorDataset
>>> for (batch,) in DataLoader(TensorDataset(picograd.arange(5)), batch_size=2):
...     print(batch)
tensor([0, 1])
tensor([2, 3])
tensor([4])
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any

from picograd.frontend.device import get_default_device
from picograd.frontend.random import Generator
from picograd.utils.data.collate import default_collate, default_convert, pinned
from picograd.utils.data.dataset import IterableDataset
from picograd.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    fresh_seed,
)
from picograd.utils.data.workers import Crew, Fetch, Job, ParallelIterator, WorkerInfo

FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


@dataclass(frozen=True, slots=True)
class Fetching:
    """How indices become batches; goes to the workers."""

    streams: bool  # the dataset is iterated, not indexed
    batches: bool
    drop_last: bool
    collate: Callable[[Any], Any]

    def __call__(self, dataset: Any) -> Fetch:
        if not self.streams:
            return lambda index: self.collate(
                _samples(dataset, index) if self.batches else dataset[index]
            )
        stream = iter(dataset)

        def following(index: Any) -> Any:
            if not self.batches:
                return self.collate(next(stream))
            samples = list(itertools.islice(stream, len(index)))
            if not samples or (self.drop_last and len(samples) < len(index)):
                raise StopIteration
            return self.collate(samples)

        return following


def _samples(dataset: Any, indices: Any) -> list[Any]:
    several = getattr(dataset, "__getitems__", None)
    return several(indices) if several else [dataset[index] for index in indices]


class _Endless(Sampler[None]):
    """The requests for the samples of a stream: they carry no index."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class DataLoader:
    """Iterates over the batches of a dataset; each `iter` is one epoch."""

    _fixed = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = _context(multiprocessing_context, num_workers)
        self.in_order = in_order
        streams = isinstance(dataset, IterableDataset)
        if streams:
            _check_stream(shuffle, sampler, batch_sampler)
        elif sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, "
                    "sampler, and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        if sampler is None:
            if streams:
                sampler = _Endless()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        batches = batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batches else default_convert)
        self.persistent_workers = persistent_workers
        self._kept: ParallelIterator | None = None
        self._fixed = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._fixed and name in FIXED:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        object.__setattr__(self, name, value)

    @property
    def _fetching(self) -> Fetching:
        streams = isinstance(self.dataset, IterableDataset)
        batches = self.batch_sampler is not None
        return Fetching(streams, batches, self.drop_last, self.collate_fn)

    def __iter__(self) -> Iterator[Any]:
        indices = iter(self.sampler if self.batch_sampler is None else self.batch_sampler)
        batches = self._batches(indices)
        return map(pinned, batches) if self.pin_memory else batches

    def _batches(self, indices: Iterator[Any]) -> Iterator[Any]:
        if not self.num_workers:
            return _alone(self._fetching(self.dataset), indices)
        if self.persistent_workers and self._kept is not None and self._kept._crew.processes:
            return self._kept.begin(indices)
        on_gpu = not self.pin_memory and get_default_device().type == "cuda"
        iterator = ParallelIterator(self._crew(), self.prefetch_factor or 1, self.timeout, on_gpu)
        if self.persistent_workers:
            self._kept = iterator
        return iterator.begin(indices)

    def _crew(self) -> Crew:
        """Fresh workers, with seeds of their own."""
        seed = fresh_seed(self.generator)
        context = self.multiprocessing_context or multiprocessing.get_context()
        jobs = [
            Job(
                WorkerInfo(n, self.num_workers, seed + n, self.dataset),
                self._fetching,
                self.worker_init_fn,
                os.getpid(),
            )
            for n in range(self.num_workers)
        ]
        return Crew(context, jobs)

    def __len__(self) -> int:
        if not isinstance(self.dataset, IterableDataset):
            return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]
        count: int = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def _alone(fetch: Fetch, indices: Iterator[Any]) -> Iterator[Any]:
    """Batches made in this process."""
    for index in indices:
        try:
            batch = fetch(index)
        except StopIteration:
            return
        yield batch


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool
) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable "
            "multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 "
            "to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_stream(shuffle: object, sampler: object, batch_sampler: object) -> None:
    given = {"sampler": sampler, "batch_sampler": batch_sampler}
    if shuffle not in (None, False):
        given = {"shuffle": shuffle}
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got "
                f"{name}={value}"
            )


def _context(given: str | BaseContext | None, num_workers: int) -> BaseContext | None:
    """How workers are started; None for the system's default."""
    if given is None:
        return None
    if num_workers == 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > "
            f"0), but got num_workers={num_workers}"
        )
    if isinstance(given, str):
        known = multiprocessing.get_all_start_methods()
        if given not in known:
            raise ValueError(
                "multiprocessing_context option should specify a valid start method in "
                f"{known!r}, but got multiprocessing_context={given!r}"
            )
        return multiprocessing.get_context(given)
    if not isinstance(given, BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string "
            f"specifying the start method, but got multiprocessing_context={given}"
        )
    return given
