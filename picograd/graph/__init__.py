"""What a program computes: immutable nodes of three families of operations.

In: calls of the frontend (`node.make`). Out: hash-consed nodes with shape and dtype, simplified by
rule tables (`rules`), printed (`show`), checked (`verify`), and computed by NumPy (`interpret`:
the executable semantics, which every compiled kernel must agree with). Start with `ops`.
"""
