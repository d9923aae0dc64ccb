"""Edge cases that users meet, as tables: each row does the same in picograd and in torch.

Values and dtypes at the edges of the number types, 0-d and empty tensors, gradients at ties and
NaN, printing, memory shared with NumPy, copies, hooks. Long tables of small cases run on the device
"numpy", the executable semantics: what is tested here is the frontend.
"""

from __future__ import annotations

import copy
import os
import pickle
from itertools import product

import numpy as np
import pytest

import picograd

pytest.importorskip("torch")
from tests.frontend.twins import same

inf, nan = float("inf"), float("nan")
NAMES = {"inf": inf, "nan": nan}
INTEGERS = ("int8", "int16", "int32", "int64", "uint8")
DTYPES = (*INTEGERS, "bool", "float16", "bfloat16", "float32", "float64", "complex64", "complex128")


@pytest.fixture
def interpreted():
    picograd.set_default_device(os.environ.get("DEVICE", "numpy"))
    yield
    picograd.set_default_device(None)


def check(expression: str, tolerance: float = 2e-5, **arrays: object) -> None:
    """The same value or type of error for an expression of `m` and tensors made of `arrays`."""

    def program(m):
        tensors = {name: m.tensor(value) for name, value in arrays.items()}
        return eval(expression, {"m": m, **NAMES, **tensors})

    same(program, tolerance=tolerance, messages=False)


# --- promotion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", DTYPES)
def test_promotion(first, interpreted):
    """Every dtype with every other (of any rank) and with numbers of every kind."""

    def program(m):
        found = []
        a, scalar = m.ones(2, dtype=getattr(m, first)), m.ones((), dtype=getattr(m, first))
        for second in DTYPES:
            if "float16" in (first, second) and "complex" in first + second:
                continue  # torch's complex32 isn't supported
            b, one = m.ones(2, dtype=getattr(m, second)), m.ones((), dtype=getattr(m, second))
            found.append([(x * y).dtype for x, y in product((a, scalar), (b, one))])
            found.append((a < one).dtype if "complex" not in first + second else None)
            found.append(m.result_type(a, one))
            found.append(m.where(a == a, a, one).dtype)
        for number in (True, 2, 2.5, 1j)[: 3 if first == "float16" else 4]:
            found.append([(a * number).dtype, (number + scalar).dtype, (a / number).dtype])
            found.append(m.result_type(scalar, number))
        found.append([a.sum().dtype, a.prod().dtype, a.cumsum(0).dtype])
        return found

    same(program)


# --- integers ------------------------------------------------------------------------------------

SIGNS = [(a, b) for a in (0, 1, -1, 7, -7, 127, -128) for b in (1, -1, 2, -3, 127, -128)]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "mul", "sub", "div"])
def test_integer_pairs(name, dtype, interpreted):
    def program(m):
        pairs = [
            (abs(a) % 128, abs(b)) if dtype == "uint8" else (a, b)
            for a, b in SIGNS
            if not (dtype == "int8" and (a, b) == (-128, -1))
        ]
        a, b = (m.tensor(side, dtype=getattr(m, dtype)) for side in zip(*pairs, strict=True))
        return getattr(m, name)(a, b), m.div(a, b, rounding_mode="trunc")

    same(program)


