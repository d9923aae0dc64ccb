"""Creation functions and promotion against torch."""

from __future__ import annotations

import numpy as np
import pytest

import picograd
from tests.frontend.parity import check, torch

CASES = {
    "zeros": (
        lambda t: (t.zeros(2, 3), t.zeros((2,)), t.zeros([1, 2], dtype=t.int32), t.zeros(())),
    ),
    "zeros_size": (lambda t: (t.zeros(size=(2, 3)), t.ones(0, 3), t.zeros(t.Size([2]))),),
    "negative": (lambda t: t.zeros(3, -1),),
    "float_size": (lambda t: t.zeros(3.5),),
    "ones": (lambda t: (t.ones(2, 3, dtype=t.bool), t.ones(2, requires_grad=True)),),
    "full": (
        lambda t: (
            t.full((2,), 1),
            t.full((2,), 1.0),
            t.full((), True),
            t.full((2,), 3, dtype=t.float64),
        ),
    ),
    "like": (
        lambda t, x: (t.zeros_like(x), t.ones_like(x, dtype=t.int8), t.full_like(x, 7)),
        (2, 3),
    ),
    "new": (lambda t, x: (x.new_zeros(2), x.new_ones((1, 2)), x.new_full((2,), 5)), (2, 3)),
    "arange": (lambda t: (t.arange(5), t.arange(1, 5), t.arange(1, 6, 2), t.arange(5, 0, -2)),),
    "arange_float": (
        lambda t: (t.arange(5.0), t.arange(0, 1, 0.1), t.arange(0, 2, 0.5, dtype=t.float64)),
    ),
    "arange_int_dtype": (
        lambda t: (t.arange(0, 5, dtype=t.int32), t.arange(0, 5, dtype=t.float32)),
    ),
    "arange_wrong": (lambda t: t.arange(0, 5, -1),),
    "arange_zero_step": (lambda t: t.arange(0, 5, 0),),
    "arange_empty": (lambda t: t.arange(0),),
    "linspace": (
        lambda t: (
            t.linspace(0, 1, 5),
            t.linspace(-3, 10, 7, dtype=t.float64),
            t.linspace(2, 3, 1),
        ),
    ),
    "linspace_zero": (lambda t: t.linspace(0, 1, 0),),
    "logspace": (lambda t: t.logspace(0, 2, 3),),
    "eye": (lambda t: (t.eye(3), t.eye(2, 3), t.eye(2, dtype=t.int64)),),
    "tri_indices": (lambda t: (t.tril_indices(3, 4), t.triu_indices(3, 3, 1)),),
    "broadcast_shapes": (lambda t: t.broadcast_shapes((2, 1), (3,), (1, 1)),),
    "broadcast_wrong": (lambda t: t.broadcast_shapes((2, 3), (4,)),),
    "tensors_in_lists_are_numbers": (
        lambda t: (
            t.tensor([t.tensor([1.0]), t.tensor([[2.0]]), t.tensor(3.0), 4.0]),
            t.tensor([[t.tensor([1])], [t.tensor([2])]]),
            t.as_tensor([t.ones(1), t.zeros(1)], dtype=t.float64),
            t.FloatTensor([t.tensor([1]), t.tensor([2])]),
        ),
    ),
    "longer_tensors_in_lists": (lambda t: t.tensor([t.ones(2), t.ones(2)]),),
    "longer_integers_in_lists": (lambda t: t.tensor([t.tensor([1, 2]), t.tensor([3, 4])]),),
    "complex": (lambda t, x, y: t.complex(x, y).real + t.complex(x, y).abs(), (3,), (3,)),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    function, *specs = CASES[name]
    check(function, *specs, rtol=1e-6)


def test_result_type_of_all_pairs():
    names = [
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
    ]
    pairs = [(a, b) for a in names for b in names]
    for a, b in pairs:
        for left, right in (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())):
            ours, theirs = (
                m.result_type(m.ones(left, dtype=getattr(m, a)), m.ones(right, dtype=getattr(m, b)))
                for m in (picograd, torch)
            )
            assert repr(ours) == repr(theirs), (a, b, left, right)
    for a in names:
        for number in (True, 1, 1.5):
            ours, theirs = (
                m.result_type(m.ones(2, dtype=getattr(m, a)), number) for m in (picograd, torch)
            )
            assert repr(ours) == repr(theirs), (a, number)
    for a, b in pairs:
        assert picograd.can_cast(getattr(picograd, a), getattr(picograd, b)) == torch.can_cast(
            getattr(torch, a), getattr(torch, b)
        ), (a, b)


def test_default_dtype():
    picograd.set_default_dtype(picograd.float64)
    try:
        assert picograd.zeros(2).dtype is picograd.float64
        assert (picograd.ones(2, dtype=picograd.int64) + 0.5).dtype is picograd.float64
    finally:
        picograd.set_default_dtype(picograd.float32)
    with pytest.raises(TypeError):
        picograd.set_default_dtype(picograd.int64)


def test_numpy_numbers_are_numbers():
    check(lambda t, x: (x + np.float32(1), x * np.int64(2), x + np.float64(0.5)), (3,))
