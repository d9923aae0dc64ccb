"""Random numbers from counters: the same seed and the same calls give the same numbers.

In: shapes, a distribution's parameters, a `Generator`. Out: tensors whose nodes name (seed, call
number); the number is taken when the call is made, so the order in which values are computed later
changes nothing. The bits are Philox4x32-10; they are not torch's.

>>> import picograd
>>> _ = picograd.manual_seed(1)
>>> a = picograd.rand(2).tolist()
>>> picograd.manual_seed(1).initial_seed(), picograd.rand(2).tolist() == a
(1, True)
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from picograd.dtypes import DType, float32, float64, int64
from picograd.frontend import batching, primitives
from picograd.frontend.creation import Device, as_shape, finish
from picograd.frontend.device import device as make_device
from picograd.frontend.device import device_name
from picograd.frontend.elementwise import add, mul
from picograd.frontend.memory_formats import formatted
from picograd.frontend.promotion import align, get_default_dtype, type_name
from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op, Shape

_MASK = (1 << 64) - 1


class Generator:
    """A stream of random calls: a seed and how many calls have been made."""

    def __init__(self, device: Device = "cpu") -> None:
        self.device = make_device(device_name(device))
        self._seed = 67280421310721
        self._call = 0

    def manual_seed(self, seed: int) -> Generator:
        """Start again at a seed (taken modulo 2**64)."""
        self._seed, self._call = int(seed) & _MASK, 0
        return self

    def seed(self) -> int:
        """Start again at a seed from the operating system, which is returned."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little") >> 1)
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the stream started with."""
        return self._seed

    def get_state(self) -> Tensor:
        """Seed and call number as 16 bytes."""
        from picograd.frontend.interop import tensor

        raw = self._seed.to_bytes(8, "little") + self._call.to_bytes(8, "little")
        from picograd.dtypes import uint8

        return tensor(list(raw), dtype=uint8)

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from a state that `get_state` gave."""
        raw = bytes(new_state.tolist())
        if len(raw) != 16:
            raise RuntimeError(f"RNG state is wrong size: expected 16 bytes, got {len(raw)}")
        self._seed = int.from_bytes(raw[:8], "little")
        self._call = int.from_bytes(raw[8:], "little")
        return self

    def taken_for(self, place: str) -> tuple[int, int]:
        """The seed and the number of the next call, which makes numbers on the device `place`.

        Raises RuntimeError for a generator of another device, but for a plain `Generator()` where
        a GPU is the default: who wrote the program did not know.
        """
        kind = self.device.type
        unaware = kind == "cpu" and device_name(None) == "cuda"
        if {kind, place} == {"cpu", "cuda"} and not unaware:
            raise RuntimeError(f"Expected a '{place}' device type for generator but found '{kind}'")
        return self.take()

    def take(self) -> tuple[int, int]:
        """Seed and number of the next call."""
        self._call += 1
        return self._seed, self._call - 1


default_generator = Generator()


@operation(method=False)
def manual_seed(seed: int) -> Generator:
    """Seed the default generator."""
    return default_generator.manual_seed(seed)


@contextmanager
def fork_rng(
    devices: object = None, enabled: bool = True, device_type: str = "cuda", **_: object
) -> Iterator[None]:
    """What is drawn within changes nothing for what is drawn after."""
    state = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(state)


@operation(method=False)
def seed() -> int:
    """Seed the default generator from the operating system."""
    return default_generator.seed()


@operation(method=False)
def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


@operation(method=False)
def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


@operation(method=False)
def set_rng_state(new_state: Tensor) -> None:
    """Go on from a state of the default generator."""
    default_generator.set_state(new_state)


# --- bits and the two basic distributions --------------------------------------------------------


def _words(shape: Shape, number: int, generator: Generator | None, place: str) -> list[Tensor]:
    """The first words of the Philox blocks of one call."""
    if generator is None:
        generator = default_generator
        seed_value, call = generator.take()
    else:
        seed_value, call = generator.taken_for(place)
    words = [primitives.random_bits(shape, n, seed_value, call, place) for n in range(number)]
    if batching.TRACES:
        batching.note_random([word.node for word in words])
    return words


def _fraction(words: Sequence[Tensor], dtype: DType) -> Tensor:
    """Uniform in [0, 1): 24 bits as float32, or 53 as float64 when two words are given."""
    if len(words) == 1:
        high = primitives.elementwise(Op.SHR, *align(words[0], _like(words[0], 8)))
        return mul(primitives.cast(high, float32), 2.0**-24)
    high = primitives.cast(
        primitives.elementwise(Op.SHR, *align(words[0], _like(words[0], 5))), float64
    )
    low = primitives.cast(
        primitives.elementwise(Op.SHR, *align(words[1], _like(words[1], 6))), float64
    )
    return mul(add(mul(high, 2.0**26), low), 2.0**-53)


def _like(x: Tensor, value: int) -> Tensor:
    return primitives.constant(value, x.dtype, x._storage.node.device, x._shape)


