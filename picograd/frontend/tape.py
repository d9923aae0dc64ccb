"""The tape: what each recorded operation leaves behind for backward.

In: results and their inputs, from `frontend/primitives.py` and the view methods. Out: `GradNode`s
linked by edges; `frontend/autograd.py` walks them.

An *edge* is `(node, number)`: the gradient of a tensor is what arrives at output `number` of
`node`. A tensor without an edge doesn't require grad. Values for backward are saved as graph nodes,
which never change, so an in-place write can't spoil them.

>>> AccumulateGrad.__name__
'AccumulateGrad'
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from picograd.dtypes import DType
from picograd.frontend.watching import ANOMALY, Versions, check_versions
from picograd.graph.node import Node
from picograd.graph.ops import REDUCES, Combiner, Op, ReduceAttr, ScanAttr, ScatterReduceAttr, Shape

if TYPE_CHECKING:
    from picograd.frontend.tensor import Tensor
    from picograd.frontend.view import Steps

Gradients = Sequence["Tensor | None"]
Hook = Callable[["Tensor"], "Tensor | None"]
NodeHook = Callable[[Gradients, Gradients], "Gradients | None"]

_sequence = itertools.count()


def next_sequence() -> int:
    """The sequence number of a step that is recorded now: steps before it have smaller ones."""
    return next(_sequence)


LAST = 1 << 62  # the sequence number of leaves: they are served first

FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)


class Meta:
    """What a tensor knows about autograd; tensors that have nothing to do with it have none.

    requires_grad   the user's flag: this is a leaf that collects `grad`
    edge            where the tensor's gradient arrives; None if nowhere (yet)
    base_edge       for views: the edge of the base that `edge` was derived from
    """

    __slots__ = ("base_edge", "edge", "grad", "post_hooks", "requires_grad", "retains")

    def __init__(self, edge: Edge | None = None, base_edge: Edge | None = None) -> None:
        self.requires_grad = False
        self.edge = edge
        self.base_edge = base_edge
        self.grad: Tensor | None = None
        self.retains = False
        self.post_hooks: dict[int, Callable[[Tensor], None]] | None = None


class RemovableHandle:
    """Returned by `register_hook`; `remove()` takes the hook away again."""

    def __init__(self, hooks: dict[int, H], key: int) -> None:
        self._hooks = weakref.ref(hooks) if isinstance(hooks, _HookTable) else (lambda: hooks)
        self.id = key

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *details: object) -> None:
        self.remove()


H = TypeVar("H", bound=Callable[..., object])
G = TypeVar("G", bound="GradNode")


class _HookTable(dict):
    """A dictionary that can be referred to weakly."""

    __slots__ = ("__weakref__",)


_hook_ids = itertools.count()


def add_hook(hooks: dict[int, H], hook: H) -> RemovableHandle:
    """Put a hook into a table and return its handle."""
    key = next(_hook_ids)
    hooks[key] = hook
    return RemovableHandle(hooks, key)


class _Prehook:
    """Marks, among a step's hooks, one that runs before it."""

    def __init__(self, hook: Callable[[Gradients], Gradients | None]) -> None:
        self.hook = hook

    def __call__(self, results: Gradients, gradients: Gradients) -> None:
        return None


class GradNode:
    """One recorded operation. Subclasses say how a gradient goes back through it.

    edges      per input: where its gradient goes on, or None
    outputs    per output: shape, dtype and device
    spent      whether backward went through it and let go of what was saved
    """

    __slots__ = (
        "__weakref__", "edges", "hooks", "node_hooks", "outputs", "retained", "sequence", "spent"
    )  # fmt: skip

    def __init__(
        self, edges: tuple[Edge | None, ...], outputs: tuple[tuple[Shape, DType, str], ...]
    ) -> None:
        self.edges = edges
        self.outputs = outputs
        self.sequence = next(_sequence)
        self.hooks: dict[int, dict[int, Hook]] | None = None
        self.node_hooks: dict[int, NodeHook] | None = None
        self.retained: dict[int, weakref.ref[Tensor]] | None = None
        self.spent = False
        if ANOMALY.enabled:
            ANOMALY.note(self)

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        """The gradients of the inputs, given those of the outputs."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of saved values."""

    def needs(self, position: int) -> bool:
        """Whether anybody wants the gradient of an input."""
        return self.edges[position] is not None

    def name(self) -> str:
        """The name torch prints: `AddBackward0`."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[GradNode | None, int], ...]:
        """The nodes that come next in backward, one per input."""
        return tuple(edge if edge is not None else (None, 0) for edge in self.edges)

    def register_hook(self, hook: NodeHook) -> RemovableHandle:
        """Call `hook(input gradients, output gradients)` after the node ran in backward."""
        if self.node_hooks is None:
            self.node_hooks = _HookTable()
        return add_hook(self.node_hooks, hook)

    def register_prehook(self, hook: Callable[[Gradients], Gradients | None]) -> RemovableHandle:
        """Call `hook(output gradients)` before the node runs; a result replaces them."""
        if self.node_hooks is None:
            self.node_hooks = _HookTable()
        return add_hook(self.node_hooks, _Prehook(hook))

    def hooks_of(self, number: int) -> dict[int, Hook]:
        """The table of the hooks on one output's gradient."""
        if self.hooks is None:
            self.hooks = {}
        return self.hooks.setdefault(number, _HookTable())

    def retain(self, number: int, tensor: Tensor | None) -> None:
        """Store the gradient of an output in `tensor.grad` when it passes (None: stop that)."""
        if self.retained is None:
            self.retained = {}
        if tensor is None:
            self.retained.pop(number, None)
        else:
            self.retained[number] = weakref.ref(tensor)

    def __repr__(self) -> str:
        return f"<{self.name()} object at 0x{id(self):x}>"


