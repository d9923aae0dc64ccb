"""In-place methods: what they write, what they return, and who sees it, as in torch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.parity.compare import differ, names, reference_device  # noqa: F401
from tests.parity.table import Row, words

UNARY = words(
    """abs ceil cos erf exp expm1 floor frac neg reciprocal round sigmoid sign sin square tan tanh
trunc relu zero clamp(-1,1) fill(2) tril triu(1) clamp_min(0) clamp_max(1) nan_to_num
logical_not deg2rad sinh cosh atan asinh sgn erfc exp2 pow(2) t squeeze unsqueeze(0)
transpose(0,1)"""
)
BINARY = words(
    """add sub mul div fmod remainder floor_divide atan2 copysign eq ne lt le gt ge logical_and
logical_or logical_xor copy"""
)
CALLS = [
    *(f"x.{n.replace('(', '_(', 1)}" if "(" in n else f"x.{n}_()" for n in UNARY),
    *(f"x.{n}_(y)" for n in BINARY),
    *(f"x.__i{n}__(y)" for n in words("add sub mul truediv pow mod floordiv")),
    *(f"x.{n}_(2)" for n in words("add sub mul div remainder")),
    "x.add_(y, alpha=2)",
    "x.addcmul_(y, y, value=0.5)",
    "x.addcdiv_(y, y * 0 + 2)",
    "x.lerp_(y, 0.25)",
    "x.masked_fill_(y > 0, 9)",
    "x.index_fill_(0, m.tensor([0]), 5)",
    "x.index_add_(0, m.tensor([1]), y[:1])",
    "x.index_copy_(0, m.tensor([1]), y[:1])",
    "x.scatter_(1, m.tensor([[0]]), 5)",
    "x.scatter_add_(0, m.tensor([[0, 1]]), y)",
    "x.index_put_((m.tensor([0]),), y[0])",
    "x.masked_scatter_(y > 0, y)",
    "x.cumsum_(0)",
    "x.fill_diagonal_(4)",
    "x.swapaxes_(0, 1)",
]
# The tensor that is written, of a base that others look at.
PLACES = {
    "all": lambda b: b,
    "rows": lambda b: b[1:3],
    "transposed": lambda b: b.t()[1:3],
    "steps": lambda b: b[::2, 1::2],
    "broadcast": lambda b: b[:2, :3],
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.usefixtures("reference_device")
def test_inplace(call: str) -> None:
    found = {}
    for place, take in PLACES.items():
        for dtype in ("float32", "int64", "bool"):

            def program(m: object, take=take, dtype=dtype) -> object:
                a = names(m, Row(call), "matrix", dtype)["x"]
                base = a.repeat(2, 2)[:4].clone()
                other, x = base.view(-1), take(base)
                y = x.flip(0) * 1
                if "mod" in call or "div" in call or "remainder" in call:
                    y = y + (y == 0)  # whether torch refuses depends on the values
                if take is PLACES["broadcast"]:
                    y = y[:1]
                result = eval(call, {"m": m, "x": x, "y": y})
                return base, other, x, result is x, x._version == base._version

            said = differ(program)
            if said:
                found[place, dtype] = said
    assert not found


HISTORY = [
    "x.add_(y)",
    "x.mul_(y)",
    "x.exp_()",
    "x[0].mul_(2)",
    "x[:, 0].copy_(y[:, 1])",
    "x.t().mul_(y.t())",
    "x.masked_fill_(y > 0, 0)",
    "x.view(-1)[::2].mul_(y.view(-1)[::2])",
    "x.diagonal().fill_(3)",
    "x.index_add_(0, m.tensor([0]), y[:1])",
]


@pytest.mark.parametrize("call", HISTORY)
@pytest.mark.usefixtures("reference_device")
def test_gradients_of_writes(call: str) -> None:
    def program(m: object) -> object:
        a = (m.arange(6.0, dtype=m.float64).reshape(2, 3) - 2.5).requires_grad_()
        b = (m.arange(6.0, dtype=m.float64).reshape(2, 3).flip(0) + 0.5).requires_grad_()
        x, y = a * 2, b * 3
        before = x.sigmoid()
        eval(call, {"m": m, "x": x, "y": y})
        (x * x * before).sum().backward()
        return x, a.grad, m.zeros(()) if b.grad is None else b.grad

    assert not differ(program, 1e-9)
