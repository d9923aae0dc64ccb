"""From a kernel in index notation to LLVM IR or CUDA C.

In: one `schedule.kernel.Kernel` and a `target.Target`. Out: text. `lower` makes loop IR (`loops`),
the passes of `pipeline` improve it, and `llvm` or `cuda` print it. The runtime calls it.
"""
