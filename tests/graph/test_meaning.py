"""The meaning of each op against torch on edge values; what torch lacks, against plain Python."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from picograd.dtype import ALL, DType
from picograd.graph.index import Param, of
from picograd.graph.interpret import MEANING, interpret
from picograd.graph.meaning_structure import philox
from picograd.graph.node import make
from picograd.graph.ops import (
    CastAttr,
    Combiner,
    GatherAttr,
    Op,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    SliceAttr,
)
from tests.graph.builders import cast, dt, leaf, pad, parameter, permute, same_bits, window

torch = pytest.importorskip("torch")

FLOATS = [dt.float16, dt.bfloat16, dt.float32, dt.float64]
SIGNED = [dt.int8, dt.int16, dt.int32, dt.int64]
# Torch implements little arithmetic on the wider unsigned types.
INTEGERS = [dt.uint8, *SIGNED]
FLOAT_EDGES = [
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, -7.0, 1e-3, 100.0, 1e4, -1e4),
    *(math.inf, -math.inf, math.nan, 6e-8, 1e-40, 3e38, 0.1, 0.7, 5.3),
]


def samples(dtype: DType) -> np.ndarray:
    if dtype.is_float:
        with np.errstate(all="ignore"):
            return np.array(FLOAT_EDGES).astype(np.float32).astype(dtype.numpy)
    if dtype.is_bool:
        return np.array([False, True])
    if dtype.is_complex:
        parts = [0.0, 1.0, -2.5, 0.3]
        return np.array([complex(a, b) for a in parts for b in parts], dtype.numpy)
    low, high = int(dtype.lowest), int(dtype.highest)
    edges = {low, low + 1, high, high - 1, 0, 1, 2, 3, 7, high // 2, *([-1, -2, -7] if low else [])}
    return np.array(sorted(edges)).astype(dtype.numpy)


def pairs(dtype: DType) -> tuple[np.ndarray, np.ndarray]:
    x = samples(dtype)
    return np.repeat(x, len(x)), np.tile(x, len(x))


def to_torch(x: np.ndarray):
    if x.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(x.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(x.copy())


def from_torch(x) -> np.ndarray:
    if x.dtype == torch.bfloat16:
        return x.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return x.resolve_conj().numpy()


def run(op: Op, arrays: list[np.ndarray], attr=None) -> np.ndarray:
    leaves = tuple(leaf(n, x.shape, dt.from_numpy(x.dtype)) for n, x in enumerate(arrays))
    node = make(op, leaves, attr) if attr is not None else make(op, leaves)
    return interpret([node], dict(enumerate(arrays)))[0]


def close(ours: np.ndarray, theirs: np.ndarray, ulps: float) -> bool:
    """Equal dtypes, and numbers that differ by at most some units in the last place."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    if ours.dtype.kind in "biu":
        return bool(np.array_equal(ours, theirs))
    if ulps == 0:
        return same_bits(ours, theirs)
    epsilon = {2: 2**-8 if ours.dtype != np.float16 else 2**-11, 4: 2**-24, 8: 2**-53, 16: 2**-53}
    if ours.dtype == np.complex64:
        epsilon[8] = 2**-24
    wide = np.complex128 if ours.dtype.kind == "c" else np.float64
    a, b = ours.astype(wide), theirs.astype(wide)
    return np.allclose(
        a, b, rtol=2 * ulps * epsilon[ours.itemsize], atol=_smallest(ours.dtype), equal_nan=True
    )


def _smallest(dtype: np.dtype) -> float:
    """The least number that both sides resolve (torch's bfloat16 functions drop subnormals)."""
    return {2: 6e-8 if dtype == np.float16 else 1.2e-38, 4: 1e-45}.get(dtype.itemsize, 1e-300)


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


