"""Connectionist temporal classification: the loss of a sequence without an alignment.

In: log-probabilities (T, N, C), labels, and the lengths of both. Out: losses. Exported by
`picograd.nn.functional`. The recursion over time runs on the host, for all sequences at once.

Source: Graves et al. 2006, Connectionist Temporal Classification.

>>> import picograd
>>> even = picograd.zeros(2, 1, 2).log_softmax(-1)
>>> round(ctc_loss(even, picograd.tensor([[1]]), [2], [1], reduction="sum").exp().item(), 3)
1.333
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from picograd.dtypes import float32
from picograd.frontend import primitives
from picograd.frontend.autocasting import in_float32
from picograd.frontend.function import Function
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor

Lengths = Tensor | Sequence[int] | int


class _Task(NamedTuple):
    """Labels between blanks (N, 2 S + 1), the two lengths of each sequence, and what counts."""

    labels: np.ndarray
    times: np.ndarray
    sizes: np.ndarray
    blank: int
    zero_infinity: bool


@in_float32
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Minus the logarithm of the probability of the labels, over all alignments with blanks."""
    if log_probs.ndim not in (2, 3):
        raise RuntimeError(f"ctc_loss needs log_probs of 2 or 3 dimensions, got {log_probs.ndim}")
    batched = log_probs.ndim == 3
    scores = log_probs if batched else log_probs.unsqueeze(1)
    steps, batch, classes = scores._shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range [0, {classes}), got {blank}")
    times, sizes = (
        _lengths(input_lengths, batch, "input"),
        _lengths(target_lengths, batch, "target"),
    )
    if (times > steps).any() or (times < 0).any():
        raise RuntimeError(
            f"Expected input_lengths to have value at most {steps}, but got {times.tolist()}"
        )
    labels = _labels(values(targets), sizes, blank)
    wide = primitives.cast(scores, float32) if scores.dtype.itemsize == 2 else scores
    task = _Task(labels, times, sizes, blank, zero_infinity)
    losses = _Alignments.apply(wide, task)
    if zero_infinity:
        losses = choose(losses == math.inf, 0.0, losses)  # type: ignore[arg-type]
    if reduction == "mean":
        counts = np.maximum(sizes, 1).astype(losses.dtype.numpy)
        losses = (losses / from_array(counts, scores._storage.node.device)).mean()
    elif reduction == "sum":
        losses = losses.sum()
    elif reduction != "none":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    losses = losses if batched or losses.ndim == 0 else losses.squeeze(0)
    return primitives.cast(losses, log_probs.dtype)


def _lengths(given: Lengths, batch: int, name: str) -> np.ndarray:
    found = values(given) if isinstance(given, Tensor) else np.asarray(given)
    if found.dtype.kind not in "iu":
        raise RuntimeError(f"{name}_lengths must be integral")
    found = found.reshape(-1)
    if len(found) != batch:
        raise RuntimeError(f"{name}_lengths must be of size batch_size ({batch}), got {len(found)}")
    return found.astype(np.int64)


def _labels(targets: np.ndarray, sizes: np.ndarray, blank: int) -> np.ndarray:
    """(N, 2 S + 1): the labels of each sequence with blanks around them; padded with blanks."""
    longest = int(sizes.max(initial=0))
    if targets.ndim == 2 and targets.shape[1] < longest:
        raise RuntimeError(
            f"Expected tensor to have size at least {longest} at dimension 1, but got size "
            f"{list(targets.shape)}"
        )
    if targets.ndim == 1 and len(targets) < sizes.sum():
        raise RuntimeError(
            f"Expected targets of at least {int(sizes.sum())} labels, but got {len(targets)}"
        )
    result = np.full((len(sizes), 2 * longest + 1), blank, np.int64)
    ends = np.cumsum(sizes)
    for row, (size, end) in enumerate(zip(sizes, ends, strict=True)):
        own = targets[row, :size] if targets.ndim == 2 else targets[end - size : end]
        result[row, 1 : 2 * size : 2] = own
    return result


def _like(array: np.ndarray, x: Tensor) -> Tensor:
    return from_array(np.asarray(array, x.dtype.numpy), x._storage.node.device)


def _previous(labels: np.ndarray, blank: int) -> np.ndarray:
    """Where a label may follow the one before without a blank between: unless they are equal."""
    leap = np.zeros(labels.shape, bool)
    leap[:, 2:] = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    return leap