NUMBERS = [
    "m.tensor([127], dtype=m.int8) + 1",
    "m.tensor([100], dtype=m.int8) + 200",
    "m.tensor([255], dtype=m.uint8) + m.tensor([1], dtype=m.uint8)",
    "m.tensor([0], dtype=m.uint8) - 1",
    "m.tensor([-128], dtype=m.int8).abs()",
    "-m.tensor([-128], dtype=m.int8)",
    "m.tensor([2**63 - 1]) + 1",
    "m.tensor([2**62]) * 4",
    "m.tensor([3]) ** 40",
    "m.tensor([200], dtype=m.uint8) > -1",
    "m.tensor([5], dtype=m.int8) // m.tensor([2], dtype=m.uint8)",
    "m.tensor([1, -5, 100]) << 3",
    "m.tensor([1, -5, 100]) >> 1",
    "m.tensor([1, -5, 100], dtype=m.int8) << 7",
    "m.tensor([1, 5, 200], dtype=m.uint8) >> 1",
    "m.tensor([300, -1]).to(m.uint8)",
    "m.tensor([1.9, -1.9]).int()",
    "m.tensor([nan, 0.0, -0.0, 0.1]).bool()",
    "m.tensor(70000.0).half()",
    "m.tensor(1e39, dtype=m.float64).float()",
    "x // 0",
    "x % 0",
    "x / 0",
    "x // 2.5",
    "x % -2.5",
    "x % -3",
    "x // -3",
    "x ** -1",
    "2 ** x",
    "7 // x.clamp(1)",
    "(-7) % x.clamp(1)",
    "2.5 // x.clamp(1)",
    "x & True",
    "x ^ m.tensor([True, False, True])",
    "x.float() & 1",
    "x.bool() + x.bool()",
    "x.bool() * 2",
    "x.bool() - x.bool()",
    "x.bool() | 1",
    "-x.bool()",
    "~x.bool()",
    "x.bool() < x",
    "x.bool().sum()",
    "x.bool().mean()",
    "x.bool().argmax()",
    "x.mean()",
    "x.sum(dtype=m.int8)",
    "x.float().sum(dtype=m.int64)",
]


@pytest.mark.parametrize("expression", NUMBERS)
def test_numbers(expression, interpreted):
    check(expression, x=[-4, 0, 7])


# --- NaN, infinities, zeros with a sign ----------------------------------------------------------

EDGES = [3.0, nan, -1.0, inf, 3.0, -inf, 0.0, -0.0]
ORDERED = """
x.max() x.min() x.argmax() x.argmin() x.amax() x.aminmax() x.sort(stable=True)
x.sort(stable=True,descending=True) x.topk(3) x.topk(3,largest=False) x.median() x.nanmedian()
x.max(0) x.min(0) x.clamp(-1,1) x.clamp(2,1) x.clamp(min=m.tensor(nan)) x.cummax(0) x.cummin(0)
m.maximum(x,m.tensor(1.)) m.minimum(x,m.tensor(1.)) m.fmax(x,m.tensor(1.)) m.fmin(m.tensor(1.),x)
x.nansum() x.nanmean() x.sum() x.prod() x.softmax(0) x.logsumexp(0) x.cumsum(0) x.norm(p=inf)
x.isclose(x) x.isclose(x,equal_nan=True) m.equal(x,x) x.count_nonzero() x.nonzero() x.nan_to_num()
x.sign() x.signbit() x.round() x.bool() x.quantile(0.5) x[2:].kthvalue(2) x==x x!=x x<nan x>=inf
m.atan2(x,x.flip(0)) m.hypot(x,x) m.copysign(m.ones(8),x) m.fmod(x,2) x%2 x//2 1/x x**0 x**2 x**-1
m.where(x>0,x,nan) m.isinf(x) x.logaddexp(x.flip(0)) x.relu() x.abs() x.sqrt() x.log()
x.exp()
""".split()  # noqa: SIM905


@pytest.mark.parametrize("expression", ORDERED)
def test_edges(expression):
    check(expression, x=EDGES)


TIED = """
x.max() x.amax() x.min() x.max(0)[0] x.median() x.median(0)[0] x.prod() x.clamp(0,2) x.clamp(min=2)
x.relu() x.abs() m.maximum(x,m.tensor(2.)) m.minimum(x,x.detach()) m.fmax(x,m.tensor(2.))
m.fmin(m.tensor(2.),x) x.sort(stable=True)[0] x.cumprod(0) x.norm() x.norm(p=1) x.norm(p=inf)
x.std()
x.pow(0) x.pow(3) 2**x x.cummax(0)[0] x.logsumexp(0) m.clamp(x,m.tensor(0.),m.tensor(2.))
x.sign()*x x.floor() m.fmod(x,1.5) x%1.5 m.where(x>1,x,0.) m.lerp(x,x*2,0.3) m.xlogy(x,x+1) x.var()
m.nn.functional.hardtanh(x,0,2) m.nn.functional.leaky_relu(x) m.nn.functional.normalize(x,dim=0)
""".split()  # noqa: SIM905


