"""Complex numbers: split into their parts, then rendered."""

from __future__ import annotations

import numpy as np
import pytest

from picograd.codegen.loops import (
    Alu,
    Carried,
    For,
    Function,
    Home,
    Load,
    Memory,
    MulAdd,
    Phase,
    Ref,
    Store,
    Value,
)
from picograd.codegen.passes.split_complex import split_complex
from picograd.dtypes import DType, bool_, complex64, complex128, float32, int32, real_of
from picograd.graph.index import Var, constant, of
from picograd.graph.ops import Op
from tests.codegen.native import Native

PAIRS = (complex64, complex128)
BINARY = (Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.POW)


def run(types: list[DType], result: DType, make, arrays: list[np.ndarray], lanes: int = 1):
    """`y[i] = make(x0[i], ...)`"""
    size = arrays[0].size
    i, lane = Var("i", 0, size // lanes - 1), Var("lane", 0, lanes - 1, lanes)
    index = of(i) * lanes + (of(lane) if lanes > 1 else 0)
    inputs = [Memory(f"x{n}", dtype, size, Home.ARGUMENT, n) for n, dtype in enumerate(types)]
    output = Memory("y", result, size, Home.ARGUMENT, len(types), written=True)
    value: Value = make(*(Load(memory, index, lanes) for memory in inputs))
    phase = Phase(i, constant(size // lanes), (Store(output, index, value),))
    found = np.zeros(size, result.numpy)
    Native(Function("f", (*inputs, output), (), (phase,))).run([*arrays, found])
    return found


def numbers(dtype: DType, seed: int, count: int = 64) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    parts = generator.normal(size=(2, 2, count)) * 3
    return [(real + 1j * imaginary).astype(dtype.numpy) for real, imaginary in parts]


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("dtype", PAIRS, ids=lambda dtype: dtype.name)
def test_arithmetic(dtype: DType, lanes: int, seed: int) -> None:
    x, y = numbers(dtype, seed)
    close = 1e-4 if dtype is complex64 else 1e-12
    for op, expected in {
        Op.ADD: x + y,
        Op.SUB: x - y,
        Op.MUL: x * y,
        Op.DIV: x / y,
        Op.NEG: -x,
        Op.RECIPROCAL: 1 / x,
        Op.EXP: np.exp(x),
        Op.EXP2: np.exp2(x),
        Op.LOG: np.log(x),
        Op.LOG2: np.log2(x),
        Op.SQRT: np.sqrt(x),
        Op.SIN: np.sin(x),
        Op.COS: np.cos(x),
        Op.TANH: np.tanh(x),
        Op.POW: np.power(x, y),
    }.items():
        arrays = [x, y] if op in BINARY else [x]
        found = run(
            [dtype] * len(arrays),
            dtype,
            lambda *args, op=op: Alu(op, args, dtype, lanes),
            arrays,
            lanes,
        )
        np.testing.assert_allclose(found, expected, close, close, err_msg=op.name)


@pytest.mark.parametrize("dtype", PAIRS, ids=lambda dtype: dtype.name)
def test_parts_comparisons_and_casts(dtype: DType, seed: int) -> None:
    x, y = numbers(dtype, seed)
    y[::2] = x[::2]
    x[5] = y[6] = 0
    part = real_of(dtype)
    one = [dtype]
    for op, expected in {Op.REAL: x.real, Op.IMAG: x.imag, Op.ABS: np.abs(x)}.items():
        found = run(one, part, lambda a, op=op: Alu(op, (a,), part), [x])
        np.testing.assert_allclose(found, expected, 1e-6)
    for op, expected in {Op.EQ: x == y, Op.NE: x != y}.items():
        found = run([dtype] * 2, bool_, lambda a, b, op=op: Alu(op, (a, b), bool_), [x, y])
        np.testing.assert_array_equal(found, expected)
    other = complex128 if dtype is complex64 else complex64
    for target, expected in {
        bool_: x != 0,
        int32: x.real.astype(np.int32),
        float32: x.real.astype(np.float32),
        other: x.astype(other.numpy),
    }.items():
        found = run(one, target, lambda a, t=target: Alu(Op.CAST, (a,), t), [x])
        np.testing.assert_array_equal(found, expected)
    real = x.real.copy()
    found = run([part], dtype, lambda a: Alu(Op.CAST, (a,), dtype), [real])
    np.testing.assert_array_equal(found, real.astype(dtype.numpy))
    found = run([part] * 2, dtype, lambda a, b: Alu(Op.COMPLEX, (a, b), dtype), [real, real])
    np.testing.assert_array_equal(found, real + 1j * real)
    found = run(
        [bool_, dtype, dtype],
        dtype,
        lambda c, a, b: Alu(Op.WHERE, (c, a, b), dtype),
        [x == y, x, y * 2],
    )
    np.testing.assert_array_equal(found, np.where(x == y, x, y * 2))


def test_large_parts_do_not_overflow() -> None:
    x = np.array([3e38 + 2e38j, 1e-40 + 1e-40j, np.inf + 1j, 0, 1e30 - 1e30j], np.complex64)
    found = run([complex64], float32, lambda a: Alu(Op.ABS, (a,), float32), [x])
    np.testing.assert_allclose(found, np.abs(x), 1e-6)
    wide = np.array([3e307 + 4e307j, 3e-310 + 4e-310j, 0], np.complex128)
    found = run([complex128], complex128, lambda a: Alu(Op.DIV, (a, a), complex128), [wide])
    np.testing.assert_allclose(found[:2], 1, 1e-10)
    assert np.isnan(found[2])


def test_a_dot_product_is_carried() -> None:
    x, y = numbers(complex64, 1)
    k = Var("k", 0, 63)
    a, b = (Memory(f"a{n}", complex64, 64, Home.ARGUMENT, n) for n in range(2))
    out = Memory("out", complex64, 1, Home.ARGUMENT, 2, written=True)
    total = Ref("total", complex64)
    zero = Alu(Op.SUB, (Load(a, constant(0)), Load(a, constant(0))), complex64)
    step = MulAdd(Load(a, of(k)), Load(b, of(k)), total, complex64)
    loop = For(
        k,
        constant(0),
        constant(64),
        (),
        carried=(Carried("total", complex64, zero, step),),
    )
    function = Function(
        "f", (a, b, out), (), (Phase(None, constant(1), (loop, Store(out, constant(0), total))),)
    )
    found = np.zeros(1, np.complex64)
    Native(function).run([x, y, found])
    np.testing.assert_allclose(found[0], (x * y).sum(), 1e-4)


def test_in_place_updates_read_before_they_write() -> None:
    """`x = i * x` needs both old parts for both new ones."""
    i = Var("i", 0, 7)
    x = Memory("x", complex64, 8, Home.ARGUMENT, 0, written=True)
    load = Load(x, of(i))
    turn = Alu(Op.MUL, (load, load), complex64)
    function = Function("f", (x,), (), (Phase(i, constant(8), (Store(x, of(i), turn),)),))
    array = (np.arange(8) + 2j).astype(np.complex64)
    expected = array * array
    Native(function).run([array])
    np.testing.assert_array_equal(array, expected)


def test_real_functions_are_left_alone() -> None:
    i = Var("i", 0, 7)
    x = Memory("x", float32, 8, Home.ARGUMENT, 0, written=True)
    function = Function("f", (x,), (), (Phase(i, constant(8), (Store(x, of(i), Load(x, of(i))),)),))
    assert split_complex(function) is function


def test_branch_cuts_and_zeros() -> None:
    """Roots and logarithms on the axes, on both sides of the cut, and at zero."""
    parts = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5]
    x = np.array([complex(a, b) for a in parts for b in parts], np.complex128)
    for op, exact in ((Op.SQRT, np.sqrt), (Op.LOG, np.log)):
        found = run([complex128], complex128, lambda a, op=op: Alu(op, (a,), complex128), [x])
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(found, exact(x), 1e-14, 1e-15, err_msg=op.name)
