"""The elementwise ops in CUDA C: one row per `Op`, and the helpers that generated code calls.

In: C expressions of the operands, and their dtype. Out: a C expression of the result. Called by
`cuda.render`. float16 and bfloat16 are held as float and rounded to their type after every op; in
memory they are the 16-bit words that the helpers convert, so that no header is needed.

>>> from picograd.dtypes import float32, int32
>>> FORMS[Op.ADD](float32, "x", "y"), FORMS[Op.FLOORDIV](int32, "x", "y")
('(x + y)', 'pg_floordiv(x, y)')
"""

from __future__ import annotations

from collections.abc import Callable

from picograd import dtypes
from picograd.codegen.cuda.groups import GROUPS
from picograd.codegen.cuda.radix import RADIX
from picograd.codegen.cuda.tiles import TILES
from picograd.dtypes import DType
from picograd.graph.ops import Op

Form = Callable[..., str]

# dtype -> (type in registers, type in memory)
C_TYPES: dict[DType, tuple[str, str]] = {
    dtypes.bool_: ("bool", "bool"),
    dtypes.uint8: ("unsigned char", "unsigned char"),
    dtypes.uint16: ("unsigned short", "unsigned short"),
    dtypes.uint32: ("unsigned int", "unsigned int"),
    dtypes.uint64: ("unsigned long long", "unsigned long long"),
    dtypes.int8: ("signed char", "signed char"),
    dtypes.int16: ("short", "short"),
    dtypes.int32: ("int", "int"),
    dtypes.int64: ("long long", "long long"),
    dtypes.float16: ("float", "unsigned short"),
    dtypes.bfloat16: ("float", "unsigned short"),
    dtypes.float32: ("float", "float"),
    dtypes.float64: ("double", "double"),
}

# What is computed in another type, since the own one might overflow.
_WORDS = {
    dtypes.int32: "unsigned int",
    dtypes.int64: "unsigned long long",
    dtypes.uint16: "unsigned int",
}

NARROW = {dtypes.float16: "half", dtypes.bfloat16: "bfloat"}

