"""Averages of a model's weights over its training: `torch.optim.swa_utils`.

In: a model, and again the same model as it is trained. Out: `AveragedModel`, a copy with averaged
parameters (all weighted alike, or exponentially), `SWALR`, the schedule that leads to a constant
rate, and `update_bn`, which measures the statistics of batch normalisation anew for the average.

Source: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization.

>>> import picograd
>>> model = picograd.nn.Linear(1, 1)
>>> average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
>>> average.update_parameters(model)
>>> average.n_averaged.item()
1
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from picograd.dtypes import int64
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.interop import tensor
from picograd.frontend.tensor import Tensor
from picograd.nn.layers.normalisation import _BatchNorm
from picograd.nn.module import Module
from picograd.optim.lr_scheduler.base import LRScheduler, Rate, per_group
from picograd.optim.optimizer import Optimizer

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip

Average = Callable[[Tensor, Tensor, Any], Tensor]
Averages = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1].")


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """`decay` times the average plus the rest of the new value."""
    _check_decay(decay)

    @no_grad()
    def average(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return decay * ema_param + (1 - decay) * current_param

    return average


def get_swa_avg_fn() -> Average:
    """The mean of all values so far."""

    @no_grad()
    def average(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return average


def _in_place(average: Average) -> Averages:
    @no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Any) -> None:
        for old, new in zip(averaged, current, strict=True):
            old.copy_(average(old, new, num_averaged))

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """The same as `get_ema_avg_fn`, of lists of tensors and in place."""
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Averages:
    """The same as `get_swa_avg_fn`, of lists of tensors and in place."""
    return _in_place(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model, with averages of its parameters (and, if wanted, of its buffers)."""

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn, self.multi_avg_fn = avg_fn, multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's result."""
        return self.module(*args, **kwargs)

    def _state(self, model: Module) -> Iterator[Tensor]:
        """What is averaged."""
        return itertools.chain(model.parameters(), model.buffers() if self.use_buffers else ())

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of a model into the average; the first ones are copied."""
        own = [x.detach() for x in self._state(self.module)]
        new = [x.detach().to(x.device) for x in self._state(model)]
        if self.n_averaged == 0:
            for averaged, current in zip(own, new, strict=True):
                averaged.copy_(current)
        elif self.avg_fn is not None:
            for averaged, current in zip(own, new, strict=True):
                averaged.copy_(self.avg_fn(averaged, current, self.n_averaged))
        else:
            self._average_groups(own, new)
        if not self.use_buffers:
            for kept, current in zip(self.module.buffers(), model.buffers(), strict=True):
                kept.copy_(current)
        self.n_averaged.add_(1)

    def _average_groups(self, own: list[Tensor], new: list[Tensor]) -> None:
        """Lists of one dtype at a time, as the functions for lists expect them."""
        update = self.multi_avg_fn or get_swa_multi_avg_fn()
        groups: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
        for averaged, current in zip(own, new, strict=True):
            olds, news = groups.setdefault(averaged.dtype, ([], []))
            olds.append(averaged)
            news.append(current)
        for olds, news in groups.values():
            update(olds, news, self.n_averaged)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Measure the running statistics of batch normalisation anew, in one pass over the data."""
    layers = [one for one in model.modules() if isinstance(one, _BatchNorm)]
    momenta = [one.momentum for one in layers]
    if not layers:
        return
    was_training = model.training
    model.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean of all batches
    for batch in loader:
        x = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(x if device is None else x.to(device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.train(was_training)


def _linear(t: float) -> float:
    return t


def _cosine(t: float) -> float:
    return (1 - math.cos(math.pi * t)) / 2


_ANNEALING = {"cos": _cosine, "linear": _linear}


class SWALR(LRScheduler):
    """From the rates that are set to `swa_lr` within some epochs, then constant."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for group, rate in zip(
            optimizer.param_groups, per_group("swa_lr", optimizer, swa_lr), strict=True
        ):
            group["swa_lr"] = rate
        if anneal_strategy not in _ANNEALING:
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _way(self, step: int) -> float:
        """How much of the way is done: 0 to 1."""
        part = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return _ANNEALING[self._anneal_strategy](part)

    def get_lr(self) -> list[Rate]:
        """The rates between those of the beginning, worked out from the present ones, and
        `swa_lr`."""
        self._check_caller()
        step = self._step_count - 1
        if not self.anneal_epochs:
            step = max(1, step)
        before, now = self._way(step - 1), self._way(step)
        rates = []
        for group in self.optimizer.param_groups:
            final = group["swa_lr"]
            first = final if before == 1 else (group["lr"] - before * final) / (1 - before)
            rates.append(final * now + first * (1 - now))
        return rates
