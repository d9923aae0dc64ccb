"""The GPU of this process: pycuda's context, one stream, errors, and an orderly end.

In: the wish to use the GPU, from the other modules of this package. Out: `get()`, the `Driver`.
Contexts are current for a thread, so whatever calls CUDA does so within `with driver:`. The
context is the device's primary one, which PyTorch and CuPy share; all work goes to one
non-blocking stream, in order.

>>> get.cache_info().currsize <= 1
True
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from picograd import env
from picograd.codegen.target import WARP_GROUPS

if TYPE_CHECKING:
    from picograd.schedule.kernel import Kernel

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, which pycuda takes but has no name for
MOST_SECONDS = 10.0  # that the end of the process waits for daemon threads


class Unavailable(RuntimeError):
    """There is no usable GPU; the message says what to do."""


class Driver:
    """pycuda, its context, its stream. `at_end` holds what is to be called before the context
    goes."""

    def __init__(self, cuda: ModuleType) -> None:
        self.cuda: Any = cuda
        self.device: Any = cuda.Device(0)
        self.at_end: list[Callable[[], None]] = []
        self.process = os.getpid()
        # As the driver does itself, so that the kernel that failed is known by name.
        self.blocking = os.environ.get("CUDA_LAUNCH_BLOCKING", "0") not in ("", "0")
        self.enqueued: deque[Sequence[str]] = deque(maxlen=16)  # kernels since the last wait
        self.lock = threading.RLock()  # held while a program is enqueued: two must not mix
        self.ended = False
        self._inside: set[int] = set()  # the threads that use the driver at this moment
        self._context: Any = self.device.retain_primary_context()
        self._local = threading.local()
        with self:
            self.stream: Any = cuda.Stream(NON_BLOCKING)
        major, minor = self.device.compute_capability()
        self.capability = 10 * major + minor
        # What is special to 9.0 (wgmma, setmaxnreg) has a name of its own.
        self.architecture = f"sm_{self.capability}" + (
            "a" if self.capability == WARP_GROUPS else ""
        )
        atexit.register(self._end)

    def __enter__(self) -> Driver:
        """Make the context current for this thread."""
        if os.getpid() != self.process:
            raise RuntimeError(
                "Cannot re-initialize CUDA in forked subprocess. To use CUDA with "
                "multiprocessing, you must use the 'spawn' start method."
            )
        depth = getattr(self._local, "depth", 0)
        if depth == 0:
            self._inside.add(threading.get_ident())
            if self.ended:
                self._refuse()
            self._context.push()
        self._local.depth = depth + 1
        return self

    def __exit__(self, kind: object, error: BaseException | None, *trace: object) -> None:
        """Go back to the context from before. An error of pycuda's becomes PyTorch's."""
        self._local.depth -= 1
        if self._local.depth == 0:
            self._context.pop()
            self._inside.discard(threading.get_ident())
            if error is not None and isinstance(error, self.cuda.Error):
                raise failed(error) from error

    def _refuse(self) -> None:
        """What a thread gets when the process is ending: a daemon stays here, since Python ends
        it at its next step anyway, which must not be inside of pycuda."""
        self._inside.discard(threading.get_ident())
        if threading.current_thread().daemon:
            threading.Event().wait()
        raise RuntimeError(
            "CUDA error: driver shutting down. The process is ending; functions that atexit "
            "calls may use the GPU if they were registered behind its first use."
        )

    def synchronize(self) -> None:
        """Wait for all work on the stream. Raises RuntimeError when a kernel failed."""
        with self:
            self.stream.synchronize()
            self.enqueued.clear()

    def _end(self) -> None:
        """Let go of everything in CUDA while its context still lives: pycuda aborts otherwise.
        Daemon threads leave it before: Python would end them there, and the process with them."""
        if os.getpid() != self.process:
            return
        with self:
            self.ended = True
            given_up = time.monotonic() + MOST_SECONDS
            while self._inside - {threading.get_ident()} and time.monotonic() < given_up:
                time.sleep(0.001)
            for action in self.at_end:
                action()
            self.stream = None


def words(error: BaseException) -> str:
    """What an error of pycuda's says; a log may follow that is empty as a rule."""
    return str(error).removesuffix(" - ")


def failed(error: BaseException, kernel: Kernel | None = None) -> RuntimeError:
    """A failure of the driver as the error that PyTorch raises for it. `kernel` is the one that
    failed, where that is known."""
    if kernel is not None:
        source = ""
        if env.debug_level() >= 2:
            from picograd.codegen.cuda.render import cuda_kernel

            source = "\n" + cuda_kernel(kernel, get().capability)
        return RuntimeError(f"CUDA error: {words(error)} (in kernel {kernel.name}){source}")
    names = list(dict.fromkeys(name for program in get().enqueued for name in program))
    which = f" One of these kernels failed: {', '.join(names[-20:])}." if names else ""
    return RuntimeError(
        f"CUDA error: {words(error)}.{which} Kernels run after the call that launched them; to see "
        "which one failed, run again with CUDA_LAUNCH_BLOCKING=1, and for its source with DEBUG=2 "
        "too."
    )


@lru_cache(maxsize=1)
def get() -> Driver:
    """The driver, opened once. Raises `Unavailable` where there is no GPU."""
    try:
        import pycuda.driver as cuda
    except ImportError as error:
        raise Unavailable(_explain_import(error)) from None
    try:
        cuda.init()
        if cuda.Device.count():
            return Driver(cuda)
    except cuda.Error as error:
        raise Unavailable(
            f"CUDA could not be started ({error}): is an NVIDIA GPU present and free, and its "
            "driver loaded and new enough (nvidia-smi says)?"
        ) from None
    raise Unavailable("the CUDA driver sees no GPU (is CUDA_VISIBLE_DEVICES empty?)")


def _explain_import(error: ImportError) -> str:
    text = str(error)
    if "libcuda" in text:
        return f"no CUDA driver is installed ({text}): install NVIDIA's driver"
    if "undefined symbol" in text or "version" in text:
        return (
            f"pycuda was built for another driver ({text}): upgrade NVIDIA's driver, or reinstall "
            "pycuda with the CUDA headers of this one (pip install --no-binary pycuda pycuda)"
        )
    return f"pycuda is not installed ({text}): pip install 'picograd[cuda]'"


@lru_cache(maxsize=1)
def why_not() -> str | None:
    """Why there is no GPU, or None where there is one."""
    try:
        get()
    except Unavailable as error:
        return str(error)
    return None
