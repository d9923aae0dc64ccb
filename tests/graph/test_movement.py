"""Index maps of movement ops against the interpreter, over random chains of views."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from picograd.dtypes import int64
from picograd.graph.index import Param, Var, constant, of, variable
from picograd.graph.interpret import interpret
from picograd.graph.mask import Mask
from picograd.graph.movement import reshape_index, source_index, update_index, window_index
from picograd.graph.node import Node, make
from picograd.graph.ops import Op, SliceAttr
from tests.graph.builders import expand, flip, leaf, pad, permute, reshape, window


def random_view(node: Node, rng: random.Random) -> Node:
    """One random movement op on top of a node."""
    shape, rank = node.shape, len(node.shape)
    kind = rng.choice(["reshape", "permute", "expand", "pad", "slice", "flip"])
    if kind == "reshape":
        factors = [d for d in range(1, node.size + 1) if node.size % d == 0] or [0]
        first = rng.choice(factors)
        rest = node.size // first if first else 0
        second = rng.choice([d for d in range(1, rest + 1) if rest % d == 0] or [0])
        third = rest // second if second else 1
        return reshape(
            node, tuple(rng.choice([(first, second, third), (first, rest), (node.size,)]))
        )
    if kind == "permute":
        return permute(node, *rng.sample(range(rank), rank))
    if kind == "expand":
        wider = reshape(node, (*shape[:1], 1, *shape[1:]))
        return expand(wider, (*shape[:1], 2, *shape[1:])) if node.size < 60 else node
    if kind == "pad":
        amounts = [tuple(rng.randint(0, 2) for _ in shape) for _ in range(2)]
        return pad(node, amounts[0], amounts[1], 7) if node.size < 60 else node
    if kind == "slice":
        steps = tuple(rng.randint(1, 3) for _ in shape)
        sizes = tuple(
            rng.randint(0 if rng.random() < 0.1 else 1, max(1, -(-n // s))) if n else 0
            for n, s in zip(shape, steps, strict=True)
        )
        starts = tuple(
            constant(rng.randint(0, max(0, n - 1 - (k - 1) * s)) if k else 0)
            for n, k, s in zip(shape, sizes, steps, strict=True)
        )
        return window(node, starts, sizes, steps)
    return flip(node, *sorted(rng.sample(range(rank), rng.randint(0, rank))))


def follow(node: Node, root: Node, names: list[Var]) -> tuple[tuple, Mask]:
    """The composed map from a chain's result to its root."""
    indices, mask = tuple(of(name) for name in names), Mask()
    while node is not root:
        indices, here = source_index(node, indices)
        mask &= here
        node = node.srcs[0]
    return indices, mask


def test_random_chains_of_views(seed: int) -> None:
    for round_ in range(150):
        rng = random.Random(seed + round_)
        root = leaf(0, (rng.randint(1, 4), rng.randint(1, 6)), int64)
        node = root
        for _ in range(rng.randint(1, 6)):
            node = random_view(node, rng)
        x = np.arange(1, root.size + 1).reshape(root.shape)
        expected = interpret([node], {0: x})[0]
        names = [Var(f"i{n}", 0, max(extent - 1, 0)) for n, extent in enumerate(node.shape)]
        indices, mask = follow(node, root, names)
        for point in itertools.product(*map(range, node.shape)):
            values = dict(zip(names, point, strict=True))
            if mask.evaluate(values):
                position = tuple(index.evaluate(values) for index in indices)
                assert x[position] == expected[point], (seed + round_, node, point)
            else:
                assert expected[point] == 7, (seed + round_, node, point)


@pytest.mark.parametrize(("size", "step"), [(2, 1), (3, 2), (2, 3), (1, 1), (7, 1), (0, 1)])
def test_update_and_window_maps_are_inverse(size: int, step: int) -> None:
    last = 6 - (max(size, 1) - 1) * step
    start = Param(0, 0, last)
    attr = SliceAttr((of(start),), (size,), (step,))
    node = make(Op.UPDATE, (leaf(0, (7,)), leaf(1, (size,))), attr)
    i = Var("i", 0, 6)
    (position,), mask = update_index(node, (of(i),))
    for first in range(last + 1):
        base = np.arange(7, dtype=np.float32)
        value = -np.arange(1, size + 1, dtype=np.float32)
        expected = interpret([node], {0: base, 1: value}, {0: first})[0]
        for element in range(7):
            values = {i: element, start: first}
            inside = mask.evaluate(values)
            got = value[position.evaluate(values)] if inside else base[element]
            assert got == expected[element]
    k = variable("k", max(size, 1))
    (back,) = window_index(node, (k,))
    assert (back - of(start)) // step == k


def test_reshapes_keep_untouched_axes_whatever_their_index() -> None:
    wild = of(Var("w", -50, 50))  # no bound would prove these
    i, j = variable("i", 3), variable("j", 4)
    assert reshape_index((wild, i, j), (5, 3, 4), (5, 12)) == (wild, i * 4 + j)
    assert reshape_index((wild, i), (5, 3), (1, 5, 1, 3)) == (constant(0), wild, constant(0), i)
    assert reshape_index((), (), (1, 1)) == (constant(0), constant(0))
    assert reshape_index((i,), (1,), ()) == ()


def test_reshape_there_and_back_is_the_identity() -> None:
    x = leaf(0, (6, 8))
    there = reshape(x, (4, 3, 4))
    back = reshape(there, (6, 8))
    i, j = variable("i", 6), variable("j", 8)
    middle, _ = source_index(back, (i, j))
    assert source_index(there, middle)[0] == (i, j)


def test_padding_masks_name_only_padded_axes() -> None:
    i, j = variable("i", 5), variable("j", 4)
    _, mask = source_index(pad(leaf(0, (3, 4)), (1, 0), (1, 0)), (i, j))
    assert str(mask) == "i + -1 >= 0 and i*-1 + 3 >= 0"


def test_maps_that_depend_on_data_are_refused() -> None:
    attr = SliceAttr((0,), (1,), (1,))
    update = make(Op.UPDATE, (leaf(0, (3,)), leaf(1, (1,))), attr)
    with pytest.raises(TypeError, match="update is no static map"):
        source_index(update, (variable("i", 3),))
