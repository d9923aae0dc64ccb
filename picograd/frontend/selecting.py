"""Selection, search and distinct values on the GPU, for functions whose results' sizes are data.

In: tensors on "cuda". Out: tensors there. Only a size goes to the host: what the functions of
`counting` and `indexing` do with NumPy for tensors of a CPU, they do with these for a GPU's.

>>> import picograd
>>> on_gpu(picograd.ones(2, device="cpu"))
False
"""

from __future__ import annotations

from typing import NamedTuple

from picograd.dtypes import bool_, float64, int64
from picograd.frontend import primitives
from picograd.frontend.comparison import ne
from picograd.frontend.elementwise import filled_like, sub
from picograd.frontend.hostdata import memory
from picograd.frontend.movement import along, cat, stack
from picograd.frontend.scans import cumsum
from picograd.frontend.sorting import sort
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.node import leaf
from picograd.graph.ops import Combiner, Op


def on_gpu(x: object) -> bool:
    """Whether a function can work on a tensor where it is, and that is a GPU."""
    return isinstance(x, Tensor) and x._storage.node.device == "cuda" and not x.dtype.is_complex


def places_of(mask: Tensor) -> Tensor:
    """Where the elements in row-major order are not zero: a vector of places from 0."""
    from picograd.runtime.cuda import selecting

    found = selecting.nonzero(memory(primitives.cast(mask.detach(), bool_)))
    return wrap(leaf(found, (found.size,)))


def axes_of(mask: Tensor) -> list[Tensor]:
    """Where the elements are not zero, as an index for each axis."""
    places, found = places_of(mask), []
    for extent in reversed(mask._shape[1:]):
        size = filled_like(places, max(1, extent))
        found.append(primitives.elementwise(Op.MOD, places, size))
        places = primitives.elementwise(Op.FLOORDIV, places, size)
    return [places, *reversed(found)]


def rows_of(mask: Tensor) -> Tensor:
    """Where the elements are not zero, a row for each."""
    return stack(axes_of(mask), 1)


def searched(sequences: Tensor, numbers: Tensor, behind: bool) -> Tensor:
    """Where numbers belong in sorted sequences: in one, or each in that of its row."""
    from picograd.runtime.cuda import selecting

    dtype = sequences.dtype
    if numbers.dtype is not dtype:
        inexact = dtype.is_float or numbers.dtype.is_float
        dtype = float64 if inexact else int64
    first, second = (primitives.cast(x.detach(), dtype) for x in (sequences, numbers))
    each = numbers._shape[-1] if numbers.ndim and sequences.ndim > 1 else max(1, numbers.numel())
    if sequences.ndim > 1 and not each:
        each = 1
    found = selecting.search(memory(first), memory(second), sequences._shape[-1], each, behind)
    return wrap(leaf(found, numbers._shape))


class Distinct(NamedTuple):
    """Runs of equal elements: which ones, the run of every element, and the lengths."""

    values: Tensor
    inverse: Tensor
    counts: Tensor


def runs(x: Tensor) -> Distinct:
    """The runs of a vector; every NaN is one of its own."""
    n = x._shape[0]
    device = x._storage.node.device
    begin = primitives.constant(True, bool_, device, (min(n, 1),))
    starts = cat([begin, ne(x.narrow(0, 1, n - 1), x.narrow(0, 0, n - 1))]) if n > 1 else begin
    firsts = places_of(starts)
    ends = cat([firsts, primitives.constant(n, int64, device, (1,))])
    number = firsts._shape[0]
    counts = sub(ends.narrow(0, 1, number), ends.narrow(0, 0, number))
    inverse = sub(cumsum(starts, 0), 1)
    return Distinct(along(x, 0, firsts), inverse, counts)


def distinct(x: Tensor) -> Distinct:
    """The distinct elements of a vector in order."""
    ordered, places = sort(x.detach())
    found = runs(ordered)
    blank = filled_like(found.inverse, 0)
    inverse = primitives.scatter(blank, found.inverse, (0,), (places,), True)
    return Distinct(found.values, inverse, found.counts)


def counted(places: Tensor, bins: int, weights: Tensor) -> Tensor:
    """The sums of the weights of each of `bins` places, which are known to be inside."""
    base = primitives.constant(0, weights.dtype, weights._storage.node.device, (bins,))
    return primitives.scatter_reduce(Combiner.SUM, base, weights, (0,), (places,), True)


def repeated(counts: Tensor, total: int) -> Tensor:
    """0 counts[0] times, 1 counts[1] times, ..."""
    ends = cumsum(counts, 0)
    numbers = primitives.iota(total, int64, counts._storage.node.device)
    return searched(ends, numbers, True)
