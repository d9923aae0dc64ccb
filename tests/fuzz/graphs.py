"""Random canonical graphs with the arrays and numbers that they need to run.

In: a seed. Out: `Generator(seed).case()`. The kinds of nodes are in `pointwise`, `movement`,
`reductions` and `contractions`.
"""

from __future__ import annotations

from collections.abc import Callable

from picograd.graph.node import Node, topological
from picograd.graph.ops import LeafAttr, Op
from tests.fuzz.contractions import Contractions
from tests.fuzz.machines import MACHINES
from tests.fuzz.parts import Case
from tests.fuzz.pointwise import Pointwise
from tests.fuzz.reductions import Reductions


class Generator(Pointwise, Reductions, Contractions):
    """Grows one graph, node by node."""

    def kinds(self) -> dict[Callable[[], Node], float]:
        """What to grow, and how often."""
        few = 0.15 if self.small_extents else 1.0
        weights: dict[Callable[[], Node], float] = {
            self.unary: 5, self.binary: 7, self.where: 1, self.reduce: 3, self.centred: 1,
            self.scan: 0.7, self.scan_and_reduce: 0.3, self.rows: few, self.reshape: 1.5,
            self.permute: 1.5, self.expand: 1, self.pad: 1, self.slice: 1.5, self.flip: 0.7,
            self.views: 1, self.same_memory: 0.2, self.gather: 1, self.scatter: 0.7,
            self.update: 1, self.update_chain: 0.3, self.concat: 0.7, self.contraction: few,
            self.chained: few / 8, self.convolution: few / 8, self.iota: 0.3, self.randomness: 0.3,
            self.complex_numbers: 0.3,
        }  # fmt: skip
        if self.chance(0.3):  # a graph that is mostly about one thing
            favourites = (
                (self.contraction, self.chained, self.convolution),
                (self.rows, self.reduce, self.scan_and_reduce),
                (self.update, self.update_chain, self.scatter, self.gather),
                (self.views, self.reshape, self.permute, self.slice),
            )
            for kind in self.random.choice(favourites):
                weights[kind] = 10
        return weights

    def case(self) -> Case:
        """A graph of 3 to 30 steps with one to three outputs."""
        kinds = self.kinds()
        self.pool.append(self.leaf(self.shape(), self.random.choice(self.dtypes)))
        for _ in range(self.random.randint(3, 30)):
            made = self.random.choices(list(kinds), list(kinds.values()))[0]()
            self.pool.append(made)
        outputs = self._outputs()
        machine = self.random.randrange(len(MACHINES)) if self.chance(0.6) else 0
        return Case(outputs, self.arrays, self.values, self._donated(outputs), machine)

    def _outputs(self) -> list[Node]:
        used = {id(src) for node in self.pool for src in node.srcs}
        computed = [n for n in self.pool if n.op is not Op.BUFFER]
        ends = [n for n in computed if id(n) not in used] or computed or self.pool
        chosen = self.random.sample(ends, min(len(ends), self.random.randint(1, 3)))
        if computed and self.chance(0.3):  # a value that others need, too
            chosen.append(self.random.choice(computed))
        return list(dict.fromkeys(chosen))

    def _donated(self, outputs: list[Node]) -> frozenset[int]:
        """Inputs that may be overwritten: none, all, or some."""
        slots = sorted(
            {n.attr.slot for n in topological(outputs) if n.op is Op.BUFFER
             and isinstance(n.attr, LeafAttr)}
        )  # fmt: skip
        share = self.random.choice((0.0, 0.0, 0.5, 1.0))
        return frozenset(slot for slot in slots if self.chance(share))
