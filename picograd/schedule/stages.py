"""One stage, in index notation, for every stored node.

In: the nodes of a program, which of them are stored, which are written in place. Out: `Draft`s in
an order that respects their reads: stages that have not been put into kernels yet, so that all
their parallel axes stand in `inner`. Called by `schedule.plan`.

Memory has *versions*: an update in place makes a new version of its base's memory, under a new
name. Expressions name versions; `Buffers.root` tells which memory a version lives in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from operator import add

from picograd.dtypes import DType, bfloat16, bool_, float16, float32
from picograd.graph.index import ZERO, Index, Var, linearize, of
from picograd.graph.mask import Mask
from picograd.graph.movement import window_index
from picograd.graph.node import Node
from picograd.graph.ops import (
    Combiner,
    ConcatAttr,
    ConstAttr,
    GatherAttr,
    LeafAttr,
    Op,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    Shape,
    SliceAttr,
)
from picograd.schedule.axes import merge_axes
from picograd.schedule.decide import is_contraction
from picograd.schedule.express import Expressions, literal
from picograd.schedule.kernel import Compute, Expr, FromIndex, Literal, Stage, StageKind

INDEXED = frozenset({Op.GATHER, Op.SCATTER, Op.SCATTER_REDUCE})


@dataclass(frozen=True, slots=True)
class Draft:
    """A stage before it has a kernel.

    over         the version of memory that it changes in part; None when it writes all of a new one
    contraction  it looks like a matmul: it starts a kernel of that pattern
    """

    stage: Stage
    subject: Node
    over: str | None = None
    contraction: bool = False

    @property
    def target(self) -> str:
        return self.stage.target


@dataclass(slots=True)
class Buffers:
    """Every version of every memory: element type, size, and the version that it overwrites."""

    dtype: dict[str, DType] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    over: dict[str, str] = field(default_factory=dict)
    _root: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, dtype: DType, size: int, over: str | None = None) -> None:
        self.dtype[name], self.size[name] = dtype, size
        if over is not None:
            self.over[name] = over
            self._root[name] = self.root(over)

    def put_into(self, name: str, memory: str) -> None:
        """Let a whole version, and what was written over it, live in another memory."""
        self._root[name] = memory
        for other, root in self._root.items():
            if root == name:
                self._root[other] = memory

    def root(self, name: str) -> str:
        """The first version in the same memory."""
        return self._root.get(name, name)

    def nbytes(self, name: str) -> int:
        return self.size[name] * self.dtype[name].itemsize


def leaf_name(slot: int) -> str:
    return f"in{slot}"


def memory_of(node: Node) -> Node:
    """The node in whose memory a reshape of it lies."""
    while node.op is Op.RESHAPE:
        node = node.srcs[0]
    return node


class Drafter:
    """Makes the drafts of one program."""

    def __init__(
        self, order: Sequence[Node], stored: Collection[int], in_place: Collection[int]
    ) -> None:
        self.buffers = Buffers()
        self.names: dict[int, str] = {}
        self.drafts: list[Draft] = []
        self.checks: list[Draft] = []
        self.numbers: count[int] = count()
        self._in_place = in_place
        self._checked: set[tuple[int, int]] = set()
        for node in order:
            if node.op is Op.BUFFER:
                assert isinstance(node.attr, LeafAttr)
                name = leaf_name(node.attr.slot)
                self.names[id(node)] = name
                self.buffers.add(name, node.dtype, node.size)
            elif id(node) in stored:
                self.names[id(node)] = f"v{next(self.numbers)}"
        for node in order:
            if node.op in INDEXED:
                self._check(node)
            if id(node) in stored and node.op is not Op.BUFFER:
                self._node(node)

    def copy(self, node: Node) -> str:
        """One more stage: a copy of a stored node into fresh memory. Returns its name."""
        name = f"v{next(self.numbers)}"
        self.buffers.add(name, node.dtype, node.size)
        if node.size:
            axes = self._axes(node.shape)
            self._add(self._map(name, Expressions(self.names, self.numbers), node, axes), node)
        return name

    # --- one node ----------------------------------------------------------------------------

    def _node(self, node: Node) -> None:
        name = self.names[id(node)]
        base = node.srcs[0] if node.srcs else None
        if node.op in (Op.SCATTER, Op.SCATTER_REDUCE) or id(node) in self._in_place:
            assert base is not None
            over = self.names.get(id(memory_of(base))) if id(node) in self._in_place else None
            if over is None:
                over = self._base_copy(node, base)
            if node.size and not node.srcs[1].size:
                self.names[id(node)] = over  # nothing is written: the base is the result
                return
            self.buffers.add(name, node.dtype, node.size, over)
            if node.size:
                self._write_part(node, name, over)
            return
        if isinstance(node.attr, ConcatAttr) and node.size:
            self._join(node, name)
            return
        self.buffers.add(name, node.dtype, node.size)
        if node.size == 0:
            return
        if node.op in (Op.REDUCE, Op.SCAN) and node.srcs[0].size:
            self._combine(node, name)
            return
        expressions, axes = Expressions(self.names, self.numbers), self._axes(node.shape)
        if node.op is Op.REDUCE:  # over nothing
            assert isinstance(node.attr, ReduceAttr)
            value = identity(node.attr.combiner, node.dtype)
        else:
            value = expressions.define(node, indices_of(axes))
        self._add(self._stage(name, expressions, value, axes, node.shape), node)

    def _join(self, node: Node, name: str) -> None:
        """A stage for each part, which writes its window; together they write all."""
        over = None
        parts = [(part, place) for part, place in self._parts(node) if part.size]
        for number, (part, place) in enumerate(parts):
            version = name if number == len(parts) - 1 else f"v{next(self.numbers)}"
            self.buffers.add(version, node.dtype, node.size, over)
            axes = self._axes(part.shape)
            where = tuple(map(add, indices_of(axes), place))
            expressions = Expressions(self.names, self.numbers)
            element = expressions.express(part, indices_of(axes))
            stage = self._stage(version, expressions, element, axes, node.shape, where)
            self._add(stage, node, over)
            over = version

    def _parts(self, node: Node) -> Iterator[tuple[Node, list[Index]]]:
        """The parts of a CONCAT and their places. One that is itself joined, but not along the
        last axis, is taken apart: its parts' windows are still long."""
        waiting = [(node, [ZERO] * len(node.shape))]
        while waiting:
            part, place = waiting.pop()
            attr = part.attr
            apart = part is node or id(part) not in self.names
            last = part is not node and isinstance(attr, ConcatAttr) and attr.axis == len(place) - 1
            if not isinstance(attr, ConcatAttr) or not apart or last:
                yield part, place
                continue
            for inner, start in zip(part.srcs, attr.starts, strict=True):
                inside = list(place)
                inside[attr.axis] = inside[attr.axis] + start
                waiting.append((inner, inside))

    def _base_copy(self, node: Node, base: Node) -> str:
        """Fresh memory with the base's contents, for a scatter."""
        name = f"v{next(self.numbers)}"
        self.buffers.add(name, base.dtype, base.size)
        if base.size:
            expressions, axes = Expressions(self.names, self.numbers), self._axes(base.shape)
            self._add(self._map(name, expressions, base, axes), node)
        return name

    def _combine(self, node: Node, name: str) -> None:
        """REDUCE and SCAN."""
        source, attr = node.srcs[0], node.attr
        assert isinstance(attr, ReduceAttr | ScanAttr)
        reduced = attr.axes if isinstance(attr, ReduceAttr) else (attr.axis,)
        axes = self._axes(source.shape)
        kept = [axis for number, axis in enumerate(axes) if number not in reduced]
        along = tuple(axis for n in reduced if (axis := axes[n]) is not None)
        expressions = Expressions(self.names, self.numbers)
        value = expressions.express(source, indices_of(axes))
        stored = kept if isinstance(attr, ReduceAttr) else axes
        store = linearize(indices_of(stored), node.shape)
        halves = node.dtype in (float16, bfloat16)
        adds = attr.combiner in (Combiner.SUM, Combiner.PROD)
        kind = StageKind.REDUCE if isinstance(attr, ReduceAttr) else StageKind.SCAN
        stage = Stage(
            kind if along else StageKind.MAP,
            name,
            store,
            value,
            inner=tuple(axis for axis in kept if axis is not None),
            reduce=along,
            combiner=attr.combiner if along else None,
            accumulator=(float32 if halves and adds else node.dtype) if along else None,
            binds=tuple(expressions.binds),
            coarse=isinstance(attr, ReduceAttr) and attr.coarse,
        )
        self._add(stage, node, contraction=is_contraction(node))

    def _write_part(self, node: Node, name: str, over: str) -> None:
        """UPDATE in place, SCATTER and SCATTER_REDUCE: stores into memory that has contents."""
        base, value = node.srcs[:2]
        axes = self._axes(value.shape)
        indices, attr = indices_of(axes), node.attr
        expressions = Expressions(self.names, self.numbers)
        if isinstance(attr, SliceAttr):
            where = window_index(node, indices)
            element = expressions.express(value, indices)
            stage = self._stage(name, expressions, element, axes, node.shape, where)
            self._add(stage, node, over)
            return
        assert isinstance(attr, GatherAttr | ScatterReduceAttr)
        rank = len(node.srcs[2].shape)
        where = expressions.indexed(base.shape, attr.axes, node.srcs[2:], indices, rank, Mask())
        stage = Stage(
            StageKind.SCATTER,
            name,
            linearize(where, base.shape),
            expressions.express(value, indices),
            inner=tuple(axis for axis in axes[rank:] if axis is not None),
            reduce=tuple(axis for axis in axes[:rank] if axis is not None),
            combiner=attr.combiner if isinstance(attr, ScatterReduceAttr) else None,
            binds=tuple(expressions.binds),
        )
        self._add(stage, node, over)

    def _check(self, node: Node) -> None:
        """Stages that fail the program when an index is out of range."""
        attr = node.attr
        assert isinstance(attr, GatherAttr | ScatterReduceAttr)
        if attr.checked:
            return
        tables = node.srcs[1:] if node.op is Op.GATHER else node.srcs[2:]
        for table, axis in zip(tables, attr.axes, strict=True):
            extent = node.srcs[0].shape[axis]
            if table.size == 0 or (id(table), extent) in self._checked:
                continue
            self._checked.add((id(table), extent))
            axes = self._axes(table.shape)
            expressions = Expressions(self.names, self.numbers)
            index = expressions.express(table, indices_of(axes))
            value = outside(index, extent)
            if not _proved(index, extent) and not isinstance(value, Literal):
                stage = self._stage("", expressions, value, axes, table.shape)
                self._add(replace(stage, kind=StageKind.CHECK, store=ZERO), node)

    # --- parts -------------------------------------------------------------------------------

    def _axes(self, shape: Shape) -> list[Var | None]:
        """A loop variable per axis; axes of extent 1 need none."""
        return [
            Var(f"x{next(self.numbers)}", 0, extent - 1) if extent > 1 else None for extent in shape
        ]

    def _map(
        self, name: str, expressions: Expressions, node: Node, axes: list[Var | None]
    ) -> Stage:
        value = expressions.express(node, indices_of(axes))
        return self._stage(name, expressions, value, axes, node.shape)

    def _stage(
        self,
        name: str,
        expressions: Expressions,
        value: Expr,
        axes: list[Var | None],
        shape: Shape,
        where: tuple[Index, ...] | None = None,
    ) -> Stage:
        return Stage(
            StageKind.MAP,
            name,
            linearize(indices_of(axes) if where is None else where, shape),
            value,
            inner=tuple(axis for axis in axes if axis is not None),
            binds=tuple(expressions.binds),
        )

    def _add(
        self, stage: Stage, node: Node, over: str | None = None, contraction: bool = False
    ) -> None:
        draft = Draft(merge_axes(stage, self.numbers), node, over, contraction)
        (self.checks if stage.kind is StageKind.CHECK else self.drafts).append(draft)