Edge = tuple[GradNode, int]


class SpentGrad(GradNode):
    """The step of a result whose graph backward has been through."""

    __slots__ = ()

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        raise RuntimeError(FREED)


class AccumulateGrad(GradNode):
    """The end of the tape: adds what arrives to the `grad` of a leaf."""

    __slots__ = ("_variable",)

    def __init__(self, variable: Tensor) -> None:
        GradNode.__init__(
            self, (), ((variable._shape, variable.dtype, variable._storage.node.device),)
        )
        self.sequence = LAST
        self._variable = weakref.ref(variable)

    @property
    def variable(self) -> Tensor | None:
        """The leaf, if it still lives."""
        return self._variable()

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        from picograd.frontend.autograd import accumulate

        variable, gradient = self._variable(), gradients[0]
        if variable is not None and gradient is not None:
            accumulate(variable, gradient)
        return ()


class PrimitiveGrad(GradNode):
    """A recorded primitive. Each op's subclass says what it saves and how it differentiates.

    `derivatives.py` makes the subclasses. `saves` are the positions of the saved inputs; those from
    position `tail` on are saved too.
    """

    __slots__ = ("attr", "result_node", "saved", "shapes", "source_dtype", "versions")

    op: Op
    saves: tuple[int, ...] = ()
    tail: int | None = None
    saves_result: bool = False
    watches: tuple[int, ...] = ()
    watches_result: bool = False
    rule: Callable[[PrimitiveGrad, Tensor], Gradients]

    def __init__(self, result: Tensor, inputs: Sequence[Tensor], edges: tuple[Edge | None, ...]):
        node = result._storage.node
        GradNode.__init__(self, edges, ((node.shape, node.dtype, node.device),))
        self.attr = node.attr
        self.shapes = tuple([x._shape for x in inputs])
        self.source_dtype = inputs[0].dtype
        saved = [inputs[n].node for n in self.saves]
        if self.tail is not None:
            saved += [x.node for x in inputs[self.tail :]]
        self.saved: list[Node] | None = saved
        self.result_node = node if self.saves_result else None
        # Of what torch's formula saves: the memory, and how often it had been written.
        self.versions: Versions | None = None
        if self.watches or self.watches_result:
            self._watch(result, inputs)

    def _watch(self, result: Tensor, inputs: Sequence[Tensor]) -> None:
        """Remember the versions of what torch would save."""
        watched = [
            inputs[n]._storage
            for n in self.watches
            # A factor is saved for the other factor's gradient.
            if self.op not in (Op.MUL, Op.DIV) or self.edges[1 - n] is not None
        ]
        if self.watches_result:
            watched.append(result._storage)
        self.versions = [(weakref.ref(storage), storage.version) for storage in watched]

    def source(self, position: int) -> Tensor:
        """A saved input, as it was; differentiable once more when the graph is being recorded."""
        from picograd.frontend.tensor import wrap

        if self.saved is None:
            raise RuntimeError(FREED)
        if position in self.saves:
            tensor = wrap(self.saved[self.saves.index(position)])
        else:
            assert self.tail is not None
            tensor = wrap(self.saved[len(self.saves) + position - self.tail])
        edge = self.edges[position]
        if edge is not None:
            tensor._meta = Meta(edge)
        return tensor

    def sources(self, first: int) -> tuple[Tensor, ...]:
        """The saved inputs from position `first` on."""
        return tuple([self.source(n) for n in range(first, len(self.edges))])

    @property
    def result(self) -> Tensor:
        """The saved result."""
        from picograd.frontend.tensor import wrap

        if self.saved is None or self.result_node is None:
            raise RuntimeError(FREED)
        tensor = wrap(self.result_node)
        tensor._meta = Meta((self, 0))
        return tensor

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        gradient = gradients[0]
        if self.versions:
            check_versions(self, self.versions)
        return (None,) * len(self.edges) if gradient is None else type(self).rule(self, gradient)

    def release(self) -> None:
        if self.saved or self.saves_result:
            self.saved = self.result_node = self.versions = None


