"""The dtypes of results for every pair of dtypes, as torch's."""

from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch")

from tests.parity.compare import LIBRARIES, LIMITS, reference_device  # noqa: E402, F401
from tests.parity.table import listed, words  # noqa: E402

DTYPES = words("bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64")
BINARY = """x + y; x - y; x * y; x / y; m.pow(x, y); x == y; x < y; m.maximum(x, y); m.atan2(x, y)
m.where(x == x, x, y); m.fmod(x, y); x // y; x & y; m.logical_or(x, y); m.cat([x, y])
m.result_type(x, y); m.add(x, y[0]); m.mul(x[0], y); m.stack([x, y]); x.clone().add_(y)
x.clone().div_(y); x.clone().copy_(y); m.hypot(x, y); m.true_divide(x[0], y[0]); m.remainder(x, y)
m.isclose(x, y); m.copysign(x, y); m.xlogy(x, y); m.dot(x, y); x.type_as(y)"""
UNARY = """m.sum(x); m.mean(x); m.prod(x); m.cumsum(x, 0); m.max(x); m.argmax(x); m.std(x); m.any(x)
m.exp(x); m.sqrt(x); m.abs(x); m.neg(x); m.round(x); m.sigmoid(x); m.norm(x); m.floor(x); m.sin(x)
x + 1; x + 1.5; x * True; x + 1j; x / 2; x // 2; x ** 2; x ** 2.0; 2 ** x; x > 0.5; m.sign(x)
m.square(x); m.reciprocal(x); m.relu(x); m.softmax(x, 0); m.clamp(x, 0, 1); m.clamp(x, 0.5)
m.lerp(x, x, 0.5)
m.logsumexp(x, 0); m.nansum(x); m.count_nonzero(x); m.sort(x)[0]; m.topk(x, 1)[0]; m.unique(x)
m.zeros_like(x); x.float(); x.half(); x.new_ones(2); m.full_like(x, 1); m.bincount(x); m.real(x)
m.bitwise_not(x); m.logical_not(x); m.signbit(x); m.isnan(x); m.frac(x); m.log1p(x); m.var(x)
m.cumprod(x, 0); m.amax(x); m.outer(x, x); m.diff(x); m.median(x); m.mode(x)[0]; m.angle(x)"""


def outcome(m: object, text: str, first: str, second: str | None) -> object:
    scope = {"m": m, "x": m.ones(2, dtype=getattr(m, first))}
    if second is not None:
        scope["y"] = m.ones(2, dtype=getattr(m, second))
    try:
        result = eval(text, scope)
    except Exception as error:
        # What one library does not implement for a dtype is no promise.
        return None if any(limit in str(error) for limit in LIMITS) else "error"
    return str(getattr(result, "dtype", result))


def compared(text: str, pairs: list[tuple[str, str | None]]) -> dict[object, object]:
    found = {}
    for pair in pairs:
        theirs, ours = (outcome(m, text, *pair) for m in LIBRARIES)
        # There is no complex32 here.
        if theirs not in (ours or "error", None, "torch.complex32"):
            found[pair] = (theirs, ours)
    return found


@pytest.mark.parametrize("text", listed(BINARY))
@pytest.mark.usefixtures("reference_device")
def test_pairs(text: str) -> None:
    assert not compared(text, list(itertools.product(DTYPES, DTYPES)))


@pytest.mark.parametrize("text", listed(UNARY))
@pytest.mark.usefixtures("reference_device")
def test_one(text: str) -> None:
    assert not compared(text, [(dtype, None) for dtype in DTYPES])
