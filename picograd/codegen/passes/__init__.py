"""Passes over the loop IR, one file each, named by verbs.

In: a `loops.Function`. Out: an equivalent one. `codegen/pipeline.py` has their order.
"""
