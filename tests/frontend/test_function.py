"""`autograd.Function`: a backward that may be differentiated once only."""

from __future__ import annotations

import pytest

import picograd
from picograd.autograd import Function, once_differentiable


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 3 * x * x


def test_once_differentiable_gives_first_derivatives():
    x = picograd.tensor(2.0, requires_grad=True)
    Cube.apply(x).backward()
    assert x.grad.item() == 12.0


def test_once_differentiable_refuses_second_derivatives():
    x = picograd.tensor(2.0, requires_grad=True)
    y = Cube.apply(x * 1)
    (first,) = picograd.autograd.grad(y * y, x, create_graph=True)
    assert first.item() == 192.0
    with pytest.raises(RuntimeError, match="once_differentiable"):
        picograd.autograd.grad(first, x)


def test_variables_are_tensors():
    torch = pytest.importorskip("torch")
    for module in (picograd, torch):
        variable = module.autograd.Variable
        source = module.ones(2, requires_grad=True)
        made = variable(source * 2)
        assert isinstance(made, variable) and isinstance(source, variable)
        assert type(made) is module.Tensor and not made.requires_grad
        assert variable(source * 2, requires_grad=True).is_leaf
        assert variable(module.ones(1), True).requires_grad
        with pytest.raises(TypeError, match="has to be a tensor"):
            variable([1.0])
        with pytest.warns(UserWarning, match="volatile was removed"):
            variable(source, volatile=True)
