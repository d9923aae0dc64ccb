"""One call of a function, recorded: what it computes and writes, to be done again without it.

In: a function, a call's arguments, and the storages and tensors that it may read or write. Out:
`record`, which runs the function on holes and puts everything back as it was, and `play`, which
does with the storages' contents of now what the function would do: compute its results, write what
it writes, replace gradients, advance the random counter and the optimisers' numbers. Called by
`picograd.replay`, which knows when a recording holds.

>>> import picograd
>>> x, total = picograd.ones(2), picograd.zeros(2)
>>> def add(x):
...     return total.add_(x) * 2
>>> scene = Scene([total._storage, x._storage], [], [])
>>> recording = record(add, (x,), {}, scene)
>>> play(recording, scene), play(recording, scene), total
(tensor([2., 2.]), tensor([4., 4.]), tensor([2., 2.]))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from picograd import engine, portion, programs
from picograd.frontend import storage as storage_module
from picograd.frontend import tape
from picograd.frontend.pytree import tree_flatten, tree_unflatten
from picograd.frontend.random import default_generator
from picograd.frontend.storage import Storage
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.build import uniform_constant
from picograd.graph.canonical import Structure, analyse, cell_of, signed
from picograd.graph.hole import hole
from picograd.graph.node import Node, const, convert, leaf, make, topological
from picograd.graph.ops import ConstAttr, Op, RandomAttr, Shape
from picograd.graph.template import Template, template
from picograd.optim import script as scripts
from picograd.optim.script import Script
from picograd.programs import Graph, Variant
from picograd.runtime.buffer import Buffer
from picograd.runtime.device import Interrupted

if TYPE_CHECKING:
    from picograd.optim.optimizer import Optimizer


@dataclass(slots=True)
class Scene:
    """Where a call takes place: the storages that it may read and write, the leaves whose
    gradients it may, and the optimisers that it may step."""

    storages: list[Storage]
    leaves: list[Tensor]
    optimizers: list[Optimizer]


@dataclass(slots=True)
class _Result:
    """A computed tensor: which of the template's results it is; the name of the step that made it
    if backward has been through that, else None."""

    place: int
    step: str | None = None


@dataclass(slots=True)
class _Program:
    """What runs.

    places     which of the storages' memories it reads
    donated    storages whose memory it may write their new contents into
    cells      its values, which those at the slots replace in each run
    numbers    for each of the script's numbers its slot (None: not used), and its dtype
    random     slots of random streams, and by how many draws each is later than the call's first
    outputs    for each result of the template which output it is, and its shape
    serves     of a program for many sizes: whether it should run these once more
    """

    variant: Variant
    places: list[int]
    donated: list[int]
    cells: list[int]
    numbers: list[tuple[int | None, ConstAttr]]
    random: list[tuple[int, int]]
    outputs: list[tuple[int, Shape]]
    serves: Callable[[], bool] | None = None


@dataclass(slots=True)
class Recording:
    """What a call does.

    graph      results, written contents and gradients over the storages' contents, the script's
               numbers and random words
    results    of the function, nested as `spec` says (None: a single one)
    writes     place of the storage, place of the new contents, number of writes
    gradients  number of the leaf, place of its gradient (None: it has none any more)
    stale      leaves whose gradients are replaced without being read, and the gradients' places
    words      the random words that it draws, after how many draws, and where; and all its draws
    """

    graph: Template
    results: list[_Result]
    spec: Any
    writes: list[tuple[int, int, int]]
    gradients: list[tuple[int, int | None]]
    stale: list[tuple[int, int]]
    words: list[tuple[RandomAttr, int, str]]
    draws: int
    script: Script
    program: _Program | None = None


# --- recording ------------------------------------------------------------------------------------


class _Before:
    """What a recording must put back."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._contents = [(one.node, one.version, one.writes, one._past) for one in scene.storages]
        self.gradients = [x._meta.grad if x._meta is not None else None for x in scene.leaves]
        self._states = [
            (one.state, {p: dict(state) for p, state in one.state.items()})
            for one in scene.optimizers
        ]
        self.seed, self.call = default_generator._seed, default_generator._call

    def restore(self) -> None:
        for one, (node, version, writes, past) in zip(
            self._scene.storages, self._contents, strict=True
        ):
            one.node, one.version, one.writes, one._past = node, version, writes, past
        for x, gradient in zip(self._scene.leaves, self.gradients, strict=True):
            if x._meta is not None:
                x._meta.grad = gradient
        for states, before in self._states:
            for parameter in list(states):
                state = before.get(parameter)
                if state is None:
                    del states[parameter]
                else:
                    states[parameter].clear()
                    states[parameter].update(state)
        default_generator._seed, default_generator._call = self.seed, self.call


