"""Groups of axes: the loops of a contraction are over these, not over single axes.

In: the loop variables of a kernel. Out: a `Group`, whose one variable counts the positions of all
its axes. Made by `axes` and `orientation`, used by everything that builds the loops.

>>> y, x = Var("y", 0, 2), Var("x", 0, 4)
>>> rows = Group.of_axes("m", (y, x))
>>> [str(index) for index in rows.joined().values()]
['(m // 5)', '(m % 5)']
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from picograd.graph.index import Index, Param, Var, constant, delinearize, of

Values = dict[Var | Param, Index]


@dataclass(frozen=True, slots=True)
class Group:
    """Several axes looped over as one, in row-major order; `var` counts their positions.

    An index in which the axes do not join into one stride uses `top` for the outermost axis, so
    that positions past the last one (in a masked vector) stay within its extent.
    """

    var: Var
    top: Var
    axes: tuple[Var, ...]

    @staticmethod
    def of_axes(name: str, axes: tuple[Var, ...]) -> Group:
        extent = prod(axis.high + 1 for axis in axes)
        top = axes[0].high if axes else 0
        return Group(Var(name, 0, extent - 1), Var(f"{name}.top", 0, top), axes)

    @property
    def extent(self) -> int:
        return self.var.high + 1

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.high + 1 for axis in self.axes)

    def joined(self) -> Values:
        """Each axis as a function of `var`."""
        position = of(self.var) if self.extent > 1 else constant(0)
        return dict(zip(self.axes, delinearize(position, self.shape), strict=True))

    def split(self) -> Values:
        """Each axis as a function of `var` and `top`."""
        values = self.joined()
        if len(self.axes) > 1:
            values[self.axes[0]] = of(self.top)
        return values

    def at(self, position: Index) -> Values:
        """The values of `var` and `top` at a position (which may lie past the last one)."""
        inner = prod(self.shape[1:])
        return {self.var: position, self.top: position // inner % (self.top.high + 1)}

    def strided(self, index: Index) -> bool:
        """Whether the index moves by a fixed step along the group."""
        return index.is_affine_in(self.var) and self.top not in index.atoms()

    def step(self, index: Index) -> int | None:
        """That step, or None."""
        return index.coefficient(self.var) if self.strided(index) else None


Groups = tuple[Group, Group, Group, Group, Group]  # batch, rows, columns, turns, depth
