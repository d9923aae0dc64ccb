"""An op is a row across tables; here a row with an empty column fails.

In: the tables. Out: the ops that a table lacks (or has too many of).
"""

from __future__ import annotations

import re

import pytest

import picograd
from picograd.codegen.cuda import ops as cuda_ops
from picograd.codegen.llvm import ops as llvm_ops
from picograd.frontend import tape
from picograd.frontend.derivatives import NOT_DIFFERENTIABLE
from picograd.graph import infer, interpret, ops
from picograd.graph.ops import ELEMENTWISE, FAMILY, LEAVES, MOVEMENTS, REDUCES, Combiner, Op

OPS = frozenset(Op)
COMPLEX = {Op.COMPLEX, Op.REAL, Op.IMAG}  # gone before loops exist


def names(found) -> list[str]:
    return sorted(op.name for op in found)


def test_families_partition_the_ops():
    families = (LEAVES, ELEMENTWISE, REDUCES, MOVEMENTS)
    assert sum(map(len, families)) == len(OPS)
    assert frozenset().union(*families) == OPS == frozenset(FAMILY)


def test_every_op_has_a_meaning():
    assert names(OPS - set(interpret.MEANING)) == [] == names(set(interpret.MEANING) - OPS)


def test_every_op_has_an_inference_rule():
    assert names(OPS - set(infer.RULES)) == [] == names(set(infer.RULES) - OPS)


def test_every_op_has_a_derivative_or_none():
    """With one rule per combiner for reductions, and no op in both tables."""
    recorded = {key if isinstance(key, Op) else key[0] for key in tape.RECORDERS}
    assert names(OPS - recorded - NOT_DIFFERENTIABLE) == []
    assert names(recorded & NOT_DIFFERENTIABLE) == []
    for op in REDUCES:
        combiners = {key[1] for key in tape.RECORDERS if isinstance(key, tuple) and key[0] is op}
        plain = op in tape.RECORDERS
        missing = set() if plain else set(Combiner) - combiners
        assert not missing, f"{op.name} has no derivative for {[c.name for c in missing]}"


@pytest.mark.parametrize("op", sorted(NOT_DIFFERENTIABLE & ELEMENTWISE, key=lambda op: op.name))
def test_what_is_not_differentiable_is_discrete(op):
    """Only results that are integers, booleans or raw bits may be without a derivative."""
    assert op in ops.COMPARISONS | {Op.NOT, Op.AND, Op.OR, Op.XOR, Op.SHL, Op.SHR, Op.BITCAST}


def test_llvm_renders_every_elementwise_op():
    assert names(llvm_ops.MISSING) == []
    assert names(ELEMENTWISE - llvm_ops.RENDERED - COMPLEX) == []
    assert names(llvm_ops.RENDERED - ELEMENTWISE) == []
    assert set(llvm_ops.COMBINE) == set(Combiner)


def test_cuda_renders_every_elementwise_op():
    special = {Op.CAST, Op.BITCAST}  # functions of two dtypes
    assert callable(cuda_ops.cast) and callable(cuda_ops.bitcast)
    assert names(ELEMENTWISE - set(cuda_ops.FORMS) - special - COMPLEX) == []
    assert names(set(cuda_ops.FORMS) - ELEMENTWISE) == []


def test_semantics_page_names_only_ops():
    """The capital names on the semantics page are members of the table."""
    page = (ops.__doc__ or "").split("SEMANTICS")[1]
    words = set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", page))
    other = {"NE", "INT_MIN", "IEEE", "PROD", "SUM", "MAX", "MIN"}
    assert names_of(words - other) == []


def names_of(words: set[str]) -> list[str]:
    return sorted(word for word in words if word not in Op.__members__)


def test_every_dtype_is_on_the_package():
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    ):
        dtype = getattr(picograd, name)
        assert isinstance(dtype, picograd.dtype) and str(dtype) == f"torch.{name}"
        assert picograd.zeros(2, dtype=dtype).dtype is dtype
