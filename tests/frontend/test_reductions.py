"""Reductions, scans, statistics and sorting against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.frontend.parity import check

S = (3, 4)
INT = ("int64", S)
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], np.float32)
NANS = np.array([[1.0, np.nan, 3.0], [2.0, 5.0, -1.0]], np.float32)
BIG = np.array([[1000.0, 999.0, -1000.0], [-2000.0, -2001.0, 3.0]], np.float32)

CASES = {
    "sum": (lambda t, x: (x.sum(), x.sum(1), x.sum((0, 1)), x.sum(-1, keepdim=True)), S),
    "sum_numpy_names": (lambda t, x: x.sum(axis=1, keepdims=True), S),
    "sum_int": (lambda t, x: (x.sum(), x.int().sum(0), x.bool().sum(), x.float().sum()), INT),
    "sum_dtype": (lambda t, x: (x.sum(dtype=t.float64), t.sum(x, 0, dtype=t.int64)), INT),
    "sum_empty_dims": (lambda t, x: x.sum(()), S),
    "sum_bad_dim": (lambda t, x: x.sum(5), S),
    "sum_twice": (lambda t, x: x.sum((0, 0)), S),
    "sum_scalar": (lambda t, x: (x.sum(), x.sum(0)), ()),
    "mean": (lambda t, x: (x.mean(), x.mean(1), x.mean((0, 1), keepdim=True)), S),
    "mean_int": (lambda t, x: x.mean(), INT),
    "mean_int_dtype": (lambda t, x: x.mean(dtype=t.float32), INT),
    "prod": (lambda t, x: (x.prod(), x.prod(1), x.prod(0, keepdim=True)), S),
    "prod_zero": (lambda t, x: x.prod(1), np.float32([[0, 2, 3], [0, 0, 1], [1, 2, 3]])),
    "prod_int": (lambda t, x: x.prod(1), INT),
    "nansum": (lambda t, x: (x.nansum(), x.nanmean(1)), NANS),
    "max": (lambda t, x: (x.max(), x.max(1), x.max(0, keepdim=True), x.min(), x.min(1)), S),
    "max_ties": (lambda t, x: (x.max(1), x.min(1)), TIES),
    "max_named": (lambda t, x: (x.max(dim=-1).values, x.min(dim=0).indices), S),
    "max_nan": (lambda t, x: (x.max(), x.max(1).values, x.argmax(1), x.amin(1)), NANS),
    "max_pair": (lambda t, x, y: (t.max(x, y), t.min(x, y)), S, S),
    "max_int": (lambda t, x: (x.max(), x.max(1), x.argmax(), x.argmin(0)), INT),
    "max_scalar": (lambda t, x: (x.max(), x.max(0)), ()),
    "max_bad_dim": (lambda t, x: t.max(x, dim=3), S),
    "max_empty": (lambda t: t.ones(2, 0).max(),),
    "max_empty_dim": (lambda t: t.ones(2, 0).max(1),),
    "max_empty_ok": (lambda t: t.ones(2, 0).max(0),),
    "amax": (lambda t, x: (x.amax(), x.amax(1), x.amin((0, 1)), x.amax(1, keepdim=True)), S),
    "amax_ties": (lambda t, x: x.amax(1), TIES),
    "aminmax": (lambda t, x: t.aminmax(x, dim=1), S),
    "argmax": (lambda t, x: (x.argmax(), x.argmax(1), x.argmin(0, keepdim=True)), S),
    "argmax_ties": (lambda t, x: (x.argmax(1), x.argmin(1)), TIES),
    "all_any": (lambda t, x: (x.all(), x.any(), x.all(1), x.any(0, keepdim=True)), ("bool", S)),
    "all_any_number": (lambda t, x: (x.all(), x.any(1), x.byte().all()), INT),
    "count": (lambda t, x: (t.count_nonzero(x), t.count_nonzero(x, 1)), INT),
    "var": (lambda t, x: (x.var(), x.var(1), x.var(0, keepdim=True), x.var(unbiased=False)), S),
    "std": (lambda t, x: (x.std(), x.std(1, unbiased=False), x.std(dim=0, correction=2)), S),
    "var_positional": (lambda t, x: (x.var(False), x.std(True), t.var(x, 1, False)), S),
    "std_zero": (lambda t, x: x.std(1), TIES),
    "var_mean": (lambda t, x: (t.var_mean(x, 1), t.std_mean(x)), S),
    "norm": (
        lambda t, x: (x.norm(), x.norm(dim=1), x.norm(1), x.norm(3, dim=0), x.norm(p=float("inf"))),
        S,
    ),
    "norm_zero": (lambda t, x: (x.norm(), x.norm(dim=1)), np.zeros((2, 2), np.float32)),
    "norm_int": (lambda t, x: x.norm(), INT),
    "dist": (lambda t, x, y: t.dist(x, y), S, S),
    "logsumexp": (lambda t, x: (x.logsumexp(1), t.logsumexp(x, (0, 1), keepdim=True)), S),
    "logsumexp_big": (lambda t, x: x.logsumexp(1), BIG),
    "logsumexp_inf": (lambda t, x: x.logsumexp(0), np.float32([-np.inf, -np.inf])),
    "softmax": (lambda t, x: (x.softmax(1), t.softmax(x, 0), t.softmax(x, -1, dtype=t.float64)), S),
    "softmax_big": (lambda t, x: (x.softmax(1), x.log_softmax(1)), BIG),
    "softmax_masked": (lambda t, x: x.softmax(-1), np.float32([[1, -np.inf, 2], [0, 0, -np.inf]])),
    "softmax_scalar": (lambda t, x: (x.softmax(0), x.log_softmax(0)), ()),
    "softmax_int": (lambda t, x: x.softmax(1), INT),
    "softmax_bad_dim": (lambda t, x: x.softmax(4), S),
    "log_softmax": (lambda t, x: (x.log_softmax(1), t.log_softmax(x, 0)), S),
    "cumsum": (lambda t, x: (x.cumsum(1), t.cumsum(x, 0), x.cumsum(-1, dtype=t.float64)), S),
    "cumsum_int": (lambda t, x: (x.cumsum(1), x.bool().cumsum(0), x.int().cumsum(0)), INT),
    "cumprod": (lambda t, x: x.cumprod(1), S),
    "cumprod_zero": (lambda t, x: x.cumprod(1), np.float32([[1, 0, 2, 3], [0, 1, 0, 2]])),
    "cummax": (lambda t, x: (t.cummax(x, 1), x.cummin(0)), S),
    "cummax_ties": (lambda t, x: t.cummax(x, 1), TIES),
    "logcumsumexp": (lambda t, x: t.logcumsumexp(x, 1), S),
    "diff": (lambda t, x: (t.diff(x), t.diff(x, n=2, dim=0), x.diff(dim=0)), S),
    "trapezoid": (lambda t, x, y: (t.trapezoid(x), t.trapezoid(y, x)), (4,), S),
    "sort": (lambda t, x: (x.sort(), x.sort(0, descending=True), x.argsort(1)), S),
    "sort_ties": (
        lambda t, x: (
            t.sort(x, dim=1, stable=True),
            t.argsort(x, dim=1, descending=True, stable=True),
        ),
        TIES,
    ),
    "sort_nan": (lambda t, x: (x.sort(1).values, x.sort(1, descending=True).values), NANS),
    "sort_int": (lambda t, x: (x.sort(stable=True), x.msort()), INT),
    "topk": (lambda t, x: (x.topk(2), t.topk(x, 1, dim=0, largest=False)), S),
    "topk_bad": (lambda t, x: x.topk(9), S),
    "kthvalue": (lambda t, x: (x.kthvalue(2), x.kthvalue(1, 0, keepdim=True)), S),
    "median": (lambda t, x: (x.median(), x.median(1), x.median(0, keepdim=True)), S),
    "median_nan": (lambda t, x: (x.median(1).values, x.nanmedian(1).values, x.median()), NANS),
    "mode": (lambda t, x: x.mode(1).values, INT),
    "quantile": (lambda t, x: (x.quantile(0.3), x.quantile(0.5, dim=1, keepdim=True)), S),
    "quantiles": (lambda t, x, q: t.quantile(x, q, dim=1), S, np.float32([0.1, 0.9])),
    "unique": (
        lambda t, x: (x.unique(), t.unique(x, return_inverse=True, return_counts=True)),
        INT,
    ),
    "unique_nan": (lambda t: t.unique(t.tensor([math.nan, 1, math.nan]), return_inverse=True),),
    "unique_far": (
        lambda t, x: t.unique(x, return_inverse=True, return_counts=True),
        np.array([[1 << 62, -(1 << 63), 7], [7, (1 << 63) - 1, -(1 << 63)]]),
    ),
    "unique_rows": (lambda t, x: t.unique(x, dim=0), np.array([[1, 2], [0, 1], [1, 2]])),
    "unique_consecutive": (
        lambda t, x: t.unique_consecutive(x, return_inverse=True, return_counts=True),
        np.array([1, 1, 2, 3, 3, 1]),
    ),
    "bincount": (lambda t, x: (t.bincount(x), t.bincount(x, minlength=9)), np.array([1, 3, 1])),
    "histc": (lambda t, x: t.histc(x, 4, -2, 2), S),
    "histc_found": (lambda t, x: (t.histc(x, 5), t.histc(x[:0], 3), t.histc(x * 0 + 2)), S),
    "histc_edges": (lambda t, x: t.histc(t.arange(60) / 10, 12, 0.5, 5.3), S),
    "searchsorted": (
        lambda t, x: (t.searchsorted(t.arange(5.0), x), t.bucketize(x, t.arange(3.0), right=True)),
        S,
    ),
    "isin": (lambda t, x: t.isin(x, t.tensor([1, 2])), INT),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    function, *specs = CASES[name]
    no_gradient = (
        "quantile",
        "quantiles",
        "histc",
        "histc_found",
        "histc_edges",
        "searchsorted",
        "std_zero",
        "max_nan",
    )
    check(function, *specs, grad=name not in no_gradient, rtol=5e-5)


def test_second_derivative_of_softmax_and_sigmoid():
    def run(t, x):
        (first,) = t.autograd.grad((x.softmax(0) ** 2 * t.sigmoid(x)).sum(), x, create_graph=True)
        return (first**2).sum()

    check(run, (5,), rtol=1e-4)
