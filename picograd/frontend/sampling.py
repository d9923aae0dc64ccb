"""Random draws that are more than bits: normal, Bernoulli, permutations, multinomial, fills.

In: tensors of parameters or tensors to fill, and a `Generator`. Out: tensors. What must be in
order (`randperm`, `multinomial` without replacement) sorts random keys; see `sorting.py` for what
that realises.

>>> import picograd
>>> sorted(picograd.randperm(4).tolist())
[0, 1, 2, 3]
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from picograd.dtypes import DType, float32, float64, int64
from picograd.frontend import primitives
from picograd.frontend.creation import Device, as_shape, finish
from picograd.frontend.device import device_name
from picograd.frontend.elementwise import add, div, filled_like, mul, neg
from picograd.frontend.hostdata import known_values, values
from picograd.frontend.promotion import broadcast_pair, broadcast_to, get_default_dtype, type_name
from picograd.frontend.random import Generator, gaussian, integers, uniform
from picograd.frontend.reductions import sum
from picograd.frontend.registry import operation
from picograd.frontend.scans import cumsum
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op


def _place(x: Tensor) -> str:
    return x._storage.node.device


@operation(method=False, out=True)
def normal(
    mean: Tensor | float,
    std: Tensor | float = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers of a mean and a standard deviation, each a number or a tensor."""
    tensors = [t for t in (mean, std) if isinstance(t, Tensor)]
    if isinstance(std, (int, float)) and std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    if tensors:
        shape = tensors[0]._shape
        for t in tensors[1:]:
            shape = broadcast_pair(shape, t._shape)
        base = gaussian(shape, dtype or tensors[0].dtype, generator, _place(tensors[0]))
    else:
        if size is None:
            raise TypeError("normal(): missing the argument 'size'")
        place = device_name(device)
        base = gaussian(as_shape((size,), "normal"), dtype or get_default_dtype(), generator, place)
    return finish(add(mul(base, std), mean), requires_grad)


@operation(out=True)
def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """1 with the probability that each element (or `p`) says, else 0."""
    if p is None:
        _check_chances(input)
    return _coin(input, input if p is None else p, generator)


def _check_chances(p: Tensor) -> None:
    """Torch's errors for probabilities of a wrong type or, where they are known, outside [0, 1]."""
    if not p.dtype.is_float:
        raise NotImplementedError(
            f"\"bernoulli_tensor_cpu_p_\" not implemented for '{type_name(p.dtype)}'"
        )
    known = known_values(p)
    if known is not None and not np.all((known >= 0) & (known <= 1)):
        raise RuntimeError("bernoulli(): expected every probability to be in [0, 1]")


def _coin(like: Tensor, p: Tensor | float, generator: Generator | None) -> Tensor:
    if isinstance(p, Tensor):
        draw = uniform(
            like._shape, float32 if p.dtype.bits < 64 else float64, generator, _place(like)
        )
        chance = broadcast_to(primitives.cast(p, draw.dtype), like._shape)
    else:
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        draw = uniform(like._shape, float32, generator, _place(like))
        chance = primitives.constant(p, float32, _place(like), like._shape)
    return primitives.cast(primitives.elementwise(Op.LT, draw, chance), like.dtype)


@operation(method=False, out=True)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson counts of the rates in `input`: inversion by sequential search, on the host."""
    from picograd.frontend.interop import tensor

    seed, call = (generator or _default()).take()
    drawn = np.random.default_rng([seed, call]).poisson(values(input.detach()))
    return tensor(drawn, dtype=input.dtype, device=_place(input))


@operation(method=False)
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of `count` trials succeed, each with the probability `prob`: drawn on the host. A
    chance beyond [0, 1] is the next in it, as in torch, and certain success is the count itself."""
    from picograd.frontend.interop import tensor

    if not count.dtype.is_float:
        raise ValueError(
            f"binomial only supports floating-point dtypes for count, got: {type_name(count.dtype)}"
        )
    if prob.dtype is not count.dtype:
        raise RuntimeError(
            f"Found dtype {type_name(prob.dtype)} but expected {type_name(count.dtype)}"
        )
    trials, chance = np.broadcast_arrays(values(count.detach()), values(prob.detach()))
    trials, chance = trials.astype(np.float64), chance.astype(np.float64)
    known = ~(np.isnan(trials) | np.isnan(chance))
    whole = np.where(known, np.maximum(trials, 0), 0).astype(np.int64)
    seed, call = (generator or _default()).take()
    drawn = np.random.default_rng([seed, call]).binomial(
        whole, np.where(known, chance, 0).clip(0, 1)
    )
    certain = np.where(chance >= 1, np.maximum(trials, 0), drawn)
    result = np.where(known, certain, np.nan)
    return tensor(result, dtype=count.dtype, device=_place(count))


def _default() -> Generator:
    from picograd.frontend.random import default_generator

    return default_generator


# --- orders and choices --------------------------------------------------------------------------