PRELUDE = r"""// Helpers of generated kernels. Compile with --fmad=false: nodes round one by one.
#define PG_INFINITY __int_as_float(0x7f800000)
#define PG_NAN __int_as_float(0x7fffffff)

#ifdef __CUDACC__  // other compilers bring these themselves
__device__ inline float pg_from_half(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
__device__ inline unsigned short pg_to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif
__device__ inline float pg_from_bfloat(unsigned short bits) {
    return __uint_as_float((unsigned int)bits << 16);
}
__device__ inline unsigned short pg_to_bfloat(float value) {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 800
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    unsigned int bits = __float_as_uint(value);
    if (value != value) return (unsigned short)((bits >> 16) | 0x40);
    return (unsigned short)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
#endif
}
__device__ inline float pg_round_half(float value) { return pg_from_half(pg_to_half(value)); }
__device__ inline float pg_round_bfloat(float value) {
    return pg_from_bfloat(pg_to_bfloat(value));
}
// A word of a block of Philox4x32-10.
__device__ inline unsigned int pg_philox(
    int word, unsigned int low, unsigned int high, unsigned long long seed, unsigned long long call
) {
    unsigned int a = low, b = high, c = (unsigned int)call, d = (unsigned int)(call >> 32);
    unsigned int first = (unsigned int)seed, second = (unsigned int)(seed >> 32);
#pragma unroll
    for (int number = 0; number < 10; number++) {
        unsigned int up = __umulhi(0xD2511F53u, a), other = __umulhi(0xCD9E8D57u, c);
        unsigned int lower = 0xD2511F53u * a;
        a = other ^ b ^ first;
        b = 0xCD9E8D57u * c;
        c = up ^ d ^ second;
        d = lower;
        first += 0x9E3779B9u;
        second += 0xBB67AE85u;
    }
    return word == 0 ? a : word == 1 ? b : word == 2 ? c : d;
}
// NaN wins in both.
template <typename T> __device__ inline T pg_maximum(T x, T y) {
    return x != x ? x : y != y ? y : x > y ? x : y;
}
template <typename T> __device__ inline T pg_minimum(T x, T y) {
    return x != x ? x : y != y ? y : x < y ? x : y;
}
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 800
__device__ inline float pg_maximum(float x, float y) {
    float larger;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(x), "f"(y));
    return larger;
}
__device__ inline float pg_minimum(float x, float y) {
    float smaller;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(smaller) : "f"(x), "f"(y));
    return smaller;
}
#endif
// Integers wrap: what may not fit is computed without a sign, in words of at least 32 bits.
template <int size> struct pg_words { using type = unsigned int; };
template <> struct pg_words<8> { using type = unsigned long long; };
template <typename T> using pg_word = typename pg_words<sizeof(T)>::type;
// Integers: rounding towards minus infinity, 0 for a zero divisor, wrapping for the least number.
template <typename T> __device__ inline T pg_floordiv(T x, T y) {
    if (y == 0) return 0;
    if (T(-1) < T(0) && y == T(-1)) return T(pg_word<T>(0) - pg_word<T>(x));
    T quotient = x / y;
    return (x % y != 0 && ((x < 0) != (y < 0))) ? quotient - 1 : quotient;
}
template <typename T> __device__ inline T pg_mod(T x, T y) {
    if (y == 0 || (T(-1) < T(0) && y == T(-1))) return 0;
    T rest = x % y;
    return (rest != 0 && ((rest < 0) != (y < 0))) ? rest + y : rest;
}
__device__ inline float pg_mod(float x, float y) {
    float rest = fmodf(x, y);
    return (rest != 0 && ((rest < 0) != (y < 0))) ? rest + y : rest;
}
__device__ inline double pg_mod(double x, double y) {
    double rest = fmod(x, y);
    return (rest != 0 && ((rest < 0) != (y < 0))) ? rest + y : rest;
}
template <typename T> __device__ inline T pg_floordiv_real(T x, T y, T rest) {
    if (y == 0) return x / y;
    T quotient = (x - rest) / y;
    if (rest != 0 && ((rest < 0) != (y < 0))) quotient -= 1;
    if (quotient == 0) return copysign(T(0), x / y);
    T whole = floor(quotient);
    return quotient - whole > T(0.5) ? whole + 1 : whole;
}
__device__ inline float pg_floordiv(float x, float y) {
    return pg_floordiv_real(x, y, fmodf(x, y));
}
__device__ inline double pg_floordiv(double x, double y) {
    return pg_floordiv_real(x, y, fmod(x, y));
}
template <typename T> __device__ inline T pg_shl(T x, T count) {
    return count < 0 || count >= T(8 * sizeof(T)) ? T(0) : T(pg_word<T>(x) << count);
}
template <typename T> __device__ inline T pg_shr(T x, T count) {
    return count < 0 || count >= T(8 * sizeof(T)) ? T(x < 0 ? -1 : 0) : T(x >> count);
}
template <typename T> __device__ inline T pg_pow(T base, T exponent) {
    if (exponent < 0) return base == T(1) ? 1 : base == T(-1) ? (exponent & 1 ? T(-1) : T(1)) : 0;
    pg_word<T> result = 1, power = base;
    for (; exponent; exponent >>= 1, power *= power) if (exponent & 1) result *= power;
    return T(result);
}
__device__ inline float pg_pow(float x, float y) { return powf(x, y); }
__device__ inline double pg_pow(double x, double y) { return pow(x, y); }
// Truncation; what does not fit, and NaN, give the least number.
__device__ inline int pg_to_int(double x) {
    return x > -2147483649.0 && x < 2147483648.0 ? (int)x : (int)0x80000000;
}
__device__ inline long long pg_to_long(double x) {
    return x >= -9223372036854775808.0 && x < 9223372036854775808.0
        ? (long long)x : (long long)0x8000000000000000ull;
}
// What a thread moves at once.
template <typename T, int count> struct alignas(count * sizeof(T)) pg_vec { T at[count]; };
template <typename To, typename From> __device__ inline To pg_bits(From from) {
    union { From from; To to; } both;
    both.from = from;
    return both.to;
}
"""
PRELUDE += TILES + GROUPS + RADIX


def _infix(sign: str) -> Form:
    return lambda dtype, x, y: f"({x} {sign} {y})"


def _call(name: str, integers_unchanged: bool = False) -> Form:
    """A math function: `f` suffixed for float."""

    def form(dtype: DType, *args: str) -> str:
        if integers_unchanged and not dtype.is_float:
            return args[0]
        suffix = "" if dtype is dtypes.float64 else "f"
        return f"{name}{suffix}({', '.join(args)})"

    return form


def _helper(name: str) -> Form:
    return lambda dtype, *args: f"{name}({', '.join(args)})"


def _logical(arithmetic: str, logical: str) -> Form:
    def form(dtype: DType, x: str, y: str) -> str:
        if dtype.is_bool:
            return f"({x} {logical} {y})"
        return wrapping(dtype, "({} " + arithmetic + " {})", x, y)

    return form


