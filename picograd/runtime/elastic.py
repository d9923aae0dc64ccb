"""Running a program that has room for more than it is given.

In: an executable over capacities and its recipe (`graph.elastic`). Out: `ElasticExecutable`, an
executable of the graph as it stands: it lays the inputs out in larger buffers, runs, and cuts the
outputs to size. Made by `picograd.programs`.

>>> actual(((2,), (Symbol(0, 8),)), (3,))
(2, 3)
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.graph.elastic.build import Recipe
from picograd.graph.elastic.layout import Dims, physical, size, varies
from picograd.graph.elastic.sizes import Extent, Sizes, Symbol
from picograd.graph.ops import Shape
from picograd.runtime.buffer import Buffer, empty
from picograd.runtime.device import Executable, Interrupted
from picograd.runtime.observe import Timing


class ElasticExecutable:
    """See `runtime.device.Executable`. `run` takes the values that the recipe makes."""

    def __init__(self, executable: Executable, recipe: Recipe) -> None:
        self.kernel_count, self.loaded = executable.kernel_count, executable.loaded
        self._executable = executable
        self._recipe = recipe

    def run(
        self,
        inputs: Sequence[Buffer],
        values: Sequence[int] = (),
        timings: list[Timing] | None = None,
    ) -> list[Buffer]:
        recipe = self._recipe
        sizes = tuple(values[recipe.cells : recipe.cells + len(recipe.capacities)])
        given = [_laid_out(inputs[leaf], dims, sizes) for leaf, dims in recipe.inputs]
        try:
            made = self._executable.run(given, values, timings)
        except Interrupted as stop:
            raise Interrupted(self._cut(stop.buffers, sizes)) from None
        return self._cut(made, sizes)

    def _cut(self, buffers: Sequence[Buffer], sizes: Sizes) -> list[Buffer]:
        pairs = zip(buffers, self._recipe.outputs, strict=True)
        return [_to_size(buffer, dims, sizes) for buffer, dims in pairs]


def _laid_out(buffer: Buffer, dims: Dims, sizes: Sizes) -> Buffer:
    """An input with room for its capacities. No result depends on what lies beyond its size, but
    a processor takes a hundred times as long for a number that is almost zero, as integers that
    the memory held before are when they are read as floats: they are cleared."""
    if not varies(dims):
        return buffer
    room, shape = empty(buffer.dtype, size(physical(dims)), buffer.device), actual(dims, sizes)
    room.copy_corner(physical(dims), buffer, shape)
    if buffer.device == "cpu" and buffer.dtype.is_inexact:
        room.clear_beyond(physical(dims), shape)
    return room


def _to_size(buffer: Buffer, dims: Dims, sizes: Sizes) -> Buffer:
    """What an output holds, row-major."""
    if not varies(dims):
        return buffer
    shape = actual(dims, sizes)
    exact = empty(buffer.dtype, size(shape), buffer.device)
    exact.copy_corner(shape, buffer, physical(dims))
    return exact


def actual(dims: Dims, sizes: Sizes) -> Shape:
    """The shape of what is no garbage."""
    factors: list[Extent] = []
    for dim in dims:
        assert isinstance(dim, tuple)
        factors.extend(dim)
    return tuple(
        sizes[factor.number] if isinstance(factor, Symbol) else factor for factor in factors
    )