@pytest.mark.parametrize("dtype", [dt.float16, dt.bfloat16], ids=lambda d: d.name)
def test_division_of_16_bit_floats_rounds_once(dtype: DType) -> None:
    """Torch rounds every step of these; here the exact result is rounded once."""
    x, y = pairs(dtype)
    finite = np.isfinite(x.astype(np.float64)) & np.isfinite(y.astype(np.float64)) & (y != 0)
    large = np.abs(y.astype(np.float64)) > 0.05
    x, y = x[finite & large], y[finite & large]
    x, y = x[np.abs(x.astype(np.float64)) < 2e4], y[np.abs(x.astype(np.float64)) < 2e4]
    quotient, rest = run(Op.FLOORDIV, [x, y]), run(Op.MOD, [x, y])
    for a, b, q, r in zip(x, y, quotient, rest, strict=True):
        exact_a, exact_b = Fraction(float(a)), Fraction(float(b))
        assert q == np.float32(exact_a // exact_b).astype(dtype.numpy), (a, b, q)
        assert r == np.float32(float(exact_a % exact_b)).astype(dtype.numpy), (a, b, r)


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


@pytest.mark.parametrize("dtype", [d for d in ALL if d.is_integer], ids=lambda d: d.name)
def test_integer_division_is_pythons_and_zero_divisors_give_zero(dtype: DType) -> None:
    x, y = pairs(dtype)
    quotient, rest = run(Op.FLOORDIV, [x, y]), run(Op.MOD, [x, y])
    for a, b, q, r in zip(x.tolist(), y.tolist(), quotient, rest, strict=True):
        expected = np.array(a // b if b else 0).astype(dtype.numpy)
        assert q == expected and r == (a % b if b else 0), (a, b, q, r)


@pytest.mark.parametrize("dtype", [d for d in ALL if d.is_integer], ids=lambda d: d.name)
def test_shifts_by_any_count(dtype: DType) -> None:
    values = samples(dtype)
    counts = [0, 1, dtype.bits - 1, dtype.bits, dtype.bits + 1, 100] + [-1, -64] * dtype.is_signed
    x, y = np.repeat(values, len(counts)), np.tile(np.array(counts, dtype.numpy), len(values))
    left, right = run(Op.SHL, [x, y]), run(Op.SHR, [x, y])
    for a, n, shifted_left, shifted_right in zip(x.tolist(), y.tolist(), left, right, strict=True):
        inside = 0 <= n < dtype.bits
        low_bits = (a << n) & ((1 << dtype.bits) - 1) if inside else 0
        assert int(shifted_left) & ((1 << dtype.bits) - 1) == low_bits
        assert shifted_right == (a >> n if inside else (-1 if a < 0 else 0))


@pytest.mark.parity
@pytest.mark.parametrize("source", ALL, ids=lambda d: d.name)
def test_casts(source: DType) -> None:
    x = samples(source)
    for target in ALL:
        ours = run(Op.CAST, [x], CastAttr(target))
        if source.is_float and target.is_integer:
            numbers = [_reference_cast(v, target) for v in x.astype(np.float64)]
            theirs = np.array(numbers, target.numpy)
        else:
            theirs = from_torch(to_torch(x).to(getattr(torch, target.name)))
        assert same_bits(ours, theirs), (source, target, x, ours, theirs)


def _reference_cast(value: float, target: DType) -> int:
    """The rule of the semantics page, in Python's unbounded integers."""
    wide = 64 if target.itemsize == 8 or target is dt.uint32 else 32
    integer = -(1 << (wide - 1))
    if math.isfinite(value) and -(1 << (wide - 1)) <= int(value) < 1 << (wide - 1):
        integer = int(value)
    bits = integer & ((1 << target.bits) - 1)
    return bits - (1 << target.bits) if bits > int(target.highest) else bits


@pytest.mark.parity
@pytest.mark.parametrize("target", [dt.int8, dt.uint8, dt.int16, dt.int32, dt.int64])
def test_casts_of_floats_to_integers_as_torch(target: DType) -> None:
    x = np.tile(np.array([300, -1.7, 2.0**31, 3e9, -3e9, np.nan, 0.9, -128.5], np.float32), 8)
    assert same_bits(
        run(Op.CAST, [x], CastAttr(target)),
        from_torch(to_torch(x).to(getattr(torch, target.name))),
    )


def test_bitcast_keeps_bits() -> None:
    x = samples(dt.float32)
    assert same_bits(run(Op.BITCAST, [x], CastAttr(dt.int32)), x.view(np.int32))


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


@pytest.mark.parity
@pytest.mark.parametrize("combiner", list(Combiner))
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, dt.bool_], ids=lambda d: d.name)
def test_reductions_and_scans(combiner: Combiner, dtype: DType) -> None:
    rng = np.random.default_rng(3)
    raw = rng.integers(-4, 5, (3, 5, 4)) if not dtype.is_float else rng.normal(size=(3, 5, 4))
    x = raw.astype(dtype.numpy)
    ours = run(Op.REDUCE, [x], ReduceAttr(combiner, (0, 2)))
    wide = x.astype(np.float64) if dtype.is_float else x.astype(np.int64)
    name = {"SUM": "sum", "PROD": "prod", "MAX": "max", "MIN": "min"}[combiner.name]
    theirs = getattr(wide, name)(axis=(0, 2)).astype(dtype.numpy)
    assert close(ours, theirs, 1), (ours, theirs)
    prefix = run(Op.SCAN, [x], ScanAttr(combiner, 1))
    for stop in range(1, 6):
        expected = run(Op.REDUCE, [x[:, :stop]], ReduceAttr(combiner, (1,)))
        assert close(prefix[:, stop - 1], expected, 1)


