"""A case as Python text that builds and compares it again.

In: a `Case`. Out: a snippet that stands alone; failing tests print it.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from picograd.dtypes import DType
from picograd.graph.index import Index
from picograd.graph.node import topological
from picograd.graph.ops import Combiner, LeafAttr
from tests.fuzz.parts import Case


def snippet(case: Case) -> str:
    """Python that builds and compares the case again."""
    order = topological(case.outputs)
    names = {id(node): f"n{position}" for position, node in enumerate(order)}
    slots = sorted({node.attr.slot for node in order if isinstance(node.attr, LeafAttr)})
    lines = [
        "import numpy as np, ml_dtypes",
        "from picograd import dtypes",
        "from picograd.graph import index",
        "from picograd.graph.index import Paramfrom picograd.graph.node import make",
        "from picograd.graph.ops import *",
        "from tests.fuzz.compare import compare",
        "from tests.fuzz.parts import Case",
        "nan, inf = np.nan, np.inf",
        f"arrays = [np.zeros(())] * {len(case.arrays)}",
    ]
    for slot in slots:
        array = case.arrays[slot]
        wide = array.astype(np.float64) if array.dtype.kind not in "biuc" else array
        lines.append(
            f"arrays[{slot}] = np.array({wide.tolist()!r}, dtype={array.dtype.name!r})"
            f".reshape({array.shape})"
        )
    for node in order:
        sources = "".join(f"{names[id(src)]}, " for src in node.srcs)
        device = ", 'cpu'" if not node.srcs else ""
        lines.append(
            f"{names[id(node)]} = make({node.op}, ({sources}), {_text(node.attr)}{device})"
        )
    outputs = ", ".join(names[id(node)] for node in case.outputs)
    lines.append(
        f"print(compare(Case([{outputs}], arrays, {case.values!r}, {case.donated!r}, "
        f"{case.machine})))"
    )
    return "\n".join(lines)


def _text(value: object) -> str:
    """An attribute as Python."""
    if isinstance(value, DType):
        return "dtypes.bool_" if value.is_bool else f"dtypes.{value.name}"
    if isinstance(value, Combiner):
        return str(value)
    if isinstance(value, Index):
        atoms = list(value.atoms())
        if not atoms:
            return f"index.constant({value.constant})"
        return f"index.of({atoms[0]!r})"
    if isinstance(value, tuple):
        return f"({''.join(_text(item) + ', ' for item in value)})"
    if hasattr(value, "__dataclass_fields__"):
        inside = ", ".join(_text(getattr(value, f.name)) for f in fields(value))  # type: ignore
        return f"{type(value).__name__}({inside})"
    return repr(value)
