"""Proofs that an access stays inside its memory: what must be proved, and that nothing wrong is."""

from __future__ import annotations

import random
from itertools import product

from picograd.codegen.bounds import proves_within
from picograd.graph.index import Index, Param, Var, constant, of
from picograd.graph.mask import Mask


def test_a_constraint_narrows_a_run_time_start() -> None:
    """A window of 2 x 3 rows by run-time starts, in a vector that begins a row of 17."""
    lane, row = Var("lane", 0, 15, 16), Var("i0", 0, 32)
    first, second = Param(0, 0, 5), Param(1, 0, 14)
    mask = Mask().require(of(row) - 6).require(21 - of(row))
    mask = mask.require(of(lane) // 17 - of(first)).require(of(first) + 1 - of(lane) // 17)
    mask = mask.require(of(lane) - of(first) * 17)
    mask = mask.require(of(lane) - of(second)).require(of(second) + 2 - of(lane))
    index = of(row) * 6 + of(lane) - of(first) * 3 - of(second) - 36
    assert proves_within(index, 96, mask)
    assert not proves_within(index, 92, mask)
    assert not proves_within(index - 1, 96, mask)


def test_nothing_wrong_is_proved(seed: int) -> None:
    """Against trying every point."""
    generator = random.Random(seed)
    proved = 0
    for _ in range(400):
        atoms = [Var("i", 0, generator.randint(1, 9)), Var("j", 0, generator.randint(1, 9))]
        atoms += [Param(0, 0, generator.randint(1, 9))]

        def affine(atoms: list = atoms) -> Index:
            total = constant(generator.randint(-12, 12))
            for atom in atoms:
                part = of(atom) * generator.choice((-9, -3, -2, -1, 0, 0, 1, 2, 3, 17))
                total = total + (part // generator.choice((1, 1, 1, 2, 3, 5)))
            return total

        mask = Mask()
        for _ in range(generator.randint(1, 4)):
            mask = mask.require(affine())
        index = affine()
        points = [
            dict(zip(atoms, point, strict=True))
            for point in product(*(range(atom.bounds[1] + 1) for atom in atoms))
        ]
        held = [index.evaluate(point) for point in points if mask.evaluate(point)]
        low, high = min(held, default=0), max(held, default=0)
        if low < 0:
            assert not proves_within(index, 1 << 20, mask), (index, mask)
        else:
            assert not held or high == 0 or not proves_within(index, high, mask), (index, mask)
            proved += proves_within(index, high + 1, mask)
    assert proved > 20
