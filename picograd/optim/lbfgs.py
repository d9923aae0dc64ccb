"""L-BFGS: quasi-Newton steps from the last gradients, with an optional line search.

In: one group of parameters and a closure that computes loss and gradients again. Out: the
parameters after up to `max_iter` steps. All parameters are one long vector here.

>>> import picograd
>>> w = picograd.tensor([3.0, -4.0], requires_grad=True)
>>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
>>> def closure():
...     optimizer.zero_grad()
...     loss = (w * w).sum()
...     loss.backward()
...     return loss
>>> _ = optimizer.step(closure)
>>> w.abs().max().item() < 1e-5
True
"""

from __future__ import annotations

from typing import Any

from picograd.frontend.contractions import dot
from picograd.frontend.creation import zeros_like
from picograd.frontend.elementwise import add, mul, neg, sub
from picograd.frontend.grad_mode import enable_grad, no_grad
from picograd.frontend.movement import cat
from picograd.frontend.tensor import Tensor
from picograd.optim import line_search
from picograd.optim.line_search import Point
from picograd.optim.optimizer import Closure, Optimizer, Parameters, State, check_usual, number

LEAST_CURVATURE = 1e-10  # a pair of steps and gradients flatter than that teaches nothing


class LBFGS(Optimizer):
    """Limited-memory BFGS; `step` needs a closure."""

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_usual(lr)
        settings = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, settings)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def step(self, closure: Closure | None = None) -> Any:
        """Up to `max_iter` steps; gives the loss before the first."""
        if closure is None:
            raise TypeError("LBFGS.step() missing 1 required positional argument: 'closure'")
        with no_grad():
            return self._run(closure)

    def _run(self, closure: Closure) -> Tensor:
        group = self.param_groups[0]
        rate, change = number(group["lr"]), group["tolerance_change"]
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss, here = self._evaluate(closure)
        loss, evaluations = float(first_loss.item()), 1
        state["func_evals"] += 1
        if _largest(here) <= group["tolerance_grad"]:
            return first_loss
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = _direction(state, here, group["history_size"])
            state["d"], state["prev_flat_grad"], state["prev_loss"] = direction, here, loss
            fresh = state["n_iter"] == 1
            step = min(1.0, 1.0 / here.abs().sum().item()) * rate if fresh else rate
            state["t"] = step
            slope = _dot(here, direction)
            if slope > -change:
                break
            last = iteration == group["max_iter"]
            if group["line_search_fn"] is not None:
                start = Point(0.0, loss, here, slope)
                found, used = self._search(closure, start, step, evaluations)
                state["t"] = step = found.distance
                loss, here = found.loss, found.gradient
            else:
                self._move(self._values(), direction, step)
                used = 0
                if not last:
                    value, here = self._evaluate(closure)
                    loss, used = float(value.item()), 1
            evaluations += used
            state["func_evals"] += used
            finished = last or evaluations >= group["max_eval"]
            settled = _largest(here) <= group["tolerance_grad"]
            still = _largest(direction) * abs(step) <= change
            if finished or settled or still or abs(loss - state["prev_loss"]) < change:
                break
        return first_loss

    def _search(
        self, closure: Closure, start: Point, step: float, evaluations: int
    ) -> tuple[Point, int]:
        """A line search along the direction; leaves the parameters at the point it found."""
        group = self.param_groups[0]
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        direction = self.state[group["params"][0]]["d"]
        before = self._values()

        def evaluate(distance: float) -> Point:
            self._move(before, direction, distance)
            loss, gradient = self._evaluate(closure)
            return Point(distance, float(loss.item()), gradient, _dot(gradient, direction))

        found, used = line_search.search(
            evaluate,
            start,
            step,
            _largest(direction),
            group["max_eval"] - evaluations,
            group["tolerance_change"],
        )
        self._move(before, direction, found.distance)
        return found, used

    # --- the parameters as one vector -----------------------------------------------------------

    def _evaluate(self, closure: Closure) -> tuple[Tensor, Tensor]:
        """The loss, and all the gradients as one vector."""
        with enable_grad():
            loss = closure()
        parts = [
            (zeros_like(p) if p.grad is None else p.grad.detach()).reshape(-1)
            for p in self._parameters()
        ]
        return loss, cat(parts)

    def _values(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self._parameters()]

    def _move(self, origin: list[Tensor], direction: Tensor, distance: float) -> None:
        """Put the parameters at a distance from `origin`."""
        offset = 0
        for parameter, value in zip(self._parameters(), origin, strict=True):
            count = parameter.numel()
            part = direction[offset : offset + count].reshape(parameter.shape)
            parameter._overwrite(add(value, mul(part, distance)))
            offset += count


def _dot(a: Tensor, b: Tensor) -> float:
    return float(dot(a, b).item())


def _largest(x: Tensor) -> float:
    return float(x.abs().max().item())


def _direction(state: State, gradient: Tensor, history: int) -> Tensor:
    """The quasi-Newton direction: the two loops over the remembered steps."""
    if state["n_iter"] == 1:
        state["old_dirs"], state["old_stps"], state["ro"], state["H_diag"] = [], [], [], 1.0
        return neg(gradient)
    changes, steps, weights = state["old_dirs"], state["old_stps"], state["ro"]
    turn = sub(gradient, state["prev_flat_grad"])
    step = mul(state["d"], number(state["t"]))
    curvature = _dot(turn, step)
    if curvature > LEAST_CURVATURE:
        if len(changes) == history:
            for remembered in (changes, steps, weights):
                remembered.pop(0)
        changes.append(turn)
        steps.append(step)
        weights.append(1.0 / curvature)
        state["H_diag"] = curvature / _dot(turn, turn)
    result = neg(gradient)
    shares = [0.0] * len(changes)
    for n in range(len(changes) - 1, -1, -1):
        shares[n] = _dot(steps[n], result) * number(weights[n])
        result = add(result, mul(changes[n], -shares[n]))
    result = mul(result, number(state["H_diag"]))
    for n in range(len(changes)):
        back = _dot(changes[n], result) * number(weights[n])
        result = add(result, mul(steps[n], shares[n] - back))
    return result
