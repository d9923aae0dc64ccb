"""Compile a case, interpret it, and compare; shrink a case that fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from picograd.graph.interpret import evaluate_node, interpret
from picograd.graph.meaning_structure import Bindings
from picograd.graph.node import Node, make, topological
from picograd.graph.ops import LeafAttr, Op
from picograd.runtime import device
from picograd.runtime.buffer import from_array
from tests.fuzz.bounds import bound
from tests.fuzz.parts import Case


def compare(case: Case, on: str = "cpu") -> str | None:
    """None when compiled and interpreted agree, else what differs."""
    try:
        wanted = interpret(case.outputs, dict(enumerate(case.arrays)), dict(enumerate(case.values)))
        errors = _errors(case)
        inputs = [from_array(np.array(array, order="C", copy=True)) for array in case.arrays]
        buffers = device.get(on).build(case.outputs, case.donated).run(inputs, case.values)
    except Exception as error:  # every exception is a finding: report it with the graph
        return f"{type(error).__name__}: {error}"
    for number, (node, want, buffer) in enumerate(zip(case.outputs, wanted, buffers, strict=True)):
        found = _differs(buffer.array.reshape(node.shape), want, errors[id(node)])
        if found is not None:
            return f"output {number} ({node}): {found}"
    for slot, (array, buffer) in enumerate(zip(case.arrays, inputs, strict=True)):
        if slot not in case.donated and not np.array_equal(
            _bits(array), _bits(buffer.array.reshape(array.shape))
        ):
            return f"input {slot} was overwritten"
    return None


def _errors(case: Case) -> dict[int, np.ndarray]:
    bindings = Bindings(dict(enumerate(case.arrays)), dict(enumerate(case.values)))
    values: dict[int, np.ndarray] = {}
    errors: dict[int, np.ndarray] = {}
    for node in topological(case.outputs):
        sources = [values[id(src)] for src in node.srcs]
        value = evaluate_node(node, sources, bindings)
        values[id(node)] = value
        errors[id(node)] = bound(node, value, sources, [errors[id(s)] for s in node.srcs], bindings)
    return errors


def _bits(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def _differs(got: np.ndarray, want: np.ndarray, error: np.ndarray) -> str | None:
    """The first element that is farther off than allowed. NaN equals NaN, -0 equals 0."""
    with np.errstate(all="ignore"):
        a, b = got.astype(np.float64), want.astype(np.float64)
        if want.dtype.kind in "iu":
            equal = got == want
        else:
            equal = (a == b) | (np.isnan(a) & np.isnan(b))
        near = np.abs(a - b) <= error
    wrong = ~(equal | near | np.isinf(error))
    if not wrong.any():
        return None
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{int(wrong.sum())} of {wrong.size} elements; at {place} got {got[place]!r}, "
        f"want {want[place]!r}, allowed error {error[place]:.3e}"
    )


def shrink(case: Case) -> Case:
    """A smaller case that still fails: one early output, its sources cut down to leaves."""
    for node in topological(case.outputs):
        candidate = replace(case, outputs=[node])
        if node.srcs and compare(candidate) is not None:
            case = candidate
            break
    changed = True
    while changed:
        changed = False
        for node in reversed(topological(case.outputs)[:-1]):
            if node.op is Op.BUFFER:
                continue
            candidate = _cut(case, node)
            if compare(candidate) is not None:
                case, changed = candidate, True
                break
    return case


def _cut(case: Case, target: Node) -> Case:
    """The case with a node replaced by a leaf that holds its interpreted value."""
    value = interpret([target], dict(enumerate(case.arrays)), dict(enumerate(case.values)))[0]
    attr = LeafAttr(len(case.arrays), target.shape, target.dtype)
    replaced = {id(target): make(Op.BUFFER, (), attr, "cpu")}
    for node in topological(case.outputs):
        if id(node) not in replaced and node.srcs:
            srcs = tuple(replaced.get(id(src), src) for src in node.srcs)
            if srcs != node.srcs:
                replaced[id(node)] = make(node.op, srcs, node.attr)
    outputs = [replaced.get(id(node), node) for node in case.outputs]
    return replace(case, outputs=outputs, arrays=[*case.arrays, value])
