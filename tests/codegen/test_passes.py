"""What passes promise beyond keeping the meaning: vectors, pieces, bounds, code size."""

from __future__ import annotations

from dataclasses import replace

import pytest

from picograd.codegen.bounds import proves_within
from picograd.codegen.dependence import all_values, trips
from picograd.codegen.loops import (
    Alu,
    Broadcast,
    Carried,
    For,
    Function,
    Home,
    Kind,
    Let,
    Literal,
    Load,
    Memory,
    Phase,
    Prefetch,
    Ref,
    Shuffle,
    Store,
    statements,
)
from picograd.codegen.lower import lower
from picograd.codegen.passes.split_reduction import split_reduction
from picograd.codegen.passes.transpose_blocks import transpose_blocks
from picograd.codegen.pipeline import compile_function
from picograd.codegen.target import AVX2, AVX512, Target
from picograd.codegen.verify import verify
from picograd.dtypes import float32, int64
from picograd.errors import InternalError
from picograd.graph.index import Param, Var, constant, of, variable
from picograd.graph.mask import Mask
from picograd.graph.ops import Op
from picograd.schedule.kernel import Kernel
from tests.codegen import kernels

X = Memory("x", float32, 16, Home.ARGUMENT, 0)
Y = Memory("y", float32, 16, Home.ARGUMENT, 1, 0, True)
AXIS = Var("i", 0, 15)
ONE = Literal.of(1.0, float32)


def function(*body: For | Let | Store) -> Function:
    return Function("f", (X, Y), (), (Phase(None, constant(1), body),))


def over(*body: Let | Store, end: int = 16) -> For:
    return For(AXIS, constant(0), constant(end), body)


def broken() -> list[tuple[str, Function]]:
    load = Load(X, of(AXIS))
    wide = replace(load, index=of(Var("lane", 0, 15, 16)), lanes=16)
    carried = Carried("sum", float32, Literal.of(0, int64), ONE)
    return [
        ("used before", function(over(Store(Y, of(AXIS), Ref("v", float32))))),
        ("may lie outside", function(over(Store(Y, of(AXIS) + 1, load)))),
        ("may lie outside", function(over(Store(Y, of(AXIS), Load(X, of(AXIS) - 1))))),
        ("ends outside", function(over(Store(Y, of(AXIS), load), end=17))),
        ("not defined here", function(Store(Y, of(AXIS), ONE))),
        ("not marked as written", function(over(Store(X, of(AXIS), load)))),
        ("is stored as", function(over(Store(Y, of(AXIS), Literal.of(1, int64))))),
        ("lanes", function(Store(Y, constant(0), Alu(Op.ADD, (wide, ONE), float32, 16)))),
        ("one place", function(Store(Y, constant(0), wide))),
        ("has lanes", function(Store(Y, constant(0), replace(wide, lanes=1)))),
        ("broadcast", function(Store(Y, constant(0), Broadcast(wide, 16)))),
        ("not float32", function(replace(over(), carried=(carried,)))),
        ("no scalar", function(Store(Y, of(Param(0, 0, 1)), ONE))),
    ]


@pytest.mark.parametrize(("problem", "made"), broken(), ids=[p for p, _ in broken()])
def test_the_verifier_names_what_is_wrong(problem: str, made: Function) -> None:
    with pytest.raises(InternalError, match=problem):
        verify(made)


