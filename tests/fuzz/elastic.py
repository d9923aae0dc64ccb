"""A case run by a program for many sizes, with the case's own sizes.

In: a case of the fuzzer. Out: None when the elastic program and the interpreter agree, else what
differs. Some of the extents of the graph become symbols with a little room to spare; what lies
beyond the sizes in the inputs is poison, so that a result that depends on it shows.
"""

from __future__ import annotations

from random import Random
from unittest import mock

import numpy as np

from picograd.graph.canonical import analyse
from picograd.graph.elastic.build import build
from picograd.graph.elastic.layout import Unsupported
from picograd.graph.elastic.sizes import Extent, Symbol, Symbols, split
from picograd.graph.interpret import interpret
from picograd.graph.node import Node, const, leaf, make, topological
from picograd.graph.ops import LeafAttr, Op, RandomAttr, SliceAttr
from picograd.runtime import device, elastic
from picograd.runtime.buffer import Buffer, empty, from_array
from tests.fuzz import machines
from tests.fuzz.compare import bounds_of, differs
from tests.fuzz.parts import Case


def compare(case: Case, random: Random) -> str | None:
    """None when the results agree, "none" when the graph has no elastic program."""
    try:
        wanted = interpret(case.outputs, dict(enumerate(case.arrays)), case.numbers)
    except IndexError:
        wanted = None
    outputs = _realised(case)
    order = topological(outputs)
    structure = analyse(order, outputs, ())
    _, sizes = split(structure)
    symbols = _symbols(sizes, random)
    if not symbols.first:
        return "none"
    try:
        built = build(order, outputs, (), structure, symbols, frozenset())
    except Unsupported:
        return "none"
    fit = built.recipe.fit(sizes)
    assert fit is not None
    try:
        with machines.on(machines.MACHINES[case.machine]):
            inner = device.get("cpu").build(built.outputs, built.donated)
        executable = elastic.ElasticExecutable(inner, built.recipe)
        with mock.patch.object(elastic, "empty", _poisoned):
            leaves = [buffer for buffer in structure.leaves if isinstance(buffer, Buffer)]
            buffers = executable.run(leaves, built.recipe.values(structure.cells, fit))
    except IndexError as error:
        return None if wanted is None else f"IndexError: {error}"
    except Exception as error:  # every exception is a finding
        return f"{type(error).__name__}: {error}"
    if wanted is None:
        return "an index outside was not noticed"
    errors = bounds_of(case)
    for number, (node, want, buffer) in enumerate(zip(case.outputs, wanted, buffers, strict=True)):
        found = differs(buffer.array.reshape(node.shape), want, errors[id(node)])
        if found is not None:
            return f"output {number} ({node}), sizes {symbols}: {found}"
    return None


def _symbols(sizes: tuple[int, ...], random: Random) -> Symbols:
    """Some of the extents as symbols; equal ones are one."""
    chosen = [n for n in sorted(set(sizes)) if n > 1 and random.random() < 0.5]
    made = {n: Symbol(k, n + random.randrange(4)) for k, n in enumerate(chosen)}
    at: tuple[Extent, ...] = tuple(made.get(n, n) for n in sizes)
    return Symbols(at, tuple(sizes.index(n) for n in chosen), tuple((n,) for n in chosen))


def _poisoned(dtype, size: int, where: str) -> Buffer:
    buffer = empty(dtype, size, where)
    buffer.array.view(np.uint8)[...] = 1 if dtype.is_bool else 255
    return buffer


def _realised(case: Case) -> list[Node]:
    """The case as the engine would see it: leaves have their memory, values are numbers."""
    buffers = [from_array(np.array(array, order="C", copy=True)) for array in case.arrays]
    made: dict[int, Node] = {}
    for node in topological(case.outputs):
        attr = node.attr
        if node.op is Op.BUFFER:
            assert isinstance(attr, LeafAttr)
            made[id(node)] = leaf(buffers[attr.slot], node.shape)
            continue
        if node.op is Op.PARAMETER:
            assert isinstance(attr, LeafAttr)
            made[id(node)] = const(case.numbers[attr.slot], node.dtype, "cpu")
            continue
        if isinstance(attr, SliceAttr):
            starts = tuple(_number(start, case) for start in attr.starts)
            attr = SliceAttr(starts, attr.sizes, attr.steps)
        elif isinstance(attr, RandomAttr):
            seed, call = (_number(part, case) % (1 << 64) for part in (attr.seed, attr.call))
            attr = RandomAttr(attr.shape, attr.word, seed, call)
        srcs = tuple(made[id(src)] for src in node.srcs)
        made[id(node)] = make(node.op, srcs, attr, None if srcs else "cpu")
    return [made[id(node)] for node in case.outputs]


def _number(value, case: Case) -> int:
    if isinstance(value, int):
        return value
    return int(value.evaluate({atom: case.numbers[atom.slot] for atom in value.atoms()}))