def _moved(x: np.ndarray, by: int) -> np.ndarray:
    """Each state's number in the place `by` states on; nothing comes in."""
    result = np.full_like(x, -np.inf)
    result[:, by:] = x[:, :-by]
    return result


def _reached(
    found: np.ndarray, leap: np.ndarray, sizes: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """(T, N, S): the log-probability of all ways to each state; past its end, a row repeats."""
    alpha = np.full(found.shape, -np.inf)
    alpha[0, :, 0] = found[0, :, 0]
    alpha[0, :, 1:2] = np.where(sizes[:, None] > 0, found[0, :, 1:2], -np.inf)
    for step in range(1, len(found)):
        before = alpha[step - 1]
        two = np.where(leap, _moved(before, 2), -np.inf)
        ways = np.logaddexp(np.logaddexp(before, _moved(before, 1)), two)
        alpha[step] = np.where((step < times)[:, None], ways + found[step], before)
    return alpha


def _ends(alpha: np.ndarray, sizes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The log-probability of each sequence of labels: it ends in its last label or a blank."""
    rows = np.arange(len(sizes))
    if not len(alpha):
        return np.where(sizes == 0, 0.0, -np.inf)
    last = alpha[-1, rows, 2 * sizes]
    label = np.where(sizes > 0, alpha[-1, rows, np.maximum(2 * sizes - 1, 0)], -np.inf)
    return np.where(times > 0, np.logaddexp(last, label), np.where(sizes == 0, 0.0, -np.inf))


class _Alignments(Function):
    """The losses; the gradient is that of normalised scores: probabilities less shares."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, task: _Task) -> Tensor:
        array = values(scores).astype(np.float64)
        found = np.take_along_axis(
            array, np.broadcast_to(task.labels, (len(array), *task.labels.shape)), 2
        )
        with np.errstate(invalid="ignore"):
            alpha = _reached(found, _previous(task.labels, task.blank), task.sizes, task.times)
        likelihood = _ends(alpha, task.sizes, task.times)
        ctx.task, ctx.found, ctx.alpha, ctx.likelihood = task, found, alpha, likelihood
        ctx.save_for_backward(scores)
        return _like(-likelihood, scores)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (scores,) = ctx.saved_tensors
        task, likelihood = ctx.task, ctx.likelihood
        shares = np.zeros(scores._shape)
        with np.errstate(invalid="ignore"):
            through = ctx.alpha + _left(ctx.found, task)
            each = np.exp(through - likelihood[:, None])
        rows = np.broadcast_to(np.arange(len(task.sizes))[:, None], task.labels.shape)
        for step, one in enumerate(each):
            np.add.at(shares[step], (rows, task.labels), one)
        within = (np.arange(len(shares))[:, None] < task.times) & np.isfinite(likelihood)
        impossible = (np.arange(len(shares))[:, None] < task.times) & ~np.isfinite(likelihood)
        slope = np.where(within[..., None], np.exp(values(scores)) - shares, 0.0)
        if not task.zero_infinity:
            slope = np.where(impossible[..., None], np.nan, slope)
        return _like(slope, scores) * gradient.unsqueeze(-1), None


def _left(found: np.ndarray, task: _Task) -> np.ndarray:
    """(T, N, S): the log-probability of all ways from each state on, without its own score."""
    beta = np.full(found.shape, -np.inf)
    leap = np.zeros_like(task.labels, dtype=bool)
    leap[:, :-2] = _previous(task.labels, task.blank)[:, 2:]
    width = task.labels.shape[1]
    final = np.arange(width) == 2 * task.sizes[:, None]
    final |= np.arange(width) == 2 * task.sizes[:, None] - 1
    after = np.full(found.shape[1:], -np.inf)
    for step in range(len(found) - 1, -1, -1):
        one, two = _moved(after[:, ::-1], 1)[:, ::-1], _moved(after[:, ::-1], 2)[:, ::-1]
        ways = np.logaddexp(np.logaddexp(after, one), np.where(leap, two, -np.inf))
        ends = np.where(final, 0.0, -np.inf)
        last = np.equal(step, task.times - 1)[:, None]
        beta[step] = np.where(last, ends, np.where((step < task.times)[:, None], ways, -np.inf))
        after = beta[step] + found[step]
    return beta
