"""Worker processes of a `DataLoader`: what runs in one, and the parent's side of all of them.

In: a dataset and how its samples become batches. Out: batches in order. Each worker has two pipes
of its own, one for requests and one for results: no lock and no queue is shared, so a worker that
dies can't leave one taken. The parent waits for results and for the death of workers at once.
A worker reads its requests in a thread, so that a parent that sends never waits for a worker
that sends. Where the program makes its tensors on a GPU, the workers make theirs on the CPU (a
forked process may not use a GPU), and batches move to the GPU as they arrive.

>>> get_worker_info() is None
True
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, cast

import numpy as np

from picograd.utils.data.collate import on_gpu

Fetch = Callable[[Any], Any]
STOPPED, FAILED, DONE = "stopped", "failed", "done"
PARENT_CHECK = 2.0  # seconds between looks whether the parent still lives
PATIENCE = 1.0  # seconds that a worker has to end by itself


@dataclass(slots=True)
class WorkerInfo:
    """What a worker knows of itself."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: list[WorkerInfo | None] = [None]


def get_worker_info() -> WorkerInfo | None:
    """In a worker process: which one it is. In the main process: None."""
    return _info[0]


@dataclass(slots=True)
class Job:
    """What a worker is started with."""

    info: WorkerInfo
    make_fetch: Callable[[Any], Fetch]  # given the dataset; called again for every epoch
    initialise: Callable[[int], Any] | None
    parent: int


def work(job: Job, requests: Connection, results: Connection, inherited: list[Connection]) -> None:
    """The life of a worker: `(epoch, number, index)` in, `(epoch, number, what, payload)` out."""
    for connection in inherited:  # a fork's copies would hide the parent's closing them
        connection.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends us
    fetch: Fetch | None = None
    failure = None
    try:
        _prepare(job)
    except Exception:
        failure = _described(job.info.id)
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(job, requests, waiting), daemon=True).start()
    current = None
    while (request := waiting.get()) is not None:
        epoch, number, index = request
        what, payload = FAILED, failure
        if failure is None:
            try:
                if epoch != current or fetch is None:
                    current, fetch = epoch, job.make_fetch(job.info.dataset)
                what, payload = DONE, pickle.dumps(fetch(index), protocol=5)
            except StopIteration:
                what, payload = STOPPED, None
            except Exception:
                what, payload = FAILED, _described(job.info.id)
        try:
            results.send((epoch, number, what, payload))
        except OSError:
            return  # the parent has closed its end


def _prepare(job: Job) -> None:
    """Seeds of the worker's own, one thread, and the user's function."""
    import picograd

    _info[0] = job.info
    seed = job.info.seed
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if picograd.get_default_device().type == "cuda":
        picograd.set_default_device("cpu")
    picograd.manual_seed(seed)
    picograd.set_num_threads(1)
    if job.initialise is not None:
        job.initialise(job.info.id)


def _receive(job: Job, requests: Connection, waiting: queue.SimpleQueue[Any]) -> None:
    """Requests as they come; None when there will be no more."""
    try:
        while True:
            if requests.poll(PARENT_CHECK):
                waiting.put(requests.recv())
            elif os.getppid() != job.parent:
                break
    except (EOFError, OSError):
        pass
    waiting.put(None)


def _described(worker: int) -> tuple[bytes, str, str]:
    """An exception as its pickled type, that type's name and a text with the traceback."""
    kind, _, _ = sys.exc_info()
    assert kind is not None
    try:
        raw = pickle.dumps(kind)
    except Exception:
        raw = pickle.dumps(RuntimeError)
    text = (
        f"Caught {kind.__name__} in DataLoader worker process {worker}.\n"
        f"Original {traceback.format_exc()}"
    )
    return raw, kind.__name__, text


class _Text(str):
    """A message whose repr is itself: KeyError shows the repr of its argument."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def raise_described(payload: tuple[bytes, str, str]) -> None:
    """Raise a worker's exception here."""
    raw, _, text = payload
    kind = pickle.loads(raw)
    try:
        error = kind(_Text(text) if kind is KeyError else text)
    except Exception:
        error = RuntimeError(text)
    raise error


def _pipe(context: BaseContext) -> tuple[Connection, Connection]:
    """The two ends of a new pipe: what is sent into the second is received from the first."""
    return cast("tuple[Connection, Connection]", context.Pipe(duplex=False))


