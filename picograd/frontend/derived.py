"""Functions that are a line or two over others.

In: tensors. Out: tensors; what each does is said by the functions it calls.

>>> import picograd
>>> picograd.diagflat(picograd.tensor([1, 2]))
tensor([[1, 0],
        [0, 2]])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from picograd.dtypes import bool_, int64
from picograd.frontend import primitives
from picograd.frontend.comparison import isnan
from picograd.frontend.diagonals import diag
from picograd.frontend.elementwise import filled_like, mul, pow
from picograd.frontend.promotion import Number, broadcast_pair
from picograd.frontend.registry import INPLACE, METHODS, operation
from picograd.frontend.selection import choose
from picograd.frontend.slicing import diagonal, select, sliced
from picograd.frontend.striding import as_strided
from picograd.frontend.tensor import Tensor
from picograd.frontend.transcendental import atan2
from picograd.frontend.views import reshape, squeeze, t, transpose, unsqueeze
from picograd.graph.ops import Op

# --- elementwise --------------------------------------------------------------------------------


@operation(inplace=True, out=True, tensors=True)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """`input * 2**other`."""
    return mul(input, pow(2.0, other))


@operation(out=True)
def angle(input: Tensor) -> Tensor:
    """The angle of complex numbers; of real ones 0, or pi below 0."""
    if input.dtype.is_complex:
        return atan2(primitives.elementwise(Op.IMAG, input), primitives.elementwise(Op.REAL, input))
    x = input if input.dtype.is_float else input.float()
    below = primitives.elementwise(Op.LT, x, filled_like(x, 0))
    found = choose(below, filled_like(x, math.pi), filled_like(x, 0))
    return choose(isnan(x), x, found)


@operation()
def isreal(input: Tensor) -> Tensor:
    """Where the imaginary part is 0."""
    if not input.dtype.is_complex:
        return primitives.constant(True, bool_, input._storage.node.device, input._shape)
    imaginary = primitives.elementwise(Op.IMAG, input)
    return primitives.elementwise(Op.EQ, imaginary, filled_like(imaginary, 0))


# --- parts written into a copy ------------------------------------------------------------------


@operation(out=True)
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy with `src` at one position of an axis."""
    return _placed(input, src, lambda copy: select(copy, dim, index), "select_scatter")


@operation(out=True)
def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy with `src` in a slice of an axis."""
    axis = dim % max(input.ndim, 1)
    part = [*[slice(None)] * axis, slice(start, end, step)]
    return _placed(input, src, lambda copy: sliced(copy, part), "slice_scatter")


@operation(out=True)
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy with `src` on a diagonal."""
    return _placed(input, src, lambda copy: diagonal(copy, offset, dim1, dim2), "diagonal_scatter")


def _placed(x: Tensor, src: Tensor, part: Callable[[Tensor], Tensor], name: str) -> Tensor:
    result = x.clone()
    place = part(result)
    if place._shape != src._shape:
        raise RuntimeError(
            f"{name}: expected src to have the size of the part {list(place._shape)}, but got "
            f"{list(src._shape)}"
        )
    place.copy_(src)
    return result


@operation()
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The elements on a diagonal of a matrix of zeros."""
    return diag(reshape(input, -1), offset)


@operation(function=False)
def fill_diagonal_(self: Tensor, fill_value: Number, wrap: bool = False) -> Tensor:
    """The main diagonal set to one number; `wrap` starts again below the first square."""
    if self.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    rows, columns = self._shape[0], self._shape[-1]
    if self.ndim > 2:
        if len(set(self._shape)) > 1:
            raise RuntimeError("all dimensions of input must be of equal length")
        for n in range(rows):
            self[(n,) * self.ndim].fill_(fill_value)
        return self
    for start in range(0, rows, columns + 1) if wrap else (0,):
        self[start : start + columns].diagonal().fill_(fill_value)
    return self


@operation(function=False)
def sum_to_size(self: Tensor, *sizes: object, size: object = None) -> Tensor:
    """The sums that leave a shape which broadcasts to this one."""
    size = sizes if size is None else (size,)
    first = size[0] if len(size) == 1 and isinstance(size[0], Sequence) else size
    shape = tuple(int(n) for n in first)  # type: ignore[union-attr]
    if broadcast_pair(self._shape, shape) != self._shape:
        raise RuntimeError(f"size {list(shape)} is not expandable to size {list(self._shape)}.")
    lead = self.ndim - len(shape)
    padded = (1,) * lead + shape
    axes = [n for n, (a, b) in enumerate(zip(self._shape, padded, strict=True)) if a != b]
    if not self.ndim and self.dtype.is_bool:
        return reshape(self.to(int64), shape)
    result = self.sum(axes, keepdim=True) if axes else self
    return reshape(result, shape)


# --- the same tensor, otherwise arranged ----------------------------------------------------------


def _rearranged(x: Tensor, arrange: Callable[[Tensor], Tensor], name: str) -> Tensor:
    x._check_inplace()
    edge = x._edge()
    if edge is not None and x._base is not None:
        raise NotImplementedError(f"{name} of a view that requires grad isn't supported")
    before = x._alias()
    if edge is not None:
        before._set_edge(edge)
    result = arrange(before)
    x.data = result.detach()
    after = result._edge()
    if after is not None:
        x._set_edge(after)
    return x


@operation(function=False)
def squeeze_(self: Tensor, dim: int | None = None) -> Tensor:
    """Drop axes of extent 1 from this tensor."""
    return _rearranged(self, lambda x: squeeze(x, dim), "squeeze_")


@operation(function=False)
def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """Give this tensor one more axis, of extent 1."""
    return _rearranged(self, lambda x: unsqueeze(x, dim), "unsqueeze_")


@operation(function=False)
def t_(self: Tensor) -> Tensor:
    """Transpose this matrix."""
    return _rearranged(self, lambda x: t(x), "t_")


@operation(
    function=False,
    aliases=("swapaxes_", "swapdims_"),
    also={"axis0": "dim0", "axis1": "dim1"},
)
def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange two axes of this tensor."""
    return _rearranged(self, lambda x: transpose(x, dim0, dim1), "transpose_")


@operation()
def as_strided_(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """Show other elements of the memory of this tensor."""
    return _rearranged(input, lambda x: as_strided(x, size, stride, storage_offset), "as_strided_")


@operation(function=False, name="as_subclass")
def as_subclass(self: Tensor, cls: type[Tensor]) -> Tensor:
    """The same memory as an instance of a subclass of Tensor."""
    return self._as_class(cls)


@operation()
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: conjugates are computed when they are asked for."""
    return input


@operation()
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: negatives are computed when they are asked for."""
    return input


@operation(method=False)
def fill(input: Tensor, value: Number | Tensor) -> Tensor:
    """A tensor like another, filled with one number."""
    return input.clone().fill_(value)


# In-place methods that torch has as functions too: those of functions of one tensor.
_IN_PLACE = (
    "abs acos acosh asin asinh atan atanh ceil clamp clamp_max clamp_min clip cos cosh deg2rad erf "
    "erfc exp exp2 expm1 fix floor frac log log10 log1p log2 logit nan_to_num neg negative rad2deg "
    "reciprocal relu round rsqrt sigmoid sin sinc sinh sqrt square tan tanh trunc xlogy gcd lcm"
)
EXPORTS: dict[str, Callable[..., object]] = {
    **{f"{name}_": INPLACE[f"{name}_"] for name in _IN_PLACE.split()},
    **{name: METHODS[name] for name in ("zero_", "fill_", "detach_", "index_put_")},
}
