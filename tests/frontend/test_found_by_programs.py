"""Programs that random ones were shrunk to when they found something wrong."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
from tests.frontend.twins import same


def what_was_computed_is_not_seen_by_numpy(m):
    """`kept` is made of the same numbers as `x`, so one buffer would do for both."""
    x = m.tensor([-1.0, 2.0])
    x.zero_()
    kept = x.masked_fill(x < 0, 1)
    x.numpy()[...] += 1
    return x, kept


def part_of_an_expanded_tensor(m):
    x = m.tensor([1.0, 2.0, 3.0])
    wide = x.expand(2, 3)
    wide[1].mul_(2)
    wide.T[0] += 1
    wide[None, :1, 1] = 7
    return x, wide


def empty_part_of_an_expanded_tensor(m):
    x = m.tensor([1.0, 2.0])
    x.expand(2, 2)[:, 2:] *= m.ones(2, 0)
    m.zeros(0).expand(3, 0).add_(1)
    return x


def column_of_a_scalar(m):
    x = m.tensor(3.0)
    x.expand(3).unsqueeze(0).unbind(1)[2].mul_(2)
    return x


def sign_has_a_gradient_of_zeros(m):
    x = m.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    y = x.sign()
    (y * x).sum().backward()
    (x.sgn() * 3).sum().backward()
    return y, x.grad


def sum_of_small_integers_by_einsum(m):
    x = m.tensor([[100, 100], [-100, 50]], dtype=m.int8)
    return m.einsum("ij->i", x), m.einsum("ij->", x)


def einsum_that_moves_is_a_view(m):
    x = m.zeros(2, 3)
    y = m.einsum("ij->ji", x)
    y[0] = 1
    return x, y.stride()


def einsum_of_masks(m):
    x = m.tensor([True, False])
    return m.einsum("i,j->ij", x, x)


def concatenation_of_nothing_requires_grad(m):
    x = m.zeros((3, 0), requires_grad=True)
    return m.cat([x, x], 1), m.cat([x, m.ones(3, 2)], 1)


def integers_that_are_nan_as_floats(m):
    x = m.zeros(3)
    bits = x.view(m.int32)
    bits[...] = -2
    return bits, x


PROGRAMS = [
    integers_that_are_nan_as_floats,
    pytest.param(
        what_was_computed_is_not_seen_by_numpy,
        marks=pytest.mark.host("NumPy writes to the tensor's memory"),
    ),
    part_of_an_expanded_tensor,
    empty_part_of_an_expanded_tensor,
    column_of_a_scalar,
    sign_has_a_gradient_of_zeros,
    sum_of_small_integers_by_einsum,
    einsum_that_moves_is_a_view,
    einsum_of_masks,
    concatenation_of_nothing_requires_grad,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_program(program):
    same(program)


@pytest.mark.parametrize(
    "expression",
    [
        "m.ones(2) - True",
        "True - m.ones(2)",
        "m.ones(2) - m.tensor(True)",
        "m.rsub(m.ones(2), True)",
        "m.tensor([3], dtype=m.int8).sub_(m.tensor(True))",
        "m.tensor([True]) - True",
    ],
)
def test_subtraction_of_bools(expression):
    same(lambda m: eval(expression, {"m": m}))
