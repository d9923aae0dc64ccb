"""Walk and rewrite the scalar expressions of a stage.

In: a `schedule.kernel` expression. Out: its parts, what it reads, or the same expression with other
indices. Used by the contraction schedule. Shared parts are visited once and stay shared.

>>> from picograd.dtypes import float32
>>> from picograd.graph.index import of
>>> i, j = Var("i", 0, 7), Var("j", 0, 7)
>>> row = Access("x", of(i) * 8, float32)
>>> rewrite(row, lambda index: index.substitute({i: of(j)})).index
j*8
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from picograd.codegen.expressions import parts
from picograd.graph.index import Index, Param, Var
from picograd.graph.mask import EVERYWHERE, Mask
from picograd.schedule.kernel import Access, Compute, Expr, FromIndex, Guard, Philox

Change = Callable[[Index], Index]


def walk(expr: Expr) -> Iterator[Expr]:
    """Every subexpression once, shared ones too."""
    seen: set[int] = set()
    stack = [expr]
    while stack:
        top = stack.pop()
        if id(top) in seen:
            continue
        seen.add(id(top))
        yield top
        stack.extend(parts(top))


def accesses(expr: Expr) -> Iterator[Access]:
    return (part for part in walk(expr) if isinstance(part, Access))


def variables(expr: Expr) -> frozenset[Var]:
    """The loop variables that an expression depends on."""
    atoms: set[Var | Param] = set()
    for part in walk(expr):
        match part:
            case Access():
                atoms |= part.index.atoms() | part.mask.atoms()
            case FromIndex():
                atoms |= part.index.atoms()
            case Guard():
                atoms |= part.mask.atoms()
            case Philox():
                atoms |= part.position.atoms()
    return frozenset(atom for atom in atoms if isinstance(atom, Var))


def rewrite(expr: Expr, change: Change, edge: Mask = EVERYWHERE) -> Expr:
    """Change all indices; every access is also masked by `edge`."""
    done: dict[int, Expr] = {}

    def visit(part: Expr) -> Expr:
        if id(part) not in done:
            done[id(part)] = rebuild(part)
        return done[id(part)]

    def rebuild(part: Expr) -> Expr:
        match part:
            case Access():
                mask = rewrite_mask(part.mask, change) & edge
                return replace(part, index=change(part.index), mask=mask)
            case FromIndex():
                return replace(part, index=change(part.index))
            case Compute():
                return replace(part, args=tuple(visit(arg) for arg in part.args))
            case Guard():
                mask = rewrite_mask(part.mask, change)
                return replace(part, mask=mask, value=visit(part.value), other=visit(part.other))
            case Philox():
                return replace(part, position=change(part.position))
            case _:
                return part

    return visit(expr)


def rewrite_mask(mask: Mask, change: Change) -> Mask:
    """Change the indices of a mask."""
    changed = EVERYWHERE
    for constraint in mask.constraints:
        changed = changed.require(change(constraint))
    return changed
