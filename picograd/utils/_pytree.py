"""Trees of containers: nested tuples, lists and dictionaries as flat lists of leaves, and back.

In: any nesting of containers. Out: the leaves in order and a `TreeSpec` that puts them, or others,
back. `register_pytree_node` adds classes.

>>> leaves, spec = tree_flatten({"a": 1, "b": [2, (3,)]})
>>> leaves, tree_unflatten([10, 20, 30], spec)
([1, 2, 3], {'a': 10, 'b': [20, (30,)]})
"""

from __future__ import annotations

from picograd.frontend.pytree import (
    LeafSpec,
    TreeSpec,
    _broadcast_to_and_flatten,
    register_pytree_node,
    tree_all,
    tree_any,
    tree_flatten,
    tree_flatten_with_path,
    tree_iter,
    tree_leaves,
    tree_map,
    tree_map_,
    tree_map_only,
    tree_map_only_,
    tree_structure,
    tree_unflatten,
)

_register_pytree_node = register_pytree_node
PyTree = object

__all__ = [
    "LeafSpec",
    "PyTree",
    "TreeSpec",
    "_broadcast_to_and_flatten",
    "_register_pytree_node",
    "register_pytree_node",
    "tree_all",
    "tree_any",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_iter",
    "tree_leaves",
    "tree_map",
    "tree_map_",
    "tree_map_only",
    "tree_map_only_",
    "tree_structure",
    "tree_unflatten",
]
