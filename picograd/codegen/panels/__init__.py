"""Attention by blocks of rows: scores stay in the cache and are never stored whole.

In: a `schedule.kernel.Kernel` of pattern PANELS. Out: a `loops.Function`. `codegen.pipeline` calls
`lower.lower_panels`; `lower` tells the story, and the modules beside it each do one thing:

* `analyse` says what each stage does to the table; `skip` finds columns that a mask leaves out;
* `nest` holds memories, names and the current place; `product` packs factors and multiplies;
* `sweep` runs elementwise stages and row reductions over the rows of a block.

For a GPU, `codegen.cuda.render` calls `grid.lower_panels_to_grid`: `rounds` plans the loops over
tiles of columns, `wide` drops roundings, `block` and `tile` build what a block of threads does with
its `lines`, `results` what it leaves, `threads`, `warps` and `coarse` multiply, `scene` holds
memories, names and the current place.
"""
