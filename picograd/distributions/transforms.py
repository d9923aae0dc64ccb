"""Invertible functions with the logarithm of their Jacobian's determinant.

In: tensors. Out: `transform(x)`, `transform.inv(y)` and `log_abs_det_jacobian(x, y)`, which
`TransformedDistribution` is made of. A subclass has `_call`, `_inverse` and `log_abs_det_jacobian`.

>>> import picograd
>>> ExpTransform()(picograd.tensor(0.0)).item()
1.0
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

from picograd.distributions import constraints
from picograd.distributions.constraints import Constraint
from picograd.distributions.discrete import softplus
from picograd.frontend.movement import cat
from picograd.frontend.statistics import softmax
from picograd.frontend.tensor import Tensor

Number = Any  # a number or a tensor


def summed(x: Tensor, dims: int) -> Tensor:
    """The sum over the last dims."""
    return x.sum(tuple(range(-dims, 0))) if dims else x


class Transform:
    """An invertible function of numbers, vectors or more."""

    bijective = False
    domain: Any = constraints.real
    codomain: Any = constraints.real
    sign: Any = None

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._last: tuple[Any, Any] = (None, None)

    @property
    def event_dim(self) -> int:
        """How many dims one argument has."""
        return max(self.domain.event_dim, self.codomain.event_dim)

    @property
    def inv(self) -> Transform:
        """The inverse function."""
        return _Inverse(self)

    def with_cache(self, cache_size: int = 1) -> Transform:
        """The same function that remembers its last argument and result."""
        made = copy.copy(self)
        made._cache_size, made._last = cache_size, (None, None)
        return made

    def __call__(self, x: Tensor) -> Tensor:
        """The function; a value that it remembers isn't computed again."""
        if self._cache_size and x is self._last[0]:
            return self._last[1]
        y = self._call(x)
        if self._cache_size:
            self._last = (x, y)
        return y

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._cache_size and y is self._last[1]:
            return self._last[0]
        x = self._inverse(y)
        if self._cache_size:
            self._last = (x, y)
        return x

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__}._call isn't defined")

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |det dy/dx|."""
        raise NotImplementedError(f"{type(self).__name__} has no Jacobian determinant")

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        """The shape of the result."""
        return shape

    def inverse_shape(self, shape: Sequence[int]) -> Sequence[int]:
        """The shape of the argument."""
        return shape

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return self is other
        return all(
            value is other.__dict__.get(name) or _same(value, other.__dict__.get(name))
            for name, value in self.__dict__.items()
            if name not in ("_last", "_cache_size")
        )

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _same(a: object, b: object) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and a.equal(b)  # type: ignore[attr-defined]
    return a == b


class _Inverse(Transform):
    """A transform the other way round."""

    def __init__(self, forward: Transform) -> None:
        super().__init__()
        self._forward = forward
        self.domain, self.codomain = forward.codomain, forward.domain
        self.bijective, self.sign = forward.bijective, forward.sign

    @property
    def inv(self) -> Transform:
        return self._forward

    def __call__(self, x: Tensor) -> Tensor:
        return self._forward._inv_call(x)

    def _inv_call(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._forward.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return self._forward.inverse_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return self._forward.forward_shape(shape)

    def __repr__(self) -> str:
        return f"_InverseTransform({self._forward!r})"


class ComposeTransform(Transform):
    """One transform after another."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = [part.with_cache(cache_size) if cache_size else part for part in parts]
        self.bijective = all(part.bijective for part in parts)
        sign: Any = 1
        for part in self.parts:
            sign = None if sign is None or part.sign is None else sign * part.sign
        self.sign = sign
        self.domain = self._widened([*self.parts], "domain")
        self.codomain = self._widened([part.inv for part in reversed(self.parts)], "domain")

    @staticmethod
    def _widened(parts: list[Transform], side: str) -> Constraint:
        """The first part's domain, with as many event dims as the later parts ask for."""
        if not parts:
            return constraints.real
        needed = parts[-1].domain.event_dim
        for part in reversed(parts[:-1]):
            needed += part.domain.event_dim - part.codomain.event_dim
            needed = max(needed, part.domain.event_dim)
        first = getattr(parts[0], side)
        more = needed - first.event_dim
        return constraints.independent(first, more) if more > 0 else first

    def _call(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if not self.parts:
            return x * 0
        values = [x]
        for part in self.parts[:-1]:
            values.append(part(values[-1]))
        values.append(y)
        total, dims = None, self.domain.event_dim
        for part, start, end in zip(self.parts, values[:-1], values[1:], strict=True):
            term = summed(part.log_abs_det_jacobian(start, end), dims - part.domain.event_dim)
            total = term if total is None else total + term
            dims += part.codomain.event_dim - part.domain.event_dim
        assert total is not None
        return total

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Sequence[int]) -> Sequence[int]:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def __repr__(self) -> str:
        rows = ",\n    ".join(repr(part) for part in self.parts)
        return f"ComposeTransform([\n    {rows}\n])"


