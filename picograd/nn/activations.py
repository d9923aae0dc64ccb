"""Activation functions of `picograd.nn.functional` that are not tensor functions already.

In: float tensors. Out: tensors of the same shape. Each has finite gradients wherever the function
has.

>>> import picograd
>>> gelu(picograd.tensor([0.0]))
tensor([0.])
"""

from __future__ import annotations

import math

from picograd.dtypes import DType
from picograd.frontend.autocasting import in_fewer_bits
from picograd.frontend.comparison import le, lt
from picograd.frontend.elementwise import add, div, filled_like, mul, neg, square, sub
from picograd.frontend.naming import recorded_as
from picograd.frontend.random import Generator
from picograd.frontend.registry import writing_out
from picograd.frontend.sampling import bernoulli_
from picograd.frontend.selection import choose
from picograd.frontend.selection import relu as _relu
from picograd.frontend.selection import threshold as _threshold
from picograd.frontend.stamps import stamped
from picograd.frontend.statistics import log_softmax as _log_softmax
from picograd.frontend.statistics import softmax as _softmax
from picograd.frontend.tensor import Tensor
from picograd.frontend.transcendental import erf, exp, expm1, log1p
from picograd.frontend.transcendental import sigmoid as _sigmoid
from picograd.frontend.transcendental import tanh as _tanh


def _finish(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    """The result, or `input` after it was overwritten with it."""
    if not inplace:
        return result
    input._check_inplace()
    return input._assign(result)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """`max(input, 0)`."""
    return _finish(input, _relu(input), inplace)


@recorded_as("HardtanhBackward0")
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """`input` bounded to [0, 6]."""
    return hardtanh(input, 0.0, 6.0, inplace)


def sigmoid(input: Tensor) -> Tensor:
    """`1 / (1 + exp(-input))`."""
    return _sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _tanh(input)


@writing_out
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """`input` times the normal distribution function, exact or by tanh."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return stamped("GeluBackward0", _gelu, (input,), approximate)


def _gelu(input: Tensor, approximate: str) -> Tensor:
    if approximate == "none":
        return mul(mul(input, 0.5), add(erf(mul(input, math.sqrt(0.5))), 1))
    inner = mul(add(input, mul(mul(square(input), input), 0.044715)), math.sqrt(2 / math.pi))
    return mul(mul(input, 0.5), add(_tanh(inner), 1))


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """`input * sigmoid(input)`."""
    return _finish(input, stamped("SiluBackward0", _silu, (input,)), inplace)


def _silu(input: Tensor) -> Tensor:
    return mul(input, _sigmoid(input))


@recorded_as("MishBackward0")
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """`input * tanh(softplus(input))`."""
    return _finish(input, mul(input, _tanh(softplus(input))), inplace)


@writing_out
@recorded_as("SoftplusBackward0")
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """`log(1 + exp(beta * input)) / beta`, linear above the threshold."""
    scaled = input if beta == 1 else mul(input, beta)
    linear = lt(filled_like(scaled, threshold), scaled)
    safe = choose(linear, filled_like(scaled, 0), scaled)
    soft = log1p(exp(safe))
    return choose(linear, input, soft if beta == 1 else div(soft, beta))


@writing_out
@recorded_as("LogSigmoidBackward0")
def logsigmoid(input: Tensor) -> Tensor:
    """`log(sigmoid(input))` without overflow."""
    negative = lt(input, 0)
    rest = log1p(exp(choose(negative, input, neg(input))))
    return sub(choose(negative, input, filled_like(input, 0)), rest)


@recorded_as("EluBackward0")
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """`input` where positive, else `alpha * (exp(input) - 1)`."""
    return _finish(input, _elu(input, alpha, 1.0, 1.0), inplace)


def _elu(x: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    positive = lt(filled_like(x, 0), x)
    below = choose(positive, filled_like(x, 0), x)
    curve = mul(expm1(below if input_scale == 1 else mul(below, input_scale)), alpha)
    result = choose(positive, x, curve)
    return result if scale == 1 else mul(result, scale)


@recorded_as("EluBackward0")
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalising ELU."""
    return _finish(input, _elu(input, 1.6732632423543772, 1.0507009873554805, 1.0), inplace)


@recorded_as("CeluBackward0")
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """`input` where positive, else `alpha * (exp(input / alpha) - 1)`."""
    return _finish(input, _elu(input, alpha, 1.0, 1.0 / alpha), inplace)


@recorded_as("LeakyReluBackward0")
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """`input` where positive, else `negative_slope * input`."""
    positive = lt(filled_like(input, 0), input)
    return _finish(input, choose(positive, input, mul(input, negative_slope)), inplace)


@recorded_as("PreluKernelBackward0")
@in_fewer_bits
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Leaky relu with a learnt slope (one, or one per channel)."""
    if weight.numel() > 1 and input.ndim > 1:
        shape = tuple(-1 if n == 1 else 1 for n in range(input.ndim))
        weight = weight.reshape(shape)
    result = choose(lt(filled_like(input, 0), input), input, mul(input, weight))
    return result if input.ndim else result.reshape(())  # the weight has one dimension


@recorded_as("HardtanhBackward0")
def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """`input` bounded; the gradient at the bounds is 0. NaN stays."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    low, high = filled_like(input, min_val), filled_like(input, max_val)
    bounded = choose(le(input, low), low, input)
    return _finish(input, choose(le(high, bounded), high, bounded), inplace)


@recorded_as("HardsigmoidBackward0")
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """`relu6(input + 3) / 6`."""
    return _finish(input, div(hardtanh(add(input, 3), 0.0, 6.0), 6), inplace)


@recorded_as("HardswishBackward0")
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """`input * hardsigmoid(input)`."""
    return _finish(input, mul(input, hardsigmoid(input)), inplace)


def softsign(input: Tensor) -> Tensor:
    """`input / (1 + |input|)`."""
    size = choose(lt(input, 0), neg(input), input)
    return div(input, add(size, 1))


def tanhshrink(input: Tensor) -> Tensor:
    """`input - tanh(input)`."""
    return sub(input, _tanh(input))


@recorded_as("ThresholdBackward0")
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """`input` where it is above the threshold, else `value`."""
    return _finish(input, _threshold(input, threshold, value), inplace)


@writing_out
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input` moved towards 0 by `lambd`, and 0 in between."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be at least 0, but found {lambd}")
    above, below = lt(filled_like(input, lambd), input), lt(input, -lambd)
    return choose(above, sub(input, lambd), choose(below, add(input, lambd), mul(input, 0)))


@writing_out
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input` where it is beyond `lambd`, else 0."""
    inside = le(input, lambd).logical_and(le(filled_like(input, -lambd), input))
    return choose(inside, 0.0, input)


@recorded_as("GluBackward0")
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half times the sigmoid of the second half."""
    if input.shape[dim] % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}"
        )
    first, second = input.chunk(2, dim)
    return mul(first, _sigmoid(second))