@pytest.mark.parametrize("expression", TIED)
@pytest.mark.parametrize("values", [[1.0, 2.0, 2.0, 0.0, 2.0], [0.0, 0.0, 0.0]], ids=str)
def test_gradient_at_ties(expression, values, interpreted):
    def program(m):
        x = m.tensor(values, requires_grad=True)
        y = eval(expression, {"m": m, "x": x, **NAMES})
        (y * (m.arange(y.numel()) + 1.0).reshape(y.shape)).sum().backward()
        return y, x.grad

    same(program)


@pytest.mark.parametrize("expression", ["x.clamp(-1, 1)", "x.max()", "x.relu()", "m.fmax(x, -x)"])
def test_gradient_at_nan(expression):
    def program(m):
        x = m.tensor([nan, 0.5, nan, -3.0], requires_grad=True)
        eval(expression, {"m": m, "x": x}).sum().backward()
        return x.grad

    same(program)


# --- nothing, and a single element ---------------------------------------------------------------

SMALL = """
e.sum() e.mean() e.prod() e.max() e.argmax() e.std() e.any() e.all() e.softmax(0) e.cumsum(0)
e.logsumexp(0) e.norm() e.sort() e.unique() e.nonzero() e.tolist() e.flip(0) e.repeat(3) e.median()
e.view(0,3).sum(0) e.view(0,3).sum(1) e.view(0,3).amax(0) e.view(0,3).amax(1) e.view(3,0).mean(1)
e.view(0,3).max(1) e.view(3,0).argmax(1) e.view(0,3)@m.ones(3,2) m.ones(2,0)@m.ones(0,3) e.topk(0)
m.einsum("ij,jk->ik",m.ones(2,0),m.ones(0,3)) m.cat([e,e]) m.stack([e,e]) e.reshape(0,-1) e[e>0]
e.view(0,3)[:,1] e.split(1) e.chunk(2) e.reshape(2,0).tolist() bool(e) e.item() m.ones(3)[[]]
s.sum(0) s.max(0) s.sort() s.cumsum(0) s.softmax(0) s.argmax(0) s.unsqueeze(0) s[None] s[...]
s[True]
s[False] s[()] s.topk(1) s.repeat(2,2) s.expand(2,3) s.flatten() s.nonzero() s.unique() s.view(-1)
s*m.ones(2) s.index_select(0,m.tensor([0])) s.gather(0,m.tensor(0)) s.std() s.flip(0) s.all(0)
s.roll(1) s.squeeze(0) s.norm() s.median(0) s.matmul(s) s[0] s.t() s.kthvalue(1) s.sum(1) s.diff()
s.split(1) s.unbind() s.numel() s.tolist() s.item() float(s) m.stack([s,s]) m.cat([s,s]) s.T
""".split()  # noqa: SIM905


@pytest.mark.parametrize("expression", SMALL)
def test_empty_and_0d(expression, interpreted):
    check(expression, e=np.zeros(0, np.float32), s=3.0)


# --- derivatives of derivatives ------------------------------------------------------------------

