"""RMSprop, Adagrad, Adadelta: steps divided by the root of squared gradients.

In: parameters, gradients, settings. Out: `update`, called by `Optimizer.step` for each parameter.

>>> import picograd
>>> w = picograd.tensor([1.0, 2.0], requires_grad=True)
>>> optimizer = Adagrad([w], lr=0.5)
>>> (w * w).sum().backward()
>>> optimizer.step()
>>> w
tensor([0.5000, 1.5000], requires_grad=True)
"""

from __future__ import annotations

from typing import Any

from picograd.frontend.creation import full_like, zeros_like
from picograd.frontend.elementwise import add, addcmul, div, mul, sqrt, sub
from picograd.frontend.hostdata import settle
from picograd.frontend.tensor import Tensor
from picograd.optim.optimizer import (
    Group,
    Optimizer,
    Parameters,
    State,
    check,
    check_usual,
    count_step,
    decayed,
    number,
    rewrite,
)


class RMSprop(Optimizer):
    """Steps divided by the root of a running average of squared gradients."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_usual(lr, eps)
        check("momentum value", momentum, momentum >= 0)
        check("weight_decay value", weight_decay, weight_decay >= 0)
        check("alpha value", alpha, alpha >= 0)
        settings = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, settings)

    def begin(self, parameter: Tensor, state: State, group: Group) -> None:
        state["step"] = 0
        state["square_avg"] = settle(zeros_like(parameter))
        if group["momentum"]:
            state["momentum_buffer"] = settle(zeros_like(parameter))
        if group["centered"]:
            state["grad_avg"] = settle(zeros_like(parameter))

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        alpha, decay, momentum = group["alpha"], group["weight_decay"], group["momentum"]
        if not state:
            self.begin(parameter, state, group)
        count_step(state)
        kept = [state["square_avg"]]
        kept += [state["grad_avg"]] if group["centered"] else []
        kept += [state["momentum_buffer"]] if momentum else []
        numbers = [alpha, 1 - alpha, group["eps"], -number(group["lr"])]
        numbers += [one for one in (momentum, decay) if one]
        switches = bool(group["centered"]), bool(momentum), bool(decay)
        sources = [parameter, gradient, *kept]
        rewrite([*kept, parameter], _rmsprop, sources, numbers, *switches)


def _rmsprop(parameter: Tensor, gradient: Tensor, squares: Tensor, *others: Any) -> list[Tensor]:
    """The new averages (of squares; if centered, of gradients; with momentum, the velocity) and the
    new parameter."""
    *tensors, centered, moving, decays = others
    rest = iter(tensors)
    average = next(rest) if centered else None
    velocity = next(rest) if moving else None
    keep, share, eps, rate = (next(rest) for _ in range(4))
    momentum = next(rest) if moving else None
    if decays:
        gradient = add(gradient, mul(parameter, next(rest)))
    squares = add(mul(squares, keep), mul(mul(gradient, gradient), share))
    made, size = [squares], squares
    if average is not None:
        average = add(average, mul(sub(gradient, average), share))
        made.append(average)
        size = sub(squares, mul(average, average))
    step = div(gradient, add(sqrt(size), eps))
    if velocity is not None and momentum is not None:
        step = add(mul(velocity, momentum), step)
        made.append(step)
    return [*made, add(parameter, mul(step, rate))]


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_usual(lr)
        check("lr_decay value", lr_decay, lr_decay >= 0)
        check("weight_decay value", weight_decay, weight_decay >= 0)
        start = initial_accumulator_value
        check("initial_accumulator_value value", start, start >= 0)
        check("epsilon value", eps, eps >= 0)
        settings = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, settings)
        for group in self.param_groups:
            for parameter in group["params"]:
                total = settle(full_like(parameter, group["initial_accumulator_value"]))
                self.state[parameter] = {"step": 0, "sum": total.detach()}

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        if not state:  # a parameter of a group that was added later
            state["step"] = 0
            state["sum"] = settle(full_like(parameter, group["initial_accumulator_value"]))
        step, decay = count_step(state), group["weight_decay"]
        rate = number(group["lr"]) / (1 + (step - 1) * group["lr_decay"])
        numbers = [group["eps"], -rate, *([decay] if decay else [])]
        sources = [parameter, gradient, state["sum"]]
        rewrite([state["sum"], parameter], _adagrad, sources, numbers)


def _adagrad(
    parameter: Tensor, gradient: Tensor, total: Tensor, eps: Tensor, rate: Tensor, *decay: Tensor
) -> list[Tensor]:
    """The new sum of squares and the new parameter."""
    if decay:
        gradient = add(gradient, mul(parameter, decay[0]))
    total = add(total, mul(gradient, gradient))
    return [total, add(parameter, mul(div(gradient, add(sqrt(total), eps)), rate))]


class Adadelta(Optimizer):
    """Steps of the size that earlier steps had, relative to the gradients' size."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_usual(lr)
        check("rho value", rho, 0 <= rho <= 1)
        check_usual(lr, eps, weight_decay)
        settings = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, settings)

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        rho, eps = group["rho"], group["eps"]
        if not state:
            state["step"] = 0
            state["square_avg"], state["acc_delta"] = (
                settle(zeros_like(parameter)),
                settle(zeros_like(parameter)),
            )
        count_step(state)
        gradient = decayed(parameter, gradient, group)
        squares = addcmul(mul(state["square_avg"], rho), gradient, gradient, value=1 - rho)
        before = sqrt(add(state["acc_delta"], eps))
        delta = mul(div(before, sqrt(add(squares, eps))), gradient)
        moved = addcmul(mul(state["acc_delta"], rho), delta, delta, value=1 - rho)
        state["square_avg"]._overwrite(squares)
        state["acc_delta"]._overwrite(moved)
        parameter._overwrite(add(parameter, mul(delta, -number(group["lr"]))))
