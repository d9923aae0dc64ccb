"""Optimisers: they write new parameters in place, a few lazy operations each.

In: nothing. Out: the namespace that `torch.optim` is in torch programs. An update is not recorded,
and all updates of a step run as few kernels together with backward.

>>> import picograd
>>> w = picograd.tensor([1.0], requires_grad=True)
>>> optimizer = SGD([w], lr=0.5)
>>> (w * w).sum().backward()
>>> optimizer.step()
>>> w.tolist()
[0.0]
"""

from picograd import paths
from picograd.frontend.missing import refusing as _refusing
from picograd.optim import lr_scheduler, swa_utils
from picograd.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from picograd.optim.adaptive import Adadelta, Adagrad, RMSprop
from picograd.optim.lbfgs import LBFGS
from picograd.optim.optimizer import Optimizer
from picograd.optim.sgd import ASGD, SGD, Rprop

for _class in (ASGD, Adadelta, Adagrad, Adamax, AdamW, NAdam, RAdam, RMSprop, Rprop):
    paths.publish(__name__, _class.__name__.lower(), {_class.__name__: _class})

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
]

__getattr__ = _refusing("picograd.optim", lambda: __all__)
