"""Random words in LLVM text: Philox4x32-10 as private functions, one for each number of lanes.

In: the registers of a block's counter (two uint32 in lanes, one uint64 in all) and of its key. Out:
the register of one of its four words. Called by `llvm.render`.

Ten rounds are some two hundred instructions: a module holds them once, and calls them where a
kernel wants random numbers; the calls of several words of one block are one. What is the same for
all elements, the keys of all rounds and half of the first two rounds, is computed at the beginning
of a kernel's phase (`_constants`).

>>> from picograd.codegen.llvm.builder import Builder
>>> builder = Builder()
>>> words = Words(2, "%seed", "%call", 8)
>>> philox(builder, words, "%low", None, 1)
'%v3'
>>> builder.scopes[0].lines[2].split("(")[0]
'  %v2 = call <16 x i32> @picograd_philox_8_2'
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from picograd.codegen.llvm.builder import Builder
from picograd.codegen.llvm.types import vector
from picograd.dtypes import uint32, uint64

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
KEYS = "picograd_philox_keys"
FIRST = 4  # constants of the first three rounds, before the pairs of keys


@dataclass(frozen=True, slots=True)
class Words:
    """The first `count` words (1, 2 or 4) of the blocks of a seed and a call, in lanes."""

    count: int
    seed: str
    call: str
    lanes: int


def philox(builder: Builder, words: Words, low: str, high: str | None, word: int) -> str:
    """One of the words for elements at a position of two halves; `high` is None where all of it
    is zero, as in tensors of less than 2**32 elements."""
    lanes, kind = words.lanes, vector("i32", words.lanes)
    if high is None:
        count, name = words.count, f"picograd_philox_{lanes}_{words.count}"
        builder.helpers[KEYS] = _constants()
        builder.helpers[name] = _narrow(lanes, count)
        both = f"{words.seed} {words.call}"  # an array for each pair
        place = builder.emit_address(f"alloca [{FIRST + 2 * ROUNDS} x i32], align 16 ; {both}")
        keys = builder.emit_address(
            f"call ptr @{KEYS}(ptr {place}, i64 {words.seed}, i64 {words.call})",
            *(words.seed, words.call),
        )
        arguments, operands = f"{kind} {low}, ptr {keys}", (low, keys)
    else:
        count, name = 4, f"picograd_philox_{lanes}"
        builder.helpers[name] = _wide(lanes)
        arguments = f"{kind} {low}, {kind} {high}, i64 {words.seed}, i64 {words.call}"
        operands = (low, high, words.seed, words.call)
    total = count * lanes
    block = builder.emit(f"call {vector('i32', total)} @{name}({arguments})", *operands)
    if total == 1:
        return block
    return builder.shuffle("i32", total, block, list(range(word * lanes, (word + 1) * lanes)))


# --- the functions --------------------------------------------------------------------------------


@cache
def _constants() -> str:
    """The function that fills an array: four numbers for the rounds 0 to 2, then the two keys of
    every round. It returns the array."""
    builder = Builder()
    whole = builder.lanes(uint32, 1)
    key, (low, high) = _halves(builder, "%seed", 1), _halves(builder, "%call", 1)
    keys = [
        tuple(whole.two("add", key[n], whole.bits(WEYL[n] * number % 2**32)) for n in range(2))
        for number in range(ROUNDS)
    ]
    up, down = _product(builder, low, MULTIPLIERS[1], 1)
    first_up, first_down = _product(builder, whole.two("xor", up, keys[0][0]), MULTIPLIERS[0], 1)
    numbers = [
        whole.two("xor", high, keys[0][1]),
        whole.two("xor", down, keys[1][0]),
        whole.two("xor", first_up, keys[1][1]),
        whole.two("xor", first_down, keys[2][1]),
        *(number for pair in keys for number in pair),
    ]
    for place, number in enumerate(numbers):
        builder.perform(f"%p{place} = getelementptr i32, ptr %keys, i64 {place}")
        builder.perform(f"store i32 {number}, ptr %p{place}, align 4")
    return _function(builder, "ptr", KEYS, "ptr %keys, i64 %seed, i64 %call", "%keys")


@cache
def _narrow(lanes: int, count: int) -> str:
    """The function for positions below 2**32: the constants are in the array `%keys`."""
    builder = Builder()
    whole = builder.lanes(uint32, lanes)

    def number(place: int) -> str:
        cell = builder.emit(f"getelementptr i32, ptr %keys, i64 {place}")
        return builder.broadcast("i32", builder.emit(f"load i32, ptr {cell}, align 4"), lanes)

    def both(x: str, y: str) -> str:
        return whole.two("xor", x, y)

    up, d = _product(builder, "%low", MULTIPLIERS[0], lanes)
    c = both(up, number(0))
    up, b = _product(builder, c, MULTIPLIERS[1], lanes)
    a, c = both(up, number(1)), both(d, number(2))
    fourth = number(3)  # the fourth word and the key of the next round
    words: tuple[str, ...] = (a, b, c, "")
    for place in range(2, ROUNDS):
        a, b, c, d = words
        up, lower = _product(builder, c, MULTIPLIERS[1], lanes)
        first = both(both(up, number(FIRST + 2 * place)), b)
        if place == ROUNDS - 1 and count < 4:
            words = (first, lower)
            break
        up, last = _product(builder, a, MULTIPLIERS[0], lanes)
        mixed = both(up, fourth) if place == 2 else both(both(up, number(5 + 2 * place)), d)
        words = (first, lower, mixed, last)
    result = vector("i32", lanes * count)
    name = f"picograd_philox_{lanes}_{count}"
    joined = _join(builder, words[:count], lanes)
    return _function(builder, result, name, f"{whole.type} %low, ptr %keys", joined)


@cache
def _wide(lanes: int) -> str:
    """The function for all positions: the four words as one vector."""
    builder = Builder()
    whole = builder.lanes(uint32, lanes)
    key = _halves(builder, "%seed", lanes)
    words: tuple[str, ...] = ("%low", "%high", *_halves(builder, "%call", lanes))
    for number in range(ROUNDS):
        (high_0, low_0), (high_1, low_1) = (
            _product(builder, words[2 * half], MULTIPLIERS[half], lanes) for half in range(2)
        )
        keys = (whole.two("add", key[n], whole.bits(WEYL[n] * number % 2**32)) for n in range(2))
        mixed = [
            whole.two("xor", whole.two("xor", product, key_now), word)
            for product, key_now, word in zip((high_1, high_0), keys, words[1::2], strict=True)
        ]
        words = (mixed[0], low_1, mixed[1], low_0)
    arguments = f"{whole.type} %low, {whole.type} %high, i64 %seed, i64 %call"
    joined = _join(builder, words, lanes)
    result = vector("i32", 4 * lanes)
    return _function(builder, result, f"picograd_philox_{lanes}", arguments, joined)


def _function(builder: Builder, result: str, name: str, arguments: str, value: str) -> str:
    lines = [
        f"define private {result} @{name}({arguments}) nounwind noinline {{",
        *builder.scopes[0].lines,
        f"  ret {result} {value}",
        "}",
    ]
    return "\n".join(lines)


def _halves(builder: Builder, number: str, lanes: int) -> tuple[str, str]:
    """The low and the high 32 bits of an i64, in all lanes."""
    shifted = builder.emit(f"lshr i64 {number}, 32")
    low, high = (builder.emit(f"trunc i64 {half} to i32") for half in (number, shifted))
    return builder.broadcast("i32", low, lanes), builder.broadcast("i32", high, lanes)


def _product(builder: Builder, x: str, factor: int, lanes: int) -> tuple[str, str]:
    """The high and the low 32 bits of a product. Machines multiply the even lanes of a vector
    into double lanes, so the odd ones are moved down first."""
    word = builder.lanes(uint32, lanes)
    if lanes % 2:
        double = builder.lanes(uint64, lanes)
        wide = double.two("mul", word.convert("zext", x, double), double.bits(factor))
        high = double.convert("trunc", double.two("lshr", wide, double.bits(32)), word)
        return high, double.convert("trunc", wide, word)
    half = builder.lanes(uint64, lanes // 2)
    pairs = builder.emit(f"bitcast {word.type} {x} to {half.type}")
    even = half.two("mul", half.two("and", pairs, half.bits(0xFFFFFFFF)), half.bits(factor))
    odd = half.two("mul", half.two("lshr", pairs, half.bits(32)), half.bits(factor))
    upper = half.two("and", odd, half.bits(0xFFFFFFFF << 32))
    both = half.two("or", half.two("lshr", even, half.bits(32)), upper)
    high = builder.emit(f"bitcast {half.type} {both} to {word.type}")
    return high, word.two("mul", x, word.bits(factor))


def _join(builder: Builder, words: tuple[str, ...], lanes: int) -> str:
    """Vectors one after the other as one."""
    if lanes == 1 and len(words) > 1:
        kind, joined = vector("i32", len(words)), "poison"
        for number, word in enumerate(words):
            joined = builder.emit(f"insertelement {kind} {joined}, i32 {word}, i64 {number}")
        return joined
    parts = list(words)
    while len(parts) > 1:
        kind = vector("i32", lanes)
        lanes *= 2
        every = ", ".join(f"i32 {lane}" for lane in range(lanes))
        parts = [
            builder.emit(f"shufflevector {kind} {a}, {kind} {b}, <{lanes} x i32> <{every}>")
            for a, b in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]