def test_reductions_over_nothing_give_the_identity() -> None:
    for dtype, combiner in itertools.product([*FLOATS, *SIGNED, dt.uint8, dt.bool_], Combiner):
        x = np.zeros((2, 0), dtype.numpy)
        y = run(Op.REDUCE, [x], ReduceAttr(combiner, (1,)))
        expected = {"SUM": 0, "PROD": 1, "MAX": dtype.lowest, "MIN": dtype.highest}[combiner.name]
        assert same_bits(y, np.full(2, expected, dtype.numpy))


def test_reductions_propagate_nan_and_wrap() -> None:
    x = np.array([[1, np.nan, 3], [4, 5, 6]], np.float32)
    for combiner in Combiner:
        y = run(Op.REDUCE, [x], ReduceAttr(combiner, (1,)))
        assert np.isnan(y[0]) and not np.isnan(y[1])
    bytes_ = np.array([200, 100], np.uint8)
    assert run(Op.REDUCE, [bytes_], ReduceAttr(Combiner.SUM, (0,))) == 44


def test_half_sums_accumulate_in_wider_precision() -> None:
    x = np.full(4096, 1.0, np.float16)
    x[0] = 2048
    assert run(Op.REDUCE, [x], ReduceAttr(Combiner.SUM, (0,))) == np.float16(2048 + 4095)


def test_gather_and_scatter() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    i = np.array([[1, 0], [1, 1]], np.int64)
    j = np.array([[3, 2], [1, 0]], np.int32)
    attr = GatherAttr((0, 2), False)
    got = run(Op.GATHER, [x, i, j], attr)
    assert same_bits(got, np.moveaxis(x[i, :, j], 0, 0))
    swapped = run(Op.GATHER, [x, j, i], GatherAttr((2, 0), False))
    assert same_bits(swapped, got)
    base = np.zeros((3, 2), np.float32)
    rows = np.array([2, 0, 2])
    value = np.arange(6, dtype=np.float32).reshape(3, 2)
    written = run(Op.SCATTER, [base, value, rows], GatherAttr((0,), False))
    assert written.tolist() == [[2, 3], [0, 0], [4, 5]]  # the last write wins
    added = run(
        Op.SCATTER_REDUCE, [base + 1, value, rows], ScatterReduceAttr((0,), False, Combiner.SUM)
    )
    assert added.tolist() == [[3, 4], [1, 1], [5, 7]]


