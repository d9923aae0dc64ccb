"""Advanced indexing, gathers and scatters against torch."""

from __future__ import annotations

import numpy as np
import pytest

import picograd
from tests.frontend.parity import check

S = (4, 5)
T = (2, 3, 4, 5)
PAIR = np.array([[0, 2], [3, 1]])
MASK = np.array([True, False, True, True])

READS = {
    "vector": (lambda t, x, i: x[i], S, np.array([0, 2, 2, -1])),
    "matrix": (lambda t, x, i: x[i], S, PAIR),
    "list": (lambda t, x: (x[[0, 2]], x[[0, 2], [1, 3]], x[:, [0, 0, 4]]), S),
    "range": (lambda t, x: x[range(3), [0, 1, 2]], S),
    "numpy": (lambda t, x: x[np.array([1, 2])], S),
    "arange": (lambda t, x, i: x[t.arange(4), i], S, np.array([0, 4, 1, 1])),
    "column": (lambda t, x, i: x[:, i], S, np.array([0, 4])),
    "middle": (lambda t, x, i: x[:, i], T, PAIR % 3),
    "two_together": (lambda t, x, i, j: x[:, i, j], T, np.array([0, 1]), np.array([3, 2])),
    "two_apart": (lambda t, x, i, j: x[i, :, j], T, np.array([0, 1]), np.array([3, 2])),
    "with_int": (lambda t, x, i: (x[0, i], x[i, 0], x[i, :, 1]), T, np.array([0, 1])),
    "with_none": (lambda t, x, i: (x[None, i], x[i, None], x[:, None, i]), S, np.array([0, 1])),
    "none_between": (lambda t, x, i: x[i, None, i], S, np.array([0, 1])),
    "ellipsis": (lambda t, x, i: (x[..., i], x[i, ...], x[..., i, :]), T, np.array([0, 1])),
    "slices": (lambda t, x, i: (x[1:, i], x[i, ::2], x[i, 1:3]), S, np.array([0, 1])),
    "broadcast": (lambda t, x, i, j: x[i, j], S, np.array([[0], [1]]), np.array([2, 3])),
    "scalar_tensor": (lambda t, x: (x[t.tensor(1)], x[:, t.tensor(2)], x[t.tensor(1), [0, 1]]), S),
    "negative": (lambda t, x, i: x[i], S, np.array([-1, -4])),
    "int32": (lambda t, x, i: x[i.int()], S, np.array([1, 2])),
    "empty": (lambda t, x: x[[]], S),
    "mask": (lambda t, x, m: x[m], S, MASK),
    "mask_full": (lambda t, x: x[x > 0], S),
    "mask_and_int": (lambda t, x, m: (x[m, 1], x[m, 1:3]), S, MASK),
    "mask_and_index": (lambda t, x, m: x[m, [0, 1, 2]], S, MASK),
    "mask_second": (lambda t, x, m: x[:, m], (2, 4), MASK),
    "mask_list": (lambda t, x: x[[True, False, True, False]], S),
    "bool": (lambda t, x: (x[True], x[False]), S),
    "mask_0d": (lambda t, x: x[x > -100], ()),
    "out_of_range": (lambda t, x, i: x[i], S, np.array([4])),
    "out_of_range_negative": (lambda t, x, i: x[:, i], S, np.array([-6])),
    "float_index": (lambda t, x: x[t.tensor([0.5])], S),
    "too_many": (lambda t, x: x[[0], [0], [0]], S),
    "mismatch": (lambda t, x: x[[0, 1], [0, 1, 2]], S),
    "mask_wrong": (lambda t, x, m: x[:, m], S, MASK),
}


@pytest.mark.parametrize("name", READS)
def test_read(name):
    function, *specs = READS[name]
    check(function, *specs)


def write(index, value):
    def run(t, x, *rest):
        y = x * 1
        y[index(t, *rest) if callable(index) else index] = (
            value(t, *rest) if callable(value) else value
        )
        return y

    return run


WRITES = {
    "number": (write(([0, 2],), 7.0), S),
    "pair": (write(([0, 2], [1, 1]), -1), S),
    "tensor": (write(lambda t, v: ([0, 2],), lambda t, v: v), S, (2, 5)),
    "broadcast": (write(lambda t, v: (slice(None), [0, 2]), lambda t, v: v), S, (2,)),
    "broadcast_row": (write(lambda t, v: ([0, 2],), lambda t, v: v), S, (5,)),
    "with_slice": (write(lambda t, v: (slice(1, 3), [0, 2]), lambda t, v: v), S, (2, 2)),
    "apart": (write(lambda t, v: ([0, 1], slice(None), [3, 2]), lambda t, v: v), T, (2, 3, 5)),
    "mask": (write(lambda t, m: m, 0.0), S, MASK),
    "mask_rows": (write(lambda t, m, v: m, lambda t, m, v: v), S, MASK, (3, 5)),
    "mask_tensor": (write(lambda t, m, v: m, lambda t, m, v: v), (4,), MASK, (3,)),
    "mask_0d_value": (write(lambda t, m, v: m, lambda t, m, v: v), S, MASK, ()),
    "mask_and_slice": (write(lambda t, m: (m, slice(0, 2)), 5.0), S, MASK),
    "list_value": (write(([0, 1],), lambda t: t.arange(5.0)), S),
    "negative": (write(lambda t: t.tensor([-1, 0]), 3.0), S),
    "too_large": (write(([0, 1],), lambda t: t.ones(3, 5)), S),
    "other_dtype": (write(([0, 1],), lambda t: t.ones(5, dtype=t.float64)), S),
    "out_of_range": (write(lambda t: t.tensor([9]), 3.0), S),
}


