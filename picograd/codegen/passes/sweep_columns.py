"""Reduce columns a few rows at a time, in the order of memory.

In: a nest in which `passes.choose_axes` marked a loop over columns. Out: the same reduction with
its accumulators in scratch memory. Called by `codegen.pipeline` before `vectorise`.

A reduction along columns with its accumulators in registers goes down a narrow strip: every row is
another page, and the machine's own prefetching stops at a page's end. Here a strip is a thousand
columns wide; its accumulators stay in the first cache, and each is read and written once for
sixteen rows. A column is still combined from its first row to its last, so that not a bit changes.

>>> from picograd.codegen.target import AVX512
>>> strip(4096, 1, AVX512), strip(1000, 64, AVX512), strip(4099, 1, AVX512)
(1024, 1000, None)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from picograd.codegen.dependence import (
    Body,
    all_values,
    dependent_names,
    operations,
    stride,
    trip,
)
from picograd.codegen.loops import (
    For,
    Function,
    Home,
    If,
    Kind,
    Let,
    Load,
    Memory,
    Ref,
    Statement,
    Store,
)
from picograd.codegen.lower import aligned
from picograd.codegen.replicate import Copy, Replicate
from picograd.codegen.target import Target
from picograd.dtypes import DType
from picograd.graph.index import Index, Var, constant, of

# How many rows an accumulator takes in between two accesses, by the operations of a row: longer
# chains only cost compile time.
ROWS = ((4.0, 16), (10.0, 8), (30.0, 4))
WIDEST, NARROWEST = 1024, 256  # columns of a strip
FAR = 1024  # bytes from row to row: closer ones share pages anyway


def sweep_columns(function: Function, target: Target) -> Function:
    """The function with its large column reductions swept."""
    pass_ = _Sweep(function, target)
    phases = tuple(
        replace(phase, body=pass_.body(phase.body, 1)) if phase.var is None else phase
        for phase in function.phases
    )
    if not pass_.made:
        return function
    memories = (*function.memories, *pass_.made)
    return replace(function, phases=phases, memories=memories, scratch=pass_.scratch)


def strip(columns: int, points: int, target: Target) -> int | None:
    """The columns of a strip: a divisor, narrow enough that all threads have strips (`points`
    is how many times there are so many columns); None when there is no good one."""
    wanted = columns * points // (2 * target.threads)
    widest = max(NARROWEST, min(WIDEST, wanted))
    if columns <= widest:
        return columns
    widths = (w for w in range(widest, NARROWEST - 1, -1) if columns % w == 0)
    return next((w for w in widths if w % 16 == 0), None)


class _Sweep:
    """The pass over one function."""

    def __init__(self, function: Function, target: Target) -> None:
        self.target = target
        self.scratch = function.scratch
        self.made: list[Memory] = []

    def body(self, body: Body, points: int) -> Body:
        made: list[Statement] = []
        for statement in body:
            match statement:
                case For():
                    made.extend(self.loop(statement, points))
                case If():
                    made.append(replace(statement, body=self.body(statement.body, points)))
                case _:
                    made.append(statement)
        return tuple(made)

    def loop(self, loop: For, points: int) -> Body:
        count = trip(loop)
        parts = _parts(loop)
        width = strip(count, points, self.target) if parts and count else None
        taken = self.rows_at_once(loop, parts[1]) if parts else 0
        if not parts or not count or not width or not taken:
            around = points * count if loop.independent and count else points
            return (replace(loop, body=self.body(loop.body, around)),)
        if width == count:
            return self.swept(loop, parts, width, taken, loop.begin)
        strips = Var(f"{loop.var.name}s", 0, count // width - 1)
        body = self.swept(loop, parts, width, taken, loop.begin + of(strips) * width)
        end = constant(count // width)
        return (For(strips, constant(0), end, body, independent=True),)

    def rows_at_once(self, columns: For, rows: For) -> int:
        """How many rows an accumulator takes in at once: large memory is read, rows far apart and
        along them; else 0."""
        weight = operations((rows,))
        taken = next((taken for limit, taken in ROWS if weight <= limit), 0)
        if (trip(rows) or 0) < 2 * taken or any(c.dtype.is_bool for c in rows.carried):
            return 0
        loads = [value for value in all_values((rows,)) if isinstance(value, Load)]
        reads = [load for load in loads if rows.var in load.index.atoms()]
        suited = bool(reads) and all(
            load.memory.home is Home.ARGUMENT
            and load.memory.size * load.memory.dtype.itemsize > self.target.l2
            and stride(load.index, columns.var) == 1
            and abs(stride(load.index, rows.var) or 0) * load.memory.dtype.itemsize >= FAR
            for load in reads
        )
        return taken if suited else 0

    def swept(
        self, loop: For, parts: tuple[Body, For, Body], width: int, taken: int, begin: Index
    ) -> Body:
        before, rows, after = parts
        sums = [self.memory(carried.name, carried.dtype, width) for carried in rows.carried]
        column = Var(f"{loop.var.name}c", 0, width - 1)
        place, first = of(loop.var) - begin, rows.begin
        count = trip(rows) or 0

        def columns(*body: Statement) -> For:
            whole = (*before, *body)
            names = dependent_names(whole, loop.var)
            made = Replicate(loop.var, names, (Copy(begin + of(column), ""),)).body(whole)
            return replace(
                loop, var=column, begin=constant(0), end=constant(width), body=tuple(made)
            )

        def some(start: Index, length: int) -> For:
            """The accumulators take in some rows."""
            return columns(*_chain(rows, sums, place, start, length))

        empty = (Store(m, place, c.init) for c, m in zip(rows.carried, sums, strict=True))
        made: list[Statement] = [columns(*empty)]
        groups, rest = divmod(count, taken)
        block = Var(f"{rows.var.name}b", 0, groups - 1)
        blocks = (some(first + of(block) * taken, taken),)
        made.append(For(block, constant(0), constant(groups), blocks))
        if rest:
            made.append(some(first + groups * taken, rest))
        back = (Let(c.name, Load(m, place)) for c, m in zip(rows.carried, sums, strict=True))
        return (*made, columns(*back, *after))

    def memory(self, name: str, dtype: DType, size: int) -> Memory:
        self.scratch = aligned(self.scratch)
        label = f"{name}.columns{len(self.made)}"
        made = Memory(label, dtype, size, Home.SCRATCH, 0, self.scratch, True)
        self.scratch += size * dtype.itemsize
        self.made.append(made)
        return made


def _chain(
    rows: For, sums: list[Memory], place: Index, start: Index, length: int
) -> Iterator[Statement]:
    """Some rounds of a reduction written out, between a load and a store of its accumulators."""
    names = dependent_names(rows.body, rows.var, (carried.name for carried in rows.carried))
    for carried, memory in zip(rows.carried, sums, strict=True):
        yield Let(f"{carried.name}.0", Load(memory, place))
    for number in range(length):
        copy = Copy(start + number, f".{number}")
        made = Replicate(rows.var, names, (copy,))
        yield from made.body(rows.body)
        for carried in rows.carried:
            yield Let(f"{carried.name}.{number + 1}", made.value(carried.next, copy))
    for carried, memory in zip(rows.carried, sums, strict=True):
        yield Store(memory, place, Ref(f"{carried.name}.{length}", carried.dtype))


def _parts(loop: For) -> tuple[Body, For, Body] | None:
    """What stands before a loop over columns' only loop, that loop over rows, and what follows."""
    if loop.kind is not Kind.VECTOR or not loop.independent or loop.carried or loop.step != 1:
        return None
    found = [n for n, statement in enumerate(loop.body) if isinstance(statement, For | If)]
    if len(found) != 1 or not isinstance(rows := loop.body[found[0]], For):
        return None
    before, after = loop.body[: found[0]], loop.body[found[0] + 1 :]
    plain = all(isinstance(statement, Let) for statement in (*before, *rows.body))
    if not rows.carried or rows.step != 1 or not rows.begin.is_constant or not plain:
        return None
    if not all(isinstance(statement, Let | Store) for statement in after):
        return None
    return before, rows, after
