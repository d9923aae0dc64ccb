"""Functions of functions: `torch.func`.

In: functions of tensors. Out: functions.

>>> import picograd
>>> layer = picograd.nn.Linear(1, 1, bias=False)
>>> functional_call(layer, {"weight": picograd.tensor([[3.0]])}, picograd.ones(1, 1)).item()
3.0
"""

from picograd.nn.utils.stateless import functional_call

__all__ = ["functional_call"]