class IndependentTransform(Transform):
    """A transform whose last batch dims count as part of an argument."""

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.base_transform = base_transform
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.domain = constraints.independent(base_transform.domain, reinterpreted_batch_ndims)
        self.codomain = constraints.independent(base_transform.codomain, reinterpreted_batch_ndims)
        self.bijective, self.sign = base_transform.bijective, base_transform.sign

    def _call(self, x: Tensor) -> Tensor:
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        result = self.base_transform.log_abs_det_jacobian(x, y)
        return summed(result, self.reinterpreted_batch_ndims)


class ReshapeTransform(Transform):
    """The same elements in another shape of event."""

    bijective = True

    def __init__(
        self, in_shape: Sequence[int], out_shape: Sequence[int], cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueError("in_shape, out_shape have different numbers of elements")
        self.domain = constraints.independent(constraints.real, len(self.in_shape))
        self.codomain = constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x: Tensor) -> Tensor:
        return x.reshape(self.forward_shape(x._shape))

    def _inverse(self, y: Tensor) -> Tensor:
        return y.reshape(self.inverse_shape(y._shape))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x._shape[: x.ndim - len(self.in_shape)])

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return (*shape[: len(shape) - len(self.in_shape)], *self.out_shape)

    def inverse_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return (*shape[: len(shape) - len(self.out_shape)], *self.in_shape)


class ExpTransform(Transform):
    """exp(x)."""

    bijective, sign, codomain = True, 1, constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x


class PowerTransform(Transform):
    """x ** exponent."""

    bijective, domain, codomain = True, constraints.positive, constraints.positive

    def __init__(self, exponent: Number, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent

    def _call(self, x: Tensor) -> Tensor:
        return x**self.exponent

    def _inverse(self, y: Tensor) -> Tensor:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.exponent * y / x).abs().log()


class SigmoidTransform(Transform):
    """1 / (1 + exp(-x))."""

    bijective, sign, codomain = True, 1, constraints.unit_interval

    def _call(self, x: Tensor) -> Tensor:
        tiny = 2.0**-52 if x.dtype.bits == 64 else 2.0**-23
        least = 2.0**-1022 if x.dtype.bits == 64 else 2.0**-126
        return x.sigmoid().clamp(least, 1 - tiny)

    def _inverse(self, y: Tensor) -> Tensor:
        tiny = 2.0**-52 if y.dtype.bits == 64 else 2.0**-23
        least = 2.0**-1022 if y.dtype.bits == 64 else 2.0**-126
        y = y.clamp(least, 1 - tiny)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x) - softplus(x)


class TanhTransform(Transform):
    """tanh(x)."""

    bijective, sign, codomain = True, 1, constraints.interval(-1.0, 1.0)

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))


class SoftplusTransform(Transform):
    """log(1 + exp(x))."""

    bijective, sign, codomain = True, 1, constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x)


class AbsTransform(Transform):
    """|x|; its inverse gives the positive one."""

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return x.abs()

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class AffineTransform(Transform):
    """loc + scale * x."""

    bijective = True

    def __init__(self, loc: Number, scale: Number, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale = loc, scale
        if event_dim:
            self.domain = constraints.independent(constraints.real, event_dim)
            self.codomain = self.domain
        if isinstance(scale, Tensor):
            self.sign = scale.sign()
        else:
            self.sign = (scale > 0) - (scale < 0)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if isinstance(self.scale, Tensor):
            result = self.scale.abs().log().expand_as(x)  # type: ignore[attr-defined]
        else:
            result = x.new_full(x._shape, math.log(abs(self.scale)))
        return summed(result, self.event_dim)


class SoftmaxTransform(Transform):
    """exp, and then a division by the sum; not invertible."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def _call(self, x: Tensor) -> Tensor:
        return softmax(x, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()


class StickBreakingTransform(Transform):
    """Vectors of n numbers to n + 1 probabilities: each takes a part of what is left."""

    bijective, domain, codomain = True, constraints.real_vector, constraints.simplex

    def _offset(self, x: Tensor) -> Tensor:
        """How many shares are left for each number."""
        count = x._shape[-1]
        return x.new_tensor([count - place for place in range(count)])

    def _call(self, x: Tensor) -> Tensor:
        part = (x - self._offset(x).log()).sigmoid()
        left = (1 - part).cumprod(-1)
        one = x.new_ones((*x._shape[:-1], 1))
        return cat([part, one], -1) * cat([one, left], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        cropped = y[..., :-1]
        left = (1 - cropped.cumsum(-1)).clamp(min=2.0**-126)
        return cropped.log() - left.log() + self._offset(cropped).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        moved = x - self._offset(x).log()
        return (-moved - softplus(-moved) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return (*shape[:-1], shape[-1] - 1)


class LowerCholeskyTransform(Transform):
    """Square matrices to lower triangles with a positive diagonal, by exp of the diagonal."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(0, -2, -1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(0, -2, -1).log().diag_embed()


class CumulativeDistributionTransform(Transform):
    """A distribution's cdf."""

    bijective, sign, codomain = True, 1, constraints.unit_interval

    def __init__(self, distribution: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution, self.domain = distribution, distribution.support

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distribution.log_prob(x)


identity_transform = ComposeTransform([])
