"""torch.finfo and torch.iinfo: the limits of element types.

>>> from picograd.dtypes import float32, int8
>>> finfo(float32).eps, iinfo(int8).max
(1.1920928955078125e-07, 127)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import ml_dtypes

from picograd.dtypes import DType, float32, real_of


@dataclass(frozen=True, init=False)
class finfo:  # torch spells it so
    """The limits of a floating-point type (for complex types, of their parts).

    Raises TypeError for other types.
    """

    bits: int
    eps: float
    max: float
    min: float
    tiny: float
    smallest_normal: float
    resolution: float
    dtype: str

    def __init__(self, type: DType = float32) -> None:
        real = real_of(type)
        if not real.is_float:
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                f"'{type.name}'"
            )
        limits = ml_dtypes.finfo(real.numpy)
        values = {
            "bits": real.bits,
            "eps": float(limits.eps),
            "max": float(limits.max),
            "min": float(limits.min),
            "tiny": float(limits.tiny),
            "smallest_normal": float(limits.smallest_normal),
            # the power of ten that the mantissa's bits can tell apart
            "resolution": 10.0 ** -int(limits.nmant * math.log10(2)),
            "dtype": real.name,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, init=False)
class iinfo:  # torch spells it so
    """The limits of an integer type. Raises TypeError for other types."""

    bits: int
    max: int
    min: int
    dtype: str

    def __init__(self, type: DType) -> None:
        if not type.is_integer:
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle "
                f"'{type.name}'"
            )
        object.__setattr__(self, "bits", type.bits)
        object.__setattr__(self, "max", int(type.highest))
        object.__setattr__(self, "min", int(type.lowest))
        object.__setattr__(self, "dtype", type.name)
