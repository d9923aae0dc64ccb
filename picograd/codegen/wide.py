"""Neighbouring elements that a GPU thread moves at once: when that is possible, and when it pays.

In: the body of an independent loop over `var`. Out: how many of its iterations one thread should
take, and the body with these as lanes. `passes.map_to_grid` and `passes.cooperate` call it;
`cuda.values` asks for the same alignment when it prints a load.

>>> from picograd.codegen.loops import Home
>>> from picograd.dtypes import float32
>>> i = Var("i", 0, 63)
>>> x, y = (Memory(name, float32, 64, Home.ARGUMENT) for name in "xy")
>>> copy = (Store(y, of(i), Load(x, of(i))),)
>>> best_width(copy, i)
4
>>> best_width((Store(y, of(i), Load(x, of(i) * 2)),), i)
1
"""

from __future__ import annotations

from picograd.codegen.dependence import (
    Body,
    all_values,
    dependent_names,
    dependent_values,
    depends,
    operations,
    stride,
)
from picograd.codegen.loops import For, Home, If, Let, Load, Memory, Statement, Store, statements
from picograd.codegen.replicate import Copy, Replicate
from picograd.graph.index import Index, Var, constant, of
from picograd.graph.mask import Mask

WIDEST = 16  # bytes of one access of a thread
MOST_LANES = 8
MOST_WORK = 400  # additions' worth of a thread's lanes together: more takes long to compile

Access = tuple[Memory, Index, Mask]


def best_width(body: Body, var: Var) -> int:
    """How many neighbours a thread should take: as many as 16 bytes hold where most accesses are
    side by side and on such boundaries, else 1."""
    names = dependent_names(body, var)
    if any(_hinders(statement, var, names) for statement in statements(body)):
        return 1
    found = [access for access in _accesses(body) if var in access[1].atoms()]
    near = [access for access in found if stride(access[1], var) == 1]
    if any(stride(place, var) not in (None, 1) for _, place, _ in found) or not near:
        return 1
    width = min(MOST_LANES, WIDEST // max(memory.dtype.itemsize for memory, _, _ in near))
    while width > var.high - var.low + 1:
        width //= 2
    work = sum(1 for _ in dependent_values(body, var, names)) + operations(body)
    while width > 1 and width * work > MOST_WORK:
        width //= 2
    wide = [access for access in near if width > 1 and _starts_together(access, var, width)]
    return width if 2 * len(wide) > len(found) else 1


def widened(body: Body, var: Var, start: Index, width: int) -> Body:
    """The body for `width` values of the variable from `start` on, as lanes."""
    if width == 1:
        return Replicate(var, dependent_names(body, var), (Copy(start, ""),)).body(body)
    lane = Var("lane", 0, width - 1, width)
    copy = Copy(start + of(lane), "")
    return Replicate(var, dependent_names(body, var), (copy,), width).body(body)


def aligned_start(memory: Memory, place: Index, mask: Mask, lanes: int) -> Index | None:
    """Where the neighbouring lanes of an access begin, if they can be moved together: memories
    begin on such boundaries, so that the index tells."""
    var = lane_variable(place)
    if var is None or memory.home is Home.REGISTER or var in mask.atoms():
        return None
    if place.coefficient(var) != 1 or not place.is_affine_in(var):
        return None
    start = place.substitute({var: constant(0)})
    return start if _is_multiple(start, elements_together(memory, lanes)) else None


def elements_together(memory: Memory, lanes: int) -> int:
    """How many of an access's lanes are moved at once."""
    return min(lanes, WIDEST // memory.dtype.itemsize)


def lane_variable(value: Index) -> Var | None:
    """The variable that stands for the number of a lane."""
    return next((a for a in value.atoms() if isinstance(a, Var) and a.lanes > 1), None)


def _starts_together(access: Access, var: Var, width: int) -> bool:
    memory, place, mask = access
    if var in mask.atoms():
        return False
    return _is_multiple(place - of(var), elements_together(memory, width))


def _is_multiple(start: Index, step: int) -> bool:
    return start.constant % step == 0 and all(factor % step == 0 for _, factor in start.terms)


def _accesses(body: Body) -> list[Access]:
    """The loads, each once, and the stores of a body."""
    loads = {value for value in all_values(body) if isinstance(value, Load)}
    found = [(load.memory, load.index, load.mask) for load in loads]
    found += [(s.memory, s.index, s.mask) for s in statements(body) if isinstance(s, Store)]
    return found


def _hinders(statement: Statement, var: Var, names: set[str]) -> bool:
    """Whether a statement can't be done for several lanes at once."""
    match statement:
        case Let():
            return statement.var is not None and depends(statement.value, var, names)
        case If():
            return var in statement.mask.atoms()
        case Store():  # a row that each iteration has for itself
            return var not in statement.index.atoms()
        case For():
            return var in (statement.begin.atoms() | statement.end.atoms())
        case _:
            return False
