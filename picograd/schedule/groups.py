"""A kernel in the making: drafts that share loop variables, the domain.

In: drafts. Out: `Group`, which `schedule.fuse` grows and `schedule.assemble` turns into a kernel.
The drafts of a group literally use the same `Var`s for the domain; all other axes are a stage's
own.

>>> from picograd.graph.index import of, variable
>>> i, j = Var("i", 0, 3), Var("j", 0, 7)
>>> digits(of(i) * 8 + of(j), (i, j))
(i, j)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

from picograd.graph.index import Index, Var
from picograd.schedule.axes import extent
from picograd.schedule.kernel import Stage, StageKind
from picograd.schedule.stages import Draft


@dataclass(slots=True)
class Group:
    """Drafts in order, over a common domain.

    A draft whose `reduce` axes contain the domain combines over it; its result is complete after
    the kernel's last point (`is_final`). `panels`: its drafts were put together
    before fusion. `memories` and `weight` (expression nodes) are kept by `schedule.fuse`, which
    bounds them.
    """

    drafts: list[Draft]
    domain: tuple[Var, ...]
    contraction: bool = False
    panels: bool = False
    memories: frozenset[str] = frozenset()
    weight: int = 0

    @staticmethod
    def of_draft(draft: Draft) -> Group:
        """The kernel of one draft: its parallel axes are the domain."""
        serial = draft.stage.kind is StageKind.SCATTER
        return Group([draft], () if serial else draft.stage.inner, draft.contraction)

    @property
    def points(self) -> int:
        return prod(extent(var) for var in self.domain)

    def inner(self, draft: Draft) -> tuple[Var, ...]:
        """The parallel axes of a draft that are not the domain's."""
        return tuple(var for var in draft.stage.inner if var not in self.domain)

    def is_final(self, draft: Draft) -> bool:
        """True for a reduction over the domain and for what runs after one."""
        return draft.stage.once or bool(self.domain and self.domain[0] in draft.stage.reduce)

    def stage(self, draft: Draft) -> Stage:
        """The stage with the domain's axes taken out of its own."""
        return replace(draft.stage, inner=self.inner(draft))

    def axes_of(self, version: str) -> tuple[Var, ...]:
        """The axes, in row-major order, of a value that a draft of this group writes whole."""
        for draft in self.drafts:
            if draft.target == version:
                return value_axes(draft)
        raise KeyError(version)


def value_axes(draft: Draft) -> tuple[Var, ...]:
    """The axes of a draft's result in row-major order: they index all of its memory."""
    stage = draft.stage
    axes = stage.inner if stage.kind is not StageKind.SCAN else (*stage.inner, *stage.reduce)
    return tuple(sorted(axes, key=lambda axis: -stage.store.coefficient(axis)))


@lru_cache(maxsize=4096)
def digits(position: Index, axes: tuple[Var, ...]) -> tuple[Index, ...]:
    """A row-major position as one index per axis."""
    parts: list[Index] = []
    stride = 1
    for number, axis in reversed(list(enumerate(axes))):
        part = position // stride
        parts.append(part if number == 0 else part % extent(axis))
        stride *= extent(axis)
    return tuple(reversed(parts))
