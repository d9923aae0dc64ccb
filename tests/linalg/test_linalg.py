"""Linear algebra gives torch's numbers, gradients, gradients of gradients and errors.

Expressions run in both libraries. Where vectors are free in sign or phase, the expression takes
what isn't: products and absolute values.
"""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

SEED = 20261121
A, TALL, WIDE, B = (2, 3, 3), (2, 5, 3), (2, 3, 5), (2, 3, 4)

# expression of a (and b, c), shapes; what begins with "+" is made positive-definite first.
VALUES = [
    ("linalg.inv(a)", A),
    ("linalg.inv_ex(a).inverse", A),
    ("linalg.det(a)", A),
    ("a.det()", (3, 3)),
    ("linalg.slogdet(a)", A),
    ("linalg.solve(a, b)", A, B),
    ("linalg.solve(a, b)", (3, 3), (3,)),
    ("linalg.solve(a, b)", A, (3, 2)),
    ("linalg.solve(a, b, left=False)", A, TALL),
    ("linalg.solve_triangular(a.tril(), b, upper=False)", A, B),
    ("linalg.solve_triangular(a, b, upper=True, left=False, unitriangular=True)", A, TALL),
    *[("linalg.lu(a)", shape) for shape in (A, TALL, WIDE)],
    ("linalg.lu_solve(*linalg.lu_factor(a), b)", A, B),
    ("linalg.lu_solve(*linalg.lu_factor(a), b, left=False)", A, TALL),
    ("linalg.cholesky(positive(a))", A),
    ("linalg.cholesky(positive(a), upper=True)", A),
    ("linalg.cholesky_ex(positive(a)).L", A),
    ("torch.cholesky_solve(b, linalg.cholesky(positive(a)))", A, B),
    ("torch.cholesky_inverse(linalg.cholesky(positive(a)))", A),
    *[("linalg.qr(a)", shape) for shape in (A, TALL, WIDE)],
    ("linalg.qr(a, 'complete')[1].abs()", WIDE),
    *[("linalg.svdvals(a)", shape) for shape in (A, TALL, WIDE)],
    *[("two(linalg.svd(a, False))", shape) for shape in (A, TALL, WIDE)],
    ("two(linalg.svd(a))", TALL),
    ("linalg.eigvalsh(a + a.mT)", A),
    ("linalg.eigh(a + a.mT)[1].abs()", A),
    ("linalg.eigh(a + a.mT)[1].abs() * linalg.eigh(a + a.mT, UPLO='U')[0].unsqueeze(-1)", A),
    ("linalg.eigvals(a).abs().sort().values", A),
    ("linalg.eig(a)[1].abs().sum(-2)", A),
    ("linalg.eig(a)[1].abs().amax(-2).sort().values", A),
    *[("linalg.pinv(a)", shape) for shape in (A, TALL, WIDE)],
    ("linalg.lstsq(a, b).solution", TALL, (2, 5, 2)),
    ("linalg.lstsq(a, b).solution", WIDE, B),
    ("linalg.lstsq(a, b, driver='gels').residuals", TALL, (2, 5, 2)),
    ("linalg.lstsq(a, b, driver='gelsd').residuals", (5, 3), (5, 2)),
    ("linalg.matrix_exp(3 * a)", A),
    ("linalg.matrix_power(a, -3)", A),
    ("linalg.matrix_power(a, 5)", A),
    ("torch.matrix_power(a, -1) + a.matrix_power(0)", A),
    ("linalg.multi_dot([a, b, c])", (4,), (4, 3), (3, 2)),
    ("linalg.cross(a, b)", A, A),
    ("torch.cross(a, b, dim=1)", WIDE, WIDE),
    ("linalg.diagonal(a, offset=1)", A),
    ("linalg.vecdot(a, b)", A, A),
    ("linalg.vander(a, N=4)", (2, 3)),
    ("linalg.tensorinv(a, ind=1)", (6, 2, 3)),
    ("linalg.tensorsolve(a, b)", (2, 3, 6), (2, 3)),
    ("linalg.householder_product(a, b)", TALL, (2, 3)),
    *[
        (f"linalg.matrix_norm(a, {order})", WIDE)
        for order in ("'fro'", "'nuc'", 1, -1, 2, -2, "float('inf')", "-float('inf')")
    ],
    ("linalg.matrix_norm(a, 1, dim=(0, 2), keepdim=True)", WIDE),
    *[
        (f"linalg.vector_norm(a, {order}, dim=1)", WIDE)
        for order in (0.5, 1, 2, 3, "float('inf')", "-1")
    ],
    ("linalg.norm(a)", WIDE),
    ("linalg.norm(a, 2)", (3, 4)),
    ("linalg.cond(a)", A),
    ("linalg.cond(a, -2)", A),
    ("torch.svd(a).V.abs()", TALL),
    ("torch.logdet(positive(a))", A),
    ("torch.pinverse(a)", TALL),
    ("a.inverse() + a.cholesky_inverse()", (3, 3)),
]  # fmt: skip