@operation(method=False, out=True)
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers below n in random order: random 53-bit keys, sorted."""
    from picograd.frontend.sorting import argsort

    place = device_name(device)
    keys = uniform(as_shape((n,), "randperm"), float64, generator, place)
    return finish(primitives.cast(argsort(keys), dtype or int64), requires_grad)


def _check_weights(weights: Tensor) -> None:
    bad = (weights < 0) | ~weights.isfinite()
    if bool(bad.any().item()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if bool((sum(weights, -1) <= 0).any().item()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


@operation(out=True)
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Indices drawn with the probabilities that each row's weights give.

    With replacement: how many cumulative sums lie at or below a uniform number. Without: an
    exponential race, whose smallest `num_samples` times win. The weights are realised for a check.
    """
    if not input.dtype.is_float:
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: "
            + type_name(input.dtype)
        )
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    count = input._shape[-1]
    if not replacement and num_samples > count:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    weights = primitives.cast(input.detach(), float64 if input.dtype is float64 else float32)
    _check_weights(weights)
    if num_samples == 1 or replacement:
        return _with_replacement(weights, num_samples, generator)
    from picograd.frontend.sorting import argsort

    draw = uniform(weights._shape, float64, generator, _place(weights))
    waiting = neg(primitives.elementwise(Op.LOG, add(neg(draw), 1.0)))
    times = div(waiting, primitives.cast(weights, float64))
    times = choose(weights > 0, times, math.inf)
    return argsort(times, dim=-1).narrow(-1, 0, num_samples).clone()


def _with_replacement(weights: Tensor, number: int, generator: Generator | None) -> Tensor:
    edges = cumsum(weights, -1)
    count = weights._shape[-1]
    rows = weights._shape[:-1]
    draw = uniform((*rows, number), weights.dtype, generator, _place(weights))
    total = edges.narrow(-1, count - 1, 1)
    aims = mul(draw, total)
    wide = (*rows, number, count)
    below = primitives.elementwise(
        Op.LE,
        broadcast_to(primitives.reshape(edges, (*rows, 1, count)), wide),
        broadcast_to(primitives.reshape(aims, (*rows, number, 1)), wide),
    )
    found = sum(below, -1)
    # A rounded product may reach the last edge: it means the last index that has a weight.
    last = sum(primitives.elementwise(Op.LT, edges, broadcast_to(total, edges._shape)), -1)
    last = broadcast_to(primitives.reshape(last, (*rows, 1)), found._shape)
    return primitives.elementwise(Op.MINIMUM, found, last)


# --- fills ---------------------------------------------------------------------------------------


def _fill(x: Tensor, value: Tensor) -> Tensor:
    x._check_inplace()
    x._overwrite(primitives.cast(value, x.dtype), computed=False)
    return x


@operation(function=False)
def uniform_(
    self: Tensor,
    from_: float = 0.0,
    to: float = 1.0,
    *,
    generator: Generator | None = None,
    **named: float,
) -> Tensor:
    """Fill with uniform numbers in [from, to)."""
    low = named.get("from", named.get("a", from_))
    high = named.get("b", to)
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )
    draw = uniform(self._shape, self.dtype, generator, _place(self))
    return _fill(self, add(mul(draw, high - low), low))


@operation(function=False)
def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    draw = gaussian(self._shape, self.dtype, generator, _place(self))
    return _fill(self, add(mul(draw, std), mean))


@operation(function=False)
def bernoulli_(
    self: Tensor, p: Tensor | float = 0.5, *, generator: Generator | None = None
) -> Tensor:
    """Fill with 1 with probability p, else 0."""
    return _fill(self, _coin(self, p, generator))


@operation(function=False)
def random_(
    self: Tensor, from_: int = 0, to: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Fill with integers in [from, to), by default all that the dtype holds exactly."""
    low, high = (from_, to) if to is not None else (0, from_)
    if high == 0:
        digits = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
        limit = 1 << digits[self.dtype.name] if self.dtype.is_float else int(self.dtype.highest)
        high = min(limit, (1 << 63) - 1) + (1 if self.dtype.is_float else 0)
    return _fill(self, integers(low, high, self._shape, self.dtype, generator, _place(self)))


@operation(function=False)
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponentially distributed numbers of rate `lambd`."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    draw = uniform(self._shape, self.dtype, generator, _place(self))
    return _fill(self, mul(primitives.elementwise(Op.LOG1P, neg(draw)), -1.0 / lambd))


@operation(function=False)
def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with Cauchy-distributed numbers."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    draw = uniform(self._shape, self.dtype, generator, _place(self))
    slope = mul(add(draw, -0.5), math.pi).tan()  # type: ignore[attr-defined]
    return _fill(self, add(mul(slope, sigma), median))


@operation(function=False)
def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers whose logarithms are normal, of that mean and standard deviation."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    draw = gaussian(self._shape, self.dtype, generator, _place(self))
    return _fill(self, primitives.elementwise(Op.EXP, add(mul(draw, std), mean)))


@operation(function=False)
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the number of trials up to the first success, of probability p each."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    draw = uniform(self._shape, float64, generator, _place(self))
    waiting = mul(primitives.elementwise(Op.LOG1P, neg(draw)), 1 / math.log1p(-p))
    return _fill(self, primitives.elementwise(Op.MAXIMUM, waiting.ceil(), filled_like(waiting, 1)))
