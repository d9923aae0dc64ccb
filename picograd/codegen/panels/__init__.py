"""Attention by blocks of rows: scores stay in the cache and are never stored whole.

In: a `schedule.kernel.Kernel` of pattern PANELS. Out: a `loops.Function`. `codegen.pipeline` calls
`lower.lower_panels`; `lower` tells the story, and the modules beside it each do one thing:

* `analyse` says what each stage does to the table; `skip` finds columns that a mask leaves out;
* `nest` holds memories, names and the current place; `product` packs factors and multiplies;
* `sweep` runs elementwise stages and row reductions over the rows of a block.
"""
