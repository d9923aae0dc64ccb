"""The error of every float64 transcendental function, in units of the last place.

The oracle is the C library's long double, where that has more bits than a double; erf's is its
double. Run with `-s` for the table of errors.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from picograd.codegen.llvm.double import FLOAT64
from picograd.codegen.target import AVX2, AVX512
from picograd.dtypes import float64
from picograd.graph.ops import Op
from tests.codegen.native import Native, compile_all
from tests.codegen.test_math import EXACT, build, evaluate

SIZE = 1 << 18
LIMIT = 2.0
# Where a function changes: its formula, its value, or how close it comes to zero.
INTERESTING = {
    Op.EXP: (-745.1, -708.3, 709.7),
    Op.EXP2: (-1074.0, -1022.0, 1023.9, 0.5),
    Op.EXPM1: (-37.4, -0.35, 0.35, 709.7, 1e-16),
    Op.LOG: (1.0, math.sqrt(0.5), math.sqrt(2), 2.2250738585072014e-308, 5e-324),
    Op.LOG2: (1.0, math.sqrt(0.5), math.sqrt(2), 4.0, 2.2250738585072014e-308),
    Op.LOG1P: (-1.0, -0.29, 0.41, 1e-16, 1e16, 1.7e308),
    Op.SIN: (math.pi, 3000 * math.pi, 31830 * math.pi, 1e5, 1e22),
    Op.COS: (math.pi / 2, 2999.5 * math.pi, 31830.5 * math.pi, 1e5, 1e22),
    Op.TANH: (1e-9, 0.625, 19.1, 22.0),
    Op.ATAN: (math.tan(math.pi / 8), math.tan(3 * math.pi / 8), 1e17),
    Op.ERF: (1.0, 5.9, 6.0, 1e-9),
}

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= 52, reason="this machine's long double is a double"
)


def points(op: Op, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    parts = [
        generator.integers(0, 1 << 64, SIZE // 4, np.uint64).view(np.float64),
        generator.uniform(-800, 800, SIZE // 8),
        generator.uniform(-3, 3, SIZE // 4),
        generator.uniform(-40, 40, SIZE // 8),
        generator.normal(0, 1, SIZE // 8) * 10.0 ** generator.uniform(-20, 5, SIZE // 8),
        1 + generator.normal(0, 1e-3, SIZE // 32),
    ]
    for center in INTERESTING[op]:
        close = np.float64(center).view(np.int64) + np.arange(-256, 256)
        parts += [close.view(np.float64), -close.view(np.float64)]
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1.7e308, -1.7e308])
    return np.resize(np.concatenate([special, *parts]), SIZE)


def errors(op: Op, found: np.ndarray, x: np.ndarray) -> np.ndarray:
    """|found - exact| in units of the last place of the exact value; inf for wrong specials."""
    with np.errstate(all="ignore"):
        exact = EXACT[op](x.astype(np.longdouble)).astype(np.longdouble)
        rounded = exact.astype(np.float64)
        _, exponent = np.frexp(exact)
        unit = np.ldexp(np.longdouble(1), np.maximum(exponent - 53, -1074))
        error = (np.abs(found.astype(np.longdouble) - exact) / unit).astype(np.float64)
    same = (found == rounded) & (np.signbit(found) == np.signbit(rounded))
    same |= (found != found) & (rounded != rounded)
    # Halfway to overflow either side is right.
    edge = np.abs(exact) >= np.finfo(np.float64).max
    error = np.where(edge & (np.abs(found) >= np.finfo(np.float64).max), 0, error)
    regular = np.isfinite(found) & np.isfinite(rounded) | edge
    return np.where(same, 0, np.where(regular & np.isfinite(error), error, np.inf))


@pytest.mark.parametrize("op", FLOAT64, ids=lambda op: op.name)
def test_error(op: Op, seed: int) -> None:
    x = points(op, seed)
    found = evaluate(Native(build(op, SIZE, 8, float64)), [x], 8)
    error = errors(op, found, x)
    at = int(error.argmax())
    print(f"{op.name:6} {error[at]:.3f} ULP at {x[at]!r}: {found[at]!r}")
    assert error[at] <= LIMIT, f"{op.name}({x[at]!r}) = {found[at]!r}: {error[at]} ULP"


@pytest.mark.parametrize("target", [AVX2, AVX512], ids=["avx2", "avx512"])
def test_every_width_and_machine_agrees(target, seed: int) -> None:
    """One lane and other instruction sets give the same bits (NaN is NaN)."""
    functions = [build(op, SIZE, lanes, float64) for op in FLOAT64 for lanes in (1, 4, 8)]
    natives = compile_all(functions, target)
    for op in FLOAT64:
        x = points(op, seed)[:16384]
        results = [evaluate(natives[f"{op.name.lower()}_{n}"], [x], n) for n in (1, 4, 8)]
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0], err_msg=op.name)
