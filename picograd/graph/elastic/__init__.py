"""One program for many sizes: a graph whose varying extents are given at run time.

In: a graph and the sizes that graphs of its kind had before (`sizes`). Out: the same computation
over *capacities*, extents that are large enough for this run and for larger ones, and a `Recipe`
that says what to hand to it (`build`). Called by `picograd.programs` when the same program text
comes with ever new sizes: a growing context, sentences of all lengths.

    sizes     what differs between two graphs of one kind; the symbols that stand for it
    cost      what a graph costs at given sizes, and how far ahead a program reaches
    layout    a value whose axes are longer than what they hold
    build     the walk over the graph
    rules     what becomes of each op
    reshape   the same for RESHAPE, which regroups axes

Every element beyond a size is garbage that no result depends on: reductions put their identity in
its place, gathers the index 0, and what leaves the program is cut to size.

>>> from picograd.graph.elastic.sizes import capacity
>>> [capacity(size, growth=3) for size in (3, 17, 100)]
[16, 64, 304]
"""