def _implicit_dim(dim: int | None, rank: int) -> int:
    return dim if dim is not None else (0 if rank in (0, 1, 3) else 1)


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """`exp(input)` divided by its sum over `dim`."""
    return _softmax(input, _implicit_dim(dim, input.ndim), dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """`softmax(-input)`."""
    return _softmax(neg(input), _implicit_dim(dim, input.ndim), dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """The logarithm of softmax."""
    return _log_softmax(input, _implicit_dim(dim, input.ndim), dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the relaxed categorical distribution; `hard`: one-hot with the soft gradient."""
    from picograd.frontend.creation import zeros_like
    from picograd.frontend.sampling import exponential_
    from picograd.frontend.transcendental import log

    noise = neg(log(exponential_(zeros_like(logits))))
    soft = _softmax(div(add(logits, noise), tau), dim)
    if not hard:
        return soft
    best = soft.detach().max(dim, keepdim=True).values
    one = soft.detach().eq(best).to(soft.dtype)
    return add(sub(one, soft.detach()), soft)


# --- dropout -------------------------------------------------------------------------------------


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Zero each element with probability p and scale the others by `1 / (1 - p)`."""
    return _dropped(input, input.shape, p, training, inplace, generator)


def _dropped(
    x: Tensor,
    shape: tuple[int, ...],
    p: float,
    training: bool,
    inplace: bool,
    generator: Generator | None = None,
) -> Tensor:
    from picograd.frontend.creation import filled

    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return x
    if p == 1:
        return _finish(x, mul(x, 0.0), inplace)
    mask = filled((shape,), 0, x.dtype, x._storage.node.device, False, "dropout")
    mask = bernoulli_(mask, 1 - p, generator=generator)
    return _finish(x, mul(x, mul(mask, 1 / (1 - p))), inplace)


def _channel_dropout(input: Tensor, p: float, training: bool, inplace: bool, rank: int) -> Tensor:
    lead = input.ndim - rank
    shape = tuple(input.shape[:lead]) + (1,) * rank
    return _dropped(input, shape, p, training, inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of a sequence."""
    return _channel_dropout(input, p, training, inplace, 1)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of an image."""
    return _channel_dropout(input, p, training, inplace, 2)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of a volume."""
    return _channel_dropout(input, p, training, inplace, 3)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout for `selu`: mean and variance stay. Source: Klambauer et al. 2017."""
    return _alpha_dropped(input, input.shape, p, training, inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels."""
    shape = tuple(input.shape[:2]) + (1,) * (input.ndim - 2)
    return _alpha_dropped(input, shape, p, training, inplace)


def _alpha_dropped(
    x: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool
) -> Tensor:
    from picograd.frontend.creation import filled

    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return x
    if p == 1:
        return _finish(x, mul(x, 0.0), inplace)
    lowest = 1.0507009873554805 * 1.6732632423543772  # minus the limit of selu
    scale = 1 / math.sqrt((lowest**2 * p + 1) * (1 - p))
    kept = filled((shape,), 0, x.dtype, x._storage.node.device, False, "alpha_dropout")
    kept = bernoulli_(kept, 1 - p)
    shift = mul(add(kept, p - 1), lowest * scale)
    return _finish(x, add(mul(x, mul(kept, scale)), shift), inplace)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Leaky relu with random slopes between the bounds; their mean when not training."""
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    from picograd.frontend.creation import zeros_like
    from picograd.frontend.sampling import uniform_

    slopes = uniform_(zeros_like(input), lower, upper, generator=generator)
    positive = lt(filled_like(input, 0), input)
    return _finish(input, choose(positive, input, mul(input, slopes)), inplace)
