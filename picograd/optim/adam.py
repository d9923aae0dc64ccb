"""Adam and AdamW, NAdam, RAdam, Adamax: running averages of the gradient and of its size.

In: parameters, gradients, settings. Out: `update`, called by `Optimizer.step` for each parameter.
Numbers that change every step (bias corrections) are Python floats: the engine turns them into
run-time values, so that every step runs the same kernels.

>>> import picograd
>>> w = picograd.tensor([1.0, 2.0], requires_grad=True)
>>> optimizer = Adam([w], lr=0.5)
>>> (w * w).sum().backward()
>>> optimizer.step()
>>> w
tensor([0.5000, 1.5000], requires_grad=True)
"""

from __future__ import annotations

import math
from typing import Any

from picograd.frontend.creation import zeros_like
from picograd.frontend.elementwise import abs, add, addcdiv, addcmul, div, mul, sqrt, sub
from picograd.frontend.hostdata import settle
from picograd.frontend.selection import maximum
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
    rewrite,
)


class _TwoAverages(Optimizer):
    """What the four with averages of the gradient and of its square share."""

    def _averages(
        self, parameter: Tensor, gradient: Tensor, state: State, group: Group
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The parameter and the gradient after weight decay, and the two averages with this
        gradient, which are in the state as well."""
        first, second = group["betas"]
        decay = group["weight_decay"]
        current = parameter
        if decay and group["decoupled_weight_decay"]:
            current = mul(current, 1 - number(group["lr"]) * decay)
        else:
            gradient = decayed(parameter, gradient, group)
        average = blend(state["exp_avg"], gradient, first)
        squares = addcmul(mul(state["exp_avg_sq"], second), gradient, gradient, value=1 - second)
        state["exp_avg"]._overwrite(average)
        state["exp_avg_sq"]._overwrite(squares)
        return current, gradient, average, squares

    def _begin(self, parameter: Tensor, state: State) -> None:
        state["step"] = 0
        state["exp_avg"], state["exp_avg_sq"] = (
            settle(zeros_like(parameter)),
            settle(zeros_like(parameter)),
        )


class Adam(_TwoAverages):
    """Steps scaled by running averages of the gradient and its square."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_usual(lr, eps, weight_decay, betas)
        settings = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, settings)

    def begin(self, parameter: Tensor, state: State, group: Group) -> None:
        self._begin(parameter, state)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = settle(zeros_like(parameter))

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        first, second = group["betas"]
        if not state:
            self.begin(parameter, state, group)
        step = count_step(state)
        decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        numbers = [1 - first, second, 1 - second, math.sqrt(1 - second**step), group["eps"]]
        numbers.append(-number(group["lr"]) / (1 - first**step))
        if decay:
            numbers.append(1 - number(group["lr"]) * decay if decoupled else decay)
        averages = [state["exp_avg"], state["exp_avg_sq"]]
        if group["amsgrad"]:
            averages.append(state["max_exp_avg_sq"])
        rewrite(
            [*averages, parameter],
            _adam,
            [parameter, gradient, *averages],
            numbers,
            bool(group["amsgrad"]),
            bool(decay and decoupled),
            bool(decay and not decoupled),
        )


def _adam(
    parameter: Tensor, gradient: Tensor, average: Tensor, squares: Tensor, *others: Any
) -> list[Tensor]:
    """The new averages (and, for AMSGrad, the largest one) and the new parameter."""
    *tensors, amsgrad, decoupled, coupled = others
    largest = tensors[: int(amsgrad)]
    fresh, keep, share, correction, eps, rate, *decay = tensors[int(amsgrad) :]
    if decoupled:
        parameter = mul(parameter, decay[0])
    if coupled:
        gradient = add(gradient, mul(parameter, decay[0]))
    average = add(average, mul(sub(gradient, average), fresh))
    squares = add(mul(squares, keep), mul(mul(gradient, gradient), share))
    if amsgrad:
        largest = [maximum(largest[0], squares)]
    spread = add(div(sqrt(largest[0] if amsgrad else squares), correction), eps)
    parameter = add(parameter, div(mul(average, rate), spread))
    return [average, squares, *largest, parameter]


class AdamW(Adam):
    """Adam with decoupled weight decay: it acts on the parameter, not on the gradient."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )


class NAdam(_TwoAverages):
    """Adam with Nesterov's momentum."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_usual(lr, eps, weight_decay, betas)
        check("momentum_decay value", momentum_decay, momentum_decay >= 0)
        settings = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, settings)

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        first, second = group["betas"]
        rate = number(group["lr"])
        if not state:
            self._begin(parameter, state)
            state["mu_product"] = 1.0
        step = count_step(state)
        current, gradient, average, squares = self._averages(parameter, gradient, state, group)
        this, following = (
            first * (1 - 0.5 * 0.96 ** (n * group["momentum_decay"])) for n in (step, step + 1)
        )
        state["mu_product"] = product = number(state["mu_product"]) * this
        spread = add(sqrt(div(squares, 1 - second**step)), group["eps"])
        current = addcdiv(current, gradient, spread, value=-rate * (1 - this) / (1 - product))
        ahead = -rate * following / (1 - product * following)
        parameter._overwrite(addcdiv(current, average, spread, value=ahead))


class RAdam(_TwoAverages):
    """Adam that starts with plain momentum until the variance of its scale is bounded."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_usual(lr, eps, weight_decay, betas)
        settings = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, settings)

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        first, second = group["betas"]
        if not state:
            self._begin(parameter, state)
        step = count_step(state)
        current, _, average, squares = self._averages(parameter, gradient, state, group)
        rate = number(group["lr"]) / (1 - first**step)
        remaining = 1 - second**step
        longest = 2 / (1 - second) - 1
        length = longest - 2 * step * second**step / remaining
        if length <= 5:
            parameter._overwrite(add(current, mul(average, -rate)))
            return
        rectified = math.sqrt(
            (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        )
        spread = add(sqrt(squares), group["eps"])
        factor = -rate * math.sqrt(remaining) * rectified
        parameter._overwrite(addcdiv(current, average, spread, value=factor))


class Adamax(Optimizer):
    """Adam with the largest gradient of late in place of the average of squares."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_usual(lr, eps, weight_decay, betas)
        settings = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, settings)

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        first, second = group["betas"]
        if not state:
            state["step"] = 0
            state["exp_avg"], state["exp_inf"] = (
                settle(zeros_like(parameter)),
                settle(zeros_like(parameter)),
            )
        step = count_step(state)
        gradient = decayed(parameter, gradient, group)
        average = blend(state["exp_avg"], gradient, first)
        largest = maximum(mul(state["exp_inf"], second), add(abs(gradient), group["eps"]))
        state["exp_avg"]._overwrite(average)
        state["exp_inf"]._overwrite(largest)
        rate = number(group["lr"]) / (1 - first**step)
        parameter._overwrite(addcdiv(parameter, average, largest, value=-rate))