def indices_of(axes: Sequence[Var | None]) -> tuple[Index, ...]:
    return tuple(ZERO if axis is None else of(axis) for axis in axes)


def identity(combiner: Combiner, dtype: DType) -> Expr:
    """The result of a reduction over nothing."""
    values: Mapping[Combiner, int | float | bool] = {
        Combiner.SUM: 0,
        Combiner.PROD: 1,
        Combiner.MAX: 0 if dtype.is_complex else dtype.lowest,
        Combiner.MIN: 0 if dtype.is_complex else dtype.highest,
    }
    return literal(ConstAttr(values[combiner], dtype))


def outside(index: Expr, extent: int) -> Expr:
    """Whether an integer is not in `range(extent)`."""
    dtype = index.dtype
    parts: list[Expr] = []
    if dtype.is_signed:
        parts.append(Compute(Op.LT, (index, Literal.of(0, dtype)), bool_))
    if extent <= int(dtype.highest):
        parts.append(Compute(Op.LE, (Literal.of(extent, dtype), index), bool_))
    if not parts:
        return Literal.of(False, bool_)
    return parts[0] if len(parts) == 1 else Compute(Op.OR, (parts[0], parts[1]), bool_)


def _proved(index: Expr, extent: int) -> bool:
    if isinstance(index, Literal):
        return 0 <= int(index.value) < extent
    if isinstance(index, FromIndex):
        low, high = index.index.bounds()
        return low >= 0 and high < extent
    return False
