"""What is stored, what is fused, in which order and in which memory.

In: a canonical graph (`plan.plan`). Out: a `kernel.Program`: kernels in index notation with the
reason of every cut, their order, and a memory plan. The engine calls it when no program is known.
"""
