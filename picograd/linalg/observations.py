"""What is measured between rows of observations: distances, covariances, correlations.

In: matrices. Out: tensors composed of tensor operations, with their gradients.

>>> import picograd
>>> cdist(picograd.tensor([[0.0, 0.0]]), picograd.tensor([[3.0, 4.0]])).tolist()
[[5.0]]
"""

from __future__ import annotations

from picograd.frontend import primitives
from picograd.frontend.autocasting import in_float32
from picograd.frontend.elementwise import floating
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import broadcast_shapes, type_name
from picograd.frontend.reductions import sum as total
from picograd.frontend.statistics import norm
from picograd.frontend.tensor import Tensor


@recorded_as("CdistBackward0")
@in_float32
def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """The p-norm of the difference of each row of one matrix and each row of the other."""
    for name, x in (("X1", x1), ("X2", x2)):
        if x.ndim < 2:
            raise RuntimeError(
                f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D, of shape "
                f"{list(x._shape)}"
            )
        if not x.dtype.is_float:
            raise RuntimeError(
                f"cdist only supports floating-point dtypes, {name} got: {type_name(x.dtype)}"
            )
    if x1._shape[-1] != x2._shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1._shape[-1]} X2: "
            f"{x2._shape[-1]}"
        )
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if not difference.numel():
        lead = broadcast_shapes(x1._shape[:-2], x2._shape[:-2])
        return total(difference, -1).reshape((*lead, x1._shape[-2], x2._shape[-2]))
    return norm(difference, p, -1)


def _weighted(x: Tensor, weights: Tensor | None) -> Tensor:
    return x if weights is None else x * weights


def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariances of variables, which are rows; each column is an observation."""
    if input.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with "
            f"{input.ndim} dimensions, of shape {list(input._shape)}"
        )
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None and given.ndim > 1:
            raise RuntimeError(
                f"cov(): expected {name} to have one or fewer dimensions but got {name} with "
                f"{given.ndim} dimensions"
            )
        if given is not None and bool((given < 0).any().item()):
            raise RuntimeError(f"cov(): {name} cannot be negative")
    x = floating(input).reshape((1, -1)) if input.ndim < 2 else floating(input)
    weights = aweights
    if fweights is not None:
        weights = fweights if aweights is None else fweights * aweights
    count = x._shape[1] if weights is None else total(weights)
    middle = total(_weighted(x, weights), 1, True) / count
    moved = x - middle
    lost: float | Tensor = float(correction)
    if aweights is not None and correction:
        lost = correction * total(_weighted(aweights, weights)) / count  # type: ignore[operator]
    size = count - lost
    if isinstance(size, Tensor):
        size = primitives.cast(size, x.dtype).clamp(min=0)  # type: ignore[attr-defined]
    else:
        size = max(size, 0.0)
    adjoint = moved.mH if x.dtype.is_complex else moved.mT
    result = (moved @ _weighted(adjoint.mT, weights).mT) / size
    return result.squeeze() if input.ndim < 2 or x._shape[0] == 1 else result


def corrcoef(input: Tensor) -> Tensor:
    """The correlations of variables: their covariances over their standard deviations."""
    found = cov(input)
    if not found.ndim:
        return found / found
    variances = found.diagonal()
    sizes = (variances.real if found.dtype.is_complex else variances).sqrt()  # type: ignore[attr-defined]
    result = found / sizes.unsqueeze(-1) / sizes.unsqueeze(0)
    return result if found.dtype.is_complex else result.clamp(-1, 1)  # type: ignore[attr-defined]
