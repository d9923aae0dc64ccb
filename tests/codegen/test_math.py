"""The error of every float32 transcendental function, in units of the last place.

By default each is measured on about two million points: a grid over all bit patterns, points near
where its formula changes, and random ones of the range where it is not constant. With
`MATH_EXHAUSTIVE=1` all 2**32 float32 numbers are measured (minutes; one function at a time with
`-k exp2`). Run with `-s` for the table of errors.
"""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

import picograd
from picograd.codegen.llvm.math import FLOAT32, UNARY
from picograd.codegen.loops import Alu, Function, Home, Load, Memory, Phase, Store
from picograd.codegen.target import AVX2, AVX512
from picograd.dtypes import DType, float32, float64
from picograd.graph.index import Param, Var, of
from picograd.graph.ops import Op
from tests.codegen.native import Native, compile_all

EXHAUSTIVE = os.environ.get("MATH_EXHAUSTIVE") == "1"
BLOCK = 1 << 20
LIMIT = 2.0

_erf = np.frompyfunc(math.erf, 1, 1)
EXACT = {
    Op.EXP: np.exp,
    Op.EXP2: np.exp2,
    Op.EXPM1: np.expm1,
    Op.LOG: np.log,
    Op.LOG2: np.log2,
    Op.LOG1P: np.log1p,
    Op.SIN: np.sin,
    Op.COS: np.cos,
    Op.TANH: np.tanh,
    Op.ATAN: np.arctan,
    Op.ERF: lambda x: _erf(x).astype(np.float64),
    Op.POW: np.power,
}
# where a function changes (its formula, or from one value to another)
INTERESTING = {
    Op.EXP: (-104.0, -87.3, 0.0, 88.7),
    Op.EXP2: (-150.0, -126.0, 0.0, 128.0),
    Op.EXPM1: (-17.5, -0.35, 0.0, 0.35, 1.04, 88.7),
    Op.LOG: (1.0, 2.0 / 3, 4.0 / 3, 1.2e-38),
    Op.LOG2: (1.0, 2.0 / 3, 4.0 / 3, 1.2e-38),
    Op.LOG1P: (-1.0, -1.0 / 3, 0.0, 1.0 / 3, 1e7, 3e38),
    Op.SIN: (math.pi, 3000 * math.pi, 1e5, 31831 * math.pi),
    Op.COS: (math.pi / 2, 2999.5 * math.pi, 1e5, 31830.5 * math.pi),
    Op.TANH: (0.0, 0.625, 9.0),
    Op.ATAN: (0.0, 1.0, 1e7),
    Op.ERF: (0.0, 0.927734375, 3.9),
}


