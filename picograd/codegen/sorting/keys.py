"""Elements as unsigned integers of the same order.

In: an element type, the bits of elements (one or a vector). Out: *keys*: unsigned integers whose
order is that of the elements, where NaNs are equal and the greatest, and -0 equals 0. A flip mask
(all ones) turns the order round.

>>> from picograd.dtypes import float32
>>> Keys(float32).bits, Keys(float32).sign
(32, 2147483648)
"""

from __future__ import annotations

from picograd.codegen.llvm.types import splat, vector
from picograd.codegen.sorting.text import Text
from picograd.dtypes import DType, bfloat16, float16, float32

_MANTISSA = {float16.name: 10, bfloat16.name: 7, float32.name: 23}


class Keys:
    """How the keys of one element type are made."""

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype
        self.bits = dtype.bits
        self.element = f"i{dtype.bits}"
        self.sign = 1 << (dtype.bits - 1)

    def make(self, text: Text, raw: str, flip: str, lanes: int = 1) -> str:
        """The key of each element; `raw` and `flip` are integers of the element's width."""
        kind = vector(self.element, lanes)
        key = raw
        if self.dtype.is_float:
            key = self._of_float(text, raw, lanes)
        elif self.dtype.kind == "int":
            key = text.value(f"xor {kind} {raw}, {self._number(self.sign, lanes)}")
        return text.value(f"xor {kind} {key}, {flip}")

    def _of_float(self, text: Text, raw: str, lanes: int) -> str:
        """A positive number gets the sign bit; a negative one is turned round."""
        kind, number = vector(self.element, lanes), lambda n: self._number(n, lanes)
        mantissa = _MANTISSA.get(self.dtype.name, 52)
        infinity = ((1 << (self.bits - 1 - mantissa)) - 1) << mantissa
        size = text.value(f"and {kind} {raw}, {number(self.sign - 1)}")
        zero = text.value(f"icmp eq {kind} {size}, {number(0)}")
        nan = text.value(f"icmp ugt {kind} {size}, {number(infinity)}")
        bits = text.value(f"select {vector('i1', lanes)} {zero}, {kind} {size}, {kind} {raw}")
        spread = text.value(f"ashr {kind} {bits}, {number(self.bits - 1)}")
        turn = text.value(f"or {kind} {spread}, {number(self.sign)}")
        key = text.value(f"xor {kind} {bits}, {turn}")
        ones = number((1 << self.bits) - 1)
        return text.value(f"select {vector('i1', lanes)} {nan}, {kind} {ones}, {kind} {key}")

    def _number(self, number: int, lanes: int) -> str:
        if number >= self.sign:
            number -= self.sign * 2
        return splat(self.element, str(number), lanes)
