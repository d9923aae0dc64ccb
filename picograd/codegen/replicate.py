"""Copy a loop body for several values of its variable at once: in lanes, or side by side.

In: a body, the loop variable, and one `Copy` for each copy (the index that takes the variable's
place, with a lane variable where lanes are made, and a mask for tails). Out: the body with every
dependent statement once for each copy, statement by statement, so that inner loops are shared
(unroll and jam). Called by `passes.vectorise`, which makes lanes, and `passes.unroll`, which makes
copies.

>>> from picograd.codegen import show
>>> from picograd.codegen.loops import Home, Memory
>>> from picograd.dtypes import float32
>>> from picograd.graph.index import of
>>> i, u = Var("i", 0, 7), Var("u", 0, 3)
>>> x, y = (Memory(name, float32, 8, Home.ARGUMENT) for name in "xy")
>>> body = (Let("t", Load(x, of(i))), Store(y, of(i), Ref("t", float32)))
>>> copies = Copy(of(u) * 2, "_0"), Copy(of(u) * 2 + 1, "_1")
>>> print("\\n".join(show.lines(Replicate(i, {"t"}, copies).body(body), 0)))
t_0 = x[u*2]
t_1 = x[u*2 + 1]
y[u*2] = t_0
y[u*2 + 1] = t_1
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from picograd.codegen.bounds import proves_within
from picograd.codegen.dependence import Body, depends, touches
from picograd.codegen.loops import (
    Alu,
    Broadcast,
    Carried,
    Fail,
    Fold,
    For,
    If,
    IndexValue,
    Let,
    Literal,
    Load,
    MulAdd,
    Predicate,
    Random,
    Ref,
    Shuffle,
    Statement,
    Store,
    Value,
)
from picograd.dtypes import bool_
from picograd.errors import InternalError
from picograd.graph.index import Index, Param, Var, of
from picograd.graph.mask import EVERYWHERE, Mask
from picograd.graph.ops import Op


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy: `index` stands for the variable where `mask` holds; names end in `suffix`."""

    index: Index
    suffix: str
    mask: Mask = EVERYWHERE


def widen(value: Value, lanes: int) -> Value:
    """A value in that many lanes."""
    if value.lanes == lanes:
        return value
    return replace(value, lanes=lanes) if isinstance(value, Literal) else Broadcast(value, lanes)


