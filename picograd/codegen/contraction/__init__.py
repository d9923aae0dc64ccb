"""Sums of products (matmul, einsum, convolution's core) as packed, register-tiled, blocked loops.

In: a `schedule.kernel.Kernel` of pattern CONTRACTION. Out: a `loops.Function`, in the same loop IR
as any other kernel. `codegen.pipeline` calls `lower.lower_contraction`; `lower` tells the story,
and the modules beside it each do one thing:

* `axes` recognises batch, rows, columns and depth; `tiles` chooses sizes from shape and target,
  `candidates` lists others to try;
* `packing` copies panels (`transpose` turns blocks in registers); `microkernel` is the inner loop,
  `prefetch` asks for memory in it;
* `dots` (a few lines against many) and `pairs` (bfloat16 instructions) replace parts of these;
* `epilogue` applies what follows the sum; `frame`, `places`, `lanes` and `expressions` are shared.
"""
