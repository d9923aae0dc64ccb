"""`torch.cuda.graphs`: work that is recorded once and then done again on the same memory.

In: code in `with torch.cuda.graph(g):`, and `g.replay()`. Out: the programs that the code would
run, noted (`runtime.cuda.capture`); replaying gives them to the stream, each as one CUDA graph.
Nothing is computed while recording. Every tensor that the recorded work reads or writes stays
where it is as long as the graph: `copy_` into it is seen by the next replay, whose results are in
the tensors that the code made. Random numbers go on from replay to replay.

>>> CUDAGraph.__name__
'CUDAGraph'
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any, cast

from picograd import engine
from picograd.cuda.opening import required
from picograd.frontend import autocasting
from picograd.frontend.random import default_generator
from picograd.frontend.storage import Storage
from picograd.graph.canonical import Structure, signed
from picograd.graph.node import Node, leaf
from picograd.graph.ops import Op, RandomAttr
from picograd.recording import random_slots
from picograd.runtime import buffer as buffers
from picograd.runtime.buffer import Buffer
from picograd.runtime.cuda import capture, driver, memory


class CUDAGraph:
    """Recorded work. Whoever holds it holds its memory, too."""

    def __init__(self, keep_graph: bool = False) -> None:
        required("CUDAGraph")
        self._capture: capture.Capture | None = None
        self._captured = False
        self._before: list[tuple[Storage, Node]] = []
        self._held: list[object] = []
        self._first, self._draws = 0, 0

    # --- recording ----------------------------------------------------------------------------

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
        """Begin to record what this thread does."""
        if self._captured:
            raise RuntimeError(
                "This CUDAGraph instance already owns a captured graph. To capture a new graph, "
                "create a new instance."
            )
        engine.realize_pending()
        self._before = []
        for one in _storages():
            if not one.is_pinned() and (one.buffer is None or not one.is_alone()):
                one.own_memory()  # what is written to one of two tensors is not the other's
            # Nobody knows its contents: they will be others in a replay.
            one.node = leaf(one.buffer, one.node.shape)
            self._before.append((one, one.node))
        self._first = default_generator._call
        self._capture = capture.Capture()
        self._capture.begin()
        memory.allocator().divert(self._capture.chunks)
        engine.listen(self._heard)

    def _heard(self, order: Sequence[Node], structure: Structure) -> None:
        """A program is about to be noted: which of its values are numbers of random streams."""
        attributes = [cast("RandomAttr", node.attr) for node in order if node.op is Op.RANDOM]
        own, first = default_generator._seed, self._first
        if any(attr.seed != own or cast("int", attr.call) < first for attr in attributes):
            raise RuntimeError(
                "Attempt to use an unregistered generator in a CUDA graph: record random numbers "
                "of the default generator, and seed it outside."
            )
        noting = cast("capture.Capture", self._capture)
        noting.slots = random_slots(list(order), structure, self._first)

    def capture_end(self) -> None:
        """All work so far is recorded."""
        if self._capture is None or capture.current() is not self._capture:
            raise RuntimeError("CUDAGraph.capture_end: nothing is being captured on this thread")
        try:
            engine.realize_pending()
            self._write_back()
        except BaseException:
            self._abandon()
            raise
        self._stop()
        self._captured = True
        addresses = {buffer.address for buffer in self._capture.kept} | self._capture.addresses
        self._held = [
            one.held()
            for one in _storages()
            if one.node.buffer is not None and one.buffer.address in addresses
        ]

    def _write_back(self) -> None:
        """What was written has to be where it was, for the next replay to read it."""
        old = {id(node.buffer): one for one, node in self._before if one.node is not node}
        known = {id(one) for one, _ in self._before}
        for one in _storages():
            if id(one.node.buffer) in old and id(one) not in known:
                one.node = _copied(one.node)  # it was cloned before the write
        for one, node in self._before:
            if one.node is not node and one.node.size == node.size and one.buffer.size:
                home = cast("Buffer", node.buffer)
                if one.node.buffer is not home:
                    home.copy_from(one.buffer)
                    one.node = leaf(home, one.node.shape)

    def _stop(self) -> None:
        engine.listen(None)
        memory.allocator().divert(None)
        self._draws = default_generator._call - self._first
        default_generator._call = self._first
        self._before = []
        cast("capture.Capture", self._capture).end()

    def _abandon(self) -> None:
        """Recording has failed: everything holds what it held."""
        for one, node in self._before:
            one.node = node
        self._stop()
        self.reset()

    # --- doing it -----------------------------------------------------------------------------

    def replay(self) -> None:
        """Do the work again."""
        if not self._captured or self._capture is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        capture.forbid("a graph is replayed")
        engine.realize_pending()
        seed, call = default_generator._seed, default_generator._call
        for cells, slots in self._capture.random:
            for slot, later in slots:
                cells[slot], cells[slot + 1] = signed(seed), signed(call + later)
        default_generator._call += self._draws
        self._capture.enqueue(driver.get())

    def instantiate(self) -> None:
        """Nothing: a program is instantiated when it is first replayed."""

    def reset(self) -> None:
        """Forget the work, and let go of its memory."""
        if self._capture is not None:
            memory.allocator().take_back(self._capture.chunks)
        self._capture, self._captured, self._held = None, False, []

    def __del__(self) -> None:
        if getattr(self, "_capture", None) is not None and not driver.get().ended:
            self.reset()

    def pool(self) -> tuple[int, int]:
        """What other graphs may give as `pool`; each graph has memory of its own."""
        return graph_pool_handle()

    def enable_debug_mode(self) -> None:
        """Nothing: `DEBUG=2` shows what runs."""

    def debug_dump(self, debug_path: str) -> None:
        """Graphs aren't drawn."""
        raise NotImplementedError("CUDAGraph.debug_dump: run with DEBUG=2 to see the kernels")


