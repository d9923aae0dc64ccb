"""What the renderer writes down for a kernel of several phases."""

from __future__ import annotations

from picograd.codegen.cuda.render import grid_function, render_cuda
from picograd.codegen.loops import Function, Home, Load, Memory, Phase, Store
from picograd.dtypes import float32
from picograd.graph.index import ZERO, constant
from picograd.graph.node import Node, make
from picograd.graph.ops import Combiner, Op, ReduceAttr
from picograd.schedule.plan import plan
from tests.graph.builders import leaf


def test_phases_that_name_their_memories_alike() -> None:
    """Each phase declares its own, once, whether they are of one size or of two."""
    y = Memory("y", float32, 1, Home.ARGUMENT, written=True)
    small, large = (Memory("parts", float32, size, Home.SHARED, written=True) for size in (4, 8))
    memories = (small, large, small)
    phases = tuple(
        Phase(None, constant(1), (Store(y, ZERO, Load(memory, ZERO)),)) for memory in memories
    )
    text = render_cuda(Function("k", (y, *memories), (), phases))
    found = [line.split()[-1] for line in text.splitlines() if "__shared__" in line]
    assert found == ["parts[4];", "parts[8];", "parts[4];"]


def test_sums_that_share_an_array_declare_it_once() -> None:
    """Columns are summed, and their maxima found, in two phases each of one kernel."""

    def columns(combiner: Combiner) -> Node:
        return make(Op.REDUCE, (leaf(0, (512, 4096)),), ReduceAttr(combiner, (0,)))

    both = make(Op.ADD, (columns(Combiner.SUM), columns(Combiner.MAX)))
    (step,) = plan([both]).steps
    function = grid_function(step.kernel)
    names = [memory.name for memory in function.memories]
    assert len(function.phases) == 4 and len(names) == len(set(names)), names
    assert render_cuda(function).count("__shared__") == 4  # once a phase