@pytest.mark.parametrize("index", [3, -1])
def test_gather_outside_is_an_index_error(index: int) -> None:
    x, i = np.zeros((3, 2), np.float32), np.array([0, index])
    with pytest.raises(
        IndexError, match=f"index {index} is out of bounds for dimension 0 with size 3"
    ):
        run(Op.GATHER, [x, i], GatherAttr((0,), False))
    with pytest.raises(IndexError, match="out of bounds"):
        run(Op.SCATTER, [x, np.zeros((2, 2), np.float32), i], GatherAttr((0,), False))


def test_run_time_starts_and_parameters() -> None:
    x = np.arange(20, dtype=np.float32).reshape(4, 5)
    start = of(Param(7, 0, 3))
    node = window(leaf(0, (4, 5)), (start, 1), (1, 2), (1, 3))
    assert interpret([node], {0: x}, {7: 2})[0].tolist() == [[11, 14]]
    update = make(
        Op.UPDATE, (leaf(0, (4, 5)), leaf(1, (1, 2))), SliceAttr((start, 1), (1, 2), (1, 3))
    )
    value = np.array([[-1, -2]], np.float32)
    changed = interpret([update], {0: x, 1: value}, {7: 3})[0]
    assert changed[3].tolist() == [15, -1, 17, 18, -2] and changed[:3].tolist() == x[:3].tolist()
    assert interpret([parameter(2, dt.float32)], {}, {2: 0.1})[0] == np.float32(0.1)
    assert interpret([parameter(2, dt.uint64)], {}, {2: -1})[0] == np.uint64(2**64 - 1)


def test_movement() -> None:
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    source = leaf(0, (2, 3), dt.int32)
    padded = pad(permute(source, 1, 0), (1, 0), (0, 2), value=9)
    assert interpret([padded], {0: x})[0].tolist() == [
        [9] * 4,
        *[[n, n + 3, 9, 9] for n in range(3)],
    ]
    assert interpret([source], {0: x})[0] is not x


def test_philox_is_the_published_one() -> None:
    """Known answers of the Random123 distribution (counter, key -> words)."""
    ones = np.array([2**64 - 1], np.uint64)
    words = philox(ones, 2**64 - 1, 2**64 - 1)[:, 0].tolist()
    assert words == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    position = np.array([0x85A308D3_243F6A88], np.uint64)
    words = philox(position, 0x299F31D0_A4093822, 0x03707344_13198A2E)[:, 0].tolist()
    assert words == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def test_random_words_of_a_run_time_seed() -> None:
    attr = RandomAttr((2, 3), 1, of(Param(0, -(2**63), 2**63 - 1)), 5)
    random = interpret([make(Op.RANDOM, (), attr, "cpu")], {}, {0: -1})[0]
    expected = philox(np.arange(6, dtype=np.uint64), 2**64 - 1, 5)[1]
    assert random.reshape(-1).tolist() == expected.tolist()


def test_deep_graphs_need_no_stack() -> None:
    x = leaf(0, ())
    for _ in range(5000):
        x = make(Op.ADD, (x, leaf(0, ())))
    assert interpret([x], {0: np.array(1, np.float32)})[0] == 5001


def test_every_op_has_a_meaning() -> None:
    assert set(MEANING) == set(Op)


def test_reading_a_float_constant_rounds_through_float32() -> None:
    value = 1 + 2**-11 + 2**-40  # in float16, ties away only if rounded in one step
    x = np.array([value])
    ours = run(Op.CAST, [x], CastAttr(dt.float16))
    assert same_bits(ours, from_torch(torch.tensor([value], dtype=torch.float64).half()))
    assert cast(leaf(0, (1,), dt.float64), dt.float16).dtype is dt.float16
