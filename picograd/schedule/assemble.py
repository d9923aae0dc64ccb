"""From a group of drafts to a canonical kernel, and which buffers and values it runs on.

In: a `Group` (drafts that share a domain) and which of its values others need. Out: a `Kernel`
whose names depend on structure alone, the memory of each of its arguments, and the program value
of each of its scalars. Called by `schedule.plan`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import prod

from picograd.dtypes import DType, int64, uint64
from picograd.graph.index import ZERO, Index, Param, Var, linearize, of
from picograd.schedule.axes import extent, fresh, join, merge_axes, pairs_that_merge
from picograd.schedule.groups import Group, digits, value_axes
from picograd.schedule.kernel import (
    Access,
    Bind,
    Expr,
    Kernel,
    Memory,
    Pattern,
    Philox,
    Scalar,
    Space,
    Stage,
    StageKind,
)
from picograd.schedule.names import kernel_name
from picograd.schedule.stages import Buffers, Draft
from picograd.schedule.walk import Rewriter, stage_accesses, stage_indices

MAX_SCRATCH = 1 << 16  # bytes of rows for one point of the domain


@dataclass(frozen=True, slots=True)
class Assembled:
    """A kernel, the first version of each argument's memory, the program value of each scalar."""

    kernel: Kernel
    arguments: tuple[str, ...]
    scalars: tuple[int, ...]


def assemble(
    group: Group, buffers: Buffers, needed: Collection[str], numbers: count[int]
) -> Assembled:
    """The kernel of a group; `needed` are the versions that other kernels or the caller read."""
    stages, domain = _with_private_memory(group, buffers, needed)
    stages, domain = _merge(stages, domain, numbers, inside=not group.panels)
    stages = sorted(stages, key=lambda stage: _phase(stage, domain))
    names = _Names(stages, buffers)
    stages = [names.stage(stage, domain) for stage in stages]
    outer = tuple(Var(f"i{n}", 0, var.high) for n, var in enumerate(domain))
    memories = names.memories()
    pattern = Pattern.CONTRACTION if group.contraction else Pattern.ROWS
    if group.panels:
        pattern = Pattern.PANELS
    elif any(stage.kind is StageKind.SCATTER for stage in stages):
        pattern = Pattern.SERIAL
    name = kernel_name(pattern, outer, tuple(stages))
    kernel = Kernel(name, pattern, outer, tuple(stages), memories, tuple(names.scalar_types))
    return Assembled(kernel, tuple(names.arguments), tuple(names.scalar_slots))


def _phase(stage: Stage, domain: Collection[Var]) -> int:
    """Reductions of the whole domain come after what runs at each point, `once` stages last."""
    if stage.once:
        return 2
    return int(any(var in domain for var in stage.reduce))


def _private(group: Group, buffers: Buffers, needed: Collection[str]) -> dict[str, Space]:
    """Values that never leave the kernel: a number per point of the domain, or a row.

    Rows that would not stay in cache are left in the program's memory.
    """
    spaces: dict[str, Space] = {}
    room = MAX_SCRATCH
    for draft in group.drafts:
        name = draft.target
        if not name or name in needed or draft.over is not None:
            continue
        row = prod(extent(var) for var in _row(group, draft))
        nbytes = row * buffers.dtype[name].itemsize
        if not _row(group, draft):
            spaces[name] = Space.LOCAL
        elif group.panels:
            spaces[name] = Space.SCRATCH  # codegen keeps a block of it
        elif nbytes <= room:
            spaces[name] = Space.SCRATCH
            room -= nbytes
    return spaces


def _row(group: Group, draft: Draft) -> tuple[Var, ...]:
    """The axes of a value that are not the domain's."""
    if group.is_final(draft):
        return ()
    return tuple(var for var in value_axes(draft) if var not in group.domain)


def _with_private_memory(
    group: Group, buffers: Buffers, needed: Collection[str]
) -> tuple[list[Stage], list[Var]]:
    """The stages with positions in locals and scratch rows relative to the domain's point.

    A needed value that has one element per point is computed as a local first and then stored,
    so that later stages use a register.
    """
    private = _private(group, buffers, needed)
    mirrored = _mirrored(group, private)
    if not private and not mirrored:
        return [group.stage(draft) for draft in group.drafts], list(group.domain)
    rewrite = _Relative(group, private | dict.fromkeys(mirrored, Space.LOCAL))
    stages: list[Stage] = []
    for draft in group.drafts:
        stage, name = rewrite.stage(group.stage(draft)), draft.target
        if name not in private and name not in mirrored:
            stages.append(stage)
            continue
        row = _row(group, draft)
        local = ("r" if row else "t") + name
        sizes = [extent(var) for var in row]
        buffers.add(local, buffers.dtype[name], prod(sizes))
        store = linearize([of(var) for var in row], sizes)
        stages.append(replace(stage, target=local, store=store))
        if name in mirrored:
            value = Access(local, ZERO, buffers.dtype[name])
            stages.append(Stage(StageKind.MAP, name, stage.store, value))
    return stages, list(group.domain)


def _mirrored(group: Group, private: Collection[str]) -> set[str]:
    """Stored values with one element per point that later stages read again."""
    own = {
        draft.target
        for draft in group.drafts
        if draft.target and draft.target not in private and draft.over is None
        if not _row(group, draft) and not group.is_final(draft)
    }
    read = {a.buffer for draft in group.drafts for a in stage_accesses(draft.stage)}
    return own & read