def record(
    function: Callable[..., Any], args: Any, kwargs: Any, scene: Scene
) -> Recording | Script | None:
    """Run a function on holes; None if that doesn't tell all that it does. Nothing is changed.

    A script if it would have made its optimisers' states: `begin` makes them.
    """
    before = _Before(scene)
    holes = [hole(one.node.shape, one.node.dtype, one.node.device) for one in scene.storages]
    try:
        for one, empty in zip(scene.storages, holes, strict=True):
            one.node, one._past = empty, None
        versions = [one.version for one in scene.storages]
        with engine.tracing() as made, storage_module.unpinned(), scripts.recording() as script:
            for one in scene.storages:
                made.add(one)
            returned = function(*args, **kwargs)
        return _recorded(returned, scene, before, holes, versions, script)
    except Exception:
        return None  # if it is the function's own error, it comes again
    finally:
        before.restore()


def _recorded(
    returned: Any,
    scene: Scene,
    before: _Before,
    holes: list[Node],
    versions: list[int],
    script: Script,
) -> Recording | Script | None:
    """What a run on holes did."""
    single = isinstance(returned, Tensor)
    flat, spec = ([returned], None) if single else tree_flatten(returned)
    recording = Recording(cast("Any", None), [], spec, [], [], [], [], 0, script)
    nodes: list[Node] = []
    own = {id(one) for one in scene.storages}
    for x in flat:
        if not _is_fresh(x, own) or (x._meta is not None and not _is_spent(x)):
            return None
        edge = None if x._meta is None else x._meta.edge
        recording.results.append(_Result(len(nodes), None if edge is None else edge[0].name()))
        own.add(id(x._storage))
        nodes.append(x._storage.node)
    for place, one in enumerate(scene.storages):
        if one.node is not holes[place]:
            recording.writes.append((place, len(nodes), one.version - versions[place]))
            nodes.append(one.node)
    for number, (x, old) in enumerate(zip(scene.leaves, before.gradients, strict=True)):
        new = x._meta.grad if x._meta is not None else None
        if new is None and old is not None:
            recording.gradients.append((number, None))
        elif new is not None and new is not old:
            if new._meta is not None or not _is_fresh(new, own):
                return None
            own.add(id(new._storage))
            recording.gradients.append((number, len(nodes)))
            nodes.append(new._storage.node)
    return _made(nodes, holes, before, recording, scene)


