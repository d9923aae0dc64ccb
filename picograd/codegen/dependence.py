"""Which values of a loop body depend on a variable, and how its accesses move with it.

In: loop IR statements. Out: dependent names, dtypes, strides. Called by the passes that choose,
vectorise, tile and parallelise, and by `codegen.cycles`.

>>> from picograd.codegen.loops import Let, Load, Memory, Home
>>> from picograd.dtypes import float32
>>> from picograd.graph.index import of
>>> i = Var("i", 0, 3)
>>> x = Memory("x", float32, 4, Home.ARGUMENT)
>>> dependent_names((Let("y", Load(x, of(i))),), i)
{'y'}
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from picograd.codegen.loops import (
    Alu,
    Fail,
    For,
    IndexValue,
    Let,
    Load,
    Memory,
    Predicate,
    Random,
    Ref,
    Shuffle,
    Statement,
    Store,
    Value,
    children,
    statements,
)
from picograd.dtypes import DType
from picograd.graph.index import FloorDiv, Index, Mod, Var
from picograd.graph.mask import Mask
from picograd.graph.ops import Op

Body = tuple[Statement, ...]

PATTERN = 4  # vectors of neighbours that a vector's lanes are chosen from

HEAVY = {
    **dict.fromkeys((Op.EXP, Op.EXP2, Op.LOG, Op.LOG2), 14.0),
    **dict.fromkeys((Op.EXPM1, Op.LOG1P, Op.SIN, Op.COS, Op.TANH, Op.ERF, Op.ATAN), 24.0),
    **dict.fromkeys((Op.DIV, Op.RECIPROCAL, Op.SQRT), 5.0),
    **dict.fromkeys((Op.FLOORDIV, Op.MOD), 20.0),
    Op.POW: 50.0,
}
RANDOM = 100.0  # of a word, or of as many as a vector has lanes


def roots(statement: Statement) -> tuple[Value, ...]:
    """The values that a statement itself evaluates (not those of its body)."""
    match statement:
        case For():
            return tuple(v for c in statement.carried for v in (c.init, c.next))
        case Let() | Store():
            return (statement.value,)
        case Fail():
            return (statement.condition,)
        case _:
            return ()


def walk(values: Iterable[Value]) -> Iterator[Value]:
    """All values below some values, each object once."""
    stack, seen = list(values), set()
    while stack:
        value = stack.pop()
        if id(value) not in seen:
            seen.add(id(value))
            yield value
            stack.extend(children(value))


def all_values(body: Body) -> Iterator[Value]:
    """All values of a body."""
    for statement in statements(body):
        yield from walk(roots(statement))


def operations(body: Body) -> float:
    """How much a body computes, in multiples of an addition."""
    values = all_values(body)
    return sum(
        HEAVY.get(v.op, 1.0)
        if isinstance(v, Alu)
        else RANDOM * isinstance(v, Random) + isinstance(v, Shuffle)
        for v in values
    )


def touches(places: Index | Mask, var: Var, names: Collection[str]) -> bool:
    """Whether an index or a mask contains the variable, or an index variable that is one of the
    names."""
    return any(a == var or (isinstance(a, Var) and a.name in names) for a in places.atoms())


def mentions(value: Value, var: Var, names: Collection[str]) -> bool:
    """Whether a value's own index or mask contains the variable or one of the names."""
    match value:
        case Load():
            return touches(value.index, var, names) or touches(value.mask, var, names)
        case IndexValue():
            return touches(value.index, var, names)
        case Predicate():
            return touches(value.mask, var, names)
        case _:
            return False


def depends(root: Value, var: Var, names: set[str]) -> bool:
    """Whether a value changes with the variable or with one of the names."""
    return any(
        value.name in names if isinstance(value, Ref) else mentions(value, var, names)
        for value in walk((root,))
    )


