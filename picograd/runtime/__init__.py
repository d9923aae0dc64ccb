"""Where programs run: devices, buffers, the thread pool and native code.

In: a `schedule.kernel.Program` and buffers. Out: the buffers filled. `device.get(name)` finds a
device by its name; the engine calls `build` on it once and the result's `run` every time.
"""