class Crew:
    """All the workers of one iterator."""

    def __init__(self, context: BaseContext, jobs: list[Job]) -> None:
        self.requests: list[Connection] = []
        self.results: list[Connection] = []
        self.processes: list[Any] = []
        forks = context.get_start_method() == "fork"
        process = getattr(context, "Process")  # noqa: B009  (the base class has no such attribute)
        for job in jobs:
            theirs_in, ours_out = _pipe(context)
            ours_in, theirs_out = _pipe(context)
            self.requests.append(ours_out)
            self.results.append(ours_in)
            inherited = [*self.requests, *self.results] if forks else []
            worker = process(target=work, args=(job, theirs_in, theirs_out, inherited), daemon=True)
            worker.start()
            theirs_in.close()
            theirs_out.close()
            self.processes.append(worker)

    def send(self, worker: int, request: Any) -> None:
        """Ask a worker for a batch."""
        try:
            self.requests[worker].send(request)
        except OSError:
            self._report_death([worker])

    def receive(self, timeout: float) -> tuple[int, Any]:
        """The next message of any worker, and whose it is.

        Raises RuntimeError when a worker has died, or after `timeout` seconds (0: never).
        """
        deadline = time.monotonic() + timeout if timeout else None
        places = {id(one): n for n, one in enumerate(self.results)}
        sentinels = {one.sentinel: n for n, one in enumerate(self.processes)}
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = wait([*self.results, *sentinels], left)
            if not ready:
                raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
            for one in ready:
                if isinstance(one, Connection):
                    worker = places[id(one)]
                    with contextlib.suppress(EOFError, OSError):
                        return worker, one.recv()
            # Nothing is left to read from whoever is gone.
            self._report_death([sentinels[one] for one in ready if one in sentinels])

    def _report_death(self, workers: list[int]) -> None:
        for worker in workers:
            self.processes[worker].join(PATIENCE)
        pids = ", ".join(str(self.processes[worker].pid) for worker in workers)
        codes = ", ".join(str(self.processes[worker].exitcode) for worker in workers)
        raise RuntimeError(
            f"DataLoader worker (pid(s) {pids}) exited unexpectedly (exit code {codes})"
        )

    def close(self) -> None:
        """End the workers, kindly at first."""
        for connection in [*self.requests, *self.results]:
            connection.close()
        deadline = time.monotonic() + PATIENCE
        for end in ("", "terminate", "kill"):
            for worker in self.processes:
                if worker.is_alive():
                    if end:
                        getattr(worker, end)()
                        worker.join(PATIENCE)
                    else:
                        worker.join(max(0.0, deadline - time.monotonic()))
        self.requests, self.results, self.processes = [], [], []


class ParallelIterator:
    """Batches in order, a few of which are being made ahead."""

    def __init__(self, crew: Crew, prefetch: int, timeout: float, on_gpu: bool) -> None:
        self._crew = crew
        self._on_gpu = on_gpu
        self._ahead = prefetch * len(crew.processes)
        self._timeout = timeout
        self._epoch = -1

    def begin(self, indices: Iterator[Any]) -> ParallelIterator:
        """Start an epoch."""
        self._epoch += 1
        self._indices = indices
        self._owner: dict[int, int] = {}  # batches asked for that have not been given
        self._arrived: dict[int, tuple[str, Any]] = {}
        self._sent = self._given = 0
        self._active = list(range(len(self._crew.processes)))
        self._turn = 0
        self._fill()
        return self

    def _fill(self) -> None:
        while len(self._owner) < self._ahead and self._active:
            try:
                index = next(self._indices)
            except StopIteration:
                return
            worker = self._active[self._turn % len(self._active)]
            self._turn += 1
            self._owner[self._sent] = worker
            self._crew.send(worker, (self._epoch, self._sent, index))
            self._sent += 1

    def __iter__(self) -> ParallelIterator:
        return self

    def __next__(self) -> Any:
        try:
            return self._next()
        except StopIteration:
            raise
        except BaseException:
            if not self._crew.processes or self._lost():
                self.close()
            raise

    def _lost(self) -> bool:
        return any(not worker.is_alive() for worker in self._crew.processes)

    def _next(self) -> Any:
        while True:
            while self._given < self._sent and self._given not in self._owner:
                self._given += 1  # its worker had no more samples
            if self._given == self._sent:
                raise StopIteration
            if self._given in self._arrived:
                what, payload = self._arrived.pop(self._given)
                del self._owner[self._given]
                self._given += 1
                self._fill()
                if what == FAILED:
                    raise_described(payload)
                batch = pickle.loads(payload)
                return on_gpu(batch) if self._on_gpu else batch
            worker, (epoch, number, what, payload) = self._crew.receive(self._timeout)
            if epoch != self._epoch or number not in self._owner:
                continue
            if what == STOPPED:
                self._retire(worker)
            else:
                self._arrived[number] = (what, payload)

    def _retire(self, worker: int) -> None:
        """A worker's stream has ended: what else it was asked for will not come."""
        if worker in self._active:
            place = self._active.index(worker)
            self._active.remove(worker)
            if self._active:
                turn = self._turn % (len(self._active) + 1)
                self._turn = turn - 1 if turn > place else turn
        for number in [n for n, owner in self._owner.items() if owner == worker]:
            if number not in self._arrived:
                del self._owner[number]
        self._fill()

    def __len__(self) -> int:
        raise TypeError("a DataLoader's iterator has no length; ask the DataLoader")

    def close(self) -> None:
        """End the workers."""
        self._crew.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()