def dependent_names(body: Body, var: Var, start: Iterable[str] = ()) -> set[str]:
    """The names (of lets, of the index variables among them, and of carried values) that change
    with a variable."""
    names, count = set(start), -1
    listed = list(statements(body))
    while len(names) != count:
        count = len(names)
        for statement in listed:
            if isinstance(statement, Let) and statement.name not in names:
                if depends(statement.value, var, names):
                    names.add(statement.name)
                    if statement.var is not None:
                        names.add(statement.var.name)
            elif isinstance(statement, For):
                for carried in statement.carried:
                    if carried.name not in names and (
                        depends(carried.init, var, names) or depends(carried.next, var, names)
                    ):
                        names.add(carried.name)
    return names


def trip(loop: For) -> int | None:
    """How often a loop runs, when that is a constant."""
    span = loop.end - loop.begin
    return -(-span.constant // loop.step) if span.is_constant else None


def trips(loop: For) -> int:
    """How often a loop runs, at most."""
    found = trip(loop)
    if found is not None:
        return found
    longest = min((loop.end - loop.begin).bounds()[1], loop.var.high - loop.var.low + 1)
    return -(-longest // loop.step)


def memories_read(body: Body) -> set[Memory]:
    """The memories that a body loads from."""
    return {value.memory for value in all_values(body) if isinstance(value, Load)}


def memories_written(body: Body) -> set[Memory]:
    """The memories that a body stores to."""
    return {s.memory for s in statements(body) if isinstance(s, Store)}


def dependent_values(body: Body, var: Var, names: set[str]) -> list[Value]:
    """All values of a body that change with a variable or with one of the names."""
    known: dict[int, bool] = {}
    found: list[Value] = []
    stack = [root for statement in statements(body) for root in roots(statement)]
    while stack:
        value = stack.pop()
        if id(value) in known:
            continue
        waiting = [child for child in children(value) if id(child) not in known]
        if waiting:
            stack += [value, *waiting]
            continue
        own = value.name in names if isinstance(value, Ref) else mentions(value, var, names)
        known[id(value)] = own or any(known[id(child)] for child in children(value))
        if known[id(value)]:
            found.append(value)
    return found


def compute_dtypes(loop: For) -> set[DType]:
    """The dtypes that a loop computes in, other than what is the same in every iteration and what
    only tells where to read; of its accesses when it only copies."""
    found: set[DType] = set()
    copied: set[DType] = set()
    for statement in statements(loop.body):
        if isinstance(statement, For):
            found |= {carried.dtype for carried in statement.carried}
        if isinstance(statement, Store):
            copied.add(statement.memory.dtype)
    names = dependent_names(loop.body, loop.var, (carried.name for carried in loop.carried))
    places = {id(v) for s in index_lets(loop.body) for v in walk((s.value,))}
    for value in dependent_values(loop.body, loop.var, names):
        if id(value) in places:
            continue
        if isinstance(value, Alu):
            found.add(value.dtype)
            if value.op is not Op.CAST:
                found |= {arg.dtype for arg in value.args}
        elif isinstance(value, IndexValue | Random):
            found.add(value.dtype)
        elif isinstance(value, Load):
            copied.add(value.dtype)
    return found or copied


def index_lets(body: Body) -> list[Let]:
    """The lets of index variables."""
    return [s for s in statements(body) if isinstance(s, Let) and s.var is not None]


def stride(index: Index, var: Var) -> int | None:
    """The stride of an index along a variable; None inside a division."""
    for atom, _ in index.terms:
        if isinstance(atom, FloorDiv | Mod) and var in atom.numerator.atoms():
            return None
    return index.coefficient(var)


def window(index: Index, var: Var, lanes: int) -> int | None:
    """How many neighbours the elements of a vector lie among, where every vector has the same
    pattern (lane // 2, lane % 4...); None where it changes from vector to vector."""
    for atom, _ in index.terms:
        if isinstance(atom, FloorDiv | Mod) and var in atom.numerator.atoms():
            if atom.numerator.coefficient(var) != 1 or len(atom.numerator.terms) != 1:
                return None
            if atom.numerator.constant or lanes % atom.divisor:
                return None
    start = index.substitute({a: Index() for a in index.atoms() if a != var})
    places = [start.evaluate({var: lane}) for lane in range(lanes)]
    return max(places) - min(places) + 1
