"""Neural networks: `picograd.nn.functional`.

In: nothing. Out: the namespace that `torch.nn` is in torch programs.

>>> from picograd.nn import functional as F
>>> F.relu.__name__
'relu'
"""

from __future__ import annotations

from picograd.nn import functional

__all__ = ["functional"]
