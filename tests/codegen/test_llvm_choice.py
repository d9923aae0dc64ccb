"""A choice between loads is one load from a chosen place, and masked vectors stay near memory."""

from __future__ import annotations

import pytest

from picograd.codegen.llvm.render import render
from picograd.codegen.loops import (
    Alu,
    Broadcast,
    For,
    Function,
    Literal,
    Load,
    Phase,
    Predicate,
    Store,
    Value,
)
from picograd.codegen.target import AVX512
from picograd.dtypes import BY_NAME, DType, bool_
from picograd.graph.index import Index, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Op
from tests.codegen.test_llvm import FAR, LANE, W, agree, argument, var

ROWS, COLUMNS = 8, 64


def rows(first: int, last: int) -> Mask:
    return Mask().require(of(var("i", ROWS)) - first).require(last - of(var("i", ROWS)))


def where(mask: Mask, then: Value, rest: Value) -> Value:
    condition = Broadcast(Predicate(mask), then.lanes) if then.lanes > 1 else Predicate(mask)
    return Alu(Op.WHERE, (condition, then, rest), then.dtype, then.lanes)


def joined(dtype: DType, lanes: int, last: str, own: Mask | None = None) -> tuple[Phase, list]:
    """Rows 1..2 and 5 of the result from two arrays; the rest zeros, a literal, or a third one.

    The arrays are as small as they may be: everywhere else a load would be outside.
    """
    i, j = var("i", ROWS), var("j", COLUMNS // lanes)
    place: Index = of(i) * COLUMNS + of(j) * lanes + (LANE if lanes > 1 else 0)
    a, b = argument(0, 2 * COLUMNS, dtype), argument(1, COLUMNS, dtype)
    c = argument(2, ROWS * COLUMNS, dtype)
    result = argument(3, ROWS * COLUMNS, dtype, written=True)
    other: Value = {
        "zeros": Broadcast(Literal.of(0, dtype), lanes),
        "ones": Broadcast(Literal.of(1, dtype), lanes),
        "array": Load(c, place, lanes),
    }[last]
    second = where(rows(5, 5), Load(b, place - 5 * COLUMNS, lanes, rows(5, 5)), other)
    mask = rows(1, 2) if own is None else own
    value = where(rows(1, 2), Load(a, place - COLUMNS, lanes, mask), second)
    body = For(j, constant(0), constant(COLUMNS // lanes), (Store(result, place, value),))
    return Phase(i, constant(ROWS), (body,)), [a, b, c, result]


@pytest.mark.parametrize("name", ["bool", "int8", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("lanes", [1, W])
@pytest.mark.parametrize("last", ["zeros", "ones", "array"])
def test_choices(name: str, lanes: int, last: str) -> None:
    dtype = BY_NAME[name]
    phase, memories = joined(dtype, lanes, last)
    agree([phase], memories)
    if last == "ones" or (lanes == 1 and dtype is bool_):
        return
    text = render(Function("f", tuple(memories), (), (phase,)), AVX512)
    inner = text[text.index("loop4:") : text.index("br i1 %more")]
    assert inner.count(" load ") == 1 and "masked" not in text
    assert inner.count("select") == (last == "zeros")  # the place was chosen outside


def test_a_load_with_a_stricter_mask() -> None:
    """It is zero at places where the condition holds: that is another form."""
    strict = rows(1, 2).require(of(var("j", COLUMNS // W)) - 1)
    phase, memories = joined(BY_NAME["float32"], W, "array", strict)
    agree([phase], memories)


@pytest.mark.parametrize("shared", [True, False])
def test_vectors_far_outside(shared: bool) -> None:
    """Where all lanes are masked off, the address is one of zeros."""
    i = var("i", 4)
    x, result = argument(0, W), argument(1, 4 * W, written=True)
    mask = Mask().require(of(i) * -1) if shared else Mask().require(LANE * -1 - of(i) * W + 9)
    value = Load(x, of(i) * FAR + LANE, W, mask)
    phase = Phase(i, constant(4), (Store(result, of(i) * W + LANE, value),))
    agree([phase], [x, result])
    text = render(Function("f", (x, result), (), (phase,)), AVX512)
    assert "picograd_zeros" in text and ("masked" in text) is not shared
