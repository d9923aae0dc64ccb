"""`torch.types`: names for annotations.

In: nothing. Out: types.

>>> import picograd
>>> isinstance(3.0, Number) and isinstance(picograd.ones(1), Tensor)
True
"""

import builtins
import os

from picograd.frontend.device import Size as _size_type
from picograd.frontend.device import device as _device
from picograd.frontend.tensor import Tensor

_TensorOrTensors = Tensor | tuple[Tensor, ...]
_int, _float, _bool, _complex = builtins.int, builtins.float, builtins.bool, builtins.complex
Number = int | float | bool
_Number = int | float | bool
Device = _device | str | int | None
FileLike = str | os.PathLike
_size = _size_type | list[int] | tuple[int, ...]

__all__ = ["Device", "FileLike", "Number", "Tensor"]
