"""Running a program that has room for more than it is given.

In: an executable over capacities and its recipe (`graph.elastic`). Out: `ElasticExecutable`, an
executable of the graph as it stands: it lays the inputs out in larger buffers, runs, and cuts the
outputs to size. Made by `picograd.programs`.

>>> import numpy as np
>>> whole, part = np.zeros(16), np.ones(6)
>>> held(whole, ((2,), (Symbol(0, 8),)), (3,))[...] = part.reshape(2, 3)
>>> whole.reshape(2, 8)[:, :4].tolist()
[[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from picograd.graph.elastic.build import Recipe
from picograd.graph.elastic.layout import Dims, physical, size, varies
from picograd.graph.elastic.sizes import Extent, Sizes, Symbol
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
    """An input with room for its capacities; what lies beyond its size is not cleared."""
    if not varies(dims):
        return buffer
    room = empty(buffer.dtype, size(physical(dims)), buffer.device)
    target = held(room.array, dims, sizes)
    target[...] = buffer.array.reshape(target.shape)
    return room


def _to_size(buffer: Buffer, dims: Dims, sizes: Sizes) -> Buffer:
    """What an output holds, row-major."""
    if not varies(dims):
        return buffer
    source = held(buffer.array, dims, sizes)
    exact = empty(buffer.dtype, source.size, buffer.device)
    exact.array.reshape(source.shape)[...] = source
    return exact


def held(array: np.ndarray, dims: Dims, sizes: Sizes) -> np.ndarray:
    """The part of a buffer's array that is no garbage."""
    factors: list[Extent] = []
    for dim in dims:
        assert isinstance(dim, tuple)
        factors.extend(dim)
    parts = tuple(
        slice(sizes[factor.number] if isinstance(factor, Symbol) else factor) for factor in factors
    )
    return array.reshape(physical(dims))[parts]
