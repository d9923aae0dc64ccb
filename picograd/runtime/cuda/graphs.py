"""CUDA graphs: launches that are recorded once, and then given to the GPU by one call.

In: launches on pycuda's stream, while a `Recording` goes on. Out: a `Graph`, and executable copies
of it (`instantiate`), whose launches take other parameters without being made again
(`Node.update`). pycuda knows no graphs. Called by `replay`.

>>> ctypes.sizeof(KernelNode)  # as the driver's CUDA_KERNEL_NODE_PARAMS_v2
72
"""

from __future__ import annotations

import ctypes
from collections import deque
from functools import lru_cache

from picograd.runtime.cuda.functions import call, check, library

# A recording in this mode does not forbid what a garbage collector may do meanwhile: to free.
_RELAXED = 2
_END, _PARAMETERS, _SIZE = 0, 1, 2  # CU_LAUNCH_PARAM_...
_FUNCTIONS = (
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuStreamGetCaptureInfo_v2",
    "cuGraphKernelNodeGetParams_v2",
    "cuGraphInstantiateWithFlags",
    "cuGraphExecKernelNodeSetParams_v2",
    "cuGraphLaunch",
    "cuGraphExecDestroy",
    "cuGraphDestroy",
)
# What dying objects leave behind: they may die on any thread and at any point, even when this
# module is gone.
_dead: deque[tuple[str, ctypes.c_void_p]] = deque()


class KernelNode(ctypes.Structure):
    """The driver's description of a launch within a graph."""

    _fields_ = [
        ("function", ctypes.c_void_p),
        ("sizes", ctypes.c_uint * 7),  # grid, block, bytes of dynamic shared memory
        ("pointers", ctypes.c_void_p),
        ("extra", ctypes.c_void_p),
        ("kernel", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
    ]


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether the driver is new enough for graphs whose launches change."""
    found = library()
    if not all(hasattr(found, name) for name in _FUNCTIONS):
        return False
    handle = ctypes.c_void_p
    found.cuGraphLaunch.argtypes = [handle, handle]
    found.cuGraphExecKernelNodeSetParams_v2.argtypes = [handle, handle, ctypes.POINTER(KernelNode)]
    found.cuStreamBeginCapture_v2.argtypes = [handle, ctypes.c_int]
    return True


class Node:
    """A launch within a graph. Its parameters are packed into `memory`, then given to an
    executable graph by `update`."""

    __slots__ = ("_description", "_extra", "_handle", "_size", "memory")

    def __init__(self, handle: ctypes.c_void_p, memory: ctypes.Array[ctypes.c_char]) -> None:
        self._handle = handle
        self.memory = memory
        self._size = ctypes.c_size_t(len(memory))
        self._extra = (ctypes.c_void_p * 5)(
            _PARAMETERS, ctypes.addressof(memory), _SIZE, ctypes.addressof(self._size), _END
        )
        self._description = KernelNode()
        call("cuGraphKernelNodeGetParams_v2", handle, ctypes.byref(self._description))
        self._description.pointers = None
        self._description.extra = ctypes.addressof(self._extra)

    def update(self, executable: Executable) -> None:
        """From its next launch on, an executable graph takes the parameters in `memory`."""
        description = ctypes.byref(self._description)
        call("cuGraphExecKernelNodeSetParams_v2", executable.handle, self._handle, description)


class Graph:
    """What was recorded: the launches in their order."""

    __slots__ = ("_handle",)
    _bury = _dead.append

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self._handle = handle

    def instantiate(self) -> Executable:
        """A copy that can be launched, with the parameters of the recording."""
        made = ctypes.c_void_p()
        flags = ctypes.c_ulonglong(0)
        call("cuGraphInstantiateWithFlags", ctypes.byref(made), self._handle, flags)
        return Executable(made)

    def __del__(self) -> None:
        self._bury(("cuGraphDestroy", self._handle))


class Executable:
    """A graph that can be launched."""

    __slots__ = ("handle",)
    _bury = _dead.append

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self.handle = handle

    def launch(self, stream: int) -> None:
        """Enqueue all launches."""
        check("cuGraphLaunch", library().cuGraphLaunch(self.handle, stream))

    def __del__(self) -> None:
        self._bury(("cuGraphExecDestroy", self.handle))


class Recording:
    """`with Recording(stream) as recording:` launches on the stream are recorded, not done.
    Afterwards `graph` has them."""

    def __init__(self, stream: int) -> None:
        self._stream = ctypes.c_void_p(stream)
        self.graph: Graph | None = None

    def __enter__(self) -> Recording:
        while _dead:
            call(*_dead.popleft())
        call("cuStreamBeginCapture_v2", self._stream, _RELAXED)
        return self

    def node(self, memory: ctypes.Array[ctypes.c_char]) -> Node:
        """The launch that was made last; its parameters will be packed into `memory`."""
        status, count = ctypes.c_int(), ctypes.c_size_t()
        last = ctypes.POINTER(ctypes.c_void_p)()
        places = ctypes.byref(last), ctypes.byref(count)
        call("cuStreamGetCaptureInfo_v2", self._stream, ctypes.byref(status), None, None, *places)
        # Whatever comes next in the stream has to wait for the last launch, and for nothing else.
        assert count.value == 1
        return Node(ctypes.c_void_p(last[0]), memory)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        handle = ctypes.c_void_p()
        if kind is not None:  # that error says more than what this call would say
            library().cuStreamEndCapture(self._stream, ctypes.byref(handle))
            return
        call("cuStreamEndCapture", self._stream, ctypes.byref(handle))
        self.graph = Graph(handle)