def uniform(shape: Shape, dtype: DType, generator: Generator | None, place: str) -> Tensor:
    """Uniform numbers in [0, 1)."""
    if not dtype.is_float:
        raise NotImplementedError(f"\"uniform\" not implemented for '{type_name(dtype)}'")
    wide = dtype is float64
    words = _words(shape, 2 if wide else 1, generator, place)
    if dtype.bits == 16:
        # Fewer bits, or rounding up to 1 would leave the half-open interval.
        kept = 11 if dtype.name == "float16" else 8
        short = primitives.elementwise(Op.SHR, words[0], _like(words[0], 32 - kept))
        return primitives.cast(mul(primitives.cast(short, float32), 2.0**-kept), dtype)
    return _fraction(words, dtype)


def gaussian(shape: Shape, dtype: DType, generator: Generator | None, place: str) -> Tensor:
    """Standard normal numbers, by Box and Muller: one block, one number per element."""
    if not dtype.is_float:
        raise NotImplementedError(f"\"normal_kernel_cpu\" not implemented for '{type_name(dtype)}'")
    wide = dtype is float64
    words = _words(shape, 4 if wide else 2, generator, place)
    half = len(words) // 2
    first, second = _fraction(words[:half], dtype), _fraction(words[half:], dtype)
    one = primitives.constant(1, first.dtype, place, shape)
    radius = primitives.elementwise(
        Op.SQRT,
        mul(primitives.elementwise(Op.LOG, primitives.elementwise(Op.SUB, one, first)), -2.0),
    )
    turned = primitives.elementwise(Op.COS, mul(second, 2 * math.pi))
    return primitives.cast(primitives.elementwise(Op.MUL, radius, turned), dtype)


def _sized(size: tuple[object, ...], named: dict[str, object]) -> tuple[object, ...]:
    return (named["size"],) if "size" in named else size


@operation(method=False, out=True)
def rand(
    *size: object,
    generator: Generator | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    **named: object,
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    shape = as_shape(_sized(size, named), "rand")
    place = device_name(device)
    return finish(uniform(shape, dtype or get_default_dtype(), generator, place), requires_grad)


@operation(method=False, out=True)
def randn(
    *size: object,
    generator: Generator | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    **named: object,
) -> Tensor:
    """Standard normal numbers."""
    shape = as_shape(_sized(size, named), "randn")
    place = device_name(device)
    return finish(gaussian(shape, dtype or get_default_dtype(), generator, place), requires_grad)


@operation(method=False)
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: object = None,
) -> Tensor:
    """Uniform numbers in the shape of another tensor."""
    place = input._storage.node.device if device is None else device_name(device)
    result = uniform(input._shape, dtype or input.dtype, generator, place)
    return finish(formatted(result, memory_format), requires_grad)


@operation(method=False)
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: object = None,
) -> Tensor:
    """Standard normal numbers in the shape of another tensor."""
    place = input._storage.node.device if device is None else device_name(device)
    result = gaussian(input._shape, dtype or input.dtype, generator, place)
    return finish(formatted(result, memory_format), requires_grad)


def integers(
    low: int, high: int, shape: Shape, dtype: DType, generator: Generator | None, place: str
) -> Tensor:
    """Integers in [low, high): the high half of a 32-bit word times the span (bias < span / 2**32),
    or a 64-bit word modulo the span when it needs more than 32 bits."""
    span = high - low
    if span <= 0:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    if span <= 1 << 31:
        word = primitives.cast(_words(shape, 1, generator, place)[0], int64)
        scaled = primitives.elementwise(Op.MUL, word, _like(word, span))
        number = primitives.elementwise(Op.SHR, scaled, _like(scaled, 32))
    else:
        first, second = (
            primitives.cast(word, int64) for word in _words(shape, 2, generator, place)
        )
        top = primitives.elementwise(Op.SHL, first, _like(first, 31))
        bits = primitives.elementwise(Op.XOR, top, second)
        number = primitives.elementwise(Op.MOD, bits, _like(bits, span))
    return primitives.cast(add(number, low), dtype)


@operation(method=False, out=True)
def randint(
    low: int = 0,
    high: int | Sequence[int] | None = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high), or in [0, low) without `high`."""
    if size is None and not isinstance(high, int):
        high, size = None, high
    if size is None:
        raise TypeError("randint(): missing the argument 'size'")
    low, high = (0, low) if high is None else (low, high)
    shape = as_shape((size,), "randint")
    place = device_name(device)
    result = integers(int(low), int(high), shape, dtype or int64, generator, place)  # type: ignore[arg-type]
    return finish(result, requires_grad)


@operation(method=False)
def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    memory_format: object = None,
) -> Tensor:
    """Integers in [low, high) in the shape of another tensor."""
    low, high = (0, low) if high is None else (low, high)
    place = input._storage.node.device if device is None else device_name(device)  # type: ignore[arg-type]
    result = integers(low, high, input._shape, dtype or input.dtype, generator, place)
    return finish(formatted(result, memory_format), requires_grad)


EXPORTS = {"Generator": Generator, "default_generator": default_generator}