def given(module, arrays, grad=True):
    def positive(x):
        return x @ x.mH + module.eye(x.shape[-1], dtype=x.dtype)

    def two(parts):
        u, s, vh = parts
        return (u[..., : s.shape[-1]] * s.unsqueeze(-2) ** 2) @ vh[..., : s.shape[-1], :]

    names = {"torch": module, "linalg": module.linalg, "positive": positive, "two": two}
    tensors = [module.tensor(array, requires_grad=grad) for array in arrays]
    return names | dict(zip("abc", tensors, strict=False)), tensors


def leaves(result):
    return list(result) if isinstance(result, tuple) else [result]


def scalar(module, result):
    """One real number that depends on everything differentiable, with uneven weights."""
    total = 0
    for part in leaves(result):
        if part.requires_grad:
            rng = np.random.default_rng(SEED + 1)
            weighted = part * module.tensor(rng.standard_normal(tuple(part.shape)))
            if part.dtype == module.complex128:
                weighted = module.real(weighted) + 2 * module.imag(weighted)
            total = total + weighted.sum()
    return total


def close(ours, theirs, tolerance):
    theirs = theirs.detach().resolve_conj() + 0
    assert repr(ours.dtype) == repr(theirs.dtype) and tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.numpy(), rtol=tolerance, atol=tolerance, err_msg=f"{SEED}"
    )


@pytest.mark.parametrize(("expression", "shapes"), [(row[0], row[1:]) for row in VALUES])
def test_values_and_gradients(expression, shapes):
    rng = np.random.default_rng(SEED)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    gradients = []
    for module in (picograd, torch):
        names, tensors = given(module, arrays)
        result = eval(expression, names)
        first = module.autograd.grad(scalar(module, result), tensors, create_graph=True)
        size = sum((x * x).sum() for x in first)
        second = [t * 0 for t in tensors]
        if size.requires_grad:
            found = module.autograd.grad(size, tensors, allow_unused=True)
            second = [old if new is None else new for new, old in zip(found, second, strict=True)]
        gradients.append((leaves(result), first, second))
    for part, tolerance in zip(range(3), (1e-9, 1e-7, 1e-5), strict=True):
        for ours, theirs in zip(gradients[0][part], gradients[1][part], strict=True):
            close(ours, theirs, tolerance)


COMPLEX = ("inv(", "det(a)", "solve(", "lu(", "cholesky", "svdvals", "pinv", "matrix_", "norm")


@pytest.mark.parametrize(
    ("expression", "shapes"),
    [(r[0], r[1:]) for r in VALUES if any(f"linalg.{name}" in r[0] for name in COMPLEX)],
)
def test_complex_gradients(expression, shapes):
    rng = np.random.default_rng(SEED)
    arrays = [rng.standard_normal(shape) + 1j * rng.standard_normal(shape) for shape in shapes]
    results = []
    for module in (picograd, torch):
        names, tensors = given(module, arrays)
        result = eval(expression, names)
        results.append(module.autograd.grad(scalar(module, result), tensors))
    for ours, theirs in zip(*results, strict=True):
        close(ours, theirs, 1e-7)


SINGULAR, SPLIT = np.ones((3, 3)), np.stack([np.eye(3), np.diag([1.0, -1.0, 1.0])])

