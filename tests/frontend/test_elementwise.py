"""Elementwise functions against torch: values, dtypes, gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.frontend.parity import check

S = (2, 3)
EDGES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -2.5, 1e30], np.float32)
FINITE = np.array([-30.0, -2.5, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.5, 90.0], np.float32)
INT = ("int64", S)
POS = ("positive", S)
UNIT = ("unit", S)

UNARY = [
    "abs",
    "neg",
    "exp",
    "exp2",
    "expm1",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sinh",
    "cosh",
    "atan",
    "asinh",
    "sigmoid",
    "relu",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "round",
    "frac",
    "square",
    "reciprocal",
    "erf",
    "erfc",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
    "isposinf",
    "isneginf",
    "signbit",
    "deg2rad",
    "rad2deg",
    "nan_to_num",
    "positive",
]
UNARY_POSITIVE = ["log", "log2", "log10", "log1p", "sqrt", "rsqrt"]
UNARY_UNIT = ["asin", "acos", "atanh", "erfinv"]


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    loose = {"rtol": 3e-4} if name == "erfc" else {}
    check(lambda t, x: getattr(t, name)(x), S, **loose)
    check(lambda t, x: getattr(x, name)(), ("float64", S), **loose)
    check(lambda t, x: getattr(t, name)(x), ("int64", S))
    check(lambda t, x: getattr(t, name)(x), ("bool", S))
    check(lambda t, x: getattr(t, name)(x), ())


@pytest.mark.parametrize("name", [n for n in UNARY if n not in ("frac", "positive", "sgn")])
def test_unary_edges(name):
    loose = {"rtol": 1e-3, "atol": 1e-6} if name in ("erfc", "sinh", "cosh") else {}
    values = FINITE[:-1] if name in ("tan", "sinh", "cosh") else EDGES
    check(lambda t, x: getattr(t, name)(x), values, grad=False, **loose)


@pytest.mark.parametrize("name", UNARY_POSITIVE)
def test_unary_positive(name):
    check(lambda t, x: getattr(t, name)(x), POS)
    check(lambda t, x: getattr(t, name)(x), ("uint8", S))
    check(lambda t, x: getattr(t, name)(x), EDGES, grad=False)


@pytest.mark.parametrize("name", UNARY_UNIT)
def test_unary_unit(name):
    check(lambda t, x: getattr(t, name)(x), UNIT, rtol=1e-4)
    check(lambda t, x: getattr(t, name)(x), np.array([-1, 1, 0, 2, np.nan], np.float32), rtol=1e-4)


def test_acosh():
    check(lambda t, x: t.acosh(x + 1), POS)


BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "pow",
    "atan2",
    "hypot",
    "logaddexp",
    "copysign",
    "remainder",
    "fmod",
    "floor_divide",
    "logical_and",
    "logical_or",
    "logical_xor",
    "true_divide",
]


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    first = POS if name == "pow" else S
    grad = name != "floor_divide"
    check(lambda t, x, y: getattr(t, name)(x, y), first, S, grad=grad)
    check(lambda t, x, y: getattr(t, name)(x, y), ("positive", (2, 1)), (3,), grad=grad)
    check(lambda t, x, y: getattr(t, name)(x, y), ("float64", S), ("float32", S), grad=False)
    check(lambda t, x, y: getattr(t, name)(x, y), ("positive", S), ("float64", ()), grad=False)
    check(lambda t, x, y: getattr(t, name)(x, y), S, (4,))


@pytest.mark.parametrize(
    "name", [n for n in BINARY if n not in ("hypot", "logaddexp", "pow", "copysign")]
)
def test_binary_dtypes(name):
    for a in ("int64", "uint8", "int32"):
        for b in ("int64", "float32", "int16", "uint8"):
            array = np.array([1, 2, 5], b)
            check(lambda t, x, y: getattr(t, name)(x, y), np.array([7, 8, 3], a), array, grad=False)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin", "lt", "eq", "logaddexp"])
def test_binary_edges(name):
    grid = np.array([0.0, 1.0, np.inf, -np.inf, np.nan], np.float32)
    check(lambda t, x, y: getattr(t, name)(x, y), grid[:, None], grid[None], grad=False)


def test_atan2_and_remainders_at_edges():
    grid = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 2.5], np.float32)
    check(lambda t, x, y: t.atan2(x, y), grid[:, None], grid[None], grad=False)
    check(lambda t, x, y: t.fmod(x, y), grid[:, None], grid[None], grad=False)
    check(lambda t, x, y: t.remainder(x, y), np.float32([[5.5], [-5.5]]), np.float32([2, -2, 3]))
    ints = np.array([7, -7, 6, -6], np.int64)
    check(lambda t, x, y: t.div(x, y, rounding_mode="trunc"), ints[:, None], ints[None])
    check(lambda t, x, y: t.div(x, y, rounding_mode="floor"), ints[:, None], ints[None])
    check(lambda t, x, y: t.fmod(x, y), ints[:, None], np.array([2, -2, 3]))
    check(lambda t, x, y: t.atan2(x, y), np.float32([0, 1, -1, 0.5]), np.float32([1, 0, -1, -2]))


CASES = {
    "add_alpha": (lambda t, x, y: t.add(x, y, alpha=2.5), S, S),
    "sub_alpha": (lambda t, x, y: x.sub(y, alpha=2), S, S),
    "rsub": (lambda t, x: t.rsub(x, 2), S),
    "operators": (lambda t, x, y: (x + 1, 1 - y, x * y, 2 / x, -x, x**2, 2**x, x % 2), S, S),
    "powers": (lambda t, x: (x**3, x**0.5, x**-1, x**-2, x**-0.5, x**1.7, x**0, x**1), POS),
    "int_powers": (lambda t, x: (x**2, x**3, x**0.5, 2 ** x.abs(), x.float() ** 2), INT),
    "int_negative_power": (lambda t, x: x**-1, INT),
    "float_power": (lambda t, x: t.float_power(x, 2), INT),
    "addcmul": (lambda t, x, y, z: t.addcmul(x, y, z, value=0.5), S, S, (3,)),
    "addcdiv": (lambda t, x, y, z: t.addcdiv(x, y, z, value=0.5), S, S, POS),
    "lerp": (lambda t, x, y: (t.lerp(x, y, 0.3), t.lerp(x, y, 0.7)), S, S),
    "lerp_tensor": (lambda t, x, y, w: t.lerp(x, y, w), S, S, ("unit", (3,))),
    "clamp": (lambda t, x: (x.clamp(-0.5, 0.5), x.clamp(min=0), x.clamp(max=0), x.clip(0, 1)), S),
    "clamp_tensor": (lambda t, x, y: (x.clamp(min=y), t.clamp(x, max=y)), S, (3,)),
    "clamp_int": (lambda t, x: (x.clamp(0, 2), x.clamp(min=0.5)), INT),
    "clamp_edges": (lambda t, x: x.clamp(-1, 1), FINITE),
    "clamp_none": (lambda t, x: t.clamp(x), S),
    "where": (lambda t, c, x, y: t.where(c, x, y), ("bool", S), S, (3,)),
    "where_numbers": (
        lambda t, c, x: (t.where(c, x, 0), t.where(c, 1, 2), t.where(c, 1.0, x)),
        ("bool", S),
        S,
    ),
    "where_method": (lambda t, c, x: x.where(c, x * 2), ("bool", S), S),
    "where_float": (lambda t, x: t.where(x, 1, 2), S),
    "masked_fill": (
        lambda t, x, m: (x.masked_fill(m, -1), t.masked_fill(x, m, float("-inf"))),
        S,
        ("bool", (3,)),
    ),
    "masked_fill_float": (lambda t, x: x.masked_fill(x, 1), S),
    "isclose": (lambda t, x: t.isclose(x, x + 1e-9), EDGES),
    "allclose": (lambda t, x: (t.allclose(x, x + 1e-9), t.allclose(x, x + 1)), S),
    "equal": (lambda t, x: (t.equal(x, x), t.equal(x, x + 1)), S),
    "bits": (lambda t, x, y: (x & y, x | y, x ^ y, ~x, x << 1, x >> 1), INT, INT),
    "bool_bits": (
        lambda t, x, y: (x & y, x | y, x ^ y, ~x, x * y, x + y),
        ("bool", S),
        ("bool", S),
    ),
    "float_bits": (lambda t, x: x & x, S),
    "bool_sub": (lambda t, x: x - x, ("bool", S)),
    "bool_neg": (lambda t, x: -x, ("bool", S)),
    "bool_arith": (lambda t, x: (x + 1, x * 2, x / 2, x + 0.5, x - 1), ("bool", S)),
    "int_by_zero": (lambda t, x: x // 0, INT),
    "int_mod_zero": (lambda t, x: x % 0, INT),
    "round_decimals": (lambda t, x: t.round(x * 10, decimals=1), S),
    "nan_to_num": (lambda t, x: x.nan_to_num(nan=1.0, posinf=2.0, neginf=3.0), EDGES),
    "xlogy": (lambda t, x, y: t.xlogy(x, y), np.float32([0, 1, 2]), np.float32([3, 1, 2])),
    "logit": (lambda t, x: t.logit(x.abs(), eps=1e-3), UNIT),
    "sinc": (lambda t, x: t.sinc(x), np.float32([0.0, 0.5, 1.0, -2.3])),
    "heaviside": (lambda t, x, y: t.heaviside(x, y), np.array([-1, 0, 2]), np.array([3])),
    "relu_zero": (lambda t, x: t.relu(x), np.float32([-1.0, 0.0, 2.0])),
    "abs_zero": (lambda t, x: x.abs(), np.float32([-1.0, 0.0, 2.0])),
    "sigmoid_range": (lambda t, x: t.sigmoid(x), np.float32([-200, -90, -45, 0, 45, 200])),
    "exp_not_tensor": (lambda t: t.exp(3),),
    "add_list": (lambda t, x: t.add(x, [1, 2, 3]), S),
    "compare_none": (lambda t, x: (x == None, x != None), S),  # noqa: E711
    "half": (lambda t, x: (x.half() * 2, x.half() + x, x.bfloat16() * x.half()), S),
    "half_exp": (lambda t, x: x.bfloat16().exp().float(), S),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    function, *specs = CASES[name]
    check(function, *specs)


INPLACE = {
    "add_": (lambda t, x, y: x.clone().add_(y, alpha=2), S, (3,)),
    "mul_": (lambda t, x: x.clone().mul_(2), S),
    "iadd": (lambda t, x: x.clone().__iadd__(1), S),
    "int_by_float": (lambda t, x: x.add_(1.5), INT),
    "int_div": (lambda t, x: x.div_(2), INT),
    "int_true_div": (lambda t, x: x.__itruediv__(2), INT),
    "int_add_int": (lambda t, x: x.add_(2), ("int32", S)),
    "grow": (lambda t, x, y: x.clone().add_(y), (3,), S),
    "exp_int": (lambda t, x: x.exp_(), INT),
    "relu_": (lambda t, x: x.clone().relu_(), S),
    "clamp_": (lambda t, x: x.clone().clamp_(min=0), S),
    "masked_fill_": (lambda t, x, m: x.clone().masked_fill_(m, 3), S, ("bool", S)),
    "lt_": (lambda t, x, y: x.clone().lt_(y), S, S),
    "view": (lambda t, x: (lambda y: (y.view(-1).mul_(2), y)[1])(x.clone()), S),
    "leaf": (lambda t, x: x.add_(1), S),
}


@pytest.mark.parametrize("name", INPLACE)
def test_inplace(name):
    function, *specs = INPLACE[name]
    check(function, *specs)


def test_out_argument():
    def run(t):
        out = t.zeros(3)
        t.add(t.ones(3), 2, out=out)
        return out

    check(run)
    check(lambda t: t.exp(t.ones(3), out=t.zeros(3, dtype=t.int64)))