def build(op: Op, size: int = BLOCK, lanes: int = 16, dtype: DType = float32) -> Function:
    """`y[i] = op(x[i], ...)` over a run-time number of elements."""
    count = of(Param(0, 0, size // lanes))
    i, lane = Var("i", 0, size // lanes - 1), Var("lane", 0, lanes - 1, lanes)
    index = of(i) * lanes + (of(lane) if lanes > 1 else 0)
    arity = 1 if op in UNARY else 2
    inputs = [Memory(f"x{n}", dtype, size, Home.ARGUMENT, n) for n in range(arity)]
    output = Memory("y", dtype, size, Home.ARGUMENT, arity, written=True)
    value = Alu(op, tuple(Load(memory, index, lanes) for memory in inputs), dtype, lanes)
    phase = Phase(i, count, (Store(output, index, value),))
    return Function(f"{op.name.lower()}_{lanes}", (*inputs, output), (float64,), (phase,))


def evaluate(native: Native, inputs: list[np.ndarray], lanes: int = 16) -> np.ndarray:
    output = np.empty_like(inputs[0])
    native.prepare([*inputs, output], [0])
    native.call(0, 0, inputs[0].size // lanes)
    return output


def errors(op: Op, found: np.ndarray, inputs: list[np.ndarray]) -> np.ndarray:
    """|found - exact| in units of the last place of the exact value; inf for wrong specials."""
    with np.errstate(all="ignore"):
        exact = EXACT[op](*(x.astype(np.float64) for x in inputs))
        rounded = exact.astype(np.float32)
        _, exponent = np.frexp(exact)
        unit = np.ldexp(1.0, np.maximum(exponent - 24, -149))
        error = np.abs(found.astype(np.float64) - exact) / unit
        same = (found == rounded) & (np.signbit(found) == np.signbit(rounded))
        same |= (found != found) & (rounded != rounded)
    regular = np.isfinite(found) & np.isfinite(rounded)
    # Halfway to overflow either side is right: the largest number or infinity.
    edge = (np.abs(exact) >= 3.4028233e38) & (np.abs(found) >= 3.4028233e38)
    error = np.where(regular, error, np.where(edge & (found * exact > 0), 1.0, np.inf))
    return np.where(same, np.minimum(np.where(np.isfinite(error), error, 0), 0.5), error)


def points(op: Op, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    grid = (np.arange(1 << 20, dtype=np.uint32) << np.uint32(12)) + generator.integers(
        0, 4096, 1 << 20, np.uint32
    )
    middle = generator.uniform(-110, 110, 1 << 19).astype(np.float32)
    small = generator.uniform(-2, 2, 1 << 18).astype(np.float32)
    near = [
        (np.float32(center).view(np.int32) + np.arange(-(1 << 15), 1 << 15)).astype(np.int32)
        for center in INTERESTING[op]
        if center
    ]
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45], np.float32)
    parts = [grid.view(np.float32), middle, small, *(bits.view(np.float32) for bits in near)]
    values = np.concatenate([*parts, special])
    return np.resize(values, -(-values.size // 16) * 16)


def measure(op: Op, native: Native, values: np.ndarray) -> tuple[float, float]:
    """(largest error, the argument where it is)."""
    worst, place = 0.0, 0.0
    for start in range(0, values.size, BLOCK):
        block = np.ascontiguousarray(values[start : start + BLOCK])
        error = errors(op, evaluate(native, [block]), [block])
        at = int(error.argmax())
        if error[at] > worst:
            worst, place = float(error[at]), float(block[at])
    return worst, place


@pytest.mark.parametrize("op", sorted(UNARY, key=lambda op: op.name), ids=lambda op: op.name)
def test_error(op: Op, seed: int) -> None:
    native = Native(build(op))
    worst, place = 0.0, 0.0
    if EXHAUSTIVE:
        for high in range(0, 1 << 32, BLOCK):
            bits = np.arange(high, high + BLOCK, dtype=np.uint64).astype(np.uint32)
            error, at = measure(op, native, bits.view(np.float32))
            if error > worst:
                worst, place = error, at
    else:
        values = points(op, seed)
        if op is Op.ERF:  # its oracle is a Python function
            values = np.resize(values[::5], values.size // 80 * 16)
        worst, place = measure(op, native, values)
    print(f"{op.name:6} {worst:.3f} ULP at {place!r}")
    assert worst <= LIMIT


def test_power_error(seed: int) -> None:
    """Random bit patterns, moderate numbers, and every pair of special ones."""
    generator = np.random.default_rng(seed)
    count = 1 << 19
    wild = generator.integers(0, 1 << 32, (2, count), np.uint32).view(np.float32)
    bases = generator.uniform(0, 10, count).astype(np.float32)
    exponents = generator.uniform(-40, 40, count).astype(np.float32)
    near_one = (1 + generator.normal(0, 1e-3, count)).astype(np.float32)
    large = generator.uniform(-1e5, 1e5, count).astype(np.float32)
    whole = np.round(exponents)
    specials = [0.0, 1e-45, 1e-38, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 127.0, 8388609.0, 1e10]
    specials += [16777216.0, 3e38, np.inf]
    edges = np.array([*specials, *(-x for x in specials), np.nan], np.float32)
    x, y = (np.resize(grid.ravel(), 1600) for grid in np.meshgrid(edges, edges))
    native = Native(build(Op.POW))
    worst = 0.0
    for inputs in ([*wild], [bases, exponents], [near_one, large], [-bases, whole], [x, y]):
        inputs = [np.ascontiguousarray(values) for values in inputs]
        error = errors(Op.POW, evaluate(native, inputs), inputs)
        at = int(error.argmax())
        worst = max(worst, float(error[at]))
        assert error[at] <= LIMIT, f"pow{inputs[0][at], inputs[1][at]}: {error[at]} ULP"
    print(f"POW    {worst:.3f} ULP")


@pytest.mark.parametrize("target", [AVX2, AVX512], ids=["avx2", "avx512"])
def test_every_width_and_machine_agrees(target, seed: int) -> None:
    """One lane, odd widths and other instruction sets give the same bits (NaN is NaN)."""
    widths = (1, 4, 8, 16)
    natives = compile_all([build(op, lanes=lanes) for op in FLOAT32 for lanes in widths], target)
    for op in FLOAT32:
        arguments = [points(Op.EXP, seed + number)[:40960] for number in range(2)]
        inputs = arguments[: 1 if op in UNARY else 2]
        results = [
            evaluate(natives[f"{op.name.lower()}_{lanes}"], inputs, lanes) for lanes in widths
        ]
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0], err_msg=op.name)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("form", ["any", "just below", "multiples", "special", "infinite"])
def test_remainder_is_exact(kind: str, form: str) -> None:
    random, size = np.random.default_rng(3), 1 << 14
    spread = [np.exp2(random.integers(-30, 30, size)) for _ in "xy"]
    x, y = (random.normal(size=size).astype(kind) * s.astype(kind) for s in spread)
    if form == "special":
        numbers = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 1e-45, 1e-38, 3], kind)
        x, y = (part.ravel() for part in np.meshgrid(numbers, numbers))
    elif form == "infinite":
        y = np.full(size, np.inf, kind)
    elif form != "any":
        x = y * random.integers(1, 1000, size).astype(kind)
        x = np.nextafter(x, 0, dtype=kind) if form == "just below" else x
    with np.errstate(all="ignore"):
        expected = np.fmod(x, y)
    found = picograd.fmod(picograd.tensor(x), picograd.tensor(y)).numpy()
    np.testing.assert_array_equal(found, expected)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[known], np.signbit(expected)[known])
