"""A factor of which row and depth each choose a part of the address: windows, read in place.

In: a left factor that is an unmasked access at `rows + depth`, two functions of different loop
variables. Out: the two parts, and a table of the second for one depth block, so that the loop over
k loads an offset and adds it, whatever axes k runs over. Used by `packing` and `microkernel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from picograd.codegen import loops
from picograd.codegen.contraction.axes import Contraction
from picograd.codegen.contraction.frame import Frame
from picograd.codegen.loops import Home, Statement
from picograd.dtypes import int64
from picograd.graph.index import FloorDiv, Index, Mod, Var, of
from picograd.schedule.kernel import Access


@dataclass(frozen=True, slots=True)
class Offsets:
    """The part of an address that depends on k, as a table over the current depth block."""

    memory: loops.Memory
    part: Index

    def fill(self, frame: Frame) -> tuple[Statement, ...]:
        """Compute the table for a depth block."""
        k = Var("ko", 0, frame.tiles.depth - 1)
        named, depth = frame.depth_at(of(k))
        value = loops.IndexValue(self.part.substitute(frame.at(depth=depth)), int64)
        store = loops.Store(self.memory, of(k), value)
        return (loops.For(k, Index(), frame.length, (*named, store), independent=True),)

    def at(self, frame: Frame, k: Index) -> tuple[tuple[Statement, ...], Index]:
        """The offset at position k of the block."""
        return frame.name_value("offset", loops.Load(self.memory, k), *self.part.bounds())


def separate(
    found: Contraction, memories: Mapping[str, loops.Memory]
) -> tuple[Index, Index] | None:
    """The two parts of the left factor's address, or None where it has no such form."""
    factor = found.left
    if not isinstance(factor, Access) or not factor.mask.always:
        return None
    if factor.dtype is not found.accumulator:
        return None
    depth_variables = {found.depth.var, found.depth.top, found.turns.var, found.turns.top}
    rows, depth = Index((), factor.index.constant), Index()
    for atom, coefficient in factor.index.terms:
        used = atom.numerator.atoms() if isinstance(atom, FloorDiv | Mod) else {atom}
        inside = used & depth_variables
        if inside and used - depth_variables:
            return None
        if inside:
            depth += of(atom) * coefficient
        else:
            rows += of(atom) * coefficient
    low, high = (depth + rows).bounds()
    return (rows, depth) if low >= 0 and high < memories[factor.buffer].size else None


def table(frame: Frame, part: Index) -> Offsets:
    """Memory for the offsets of one depth block."""
    memory = frame.allocate("offsets", int64, frame.tiles.depth, Home.SCRATCH)
    return Offsets(memory, part)
