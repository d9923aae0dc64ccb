"""The rule tables of a graph's simplification.

In: the outputs of a canonical graph. Out: equivalent outputs, simpler or as they were. Called by
the schedule before anything is cut. Each rule says why it is valid; each has a test.

>>> from picograd.dtypes import float32
>>> from picograd.graph.node import const, make
>>> from picograd.graph.ops import Op
>>> two = const(2.0, float32, "cpu")
>>> simplify([make(Op.MUL, (two, two))])[0].attr.value
4.0
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.graph import (
    rules_elementwise,
    rules_gather,
    rules_lookup,
    rules_movement,
    rules_scan,
    rules_selection,
)
from picograd.graph.node import Node
from picograd.graph.rewrite import Recorder, RuleSet, rewrite

RULES = RuleSet(
    (
        *rules_elementwise.RULES,
        *rules_selection.RULES,
        *rules_movement.RULES,
        *rules_gather.RULES,
        *rules_lookup.RULES,
        *rules_scan.RULES,
    )
)


def simplify(outputs: Sequence[Node], recorder: Recorder | None = None) -> list[Node]:
    """The outputs with all rules applied until none applies."""
    return rewrite(outputs, RULES, recorder)
