"""Orders: the one computation that is no expression over indices, written as LLVM IR at once.

`rows.py`, `blocks.py` and `select.py` write the loops with `text.py`, over the keys of `keys.py`;
`module.py` puts them together for one element type. `runtime.sorting` compiles and calls them.
"""
