"""Matmul, einsum and their relatives against torch."""

from __future__ import annotations

import pytest

import picograd
from tests.frontend.parity import check, torch

RANKS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 2)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((2, 0), (0, 3)),
    ((0, 2), (2, 3)),
]
WRONG = [
    ((3,), (2, 3)),
    ((2, 3), (2, 3)),
    ((2, 3), (2,)),
    ((2, 2, 3), (3, 3, 3)),
    ((), (2,)),
    ((2, 2, 3), (2, 2, 3)),
]


@pytest.mark.parametrize("shapes", RANKS + WRONG)
def test_matmul(shapes):
    check(lambda t, a, b: a @ b, *shapes)


EQUATIONS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk": ((2, 3), (3, 4)),
    "ik,kj->ikj": ((2, 3), (3, 4)),
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
    "ij->ji": ((2, 3),),
    "ij->": ((2, 3),),
    "ii->i": ((3, 3),),
    "ii": ((3, 3),),
    "i,j->ij": ((2,), (3,)),
    "i,i": ((3,), (3,)),
    "...ij,...jk->...ik": ((5, 2, 3), (3, 4)),
    "b...d,d->b...": ((2, 3, 4), (4,)),
    "...,...": ((2, 3), (2, 3)),
    "ij,jk,kl->il": ((2, 3), (3, 4), (4, 5)),
    "bhqd,bhkd->bhqk": ((2, 2, 3, 4), (2, 2, 5, 4)),
    "abc,cd,abe->de": ((2, 3, 4), (4, 5), (2, 3, 2)),
    "ij,ij->i": ((2, 3), (2, 3)),
    "iij,j->i": ((3, 3, 2), (2,)),
    "ij , kj -> ik": ((2, 1), (4, 3)),
    "ba,b->a": ((2, 3), (2,)),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum(equation):
    check(lambda t, *x: t.einsum(equation, *x), *EQUATIONS[equation])


@pytest.mark.parametrize(
    "equation, shapes",
    [
        ("ij,jk->ik", ((2, 3), (4, 5))),
        ("ij->ik", ((2, 3),)),
        ("ij->ii", ((2, 3),)),
        ("ijk->i", ((2, 3),)),
        ("ii->i", ((2, 3),)),
    ],
)
def test_einsum_errors(equation, shapes):
    check(lambda t, *x: t.einsum(equation, *x), *shapes)


M, N, INT = (2, 3), (3, 4), ("int64", (2, 3))
CASES = {
    "mm": (lambda t, a, b: (t.mm(a, b), a.mm(b), a.matmul(b)), M, N),
    "mm_vector": (lambda t, a, b: a.mm(b), M, (3,)),
    "bmm": (lambda t, a, b: t.bmm(a, b), (5, 2, 3), (5, 3, 4)),
    "bmm_wrong": (lambda t, a, b: t.bmm(a, b), (5, 2, 3), (4, 3, 4)),
    "mv_dot": (lambda t, a, v: (t.mv(a, v), t.dot(v, v), v.inner(v), a.inner(v)), M, (3,)),
    "dot_sizes": (lambda t, a, b: t.dot(a, b), (2,), (3,)),
    "outer": (lambda t, a, b: (t.outer(a, b), a.ger(b)), (2,), (3,)),
    "addmm": (lambda t, c, a, b: t.addmm(c, a, b, beta=0.5, alpha=2), (4,), M, N),
    "baddbmm": (lambda t, c, a, b: t.baddbmm(c, a, b, alpha=0.5), (5, 2, 4), (5, 2, 3), (5, 3, 4)),
    "int": (lambda t, a, b: (a @ b.T, a.int() @ b.T.int()), INT, INT),
    "mixed": (lambda t, a, b: a @ b, M, ("int64", N)),
    "bool": (lambda t, a, b: a @ b, ("bool", M), ("bool", N)),
    "tensordot": (lambda t, a, b: (t.tensordot(a, b, 1), t.tensordot(a, b, ([1], [0]))), M, N),
    "tensordot_2": (lambda t, a, b: t.tensordot(a, b, dims=([1, 0], [0, 1])), M, (3, 2)),
    "tensordot_0": (lambda t, a, b: t.tensordot(a, b, dims=0), (2,), (3,)),
    "kron": (lambda t, a, b: t.kron(a, b), M, (2, 2)),
    "trace": (lambda t, a: t.trace(a), (3, 3)),
    "power": (lambda t, a: (t.matrix_power(a, 3), t.matrix_power(a, 0)), (3, 3)),
    "linear": (lambda t, x, w, b: t.nn.functional.linear(x, w, b), (5, 2, 3), (4, 3), (4,)),
    "linear_wrong": (lambda t, x, w: t.nn.functional.linear(x, w), (5, 3), (4, 2)),
    "bilinear": (lambda t, x, y, w: t.nn.functional.bilinear(x, y, w), (5, 3), (5, 2), (4, 3, 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    function, *specs = CASES[name]
    check(function, *specs)


def test_names_of_steps():
    for a, b in ((M, N), (M, (3,)), ((5, 2, 3), (5, 3, 4)), ((3,), (3,))):
        names = []
        for module in (picograd, torch):
            x = module.ones(a, requires_grad=True)
            names.append((x @ module.ones(b)).grad_fn.name())
            names.append(x.mean().grad_fn.name() + (x**2).grad_fn.name() + x.relu().grad_fn.name())
        assert names[:2] == names[2:], (a, b)