# Filled by `derivatives.py`: the class that records each differentiable op; reduces have one per
# combiner.
RECORDERS: dict[Op | tuple[Op, Combiner], type[PrimitiveGrad]] = {}


def record(op: Op, result: Tensor, inputs: Sequence[Tensor]) -> None:
    """Put a primitive on the tape if one of its inputs requires grad."""
    if not result.dtype.is_inexact:
        return
    key: Op | tuple[Op, Combiner] = op
    if op in REDUCES:
        attr = cast("ReduceAttr | ScanAttr | ScatterReduceAttr", result._storage.node.attr)
        key = (op, attr.combiner)
    recorder = RECORDERS.get(key)
    if recorder is None:
        return
    edges = tuple([x._edge() for x in inputs])
    for edge in edges:
        if edge is not None:
            result._meta = Meta((recorder(result, inputs, edges), 0))
            return


class IdentityGrad(GradNode):
    """A step of the tape that changes nothing: what `copy_` and detached constants leave."""

    __slots__ = ()

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        return gradients if self.edges else ()


class OverwriteGrad(GradNode):
    """New contents for a whole tensor: the old ones get zeros, the new ones the gradient."""

    __slots__ = ()

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        from picograd.frontend.primitives import constant

        shape, dtype, device = self.outputs[0]
        return (constant(0, dtype, device, shape), gradients[0])


class ZeroGrad(GradNode):
    """A step whose result doesn't change with its input, wherever it has a derivative."""

    __slots__ = ()

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        from picograd.frontend.primitives import constant

        shape, dtype, device = self.outputs[0]
        return (constant(0, dtype, device, shape),)


class ViewGrad(GradNode):
    """A view: the gradient goes back through the steps from `source` to `result`."""

    __slots__ = ("steps",)

    def __init__(self, steps: Steps, result: Tensor, edge: Edge) -> None:
        signature = (result._shape, result.dtype, result._storage.node.device)
        GradNode.__init__(self, (edge,), (signature,))
        self.steps = steps

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        from picograd.frontend.autograd import pulled_back

        gradient = gradients[0]
        return (None if gradient is None else pulled_back(gradient, self.steps),)


class ViewWriteGrad(GradNode):
    """A write through a view: what was there gets no gradient, the written value gets that part."""

    __slots__ = ("steps",)

    def __init__(self, base: Tensor, steps: Steps, value_edge: Edge | None) -> None:
        GradNode.__init__(self, (base._edge(), value_edge), (base._signature(),))
        self.steps = steps

    def name(self) -> str:
        return "CopySlices"

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        from picograd.frontend.autograd import erased, followed

        gradient = gradients[0]
        if gradient is None:
            return (None, None)
        base = erased(gradient, self.steps) if self.needs(0) else None
        return (base, followed(gradient, self.steps) if self.needs(1) else None)


class RuleGrad(GradNode):
    """A composite function with a derivative of its own."""

    __slots__ = ("_rule", "_saved", "versions")

    def __init__(
        self,
        edges: tuple[Edge | None, ...],
        outputs: tuple[tuple[Shape, DType, str], ...],
        saved: Sequence[Tensor],
        rule: Callable[..., Gradients],
    ) -> None:
        GradNode.__init__(self, edges, outputs)
        self._rule = rule
        self.versions: Versions | None = None
        self._saved: list[tuple[Node, Edge | None]] | None = [
            (tensor.node, tensor._edge()) for tensor in saved
        ]

    def save_result(self, result: Tensor) -> None:
        """Save the result too, behind the other saved tensors, without a cycle of references."""
        assert self._saved is not None
        self._saved.append((result.node, None))
        self.versions = [(weakref.ref(result._storage), result._storage.version)]

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        from picograd.frontend.tensor import wrap

        if self._saved is None:
            raise RuntimeError(FREED)
        if gradients[0] is None:
            return (None,) * len(self.edges)
        if self.versions:
            check_versions(self, self.versions)
        saved = []
        for node, edge in self._saved:
            tensor = wrap(node)
            if edge is not None:
                tensor._meta = Meta(edge)
            saved.append(tensor)
        return self._rule(gradients[0], *saved)

    def release(self) -> None:
        if self._saved:
            self._saved = None


_named: dict[tuple[type[GradNode], str], type[GradNode]] = {}


def named(kind: type[G], name: str) -> type[G]:
    """The subclass of a tape node that carries the name torch would print."""
    found = _named.get((kind, name))
    if found is None:
        found = _named[kind, name] = type(name, (kind,), {"__slots__": ()})
    return cast("type[G]", found)
