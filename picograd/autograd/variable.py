"""`Variable`, which a tensor with a gradient was wrapped in before PyTorch 0.4.

In: a tensor. Out: a tensor over the same memory, without a history. Older programs call it.

>>> import picograd
>>> x = Variable(picograd.ones(2), requires_grad=True)
>>> x, isinstance(x, Variable)
(tensor([1., 1.], requires_grad=True), True)
"""

from __future__ import annotations

import warnings
from typing import Any

from picograd.frontend.tensor import Tensor


class _VariableKind(type):
    """Makes every tensor an instance of `Variable`, which has none of its own."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_VariableKind):
    """A tensor that may require a gradient: `Variable(data, requires_grad)`."""

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: object = None) -> Any:
        if volatile is not None:
            warnings.warn(
                "volatile was removed and has no effect. Use `with torch.no_grad():` instead.",
                stacklevel=2,
            )
        if data is None:
            data = Tensor()
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)
