"""The parts of sorting for one element type, as modules of LLVM text.

In: a part's name, an element type, a target. Out: text, with the part's phases. `runtime.sorting`
compiles a part when it is first wanted.

>>> from picograd.codegen.target import AVX2
>>> from picograd.dtypes import float32
>>> [part for part in PARTS if "define void @sort_rows" in module(part, float32, AVX2)]
['rows']
"""

from __future__ import annotations

from picograd.codegen.sorting import blocks, first, radix, select
from picograd.codegen.sorting.keys import Keys
from picograd.codegen.sorting.records import Records
from picograd.codegen.sorting.select import Candidates
from picograd.codegen.target import Target
from picograd.dtypes import DType

PARTS = {
    "rows": ("sort_rows",),
    "blocks": ("sort_start", "sort_count", "sort_place", "sort_move", "sort_finish"),
    "first": ("sort_first",),
    "rank": ("sort_rank",),
}

_DECLARATIONS = [
    "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
    "declare i64 @llvm.smin.i64(i64, i64)",
    "declare i64 @llvm.smax.i64(i64, i64)",
    "declare i64 @llvm.ctpop.i64(i64)",
    "declare i64 @llvm.cttz.i64(i64, i1)",
]


def module(part: str, dtype: DType, target: Target) -> str:
    """The text of one part."""
    records = Records(Keys(dtype))
    candidates = Candidates(records, target.vector_bytes)
    counting = [select.gather, select.below, select.bound, select.less]
    functions = {
        "rows": [radix.radix, radix.fill, radix.write, radix.rows],
        "blocks": [radix.fill, radix.write, *blocks.PHASES],
        "first": [radix.radix, radix.write],
    }
    for_candidates = {
        "first": [*counting, *select.CUTTING, *select.RANKING, first.first_rows],
        "rank": [*counting, first.greatest, first.rank_rows],
    }
    texts = [*_DECLARATIONS, *candidates.declarations()]
    texts += [function(records) for function in functions.get(part, [])]
    texts += [function(candidates) for function in for_candidates.get(part, [])]
    return "\n\n".join(texts) + "\n"
