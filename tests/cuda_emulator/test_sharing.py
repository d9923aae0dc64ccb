"""The GPU's memory shared with other libraries: `__cuda_array_interface__` and DLPack.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`. `Foreign` stands for an
array of another library, with a stream of its own.
"""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import pytest

import picograd as torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


class Foreign:
    """An array on the GPU, in pycuda's memory, filled on another stream."""

    alive = 0

    def __init__(self, array: np.ndarray, strides: tuple[int, ...] | None = None) -> None:
        from picograd.runtime.cuda import driver

        self.gpu = driver.get()
        self.shape, self.typestr, self.strides = array.shape, array.dtype.str, strides
        with self.gpu:
            self.stream = self.gpu.cuda.Stream(1)
            self.memory = self.gpu.cuda.mem_alloc(array.nbytes)
            self.source = self.gpu.cuda.pagelocked_empty(array.shape, array.dtype)
            self.source[:] = array
            self.gpu.cuda.memcpy_htod_async(self.memory, self.source, self.stream)
        Foreign.alive += 1

    def __del__(self) -> None:
        Foreign.alive -= 1
        with self.gpu:
            self.memory.free()

    @property
    def __cuda_array_interface__(self) -> dict[str, object]:
        return {
            "shape": self.shape,
            "typestr": self.typestr,
            "data": (int(self.memory), False),
            "strides": self.strides,
            "stream": self.stream.handle,
            "version": 3,
        }

    def values(self) -> np.ndarray:
        return read(self.__cuda_array_interface__)


class Packed(Foreign):
    """The same, by DLPack."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, *, stream: int, max_version: tuple[int, int] | None = None) -> object:
        from picograd.frontend import capsule, gpu_memory
        from picograd.runtime.cuda import functions

        functions.order(self.stream.handle, stream)
        dtype = gpu_memory.ELEMENTS[self.typestr]
        steps = [int(np.prod(self.shape[n + 1 :])) for n in range(len(self.shape))]
        versioned = max_version is not None
        return capsule.make(
            int(self.memory), dtype, self.shape, tuple(steps), (2, 0), versioned, self
        )


def read(described) -> np.ndarray:
    """What another library reads: after the work of the stream that is named."""
    from picograd.runtime.cuda import driver, functions

    gpu = driver.get()
    shape, element = described["shape"], np.dtype(described["typestr"])
    strides = described["strides"]
    last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) if strides else 0
    count = last // element.itemsize + 1 if strides else int(np.prod(shape))
    with gpu:
        stream = gpu.cuda.Stream(1)
        functions.order(described["stream"], stream.handle)
        flat = gpu.cuda.pagelocked_empty(count, element)
        gpu.cuda.memcpy_dtoh_async(flat, described["data"][0], stream)
        stream.synchronize()
    if not strides:
        return flat.reshape(shape)
    return np.lib.stride_tricks.as_strided(flat, shape, strides).copy()


SHAPES = {
    "all": lambda x: x,
    "a part": lambda x: x[1:, 1:3],
    "turned": lambda x: x.T,
    "one": lambda x: x[1, 2],
    "flat": lambda x: x.reshape(-1),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.float16, torch.bool])
def test_others_see_a_tensor(name, dtype) -> None:
    x = (torch.arange(12, device="cuda").reshape(3, 4) % 5).to(dtype)
    shown = SHAPES[name](x)
    described = shown.__cuda_array_interface__
    assert described["version"] == 3 and described["strides"] == (
        None if shown.is_contiguous() else tuple(x.element_size() * s for s in shown.stride())
    )
    assert np.array_equal(read(described), shown.cpu().numpy())
    x += x  # in the memory that was shown
    assert described["data"] == shown.__cuda_array_interface__["data"]
    assert np.array_equal(read(described), shown.cpu().numpy())
    if x.ndim > 1:
        x[1] = 1
        assert np.array_equal(read(described), shown.cpu().numpy())


def test_what_has_no_interface() -> None:
    assert not hasattr(torch.ones(2, device="cpu"), "__cuda_array_interface__")
    with pytest.raises(RuntimeError, match=r"use var\.detach"):
        _ = torch.ones(2, device="cuda", requires_grad=True).__cuda_array_interface__
    assert torch.ones(0, device="cuda").__cuda_array_interface__["data"] == (0, False)


MAKERS = {
    "interface": (Foreign, lambda x: torch.as_tensor(x)),
    "asarray": (Foreign, lambda x: torch.asarray(x)),
    "DLPack": (Packed, lambda x: torch.from_dlpack(x)),
    "capsule": (Packed, lambda x: torch.from_dlpack(x.__dlpack__(stream=x.gpu.stream.handle))),
}


@pytest.mark.parametrize("name", MAKERS)
def test_we_see_what_others_have(name) -> None:
    kind, taken = MAKERS[name]
    before = Foreign.alive
    foreign = kind(np.arange(6, dtype=np.float32).reshape(2, 3))
    x = taken(foreign)
    assert x.is_cuda and x.shape == (2, 3) and (x * 2).tolist() == [[0, 2, 4], [6, 8, 10]]
    x[0] = 7
    x.T[2] += 1
    torch.cuda.synchronize()
    assert foreign.values().tolist() == [[7, 7, 8], [3, 4, 6]]
    y = x + 1
    del foreign, x
    assert y.tolist() == [[8, 8, 9], [4, 5, 7]]
    gc.collect()
    for _ in range(2):  # whoever allocates lets go of what is done with
        torch.ones(1, device="cuda").add(1).tolist()
    assert Foreign.alive == before


def test_memory_is_lent_until_its_work_is_done() -> None:
    """The other library may use its memory again once we have let go: not before we have read."""
    foreign = Packed(np.ones(4, np.float32))
    x = torch.from_dlpack(foreign)
    y = x + 1  # enqueued, not done
    del x, foreign
    gc.collect()
    assert y.tolist() == [2, 2, 2, 2]


def test_strides_of_others() -> None:
    columns = Foreign(np.arange(6, dtype=np.float32), None)
    columns.shape, columns.strides = (3, 2), (4, 12)
    x = torch.as_tensor(columns)
    assert x.stride() == (1, 3) and x.tolist() == [[0, 3], [1, 4], [2, 5]]
    copied = torch.tensor(columns)
    x[0, 1] = 9
    assert copied.tolist() == [[0, 3], [1, 4], [2, 5]]
    torch.cuda.synchronize()
    columns.shape, columns.strides = (6,), None
    assert columns.values().tolist() == [0, 1, 2, 9, 4, 5]


@pytest.mark.parametrize("version", [None, (1, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64, torch.uint8])
def test_capsules_come_back(version, dtype) -> None:
    x = torch.arange(6, device="cuda").reshape(2, 3).to(dtype)
    capsule = x.T.__dlpack__(stream=-1, max_version=version)
    y = torch.from_dlpack(capsule)
    assert y.dtype is dtype and y.stride() == (1, 3) and torch.equal(y, x.T)
    y[0, 0] = 5
    assert x[0, 0].item() == 5
    with pytest.raises(RuntimeError, match="only once"):
        torch.from_dlpack(capsule)
    assert x.__dlpack_device__() == (2, 0)


def test_capsules_hold_the_memory_as_long_as_they_live() -> None:
    from picograd.frontend import capsule as capsules

    gc.collect()  # what other tests have left
    held = len(capsules._given)
    x = torch.ones(1 << 16, device="cuda") * 3
    capsule = x.__dlpack__()
    used = torch.cuda.memory_allocated()
    del x
    gc.collect()
    assert torch.cuda.memory_allocated() == used and len(capsules._given) == held + 1
    del capsule  # nobody took it
    gc.collect()
    assert torch.cuda.memory_allocated() < used and len(capsules._given) == held


REFUSED = {
    "gradient": (lambda x: x.requires_grad_().__dlpack__(), BufferError, "require gradient"),
    "host": (lambda x: x.__dlpack__(dl_device=(1, 0)), BufferError, "Can't export"),
    "stream 0": (lambda x: x.__dlpack__(stream=0), BufferError, "no stream"),
    "another GPU": (lambda x: torch.from_dlpack(_Elsewhere()), RuntimeError, "GPU 1"),
    "negative": (lambda x: torch.as_tensor(_Described(strides=(-4,))), BufferError, "negative"),
    "read-only": (lambda x: torch.as_tensor(_Described(data=(4096, True))), ValueError, "read-on"),
    "text": (lambda x: torch.as_tensor(_Described(typestr="<U1")), TypeError, "<U1"),
    "bytes": (lambda x: torch.as_tensor(_Described(strides=(5,))), ValueError, "multiples"),
}


class _Elsewhere:
    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 1)

    def __dlpack__(self, **options: object) -> object:
        raise AssertionError


class _Described:
    def __init__(self, **others: object) -> None:
        given = {"shape": (2,), "typestr": "<f4", "data": (4096, False), "version": 3}
        self.__cuda_array_interface__ = {**given, **others}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name) -> None:
    action, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words):
        action(torch.ones(2, device="cuda"))


def test_processes_that_share_end_well() -> None:
    program = """
