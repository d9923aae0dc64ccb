"""`torch.cuda.streams`: queues of work, and points in them.

In: waits and marks. Out: the same on the driver. All of picograd's work goes to one stream, which
every `Stream` is, in the order in which the program says it; so waiting for one of them is nothing.
An `ExternalStream` is somebody else's: waiting orders the two.

>>> StreamContext(None).__enter__()
"""

from __future__ import annotations

from typing import Any

from picograd import engine
from picograd.cuda.opening import check_device, opened, required
from picograd.frontend.device import device as Device
from picograd.runtime.cuda import capture, driver, functions


class Stream:
    """A queue of work: whatever its name, the one of this process."""

    priority, device_index, device_type, stream_id = 0, 0, 1, 0
    cuda_stream: int

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any) -> None:
        self.cuda_stream = required("Stream").stream.handle
        check_device(device)
        self.device = Device("cuda", 0)

    @staticmethod
    def priority_range() -> tuple[int, int]:
        """The least and the greatest priority: there is one."""
        return 0, 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.cuda_stream == self.cuda_stream

    def __hash__(self) -> int:
        return hash(self.cuda_stream)

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"

    @property
    def _as_parameter_(self) -> Any:
        return functions.handle(self.cuda_stream)

    def synchronize(self) -> None:
        """Wait for all work: what is pending is given to the GPU first."""
        capture.forbid("waiting for a stream")
        engine.realize_pending()
        opened = driver.get()
        if self.cuda_stream == opened.stream.handle:
            opened.synchronize()
        else:
            with opened:
                functions.call("cuStreamSynchronize", functions.handle(self.cuda_stream))

    def query(self) -> bool:
        """Whether all work is done: what is pending is given to the GPU first."""
        engine.realize_pending()
        with driver.get():
            code = functions.library().cuStreamQuery(functions.handle(self.cuda_stream))
        if code not in (0, functions.NOT_READY):
            functions.call("cuStreamQuery", functions.handle(self.cuda_stream))
        return code == 0

    def wait_stream(self, stream: Stream) -> None:
        """What this stream gets from now on waits for what the other one has got."""
        engine.realize_pending()
        functions.order(stream.cuda_stream, self.cuda_stream)

    def wait_event(self, event: Event) -> None:
        """What this stream gets from now on waits for the event."""
        event.wait(self)

    def record_event(self, event: Event | None = None) -> Event:
        """An event behind all work so far."""
        made = event or Event()
        made.record(self)
        return made

    def __enter__(self) -> Stream:
        _order(self, inwards=True)
        return self

    def __exit__(self, *error: object) -> None:
        _order(self, inwards=False)


class ExternalStream(Stream):
    """Somebody else's stream, by its handle. Within `with torch.cuda.stream(s)`, picograd's work
    is done as if it were in it: after what was there before, and before what comes after."""

    def __init__(self, stream_ptr: int, device: Any = None, **kwargs: Any) -> None:
        super().__init__(device)
        self.cuda_stream = stream_ptr


def get_stream_from_external(data_ptr: int, device: Any = None) -> ExternalStream:
    """A stream by its handle."""
    return ExternalStream(data_ptr, device)


def _order(stream: Stream | None, inwards: bool) -> None:
    """Before work that is named another stream's, or after it."""
    if stream is None:
        return
    own = driver.get().stream.handle
    if stream.cuda_stream != own:
        engine.realize_pending()
        pair = (stream.cuda_stream, own) if inwards else (own, stream.cuda_stream)
        functions.order(*pair)


class StreamContext:
    """`with torch.cuda.stream(s):` gives work to a stream; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        _order(self.stream, inwards=True)

    def __exit__(self, *error: object) -> None:
        _order(self.stream, inwards=False)


def stream(stream: Stream | None) -> StreamContext:
    """The context in which work is given to a stream."""
    return StreamContext(stream)


class Event:
    """A point in the GPU's time, whose time is taken with `enable_timing`."""

    def __init__(
        self,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
        external: bool = False,
    ) -> None:
        opened = required("Event")
        if interprocess:
            raise NotImplementedError("torch.cuda.Event: events of other processes")
        with opened:
            kinds = opened.cuda.event_flags
            flags = kinds.DEFAULT if enable_timing else kinds.DISABLE_TIMING
            self._event = opened.cuda.Event(flags | (kinds.BLOCKING_SYNC if blocking else 0))
        self._timed, self._recorded = enable_timing, False

    def record(self, stream: Stream | None = None) -> None:
        """Mark the point behind all work so far: what is pending is given to the GPU first."""
        capture.forbid("an event is recorded")
        _order(stream, inwards=True)  # an event of somebody else's stream lies in both
        engine.realize_pending()
        with driver.get() as opened:
            self._event.record(opened.stream)
        _order(stream, inwards=False)
        self._recorded = True

    def synchronize(self) -> None:
        """Wait until the point is reached."""
        capture.forbid("waiting for an event")
        with driver.get():
            self._event.synchronize()

    def wait(self, stream: Stream | None = None) -> None:
        """What a stream gets from now on waits for the point. In picograd's own it does anyway."""
        if stream is not None:
            functions.order(driver.get().stream.handle, stream.cuda_stream)

    def query(self) -> bool:
        """Whether the point is reached."""
        with driver.get():
            return self._event.query()

    def elapsed_time(self, end_event: Event) -> float:
        """The milliseconds from this point to another. Raises where one of them has no time."""
        if not (self._timed and end_event._timed):
            raise ValueError(
                "Both events must be created with argument 'enable_timing=True' before time "
                "can be taken"
            )
        if not (self._recorded and end_event._recorded):
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if not (self.query() and end_event.query()):
            raise RuntimeError(
                "Both events must be completed before calculating elapsed time: synchronize() them"
            )
        with driver.get():
            return end_event._event.time_since(self._event)

    def ipc_handle(self) -> bytes:
        """Events of other processes aren't supported."""
        raise NotImplementedError("torch.cuda.Event.ipc_handle: events of other processes")


def current_stream(device: Any = None) -> Stream:
    """The stream in use. Raises AssertionError where there is no GPU."""
    opened()
    return Stream(device)


default_stream = current_stream


def set_stream(stream: Stream | None) -> None:
    """Let the work to come wait for a stream's; None changes nothing."""
    _order(stream, inwards=True)
