"""Make outer independent loops the parallel variable of their phase.

In: phases without a variable. Out: phases whose iterations are worthwhile pieces of work
(`Phase.work` estimates their nanoseconds). Called by `codegen.pipeline` after `unroll`.

A phase runs in parallel when its statements don't meet: one dominant independent loop, and others
(vector tails, a last block) that touch nothing that it writes. Perfectly nested loops are counted
by one variable, from which they are found by division; the innermost of them is cut into blocks,
whose size depends on the work in an iteration alone. What stands beside it runs with
the last block.
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.cycles import statement_cycles
from picograd.codegen.dependence import (
    Body,
    all_values,
    memories_read,
    memories_written,
    trip,
)
from picograd.codegen.loops import (
    For,
    Function,
    Home,
    If,
    IndexValue,
    Let,
    Phase,
    Ref,
    Statement,
)
from picograd.codegen.passes.split_reduction import BLOCK_NAMES
from picograd.codegen.passes.unroll import COPIES
from picograd.codegen.passes.vectorise import FULL, TAIL
from picograd.codegen.target import Target
from picograd.dtypes import int64
from picograd.graph.index import Index, Var, constant, of
from picograd.graph.mask import Mask

GIGAHERTZ = 3.5  # cycles in a nanosecond, roughly
PIECE = 4000.0  # nanoseconds of work that a parallel iteration should have at least
MOST = 4096  # pieces of a phase


def parallelise(function: Function, target: Target) -> Function:
    """Every phase that can, with a parallel variable."""
    return replace(function, phases=tuple(_phase(phase) for phase in function.phases))


def nanoseconds(statement: Statement) -> float:
    """Estimated time of one statement."""
    return statement_cycles(statement) / GIGAHERTZ


def _phase(phase: Phase) -> Phase:
    prefix, body = _prefix(phase.body)
    costs = [nanoseconds(statement) for statement in body]
    if phase.var is not None or not body:
        return phase
    serial = replace(phase, work=sum(costs))
    main = max(range(len(costs)), key=costs.__getitem__)
    nest = _nest(body[main])
    if not nest or sum(costs) < 2 * PIECE or not _apart(body):
        return serial
    others = (*body[:main], *body[main + 1 :])
    if sum(costs) - costs[main] > 0.25 * sum(costs):
        return serial
    made = _Pieces(nest, others, costs[main]).phase()
    return replace(made, body=prefix + made.body)


def _prefix(body: Body) -> tuple[Body, Body]:
    """Leading lets that every piece can repeat: they read nothing that the phase writes."""
    written, count = memories_written(body), 0
    while (
        count < len(body)
        and isinstance(body[count], Let)
        and not memories_read((body[count],)) & written
    ):
        count += 1
    return body[:count], body[count:]


def _nest(statement: Statement) -> list[For]:
    """The independent loops of constant extents that stand directly in one another. Only the
    last may have others beside it in its body; they count as part of its body."""
    loops: list[For] = []
    while isinstance(statement, For) and statement.independent and trip(statement):
        if statement.carried or statement.step != 1 or not statement.begin.is_constant:
            break
        loops.append(statement)
        if len(statement.body) != 1:
            break
        statement = statement.body[0]
    return loops


def _apart(body: Body) -> bool:
    """Whether the statements of a phase may run at the same time: none reads or writes what
    another writes, and no name goes from one to another. Vector tails of one loop write the
    memories of their main loop, elsewhere: independent loops never meet (see `_same_stage`)."""
    if len(body) == 1:
        return True
    if any(not isinstance(statement, For) or not statement.independent for statement in body):
        return _block_and_rest(body)
    return _same_loop(body) or _disjoint(body)


def _same_loop(body: Body) -> bool:
    """Main loop and tails of one independent loop: their variables share a stem, and what they
    access of what they write is the same."""
    stems = {s.var.name[:-1] for s in body if isinstance(s, For)}
    kinds = [s.var.name[-1] for s in body if isinstance(s, For)]
    written = {frozenset(memories_written((statement,))) for statement in body}
    apart = len(kinds) == len(set(kinds)) and {*kinds} <= {COPIES, FULL, TAIL}
    return len(stems) == 1 and apart and len(written) == 1


def _block_and_rest(body: Body) -> bool:
    """The blocks of a closing reduction and its last, shorter block."""
    first = body[0]
    if not isinstance(first, For) or first.var.name not in BLOCK_NAMES or not first.independent:
        return False
    return all(memory.home is not Home.SCRATCH for memory in memories_written(body)) and not any(
        isinstance(statement, Let) for statement in body[1:] if not _is_private(statement, body)
    )


def _is_private(statement: Statement, body: Body) -> bool:
    """A name that the first loop does not use."""
    if not isinstance(statement, Let):
        return True
    used = {v.name for v in all_values((body[0],)) if isinstance(v, Ref)}
    return statement.name not in used


def _disjoint(body: Body) -> bool:
    for number, statement in enumerate(body):
        written = memories_written((statement,))
        others = (*body[:number], *body[number + 1 :])
        if written & (memories_read(others) | memories_written(others)):
            return False
    return True


class _Pieces:
    """One nest as pieces; `others` run with the last."""

    def __init__(self, nest: list[For], others: Body, cost: float) -> None:
        self.others = others
        self.nest, self.piece = self._depth(nest, cost)
        *self.outer, self.last = self.nest
        count = trip(self.last) or 1
        self.size = max(1, min(count, self.piece))
        self.blocks = -(-count // self.size)
        self.count, self.cost = count, cost

    @staticmethod
    def _depth(nest: list[For], cost: float) -> tuple[list[For], int]:
        """As few loops as give small enough pieces, and how many iterations of the last make
        one."""
        pieces = max(1.0, min(MOST, cost / PIECE))
        chosen: list[For] = []
        total = 1
        for loop in nest:
            chosen.append(loop)
            total *= trip(loop) or 1
            if total >= min(pieces, 64):
                break
        return chosen, max(1, round(total / pieces))

    def phase(self) -> Phase:
        """The phase over all pieces."""
        total = self.blocks
        for loop in self.outer:
            total *= trip(loop) or 1
        if total == 1:
            body = (self.nest[0], *self.others)
            return Phase(None, constant(1), body, self.cost)
        var = Var("piece", 0, total - 1)
        position, lets = of(var), []
        block = position % self.blocks
        position = position // self.blocks
        for loop in reversed(self.outer):
            count = trip(loop) or 1
            lets.append(self._let(loop.var, position % count + loop.begin))
            position = position // count
        body = (*reversed(lets), *self._block(block))
        if self.others:
            body += (If(Mask().require(of(var) - (total - 1)), self.others),)
        return Phase(var, constant(total), body, self.cost / total)

    def _let(self, var: Var, value: Index) -> Let:
        return Let(f"{var.name}.index", IndexValue(value, int64), var)

    def _block(self, block: Index) -> Body:
        """The iterations of one block of the last loop; the last block may be shorter."""
        loop, size = self.last, self.size
        if size == 1:
            return (self._let(loop.var, block + loop.begin), *loop.body)
        name = Var("part", 0, self.blocks - 1)
        lets: tuple[Statement, ...] = ()
        if self.blocks == 1:
            return (loop,)
        if self.outer:
            lets, block = (self._let(name, block),), of(name)
        short = self.blocks * size - self.count
        begin = block * size + loop.begin
        end = begin + size
        if short:
            end = end - (block // (self.blocks - 1)) * short
        return (*lets, replace(loop, begin=begin, end=end))
