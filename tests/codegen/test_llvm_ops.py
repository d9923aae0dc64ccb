"""Every elementwise op, element type and number of lanes in LLVM against NumPy's meaning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from picograd.codegen.evaluate import compute
from picograd.codegen.llvm import math as llvm_math
from picograd.codegen.llvm import ops as llvm_ops
from picograd.codegen.loops import (
    Alu,
    Fold,
    Function,
    Home,
    Literal,
    Load,
    Memory,
    MulAdd,
    Phase,
    Random,
    Store,
    Value,
)
from picograd.dtypes import ALL, DType, bfloat16, bool_, float16, float32, float64, uint32, uint64
from picograd.graph.index import Var, constant, of
from picograd.graph.meaning_structure import philox
from picograd.graph.ops import COMPARISONS, ELEMENTWISE, Combiner, Op
from tests.codegen.native import Native, compile_all

REAL = tuple(dtype for dtype in ALL if not dtype.is_complex)
FLOATS = (float16, bfloat16, float32, float64)
INTEGERS = tuple(dtype for dtype in ALL if dtype.is_integer)
NUMBERS = INTEGERS + FLOATS
WIDTHS = (1, 16)
LANE = Var("lane", 0, 15, 16)

FLOAT_ONLY = (Op.SQRT, Op.RECIPROCAL, Op.DIV, *llvm_math.UNARY)
BITWISE = (Op.AND, Op.OR, Op.XOR, Op.NOT)
SHIFTS = (Op.SHL, Op.SHR)
EVERYWHERE = (*COMPARISONS, Op.ADD, Op.SUB, Op.MUL, Op.MAXIMUM, Op.MINIMUM)
UNARY = frozenset(llvm_math.UNARY) | {
    Op.NEG,
    Op.ABS,
    Op.NOT,
    Op.SQRT,
    Op.RECIPROCAL,
    Op.FLOOR,
    Op.CEIL,
    Op.TRUNC,
    Op.ROUND,
}


def types_of(op: Op) -> Sequence[DType]:
    """The element types that an op is defined for."""
    if op in FLOAT_ONLY:
        return FLOATS
    if op in BITWISE:
        return (*INTEGERS, bool_)
    if op in SHIFTS:
        return INTEGERS
    return REAL if op in EVERYWHERE else NUMBERS


def edges(dtype: DType) -> np.ndarray:
    """The values where things go wrong."""
    if dtype.is_bool:
        return np.array([False, True])
    if dtype.is_float:
        info = np.finfo(dtype.numpy) if dtype is not bfloat16 else None
        tiny = 1e-40 if info is None else float(info.smallest_subnormal)
        least = 1.2e-38 if info is None else float(info.tiny)
        most = 3.3e38 if info is None else float(info.max)
        numbers = [0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 7.75, 100.0, 1e4, tiny, least, most]
        values = np.array([*numbers, np.inf, np.nan, *(-x for x in numbers), -np.inf])
        return values.astype(dtype.numpy)
    low, high = int(dtype.lowest), int(dtype.highest)
    numbers = [0, 1, 2, 3, 5, 7, 8, 31, 63, 64, 100, high, high - 1, low, low + 1, high // 3]
    if dtype.kind == "int":
        numbers += [-1, -2, -3, -7, -8, -100, low // 3]
    return np.array(numbers, dtype.numpy)


def padded(array: np.ndarray) -> np.ndarray:
    return np.resize(array, -(-array.size // 16) * 16)


def pairs(dtype: DType) -> list[np.ndarray]:
    """All pairs of edge values."""
    values = edges(dtype)
    return [padded(grid.ravel()) for grid in np.meshgrid(values, values)]


def pointwise(name: str, types: Sequence[DType], result: DType, size: int, lanes: int, make):
    """`y[i] = make(x0[i], x1[i], ...)` with vectors of some lanes."""
    steps = size // lanes
    i = Var("i", 0, steps - 1)
    index = of(i) * lanes + (of(LANE) if lanes > 1 else 0)
    inputs = [Memory(f"x{n}", dtype, size, Home.ARGUMENT, n) for n, dtype in enumerate(types)]
    output = Memory("y", result, size, Home.ARGUMENT, len(inputs), written=True)
    value: Value = make(*(Load(memory, index, lanes) for memory in inputs))
    phase = Phase(i, constant(steps), (Store(output, index, value),))
    return Function(name, (*inputs, output), (), (phase,))


def call(native: Native, inputs: Sequence[np.ndarray], result: DType) -> np.ndarray:
    output = np.zeros(inputs[0].size, result.numpy)
    assert native.run([*inputs, output]) == 0
    return output


def ulps(found: np.ndarray, expected: np.ndarray, dtype: DType) -> np.ndarray:
    """Errors in units of the last place of the expected value; inf for a wrong special value."""
    wide = np.float64 if dtype is not float64 else np.longdouble
    with np.errstate(all="ignore"):
        unit = np.abs(np.nextafter(expected, expected.dtype.type(0)).astype(wide) - expected)
        unit = np.maximum(unit, wide(np.finfo(np.float64).smallest_subnormal))
        error = np.abs(found.astype(wide) - expected.astype(wide)) / unit
    same = (found == expected) | ((found != found) & (expected != expected))
    return np.where(same, 0, np.where(np.isfinite(found.astype(np.float64)), error, np.inf))


def check(op: Op, dtype: DType, found: np.ndarray, expected: np.ndarray) -> None:
    transcendental = op in llvm_math.FLOAT32 and dtype.is_float
    if transcendental:
        limit = {float64: 4, float32: 2}.get(dtype, 1)
        worst = ulps(found, expected, dtype).max()
        assert worst <= limit, f"{op.name} {dtype}: {worst} ULP"
        return
    with np.errstate(all="ignore"):
        nan, same = expected != expected, found != found
    np.testing.assert_array_equal(same, nan, err_msg=f"{op.name} {dtype}")
    if dtype.is_float and found.dtype != np.bool_ and op not in (Op.MAXIMUM, Op.MINIMUM):
        word = {2: np.uint16, 4: np.uint32, 8: np.uint64}[dtype.itemsize]
        found, expected = found.view(word), expected.view(word)
    np.testing.assert_array_equal(found[~nan], expected[~nan], err_msg=f"{op.name} {dtype}")


def test_every_op_is_rendered() -> None:
    """A new op must get a row (complex ones are split into real ones before rendering)."""
    assert llvm_ops.RENDERED | llvm_ops.COMPLEX == ELEMENTWISE
    assert not llvm_ops.RENDERED & llvm_ops.COMPLEX


@pytest.mark.parametrize("op", sorted(llvm_ops.ROWS, key=lambda op: op.name))
def test_op(op: Op) -> None:
    arity = 1 if op in UNARY else 2
    cases = {}
    for dtype in types_of(op):
        result = bool_ if op in COMPARISONS else dtype
        inputs = pairs(dtype)[:arity]
        for lanes in WIDTHS:
            name = f"f_{dtype.name}_{lanes}"
            function = pointwise(
                name,
                [dtype] * arity,
                result,
                inputs[0].size,
                lanes,
                lambda *args, result=result, lanes=lanes: Alu(op, args, result, lanes),
            )
            cases[name] = (function, dtype, result, inputs)
    natives = compile_all([function for function, *_ in cases.values()])
    for name, (_, dtype, result, inputs) in cases.items():
        with np.errstate(all="ignore"):
            expected = compute(op, result, inputs, [dtype] * arity).astype(result.numpy)
        check(op, dtype, call(natives[name], inputs, result), expected)


@pytest.mark.parametrize("source", REAL, ids=lambda dtype: dtype.name)
def test_cast(source: DType) -> None:
    values = edges(source)
    if source.is_float:
        more = np.array([127.6, 128.0, 255.9, 65519.0, 65520.0, 2.0**31, -(2.0**31), 2.0**63, 1e30])
        with np.errstate(all="ignore"):
            values = np.concatenate([values, more.astype(source.numpy), -more.astype(source.numpy)])
    values = padded(values)
    cases = [
        (op, target, lanes)
        for target in REAL
        for op in (Op.CAST, Op.BITCAST)
        for lanes in WIDTHS
        if op is Op.CAST or (source.itemsize == target.itemsize and not target.is_bool)
    ]
    functions = [
        pointwise(
            f"{op.name}_{target.name}_{lanes}",
            [source],
            target,
            values.size,
            lanes,
            lambda x, op=op, target=target, lanes=lanes: Alu(op, (x,), target, lanes),
        )
        for op, target, lanes in cases
    ]
    natives = compile_all(functions)
    for (op, target, _), function in zip(cases, functions, strict=True):
        with np.errstate(all="ignore"):
            expected = compute(op, target, [values], [source]).astype(target.numpy)
        found = call(natives[function.name], [values], target)
        check(op, target, found, expected)


@pytest.mark.parametrize("dtype", REAL, ids=lambda dtype: dtype.name)
def test_where_multiply_add_and_fold(dtype: DType) -> None:
    first, second = pairs(dtype)
    size = first.size
    condition = np.arange(size) % 3 == 0
    functions = [
        pointwise(
            f"where_{lanes}",
            [bool_, dtype, dtype],
            dtype,
            size,
            lanes,
            lambda c, x, y, lanes=lanes: Alu(Op.WHERE, (c, x, y), dtype, lanes),
        )
        for lanes in WIDTHS
    ]
    functions += [
        pointwise(
            f"multiply_add_{lanes}",
            [dtype, dtype],
            dtype,
            size,
            lanes,
            lambda x, y, lanes=lanes: MulAdd(x, y, y, dtype, lanes),
        )
        for lanes in WIDTHS
    ]
    natives = compile_all(functions)
    for lanes in WIDTHS:
        found = call(natives[f"where_{lanes}"], [condition, first, second], dtype)
        check(Op.WHERE, dtype, found, np.where(condition, first, second))
        found = call(natives[f"multiply_add_{lanes}"], [first, second], dtype)
        with np.errstate(all="ignore"):
            if dtype is float64:  # exact in a wider type but for huge and tiny numbers
                wide = first.astype(np.longdouble) * second + second
                fair = (np.abs(wide) < 1e300) & (np.abs(wide) > 1e-290)
                np.testing.assert_array_equal(found[fair], wide.astype(np.float64)[fair])
            elif dtype.is_float:
                wide = (first.astype(np.float64) * second + second).astype(np.float32)
                check(Op.ADD, dtype, found, wide.astype(dtype.numpy))
            else:
                np.testing.assert_array_equal(found, first * second + second)


@pytest.mark.parametrize("combiner", Combiner)
def test_fold(combiner: Combiner, seed: int) -> None:
    generator = np.random.default_rng(seed)
    functions, expected, inputs = [], [], []
    for dtype in REAL:
        numbers = generator.integers(0, 3, 48).astype(dtype.numpy)
        x = Memory("x", dtype, 48, Home.ARGUMENT, 0)
        y = Memory("y", dtype, 3, Home.ARGUMENT, 1, written=True)
        i = Var("i", 0, 2)
        value = Fold(combiner, Load(x, of(i) * 16 + of(LANE), 16))
        phase = Phase(i, constant(3), (Store(y, of(i), value),))
        functions.append(Function(f"f_{dtype.name}", (x, y), (), (phase,)))
        rows = numbers.reshape(3, 16)
        total = rows[:, 0]
        tree = [rows[:, column] for column in range(16)]
        while len(tree) > 1:
            half = len(tree) // 2
            tree = [
                compute(llvm_ops.COMBINE[combiner], dtype, [low, high], [dtype, dtype])
                for low, high in zip(tree[:half], tree[half:], strict=True)
            ]
        total = tree[0]
        inputs.append(numbers)
        expected.append(total)
    natives = compile_all(functions)
    for function, numbers, total in zip(functions, inputs, expected, strict=True):
        found = np.zeros(3, numbers.dtype)
        natives[function.name].run([numbers, found])
        np.testing.assert_array_equal(found, total)


def test_random_words(seed: int) -> None:
    """Every word of a block, for each number of lanes, at large positions and at small ones."""
    generator = np.random.default_rng(seed)
    low, high = generator.integers(0, 1 << 32, (2, 64), np.uint32)
    key, count = (int(n) for n in generator.integers(0, 1 << 64, 2, np.uint64))
    numbers = Literal.of(key, uint64), Literal.of(count, uint64)
    functions = [
        pointwise(
            f"random_{lanes}_{word}",
            [uint32, uint32],
            uint32,
            64,
            lanes,
            lambda a, b, lanes=lanes, word=word: Alu(
                Op.XOR,
                (
                    Random(word, a, b, *numbers, 2 if word < 2 else 4, uint32, lanes),
                    Random(0, a, Literal.of(0, uint32), *numbers, 1, uint32, lanes),
                ),
                uint32,
                lanes,
            ),
        )
        for lanes in (1, 2, 8, 16, 32)
        for word in range(4)
    ]
    natives = compile_all(functions)
    words = philox(low + (high.astype(np.uint64) << np.uint64(32)), key, count)
    small = philox(low.astype(np.uint64), key, count)
    for function in functions:
        word = int(function.name[-1])
        expected = (words[word] ^ small[0]).astype(np.uint32)
        found = call(natives[function.name], [low, high], uint32)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda dtype: dtype.name)
def test_random_integer_division(dtype: DType, seed: int) -> None:
    """Vector division runs in floats: random numbers, small divisors, and exact multiples."""
    generator = np.random.default_rng(seed)
    count = 1 << 14
    x, y = (
        np.frombuffer(generator.bytes(count * dtype.itemsize), dtype.numpy).copy() for _ in range(2)
    )
    y[::2] = generator.integers(-60 if dtype.kind == "int" else 0, 60, count // 2).astype(y.dtype)
    with np.errstate(all="ignore"):
        x[::4] = y[::4] * dtype.numpy.type(3)
        x[1::4] = y[1::4] * dtype.numpy.type(7) - dtype.numpy.type(1)
        for op in (Op.FLOORDIV, Op.MOD):
            function = pointwise(
                op.name,
                [dtype] * 2,
                dtype,
                count,
                16,
                lambda a, b, op=op: Alu(op, (a, b), dtype, 16),
            )
            expected = compute(op, dtype, [x, y], [dtype] * 2)
            np.testing.assert_array_equal(call(Native(function), [x, y], dtype), expected)
