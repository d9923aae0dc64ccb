"""What the documents show is what picograd prints today."""

from __future__ import annotations

from pathlib import Path

from picograd.graph.node import make
from picograd.graph.ops import Combiner, Op, ReduceAttr
from picograd.graph.show import show
from picograd.schedule.plan import plan
from picograd.schedule.show import show_kernel
from tests.graph.builders import expand, leaf, reshape

DOCS = Path(__file__).parents[1] / "docs"


def test_softmax_walk_through() -> None:
    x = leaf(0, (64, 100))

    def spread(combiner: Combiner, value: object) -> object:
        total = make(Op.REDUCE, (value,), ReduceAttr(combiner, (1,)))
        return expand(reshape(total, (64, 1)), (64, 100))

    e = make(Op.EXP, (make(Op.SUB, (x, spread(Combiner.MAX, x))),))
    y = make(Op.DIV, (e, spread(Combiner.SUM, e)))
    (step,) = plan([y]).steps
    text = (DOCS / "softmax.md").read_text()
    assert show([y]) in text
    assert show_kernel(step.kernel) in text


def test_documents_name_files_that_exist() -> None:
    import re

    root = DOCS.parent
    for document in [*DOCS.glob("*.md"), root / "README.md", root / "CONTRIBUTING.md"]:
        for name in re.findall(
            r"`((?:picograd|examples|benchmarks|tests|docs)/[\w/.]+)`", document.read_text()
        ):
            assert (root / name).exists(), f"{document.name} names {name}"