class _Relative(Rewriter):
    """Loads of private values, relative to the domain's point."""

    def __init__(self, group: Group, private: dict[str, Space]) -> None:
        super().__init__()
        self._group = group
        self._private = private

    def access(self, access: Access) -> Expr:
        space = self._private.get(access.buffer)
        if space is None:
            return access
        if space is Space.LOCAL:
            return replace(access, buffer="t" + access.buffer, index=ZERO)
        axes = self._group.axes_of(access.buffer)
        parts = digits(access.index, axes)
        row = [
            (part, extent(axis))
            for axis, part in zip(axes, parts, strict=True)
            if axis not in self._group.domain
        ]
        index = linearize([part for part, _ in row], [size for _, size in row])
        return replace(access, buffer="r" + access.buffer, index=index)


def _merge(
    stages: list[Stage], domain: list[Var], numbers: count[int], inside: bool
) -> tuple[list[Stage], list[Var]]:
    """As few axes as the indices allow: first of the domain, then (`inside`) of each stage."""
    while len(domain) > 1:
        found = {index for stage in stages for index in stage_indices(stage)}
        pair = pairs_that_merge(tuple(domain), found)
        if pair is None:
            break
        joined = fresh(numbers, extent(pair[0]) * extent(pair[1]))
        stages = [join(stage, *pair, joined) for stage in stages]
        at = domain.index(pair[0])
        domain[at : at + 2] = [joined]
    if inside:
        stages = [merge_axes(stage, numbers, closed=frozenset(domain)) for stage in stages]
    return stages, domain


class _Names:
    """Canonical names, given in the order in which things first appear in the stages."""

    def __init__(self, stages: Sequence[Stage], buffers: Buffers) -> None:
        self.arguments: list[str] = []
        self.scalar_slots: list[int] = []
        self.scalar_types: list[DType] = []
        self._bound = 0  # variables that stages bind to data, so far
        self._buffers = buffers
        self._memory: dict[str, str] = {}
        self._spaces: dict[str, list[Memory]] = {"t": [], "r": []}
        written = {buffers.root(stage.target) for stage in stages if stage.target}
        self._written = written
        for stage in stages:
            for access in stage_accesses(stage):
                self._name(access.buffer)
            if stage.target:
                self._name(stage.target)
        self._rewrite = _Canonical(self)

    def _name(self, version: str) -> str:
        name = self._buffers.root(version)
        known = self._memory.get(name)
        if known is not None:
            return known
        kind = name[0]
        if kind in self._spaces:
            rows = self._spaces[kind]
            known = f"{kind}{len(rows)}"
            space = Space.LOCAL if kind == "t" else Space.SCRATCH
            dtype, size = self._buffers.dtype[name], self._buffers.size[name]
            rows.append(Memory(known, dtype, size, space, True))
        else:
            known = f"a{len(self.arguments)}"
            self.arguments.append(name)
        self._memory[name] = known
        return known

    def memories(self) -> tuple[Memory, ...]:
        found = [
            Memory(
                f"a{number}",
                self._buffers.dtype[name],
                self._buffers.size[name],
                Space.ARGUMENT,
                name in self._written,
            )
            for number, name in enumerate(self.arguments)
        ]
        return (*found, *self._spaces["t"], *self._spaces["r"])

    def memory(self, version: str) -> str:
        return self._memory[self._buffers.root(version)]

    def scalar(self, slot: int, dtype: DType) -> int:
        """The kernel's scalar slot of a program value."""
        for number, known in enumerate(self.scalar_slots):
            if known == slot and self.scalar_types[number] is dtype:
                return number
        self.scalar_slots.append(slot)
        self.scalar_types.append(dtype)
        return len(self.scalar_slots) - 1

    def stage(self, stage: Stage, domain: Sequence[Var]) -> Stage:
        names = {var: f"i{number}" for number, var in enumerate(domain)}
        for var in (*stage.inner, *stage.reduce):
            if var not in names:
                names[var] = f"i{len(names)}"
        # Unlike axes, bound variables are not loops: two of one name could meet in one body.
        names |= {bind.var: f"g{self._bound + n}" for n, bind in enumerate(stage.binds)}
        self._bound += len(stage.binds)
        new = {var: Var(name, var.low, var.high, var.lanes) for var, name in names.items()}
        self._rewrite.load_names({old: of(var) for old, var in new.items() if old != var})
        made = self._rewrite.stage(stage)
        return replace(
            made,
            target=self.memory(stage.target) if stage.target else "",
            inner=tuple(new[var] for var in stage.inner),
            reduce=tuple(new[var] for var in stage.reduce),
            binds=tuple(Bind(new[bind.var], bind.value) for bind in made.binds),
        )


class _Canonical(Rewriter):
    """Names of memories and variables, and kernel slots for program values."""

    def __init__(self, names: _Names) -> None:
        super().__init__()
        self._names = names
        self._values: dict[Var | Param, Index] = {}

    def load_names(self, values: dict[Var | Param, Index]) -> None:
        """Forget the previous stage; `values` are the variables that have other names."""
        self._done.clear()
        self._indices.clear()
        self._values = values

    def index(self, index: Index) -> Index:
        values = self._values
        params = sorted(atom for atom in index.atoms() if isinstance(atom, Param))
        if params:
            slots = {p: self._names.scalar(p.slot, int64) for p in params}
            values = values | {p: of(Param(slot, p.low, p.high)) for p, slot in slots.items()}
        return index.substitute(values)

    def access(self, access: Access) -> Expr:
        buffer = self._names.memory(access.buffer)
        return Access(buffer, access.index, access.dtype, access.mask)

    def scalar(self, scalar: Scalar) -> Expr:
        return Scalar(self._names.scalar(scalar.slot, scalar.dtype), scalar.dtype)

    def philox(self, philox: Philox) -> Expr:
        seed = self._names.scalar(philox.seed, uint64)
        return replace(philox, seed=seed, call=self._names.scalar(philox.call, uint64))
