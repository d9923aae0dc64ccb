"""SGD, ASGD and Rprop: steps along the gradient, or along its sign.

In: parameters, gradients, settings. Out: `update`, called by `Optimizer.step` for each parameter.

>>> import picograd
>>> w = picograd.tensor([1.0], requires_grad=True)
>>> optimizer = SGD([w], lr=0.5)
>>> (w * w).sum().backward()
>>> optimizer.step()
>>> w.tolist()
[0.0]
"""

from __future__ import annotations

from typing import Any, cast

from picograd.frontend.creation import full_like, zeros_like
from picograd.frontend.elementwise import add, mul, sub
from picograd.frontend.hostdata import settle
from picograd.frontend.selection import clamp, sign, where
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


class SGD(Optimizer):
    """Gradient descent, with momentum, Nesterov's variant and weight decay."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_usual(lr)
        check("momentum value", momentum, momentum >= 0)
        check("weight_decay value", weight_decay, weight_decay >= 0)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        settings = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, settings)

    def begin(self, parameter: Tensor, state: State, group: Group) -> None:
        if group["momentum"] and not group["dampening"]:
            state["momentum_buffer"] = settle(zeros_like(parameter))

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        decay, momentum, rate = group["weight_decay"], group["momentum"], -number(group["lr"])
        numbers = [rate, decay] if decay else [rate]
        if not momentum:
            rewrite([parameter], _descent, [parameter, gradient], numbers)
            return
        before, share = state.get("momentum_buffer"), 1 - group["dampening"]
        if before is None:  # the first gradient counts in full; the program stays the same
            before = state["momentum_buffer"] = settle(zeros_like(parameter))
            share = 1
        sources, numbers = [parameter, gradient, before], [momentum, share, *numbers]
        rewrite([before, parameter], _momentum, sources, numbers, bool(group["nesterov"]))


def _descent(parameter: Tensor, gradient: Tensor, rate: Tensor, *decay: Tensor) -> list[Tensor]:
    """The new parameter."""
    for factor in decay:
        gradient = add(gradient, mul(parameter, factor))
    return [add(parameter, mul(gradient, rate))]


def _momentum(
    parameter: Tensor,
    gradient: Tensor,
    before: Tensor,
    momentum: Tensor,
    share: Tensor,
    rate: Tensor,
    *others: Any,
) -> list[Tensor]:
    """The new velocity and the new parameter."""
    *decay, nesterov = others
    for factor in decay:
        gradient = add(gradient, mul(parameter, factor))
    velocity = add(mul(before, momentum), mul(gradient, share))
    step = add(gradient, mul(velocity, momentum)) if nesterov else velocity
    return [velocity, add(parameter, mul(step, rate))]


class ASGD(Optimizer):
    """Gradient descent with decaying steps; `state["ax"]` is the average of the parameters."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_usual(lr, weight_decay=weight_decay)
        settings = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, settings)

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        rate, decay = number(group["lr"]), group["lambd"]
        if not state:
            state["step"], state["eta"], state["mu"] = 0, rate, 1.0
            state["ax"] = settle(zeros_like(parameter))
        step = count_step(state)
        gradient = decayed(parameter, gradient, group)
        stride, weight = number(state["eta"]), number(state["mu"])
        updated = add(mul(parameter, 1 - decay * stride), mul(gradient, -stride))
        average = state["ax"]
        if weight != 1:
            average._overwrite(add(average, mul(sub(updated, average), weight)))
        else:
            average._overwrite(updated)
        parameter._overwrite(updated)
        state["eta"] = rate / (1 + decay * rate * step) ** group["alpha"]
        state["mu"] = 1 / max(1, step - group["t0"])


class Rprop(Optimizer):
    """Steps of a size of their own per element: longer while the gradient keeps its sign."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_usual(lr)
        check("eta values", f"{etas[0]}, {etas[1]}", 0 < etas[0] < 1 < etas[1])
        settings = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, settings)

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        shrink, grow = group["etas"]
        if not state:
            state["step"] = 0
            state["prev"] = settle(zeros_like(parameter))
            state["step_size"] = settle(full_like(parameter, number(group["lr"])))
        count_step(state)
        agreement = mul(gradient, state["prev"])
        turned = agreement < 0
        factor = cast(
            "Tensor", where(agreement > 0, grow, cast("Tensor", where(turned, shrink, 1.0)))
        )
        size = clamp(mul(state["step_size"], factor), *group["step_sizes"])
        kept = cast("Tensor", where(turned, 0.0, gradient))
        state["step_size"]._overwrite(size)
        state["prev"]._overwrite(kept)
        parameter._overwrite(sub(parameter, mul(sign(kept), size)))
