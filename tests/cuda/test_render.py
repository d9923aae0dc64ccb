"""What the renderer writes down for a kernel of several phases."""

from __future__ import annotations

from picograd.codegen.cuda.render import render_cuda
from picograd.codegen.loops import Function, Home, Load, Memory, Phase, Store
from picograd.dtypes import float32
from picograd.graph.index import ZERO, constant


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
