"""Which results share memory, and how they lie in it, as in torch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.parity.compare import cases, differ, names, reference_device  # noqa: F401
from tests.parity.table import MOVEMENT, Row

# Windows that overlap are a copy here; torch has several views written through no one of them.
COPIED = ("x.unfold(0, 1, 1)", "x.unfold(-1, 2, 1)")
VIEWS = [row for row in MOVEMENT if row.text not in COPIED]
READ = [row for row in VIEWS if "unbind" not in row.text]


@pytest.mark.parametrize("row", READ, ids=lambda row: row.text)
@pytest.mark.usefixtures("reference_device")
def test_writes_through_results(row: Row) -> None:
    """A write into a result shows in the tensor, and the other way round, where torch's does."""
    found = {}
    for sample, _ in ((s, d) for s, d in cases(row) if d == "float32" and s != "expanded"):

        def program(m: object, sample=sample) -> object:
            scope = names(m, row, sample, "float32")
            x, result = scope["x"], eval(row.text, scope)
            shares = result.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
            if not result.numel() or sample == "expanded":
                return result
            result[(0,) * result.ndim] = 77.0
            seen = x.clone()
            x[(0,) * x.ndim] = -55.0
            return shares, seen, result

        said = differ(program)
        if said:
            found[sample] = said
    assert not found


@pytest.mark.parametrize("row", VIEWS, ids=lambda row: row.text)
@pytest.mark.usefixtures("reference_device")
def test_layout(row: Row) -> None:
    """Strides, offsets and contiguity of views."""
    found = {}
    for sample in row.samples:

        def program(m: object, sample=sample) -> object:
            scope = names(m, row, sample, "float32")
            x, result = scope["x"], eval(row.text, scope)
            if result.untyped_storage().data_ptr() != x.untyped_storage().data_ptr():
                return result
            if not result.numel():
                return result
            return result.stride(), result.storage_offset(), result.is_contiguous()

        said = differ(program)
        if said:
            found[sample] = said
    assert not found
