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

from picograd.frontend.creation import full_like, zeros_like
from picograd.frontend.elementwise import add, addcdiv, addcmul, div, mul, sqrt
from picograd.frontend.hostdata import settle
from picograd.frontend.tensor import Tensor
from picograd.optim.optimizer import (
    Group,
    Optimizer,
    Parameters,
    State,
    blend,
    check,
    check_usual,
    count_step,
    decayed,
    number,
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

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        alpha, rate = group["alpha"], number(group["lr"])
        if not state:
            state["step"] = 0
            state["square_avg"] = settle(zeros_like(parameter))
            if group["momentum"]:
                state["momentum_buffer"] = settle(zeros_like(parameter))
            if group["centered"]:
                state["grad_avg"] = settle(zeros_like(parameter))
        count_step(state)
        gradient = decayed(parameter, gradient, group)
        squares = addcmul(mul(state["square_avg"], alpha), gradient, gradient, value=1 - alpha)
        state["square_avg"]._overwrite(squares)
        if group["centered"]:
            average = blend(state["grad_avg"], gradient, alpha)
            state["grad_avg"]._overwrite(average)
            squares = addcmul(squares, average, average, value=-1)
        spread = add(sqrt(squares), group["eps"])
        if not group["momentum"]:
            parameter._overwrite(addcdiv(parameter, gradient, spread, value=-rate))
            return
        velocity = addcdiv(mul(state["momentum_buffer"], group["momentum"]), gradient, spread)
        state["momentum_buffer"]._overwrite(velocity)
        parameter._overwrite(add(parameter, mul(velocity, -rate)))


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
        step = count_step(state)
        gradient = decayed(parameter, gradient, group)
        total = addcmul(state["sum"], gradient, gradient)
        state["sum"]._overwrite(total)
        rate = number(group["lr"]) / (1 + (step - 1) * group["lr_decay"])
        spread = add(sqrt(total), group["eps"])
        parameter._overwrite(addcdiv(parameter, gradient, spread, value=-rate))


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
