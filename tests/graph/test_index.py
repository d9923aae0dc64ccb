"""The index algebra: every rule proved by z3 for all integers, and random forms exhaustively.

Random expressions are compared with plain Python arithmetic at every point of small ranges.
"""

from __future__ import annotations

import itertools
import random

import pytest

from picograd.graph.index import (
    ZERO,
    FloorDiv,
    Index,
    Mod,
    Param,
    Var,
    constant,
    delinearize,
    linearize,
    of,
    variable,
)
from picograd.graph.mask import Mask

R, J, K = variable("i", 6), variable("j", 8), variable("k", 5)

# --- random expressions ---------------------------------------------------------------------------


def random_index(rng: random.Random, atoms: list, depth: int):
    """An index and a Python function of the atoms' values that it must equal."""
    index, start = constant(rng.randint(-9, 9)), 0
    start = index.constant
    parts: list = []
    for _ in range(rng.randint(1, 3)):
        if depth and rng.random() < 0.6:
            inner, function = random_index(rng, atoms, depth - 1)
            divisor = rng.choice([2, 3, 4, 6, 8, 12])
            if rng.random() < 0.5:
                term, value = inner // divisor, lambda v, f=function, d=divisor: f(v) // d
            else:
                term, value = inner % divisor, lambda v, f=function, d=divisor: f(v) % d
        else:
            atom = rng.choice(atoms)
            term, value = of(atom), lambda v, a=atom: v[a]
        factor = rng.choice([1, 1, 1, 2, 3, 4, 6, 8, -1, -1, -2, -4, 12])
        index = index + term * factor
        parts.append((value, factor))
    return index, lambda v: start + sum(f(v) * c for f, c in parts)


def points(atoms: list):
    """Every assignment of values to atoms."""
    for values in itertools.product(*(range(a.low, a.high + 1) for a in atoms)):
        yield dict(zip(atoms, values, strict=True))


def test_random_expressions_keep_their_values(seed: int) -> None:
    for round_ in range(800):
        rng = random.Random(seed + round_)
        atoms = [
            Var("i", 0, rng.randint(1, 6)),
            Var("j", 0, rng.randint(1, 6)),
            Param(0, rng.randint(-3, 0), rng.randint(1, 5)),
        ]
        index, function = random_index(rng, atoms, 3)
        low, high = index.bounds()
        mask = Mask().require(index)
        last = atoms[0].high
        substituted = index.substitute({atoms[0]: last - of(atoms[0])})
        for values in points(atoms):
            expected = function(values)
            assert index.evaluate(values) == expected, (seed + round_, index)
            assert low <= expected <= high
            assert mask.evaluate(values) == (expected >= 0), (seed + round_, index, mask)
            there = {**values, atoms[0]: last - values[atoms[0]]}
            assert substituted.evaluate(values) == function(there)