@pytest.mark.parametrize("name", WRITES)
def test_write(name):
    function, *specs = WRITES[name]
    check(function, *specs)


def test_increment_by_index_and_diagonal():
    def run(t, x):
        y = x * 1
        idx = t.arange(4)
        y[idx, idx] = 0
        y[[0, 1], [2, 2]] += 5
        y[y > 1] *= 2
        return y

    check(run, S)


INDEX = np.array([[0, 1, 2, 0, 3], [3, 3, 1, 0, 0]])
CASES = {
    "gather": (lambda t, x, i: (x.gather(0, i), t.gather(x, 1, i)), S, INDEX),
    "gather_out": (lambda t, x: x.gather(0, t.tensor([[5]])), S),
    "gather_rank": (lambda t, x: x.gather(0, t.tensor([1])), S),
    "gather_scalar": (lambda t, x: x.gather(0, t.tensor([0, 0])), (2,)),
    "take_along": (lambda t, x, i: t.take_along_dim(x, i, dim=0), S, INDEX),
    "scatter": (lambda t, x, i, v: x.scatter(0, i, v), S, np.array([[0, 1, 2, 3, 0]]), (1, 5)),
    "scatter_number": (
        lambda t, x, i: (x.scatter(0, i, 9.0), t.zeros(4, 5).scatter_(1, i, 1)),
        S,
        INDEX,
    ),
    "scatter_value": (lambda t, x, i: x.scatter(1, i, value=2), S, INDEX),
    "scatter_src_larger": (lambda t, x, v: x.scatter(0, t.tensor([[1, 0]]), v), S, (2, 5)),
    "scatter_add": (
        lambda t, x, i, v: (x.scatter_add(0, i, v), x.scatter_add(1, i, v)),
        S,
        INDEX,
        (2, 5),
    ),
    "scatter_add_": (lambda t, i, v: t.zeros(4, 5).scatter_add_(0, i, v), INDEX, (2, 5)),
    "index_select": (
        lambda t, x, i: (x.index_select(0, i), t.index_select(x, 1, i)),
        S,
        np.array([1, 1, 0]),
    ),
    "index_select_out": (lambda t, x: x.index_select(0, t.tensor([7])), S),
    "index_add": (lambda t, x, i, v: x.index_add(0, i, v, alpha=2), S, np.array([1, 1, 0]), (3, 5)),
    "index_add_1": (lambda t, x, i, v: x.index_add(1, i, v), S, np.array([1, 1, 0]), (4, 3)),
    "index_copy": (lambda t, x, i, v: x.index_copy(1, i, v), S, np.array([1, 0]), (4, 2)),
    "index_fill": (lambda t, x, i: x.index_fill(1, i, -1), S, np.array([1, 0])),
    "index_put": (lambda t, x, i, v: x.index_put((i,), v), S, np.array([1, 0]), (2, 5)),
    "index_put_add": (
        lambda t, x, i, v: x.index_put((i,), v, accumulate=True),
        S,
        np.array([1, 1]),
        (2, 5),
    ),
    "take": (lambda t, x, i: x.take(i), S, np.array([0, 19, -1])),
    "masked_select": (
        lambda t, x, m: (x.masked_select(x > 0), t.masked_select(x, m)),
        (3, 4),
        MASK,
    ),
    "masked_scatter": (lambda t, x, m, v: x.masked_scatter(m, v), (4,), MASK, (5,)),
    "nonzero": (
        lambda t, x: (x.nonzero(), t.nonzero(x, as_tuple=True), t.argwhere(x)),
        ("int64", S),
    ),
    "where_indices": (lambda t, x: t.where(x > 0), S),
    "reduce_sum": (lambda t, x, i, v: x.scatter_reduce(0, i, v, "sum"), S, INDEX, (2, 5)),
    "reduce_mean": (lambda t, x, i, v: x.scatter_reduce(0, i, v, "mean"), S, INDEX, (2, 5)),
    "reduce_without": (
        lambda t, x, i, v: x.scatter_reduce(0, i, v, "sum", include_self=False),
        S,
        INDEX,
        (2, 5),
    ),
    "reduce_amax": (lambda t, x, i, v: x.scatter_reduce(0, i, v, "amax"), S, INDEX, (2, 5)),
    "reduce_prod": (lambda t, x, i, v: x.scatter_reduce(0, i, v, "prod"), S, INDEX, (2, 5)),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    function, *specs = CASES[name]
    check(function, *specs, grad=name != "scatter_src_larger")  # torch's own gradient fails there


def test_a_mask_of_more_dims_than_the_tensor_is_an_error() -> None:
    x, mask = picograd.zeros(2, 3), picograd.ones(2, 3, 1, dtype=picograd.bool)
    with pytest.raises(IndexError, match="too many indices for tensor of dimension 2"):
        x[mask]
    with pytest.raises(IndexError, match="too many indices for tensor of dimension 2"):
        x[mask] = 1