SMOOTH = """abs acos asin asinh atan atanh cos cosh deg2rad erf erfc erfinv exp exp2 expm1 log log10
log1p log2 logit neg rad2deg reciprocal relu rsqrt sigmoid sign sin sinc sinh sqrt square tan tanh
floor frac""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", SMOOTH)
def test_second_and_third_derivative(name, interpreted):
    def program(m):
        x = m.tensor([0.3, 0.05, 0.9, 0.62], dtype=m.float64, requires_grad=True)
        results = [getattr(m, name)(x)]
        for _ in range(3):
            if not results[-1].requires_grad:
                break
            total = (results[-1] * results[-1]).sum()
            results.append(m.autograd.grad(total, x, create_graph=True)[0] * 0.1)
        return [result.detach().clone() for result in results]

    same(program, tolerance=1e-7)


# --- printing ------------------------------------------------------------------------------------

PRINTED = [
    "m.tensor([1.0, nan, inf, -inf])",
    "m.tensor([[1e-8, 1.0], [1e8, -0.0]])",
    "m.tensor([1e5, 123456.0])",
    "m.tensor([0.1, 1000.25])",
    "m.tensor([1.0, 2.0, 3.0])",
    "m.tensor(2.5, requires_grad=True)",
    "m.tensor([1.0], requires_grad=True) * 2",
    "m.tensor([True, False])",
    "m.tensor(True)",
    "m.tensor([1 + 2j, -0.5j])",
    "m.tensor([1.5, -2.0], dtype=m.bfloat16)",
    "m.tensor([1.5, 70000.0], dtype=m.float16)",
    "m.tensor([-1, 1000000])",
    "m.tensor([7], dtype=m.int8)",
    "m.zeros(0)",
    "m.zeros(2, 0, 3)",
    "m.zeros((0,), dtype=m.int64)",
    "m.arange(24).reshape(2, 3, 4)",
    "m.arange(2000)",
    "m.zeros(60, 60)",
    "m.arange(40.0) / 7",
    "m.ones(2, 2).T[0]",
    "m.tensor(1e-20)",
    "m.tensor([], dtype=m.bool)",
    "m.ones(3).exp().requires_grad_()",
    "m.tensor(3)[None].shape",
    "m.ones(2).dtype",
    "m.ones(2).device",
    "m.ones(2, 1).size()",
    "m.tensor([nan])",
    "m.tensor([[inf, 1]])",
]


@pytest.mark.host("torch prints no device where tensors are on the CPU")
@pytest.mark.parametrize("expression", PRINTED)
def test_printing(expression):
    same(lambda m: [f(eval(expression, {"m": m, **NAMES})) for f in (repr, str, "{}".format)])


# --- memory shared with NumPy, copies, hooks -----------------------------------------------------


def both_ways(m):
    array = np.arange(6, dtype=np.float32)
    x = m.from_numpy(array)
    view = x.view(2, 3).T
    array[1] = 10
    view[2] = 7
    out = x.numpy()
    out += 1
    y = x * 2
    array[:] = 0
    column = m.ones(2, 3)
    column.numpy()[:, 1] = 5
    column.T[1] += 1
    strided = column[:, 1].numpy()
    strided[0] = -1
    return array, view, y, column, strided, out is x.numpy(), x.numpy().flags.writeable


def copies(m):
    x = m.arange(6.0).view(2, 3).T
    leaf = m.ones(2, requires_grad=True)
    leaf.grad = m.tensor([1.0, 2.0])
    again = pickle.loads(pickle.dumps(x))
    pair = copy.deepcopy([leaf, leaf])
    shallow = copy.copy(x)
    shallow[0] = 9
    pair[0].data += 1
    again += 100
    return x, again, pair, pair[0] is pair[1], leaf, pair[0].grad, leaf.clone()


def hooks(m):
    seen = []
    x = m.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y.retain_grad()
    handle = y.register_hook(lambda g: g * 2)
    y.register_hook(lambda g: seen.append(g.tolist()))
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    (y * y).sum().backward(retain_graph=True)
    handle.remove()
    (y * y).sum().backward()
    return seen, x.grad, y.grad


def higher_order(m):
    x = m.tensor([0.5, -1.5], requires_grad=True)
    y = (x.tanh() * x).sum()
    (g,) = m.autograd.grad(y, x, create_graph=True)
    penalty = (g.norm() - 1) ** 2
    penalty.backward()
    unused = m.autograd.grad(x.sum(), [x, m.ones(1, requires_grad=True)], allow_unused=True)
    return g, penalty, x.grad, unused[0], unused[1] is None


def accumulates_and_detaches(m):
    w = m.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        (w * w).sum().backward()
    kept = w.grad
    w.grad.mul_(0.5)
    z = w.detach()
    z[0] = 5
    with m.no_grad():
        w -= 0.1 * w.grad
        inner = w * 2
    frozen = (w * 1).data
    frozen.zero_()
    return w, kept, kept is w.grad, inner.requires_grad, z, frozen


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(both_ways, marks=pytest.mark.host("NumPy shares the CPU's memory")),
        copies,
        hooks,
        higher_order,
        accumulates_and_detaches,
    ],
    ids=lambda program: program.__name__,
)
def test_programs(program):
    same(program)
