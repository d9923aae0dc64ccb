"""Hand-made kernels of every shape that the schedule makes, and what they mean.

`reference` runs a kernel stage by stage, point by point, straight from the definition of `Stage`;
lowered and transformed functions are compared with it.
"""

from __future__ import annotations

import numpy as np

from picograd.dtypes import (
    DType,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
    uint32,
    uint64,
)
from picograd.graph.index import Index, Param, Var, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import (
    Access,
    Bind,
    Compute,
    Expr,
    FromIndex,
    Guard,
    Kernel,
    Literal,
    Memory,
    Pattern,
    Philox,
    Scalar,
    Space,
    Stage,
    StageKind,
)

MAP, REDUCE, SCAN = StageKind.MAP, StageKind.REDUCE, StageKind.SCAN
SUM, MAX, PROD = Combiner.SUM, Combiner.MAX, Combiner.PROD
ARGUMENT, LOCAL, SCRATCH = Space.ARGUMENT, Space.LOCAL, Space.SCRATCH


def var(name: str, extent: int) -> Var:
    return Var(name, 0, extent - 1)


def memory(name: str, dtype: DType, size: int, space: Space = ARGUMENT) -> Memory:
    return Memory(name, dtype, size, space)


def alu(op: Op, *args: Expr, dtype: DType | None = None) -> Compute:
    return Compute(op, args, dtype or args[-1].dtype)


def number(value: float, dtype: DType = float32) -> Literal:
    return Literal.of(value, dtype)


# --- elementwise ----------------------------------------------------------------------------------


def elementwise(size: int, dtype: DType = float32) -> Kernel:
    """Two outputs; one expression is used twice."""
    i = var("i0", size)
    x, y = Access("a0", of(i), dtype), Access("a1", of(i), dtype)
    both = alu(Op.ADD, x, y)
    stages = (
        Stage(MAP, "a2", of(i), alu(Op.MUL, both, both)),
        Stage(MAP, "a3", of(i), alu(Op.LT, x, y, dtype=bool_)),
    )
    memories = tuple(memory(f"a{n}", dtype, size) for n in range(3))
    return Kernel("elementwise", Pattern.ROWS, (i,), stages, (*memories, memory("a3", bool_, size)))


def bias(rows: int, columns: int) -> Kernel:
    i, j = var("i0", rows), var("i1", columns)
    x = Access("a0", of(i) * columns + of(j), float32)
    value = alu(Op.MAXIMUM, alu(Op.ADD, x, Access("a1", of(j), float32)), number(0.0))
    value = alu(Op.MUL, value, Scalar(0, float32))
    stage = Stage(MAP, "a2", of(i) * columns + of(j), value)
    sizes = (rows * columns, columns, rows * columns)
    memories = tuple(memory(f"a{n}", float32, size) for n, size in enumerate(sizes))
    return Kernel("bias", Pattern.ROWS, (i, j), (stage,), memories, (float32,))


