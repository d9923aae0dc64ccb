"""Records: a key and the position that it came from.

A key of up to 32 bits and its position share one 64-bit word (the key above, so that words compare
as pairs do); a 64-bit key and its position are two words.
"""

from __future__ import annotations

from picograd.codegen.sorting.keys import Keys
from picograd.codegen.sorting.text import Text


class Records:
    """The records of one element type: how they are packed, and where their digits are."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.wide = keys.bits > 32
        self.kind = "<2 x i64>" if self.wide else "i64"
        self.bytes = 16 if self.wide else 8

    def pack(self, text: Text, key: str, position: str, width: int = 0) -> str:
        """A record of a key (of the element's width, if none is given) and a position (i64)."""
        if self.wide:
            half = text.value(f"insertelement <2 x i64> poison, i64 {key}, i32 0")
            return text.value(f"insertelement <2 x i64> {half}, i64 {position}, i32 1")
        word = text.value(f"zext i{width or self.keys.bits} {key} to i64")
        high = text.value(f"shl i64 {word}, 32")
        return text.value(f"or disjoint i64 {high}, {position}")

    def load(self, text: Text, base: str, index: str) -> str:
        return text.load(self.kind, base, index, 8)

    def store(self, text: Text, record: str, base: str, index: str) -> None:
        text.store(self.kind, record, base, index, 8)

    def digit(self, text: Text, base: str, index: str, shift: str, bits: int) -> str:
        """`bits` bits of the key of a record in memory, from `shift` on, as i64."""
        if self.wide:
            word = text.load("i64", base, text.value(f"shl i64 {index}, 1"), 8)
        else:
            double = text.value(f"shl i64 {index}, 1")
            half = text.load("i32", base, text.value(f"or disjoint i64 {double}, 1"), 4)
            word = text.value(f"zext i32 {half} to i64")
        low = text.value(f"lshr i64 {word}, {shift}")
        return text.value(f"and i64 {low}, {(1 << bits) - 1}")

    def position(self, text: Text, base: str, index: str) -> str:
        """Where the key of a record in memory came from, as i64."""
        double = text.value(f"shl i64 {index}, 1")
        if self.wide:
            return text.load("i64", base, text.value(f"or disjoint i64 {double}, 1"), 8)
        return text.value(f"zext i32 {text.load('i32', base, double, 4)} to i64")
