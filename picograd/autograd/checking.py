"""`gradcheck`: gradients compared with differences of the function's values.

In: a function and its inputs in double precision. Out: True, or GradcheckError that shows both
Jacobians.

>>> import picograd
>>> x = picograd.tensor([0.5, 2.0], dtype=picograd.float64, requires_grad=True)
>>> gradcheck(picograd.sin, x), gradgradcheck(picograd.sin, x)
(True, True)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from picograd.frontend.autograd import grad
from picograd.frontend.grad_mode import enable_grad, no_grad
from picograd.frontend.random import randn
from picograd.frontend.tensor import Tensor


class GradcheckError(RuntimeError):
    """A gradient isn't what differences of the function say."""


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _numerical(
    func: Callable[..., Any], inputs: tuple[Any, ...], place: int, output: int, eps: float
) -> np.ndarray:
    """The Jacobian by central differences: a row for each element of the input."""
    x = inputs[place]
    start = x.detach().cpu().numpy().astype(x.dtype.numpy)
    steps = [eps, eps * 1j] if x.dtype.is_complex else [eps]
    rows = []
    for number in range(start.size):
        row = 0
        for step in steps:
            ends = []
            for sign in (1, -1):
                moved = start.copy().reshape(-1)
                moved[number] += sign * step
                some = list(inputs)
                some[place] = type(x).new_tensor(x, moved.reshape(start.shape))
                ends.append(_tuple(func(*some))[output].detach().cpu().numpy().reshape(-1).copy())
            slope = (ends[0] - ends[1]) / (2 * eps)
            row = row + (slope if step is steps[0] else 1j * slope)
        rows.append(row)
    return np.array(rows)


def _analytical(output: Tensor, x: Tensor, count: int) -> np.ndarray:
    """The Jacobian by backward: a column for each element of the output."""
    columns = []
    parts = [1, 1j] if output.dtype.is_complex else [1]
    for number in range(output.numel()):
        column = 0
        for part in parts:
            seed = np.zeros(output.numel(), output.dtype.numpy)
            seed[number] = part
            vector = output.new_tensor(seed.reshape(tuple(output.shape)))
            [found] = grad(output, x, vector, retain_graph=True, allow_unused=True)
            slope = np.zeros(count) if found is None else found.detach().cpu().numpy().reshape(-1)
            column = column + (slope if part == 1 else -1j * slope)
        columns.append(column / len(parts) if len(parts) > 1 else column)
    return np.array(columns).T.reshape(count, output.numel())


def _compare(
    func: Callable[..., Any], inputs: tuple[Any, ...], eps: float, atol: float, rtol: float
) -> None:
    outputs = _tuple(func(*inputs))
    for number, output in enumerate(outputs):
        if not isinstance(output, Tensor) or not output.dtype.is_inexact:
            continue
        for place, x in enumerate(inputs):
            if not isinstance(x, Tensor) or not x.requires_grad:
                continue
            if output.dtype.is_complex or x.dtype.is_complex:
                raise NotImplementedError("gradcheck of complex tensors isn't supported yet")
            with no_grad():
                expected = _numerical(func, inputs, place, number, eps)
            expected = expected.reshape(x.numel(), output.numel())
            found = np.zeros_like(expected)
            if output.requires_grad:
                found = _analytical(output, x, x.numel())
            if not np.allclose(found, expected, rtol, atol):
                raise GradcheckError(
                    f"Jacobian mismatch for output {number} with respect to input {place},\n"
                    f"numerical:{expected}\nanalytical:{found}\n"
                )


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of a function are those that its values have.

    Inputs that don't require grad are constants. The options about other checks change nothing.
    """
    given = _tuple(inputs)
    if not any(isinstance(x, Tensor) and x.requires_grad for x in given):
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have requires_grad=True."
        )
    try:
        with enable_grad():
            _compare(func, given, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    **options: Any,
) -> bool:
    """`gradcheck` of the gradients, as a function of the inputs and of the outputs' gradients."""
    given = _tuple(inputs)
    outputs = [x for x in _tuple(func(*given)) if isinstance(x, Tensor) and x.requires_grad]
    vectors = (
        _tuple(grad_outputs)
        if grad_outputs is not None
        else tuple([randn(*x.shape, dtype=x.dtype).requires_grad_() for x in outputs])
    )
    count = len(given)
    wanted = [n for n, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad]

    def slopes(*some: Any) -> tuple[Tensor, ...]:
        with enable_grad():
            fresh = [
                x.detach().requires_grad_() if n in wanted and not x.requires_grad else x
                for n, x in enumerate(some[:count])
            ]
            results = [x for x in _tuple(func(*fresh)) if isinstance(x, Tensor) and x.requires_grad]
            found = grad(
                results, [fresh[n] for n in wanted], some[count:], create_graph=True,
                allow_unused=True,
            )  # fmt: skip
        return tuple([x for x in found if x is not None])

    return gradcheck(
        slopes, (*given, *vectors), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception
    )