def flat_bias(rows: int, columns: int) -> Kernel:
    """The same over one flat axis: the bias is read modulo the row."""
    i = var("i0", rows * columns)
    value = alu(Op.ADD, Access("a0", of(i), float32), Access("a1", of(i) % columns, float32))
    value = alu(Op.ADD, value, Access("a2", of(i) // columns, float32))
    stage = Stage(MAP, "a3", of(i), value)
    sizes = (rows * columns, columns, rows, rows * columns)
    memories = tuple(memory(f"a{n}", float32, size) for n, size in enumerate(sizes))
    return Kernel("flat_bias", Pattern.ROWS, (i,), (stage,), memories)


def transpose(rows: int, columns: int, dtype: DType = float32) -> Kernel:
    i, j = var("i0", columns), var("i1", rows)
    stage = Stage(MAP, "a1", of(i) * rows + of(j), Access("a0", of(j) * columns + of(i), dtype))
    memories = tuple(memory(f"a{n}", dtype, rows * columns) for n in range(2))
    return Kernel("transpose", Pattern.ROWS, (i, j), (stage,), memories)


def crossed(rows: int, columns: int) -> Kernel:
    """Two matrices read across, one of them twice, and one along."""
    i, j = var("i0", columns), var("i1", rows)
    along, across = of(i) * rows + of(j), of(j) * columns + of(i)
    x, y, z = (Access(f"a{n}", place, float32) for n, place in enumerate((across, across, along)))
    value = alu(Op.ADD, alu(Op.MUL, x, y), alu(Op.SUB, z, x))
    memories = tuple(memory(f"a{n}", float32, rows * columns) for n in range(4))
    return Kernel("crossed", Pattern.ROWS, (i, j), (Stage(MAP, "a3", along, value),), memories)


def pad(rows: int, columns: int) -> Kernel:
    """One more row and column of zeros on every side."""
    i, j = var("i0", rows + 2), var("i1", columns + 2)
    mask = Mask.inside(of(i) - 1, 0, rows) & Mask.inside(of(j) - 1, 0, columns)
    inside = Access("a0", (of(i) - 1) * columns + of(j) - 1, float32, mask)
    stage = Stage(
        MAP, "a1", of(i) * (columns + 2) + of(j), Guard(mask, inside, number(7.0), float32)
    )
    memories = (
        memory("a0", float32, rows * columns),
        memory("a1", float32, (rows + 2) * (columns + 2)),
    )
    return Kernel("pad", Pattern.ROWS, (i, j), (stage,), memories)


def window(size: int, total: int) -> Kernel:
    """A slice that starts where a run-time parameter says."""
    i, start = var("i0", size), Param(0, 0, total - size)
    value = alu(Op.CAST, Access("a0", of(i) + of(start), int64), dtype=float32)
    stage = Stage(MAP, "a1", of(i), value)
    memories = (memory("a0", int64, total), memory("a1", float32, size))
    return Kernel("window", Pattern.ROWS, (i,), (stage,), memories, (int64,))


def random(size: int) -> Kernel:
    i = var("i0", size)
    words = tuple(Philox(word, of(i), 0, 1, uint32) for word in range(2))
    stages = (
        Stage(MAP, "a0", of(i), alu(Op.XOR, *words)),
        Stage(MAP, "a1", of(i), FromIndex(of(i) * 3 + 1, int32)),
    )
    memories = (memory("a0", uint32, size), memory("a1", int32, size))
    return Kernel("random", Pattern.ROWS, (i,), stages, memories, (uint64, uint64))


# --- reductions -----------------------------------------------------------------------------------


def reduction(
    kept: int, reduced: int, outer: bool, combiner: Combiner = SUM, dtype: DType = float32
) -> Kernel:
    """A matrix combined along its rows, or (`outer`) along its columns."""
    i, r = var("i0", kept), var("i1", reduced)
    place = of(r) * kept + of(i) if outer else of(i) * reduced + of(r)
    accumulator = float32 if dtype is float16 else dtype
    stage = Stage(REDUCE, "a1", of(i), Access("a0", place, dtype), (), (r,), combiner, accumulator)
    memories = (memory("a0", dtype, kept * reduced), memory("a1", dtype, kept))
    return Kernel("reduction", Pattern.ROWS, (i,), (stage,), memories)


def total(size: int, dtype: DType = float32) -> Kernel:
    r = var("i0", size)
    square = alu(Op.MUL, Access("a0", of(r), dtype), Access("a0", of(r), dtype))
    stage = Stage(REDUCE, "a1", Index(), square, (), (r,), SUM, dtype)
    memories = (memory("a0", dtype, size), memory("a1", dtype, 1))
    return Kernel("total", Pattern.ROWS, (), (stage,), memories)


def channels(a: int, b: int, c: int) -> Kernel:
    """A sum over the outer and the inner of three axes."""
    i, r, s = var("i0", b), var("i1", a), var("i2", c)
    place = of(r) * (b * c) + of(i) * c + of(s)
    stage = Stage(REDUCE, "a1", of(i), Access("a0", place, float32), (), (r, s), SUM, float32)
    memories = (memory("a0", float32, a * b * c), memory("a1", float32, b))
    return Kernel("channels", Pattern.ROWS, (i,), (stage,), memories)


def normalise(size: int) -> Kernel:
    """A whole vector less its mean, over the root of its mean square."""
    j = var("i0", size)
    x, t0 = Access("a0", of(j), float32), Access("t0", Index(), float32)
    t1 = Access("t1", Index(), float32)
    centred = alu(Op.SUB, x, t0)
    mean = alu(Op.DIV, Access("s0", Index(), float32), number(size))
    scale = alu(Op.SQRT, alu(Op.DIV, Access("s1", Index(), float32), number(size)))
    stages = (
        Stage(REDUCE, "s0", Index(), x, (), (j,), SUM, float32),
        Stage(MAP, "t0", Index(), mean),
        Stage(REDUCE, "s1", Index(), alu(Op.MUL, centred, centred), (), (j,), SUM, float32),
        Stage(MAP, "t1", Index(), scale),
        Stage(MAP, "a1", of(j), alu(Op.DIV, centred, t1), (j,)),
        Stage(MAP, "a2", Index(), t1),
    )
    memories = (
        memory("a0", float32, size),
        memory("a1", float32, size),
        memory("a2", float32, 1),
        *(memory(name, float32, 1, LOCAL) for name in ("s0", "t0", "s1", "t1")),
    )
    return Kernel("normalise", Pattern.ROWS, (), stages, memories)


def softmax(rows: int, columns: int) -> Kernel:
    i, j = var("i0", rows), var("i1", columns)
    x = Access("a0", of(i) * columns + of(j), float32)
    t0, t1 = Access("t0", Index(), float32), Access("t1", of(j), float32)
    t2 = Access("t2", Index(), float32)
    stages = (
        Stage(REDUCE, "t0", Index(), x, (), (j,), MAX, float32),
        Stage(MAP, "t1", of(j), alu(Op.EXP, alu(Op.SUB, x, t0)), (j,)),
        Stage(REDUCE, "t2", Index(), t1, (), (j,), SUM, float32),
        Stage(MAP, "a1", of(i) * columns + of(j), alu(Op.DIV, t1, t2), (j,)),
    )
    memories = (
        memory("a0", float32, rows * columns),
        memory("a1", float32, rows * columns),
        memory("t0", float32, 1, LOCAL),
        memory("t1", float32, columns, SCRATCH),
        memory("t2", float32, 1, LOCAL),
    )
    return Kernel("softmax", Pattern.ROWS, (i,), stages, memories)


def mean_square(rows: int, columns: int) -> Kernel:
    """Row sums, written and also summed over all rows; then the total over a count."""
    i, j = var("i0", rows), var("i1", columns)
    x = Access("a0", of(i) * columns + of(j), float32)
    t0 = Access("t0", Index(), float32)
    stages = (
        Stage(REDUCE, "t0", Index(), alu(Op.MUL, x, x), (), (j,), SUM, float32),
        Stage(MAP, "a1", of(i), alu(Op.NEG, t0)),
        Stage(REDUCE, "t1", Index(), t0, (), (i,), SUM, float32),
        Stage(MAP, "a2", Index(), alu(Op.DIV, Access("t1", Index(), float32), number(rows))),
    )
    memories = (
        memory("a0", float32, rows * columns),
        memory("a1", float32, rows),
        memory("a2", float32, 1),
        memory("t0", float32, 1, LOCAL),
        memory("t1", float32, 1, LOCAL),
    )
    return Kernel("mean_square", Pattern.ROWS, (i,), stages, memories)


def beside(rows: int, columns: int) -> Kernel:
    """A value of each row that is stored, and added to a matrix that is summed as a whole."""
    i, j = var("i0", rows), var("i1", columns)
    t0 = Access("t0", Index(), float32)
    x = Access("a0", of(j) * rows + of(i), float32)
    stages = (
        Stage(MAP, "t0", Index(), alu(Op.NEG, Access("a1", of(i), float32))),
        Stage(MAP, "a2", of(i), t0),
        Stage(REDUCE, "a3", Index(), alu(Op.ADD, x, t0), (), (j, i), SUM, float32),
    )
    sizes = (rows * columns, rows, rows, 1)
    memories = tuple(memory(f"a{n}", float32, size) for n, size in enumerate(sizes))
    return Kernel(
        "beside", Pattern.ROWS, (i,), stages, (*memories, memory("t0", float32, 1, LOCAL))
    )


def loss(rows: int, columns: int) -> Kernel:
    """An elementwise output and its sum over the domain itself, in one kernel."""
    i, j = var("i0", rows), var("i1", columns)
    place = of(i) * columns + of(j)
    x = Access("a0", place, float32)
    double = alu(Op.ADD, x, x)
    stages = (
        Stage(MAP, "a1", place, double),
        Stage(REDUCE, "a2", Index(), double, (), (i, j), SUM, float32),
    )
    size = rows * columns
    memories = (
        memory("a0", float32, size),
        memory("a1", float32, size),
        memory("a2", float32, 1),
    )
    return Kernel("loss", Pattern.ROWS, (i, j), stages, memories)


def product_sum(rows: int, columns: int, depth: int) -> Kernel:
    """A contraction: a matrix product with a row added."""
    i, j, k = var("i0", rows), var("i1", columns), var("i2", depth)
    left = Access("a0", of(i) * depth + of(k), float32)
    right = Access("a1", of(k) * columns + of(j), float32)
    stages = (
        Stage(REDUCE, "t0", Index(), alu(Op.MUL, left, right), (), (k,), SUM, float32),
        Stage(
            MAP,
            "a3",
            of(i) * columns + of(j),
            alu(Op.ADD, Access("t0", Index(), float32), Access("a2", of(j), float32)),
        ),
    )
    memories = (
        memory("a0", float32, rows * depth),
        memory("a1", float32, depth * columns),
        memory("a2", float32, columns),
        memory("a3", float32, rows * columns),
        memory("t0", float32, 1, LOCAL),
    )
    return Kernel("product", Pattern.CONTRACTION, (i, j), stages, memories)


# --- scans and data-dependent indices -------------------------------------------------------------


def scan(rows: int, columns: int, outer: bool) -> Kernel:
    """Prefix sums along rows, or (`outer`) along columns."""
    kept, run = var("i0", columns if outer else rows), var("i1", rows if outer else columns)
    place = of(run) * columns + of(kept) if outer else of(kept) * columns + of(run)
    stage = Stage(SCAN, "a1", place, Access("a0", place, int64), (), (run,), SUM, int64)
    memories = tuple(memory(f"a{n}", int64, rows * columns) for n in range(2))
    return Kernel("scan", Pattern.ROWS, (kept,), (stage,), memories)


def gather(count: int, rows: int, columns: int) -> Kernel:
    i, j, k = var("i0", count), var("i1", columns), var("k0", rows)
    pick = Access("a1", of(i), int64)
    bad = alu(
        Op.OR,
        alu(Op.LT, pick, number(0, int64), dtype=bool_),
        alu(Op.LE, number(rows, int64), pick, dtype=bool_),
        dtype=bool_,
    )
    stages = (
        Stage(StageKind.CHECK, "", Index(), bad),
        Stage(
            MAP,
            "a2",
            of(i) * columns + of(j),
            Access("a0", of(k) * columns + of(j), float32),
            (j,),
            binds=(Bind(k, pick),),
        ),
    )
    memories = (
        memory("a0", float32, rows * columns),
        memory("a1", int64, count),
        memory("a2", float32, count * columns),
    )
    return Kernel("gather", Pattern.ROWS, (i,), stages, memories)


def picked(rows: int, columns: int, dtype: DType, summed: bool) -> Kernel:
    """An element of each row, or as many as each row has indices: indices in the lanes."""
    i, j, k = var("i0", rows), var("i1", columns), var("k0", 5)
    place = of(i) if summed else of(i) * columns + of(j)
    bind = Bind(k, Access("a1", place, dtype))
    value = Access("a0", of(i) * 5 + of(k), float32)
    if summed:
        stage = Stage(REDUCE, "a2", Index(), value, (), (i,), SUM, float32, binds=(bind,))
    else:
        mask = Mask().require(of(k) - of(j) + 3)
        value = Guard(mask, Access("a0", value.index, float32, mask), number(9.0), float32)
        stage = Stage(MAP, "a2", place, alu(Op.MUL, value, number(3.0)), binds=(bind,))
    size = 1 if summed else rows * columns
    memories = (
        memory("a0", float32, rows * 5),
        memory("a1", dtype, rows if summed else size),
        memory("a2", float32, size),
    )
    domain = () if summed else (i, j)
    return Kernel("picked", Pattern.ROWS, domain, (stage,), memories)


def scatter(count: int, rows: int, columns: int, combiner: Combiner | None) -> Kernel:
    i, j, k = var("i0", count), var("i1", columns), var("k0", rows)
    stage = Stage(
        StageKind.SCATTER,
        "a2",
        of(k) * columns + of(j),
        Access("a0", of(i) * columns + of(j), float32),
        (j,),
        combiner=combiner,
        binds=(Bind(k, Access("a1", of(i), int64)),),
    )
    memories = (
        memory("a0", float32, count * columns),
        memory("a1", int64, count),
        memory("a2", float32, rows * columns),
    )
    return Kernel("scatter", Pattern.SERIAL, (i,), (stage,), memories)


def scatter_in_rows(rows: int, count: int, columns: int, combiner: Combiner | None) -> Kernel:
    """Each row has its own indices, so rows never meet: as `scatter_add(1, index, x)`."""
    i, j, k = var("r0", rows), var("r1", count), var("k0", columns)
    stage = Stage(
        StageKind.SCATTER,
        "a2",
        of(i) * columns + of(k),
        Access("a0", of(i) * count + of(j), float32),
        reduce=(i, j),
        combiner=combiner,
        binds=(Bind(k, Access("a1", of(i) * count + of(j), int64)),),
    )
    memories = (
        memory("a0", float32, rows * count),
        memory("a1", int64, rows * count),
        memory("a2", float32, rows * columns),
    )
    return Kernel("scatter_in_rows", Pattern.SERIAL, (), (stage,), memories)


def all_kernels() -> list[Kernel]:
    """One of everything, in sizes that meet every tail."""
    return [
        *(elementwise(size) for size in (1, 5, 16, 37, 300)),
        elementwise(100, float64),
        elementwise(70, int64),
        elementwise(50, float16),
        bias(3, 5),
        bias(7, 33),
        bias(50, 3),
        flat_bias(6, 40),
        flat_bias(9, 5),
        transpose(20, 35),
        transpose(64, 48),
        transpose(40, 53),
        transpose(16, 32),
        transpose(70, 100, float64),
        transpose(33, 70, float16),
        transpose(70, 130, int8),
        crossed(20, 37),
        pad(5, 20),
        window(40, 100),
        random(50),
        *(reduction(5, size, False) for size in (1, 3, 16, 100, 300)),
        reduction(90, 3, False),
        reduction(4, 50, False, MAX, int64),
        reduction(4, 70, False, PROD),
        reduction(3, 90, False, SUM, float16),
        *(reduction(size, 7, True) for size in (2, 16, 50, 150)),
        reduction(3, 600, True),
        reduction(20, 9, True, MAX),
        total(1000),
        total(333, int32),
        total(65536 + 100),
        channels(4, 3, 20),
        channels(10, 5, 2),
        softmax(3, 40),
        softmax(2, 150),
        softmax(30, 4),
        softmax(1, 500),
        mean_square(10, 20),
        mean_square(600, 2),
        loss(8, 20),
        loss(3, 5),
        beside(33, 64),
        normalise(20),
        normalise(1000),
        reduction(7, 333, True),
        reduction(20, 130, True, MAX),
        channels(3, 4, 300),
        channels(300, 2, 3),
        beside(5, 40),
        product_sum(4, 20, 10),
        product_sum(3, 2, 40),
        scan(5, 20, False),
        scan(6, 40, True),
        scan(20, 40, False),
        scan(40, 19, True),
        reduction(300, 20, False),
        reduction(40, 16, False, MAX),
        gather(5, 10, 20),
        gather(40, 10, 3),
        picked(7, 37, int64, False),
        picked(3, 64, int32, False),
        picked(100, 1, int64, True),
        scatter(20, 6, 20, None),
        scatter(20, 6, 20, SUM),
        scatter(30, 6, 1, SUM),
        scatter_in_rows(40, 17, 5, SUM),
        scatter_in_rows(40, 17, 5, None),
    ]


def inputs(kernel: Kernel, seed: int) -> tuple[list[np.ndarray], list[int | float]]:
    """Random arguments of a kernel. Integer arguments are small, so that they can be indices."""
    generator = np.random.default_rng(seed)
    arrays = []
    for argument in kernel.arguments:
        values = generator.integers(-4, 5, argument.size)
        if kernel.name in ("gather", "picked", "scatter", "scatter_in_rows"):
            values = np.abs(values)
        array = values.astype(argument.dtype.numpy)
        if argument.dtype.is_float:
            array = (array + generator.random(argument.size)).astype(argument.dtype.numpy)
        arrays.append(array)
    if kernel.name == "reduction" and kernel.stages[0].combiner is PROD:
        arrays[0] = (1 + arrays[0] / 100).astype(arrays[0].dtype)
    scalars = [int(generator.integers(1, 30)) for _ in kernel.scalars]
    return arrays, scalars
