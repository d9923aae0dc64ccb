"""Sums of products (matmul, einsum, convolution's core) as packed, register-tiled, blocked loops.

In: a `schedule.kernel.Kernel` of pattern CONTRACTION. Out: a `loops.Function`, in the same loop IR
as any other kernel. `codegen.pipeline` calls `lower.lower_contraction`; `lower` tells the story,
and the modules beside it each do one thing:

* `axes` recognises batch, rows, columns and depth; `tiles` chooses sizes from shape and target;
* `packing` copies panels (`transpose` turns blocks in registers); `microkernel` is the inner loop;
* `epilogue` applies what follows the sum; `frame`, `lanes` and `expressions` are shared by all.
"""
