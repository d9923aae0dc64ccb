"""Move a contraction's factors into a GPU block's shared memory, depth tile by depth tile.

In: a factor, the rows or columns and the k of a tile, the threads of a block. Out: a `Factor`:
where its elements lie in shared memory, which of them a thread moves. Used by `contraction.grid`.

What is memory as it is, and contiguous where shared memory is, is copied without waiting, 16 bytes
at a time; what only is memory as it is, element by element (4 or 8 bytes). Everything else is
evaluated by the threads: this is where elementwise producers of a factor go.

    lines_inner    position k * pitch + line
    otherwise      position line * pitch + k

What a warp reads or writes at a time has to lie in different banks. Where threads read neighbouring
lines, the pitch is 16 bytes more than a power of two. Where a warp reads 16 bytes from each of
eight rows, each row is rotated by so many times 16 bytes more than the one before.

>>> from dataclasses import replace
>>> from picograd.dtypes import float32
>>> m, k = Group.of_axes("m", (Var("m", 0, 63),)), Group.of_axes("k", (Var("k", 0, 99),))
>>> row = Access("a0", of(m.var) * 100 + of(k.var), float32)
>>> copied(row, k, m, 4), copied(replace(row, index=row.index + 1), k, m, 4)
(True, False)
"""

from __future__ import annotations

from dataclasses import dataclass

from picograd.codegen.contraction.frame import inside
from picograd.codegen.contraction.groups import Group
from picograd.codegen.contraction.tiles import ceil_div
from picograd.codegen.loops import Memory
from picograd.graph.index import Index, Var, of
from picograd.graph.mask import Mask
from picograd.schedule.kernel import Access, Expr

BYTES = 16  # of the longest copy
PAD = 16  # bytes between rows of shared memory
ROWS = 8  # of 16 bytes, that a warp reads at a time
RUN = 8  # neighbours in k that neighbouring threads move, where lines are the inner dimension


def copied(expr: Expr, along: Group, across: Group, count: int) -> bool:
    """Whether `count` neighbours along a group, of which the first is a multiple of `count`, are
    neighbours in memory that begin at a multiple of `count`, all or none of them masked."""
    if not isinstance(expr, Access) or along.extent % count:
        return False
    if count == 1:
        return True
    number, part = Var("number", 0, along.extent // count - 1), Var("part", 0, count - 1)
    values = along.at(of(number) * count + of(part)) | across.at(of(across.var))
    rest = expr.index.substitute(values) - of(part)
    if not _divides(rest, part, count):
        return False
    return all(
        _holds_for_all(constraint.substitute(values), part, count)
        for constraint in expr.mask.constraints
    )


def _divides(index: Index, part: Var, count: int) -> bool:
    whole = all(coefficient % count == 0 for _, coefficient in index.terms)
    return whole and index.constant % count == 0 and part not in index.atoms()


def _holds_for_all(constraint: Index, part: Var, count: int) -> bool:
    """Whether `constraint >= 0` is the same for all values of `part`."""
    sign = constraint.coefficient(part)
    if sign not in (-1, 0, 1):
        return False
    if part not in constraint.atoms():
        return True
    last = count - 1 if sign < 0 else 0
    return _divides(constraint - of(part) * sign - last, part, count)


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor on its way into shared memory: `lines` rows or columns by `depth` k. `packed`
    elements are one of `memory`. `grain` neighbours are moved together, by a copy or a thread."""

    name: str
    expr: Expr
    group: Group
    lines: int
    depth: int
    start: Index  # the tile's first row or column
    memory: Memory
    along_depth: bool  # whether neighbours in memory are neighbours in k
    lines_inner: bool
    pitch: int  # of `memory`
    rotation: int  # of a row against the one before, in 16 bytes
    packed: int
    grain: int
    copies: bool
    threads: int

    @property
    def size(self) -> int:
        """Elements of shared memory of one depth tile."""
        return self.pitch * (self.depth if self.lines_inner else self.lines)

    @property
    def count(self) -> int:
        """How many times each thread moves `grain` elements."""
        return ceil_div(self.lines * self.depth // self.grain, self.threads)

    def place(self, thread: Index, number: int) -> tuple[Index, Index, Mask]:
        """The (line, k) that a thread moves first; neighbouring threads take neighbours in memory.
        The mask: where there are more threads than work."""
        total, element = self.lines * self.depth // self.grain, thread + number * self.threads
        mask = inside(element, total)
        if self.along_depth and self.lines_inner:
            run = min(RUN, self.depth)
            line, k = element // run % self.lines, element // (run * self.lines) * run
            return line, element % run + k, mask
        if self.along_depth:
            each = self.depth // self.grain
            return element // each, element % each * self.grain, mask
        each = self.lines // self.grain
        return element % each * self.grain, element // each, mask

    def position(self, slot: Index, line: Index, k: Index) -> Index:
        """Where an element is in shared memory, of which each depth tile has a slot."""
        row, inner = (k, line) if self.lines_inner else (line, k)
        inner = inner // self.packed
        if self.rotation:
            unit = BYTES // self.memory.dtype.itemsize
            units = self.pitch // unit
            # Short rows share the 128 bytes of all banks.
            by = row // max(1, ROWS // units) * self.rotation
            inner = (inner // unit + by) % units * unit + inner % unit
        return slot * self.size + row * self.pitch + inner


def padded(inner: int, itemsize: int) -> int:
    """Elements from one row of shared memory to the next, where rows are not rotated."""
    return inner + PAD // itemsize
