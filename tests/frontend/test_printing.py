"""Printing against torch, character by character."""

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

from tests.frontend.twins import is_error, same  # noqa: E402

pytestmark = pytest.mark.host("PyTorch's tensors are on the CPU, and are printed without a device")

VALUES = {
    "integers": [1, 2, 3],
    "negative integers": [[-1, 200], [3, 4]],
    "bools": [True, False],
    "whole floats": [1.0, 2.0, 300.0],
    "halves": [[0.5, 1.0], [2.25, -3.0]],
    "thirds": [1 / 3, 2 / 3],
    "wide range": [1e-3, 1.0, 2000.0],
    "small": [1e-5, 2e-5],
    "large": [1e9, 1.0],
    "large whole": [1e5, 2.0],
    "nan": [float("nan"), 1.0, 2.5],
    "inf": [float("inf"), 1.0, -float("inf")],
    "only nan": [float("nan")],
    "zeros": [0.0, 0.0],
    "minus zero": [-0.0, 1.5],
    "0-d": 3.14159,
    "0-d int": 7,
    "0-d bool": True,
    "0-d large": 1e10,
    "0-d small": 1e-7,
    "empty": [],
    "empty rows": [[], []],
    "3-d": [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]],
    "4-d": [[[[1]], [[2]]], [[[3]], [[4]]]],
    "row that wraps": [n * 1.5 for n in range(30)],
    "rows that wrap": [[n * 1.5 + m for n in range(20)] for m in range(3)],
    "complex": [1 + 2j, -3.5 - 4j],
    "negative": [-1.5, 22.25],
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    same(lambda m: repr(m.tensor(VALUES[name])))


SHAPES = [(1001,), (11, 100), (50, 50), (5, 7, 31), (2, 3, 4, 50), (1000,), (3, 0, 2), (1100, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape):
    data = np.random.default_rng(5).standard_normal(shape)
    same(lambda m: repr(m.tensor(data)))
    same(lambda m: str(m.tensor(data.astype(np.float32))))
    same(lambda m: repr(m.tensor((data * 100).astype(np.int64))))
    same(lambda m: repr(m.tensor(data > 0)))


INTEGERS = ["bool", "uint8", "int8", "int16", "int32", "int64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_dtypes(dtype):
    same(lambda m: repr(m.tensor([[0, 1], [2, 3]]).to(getattr(m, dtype))))
    same(lambda m: repr(m.tensor([], dtype=getattr(m, dtype))))
    same(lambda m: repr(m.zeros((2, 0), dtype=getattr(m, dtype))))


def test_random_values(seed):
    rng = np.random.default_rng(seed)
    for _ in range(150):
        shape = tuple(rng.integers(0, 6, rng.integers(0, 4)))
        data = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 9)
        if rng.random() < 0.3:
            data = np.round(data)
        if rng.random() < 0.2 and data.size:
            data.reshape(-1)[0] = rng.choice([np.nan, np.inf, -np.inf])
        same(lambda m, data=data: repr(m.tensor(data)))
        same(lambda m, data=data: repr(m.tensor(data.astype(np.float32))))


def program_suffixes(m):
    x = m.ones(2, 2, requires_grad=True)
    y = x + 1
    z = m.ones(3, dtype=m.float64, requires_grad=True)
    return [repr(x), repr(y), repr(z), repr(y.t()), repr(y[0]), repr(y.exp()), repr(y.sum())]


def program_long_suffix(m):
    x = m.full((9,), 1.25, dtype=m.float64, requires_grad=True)
    return [repr(x), repr(x * 2), repr(x.view(3, 3).exp())]


def program_format(m):
    x = m.tensor(3.14159)
    return [f"{x:.2f}", f"{x}", f"{m.tensor([1, 2])}", f"{m.tensor(7):>5d}", str(x), f"{x:8.3e}"]


def program_sizes(m):
    x = m.zeros(2, 3)
    return [repr(x.shape), str(x.size()), repr(x.dtype), f"{x.shape}", str(x.shape[0])]


def program_views(m):
    x = m.arange(24.0).view(4, 6)
    return [repr(x[1]), repr(x[:, ::2]), repr(x.t()), repr(x[1:2].expand(3, 6)), repr(x[0, 1])]


PROGRAMS = {name: value for name, value in globals().items() if name.startswith("program_")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    assert not is_error(same(PROGRAMS[name]))


OPTIONS = [
    {"precision": 2},
    {"sci_mode": True},
    {"sci_mode": False},
    {"threshold": 10},
    {"edgeitems": 1, "threshold": 5},
    {"linewidth": 40},
    {"profile": "short"},
    {"profile": "full"},
    {"precision": 2, "linewidth": 140, "sci_mode": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options):
    data = np.random.default_rng(3).standard_normal((12, 13)) * 1000

    def program(m):
        m.set_printoptions(**options)
        try:
            return [repr(m.tensor(data)), repr(m.tensor(data[0])), repr(m.tensor(1e-9))]
        finally:
            m.set_printoptions(profile="default")

    same(program)


def test_other_device_is_named():
    text = repr(picograd.tensor([1, 2], device="numpy"))
    assert text == "tensor([1, 2], device='numpy')"


RESULTS = "max min sort topk kthvalue median nanmedian mode cummax cummin aminmax"


@pytest.mark.parametrize("name", RESULTS.split())
def test_results_of_several_tensors(name):
    arguments = {"topk": (2,), "kthvalue": (1,), "aminmax": ()}.get(name, (1,))
    options = {"dim": 1} if name == "aminmax" else {}

    def program(m):
        found = getattr(m, name)(m.tensor([[3.0, 1.0, 2.0]]), *arguments, **options)
        return [repr(found), type(found).__name__, len(found), isinstance(found, tuple)]

    same(program)
    assert isinstance(
        getattr(picograd, name)(picograd.ones(1, 3), *arguments, **options),
        getattr(picograd.return_types, name),
    )
