"""What is stored, what is fused, in which order and in which memory.

In: a canonical graph (`plan.plan`). Out: a `kernel.Program`: kernels in index notation with the
reason of every cut, their order, and a memory plan. A device calls it to build a program.
"""
