"""Learning rates that change while training: the namespace `torch.optim.lr_scheduler`.

In: nothing. Out: the schedulers, which set the `lr` of an optimiser's groups at every `step`.

>>> import picograd
>>> optimizer = picograd.optim.SGD([picograd.ones(1, requires_grad=True)], lr=1.0)
>>> scheduler = ExponentialLR(optimizer, gamma=0.5)
>>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
[0.5]
"""

from picograd.optim.lr_scheduler.base import LRScheduler
from picograd.optim.lr_scheduler.composed import ChainedScheduler, SequentialLR
from picograd.optim.lr_scheduler.cycles import (
    CosineAnnealingWarmRestarts,
    CyclicLR,
    OneCycleLR,
)
from picograd.optim.lr_scheduler.decay import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from picograd.optim.lr_scheduler.plateau import ReduceLROnPlateau

_LRScheduler = LRScheduler  # torch's older name, which programs still subclass

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
