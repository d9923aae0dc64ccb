"""Nested containers as a list of leaves and a description of the nesting.

In: tuples, lists, dictionaries, named tuples and registered classes, nested. Out: `tree_flatten`
and its like. Used by `frontend/batching.py`; programs have it as `picograd.utils._pytree`.

>>> tree_map(lambda x: x + 1, [1, (2, {"a": 3})])
[2, (3, {'a': 4})]
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Leaf = Callable[[Any], bool]


class _Container(NamedTuple):
    """How to take one class apart, and to put it together again from its context."""

    flatten: Callable[[Any], tuple[list[Any], Any]]
    unflatten: Callable[[list[Any], Any], Any]


_CONTAINERS: dict[type, _Container] = {
    tuple: _Container(lambda x: (list(x), None), lambda parts, _: tuple(parts)),
    list: _Container(lambda x: (list(x), None), lambda parts, _: list(parts)),
    deque: _Container(lambda x: (list(x), x.maxlen), lambda parts, n: deque(parts, n)),
    dict: _Container(
        lambda x: (list(x.values()), list(x)), lambda parts, keys: dict(zip(keys, parts))
    ),
    OrderedDict: _Container(
        lambda x: (list(x.values()), list(x)), lambda parts, keys: OrderedDict(zip(keys, parts))
    ),
    defaultdict: _Container(
        lambda x: (list(x.values()), [x.default_factory, list(x)]),
        lambda parts, context: defaultdict(context[0], zip(context[1], parts)),
    ),
}
_NAMED = _Container(lambda x: (list(x), type(x)), lambda parts, kind: kind(*parts))


def register_pytree_node(
    cls: type,
    flatten_fn: Callable[[Any], tuple[list[Any], Any]],
    unflatten_fn: Callable[[Any, Any], Any],
    **_: Any,
) -> None:
    """Treat a class as a container: `flatten_fn` gives (children, context)."""
    if cls in _CONTAINERS:
        raise ValueError(f"{cls} is already registered as pytree node.")
    _CONTAINERS[cls] = _Container(_listing(flatten_fn), unflatten_fn)


def _listing(flatten: Callable[[Any], tuple[Any, Any]]) -> Callable[[Any], tuple[list[Any], Any]]:
    """`flatten`, its children in a list."""

    def flatten_to_list(x: Any) -> tuple[list[Any], Any]:
        children, context = flatten(x)
        return list(children), context

    return flatten_to_list


def _container(x: Any) -> _Container | None:
    found = _CONTAINERS.get(type(x))
    if found is None and isinstance(x, tuple) and hasattr(type(x), "_fields"):
        return _NAMED
    return found


class TreeSpec:
    """The nesting: the class of a container, its context, and the nestings of its children."""

    def __init__(self, type: Any, context: Any, children_specs: list[TreeSpec]) -> None:
        self.type, self.context, self.children_specs = type, context, children_specs

    @property
    def num_leaves(self) -> int:
        """How many leaves there are."""
        if self.is_leaf():
            return 1
        return sum(child.num_leaves for child in self.children_specs)

    @property
    def num_children(self) -> int:
        """How many children the outermost container has."""
        return len(self.children_specs)

    def is_leaf(self) -> bool:
        """Whether this is no container."""
        return self.type is None

    def unflatten(self, leaves: Any) -> Any:
        """The leaves in their places."""
        return tree_unflatten(leaves, self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeSpec) and (
            (self.type, self.context, self.children_specs)
            == (other.type, other.context, other.children_specs)
        )

    def __hash__(self) -> int:
        return hash((self.type, self.num_leaves))

    def __repr__(self) -> str:
        if self.is_leaf():
            return "*"
        return f"TreeSpec({self.type.__name__}, {self.context}, {self.children_specs})"


def LeafSpec() -> TreeSpec:
    """The nesting of a leaf."""
    return TreeSpec(None, None, [])


def tree_flatten(tree: Any, is_leaf: Leaf | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves, and the nesting."""
    container = None if is_leaf is not None and is_leaf(tree) else _container(tree)
    if container is None:
        return [tree], LeafSpec()
    children, context = container.flatten(tree)
    flat = [tree_flatten(child, is_leaf) for child in children]
    leaves = [leaf for part, _ in flat for leaf in part]
    return leaves, TreeSpec(type(tree), context, [spec for _, spec in flat])


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """The leaves in the places that the nesting has for them."""
    listed = list(leaves)
    if len(listed) != treespec.num_leaves:
        raise ValueError(
            f"treespec.unflatten(leaves): `leaves` has length {len(listed)} but the spec refers "
            f"to a pytree that holds {treespec.num_leaves} items ({treespec})."
        )
    return _rebuilt(iter(listed), treespec)


