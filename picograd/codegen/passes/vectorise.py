"""Carry out VECTOR loops: lanes, and a masked vector for what is left.

In: a function in which `choose_axes` marked loops. Out: loops over vectors, marked UNROLL for
`passes.unroll`, which runs several of them side by side. Called by `codegen.pipeline`.

* An independent loop becomes a loop over full vectors and, for the rest, one masked vector.
* A reduction carries a vector of partial results, which is folded behind the loop in a fixed
  tree: the order depends on extents alone. When an inner loop of a nest of reductions is
  vectorised, the whole nest carries vectors.

>>> from picograd.codegen import show
>>> from picograd.codegen.loops import Home, Load, Memory, Store
>>> from picograd.codegen.target import AVX2
>>> from picograd.dtypes import float32
>>> x, y = (Memory(name, float32, 20, Home.ARGUMENT) for name in "xy")
>>> i = Var("i", 0, 19)
>>> body = (Store(y, of(i), Load(x, of(i))),)
>>> loop = For(i, constant(0), constant(20), body, kind=Kind.VECTOR, independent=True)
>>> print("\\n".join(show.lines(_loop(loop, AVX2), 0)))
for iv in 0 .. 2 unroll independent
  y[iv*8 + lane] = x[iv*8 + lane]<8>
for it in 0 .. 1 independent
  y[lane + 16] = x[lane + 16]<8> where lane*-1 + 3 >= 0 where lane*-1 + 3 >= 0
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.dependence import (
    Body,
    compute_dtypes,
    dependent_names,
    trips,
)
from picograd.codegen.expressions import COMBINE, combine, identity
from picograd.codegen.loops import (
    Alu,
    Carried,
    Fold,
    For,
    Function,
    If,
    Kind,
    Let,
    Predicate,
    Ref,
    Statement,
    Value,
)
from picograd.codegen.replicate import Copy, Replicate
from picograd.codegen.target import Target
from picograd.errors import InternalError
from picograd.graph.index import Var, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op

FULL, TAIL = "v", "t"  # end the names of the variables of full vectors and of the masked rest


def vectorise(function: Function, target: Target) -> Function:
    """All VECTOR loops as loops over vectors."""
    phases = tuple(replace(phase, body=_body(phase.body, target)) for phase in function.phases)
    return replace(function, phases=phases)


def lanes_of(loop: For, target: Target, count: int) -> int:
    """Elements in a vector: as many as the widest computed type lets into a register, fewer for
    a loop that is shorter."""
    widths = [max(d.itemsize, 4) if d.is_float else d.itemsize for d in compute_dtypes(loop)]
    lanes = max(1, target.vector_bytes // max(widths, default=4))
    while lanes > 1 and lanes // 2 >= count:
        lanes //= 2
    return lanes


def _body(body: Body, target: Target) -> Body:
    made: list[Statement] = []
    for statement in body:
        match statement:
            case For():
                made.extend(_loop(statement, target))
            case If():
                made.append(replace(statement, body=_body(statement.body, target)))
            case _:
                made.append(statement)
    return tuple(made)


def _loop(loop: For, target: Target) -> Body:
    path = _path(loop)
    if not path:
        return (replace(loop, body=_body(loop.body, target)),)
    vector = path[-1]
    lanes = lanes_of(vector, target, trips(vector))
    if lanes == 1:
        return (_plain(loop, vector),)
    names = dependent_names(vector.body, vector.var, (c.name for c in vector.carried))
    for outer in reversed(path[:-1]):
        names |= {c.name for c in outer.carried if _refers(c.next, names)}
    made = _Vectoriser(path, names, lanes, target)
    return made.independent() if vector.independent else made.reduction()


def _path(loop: For) -> list[For]:
    """The loops from this one to the VECTOR loop that goes on with its accumulators; empty when
    there is none."""
    if loop.kind is Kind.VECTOR:
        return [loop]
    if loop.reduces is None:
        return []
    names = {carried.name for carried in loop.carried}
    for inner in loop.body:
        if isinstance(inner, For) and any(_refers(c.init, names) for c in inner.carried):
            path = _path(inner) if inner.reduces is not None else []
            return [loop, *path] if path else []
    return []


def _refers(value: Value, names: set[str]) -> bool:
    return isinstance(value, Ref) and value.name in names


def _plain(loop: For, vector: For) -> For:
    """A loop without its mark."""
    if loop is vector:
        return replace(loop, kind=Kind.SERIAL)
    body = tuple(_plain(inner, vector) if isinstance(inner, For) else inner for inner in loop.body)
    return replace(loop, body=body)


class _Vectoriser:
    """One VECTOR loop, at the end of a path of loops; `names` depend on its variable."""

    def __init__(self, path: list[For], names: set[str], lanes: int, target: Target) -> None:
        self.path, self.vector, self.target = path, path[-1], target
        self.names, self.lanes = names, lanes
        self.lane = of(Var("lane", 0, lanes - 1, lanes))
        self.units, self.rest = divmod(trips(self.vector), lanes)
        var = self.vector.var
        self.unit = Var(f"{var.name}{FULL}", 0, max(self.units - 1, 0))
        place = self.vector.begin + of(self.unit) * lanes + self.lane
        self.main = Replicate(var, names, (Copy(place, "_v"),), lanes)

    def tail(self) -> tuple[Replicate, Var]:
        """The masked vector over what is left; its loop runs once."""
        var = self.vector.var
        unit = Var(f"{var.name}{TAIL}", 0, 0)
        mask = Mask().require(self.rest - 1 - self.lane)
        copy = Copy(self.vector.begin + self.units * self.lanes + self.lane, "_t", mask)
        return Replicate(var, self.names, (copy,), self.lanes), unit

    # --- independent loops ------------------------------------------------------------------------

    def independent(self) -> Body:
        made: list[Statement] = []
        if self.units:
            made.append(self.full(self.main.body(self.vector.body)))
        if self.rest:
            tail, var = self.tail()
            made.append(self.loop(var, tail.body(self.vector.body)))
        return tuple(made)

    def full(self, body: Body, carried: tuple[Carried, ...] = ()) -> For:
        """The loop over full vectors, of which `passes.unroll` may run several side by side."""
        return replace(self.loop(self.unit, body, carried), kind=Kind.UNROLL)

    def loop(self, var: Var, body: Body, carried: tuple[Carried, ...] = ()) -> For:
        return For(
            var,
            constant(0),
            constant(var.high + 1),
            body,
            carried=carried,
            independent=self.vector.independent,
            reduces=self.vector.reduces,
        )

    # --- reductions -------------------------------------------------------------------------------

    def reduction(self) -> Body:
        """The path carries vectors, which are folded behind it."""
        root, made = self.path[0], []
        folded = [c for c in root.carried if c.name in self.names]
        combiners = {c.name: combiner_of(c, root) for c in folded}
        starts = {c.name: replace(c, init=identity(combiners[c.name], c.dtype)) for c in folded}
        carried = tuple(starts.get(c.name, c) for c in root.carried)
        made.extend(self.nest(0, carried))
        for value in folded:
            made.append(self.fold(value, combiners[value.name]))
        return tuple(made)

    def nest(self, depth: int, carried: tuple[Carried, ...]) -> Body:
        """A loop of the path; the VECTOR loop is split into vectors and tail. What stands beside
        the path does not depend on the vector's variable."""
        loop = replace(self.path[depth], carried=carried)
        if depth + 1 == len(self.path):
            return self.split(loop)
        body: list[Statement] = []
        inner = self.path[depth + 1]
        for statement in loop.body:
            if statement is inner:
                body.extend(self.nest(depth + 1, inner.carried))
            else:
                body.extend(_body((statement,), self.target))
        wide = tuple(copy for c in carried for copy in self.main.carry(c))
        return (replace(loop, body=tuple(body), carried=wide),)

    def split(self, loop: For) -> Body:
        """The VECTOR loop itself. The tail goes on with the accumulators of the full vectors:
        where a lane is past the end it keeps what it has."""
        made: list[Statement] = []
        if self.units:
            carried = tuple(copy for c in loop.carried for copy in self.main.carry(c))
            made.append(self.full(self.main.body(loop.body), carried))
        if not self.rest:
            return tuple(made)
        tail, var = self.tail()
        (copy,) = tail.copies
        (full,) = self.main.copies
        carried = []
        for c in loop.carried:
            (ended,) = tail.carry(c)
            before = Ref(ended.name, c.dtype, self.lanes)
            if self.units:
                start: Value = Ref(c.name + full.suffix, c.dtype, self.lanes)
            else:
                start = self.main.wide(c.init, full)
            inside = Predicate(copy.mask, self.lanes)
            following = Alu(Op.WHERE, (inside, ended.next, before), c.dtype, self.lanes)
            carried.append(replace(ended, init=start, next=following))
        made.append(self.loop(var, tail.body(loop.body), tuple(carried)))
        for c in loop.carried:  # what follows goes on with the tail's result
            self.main.rename(c.name + full.suffix, c.name + copy.suffix)
        return tuple(made)

    def fold(self, carried: Carried, combiner: Combiner) -> Let:
        """All lanes in one number, under the name that the loop's users know."""
        (full,) = self.main.copies
        name = self.main.current(carried.name + full.suffix)
        total: Value = Fold(combiner, Ref(name, carried.dtype, self.lanes))
        if carried.init != identity(combiner, carried.dtype):
            total = combine(combiner, carried.init, total)
        return Let(carried.name, total)


def combiner_of(carried: Carried, loop: For) -> Combiner:
    """How an accumulator of a nest of reductions combines."""
    following, body = carried.next, loop.body
    while isinstance(following, Ref):
        following, body = _find(body, following.name)
    if isinstance(following, Alu):
        for combiner, op in COMBINE.items():
            if following.op is op:
                return combiner
    raise InternalError(f"{carried.name} is not the accumulator of a reduction")


def _find(body: Body, name: str) -> tuple[Value, Body]:
    """What a name is: the next value of the loop that carries it, or that of its last Let (a loop
    that was unrolled whole)."""
    for statement in reversed(body):
        if isinstance(statement, Let) and statement.name == name:
            return statement.value, body
        if isinstance(statement, For):
            for carried in statement.carried:
                if carried.name == name:
                    return carried.next, statement.body
    raise InternalError(f"no loop carries {name}")
