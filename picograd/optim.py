"""Optimisers: SGD, Adam, AdamW, RMSprop, Adagrad.

In: parameters with gradients. Out: new contents of the parameters, written in place without being
recorded. An update is a few lazy operations per parameter, so that all of them run as few kernels
together with backward. Numbers that change every step (bias corrections) are Python floats: the
engine turns them into run-time values.

>>> import picograd
>>> w = picograd.tensor([1.0], requires_grad=True)
>>> optimizer = SGD([w], lr=0.5)
>>> (w * w).sum().backward()
>>> optimizer.step()
>>> w.tolist()
[0.0]
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from picograd.frontend.creation import zeros_like
from picograd.frontend.elementwise import add, addcdiv, addcmul, div, mul, neg, sqrt, sub
from picograd.frontend.grad_mode import enable_grad, no_grad
from picograd.frontend.selection import maximum
from picograd.frontend.tensor import Tensor

Group = dict[str, Any]  # torch's param_groups: settings by name, and the list "params"
State = dict[str, Any]  # torch's per-parameter state: tensors and numbers by name
Closure = Callable[[], Tensor]
Parameters = Iterable[Tensor] | Iterable[Group] | Iterable[tuple[str, Tensor]]


class Optimizer:
    """The parameters in groups, their state, and what every optimiser does with them."""

    def __init__(self, params: Parameters, defaults: Group) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type(params).__name__}"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, State] = defaultdict(dict)
        self.param_groups: list[Group] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)  # type: ignore[arg-type]

    def add_param_group(self, param_group: Group) -> None:
        """Optimise further parameters, with settings of their own."""
        given = param_group["params"]
        listed = [given] if isinstance(given, Tensor) else list(given)
        listed = [one[1] if isinstance(one, tuple) else one for one in listed]
        known = set(chain.from_iterable(group["params"] for group in self.param_groups))
        for parameter in listed:
            if not isinstance(parameter, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is "
                    f"{type(parameter).__name__}"
                )
            if not parameter.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if parameter in known:
                raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append({**self.defaults, **param_group, "params": listed})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for parameter in self._parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad = zeros_like(parameter)

    def _parameters(self) -> Iterator[Tensor]:
        for group in self.param_groups:
            yield from group["params"]

    def step(self, closure: Closure | None = None) -> Tensor | None:
        """Update the parameters once; `closure` computes the loss (and gradients) again."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        gradient = parameter.grad
                        if group.get("maximize"):
                            gradient = neg(gradient)
                        self.update(parameter, gradient, self.state[parameter], group)
        return loss

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        """One parameter's step."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    # --- saving ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state, with parameters numbered instead of named by themselves."""
        numbers = {id(parameter): n for n, parameter in enumerate(self._parameters())}
        groups = [
            {**group, "params": [numbers[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {numbers[id(p)]: dict(one) for p, one in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` gave."""
        saved = state_dict["param_groups"]
        if [len(g["params"]) for g in saved] != [len(g["params"]) for g in self.param_groups]:
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        for group, other in zip(self.param_groups, saved, strict=True):
            group.update({key: value for key, value in other.items() if key != "params"})
        order = list(chain.from_iterable(group["params"] for group in saved))
        by_number = dict(zip(order, self._parameters(), strict=True))
        self.state.clear()
        for number, one in state_dict["state"].items():
            self.state[by_number[number]] = {
                key: value.detach().clone() if isinstance(value, Tensor) else value
                for key, value in one.items()
            }

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for n, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {n}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _check(name: str, value: float, valid: bool) -> None:
    if not valid:
        raise ValueError(f"Invalid {name}: {value}")


def _number(value: float | Tensor) -> float:
    return float(value.item()) if isinstance(value, Tensor) else value


def _blend(old: Tensor, new: Tensor, keep: float) -> Tensor:
    """`keep * old + (1 - keep) * new`, as `lerp_` rounds it."""
    return add(old, mul(sub(new, old), 1 - keep))


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
        _check("learning rate", _number(lr), _number(lr) >= 0)
        _check("momentum value", momentum, momentum >= 0)
        _check("weight_decay value", weight_decay, weight_decay >= 0)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        if group["weight_decay"]:
            gradient = add(gradient, mul(parameter, group["weight_decay"]))
        momentum = group["momentum"]
        if momentum:
            before = state.get("momentum_buffer")
            if before is None:
                state["momentum_buffer"] = velocity = gradient.detach().clone()
            else:
                velocity = add(mul(before, momentum), mul(gradient, 1 - group["dampening"]))
                before._overwrite(velocity)
            gradient = add(gradient, mul(velocity, momentum)) if group["nesterov"] else velocity
        parameter._overwrite(add(parameter, mul(gradient, -_number(group["lr"]))))


class Adam(Optimizer):
    """Steps scaled by running averages of the gradient and its square."""

    decoupled = False  # AdamW: weight decay acts on the parameter, not on the gradient

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
    ) -> None:
        _check("learning rate", _number(lr), _number(lr) >= 0)
        _check("epsilon value", eps, eps >= 0)
        _check("beta parameter at index 0", betas[0], 0 <= betas[0] < 1)
        _check("beta parameter at index 1", betas[1], 0 <= betas[1] < 1)
        _check("weight_decay value", weight_decay, weight_decay >= 0)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        first, second = group["betas"]
        rate, decay = _number(group["lr"]), group["weight_decay"]
        if not state:
            state["step"] = 0
            state["exp_avg"], state["exp_avg_sq"] = zeros_like(parameter), zeros_like(parameter)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = zeros_like(parameter)
        state["step"] = step = int(_number(state["step"])) + 1
        current: Tensor = parameter
        if decay and self.decoupled:
            current = mul(current, 1 - rate * decay)
        elif decay:
            gradient = add(gradient, mul(current, decay))
        average = _blend(state["exp_avg"], gradient, first)
        squares = addcmul(mul(state["exp_avg_sq"], second), gradient, gradient, value=1 - second)
        state["exp_avg"]._overwrite(average)
        state["exp_avg_sq"]._overwrite(squares)
        if group["amsgrad"]:
            squares = maximum(state["max_exp_avg_sq"], squares)
            state["max_exp_avg_sq"]._overwrite(squares)
        correction = math.sqrt(1 - second**step)
        spread = add(div(sqrt(squares), correction), group["eps"])
        parameter._overwrite(addcdiv(current, average, spread, value=-rate / (1 - first**step)))


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    decoupled = True

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
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


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
        _check("learning rate", _number(lr), _number(lr) >= 0)
        _check("epsilon value", eps, eps >= 0)
        _check("momentum value", momentum, momentum >= 0)
        _check("weight_decay value", weight_decay, weight_decay >= 0)
        _check("alpha value", alpha, alpha >= 0)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        alpha, rate = group["alpha"], _number(group["lr"])
        if not state:
            state["step"] = 0
            state["square_avg"] = zeros_like(parameter)
            if group["momentum"]:
                state["momentum_buffer"] = zeros_like(parameter)
            if group["centered"]:
                state["grad_avg"] = zeros_like(parameter)
        state["step"] = int(_number(state["step"])) + 1
        if group["weight_decay"]:
            gradient = add(gradient, mul(parameter, group["weight_decay"]))
        squares = addcmul(mul(state["square_avg"], alpha), gradient, gradient, value=1 - alpha)
        state["square_avg"]._overwrite(squares)
        if group["centered"]:
            average = _blend(state["grad_avg"], gradient, alpha)
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
        _check("learning rate", _number(lr), _number(lr) >= 0)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        if not state:
            state["step"] = 0
            state["sum"] = add(zeros_like(parameter), group["initial_accumulator_value"])
        state["step"] = step = int(_number(state["step"])) + 1
        if group["weight_decay"]:
            gradient = add(gradient, mul(parameter, group["weight_decay"]))
        total = addcmul(state["sum"], gradient, gradient)
        state["sum"]._overwrite(total)
        rate = _number(group["lr"]) / (1 + (step - 1) * group["lr_decay"])
        spread = add(sqrt(total), group["eps"])
        parameter._overwrite(addcdiv(parameter, gradient, spread, value=-rate))