def _rebuilt(leaves: Iterator[Any], spec: TreeSpec) -> Any:
    if spec.is_leaf():
        return next(leaves)
    parts = [_rebuilt(leaves, child) for child in spec.children_specs]
    return _CONTAINERS.get(spec.type, _NAMED).unflatten(parts, spec.context)


def tree_leaves(tree: Any, is_leaf: Leaf | None = None) -> list[Any]:
    """The leaves."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: Any, is_leaf: Leaf | None = None) -> Iterator[Any]:
    """The leaves, one after the other."""
    return iter(tree_leaves(tree, is_leaf))


def tree_structure(tree: Any, is_leaf: Leaf | None = None) -> TreeSpec:
    """The nesting."""
    return tree_flatten(tree, is_leaf)[1]


def tree_flatten_with_path(tree: Any, is_leaf: Leaf | None = None) -> Any:
    """The leaves with the keys that lead to them, and the nesting."""
    leaves, spec = tree_flatten(tree, is_leaf)
    return list(zip(_paths(spec, ()), leaves, strict=True)), spec


def _paths(spec: TreeSpec, before: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if spec.is_leaf():
        yield before
        return
    keys = spec.context if isinstance(spec.context, list) else range(spec.num_children)
    keys = spec.context[1] if spec.type is defaultdict else keys
    for key, child in zip(keys, spec.children_specs, strict=True):
        yield from _paths(child, (*before, key))


def _flatten_as(spec: TreeSpec, tree: Any) -> list[Any]:
    """The subtrees of a tree at the places of a nesting's leaves."""
    if spec.is_leaf():
        return [tree]
    container = _container(tree)
    if container is None or type(tree) is not spec.type:
        raise ValueError(f"Node type mismatch; expected {spec.type}, but got {type(tree)}.")
    children, _ = container.flatten(tree)
    if len(children) != spec.num_children:
        raise ValueError(
            f"Node arity mismatch; expected {spec.num_children}, but got {len(children)}."
        )
    pairs = zip(spec.children_specs, children, strict=True)
    return [leaf for child, part in pairs for leaf in _flatten_as(child, part)]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Leaf | None = None) -> Any:
    """The tree with `func` of each leaf (and of what the other trees have there)."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [_flatten_as(spec, rest) for rest in rests]
    return tree_unflatten(map(func, leaves, *others), spec)


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Leaf | None = None) -> Any:
    """Call `func` with each leaf; the tree itself."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _test_of(kind: Any) -> Callable[[Any], object]:
    """Whether a leaf is of the type (or types), or satisfies the function, that is given."""
    if callable(kind) and not isinstance(kind, type):
        return kind
    types: Any = kind
    return lambda x: isinstance(x, types)


def tree_map_only(
    kind: Any, func: Callable[[Any], Any] | Any, tree: Any = None, is_leaf: Leaf | None = None
) -> Any:
    """As `tree_map`, for leaves of a type (or types, or that satisfy a function) alone."""
    fits = _test_of(kind)
    return tree_map(lambda x: func(x) if fits(x) else x, tree, is_leaf=is_leaf)


def tree_map_only_(kind: Any, func: Any, tree: Any, is_leaf: Leaf | None = None) -> Any:
    """Call `func` with each leaf of a type; the tree itself."""
    tree_map_only(kind, func, tree, is_leaf)
    return tree


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Leaf | None = None) -> bool:
    """Whether all leaves satisfy `pred`."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Leaf | None = None) -> bool:
    """Whether a leaf satisfies `pred`."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def _broadcast_to_and_flatten(
    tree: Any, treespec: TreeSpec, is_leaf: Leaf | None = None
) -> list[Any] | None:
    """The leaves of `tree`, each repeated for all that a deeper nesting has in its place.

    None if the nestings don't fit.
    """
    container = None if is_leaf is not None and is_leaf(tree) else _container(tree)
    if container is None:
        return [tree] * treespec.num_leaves
    children, context = container.flatten(tree)
    same = type(tree) is treespec.type and context == treespec.context
    if not same or len(children) != treespec.num_children:
        return None
    found: list[Any] = []
    for child, spec in zip(children, treespec.children_specs, strict=True):
        part = _broadcast_to_and_flatten(child, spec, is_leaf)
        if part is None:
            return None
        found += part
    return found
