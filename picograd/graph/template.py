"""Templates: the graph of a function, to be built again over other sources without the function.

In: results over holes (`graph/hole.py`). Out: `Template`, whose `build` gives the same expressions
over given nodes, at the cost of a look-up in the table of nodes each. Made and used by
`frontend/stamps.py`.

>>> from picograd.dtypes import float32
>>> from picograd.graph.hole import hole
>>> from picograd.graph.node import const
>>> a, b = hole((), float32, "cpu"), hole((), float32, "cpu")
>>> double = template([make(Op.ADD, (a, make(Op.NEG, (b,))))], [a, b])
>>> two, three = const(2.0, float32, "cpu"), const(3.0, float32, "cpu")
>>> double.build([two, three])[0] is make(Op.ADD, (two, make(Op.NEG, (three,))))
True
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from picograd.graph.build import full, uniform_source
from picograd.graph.node import Form, Node, known, make
from picograd.graph.ops import Attr, NoAttr, Op, Shape

_CONSTANTS = frozenset({Op.CONST, Op.IOTA})
# An op, its attribute, its form (None: to be inferred, as the attribute has values), and where its
# sources stand among the values: the sources of the whole, the constants, the steps so far.
_Step = tuple[Op, Attr, Form | None, tuple[int, ...]]


@dataclass(slots=True)
class Template:
    """Steps over `inputs` sources.

    constants   their nodes, and how each is made: op, attribute, device, shape to repeat it to
    located     where steps stand that remember their caller's line
    results     where the results stand among the values
    """

    inputs: int
    constants: list[Node]
    recipes: list[tuple[Op, Attr, str, Shape]]
    steps: list[_Step]
    located: list[int]
    results: list[int]

    def build(self, sources: Sequence[Node], line: str | None = None) -> list[Node]:
        """The results over these sources, which have the dtypes, shapes and device of the holes.

        `line` is what the steps that remember their caller's line remember.
        """
        for n, node in enumerate(self.constants):
            if not _is_constant(node):  # somebody asked for its memory, or what it repeats
                self.constants[n] = _constant(*self.recipes[n])
        values = [*sources, *self.constants]
        add = values.append
        for op, attr, form, places in self.steps:
            srcs = tuple([values[place] for place in places])
            add(make(op, srcs, attr) if form is None else known(form, srcs, op, attr))
        for place in self.located:
            if values[place].origin is None:
                values[place].origin = line
        return [values[place] for place in self.results]

    def used(self) -> list[int]:
        """The places of the values that a step or the results need, in order."""
        return sorted({*self.results, *[place for *_, places in self.steps for place in places]})


def _constant(op: Op, attr: Attr, device: str, shape: Shape) -> Node:
    node = make(op, (), attr, device)
    return node if node.shape == shape else full(node, shape)


def template(results: Sequence[Node], inputs: Sequence[Node]) -> Template | None:
    """The template of results over distinct sources; None if they stand on anything else.

    Anything else is memory, another hole, or a random number.
    """
    made = Template(len(inputs), [], [], [], [], [])
    places = {node: place for place, node in enumerate(inputs)}
    order = _between(results, places)
    for node in order:
        if _is_constant(node):
            places[node] = len(inputs) + len(made.constants)
            made.constants.append(node)
            source = uniform_source(node) or node
            made.recipes.append((source.op, source.attr, node.device, node.shape))
        elif not node.srcs:
            return None
    for node in order:
        if node not in places:
            places[node] = len(inputs) + len(made.constants) + len(made.steps)
            form = (node.dtype, node.shape, node.device, node.structure)
            static = isinstance(node.attr, NoAttr)
            srcs = tuple([places[src] for src in node.srcs])
            if node.origin is not None:
                made.located.append(places[node])
            made.steps.append((node.op, node.attr, form if static else None, srcs))
    made.results = [places[node] for node in results]
    return made


def _is_constant(node: Node) -> bool:
    """Whether a node depends on nothing: a number, repeated or not, or a count."""
    source = uniform_source(node) or node
    return source.op in _CONSTANTS and source.buffer is None


def _between(results: Sequence[Node], inputs: Container[Node]) -> list[Node]:
    """The nodes below the results and above the inputs and constants, sources first."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(node, False) for node in reversed(results)]
    while stack:
        node, finished = stack.pop()
        if finished:
            order.append(node)
        elif node not in seen and node not in inputs:
            seen.add(node)
            stack.append((node, True))
            if not _is_constant(node):
                stack.extend([(src, False) for src in reversed(node.srcs)])
    return order
