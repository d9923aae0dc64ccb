"""Checks that a rule fires and keeps every bit."""

from __future__ import annotations

from math import inf

import numpy as np

from picograd import dtypes as dt
from picograd.dtypes import DType
from picograd.graph.interpret import interpret
from picograd.graph.node import Node, topological
from picograd.graph.ops import LeafAttr
from picograd.graph.rules import simplify
from picograd.graph.verify import verify
from tests.graph.builders import same_bits


def edge_values(dtype: DType) -> np.ndarray:
    if dtype.is_bool:
        return np.array([False, True])
    if dtype.is_integer and dtype.itemsize == 1:
        return np.arange(int(dtype.lowest), int(dtype.highest) + 1).astype(dtype.numpy)
    if dtype.is_integer:
        low, high = int(dtype.lowest), int(dtype.highest)
        values = {low, low + 1, -1 if low else 5, 0, 1, 2, 3, 7, 100, high // 2, high - 1, high}
        return np.array(sorted(values), dtype.numpy)
    finite = [0.0, 1.0, 0.5, 1.5, 2.5, 3.0, 0.1, 7.3, 1e-7, 6e-8, 1e-40, 5e-324, 6e4, 3e38, 1e308]
    numbers = np.array([*finite, *(-x for x in finite), inf, -inf, np.nan])
    with np.errstate(all="ignore"):
        if dtype.is_complex:
            real, imaginary = np.meshgrid(numbers[::3], numbers[::4])
            return (real + 1j * imaginary).reshape(-1).astype(dtype.numpy)
        return numbers.astype(dtype.numpy)


def applied(outputs: list[Node]) -> tuple[list[Node], set[str]]:
    """The simplified outputs and the names of the rules that made them."""
    names: set[str] = set()
    result = simplify(outputs, lambda name, before, after: names.add(name))
    verify(result, canonical=True)
    assert simplify(result) == result
    return result, names


def check(rule: str, node: Node, arrays: list[np.ndarray], values: dict | None = None) -> Node:
    """The rule fires somewhere and the value stays the same to the bit."""
    (simple,), names = applied([node])
    assert rule in names, (rule, names, node)
    buffers = dict(enumerate(arrays))
    before, after = (interpret([n], buffers, values)[0] for n in (node, simple))
    assert same_bits(before, after), (rule, node, before, after)
    return simple


def arrays_of(node: Node, seed: int = 0) -> list[np.ndarray]:
    """Random contents for the numbered leaves of a graph, by slot."""
    rng = np.random.default_rng(seed)
    leaves = {n.attr.slot: n for n in topological([node]) if isinstance(n.attr, LeafAttr)}
    result = []
    for slot in range(max(leaves, default=-1) + 1):
        found = leaves.get(slot)
        shape, dtype = (found.shape, found.dtype) if found else ((0,), dt.float32)
        result.append(rng.integers(-3, 4, shape).astype(dtype.numpy))
    return result