def _storages() -> list[Storage]:
    """Everybody's contents on the GPU."""
    return [one for one in gc.get_objects() if type(one) is Storage and one.node.device == "cuda"]


def _copied(node: Node) -> Node:
    """The contents in memory of their own."""
    source = cast("Buffer", node.buffer)
    made = buffers.empty(source.dtype, source.size, source.device)
    made.copy_from(source)
    return leaf(made, node.shape)


class graph:
    """`with torch.cuda.graph(g):` records what is inside. An error inside leaves all tensors as
    they were, and `g` empty."""

    def __init__(
        self,
        cuda_graph: CUDAGraph,
        pool: Any = None,
        stream: Any = None,
        capture_error_mode: str = "global",
    ) -> None:
        required("graph")
        self._graph = cuda_graph

    def __enter__(self) -> None:
        self._graph.capture_begin()

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is None:
            self._graph.capture_end()
        else:
            self._graph._abandon()


def graph_pool_handle() -> tuple[int, int]:
    """What graphs may share; each has memory of its own."""
    required("graph_pool_handle")
    return (0, 0)


def is_current_stream_capturing() -> bool:
    """Whether this thread's work is recorded instead of done."""
    return capture.current() is not None


def make_graphed_callables(
    callables: Any,
    sample_args: Any,
    num_warmup_iters: int = 3,
    allow_unused_input: bool = False,
    pool: Any = None,
) -> Any:
    """The callables after some runs of each: from its third run on, every program of picograd's is
    replayed as a CUDA graph, backward as well. So they may go on with other sizes, too."""
    required("make_graphed_callables")
    if autocasting.is_on() and autocasting.state.cached:
        raise RuntimeError(
            "make_graphed_callables does not support the autocast caching. Please set "
            "`cache_enabled=False`."
        )
    single = not isinstance(callables, tuple)
    pairs = [(callables, sample_args)] if single else zip(callables, sample_args, strict=True)
    for function, arguments in pairs:
        for _ in range(num_warmup_iters):
            _run(function, arguments)
    return callables


def _run(function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    """Run a function forward and, where it can be, backward; gradients stay as they are."""
    from picograd.frontend.autograd import grad
    from picograd.frontend.pytree import tree_flatten
    from picograd.frontend.tensor import Tensor
    from picograd.nn.module import Module

    results = [one for one in tree_flatten(function(*arguments))[0] if isinstance(one, Tensor)]
    wanted = [one for one in arguments if isinstance(one, Tensor) and one.requires_grad]
    if isinstance(function, Module):
        wanted += [one for one in function.parameters() if one.requires_grad]
    results = [one for one in results if one.requires_grad]
    if results and wanted:
        grad([one.sum() for one in results], wanted, allow_unused=True)
    engine.realize_pending()