def _made(
    nodes: list[Node],
    holes: list[Node],
    before: _Before,
    recording: Recording,
    scene: Scene,
) -> Recording | Script | None:
    """The recording with its graph; None if that can't be built again."""
    script = recording.script
    if not nodes or not script.complete:
        return None
    if not _have_states_stayed(scene, before):
        return script
    if any(not node.srcs or uniform_constant(node) is not None for node in nodes):
        return None
    order = topological(nodes)
    if len({node.device for node in order}) > 1:
        return None  # a program is of one device
    random = [node for node in order if node.op is Op.RANDOM]
    recording.draws = default_generator._call - before.call
    if default_generator._seed != before.seed or recording.draws < 0:
        return None
    for node in random:
        attr = cast("RandomAttr", node.attr)
        later = cast("int", attr.call) - before.call
        if attr.seed != before.seed or not 0 <= later < recording.draws:
            return None  # of another generator
        recording.words.append((attr, later, node.device))
    graph = template(nodes, [*holes, *script.holes, *random])
    if graph is None:
        return None
    recording.graph = graph
    places = {id(one): place for place, one in enumerate(scene.storages)}
    used = set(graph.used()).union(place for place, _, _ in recording.writes)
    for number, _ in recording.gradients:
        old = before.gradients[number]
        place = None if old is None else places.get(id(old._storage))
        if place is not None and place not in used:
            recording.stale.append((number, place))
    return recording


def _have_states_stayed(scene: Scene, before: _Before) -> bool:
    """Whether the optimisers' states have the tensors that they had."""
    for states, known in before._states:
        if len(states) != len(known):
            return False
        for parameter, state in states.items():
            old = known.get(parameter)
            if old is None or state.keys() != old.keys():
                return False
            if any(isinstance(one, Tensor) and old[name] is not one for name, one in state.items()):
                return False
    return True


def _is_fresh(x: Any, known: set[int]) -> bool:
    """Whether a result is a tensor of its own, contiguous."""
    if type(x) is not Tensor or x._steps or x._strides is not None or x._base is not None:
        return False
    return id(x._storage) not in known


def _is_spent(x: Tensor) -> bool:
    """Whether backward has been through the step that made a result."""
    meta = x._meta
    if meta is None or meta.edge is None or meta.grad is not None or meta.retains:
        return False
    step = meta.edge[0]
    return step.spent and step.hooks is None and step.node_hooks is None


# --- playing --------------------------------------------------------------------------------------


def play(recording: Recording, scene: Scene) -> Any:
    """Do what the function does. NotImplemented, and nothing done, if its optimisers do more than
    count on; IndexError as the function itself raises it."""
    numbers = recording.script.read()
    if numbers is None:
        return NotImplemented
    for number, place in recording.stale:
        cast("tape.Meta", scene.leaves[number]._meta).grad = None
        # The memory is free for the new gradient when nothing holds the old one, which is not read.
        scene.storages[place] = scene.leaves[number]._storage
    program = recording.program
    if program is not None and program.serves is not None and not program.serves():
        program = None
    try:
        if program is None or not _fill(program, numbers):
            program = _prepare(recording, scene, numbers)
        for place in program.donated:
            if not scene.storages[place].is_alone():
                scene.storages[place].own_memory()
        made = program.variant.executable.run(
            [scene.storages[place].buffer for place in program.places], program.cells
        )
    except Interrupted as stop:
        assert program is not None
        _apply(recording, program, scene, stop.buffers)
        raise KeyboardInterrupt from None
    except BaseException:
        recording.script.unread()
        raise
    programs.statistics.programs_run += 1
    programs.statistics.kernels_run += program.variant.executable.kernel_count
    return _apply(recording, program, scene, made)


def _fill(program: _Program, numbers: Sequence[Any]) -> bool:
    """Put the values of this run into the program's cells. False if it wants other ones."""
    cells = program.cells
    if not numbers and not program.random:
        return True
    for (slot, attr), value in zip(program.numbers, numbers, strict=True):
        if slot is not None:
            cells[slot] = cell_of(ConstAttr(convert(value, attr.dtype), attr.dtype))
    seed, call = default_generator._seed, default_generator._call
    for slot, later in program.random:
        cells[slot], cells[slot + 1] = signed(seed), signed(call + later)
    return program.variant.accepts(cells)