# expression of a, a: the values, or the type and the beginning of the message are torch's
ANSWERS = [
    ("linalg.inv(a)", SINGULAR),
    ("linalg.inv(a)", np.stack([np.eye(3), SINGULAR])),
    ("linalg.solve(a, a)", SINGULAR),
    ("linalg.cholesky(a)", -np.eye(3)),
    ("linalg.cholesky(a)", SPLIT),
    ("linalg.cholesky_ex(a).info", SPLIT),
    ("linalg.inv_ex(a).info", SINGULAR),
    ("linalg.det(a)", SINGULAR),
    ("linalg.matrix_rank(a)", SINGULAR),
    ("linalg.matrix_rank(a, hermitian=True)", SINGULAR),
    ("linalg.matrix_rank(a, tol=0.5)", SINGULAR),
    ("linalg.matrix_rank(a, atol=0.5, rtol=0.1)", SINGULAR),
    ("linalg.lstsq(a, a).rank", SINGULAR),
    ("linalg.cond(a, 1)", SINGULAR),
    ("linalg.pinv(a, rcond=1e-3)", SINGULAR),
    ("linalg.pinv(a, atol=5.0)", SINGULAR),
    ("linalg.inv(a)", np.zeros((2, 0, 0))),
    ("linalg.det(a)", np.zeros((2, 0, 0))),
    ("linalg.svd(a)", np.zeros((0, 3))),
    ("linalg.inv(a)", np.ones((2, 3))),
    ("linalg.det(a)", np.ones(3)),
    ("linalg.det(a)", np.ones((2, 2), int)),
    ("linalg.svd(a)", np.ones((2, 2), int)),
    ("linalg.qr(a, 'x')", SINGULAR),
    ("linalg.solve(a, a[:2])", SINGULAR),
    ("linalg.norm(a, 1)", np.ones((2, 2, 2))),
    ("linalg.matrix_norm(a, 3)", SINGULAR),
    ("linalg.inv(a.half())", SINGULAR),
    ("linalg.cross(a, a)", np.ones((3, 2))),
    ("linalg.matrix_exp(a)", np.ones((2, 3))),
    ("linalg.vector_norm(a, float('inf'))", np.zeros(0)),
]


@pytest.mark.parametrize(("expression", "array"), ANSWERS)
def test_answers_and_errors(expression, array):
    names, _ = given(torch, [array], False)
    try:
        theirs = eval(expression, names)
    except RuntimeError as error:
        kind = picograd.linalg.LinAlgError if "LinAlg" in type(error).__name__ else RuntimeError
        with pytest.raises(kind) as found:
            eval(expression, given(picograd, [array], False)[0])
        assert type(found.value) is kind
        assert str(found.value)[:40] == str(error)[:40]
        return
    for ours, other in zip(
        leaves(eval(expression, given(picograd, [array], False)[0])), leaves(theirs), strict=True
    ):
        close(ours, other, 1e-9)


def test_gradient_of_a_singular_determinant_is_the_cofactors():
    x = picograd.tensor(np.diag([3.0, 0.0, 2.0]), requires_grad=True)
    x.det().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.diag([0.0, 6.0, 0.0]), atol=1e-12)


def test_large_triangular_systems_are_solved_in_halves():
    rng = np.random.default_rng(SEED)
    a = rng.standard_normal((130, 130)) + 20 * np.eye(130)
    b = rng.standard_normal((130, 7))
    for upper in (False, True):
        triangle = np.triu(a) if upper else np.tril(a)
        x = picograd.linalg.solve_triangular(
            picograd.tensor(a), picograd.tensor(b), upper=upper
        ).numpy()
        np.testing.assert_allclose(triangle @ x, b, atol=1e-10)


def test_float32_stays_float32():
    x = picograd.tensor(np.eye(3, dtype=np.float32) * 2)
    for result in (*picograd.linalg.svd(x), *picograd.linalg.qr(x), picograd.linalg.pinv(x)):
        assert result.dtype is picograd.float32


def test_random_projections_find_the_largest_singular_values():
    picograd.manual_seed(0)
    rng = np.random.default_rng(SEED)
    low = rng.standard_normal((30, 4)) @ rng.standard_normal((4, 20))
    u, s, v = picograd.svd_lowrank(picograd.tensor(low), 4)
    np.testing.assert_allclose((u * s @ v.mH).numpy(), low, atol=1e-8)
    u, s, v = picograd.pca_lowrank(picograd.tensor(low), 4)
    np.testing.assert_allclose((u * s @ v.mH).numpy(), low - low.mean(0), atol=1e-8)