import picograd as torch
x = torch.arange(4, device="cuda")
y = torch.from_dlpack(x)
kept, capsule = x.__cuda_array_interface__, x.__dlpack__()
assert (y + x).tolist() == [0, 2, 4, 6]
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("skipped", [1, 3, 4])
def test_memory_that_begins_between_boundaries(skipped: int) -> None:
    """Kernels move 16 bytes at a time; a tensor may begin elsewhere. What is before it stays."""
    whole = Foreign(np.arange(4 * 40, dtype=np.float32))

    class Part(Foreign):
        def __init__(self) -> None:
            self.gpu, self.stream, self.memory = whole.gpu, whole.stream, whole.memory
            self.shape, self.typestr, self.strides = (32, 4), "<f4", None

        def __del__(self) -> None:
            pass

        @property
        def __cuda_array_interface__(self) -> dict[str, object]:
            found = Foreign.__cuda_array_interface__.fget(self)  # type: ignore[attr-defined]
            return {**found, "data": (int(self.memory) + 4 * skipped, False)}

    x = torch.as_tensor(Part(), device="cuda")
    expected = np.arange(skipped, skipped + 128, dtype=np.float32).reshape(32, 4)
    assert (x.cpu().numpy() == expected).all()
    assert ((x @ x.T).cpu().numpy() == expected @ expected.T).all()
    assert ((x * 2).cpu().numpy() == 2 * expected).all()
    x.zero_()
    torch.cuda.synchronize()
    after, end = whole.values(), skipped + 128
    assert (after[:skipped] == np.arange(skipped)).all()
    assert not after[skipped:end].any() and (after[end:] == np.arange(end, 160)).all()


def test_elements_of_another_size_are_the_same_memory() -> None:
    x = torch.arange(8, dtype=torch.int32, device="cuda").reshape(2, 4)
    y = x * 2
    bytes_, halves = y.view(torch.uint8), y[1].view(torch.int64)
    bytes_[0, 0] = 7
    y += 1
    assert y.tolist() == [[8, 3, 5, 7], [9, 11, 13, 15]] and bytes_[1, ::4].tolist() == [
        9,
        11,
        13,
        15,
    ]
    halves[0] = 5
    assert y[1].tolist() == [5, 0, 13, 15] and x.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