def test_bounds_are_proved_through_masks_quotients_and_last_blocks() -> None:
    i, j, start = variable("i", 20), variable("j", 130), of(Param(0, 0, 3))
    inside = Mask().require(i - 3).require(10 - i)
    assert proves_within(i - 3, 8, inside)
    assert not proves_within(i - 3, 7, inside)
    every_other = Mask().require(j - start).require(6 + start - j)
    assert proves_within((j - start) // 2, 4, every_other)
    assert not proves_within((j - start) // 2, 3, every_other)
    piece = variable("p", 8)
    end = piece * 3 + 3 - (piece // 7) * 2
    assert proves_within(end, 23, Mask())
    assert not proves_within(end, 22, Mask())


@pytest.mark.parametrize(("target", "lanes"), [(AVX512, 16), (AVX2, 8)])
def test_rows_are_vectors_with_four_accumulators(target: Target, lanes: int) -> None:
    made = compile_function(kernels.softmax(2, 1024), target)
    body = made.phases[0].body
    assert {v.lanes for v in all_values(body) if isinstance(v, Alu) and v.op is Op.EXP} == {lanes}
    first = next(s for s in statements(body) if isinstance(s, For) and s.carried)
    assert len(first.carried) == 4
    assert all(s.kind is Kind.SERIAL for s in statements(body) if isinstance(s, For))


def after(passes: str, kernel: Kernel, target: Target = AVX512) -> Function:
    """The kernel as it is behind one pass."""
    seen: dict[str, Function] = {}
    compile_function(kernel, target, seen.__setitem__)
    return seen[passes]


def loops(made: Function) -> list[For]:
    return [s for p in made.phases for s in statements(p.body) if isinstance(s, For)]


def test_vectorise_makes_lanes_and_unroll_makes_copies() -> None:
    wide, copied = (after(name, kernels.softmax(2, 1000)) for name in ("vectorise", "unroll"))
    full = [loop for loop in loops(wide) if loop.kind is Kind.UNROLL]
    assert [trips(loop) for loop in full] == [62] * 4
    assert all(len(loop.carried) == (loop.reduces is not None) for loop in full)
    groups = [loop for loop in loops(copied) if loop.var.name.endswith("u")]
    assert [(trips(loop), len(loop.carried)) for loop in groups] == [(15, 4), (15, 4), (31, 0)]
    rest = [loop for loop in loops(copied) if loop.var.name.endswith("v") and loop.carried]
    assert [(loop.begin.constant, trips(loop)) for loop in rest] == [(60, 2)] * 2
    assert all(loop.kind is Kind.SERIAL for loop in loops(copied))


def test_columns_are_unrolled_around_the_loop_that_they_share() -> None:
    (outer, inner, *_) = loops(after("unroll", kernels.reduction(1024, 20, True)))
    assert (trips(outer), len(inner.carried)) == (8, 8)


@pytest.mark.parametrize(("size", "copies"), [(1024, 4), (48, 2), (16, 1)])
def test_short_loops_get_fewer_copies(size: int, copies: int) -> None:
    first = loops(after("unroll", kernels.softmax(2, size)))[1]
    assert len(first.carried) == copies


def test_long_bodies_are_not_copied() -> None:
    names = [loop.var.name for loop in loops(after("unroll", kernels.random(4096)))]
    assert names and not any(name.endswith("u") for name in names)


def test_columns_are_vectors_over_the_kept_axis() -> None:
    made = compile_function(kernels.reduction(4096, 20, True), AVX512)
    loads = [v for v in all_values(made.phases[0].body) if isinstance(v, Load)]
    lane = Var("lane", 0, 15, 16)
    assert loads and all(load.index.coefficient(lane) == 1 for load in loads)


def test_big_work_is_cut_into_pieces_and_small_work_is_not() -> None:
    assert compile_function(kernels.elementwise(100), AVX512).phases[0].var is None
    (phase,) = compile_function(kernels.elementwise(1_000_003), AVX512).phases
    assert phase.var is not None and phase.extent.constant > 16
    assert phase.work > 1000


def test_a_big_sum_is_blocks_that_depend_on_its_size_alone() -> None:
    made = compile_function(kernels.total(1 << 20), AVX512)
    assert len(made.phases) == 2 and made.phases[0].var is not None
    assert compile_function(kernels.total(1 << 20), replace(AVX512, threads=64)) == made
    small = lower(kernels.total(1 << 10))
    assert split_reduction(small, AVX512) is small


def streamed(kernel: Kernel, l3: int) -> set[str]:
    """The memories that vector stores reach past the caches."""
    made = compile_function(kernel, replace(AVX512, l3=l3))
    found = [s for phase in made.phases for s in statements(phase.body) if isinstance(s, Store)]
    return {store.memory.name for store in found if store.streaming}


def test_results_larger_than_the_caches_are_streamed() -> None:
    size = 1 << 20
    assert streamed(kernels.elementwise(size), 4 * size) == set()
    assert streamed(kernels.elementwise(size), 4 * size - 1) == {"a2"}


def test_what_a_kernel_keeps_for_itself_is_not_streamed() -> None:
    assert streamed(kernels.softmax(64, 4096), 0) == {"a1"}


def fetched(kernel: Kernel, l2: int = 512 << 10) -> list[tuple[str, str]]:
    made = compile_function(kernel, replace(AVX512, l2=l2))
    listed = [s for phase in made.phases for s in statements(phase.body)]
    return [(s.memory.name, str(s.index)) for s in listed if isinstance(s, Prefetch)]


def test_the_next_row_is_fetched_while_one_is_worked_on() -> None:
    """By the loop that computes most, from the row's first element to its last."""
    assert fetched(kernels.softmax(64, 4096)) == [("a0", "i0*4096 + i1v*16 + 4096")]


@pytest.mark.parametrize(
    ("kernel", "l2"),
    [
        (kernels.softmax(64, 4096), 32 << 10),  # two rows fill the cache
        (kernels.softmax(64, 4096), 1 << 20),  # all of it is in the cache
        (kernels.softmax(1024, 256), 512 << 10),  # short rows
        (kernels.elementwise(1 << 20), 512 << 10),  # nothing is read twice
    ],
    ids=["long rows", "small", "short rows", "one loop"],
)
def test_rows_are_not_fetched_in_vain(kernel: Kernel, l2: int) -> None:
    assert fetched(kernel, l2) == []


def test_columns_are_swept_in_strips_of_rows() -> None:
    made = compile_function(kernels.reduction(512, 100, True), replace(AVX512, l2=0))
    (phase,) = made.phases
    assert [memory.size for memory in made.memories if memory.home is Home.SCRATCH] == [256]
    assert phase.var is None or phase.extent.constant == 2
    near = compile_function(kernels.reduction(512, 100, True), AVX512)
    assert not near.scratch  # in the cache, the accumulators stay in registers


def test_transpositions_are_tiled() -> None:
    names = [loop.var.name for loop in loops(after("vectorise", kernels.transpose(640, 480)))]
    assert names == ["i0tile", "i1v", "i0"]


@pytest.mark.parametrize("target", [AVX512, AVX2])
def test_tiles_are_transposed_in_registers(target: Target) -> None:
    made = after("transpose_blocks", kernels.crossed(640, 480), target)
    values = [value for phase in made.phases for value in all_values(phase.body)]
    lane = Var("lane", 0, target.lanes(float32) - 1, target.lanes(float32))
    reads = [value for value in values if isinstance(value, Load)]
    assert reads and all(read.index.coefficient(lane) == 1 for read in reads)
    rounds = lane.lanes.bit_length() - 1
    shuffles = sum(isinstance(value, Shuffle) for value in values)
    assert shuffles == 2 * lane.lanes * rounds  # two matrices, though one is read twice


@pytest.mark.parametrize(
    "kernel", [kernels.scan(64, 40, False), kernels.reduction(4096, 16, False)]
)
def test_rows_beside_rows_are_read_and_written_along_memory(kernel: Kernel) -> None:
    (phase,) = after("transpose_blocks", kernel).phases
    lanes = 8 if kernel.name == "scan" else 16  # of int64 and of float32
    block = [s for s in statements(phase.body) if isinstance(s, Store)]
    assert block[0].index.coefficient(Var("lane", 0, lanes - 1, lanes)) == 1
    shuffles = sum(isinstance(value, Shuffle) for value in all_values(phase.body))
    assert shuffles == (2 * 8 * 3 if kernel.name == "scan" else 16 * 4)


def test_what_is_the_same_in_all_iterations_does_not_narrow_vectors() -> None:
    """The key of random numbers is cut from a 64-bit number, once."""
    made = after("vectorise", kernels.random(4096))
    assert {v.lanes for p in made.phases for v in all_values(p.body)} == {1, 16}


def test_what_a_loop_writes_is_not_read_ahead() -> None:
    i, lane = variable("i", 16), of(Var("lane", 0, 15, 16))
    y = replace(Y, size=256)
    (var,) = i.atoms()
    assert isinstance(var, Var)
    for source in (y, replace(X, size=256)):
        store = Store(y, i * 16 + lane, Load(source, lane * 16 + i, 16))
        loop = For(var, constant(0), constant(16), (store,), independent=True)
        made = transpose_blocks(function(loop), AVX512)
        assert (made == function(loop)) == (source is y)


def test_lanes_inside_of_a_quotient_are_left_alone() -> None:
    """Nearest neighbours, twice as many: no variable of the lanes stands by itself."""
    i, lane = variable("i", 16), of(Var("lane", 0, 15, 16))
    (var,) = i.atoms()
    assert isinstance(var, Var)
    store = Store(replace(Y, size=16), i, Load(replace(X, size=256), lane // 2 * 16 + i, 16))
    loop = For(var, constant(0), constant(16), (store,), independent=True)
    assert transpose_blocks(function(loop), AVX512) == function(loop)


@pytest.mark.parametrize("kernel", kernels.all_kernels(), ids=lambda kernel: kernel.name)
def test_code_stays_small(kernel: Kernel) -> None:
    made = compile_function(kernel, AVX512)
    count = sum(isinstance(v, Alu) for phase in made.phases for v in all_values(phase.body))
    assert count < 2000


def test_equal_kernels_get_equal_names_and_different_ones_do_not() -> None:
    names = {compile_function(kernels.softmax(2, size), AVX512).name for size in (40, 40, 41)}
    assert len(names) == 2
