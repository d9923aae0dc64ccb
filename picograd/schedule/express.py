"""From graph nodes to scalar expressions: what one element of a node is, in index notation.

In: a node and the index of an element. Out: an `Expr` that reads stored values only. Movement ops
become index arithmetic, padding and updates become masks, gathers become bound variables, so that
a whole region of the graph turns into one expression. Called by `schedule.stages`.

>>> from picograd.dtypes import float32
>>> from picograd.graph.index import variable
>>> from picograd.graph.node import make
>>> from picograd.graph.ops import AxesAttr, LeafAttr, Op
>>> x = make(Op.BUFFER, (), LeafAttr(0, (4, 8), float32), "cpu")
>>> turned = make(Op.PERMUTE, (x,), AxesAttr((1, 0)))
>>> i, j = variable("i", 8), variable("j", 4)
>>> Expressions({id(x): "x"}).express(turned, (i, j)).index
i + j*8
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from picograd.dtypes import DType, real_of
from picograd.graph.index import ZERO, Index, Param, Var, linearize, of
from picograd.graph.mask import Mask
from picograd.graph.movement import reshape_index, source_index, update_index
from picograd.graph.node import Node
from picograd.graph.ops import (
    ConcatAttr,
    ConstAttr,
    GatherAttr,
    LeafAttr,
    Op,
    PadAttr,
    RandomAttr,
    Shape,
)
from picograd.graph.tables import table_index
from picograd.schedule.kernel import (
    EVERYWHERE,
    Access,
    Bind,
    Compute,
    Expr,
    FromIndex,
    Guard,
    Literal,
    Philox,
    Scalar,
)

Indices = tuple[Index, ...]
MOVES = frozenset({Op.RESHAPE, Op.PERMUTE, Op.EXPAND, Op.SLICE, Op.FLIP})


class Expressions:
    """Expressions of one stage. `binds` collects its data-dependent indices, in dependency order.

    `stored` maps the ids of nodes that have memory to the names of their buffers; `numbers` makes
    names of bound variables that are unique in a program.
    """

    def __init__(self, stored: Mapping[int, str], numbers: count[int] | None = None) -> None:
        self.binds: list[Bind] = []
        self._stored = stored
        self._numbers = count() if numbers is None else numbers
        self._memo: dict[tuple[int, Indices, Mask], Expr] = {}
        self._bound: dict[tuple[int, Indices, int], Index] = {}

    def express(self, node: Node, indices: Indices, mask: Mask = EVERYWHERE) -> Expr:
        """Element `indices` of a node; loads happen only where the mask holds."""
        node, indices, position = self._follow(node, indices)
        buffer = self._stored.get(id(node))
        if buffer is not None:
            if position is None:
                position = linearize(indices, node.shape)
            return Access(buffer, position, node.dtype, mask)
        key = (id(node), indices, mask)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self.define(node, indices, mask)
        return found

    def define(self, node: Node, indices: Indices, mask: Mask = EVERYWHERE) -> Expr:
        """Element `indices` of a node by its definition, even if the node is stored."""
        op, attr = node.op, node.attr
        if op in MOVES:
            return self.express(node.srcs[0], source_index(node, indices)[0], mask)
        if op is Op.CONST:
            assert isinstance(attr, ConstAttr)
            return literal(attr)
        if op is Op.PARAMETER:
            assert isinstance(attr, LeafAttr)
            return Scalar(attr.slot, node.dtype)
        if op is Op.IOTA:
            return FromIndex(indices[0], node.dtype)
        if op is Op.RANDOM:
            assert isinstance(attr, RandomAttr)
            position = linearize(indices, node.shape)
            return Philox(
                attr.word, position, value_slot(attr.seed), value_slot(attr.call), node.dtype
            )
        if op is Op.PAD:
            return self._pad(node, indices, mask)
        if op is Op.UPDATE:
            return self._update(node, indices, mask)
        if op is Op.CONCAT:
            return self._concat(node, indices, mask)
        if op is Op.GATHER:
            return self._gather(node, indices, mask)
        args = tuple(self.express(src, indices, mask) for src in node.srcs)
        return Compute(op, args, node.dtype)

    def _follow(self, node: Node, indices: Indices) -> tuple[Node, Indices, Index | None]:
        """Go down through index maps to something stored or computed.

        A chain of reshapes is one reshape; above stored memory it is only a flat position.
        """
        shape: Shape | None = None  # of the node that `indices` are for, above some reshapes
        while node.op in MOVES and id(node) not in self._stored:
            if node.op is Op.RESHAPE:
                shape = node.shape if shape is None else shape
                node = node.srcs[0]
                continue
            if shape is not None:
                indices, shape = reshape_index(indices, shape, node.shape), None
            node, indices = node.srcs[0], source_index(node, indices)[0]
        if shape is None:
            return node, indices, None
        if id(node) in self._stored:
            return node, indices, linearize(indices, shape)
        return node, reshape_index(indices, shape, node.shape), None

    def _pad(self, node: Node, indices: Indices, mask: Mask) -> Expr:
        attr = node.attr
        assert isinstance(attr, PadAttr)
        inner, inside = source_index(node, indices)
        return self._guard(node.dtype, inside, mask, node.srcs[0], inner, literal(attr.value))

    def _update(self, node: Node, indices: Indices, mask: Mask) -> Expr:
        base, value = node.srcs
        other = self.express(base, indices, mask)
        inner, inside = update_index(node, indices)
        return self._guard(node.dtype, inside, mask, value, inner, other)

    def _concat(self, node: Node, indices: Indices, mask: Mask) -> Expr:
        """The part that the position lies in; in the first one where it lies in no other."""
        attr, result = node.attr, None
        assert isinstance(attr, ConcatAttr)
        for part, start in zip(node.srcs, attr.starts, strict=True):
            if not part.size:
                continue
            inner = list(indices)
            inner[attr.axis] = indices[attr.axis] - start
            inside = Mask.inside(inner[attr.axis], 0, part.shape[attr.axis])
            if result is None:
                result = self.express(part, tuple(inner), mask & inside)
            else:
                result = self._guard(node.dtype, inside, mask, part, inner, result)
        return zero(node.dtype) if result is None else result

    def _guard(
        self,
        dtype: DType,
        inside: Mask,
        outer: Mask,
        source: Node,
        indices: Sequence[Index],
        other: Expr,
    ) -> Expr:
        """The source where `inside` holds, else `other`."""
        if inside.never or source.size == 0:
            return other
        value = self.express(source, tuple(indices), outer & inside)
        return value if inside.always else Guard(inside, value, other, dtype)

    def _gather(self, node: Node, indices: Indices, mask: Mask) -> Expr:
        attr, source, tables = node.attr, node.srcs[0], node.srcs[1:]
        assert isinstance(attr, GatherAttr)
        if source.size == 0:  # every index fails its check: there is nothing to read
            return zero(node.dtype)
        rank = len(tables[0].shape)
        return self.express(
            source, self.indexed(source.shape, attr.axes, tables, indices, rank, mask), mask
        )

    def indexed(
        self,
        shape: tuple[int, ...],
        axes: tuple[int, ...],
        tables: Sequence[Node],
        indices: Indices,
        rank: int,
        mask: Mask,
    ) -> Indices:
        """The index into `shape` that GATHER and SCATTER use at `indices` (table axes first)."""
        where, rest = indices[:rank], iter(indices[rank:])
        chosen = dict(zip(axes, tables, strict=True))
        return tuple(
            self._bind(chosen[axis], where, extent, mask) if axis in chosen else next(rest)
            for axis, extent in enumerate(shape)
        )

    def _bind(self, table: Node, where: Indices, extent: int, mask: Mask) -> Index:
        """An element of an index tensor as an index that is always inside `range(extent)`."""
        if extent == 1:
            return ZERO
        key = (id(table), where, extent)
        known = self._bound.get(key)
        if known is not None:
            return known
        direct = table_index(table, where, extent)
        if direct is not None:
            self._bound[key] = direct
            return direct
        value = self.express(table, where, mask)
        dtype = table.dtype
        last = Literal.of(min(extent - 1, int(dtype.highest)), dtype)
        value = Compute(Op.MINIMUM, (value, last), dtype)
        if dtype.is_signed:
            value = Compute(Op.MAXIMUM, (value, Literal.of(0, dtype)), dtype)
        var = Var(f"g{next(self._numbers)}", 0, extent - 1)
        self.binds.append(Bind(var, value))
        index = of(var)
        if mask.always:  # a masked load is safe only under its own mask
            self._bound[key] = index
        return index


def value_slot(value: int | Index) -> int:
    """The program value that holds a random seed or call counter."""
    assert isinstance(value, Index) and len(value.terms) == 1 and value.constant == 0
    atom = value.terms[0][0]
    assert isinstance(atom, Param)
    return atom.slot


def literal(attr: ConstAttr) -> Expr:
    """A constant; complex ones are built from their parts."""
    value = attr.value
    if not attr.dtype.is_complex:
        assert not isinstance(value, complex)
        return Literal.of(value, attr.dtype)
    number, part = complex(value), real_of(attr.dtype)
    parts = (Literal.of(number.real, part), Literal.of(number.imag, part))
    return Compute(Op.COMPLEX, parts, attr.dtype)


def zero(dtype: DType) -> Expr:
    return literal(ConstAttr(0, dtype))
