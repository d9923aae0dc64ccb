"""The meaning of each op against torch on edge values."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from picograd import dtypes as dt
from picograd.dtypes import ALL, DType
from picograd.graph.ops import (
    CastAttr,
    Op,
)
from tests.graph.builders import cast, leaf, same_bits
from tests.graph.values import FLOATS, INTEGERS, SIGNED, close, pairs, run, samples

torch = pytest.importorskip("torch")


def to_torch(x: np.ndarray):
    if x.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(x.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(x.copy())


def from_torch(x) -> np.ndarray:
    if x.dtype == torch.bfloat16:
        return x.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return x.resolve_conj().numpy()


UNARY = [
    (Op.NEG, "neg", FLOATS + INTEGERS, 0),
    (Op.ABS, "abs", FLOATS + INTEGERS, 0),
    (Op.NOT, "bitwise_not", [dt.bool_, *INTEGERS], 0),
    (Op.SQRT, "sqrt", FLOATS, 1),
    (Op.RECIPROCAL, "reciprocal", FLOATS, 0),
    (Op.EXP, "exp", FLOATS, 2),
    (Op.EXP2, "exp2", FLOATS, 2),
    (Op.EXPM1, "expm1", FLOATS, 2),
    (Op.LOG, "log", FLOATS, 2),
    (Op.LOG2, "log2", FLOATS, 2),
    (Op.LOG1P, "log1p", FLOATS, 2),
    (Op.SIN, "sin", FLOATS, 2),
    (Op.COS, "cos", FLOATS, 2),
    (Op.TANH, "tanh", FLOATS, 2),
    (Op.ATAN, "atan", FLOATS, 2),
    (Op.ERF, "erf", FLOATS, 2),
    (Op.FLOOR, "floor", FLOATS + INTEGERS, 0),
    (Op.CEIL, "ceil", FLOATS + INTEGERS, 0),
    (Op.TRUNC, "trunc", FLOATS + INTEGERS, 0),
    (Op.ROUND, "round", FLOATS + INTEGERS, 0),
]


@pytest.mark.parity
@pytest.mark.parametrize(("op", "name", "dtypes", "ulps"), UNARY, ids=lambda v: str(v)[:12])
def test_unary(op: Op, name: str, dtypes: list[DType], ulps: float) -> None:
    for dtype in dtypes:
        x = samples(dtype)
        if op in (Op.SIN, Op.COS):
            x = x[~(np.abs(x.astype(np.float64)) > 1e6)]
        if op is Op.ERF and dtype is dt.bfloat16:  # torch gives 0 for small bfloat16
            x = x[~(np.abs(x.astype(np.float64)) < 1e-6)]
        ours, theirs = run(op, [x]), from_torch(getattr(torch, name)(to_torch(x)))
        assert close(ours, theirs, ulps), (dtype, x, ours, theirs)


BINARY = [
    (Op.ADD, "add", [*FLOATS, *INTEGERS, dt.bool_], 0),
    (Op.SUB, "sub", FLOATS + INTEGERS, 0),
    (Op.MUL, "mul", [*FLOATS, *INTEGERS, dt.bool_], 0),
    (Op.DIV, "true_divide", FLOATS, 0),
    (Op.MOD, "remainder", [dt.float32, dt.float64], 0),
    (Op.FLOORDIV, "floor_divide", [dt.float32, dt.float64], 0),
    (Op.POW, "pow", FLOATS, 1),
    (Op.POW, "pow", SIGNED, 0),
    (Op.EQ, "eq", [*FLOATS, *INTEGERS, dt.bool_], 0),
    (Op.NE, "ne", [*FLOATS, *INTEGERS, dt.bool_], 0),
    (Op.LT, "lt", [*FLOATS, *INTEGERS, dt.bool_], 0),
    (Op.LE, "le", [*FLOATS, *INTEGERS, dt.bool_], 0),
    (Op.AND, "bitwise_and", [*INTEGERS, dt.bool_], 0),
    (Op.OR, "bitwise_or", [*INTEGERS, dt.bool_], 0),
    (Op.XOR, "bitwise_xor", [*INTEGERS, dt.bool_], 0),
    (Op.MAXIMUM, "maximum", INTEGERS, 0),
    (Op.MINIMUM, "minimum", INTEGERS, 0),
]


@pytest.mark.parity
@pytest.mark.parametrize(("op", "name", "dtypes", "ulps"), BINARY, ids=lambda v: str(v)[:12])
def test_binary(op: Op, name: str, dtypes: list[DType], ulps: float) -> None:
    for dtype in dtypes:
        x, y = pairs(dtype)
        if op is Op.MOD:  # torch's vector fmod fails for quotients above 2**31
            normal = (y == 0) | ~((np.abs(y) < 1e-7) | (np.abs(x) > 1e30))
            x, y = x[normal], y[normal]
        ours = run(op, [x, y])
        theirs = from_torch(getattr(torch, name)(to_torch(x), to_torch(y)))
        if not close(ours, theirs, ulps):
            bad = [(a, b, o, t) for a, b, o, t in zip(x, y, ours, theirs) if repr(o) != repr(t)]
            raise AssertionError((dtype, bad[:8]))


@pytest.mark.parity
@pytest.mark.parametrize("op", [Op.MAXIMUM, Op.MINIMUM])
def test_extrema_propagate_nan(op: Op) -> None:
    for dtype in FLOATS:
        x, y = pairs(dtype)
        ours = run(op, [x, y])
        theirs = from_torch(getattr(torch, op.name.lower())(to_torch(x), to_torch(y)))
        zeros = (ours == 0) & (theirs == 0)  # of 0 and -0 either may come
        assert same_bits(
            np.where(zeros, dtype.numpy.type(0), ours), np.where(zeros, dtype.numpy.type(0), theirs)
        )


@pytest.mark.parity
@pytest.mark.parametrize("source", ALL, ids=lambda d: d.name)
def test_casts(source: DType) -> None:
    x = samples(source)
    for target in ALL:
        if source.is_float and target.is_integer:
            continue  # torch's own results depend on how it vectorises
        ours = run(Op.CAST, [x], CastAttr(target))
        theirs = from_torch(to_torch(x).to(getattr(torch, target.name)))
        assert same_bits(ours, theirs), (source, target, x, ours, theirs)


@pytest.mark.parity
@pytest.mark.parametrize("target", [dt.int8, dt.uint8, dt.int16, dt.int32, dt.int64])
def test_casts_of_floats_to_integers_as_torch(target: DType) -> None:
    x = np.tile(np.array([300, -1.7, 2.0**31, 3e9, -3e9, np.nan, 0.9, -128.5], np.float32), 8)
    assert same_bits(
        run(Op.CAST, [x], CastAttr(target)),
        from_torch(to_torch(x).to(getattr(torch, target.name))),
    )


@pytest.mark.parity
def test_where_and_complex_parts() -> None:
    x, y = pairs(dt.float32)
    assert same_bits(run(Op.WHERE, [x < y, x, y]), np.where(x < y, x, y))
    z = run(Op.COMPLEX, [x, y])
    assert same_bits(z, from_torch(torch.complex(to_torch(x), to_torch(y))))
    assert same_bits(run(Op.REAL, [z]), x) and same_bits(run(Op.IMAG, [z]), y)


COMPLEX_UNARY = [
    "neg",
    "sqrt",
    "reciprocal",
    "exp",
    "log",
    "sin",
    "cos",
    "tanh",
    "abs",
    "log2",
    "exp2",
]


@pytest.mark.parity
@pytest.mark.parametrize("name", COMPLEX_UNARY)
def test_complex_functions(name: str) -> None:
    for dtype in (dt.complex64, dt.complex128):
        x = samples(dtype)
        x = x[x != 0]
        ours = run(Op[name.upper()], [x])
        theirs = from_torch(getattr(torch, name)(to_torch(x)))
        assert ours.dtype == theirs.dtype
        assert np.allclose(ours, theirs, rtol=1e-5 if dtype is dt.complex64 else 1e-13)


def test_reading_a_float_constant_rounds_through_float32() -> None:
    value = 1 + 2**-11 + 2**-40  # in float16, ties away only if rounded in one step
    x = np.array([value])
    ours = run(Op.CAST, [x], CastAttr(dt.float16))
    assert same_bits(ours, from_torch(torch.tensor([value], dtype=torch.float64).half()))
    assert cast(leaf(0, (1,), dt.float64), dt.float16).dtype is dt.float16