def _apply(recording: Recording, program: _Program, scene: Scene, made: Sequence[Buffer]) -> Any:
    """Hand out what a run has computed."""
    nodes = [leaf(made[place], shape) for place, shape in program.outputs]
    for place, at, writes in recording.writes:
        one = scene.storages[place]
        one.write(nodes[at])
        one.version += writes - 1
    for number, at in recording.gradients:
        meta = cast("tape.Meta", scene.leaves[number]._meta)
        meta.grad = None if at is None else wrap(nodes[at])
    default_generator._call += recording.draws
    results: list[Tensor] = []
    for result in recording.results:
        x = wrap(nodes[result.place])
        if result.step is not None:
            step = tape.named(tape.SpentGrad, result.step)((), (x._signature(),))
            x._meta = tape.Meta((step, 0))
        results.append(x)
    return results[0] if recording.spec is None else tree_unflatten(results, recording.spec)


def _prepare(recording: Recording, scene: Scene, numbers: Sequence[Any]) -> _Program:
    """Find or compile the program, with the values of this run."""
    for place, _, _ in recording.writes:  # new states may be one and the same zeros
        if scene.storages[place].buffer is not None and not scene.storages[place].is_alone():
            scene.storages[place].own_memory()
    read = {*recording.graph.used(), *[place for place, _, _ in recording.writes]}
    memories = {
        place: scene.storages[place].buffer for place in read if place < len(scene.storages)
    }
    script, seed, call = recording.script, default_generator._seed, default_generator._call
    given = [
        _number(value, empty.dtype, empty.device)
        for value, empty in zip(numbers, script.holes, strict=True)
    ]
    words = [
        make(Op.RANDOM, (), RandomAttr(attr.shape, attr.word, seed, call + later), device)
        for attr, later, device in recording.words
    ]
    sources = [*[one.node for one in scene.storages], *given, *words]
    results = recording.graph.build(sources)
    distinct = list(dict.fromkeys(results))
    # What is not read may share memory, as gradients do that are one sum (of an RNN's biases).
    where = {id(memory): place for place, memory in memories.items()}
    apart = len(where) == len(memories)
    with engine.locked():
        order = portion.below(distinct)
        found = {id(node): position for position, node in enumerate(order) if not node.srcs}
        over = {
            place: found[id(sources[place])]
            for place, _, _ in recording.writes
            if apart and id(sources[place]) in found
        }
        donated = sorted(over.values())
        structure = analyse(order, distinct, donated)
        variant, values = programs.get(Graph(order, distinct, donated, structure))
    numbered = {node: number for number, node in enumerate(distinct)}
    program = _Program(
        variant,
        [where[id(buffer)] for buffer in structure.leaves],
        list(over),
        values,
        [(_slot_of(node, structure), cast("ConstAttr", node.attr)) for node in given],
        random_slots(order, structure, call),
        [(numbered[node], node.shape) for node in results],
        None if values is structure.cells else programs.rerun(structure),
    )
    # Contents may share memory now and not the next time; a program for many sizes has values
    # of its own.
    if apart and (values is structure.cells or not (numbers or words)):
        recording.program = program
    return program


def _number(value: Any, dtype: Any, device: str) -> Node:
    """A constant that is no other number's node, however equal."""
    known = const(value, dtype, device)
    node = hole((), dtype, device)
    node.op, node.structure = Op.CONST, known.structure
    node.attr = ConstAttr(cast("ConstAttr", known.attr).value, dtype)
    return node


def _slot_of(node: Node, structure: Structure) -> int | None:
    """The value slot of a constant, if the program has it."""
    for slot, attr in structure.constants:
        if attr is node.attr:
            return slot
    return None


def random_slots(order: list[Node], structure: Structure, call: int) -> list[tuple[int, int]]:
    """The value slots of random streams, and how many draws each comes after the first."""
    found: dict[int, int] = {}
    for place, node in enumerate(order):
        if node.op is Op.RANDOM:
            slot = structure.key[structure.entries[place] + 1]
            found[cast("int", slot)] = cast("int", cast("RandomAttr", node.attr).call) - call
    return list(found.items())