def test_forms_are_stable(seed: int) -> None:
    """Building a form again from its own parts gives the same form: simplification has ended."""
    for round_ in range(400):
        rng = random.Random(seed + round_)
        atoms = [Var("i", 0, 5), Var("j", 0, 6), Param(0, -3, 5)]
        index, _ = random_index(rng, atoms, 2)
        total = constant(index.constant)
        for atom, coefficient in index.terms:
            if isinstance(atom, FloorDiv):
                total = total + (atom.numerator // atom.divisor) * coefficient
            elif isinstance(atom, Mod):
                total = total + (atom.numerator % atom.divisor) * coefficient
            else:
                total = total + of(atom) * coefficient
        assert total == index, seed + round_


# --- equal functions, equal forms -----------------------------------------------------------------

EQUAL = [
    ("split and divide", (R * 8 + J) // 8, R),
    ("split and take the rest", (R * 8 + J) % 8, J),
    ("partly divided", (R * 8 + J) // 4, R * 2 + J // 4),
    ("partly the rest", (R * 8 + J) % 4, J % 4),
    ("quotient and rest", ((R * 8 + J) // 12) * 12 + (R * 8 + J) % 12, R * 8 + J),
    ("three levels", (J // 4) * 4 + ((J // 2) % 2) * 2 + J % 2, J),
    ("middle of three", ((R * 8 + J) // 3 % 4) * 3 + (R * 8 + J) % 3, (R * 8 + J) % 12),
    ("modulus then quotient", ((R * 8 + J) % 12) // 3, ((R * 8 + J) // 3) % 4),
    ("nested division", ((R * 8 + J) // 3) // 4, (R * 8 + J) // 12),
    ("nested division with more", (R * 2 + J // 4) // 3, (R * 8 + J) // 12),
    ("nested modulus", ((R * 8 + J) % 12) % 4, (R * 8 + J) % 4),
    ("modulus inside a sum", ((J % 4) + K) % 2, (J + K) % 2),
    ("large coefficient", (K * 9) // 8, K + K // 8),
    ("large coefficient modulo", (J * 9) % 8, J),
    ("without the rest", J - J % 4, (J // 4) * 4),
    ("without the quotient", J - (J // 4) * 4, J % 4),
    ("flip then divide", (constant(7) - J) // 4, constant(1) - J // 4),
    ("flip then modulus", (constant(7) - J) % 4, constant(3) - J % 4),
    ("flip twice", constant(7) - (constant(7) - J), J),
    ("strided", (J * 6) % 4, ((J * 3) % 2) * 2),
    ("offset by whole blocks", (J + 16) // 4, J // 4 + 4),
    ("out of reach", (J + 8) // 16, ZERO),
]


@pytest.mark.parametrize(("name", "left", "right"), EQUAL, ids=[case[0] for case in EQUAL])
def test_equal_functions_have_equal_forms(name: str, left: Index, right: Index) -> None:
    assert left == right
    for values in points(sorted(left.atoms() | right.atoms())):
        assert left.evaluate(values) == right.evaluate(values)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((6, 8), (4, 12)),
        ((6, 8), (3, 16)),
        ((2, 3, 4), (4, 3, 2)),
        ((2, 3, 4), (24,)),
        ((12, 5), (5, 12)),
        ((2, 3, 5, 7), (6, 35)),
        ((2, 9, 4), (6, 12)),
    ],
)
def test_reshapes_there_and_back(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    indices = [variable(f"i{n}", extent) for n, extent in enumerate(old)]
    there = delinearize(linearize(indices, old), new)
    assert delinearize(linearize(there, new), old) == tuple(indices)
    assert linearize(there, new) == linearize(indices, old)


def test_extents_of_one_and_nothing() -> None:
    wild = of(Var("w", -9, 9))
    assert delinearize(wild, (1, 7, 1)) == (ZERO, wild, ZERO)
    assert delinearize(ZERO, (0, 3)) == (ZERO, ZERO)
    assert linearize((), ()) == ZERO and delinearize(ZERO, ()) == ()


def test_only_positive_divisors() -> None:
    for divisor in (0, -2):
        with pytest.raises(ValueError, match="positive constants only"):
            _ = J // divisor
        with pytest.raises(ValueError, match="positive constants only"):
            _ = J % divisor


def test_questions_about_an_index() -> None:
    index = R * 8 + (J // 3) * 2 + 5
    (i,), (j,) = R.variables(), J.variables()
    assert index.coefficient(i) == 8 and index.coefficient(j) == 0
    assert index.is_affine_in(i) and not index.is_affine_in(j)
    assert index.bounds() == (5, 49) and index.variables() == {i, j}
    assert str(index) == "i*8 + (j // 3)*2 + 5"
    p = of(Param(3, 0, 7))
    assert (R + p).atoms() == {i, Param(3, 0, 7)} and (R + p).variables() == {i}


# --- masks ----------------------------------------------------------------------------------------


def test_masks_have_one_form() -> None:
    assert Mask.inside(J, 0, 8) == Mask()
    assert Mask().require(J * 2 - 3) == Mask().require(J - 2)
    assert Mask().require(J // 4 - 1) == Mask().require(J - 4)
    assert Mask().require(-(J // 4)) == Mask().require(constant(3) - J)
    assert Mask().require(J - 2).require(J - 5) == Mask().require(J - 5).require(J - 2)
    assert Mask().require(R - 2) & Mask().require(J - 1) == Mask((R - 2, J - 1))
    assert Mask().require(J - 8).never and not Mask().require(J - 7).never
    assert Mask().always and str(Mask()) == "true"
    (j,) = J.variables()
    assert Mask().require(J - 3).substitute({j: R + 3}).always


# --- proofs ---------------------------------------------------------------------------------------

DIVISORS = [(2, 3), (3, 2), (4, 6), (5, 7), (8, 4), (1, 5), (6, 6)]


@pytest.mark.parametrize(("a", "b"), DIVISORS)
def test_every_rule_holds_for_all_integers(a: int, b: int) -> None:
    """z3's div and mod by positive constants round to minus infinity, as Python's do."""
    z3 = pytest.importorskip("z3")
    x, y, r = z3.Ints("x y r")
    small = z3.And(r >= 0, r < a)
    rules = {
        "join": x == (x / a) * a + x % a,
        "join the middle": ((x / a) % b) * a + x % a == x % (a * b),
        "split": (x * a + y) / a == x + y / a,
        "split modulo": (x * a + y) % a == y % a,
        "group": z3.Implies(small, (x * a + r) / (a * b) == x / b),
        "group modulo": z3.Implies(small, (x * a + r) % (a * b) == (x % b) * a + r),
        "nested": (x / a + y) / b == (x + a * y) / (a * b),
        "modulus then quotient": (x % (a * b)) / a == (x / a) % b,
        "modulus in a sum": (x % (a * b) + y) % a == (x + y) % a,
        "scaled modulus in a sum": ((x % b) * a + y) % (a * b) == (x * a + y) % (a * b),
        "negative": (-x) / a == -((x - 1) / a) - 1,
        "negative modulo": (-x) % a == a - 1 - (x - 1) % a,
        "mask factor": (x * a + y % a >= 0) == (x >= 0),
        "mask quotient": (x / a + y >= 0) == (x + a * y >= 0),
        "mask minus quotient": (y - x / a >= 0) == (a * y + a - 1 - x >= 0),
    }
    for name, rule in rules.items():
        solver = z3.Solver()
        solver.set("timeout", 5000)
        solver.add(z3.Not(rule))
        assert solver.check() == z3.unsat, (name, a, b, solver)