class Replicate:
    """Rewrites statements of a loop over `var` whose dependent names are `names`. Dependent values
    get `lanes` lanes; None leaves every value the lanes that it has."""

    def __init__(
        self, var: Var, names: set[str], copies: tuple[Copy, ...], lanes: int | None = None
    ) -> None:
        self.var, self.names, self.copies, self.lanes = var, names, copies, lanes
        self.memo: dict[tuple[int, str], Value] = {}
        self.renamed: dict[str, str] = {}

    def rename(self, name: str, new: str) -> None:
        """From here on a copy's name means another (the result of the loop's tail)."""
        self.renamed[name] = new
        self.memo.clear()

    def current(self, name: str) -> str:
        """What a copy's name means at this point."""
        return self.renamed.get(name, name)

    def body(self, body: Body) -> Body:
        """All statements, copied where they depend on the variable."""
        made: list[Statement] = []
        for statement in body:
            made.extend(self.statement(statement))
        return tuple(made)

    def statement(self, statement: Statement) -> Body:
        """The copies of one statement."""
        match statement:
            case Let():
                if statement.name not in self.names:
                    return (statement,)
                return tuple(self.let(statement, copy) for copy in self.copies)
            case Store():
                used = self.touches(statement.index) or self.touches(statement.mask)
                if not used and not self.depends(statement.value):
                    return (statement,)
                return tuple(self.store(statement, copy) for copy in self.copies)
            case Fail():
                if not self.depends(statement.condition):
                    return (statement,)
                return tuple(self.check(statement, copy) for copy in self.copies)
            case For():
                return (self.loop(statement),)
            case If():
                mask = statement.mask
                if len(self.copies) == 1 and self.lanes is None:
                    mask = self.mask(mask, self.copies[0])
                return (replace(statement, mask=mask, body=self.body(statement.body)),)
            case _:
                raise InternalError(f"{type(statement).__name__} cannot be copied")

    def let(self, let: Let, copy: Copy) -> Let:
        """One copy of a named value; of an index variable, one of its own."""
        var = let.var and self.index_variable(let.var, copy)
        return Let(let.name + copy.suffix, self.wide(let.value, copy), var)

    def loop(self, loop: For) -> For:
        """An inner loop, shared by the copies."""
        carried: list[Carried] = []
        for value in loop.carried:
            carried.extend(self.carry(value))
        made = replace(loop, body=self.body(loop.body), carried=tuple(carried))
        if len(self.copies) != 1 or self.lanes is not None:
            return made
        (copy,) = self.copies
        begin, end = self.index(loop.begin, copy), self.index(loop.end, copy)
        return replace(made, begin=begin, end=end)

    def carry(self, carried: Carried) -> tuple[Carried, ...]:
        """The copies of a carried value."""
        if carried.name not in self.names:
            return (carried,)
        return tuple(
            Carried(
                carried.name + copy.suffix,
                carried.dtype,
                self.wide(carried.init, copy),
                self.wide(carried.next, copy),
                self.lanes or carried.lanes,
            )
            for copy in self.copies
        )

    def store(self, store: Store, copy: Copy) -> Store:
        mask = self.mask(store.mask, copy) & copy.mask
        value = self.wide(store.value, copy)
        return replace(store, index=self.index(store.index, copy), value=value, mask=mask)

    def check(self, check: Fail, copy: Copy) -> Fail:
        condition = self.wide(check.condition, copy)
        if not copy.mask.always:
            inside = Predicate(copy.mask, condition.lanes)
            condition = Alu(Op.AND, (inside, condition), bool_, condition.lanes)
        return Fail(condition)

    def index_variable(self, var: Var, copy: Copy) -> Var:
        """A copy's own index variable."""
        return Var(var.name + copy.suffix, var.low, var.high)

    def places(self, used: frozenset[Var | Param], copy: Copy) -> dict[Var | Param, Index]:
        """What takes the variable's place in a copy, and that of index variables made of it."""
        data = (a for a in used if isinstance(a, Var) and a.name in self.names)
        return {self.var: copy.index, **{var: of(self.index_variable(var, copy)) for var in data}}

    def index(self, index: Index, copy: Copy) -> Index:
        return index.substitute(self.places(index.atoms(), copy))

    def mask(self, mask: Mask, copy: Copy) -> Mask:
        return mask.substitute(self.places(mask.atoms(), copy))

    def touches(self, places: Index | Mask) -> bool:
        return touches(places, self.var, self.names)

    def depends(self, value: Value) -> bool:
        return depends(value, self.var, self.names)

    def wide(self, value: Value, copy: Copy) -> Value:
        """A value of one copy, in all lanes."""
        made = self.value(value, copy)
        return made if self.lanes is None else widen(made, self.lanes)

    def value(self, value: Value, copy: Copy) -> Value:
        """A value of one copy: scalar when it depends on nothing."""
        key = (id(value), copy.suffix)
        if key not in self.memo:
            self.memo[key] = self.rewrite(value, copy)
        return self.memo[key]

    def rewrite(self, value: Value, copy: Copy) -> Value:
        lanes = self.lanes or value.lanes
        match value:
            case Ref():
                if value.name not in self.names:
                    return value
                return Ref(self.current(value.name + copy.suffix), value.dtype, lanes)
            case Load():
                return self.load(value, copy)
            case IndexValue():
                if not self.touches(value.index):
                    return value
                return IndexValue(self.index(value.index, copy), value.dtype, lanes)
            case Predicate():
                if not self.touches(value.mask):
                    return value
                return Predicate(self.mask(value.mask, copy), lanes)
            case Alu():
                args = self.together(value.args, copy)
                return replace(value, args=args, lanes=args[0].lanes)
            case MulAdd():
                a, b, c = self.together((value.a, value.b, value.c), copy)
                return MulAdd(a, b, c, value.dtype, a.lanes)
            case Random():
                low, high = self.together((value.low, value.high), copy)
                return replace(value, low=low, high=high, lanes=low.lanes)
            case Broadcast() | Fold():
                return replace(value, value=self.value(value.value, copy))
            case Shuffle():
                first, second = self.together((value.first, value.second), copy)
                return replace(value, first=first, second=second)
            case _:
                return value

    def together(self, args: tuple[Value, ...], copy: Copy) -> tuple[Value, ...]:
        made = tuple(self.value(arg, copy) for arg in args)
        lanes = max(arg.lanes for arg in made)
        return tuple(widen(arg, lanes) for arg in made)

    def load(self, load: Load, copy: Copy) -> Value:
        lanes = self.lanes or load.lanes
        if self.touches(load.index):
            index, mask = self.index(load.index, copy), self.mask(load.mask, copy)
            data = any(var.name in self.names for var in load.index.variables())
            if not (data and proves_within(index, load.memory.size, mask)):
                mask = mask & copy.mask  # what a lane past the end reads does not matter
            return Load(load.memory, index, lanes, mask)
        if not self.touches(load.mask):
            return load
        # One element for all lanes. What a lane reads where its mask fails does not matter, so
        # the lane's part of the mask goes if the element is inside without it.
        shared = Mask(tuple(c for c in load.mask.constraints if not self.touches(c)))
        if self.lanes is not None and proves_within(load.index, load.memory.size, shared):
            return replace(load, mask=shared)
        mask = self.mask(load.mask, copy) & copy.mask
        return Load(load.memory, load.index, lanes, mask)
