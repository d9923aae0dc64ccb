"""The base of the schedulers: it counts steps and puts learning rates into the optimiser's groups.

In: an optimiser; from a subclass `get_lr`, the rates of the groups at `last_epoch`. Out: new `lr`
entries. Attributes have torch's names, because a state dict is these attributes.

>>> import picograd
>>> optimizer = picograd.optim.SGD([picograd.ones(1, requires_grad=True)], lr=1.0)
>>> class Halving(LRScheduler):
...     def get_lr(self):
...         return [rate / 2**self.last_epoch for rate in self.base_lrs]
>>> scheduler = Halving(optimizer)
>>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
[0.5]
"""

from __future__ import annotations

import functools
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any, cast

from picograd.frontend.tensor import Tensor
from picograd.optim.optimizer import Group, Optimizer, number

Rate = Any  # a number, or a tensor with one element
Factor = Callable[[int], float]

ORDER = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and later, "
    "you should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.  "
    "Failure to do this will result in PyTorch skipping the first value of the learning rate "
    "schedule. See more details at "
    "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
)
OVERRIDDEN = (
    "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
    "initialization. Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. "
    "See more details at "
    "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
)
EPOCH = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler. During the deprecation, if "
    "epoch is different from None, the closed form is used instead of the new chainable form, "
    "where available."
)
RESUMED = (
    "param 'initial_lr' is not specified in param_groups[{}] when resuming scheduler with "
    "last_epoch >= 0.\nThis typically happens when:\n1. You're trying to resume training from a "
    "checkpoint but haven't properly loaded the optimizer state\n2. You're using last_epoch >= 0 "
    "for a fresh training run (not recommended)"
)


class LRScheduler:
    """Subclasses give the rates in `get_lr`, and may give a closed form as well."""

    # Attributes of the class until they are set: they are no part of a fresh state.
    _get_lr_called_within_step: bool = False
    _is_initial: bool = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for n, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(RESUMED.format(n))
        self.base_lrs: list[Rate] = current(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _note_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the rates of the beginning."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_last_lr(self) -> list[Rate]:
        """The rates that the last step set, one for each group."""
        return self._last_lr

    def get_lr(self) -> list[Rate]:
        """The rates at `last_epoch`, computed from those that are set."""
        raise NotImplementedError

    def step(self, epoch: Any = None) -> None:
        """Go on by one (or to `epoch`)."""
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "noted_for_schedulers"):
                warnings.warn(OVERRIDDEN, UserWarning, stacklevel=2)
            elif not getattr(self.optimizer, "_opt_called", False):
                warnings.warn(ORDER, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        """Compute the rates of the next epoch, or of a given one, and set them."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed = getattr(self, "_get_closed_form_lr", None) if epoch is not None else None
        self._get_lr_called_within_step = True
        try:
            rates = self.get_lr() if closed is None else closed()
        finally:
            self._get_lr_called_within_step = False
        self._set(rates)

    def _set(self, rates: list[Rate]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            assign(group, "lr", rate)
        self._last_lr = current(self.optimizer, "lr")

    def state_dict(self) -> dict[str, Any]:
        """Every attribute but the optimiser."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` gave."""
        self.__dict__.update(state_dict)

    # --- what subclasses say their rates with -----------------------------------------------------

    def _check_caller(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use "
                "`get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _scaled(self, factor: float) -> list[Rate]:
        """The rates that are set, times a factor."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _unchanged(self) -> list[Rate]:
        return current(self.optimizer, "lr")

    def _from_base(self, factor: float) -> list[Rate]:
        """The rates of the beginning, times a factor."""
        return [rate * factor for rate in self.base_lrs]


def copied(value: Rate) -> Rate:
    """A rate that doesn't change when the group's does."""
    return value.clone() if isinstance(value, Tensor) else value


def current(optimizer: Optimizer, key: str) -> list[Rate]:
    """A setting of every group."""
    return [copied(group[key]) for group in optimizer.param_groups]


def assign(group: Group, key: str, value: Rate) -> None:
    """Set a setting; one that is a tensor stays the same tensor."""
    if isinstance(group[key], Tensor):
        group[key].fill_(number(value))
    else:
        group[key] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Rate]:
    """One value for each group, given as one for all or as a list."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [copied(value) for _ in range(count)]
    if len(value) != count:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has "
            f"{len(value)} values, param_groups has {count}."
        )
    return [copied(one) for one in value]


def functions_state(functions: list[Factor]) -> list[dict[str, Any] | None]:
    """What a state dict keeps of functions: the attributes of callable objects."""
    return [
        None if isinstance(one, types.FunctionType) else one.__dict__.copy() for one in functions
    ]


def _note_steps(optimizer: Optimizer) -> None:
    """Have the optimiser remember that it took a step (`_opt_called`)."""
    if hasattr(optimizer.step, "noted_for_schedulers"):
        return
    plain = optimizer.step.__func__  # type: ignore[attr-defined]
    reference = weakref.ref(optimizer)

    @functools.wraps(plain)
    def step(*args: Any, **kwargs: Any) -> Any:
        owner = reference()
        owner._opt_called = True  # type: ignore[union-attr]
        return plain(owner, *args, **kwargs)

    cast("Any", step).noted_for_schedulers = True
    optimizer.step = step  # type: ignore[method-assign]
