"""Conversions between element types in LLVM text.

In: a register of one dtype. Out: the register of another (CAST), of the same bits (BITCAST), or
of the float32 in which float16 and bfloat16 compute (`widen`, `narrow`). Called by `llvm.ops`
and, for numbers made from indices, by `llvm.render`.

>>> from picograd.codegen.llvm.builder import Builder
>>> from picograd.dtypes import float32, int8
>>> builder = Builder()
>>> cast(builder, "%x", int8, float32, 1)
'%v0'
>>> builder.scopes[0].lines
['  %v0 = sitofp i8 %x to float']
"""

from __future__ import annotations

from picograd.codegen.llvm.builder import Builder, Lanes
from picograd.dtypes import (
    DType,
    bfloat16,
    float16,
    float32,
    float64,
    int32,
    int64,
    uint16,
    uint32,
    uint64,
)

NARROW = frozenset({float16, bfloat16})


def widen(builder: Builder, x: str, dtype: DType, lanes: int) -> str:
    """float16 or bfloat16 as float32 (exact); other types unchanged."""
    single = builder.lanes(float32, lanes)
    if dtype is float16:
        return builder.lanes(float16, lanes).convert("fpext", x, single)
    if dtype is bfloat16:
        word = builder.lanes(uint32, lanes)
        bits = builder.lanes(uint16, lanes).convert("zext", x, word)
        return word.convert("bitcast", word.two("shl", bits, word.bits(16)), single)
    return x


def narrow(builder: Builder, x: str, dtype: DType, lanes: int) -> str:
    """float32 rounded to nearest even to float16 or bfloat16; for other types unchanged."""
    single = builder.lanes(float32, lanes)
    if dtype is float16:
        return single.convert("fptrunc", x, builder.lanes(float16, lanes))
    if dtype is bfloat16:
        return _round_to_bfloat16(single, x)
    return x


def _round_to_bfloat16(single: Lanes, x: str) -> str:
    """Add half of the last place (less one when it is even), then drop the low 16 bits. A NaN
    must not be carried into infinity: it keeps its high bits and becomes quiet."""
    word = single.to(uint32)
    bits = single.convert("bitcast", x, word)
    high = word.two("lshr", bits, word.bits(16))
    odd = word.two("and", high, word.bits(1))
    carried = word.two("add", word.two("add", bits, word.bits(0x7FFF)), odd)
    rounded = word.two("lshr", carried, word.bits(16))
    quiet = word.two("or", high, word.bits(0x40))
    chosen = word.select(single.is_nan(x), quiet, rounded)
    return word.convert("trunc", chosen, single.to(uint16))


def _float_to_integer(source: Lanes, x: str, target: DType) -> str:
    """Truncation; out of range and NaN give the least int32 (int64 for 4-byte unsigned and 8-byte
    types), whose low bits narrower types keep."""
    wide = int64 if target in (int64, uint64, uint32) else int32
    limit = source.number(float(1 << (wide.bits - 1)))
    least = source.number(-float(1 << (wide.bits - 1)))
    inside = source.select(source.compare("fcmp olt", x, limit), x, least)
    inside = source.select(source.compare("fcmp olt", inside, least), least, inside)
    whole = source.convert("fptosi", inside, source.to(wide))
    return resize(source.builder, whole, wide, target, source.lanes)


def resize(builder: Builder, x: str, source: DType, target: DType, lanes: int) -> str:
    """An integer (or bool) as an integer of another width."""
    origin, result = builder.lanes(source, lanes), builder.lanes(target, lanes)
    width = 1 if source.is_bool else source.bits
    if width == target.bits:
        return x
    opcode = "trunc" if width > target.bits else "sext" if source.kind == "int" else "zext"
    return origin.convert(opcode, x, result)


def cast(builder: Builder, x: str, source: DType, target: DType, lanes: int) -> str:
    """CAST between real types."""
    if source is target:
        return x
    origin, result = builder.lanes(source, lanes), builder.lanes(target, lanes)
    if not source.is_float:
        if target.is_bool:
            return origin.compare("icmp ne", x, origin.bits(0))
        if target.is_integer:
            return resize(builder, x, source, target, lanes)
        opcode = "sitofp" if source.kind == "int" else "uitofp"
        if target in NARROW:
            single = origin.convert(opcode, x, builder.lanes(float32, lanes))
            return narrow(builder, single, target, lanes)
        return origin.convert(opcode, x, result)
    if source in NARROW:
        return cast(builder, widen(builder, x, source, lanes), float32, target, lanes)
    if target.is_bool:
        return origin.compare("fcmp une", x, origin.number(0.0))
    if target.is_integer:
        return _float_to_integer(origin, x, target)
    if target is float64:
        return origin.convert("fpext", x, result)
    if source is float64:  # float16 and bfloat16 are reached through float32, as in torch
        x = origin.convert("fptrunc", x, builder.lanes(float32, lanes))
    return narrow(builder, x, target, lanes)


def bitcast(builder: Builder, x: str, source: DType, target: DType, lanes: int) -> str:
    """BITCAST: the same bytes as another type of the same size."""
    origin, result = builder.lanes(source, lanes), builder.lanes(target, lanes)
    if source.is_bool and not target.is_bool:
        return origin.convert("zext", x, result)
    if target.is_bool and not source.is_bool:
        return origin.compare("icmp ne", x, origin.bits(0))
    return origin.convert("bitcast", x, result)
