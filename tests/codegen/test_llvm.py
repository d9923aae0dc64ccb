"""Rendered functions do what the loop IR says: loops, masks, every form of access, failures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from picograd.codegen.evaluate import evaluate
from picograd.codegen.llvm.render import render
from picograd.codegen.loops import (
    Alu,
    Argument,
    Broadcast,
    Carried,
    Fail,
    Fold,
    For,
    Function,
    Home,
    If,
    IndexValue,
    Let,
    Literal,
    Load,
    Memory,
    Phase,
    Predicate,
    Ref,
    Statement,
    Store,
    Value,
)
from picograd.codegen.pipeline import compile_function
from picograd.codegen.target import AVX2, AVX512, SCALAR
from picograd.dtypes import BY_NAME, DType, bool_, float16, float32, int32, int64
from picograd.graph.index import Index, Param, Var, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op
from tests.codegen import kernels
from tests.codegen.native import Native, compile_all

ALL = kernels.all_kernels()
W = 16
LANE = of(Var("lane", 0, W - 1, W))
FAR = 1 << 40  # an index that no memory has: touching it ends the process


def argument(slot: int, size: int, dtype: DType = float32, written: bool = False) -> Memory:
    return Memory(f"a{slot}", dtype, size, Home.ARGUMENT, slot, written=written)


def var(name: str, extent: int) -> Var:
    return Var(name, 0, extent - 1)


def agree(
    phases: Sequence[Phase], memories: Sequence[Memory], scalars: Sequence[int] = (), **sizes: int
) -> list[np.ndarray]:
    """Run a function natively and in Python on equal random arrays; both must do the same."""
    generator = np.random.default_rng(3)
    kinds = (int64,) * len(scalars)
    function = Function("f", tuple(memories), kinds, tuple(phases), **sizes)
    arrays = [
        generator.integers(0, 50, memory.size).astype(memory.dtype.numpy)
        for memory in memories
        if memory.home is Home.ARGUMENT
    ]
    expected = [array.copy() for array in arrays]
    failed = Native(function).run(arrays, scalars)
    assert failed == evaluate(function, expected, scalars)
    for found, wanted in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    return arrays


def once(*body: Statement) -> Phase:
    return Phase(None, constant(1), body)


def add(x: Value, y: Value) -> Alu:
    return Alu(Op.ADD, (x, y), x.dtype, max(x.lanes, y.lanes))


# --- whole kernels --------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [AVX512, AVX2, SCALAR], ids=["avx512", "avx2", "scalar"])
def test_kernels(target) -> None:
    """Everything that the schedule makes, lowered and rendered, against the Python evaluation."""
    functions = [compile_function(kernel, target) for kernel in ALL]
    unique = {function.name: function for function in functions}
    natives = compile_all(list(unique.values()), target)
    for kernel, function in zip(ALL, functions, strict=True):
        arrays, scalars = kernels.inputs(kernel, 5)
        expected = [array.copy() for array in arrays]
        failed = natives[function.name].run(arrays, scalars)
        assert failed == evaluate(function, expected, scalars)
        for found, wanted in zip(arrays, expected, strict=True):
            scale = 1e-2 if found.dtype == np.float16 else 2e-5
            np.testing.assert_allclose(found, wanted, scale, scale, err_msg=kernel.name)


# --- accesses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bool", "int8", "float16", "bfloat16", "float32", "int64"])
@pytest.mark.parametrize("stride", [0, 1, -1, 2, 3, 4, -2])
def test_strides_and_masks(name: str, stride: int) -> None:
    """Loads and stores of every stride, without a mask, with one by lane, with a shared one."""
    dtype = BY_NAME[name]
    i = var("i", 4)
    x, start = argument(0, 400, dtype), 200
    place = of(i) * 11 + LANE * stride + start
    masks = [
        Mask(),
        Mask().require(LANE + of(i) - 4),
        Mask().require(of(i) * -1 + 2).require(LANE * -1 + of(i) * 2 + 8),
        Mask().require(of(i) - 2),
    ]
    body, memories = [], [x]
    for slot, mask in enumerate(masks, 1):
        y = argument(slot, 400, dtype, written=True)
        memories.append(y)
        body.append(Store(y, of(i) * W + LANE, Load(x, place, W, mask)))
        if stride:
            body.append(Store(y, of(i) * 64 + LANE * stride + 130, Load(x, place, W), mask))
    agree([Phase(i, constant(4), tuple(body))], memories)


def test_an_index_that_is_not_affine_gathers() -> None:
    i = var("i", 3)
    x, y = argument(0, 300), argument(1, 48, written=True)
    place = ((LANE + of(i) * 5) // 3) * 7 + (LANE + of(i)) % 5 + LANE - (LANE - 20) // 6
    agree([Phase(i, constant(3), (Store(y, of(i) * W + LANE, Load(x, place, W)),))], [x, y])


def test_one_lane_division_of_negative_numbers() -> None:
    i = var("i", 40)
    y = argument(0, 80, int64, written=True)
    for divisor in (3, 4):
        quotient = IndexValue((of(i) - 20) // divisor, int64)
        rest = IndexValue((of(i) - 20) % divisor, int64)
        body = (Store(y, of(i) * 2, quotient), Store(y, of(i) * 2 + 1, rest))
        agree([Phase(i, constant(40), body)], [y])


def test_masked_off_elements_are_not_touched() -> None:
    """The addresses behind false masks are outside of any memory."""
    i = var("i", 2)
    x = argument(0, 64)
    y = argument(1, 64, written=True)
    never = Mask().require(of(i) - 5)
    late = Mask().require(of(i) * -1)  # only i = 0 holds, and is at home
    some = Mask().require(LANE - 8)
    wild = LANE * FAR - 15 * FAR + 3
    body = (
        Store(y, of(i), Load(x, of(i) + FAR, 1, never)),
        Store(y, of(i) + 2, Load(x, of(i) * FAR, 1, late)),
        Store(y, of(i) + LANE, Load(x, of(i) + LANE + FAR, W, never)),
        Store(y, LANE + 16, Load(x, LANE + of(i) * FAR, W, late & some)),
        Store(y, LANE + 32, Load(x, wild, W, Mask().require(LANE - 15))),
        Store(y, of(i) + FAR, Load(x, of(i)), never),
        Store(y, LANE + FAR, Load(x, LANE, W), never & some),
        Store(y, wild, Load(x, LANE, W), Mask().require(LANE - 15)),
    )
    array = np.arange(64, dtype=np.float32)
    result = np.full(64, -1, np.float32)
    native = Native(Function("f", (x, y), (), (Phase(i, constant(2), body),)))
    assert native.run([array, result]) == 0
    assert result[47] == 3.0 and (result[32:47] == 0).all() and result[3] == 15.0


def test_a_load_does_not_leave_a_loop_that_may_not_run() -> None:
    """The inner loop's bound is a parameter, 0 here; its load's address is nowhere."""
    limit, where = Param(0, 0, 4), Param(1, 0, 2 * FAR)
    k = var("k", 4)
    x, y = argument(0, 8), argument(1, 8, written=True)
    load = Load(x, of(where))
    loop = For(
        k,
        constant(0),
        of(limit),
        (),
        carried=(
            Carried("sum", float32, Literal.of(1.0, float32), add(Ref("sum", float32), load)),
        ),
    )
    guarded = If(Mask().require(of(limit) - 1), (Store(y, constant(1), load),))
    function = Function(
        "f",
        (x, y),
        (int64, int64),
        (once(loop, Store(y, constant(0), Ref("sum", float32)), guarded),),
    )
    native = Native(function)
    x_array, y_array = np.full(8, 2, np.float32), np.zeros(8, np.float32)
    native.run([x_array, y_array], [0, FAR])
    assert y_array.tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    native.run([x_array, y_array], [3, 1])
    assert y_array.tolist() == [7, 2, 0, 0, 0, 0, 0, 0]


# --- loops ----------------------------------------------------------------------------------------


def test_carried_values_swap() -> None:
    """Fibonacci: the next values are all computed from the old ones."""
    k = var("k", 20)
    y = argument(0, 2, int64, written=True)
    a, b = Ref("a", int64), Ref("b", int64)
    zero, one = Literal.of(0, int64), Literal.of(1, int64)
    carried = (Carried("a", int64, zero, b), Carried("b", int64, one, add(a, b)))
    loop = For(k, constant(0), constant(20), (), carried=carried)
    (found,) = agree([once(loop, Store(y, constant(0), a), Store(y, constant(1), b))], [y])
    assert found.tolist() == [6765, 10946]


def test_nested_loops_with_steps_bounds_and_accumulators() -> None:
    i, j, k = var("i", 6), var("j", 12), var("k", 40)
    x, y = argument(0, 600), argument(1, 6, written=True)
    inner = For(
        k,
        of(j),
        of(i) * 3 + 10,
        (Let("z", Load(x, of(k) * 12 + of(j))),),
        step=2,
        carried=(
            Carried(
                "row", float32, Ref("all", float32), add(Ref("row", float32), Ref("z", float32))
            ),
        ),
    )
    outer = For(
        j,
        constant(0),
        constant(12),
        (inner,),
        carried=(
            Carried("all", float32, Literal.of(0.0, float32), Ref("row", float32)),
            Carried(
                "count", float32, Literal.of(0.0, float32),
                add(Ref("count", float32), Ref("row", float32)),
            ),
        ),
    )  # fmt: skip
    store = Store(y, of(i), add(Ref("all", float32), Ref("count", float32)))
    agree([Phase(i, constant(6), (outer, store))], [x, y])


def test_vector_accumulators_and_two_phases() -> None:
    """Partial sums in the workspace, then their sum; a scratch row in between."""
    i, k = var("i", 4), var("k", 5)
    x, y = argument(0, 320), argument(1, 1, written=True)
    partial = Memory("partial", float32, 4, Home.WORKSPACE, offset=64, written=True)
    row = Memory("row", float32, 80, Home.SCRATCH, offset=128, written=True)
    copy = For(
        k,
        constant(0),
        constant(5),
        (Store(row, of(k) * W + LANE, Load(x, of(i) * 80 + of(k) * W + LANE, W)),),
    )
    zero = Broadcast(Literal.of(0.0, float32), W)
    total = Carried(
        "sum", float32, zero, add(Ref("sum", float32, W), Load(row, of(k) * W + LANE, W)), W
    )
    reduce = For(k, constant(0), constant(5), (), carried=(total,))
    save = Store(partial, of(i), Fold(Combiner.SUM, Ref("sum", float32, W)))
    final = Fold(Combiner.SUM, Load(partial, of(Var("four", 0, 3, 4)), 4))
    agree(
        [Phase(i, constant(4), (copy, reduce, save)), once(Store(y, constant(0), final))],
        [x, y, partial, row],
        workspace=128,
        scratch=512,
    )


def test_loads_of_written_memory_see_the_stores() -> None:
    """In one statement list, across a loop, and in both directions."""
    k = var("k", 5)
    y = argument(0, 8, written=True)
    first, one = Load(y, constant(0)), Literal.of(1.0, float32)
    bump = Store(y, constant(0), add(first, one))
    agree(
        [
            once(
                Store(y, constant(1), first),
                bump,
                Store(y, constant(2), first),
                For(k, constant(0), constant(5), (bump,)),
                Store(y, constant(3), first),
                If(Mask(), (bump,)),
                Store(y, constant(4), first),
            )
        ],
        [y],
    )


def test_branches_and_failures() -> None:
    i = var("i", 10)
    x, y = argument(0, 40, int32), argument(1, 40, int32, written=True)
    value = Load(x, of(i))
    body = (
        If(
            Mask().require(of(i) - 3),
            (
                If(Mask().require(of(i) * -1 + 6), (Store(y, of(i) + 10, value),)),
                Store(y, of(i), add(value, value)),
            ),
        ),
        Store(y, of(i) + 20, value),
    )
    agree([Phase(i, constant(10), body)], [x, y])
    for lanes, limit, failed in ((1, 100, 0), (1, 5, 1), (W, 100, 0), (W, 30, 1)):
        index = of(i) + (LANE if lanes > 1 else 0)
        large = Alu(
            Op.LE, (Literal.of(limit, int32), Load(x, index, lanes)), bool_, lanes
        )  # the literal has one lane: it stands for all
        function = Function("g", (x, y), (), (Phase(i, constant(10), (Fail(large),)),))
        array = np.arange(40, dtype=np.int32) % 50 + 10
        if not failed:
            array[:] = 0
        assert Native(function).run([array, array.copy()]) == failed


def test_let_variables_are_indices() -> None:
    """Rows chosen by data: one index for all lanes, and one for each."""
    i, row = var("i", 6), var("row", 50)
    rows = Var("rows", 0, 49)
    table, index = argument(0, 50 * W), argument(1, 6 * W, int64)
    y, z = argument(2, 6 * W, written=True), argument(3, 6 * W, written=True)
    single = (
        Let("r", Load(index, of(i)), row),
        Store(y, of(i) * W + LANE, Load(table, of(row) * W + LANE, W)),
    )
    agree([Phase(i, constant(6), single)], [table, index, y])
    several = (
        Let("rs", Load(index, of(i) * W + LANE, W), rows),
        Store(z, of(i) * W + LANE, Load(table, of(rows) * W + LANE * 1 + of(i), W)),
    )
    native = Native(Function("f", (table, index, y, z), (), (Phase(i, constant(6), several),)))
    numbers = np.arange(50 * W, dtype=np.float32)
    chosen = np.random.default_rng(0).integers(0, 49, 6 * W)
    result = np.zeros(6 * W, np.float32)
    native.run([numbers, chosen, result.copy(), result])
    lanes, outer = np.arange(6 * W) % W, np.arange(6 * W) // W
    np.testing.assert_array_equal(result, numbers[chosen * W + lanes + outer])


# --- values ---------------------------------------------------------------------------------------


def test_numbers_from_arguments_and_indices() -> None:
    i = var("i", 3)
    half = float16
    y, z = argument(0, 48, written=True), argument(1, 48, int64, written=True)
    w = argument(2, 48, bool_, written=True)
    number = Alu(Op.CAST, (Argument(1, half),), float32)
    value = Alu(Op.MUL, (IndexValue(of(i) * 3 + LANE, float32, W), number), float32, W)
    body = (
        Store(y, of(i) * W + LANE, value),
        Store(z, of(i) * W + LANE, IndexValue(LANE * -7 + of(Param(0, 0, 9)), int64, W)),
        Store(w, of(i) * W + LANE, Predicate(Mask().require(LANE - of(i) - 3), W)),
    )
    function = Function("f", (y, z, w), (int64, half), (Phase(i, constant(3), body),))
    arrays = [np.zeros(48, kind) for kind in (np.float32, np.int64, np.bool_)]
    Native(function).run(arrays, [4, np.float16(1.5)])
    lanes, outer = np.arange(48) % 16, np.arange(48) // 16
    np.testing.assert_array_equal(arrays[0], (outer * 3 + lanes) * np.float32(1.5))
    np.testing.assert_array_equal(arrays[1], 4 - 7 * lanes)
    np.testing.assert_array_equal(arrays[2], lanes - outer - 3 >= 0)


def test_a_deep_value_renders_and_is_shared() -> None:
    """2**40 paths, 40 additions; and a chain that is deeper than Python's stack."""
    x, y = argument(0, 1), argument(1, 1, written=True)
    value: Value = Load(x, constant(0))
    for _ in range(40):
        value = add(value, value)
    text = render(Function("f", (x, y), (), (once(Store(y, constant(0), value)),)), AVX512)
    assert text.count("fadd") == 40
    value = Load(x, constant(0))
    for number in range(3000):
        value = add(value, Literal.of(float(number), float32))
    text = render(Function("f", (x, y), (), (once(Store(y, constant(0), value)),)), AVX512)
    assert text.count("fadd") == 3000


