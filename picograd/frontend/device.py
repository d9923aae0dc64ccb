"""`picograd.device` and `picograd.Size`.

In: names of devices and extents. Out: the two small value types that torch programs meet.

>>> device("cpu")
device(type='cpu')
>>> Size((2, 3)).numel()
6
"""

from __future__ import annotations

from functools import lru_cache
from typing import overload

from picograd import env
from picograd.runtime import device as devices

# Torch's devices that a program may name, compare with and ask about; no tensor can be there.
ELSEWHERE = frozenset(("meta", "mps", "xpu", "hpu", "mtia", "vulkan", "xla"))


class device:
    """Where a tensor's memory is and who computes there. There is one instance of each."""

    __slots__ = ("index", "type")

    type: str
    index: int | None

    _known: dict[str, device] = {}

    def __new__(cls, type: str | int | device, index: int | None = None) -> device:
        if isinstance(type, device):
            return type
        if isinstance(type, int) and not isinstance(type, bool):
            type = f"cuda:{type}"
        if not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' must be str, not {type.__class__.__name__}")
        name, _, number = type.partition(":")
        if number:
            if index is not None:
                raise RuntimeError(f"type (string) must not include an index: {type}")
            if not number.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        key = name if index is None else f"{name}:{index}"
        found = cls._known.get(key)
        if found is not None:
            return found
        if name in ELSEWHERE:
            made = object.__new__(cls)
            made.type, made.index = name, index
            return made
        devices.check(name)
        if index not in (None, 0) and name != "cuda":
            raise RuntimeError(f"{name} device index must be -1 or zero, got {index}")
        made = object.__new__(cls)
        made.type, made.index = name, index
        cls._known[key] = made
        return made

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __enter__(self) -> device:
        """`with device("cpu"):` makes tensors there by default."""
        before = _chosen[0]
        set_default_device(self)
        _before.append(before)
        return self

    def __exit__(self, *error: object) -> None:
        _chosen[0] = _before.pop()

    def __reduce__(self) -> tuple[type[device], tuple[str]]:
        return (device, (str(self),))


_Device = device  # where an argument has that name
_chosen: list[str | None] = [None]
_before: list[str | None] = []  # what was chosen outside of each `with device(...)`


def _default() -> str:
    """What `set_default_device` chose, or else the environment variable DEVICE."""
    return _chosen[0] or _known_device(env.DEVICE.get())


@lru_cache(maxsize=8)
def _known_device(name: str) -> str:
    return _present(device(name))


def _present(chosen: device) -> str:
    """The graph's name of a device that tensors can be on."""
    if chosen.type in ELSEWHERE:
        raise NotImplementedError(
            f"picograd has no {chosen.type.upper()} device yet; move the program to one of "
            + ", ".join(devices.names())
        )
    if chosen.type == "cuda":
        _check_cuda(chosen.index)
    return chosen.type


def _check_cuda(index: int | None) -> None:
    """Raises what torch raises where there is no GPU, or none of that number."""
    from picograd.runtime import cuda

    reason = cuda.why_not()
    if reason is not None:
        raise AssertionError(f"Torch not compiled with CUDA enabled: {reason}")
    if index not in (None, 0):
        raise RuntimeError(
            f"CUDA error: invalid device ordinal. picograd uses one GPU, cuda:0, not cuda:{index}: "
            "the variable CUDA_VISIBLE_DEVICES chooses which."
        )


def device_of(name: str) -> device:
    """The device of a tensor, from the graph's name of it: a GPU has a number."""
    return device(name, 0) if name == "cuda" else device(name)


def get_default_device() -> device:
    """The device of tensors that are made without one."""
    return device_of(_default())


def set_default_device(device: str | _Device | None) -> None:
    """Change the device of tensors that are made without one (None: what DEVICE says, the CPU)."""
    _chosen[0] = None if device is None else _present(_Device(device))


def device_name(given: str | device | None) -> str:
    """The graph's name of the device a user asked for; the default device for None."""
    if given is None:
        return _default()
    return _present(device(given))


class Size(tuple[int, ...]):
    """The extents of a tensor's axes."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        count = 1
        for extent in self:
            count *= extent
        return count

    @overload
    def __getitem__(self, index: slice) -> Size: ...
    @overload
    def __getitem__(self, index: int) -> int: ...
    def __getitem__(self, index: int | slice) -> int | Size:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(found, tuple) else found

    def __add__(self, other: tuple[int, ...]) -> Size:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other: tuple[int, ...]) -> Size:
        return Size(tuple(other) + tuple(self))

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    __str__ = __repr__
