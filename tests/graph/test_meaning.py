"""The meaning of ops against plain Python and known answers."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from picograd import dtypes as dt
from picograd.dtypes import ALL, DType
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
from tests.graph.builders import leaf, pad, parameter, permute, same_bits, window
from tests.graph.values import FLOATS, INTEGERS, SIGNED, close, pairs, run, samples


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


def _reference_cast(value: float, target: DType) -> int:
    """The rule of the semantics page, in Python's unbounded integers."""
    wide = 64 if target.itemsize == 8 or target is dt.uint32 else 32
    integer = -(1 << (wide - 1))
    if math.isfinite(value) and -(1 << (wide - 1)) <= int(value) < 1 << (wide - 1):
        integer = int(value)
    bits = integer & ((1 << target.bits) - 1)
    return bits - (1 << target.bits) if bits > int(target.highest) else bits


@pytest.mark.parametrize("source", FLOATS, ids=lambda d: d.name)
def test_casts_of_floats_to_integers(source: DType) -> None:
    x = samples(source)
    for target in (dtype for dtype in ALL if dtype.is_integer):
        expected = [_reference_cast(value, target) for value in x.astype(np.float64)]
        assert same_bits(run(Op.CAST, [x], CastAttr(target)), np.array(expected, target.numpy))


def test_bitcast_keeps_bits() -> None:
    x = samples(dt.float32)
    assert same_bits(run(Op.BITCAST, [x], CastAttr(dt.int32)), x.view(np.int32))


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
