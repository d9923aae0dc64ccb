"""Orders: the one computation that is no expression over indices, written as LLVM IR at once.

`codegen/sorting/radix.py`, `codegen/sorting/blocks.py` and `codegen/sorting/select.py` write loops
with `codegen/sorting/text.py`, over the keys of `codegen/sorting/keys.py`;
`codegen/sorting/module.py` puts them together for one element type. `runtime.sorting` compiles
and calls them.
"""