def wrapping(dtype: DType, form: str, *args: str) -> str:
    """Arithmetic, which C leaves undefined where the result does not fit into a signed type (to
    which those of 16 bits are promoted)."""
    word = _WORDS.get(dtype)
    if word is None:
        return form.format(*args)
    return f"({register_type(dtype)}){form.format(*(f'({word}){arg}' for arg in args))}"


def _negative(dtype: DType, x: str) -> str:
    return wrapping(dtype, "(-{})" if dtype.is_float else "(0 - {})", x)


def _absolute(dtype: DType, x: str) -> str:
    if dtype.is_float:
        return _call("fabs")(dtype, x)
    return x if not dtype.is_signed else f"({x} < 0 ? {_negative(dtype, x)} : {x})"


def _one(dtype: DType) -> str:
    return "1.0" if dtype is dtypes.float64 else "1.0f"


FORMS: dict[Op, Form] = {
    Op.NEG: _negative,
    Op.ABS: _absolute,
    Op.NOT: lambda dtype, x: f"(!{x})" if dtype.is_bool else f"(~{x})",
    Op.SQRT: _call("sqrt"),
    Op.RECIPROCAL: lambda dtype, x: f"({_one(dtype)} / {x})",
    Op.EXP: _call("exp"),
    Op.EXP2: _call("exp2"),
    Op.EXPM1: _call("expm1"),
    Op.LOG: _call("log"),
    Op.LOG2: _call("log2"),
    Op.LOG1P: _call("log1p"),
    Op.SIN: _call("sin"),
    Op.COS: _call("cos"),
    Op.TANH: _call("tanh"),
    Op.ATAN: _call("atan"),
    Op.ERF: _call("erf"),
    Op.FLOOR: _call("floor", integers_unchanged=True),
    Op.CEIL: _call("ceil", integers_unchanged=True),
    Op.TRUNC: _call("trunc", integers_unchanged=True),
    Op.ROUND: _call("rint", integers_unchanged=True),
    Op.ADD: _logical("+", "|"),
    Op.SUB: _logical("-", "^"),
    Op.MUL: _logical("*", "&"),
    Op.DIV: _infix("/"),
    Op.FLOORDIV: _helper("pg_floordiv"),
    Op.MOD: _helper("pg_mod"),
    Op.POW: _helper("pg_pow"),
    Op.MAXIMUM: _helper("pg_maximum"),
    Op.MINIMUM: _helper("pg_minimum"),
    Op.EQ: _infix("=="),
    Op.NE: _infix("!="),
    Op.LT: _infix("<"),
    Op.LE: _infix("<="),
    Op.AND: _infix("&"),
    Op.OR: _infix("|"),
    Op.XOR: _infix("^"),
    Op.SHL: _helper("pg_shl"),
    Op.SHR: _helper("pg_shr"),
    Op.WHERE: lambda dtype, condition, x, y: f"({condition} ? {x} : {y})",
}
"""CAST and BITCAST need two dtypes and are functions below; COMPLEX, REAL and IMAG are gone before
loops exist (`graph/complex.py`)."""


def register_type(dtype: DType) -> str:
    """The C type of a value."""
    return C_TYPES[dtype][0]


def memory_type(dtype: DType) -> str:
    """The C type of an element in memory."""
    return C_TYPES[dtype][1]


def loaded(dtype: DType, element: str) -> str:
    """A value from its form in memory."""
    return f"pg_from_{NARROW[dtype]}({element})" if dtype in NARROW else element


def stored(dtype: DType, value: str) -> str:
    """The form in memory of a value."""
    return f"pg_to_{NARROW[dtype]}({value})" if dtype in NARROW else value


def rounded(dtype: DType, value: str) -> str:
    """A result of the dtype: integers narrower than int wrap, narrow floats round."""
    if dtype in NARROW:
        return f"pg_round_{NARROW[dtype]}({value})"
    if dtype.is_integer and dtype.itemsize < 4:
        return f"(({register_type(dtype)}){value})"
    return value


def cast(value: str, source: DType, target: DType) -> str:
    """CAST, with the out-of-range results of the semantics page."""
    if source is target:
        return value
    if target.is_bool:
        return f"({value} != 0)"
    if source.is_float and target.is_integer:
        wide = target.itemsize == 8 or target is dtypes.uint32
        return f"(({register_type(target)}){'pg_to_long' if wide else 'pg_to_int'}({value}))"
    return rounded(target, f"(({register_type(target)}){value})")


def bitcast(value: str, source: DType, target: DType) -> str:
    """BITCAST between types of one size."""
    bits = f"pg_bits<{memory_type(target)}>({stored(source, value)})"
    return loaded(target, bits)
