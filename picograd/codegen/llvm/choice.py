"""A choice between loads as one load from a chosen place.

In: a WHERE whose conditions all lanes share, and whose arms are loads of neighbours: what `cat`,
`stack` and padding are. Out: the register of the value, or None where the form is another. Called
by `llvm.render`. Loading every arm to select among the values would cost as many loads as there
are pieces; the choice between addresses is made once per row, outside the inner loop.

    where(first, a[row - p][j], where(second, b[row - q][j], 0))
    place = first ? a + (row - p)*W : b + (row - q)*W;   (first or second ? place + j : zeros)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from picograd.codegen.llvm.memory import Memories
from picograd.codegen.llvm.types import stored
from picograd.codegen.loops import Alu, Broadcast, Literal, Load, Predicate, Value
from picograd.graph.index import Index
from picograd.graph.ops import Op


@dataclass(frozen=True, slots=True)
class _Arm:
    """A load, the index of its first lane, and the register of its condition."""

    load: Load
    first: Index
    condition: str


def choose(memories: Memories, value: Alu, failed: set[int]) -> str | None:
    """The register of a WHERE. `failed` collects (by identity) the links of chains that have
    another form, so that each is looked at once."""
    arms: list[_Arm] = []
    links: list[int] = []
    rest: Value = value
    while isinstance(rest, Alu) and rest.op is Op.WHERE and id(rest) not in failed:
        links.append(id(rest))
        condition, then, rest = rest.args
        arm = _arm(memories, condition, then)
        if arm is None:
            break
        arms.append(arm)
    else:
        last = _last(memories, rest, value.lanes)
        if last is not None and arms:
            return _load(memories, arms, last)
    failed.update(links)
    return None


def _arm(memories: Memories, condition: Value, then: Value) -> _Arm | None:
    condition = _one(condition)
    if not isinstance(condition, Predicate) or not isinstance(then, Load):
        return None
    if not set(then.mask.constraints) <= set(condition.mask.constraints):
        return None  # the load is zero at places where the condition holds
    first = _first(memories, then)
    single, several = memories.indices.mask_parts(condition.mask, condition.lanes)
    return None if first is None or several is not None else _Arm(then, first, single)


def _first(memories: Memories, load: Load) -> Index | None:
    """The index of the first of the neighbours that a load reads."""
    if load.lanes == 1:
        return load.index
    parts = memories.indices.split(load.index)
    return parts.shared if parts.stride == 1 and not parts.varying else None


def _last(memories: Memories, rest: Value, lanes: int) -> list[_Arm] | None:
    """What is left where no condition holds: nothing for zero, else a load."""
    if isinstance(rest, Load) and rest.mask.always and rest.lanes == lanes:
        first = _first(memories, rest)
        return None if first is None else [_Arm(rest, first, "true")]
    rest = _one(rest)
    zero = isinstance(rest, Literal) and rest.key in ((0.0).hex(), "0")
    return [] if zero else None


def _load(memories: Memories, arms: list[_Arm], last: list[_Arm]) -> str | None:
    """Select the place, add what all arms have in common, and load."""
    every, builder, indices = arms + last, memories.builder, memories.indices
    dtype, lanes = every[0].load.dtype, every[0].load.lanes
    if any(arm.load.lanes != lanes or arm.load.dtype is not dtype for arm in every):
        return None
    shared = set(every[0].first.terms).intersection(*(arm.first.terms for arm in every))
    element = stored(dtype)

    def place(arm: _Arm) -> str:
        own = tuple(term for term in arm.first.terms if term not in shared)
        constant = arm.first.constant - every[0].first.constant
        return indices.address(memories.base(arm.load.memory), element, Index(own, constant))

    chosen = place(every[-1])
    for arm in reversed(every[:-1]):
        other = place(arm)
        text = f"select i1 {arm.condition}, ptr {other}, ptr {chosen}"
        chosen = builder.emit_address(text, arm.condition, other, chosen)
    terms = tuple(term for term in every[0].first.terms if term in shared)
    pointer = indices.address(chosen, element, Index(terms, every[0].first.constant))
    if not last:
        held = arms[0].condition
        for arm in arms[1:]:
            held = builder.emit_address(f"or i1 {held}, {arm.condition}", held, arm.condition)
        pointer = memories.or_zeros(held, pointer)
    written = any(arm.load.memory.written for arm in every)
    return memories.neighbours(dtype, pointer, lanes, written)


def is_choice(value: Value) -> TypeGuard[Alu]:
    """Whether a value may be a choice between loads."""
    if not isinstance(value, Alu) or value.op is not Op.WHERE:
        return False
    return isinstance(_one(value.args[0]), Predicate)


def _one(value: Value) -> Value:
    """The value that a broadcast repeats, or the value itself."""
    return value.value if isinstance(value, Broadcast) else value
