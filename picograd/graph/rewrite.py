"""Rewriting by tables of rules: bottom-up, to a fixpoint, without recursion.

In: the outputs of a graph and a `RuleSet`. Out: equivalent outputs to which no rule applies. A
`Rule` says what it matches, what it gives, when, and why that is valid; the tables stand in
`rules.py`. A recorder, where given, sees every step (DEBUG=5).

>>> from picograd.dtypes import int32
>>> from picograd.graph.ops import IotaAttr
>>> double = Rule(
...     "negate twice",
...     Pattern(Op.NEG, (Pattern(Op.NEG, (Pattern(name="x"),)),)),
...     lambda match: match["x"],
...     why="-(-x) is x",
... )
>>> x = make(Op.IOTA, (), IotaAttr(3, int32), "cpu")
>>> rewrite([make(Op.NEG, (make(Op.NEG, (x,)),))], RuleSet([double]))[0] is x
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from picograd.errors import InternalError
from picograd.graph.node import Node, make
from picograd.graph.ops import Op

Match = dict[str, Node]
Recorder = Callable[[str, Node, Node], None]

COMMUTATIVE = frozenset(
    {Op.ADD, Op.MUL, Op.MAXIMUM, Op.MINIMUM, Op.EQ, Op.NE, Op.AND, Op.OR, Op.XOR}
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a node must look like. Everything left out matches anything.

    op      one op or several
    srcs    patterns of the sources (commutative ops match either order)
    name    the node's name in the match; a name used twice must match one and the same node
    """

    op: Op | frozenset[Op] | None = None
    srcs: tuple[Pattern, ...] | None = None
    name: str | None = None

    def match(self, node: Node, known: Match | None = None) -> Match | None:
        """The named nodes if `node` matches, else None."""
        found = dict(known) if known else {}
        if self.op is not None:
            if node.buffer is not None:  # a realised node is a leaf, whatever computed it
                return None
            if node.op is not self.op and not (
                isinstance(self.op, frozenset) and node.op in self.op
            ):
                return None
        if self.name is not None and found.setdefault(self.name, node) is not node:
            return None
        if self.srcs is None:
            return found
        if len(self.srcs) != len(node.srcs):
            return None
        result = _match_all(self.srcs, node.srcs, found)
        if result is None and node.op in COMMUTATIVE:
            result = _match_all(self.srcs, node.srcs[::-1], found)
        return result


def _match_all(
    patterns: tuple[Pattern, ...], nodes: tuple[Node, ...], known: Match
) -> Match | None:
    found: Match | None = known
    for pattern, node in zip(patterns, nodes, strict=True):
        found = pattern.match(node, found)
        if found is None:
            return None
    return found


def _always(match: Match) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern` becomes `result(match)` where `condition(match)` holds.

    The match holds the whole node under the name "node". A result of None means that the rule
    does not apply after all. `why` is the proof in one sentence.
    """

    name: str
    pattern: Pattern
    result: Callable[[Match], Node | None]
    why: str
    condition: Callable[[Match], bool] = _always

    def apply(self, node: Node) -> Node | None:
        """The replacement of a node, or None."""
        match = self.pattern.match(node)
        if match is None:
            return None
        match["node"] = node
        return self.result(match) if self.condition(match) else None


class RuleSet:
    """Rules in order of priority, found by the op of their root."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._by_op: dict[Op, list[Rule]] = {op: [] for op in Op}
        for rule in self.rules:
            ops = rule.pattern.op
            for op in Op if ops is None else [ops] if isinstance(ops, Op) else ops:
                self._by_op[op].append(rule)

    def apply(self, node: Node) -> tuple[Rule, Node] | None:
        """The first rule that changes the node, with its result."""
        if node.buffer is not None:
            return None
        for rule in self._by_op[node.op]:
            result = rule.apply(node)
            if result is not None and result is not node:
                return rule, result
        return None


def rewrite(
    outputs: Sequence[Node], rules: RuleSet, recorder: Recorder | None = None
) -> list[Node]:
    """Apply rules everywhere, sources first, until none applies.

    Shapes, dtypes and devices never change: a rule that breaks this is an InternalError, and so
    is a set of rules that goes round in a circle.
    """
    final: dict[int, Node] = {}
    becomes: dict[int, Node] = {}
    alive: list[Node] = []  # ids stay unique while the nodes live
    for output in outputs:
        stack = [output]
        waiting: set[int] = set()
        while stack:
            node = stack[-1]
            if id(node) in final:
                stack.pop()
                continue
            pending = [src for src in node.srcs if id(src) not in final]
            if pending:
                stack.extend(pending)
                continue
            target = becomes.get(id(node))
            if target is None:
                target = _step(node, final, rules, recorder)
                alive.append(node)
                becomes[id(node)] = target
            if target is node:
                final[id(node)] = node
            elif id(target) in final:
                final[id(node)] = final[id(target)]
            elif id(target) in waiting:
                raise InternalError(f"rewriting goes round in a circle at {node} -> {target}")
            else:
                waiting.add(id(node))
                stack.append(target)
    return [final[id(output)] for output in outputs]


def _step(node: Node, final: dict[int, Node], rules: RuleSet, recorder: Recorder | None) -> Node:
    """The node over its rewritten sources, else the result of one rule, else the node itself."""
    srcs = tuple(final[id(src)] for src in node.srcs)
    if any(new is not old for new, old in zip(srcs, node.srcs, strict=True)):
        rebuilt = make(node.op, srcs, node.attr)
        if rebuilt.origin is None:
            rebuilt.origin = node.origin
        return rebuilt
    applied = rules.apply(node)
    if applied is None:
        return node
    rule, result = applied
    if (result.shape, result.dtype, result.device) != (node.shape, node.dtype, node.device):
        raise InternalError(f"rule '{rule.name}' turned {node} into {result}: the type changed")
    if result.origin is None and result.op is node.op:
        result.origin = node.origin
    if recorder is not None:
        recorder(rule.name, node, result)
    return result