def test_invariants_leave_the_loop() -> None:
    i, k = var("i", 4), var("k", 8)
    x, y = argument(0, 64), argument(1, 512, written=True)
    scale = Alu(Op.SQRT, (Load(x, of(i)),), float32)
    place = of(i) * 128 + of(k) * W + LANE
    body = For(k, constant(0), constant(8), (Store(y, place, Broadcast(scale, W)),))
    text = render(Function("f", (x, y), (), (Phase(i, constant(4), (body,)),)), AVX512)
    inner = text[text.index("loop4:") : text.index("br i1 %more")]
    assert "sqrt" in text and "sqrt" not in inner and inner.count("getelementptr") == 1
    agree([Phase(i, constant(4), (body,))], [x, y])


@pytest.mark.parametrize("shift", [0, 4])
def test_streaming_stores(shift: int) -> None:
    """Past the caches where the buffer is aligned, plain where it is not."""
    i = var("i", 8)
    y = argument(0, 128, written=True)
    value = IndexValue(of(i) * W + LANE, float32, W)
    body = (Store(y, of(i) * W + LANE, value, streaming=True),)
    function = Function("f", (y,), (), (Phase(i, constant(8), body),))
    text = render(function, AVX512)
    assert "!nontemporal" in text and "sfence" in text
    memory = np.zeros(128 * 4 + 128, np.uint8)
    start = -memory.ctypes.data % 64 + shift
    array = memory[start : start + 512].view(np.float32)
    Native(function).run([array])
    np.testing.assert_array_equal(array, np.arange(128))


