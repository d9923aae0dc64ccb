"""Compile a case, interpret it, and compare; shrink a case that fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from picograd import env
from picograd.graph.interpret import evaluate_node, interpret
from picograd.graph.meaning_structure import Bindings
from picograd.graph.node import Node, make, topological
from picograd.graph.ops import LeafAttr, Op
from picograd.graph.rules import simplify
from picograd.runtime import device
from picograd.runtime.buffer import Buffer, from_array
from tests.fuzz import machines
from tests.fuzz.bounds import bound
from tests.fuzz.complex_bounds import magnitude
from tests.fuzz.parts import Case


def compare(case: Case) -> str | None:
    """None when what the device DEVICE (the CPU by default) computes and the interpreter agree,
    else what differs."""
    device_name = env.DEVICE.get()
    inputs = [
        from_array(np.array(array, order="C", copy=True), device_name) for array in case.arrays
    ]
    try:
        wanted = interpret(case.outputs, dict(enumerate(case.arrays)), case.numbers)
    except IndexError:
        return _fails_cleanly(case, inputs, device_name)
    try:
        errors = bounds_of(case)
        with machines.on(machines.MACHINES[case.machine]):
            executable = device.get(device_name).build(case.outputs, case.donated)
        buffers = executable.run(inputs, case.values)
    except Exception as error:  # every exception is a finding: report it with the graph
        return f"{type(error).__name__}: {error}"
    for number, (node, want, buffer) in enumerate(zip(case.outputs, wanted, buffers, strict=True)):
        found = differs(buffer.array.reshape(node.shape), want, errors[id(node)])
        if found is not None:
            return f"output {number} ({node}): {found}"
    return _overwritten(case, inputs, case.donated)


def _fails_cleanly(case: Case, inputs: list[Buffer], device_name: str) -> str | None:
    """An index outside is an error, after which even donated inputs are as before.

    Not if the rules have proved that no output depends on what it reads.
    """
    try:
        with machines.on(machines.MACHINES[case.machine]):
            executable = device.get(device_name).build(case.outputs, case.donated)
        executable.run(inputs, case.values)
    except IndexError:
        return _overwritten(case, inputs, frozenset())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    try:
        interpret(simplify(case.outputs), dict(enumerate(case.arrays)), case.numbers)
    except IndexError:
        return "an index outside was not noticed"
    return None


def _overwritten(case: Case, inputs: list[Buffer], allowed: frozenset[int]) -> str | None:
    for slot, (array, buffer) in enumerate(zip(case.arrays, inputs, strict=True)):
        if slot not in allowed and array.tobytes() != buffer.array.tobytes():
            return f"input {slot} was overwritten"
    return None


def bounds_of(case: Case) -> dict[int, np.ndarray]:
    """How far each node may be off, by id."""
    bindings = Bindings(dict(enumerate(case.arrays)), case.numbers)
    values: dict[int, np.ndarray] = {}
    errors: dict[int, np.ndarray] = {}
    for node in topological(case.outputs):
        sources = [values[id(src)] for src in node.srcs]
        value = evaluate_node(node, sources, bindings)
        values[id(node)] = value
        errors[id(node)] = bound(node, value, sources, [errors[id(s)] for s in node.srcs], bindings)
    return errors


def differs(got: np.ndarray, want: np.ndarray, error: np.ndarray) -> str | None:
    """The first element that is farther off than allowed. NaN equals NaN, -0 equals 0."""
    with np.errstate(all="ignore"):
        if want.dtype.kind == "c":
            equal = _same(np.real(got), np.real(want)) & _same(np.imag(got), np.imag(want))
            near = magnitude(got.astype(np.complex128) - want.astype(np.complex128)) <= error
        elif want.dtype.kind in "biu":
            equal = got == want
            near = np.abs(got.astype(np.float64) - want.astype(np.float64)) <= error
            near &= error > 0
        else:
            equal = _same(got, want)
            near = np.abs(got.astype(np.float64) - want.astype(np.float64)) <= error
    wrong = ~(equal | near | np.isinf(error))
    if not wrong.any():
        return None
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{int(wrong.sum())} of {wrong.size} elements; at {place} got {got[place]!r}, "
        f"want {want[place]!r}, allowed error {error[place]:.3e}"
    )


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a == b) | (np.isnan(a) & np.isnan(b))


# --- shrinking --------------------------------------------------------------------------------


def shrink(case: Case) -> Case:
    """A smaller case that still fails: fewer outputs, early ones, sources cut down to leaves."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(case):
            if compare(candidate) is not None:
                case, smaller = candidate, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Cases with less in them, those with least first."""
    if case.machine:
        yield replace(case, machine=0)
    if case.donated:
        yield replace(case, donated=frozenset())
    order = [node for node in topological(case.outputs) if node.srcs]
    if len(case.outputs) > 1 or len(order) > 1:
        for node in order:
            if [node] != case.outputs:
                yield replace(case, outputs=[node])
    if len(case.outputs) > 1:
        for output in case.outputs:
            yield replace(case, outputs=[node for node in case.outputs if node is not output])
    for slot in sorted(case.donated) if len(case.donated) > 1 else ():
        yield replace(case, donated=case.donated - {slot})
    for node in reversed(order):
        if node not in case.outputs:
            try:
                yield _cut(case, node)
            except IndexError:  # the node itself has the index outside
                continue


def _cut(case: Case, target: Node) -> Case:
    """The case with a node replaced by a leaf that holds its interpreted value."""
    value = interpret([target], dict(enumerate(case.arrays)), case.numbers)[0]
    attr = LeafAttr(len(case.arrays), target.shape, target.dtype)
    replaced = {id(target): make(Op.BUFFER, (), attr, "cpu")}
    for node in topological(case.outputs):
        if id(node) not in replaced and node.srcs:
            srcs = tuple(replaced.get(id(src), src) for src in node.srcs)
            if srcs != node.srcs:
                replaced[id(node)] = make(node.op, srcs, node.attr)
    outputs = [replaced.get(id(node), node) for node in case.outputs]
    return replace(case, outputs=outputs, arrays=[*case.arrays, value])
