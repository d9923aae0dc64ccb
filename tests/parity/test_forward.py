"""Values, shapes, dtypes and exceptions of every row, on every sample, as torch's."""

from __future__ import annotations

import os
import zlib

import pytest

pytest.importorskip("torch")

from tests.parity.compare import cases, differ, names, reference_device  # noqa: F401
from tests.parity.table import ALL, EDGES, UNARY, Row

EMULATED = "EMULATOR_CACHE" in os.environ


def tried(row: Row) -> list[tuple[str, str]]:
    """All samples with all dtypes. On the emulated GPU, where each new kernel costs a run of g++,
    each dtype with one sample, which differs from row to row and from dtype to dtype."""
    pairs = list(cases(row))
    if not EMULATED:
        return pairs
    count, first = len(pairs) // len(row.dtypes), zlib.crc32(row.text.encode())
    samples = [pairs[place * len(row.dtypes)][0] for place in range(count)]
    return [(samples[(first + n) % count], dtype) for n, dtype in enumerate(row.dtypes)]


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.text)
@pytest.mark.usefixtures("reference_device")
def test_forward(row: Row) -> None:
    found = {}
    for sample, dtype in tried(row):
        said = differ(lambda m, s=sample, d=dtype: eval(row.text, names(m, row, s, d)))
        if said:
            found[sample, dtype] = said
    assert not found


# Where torch's own kernels give vectors other values than the elements left over, or overflow;
# F.relu6 keeps the sign of zero there.
VAGUE = {"m.digamma(x)", "m.lgamma(x)", "m.i0(x)", "m.polygamma(1, x)", "F.gelu(x)", "F.relu6(x)"}


@pytest.mark.parametrize("row", [r for r in UNARY if r.text not in VAGUE], ids=lambda r: r.text)
@pytest.mark.usefixtures("reference_device")
def test_edges(row: Row) -> None:
    def program(m: object) -> object:
        result = eval(row.text, {"m": m, "F": m.nn.functional, "x": m.tensor(EDGES)})
        signs = m.signbit(result) & ~m.isnan(result) if result.is_floating_point() else result
        return result, signs

    assert not differ(program, 1e-3)