def test_phases_split_anywhere() -> None:
    """A phase's iterations may be divided into any ranges, empty ones too."""
    i = var("i", 10)
    x, y = argument(0, 1), argument(1, 10, written=True)
    body = (Store(y, of(i), Load(x, constant(0))),)
    function = Function("f", (x, y), (), (Phase(i, Index((), 10), body),))
    native = Native(function)
    one, result = np.ones(1, np.float32), np.zeros(10, np.float32)
    native.prepare([one, result])
    for begin, end in ((0, 0), (3, 5), (9, 10), (10, 10)):
        native.call(0, begin, end)
    assert np.flatnonzero(result).tolist() == [3, 4, 9]


def test_a_rare_branch_may_leave_a_loop() -> None:
    """The sine's slow path makes basic blocks, here outside of a loop with an accumulator, inside
    of a branch and in the loop itself: the phis still name the right blocks."""
    i, k = var("i", 4), var("k", 3)
    x, y = argument(0, 64), argument(1, 64, written=True)
    outer = Alu(Op.SIN, (Load(x, of(i) * W + LANE, W),), float32, W)
    inner = Alu(Op.COS, (Load(x, of(k) * W + LANE, W),), float32, W)
    total = Ref("total", float32, W)
    step = add(total, add(outer, inner))
    loop = For(
        k,
        constant(0),
        constant(3),
        (),
        carried=(Carried("total", float32, outer, step, W),),
    )
    again = Alu(Op.SIN, (total,), float32, W)
    guarded = If(Mask().require(of(i) - 2), (Store(y, of(i) * W + LANE, again),))
    body = (loop, Store(y, of(i) * W + LANE, total), guarded)
    native = Native(Function("f", (x, y), (), (Phase(i, constant(4), body),)))
    values = (np.arange(64) * 1e4).astype(np.float32)
    found = np.zeros(64, np.float32)
    native.run([values, found])
    rows = values.reshape(4, W).astype(np.float64)
    expected = np.cos(rows[:3]).sum(0) + 4 * np.sin(rows)
    expected[2:] = np.sin(expected[2:])
    np.testing.assert_allclose(found.reshape(4, W), expected, atol=2e-6)
