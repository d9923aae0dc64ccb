"""Gradients of every smooth row in float64, and the gradients of those gradients, as torch's."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.parity.compare import differ, names, reference_device  # noqa: F401
from tests.parity.table import ALL, Row

SMOOTH = [row for row in ALL if row.smooth]


def total(m: object, result: object) -> object:
    """A number that depends differently on every element of a result."""
    if isinstance(result, (tuple, list)):
        parts = [total(m, one) for one in result]
        parts = [part for part in parts if part is not None]
        return sum(parts[1:], parts[0]) if parts else None
    if not hasattr(result, "is_floating_point") or not result.is_floating_point():
        return None
    weights = m.arange(result.numel(), dtype=m.float64).reshape(result.shape) * 0.3 + 0.7
    return (result * weights).sum()


def derivatives(m: object, row: Row, sample: str) -> object:
    """The first derivatives, and the derivatives of a number made of those; None as zeros.

    Where a derivative does not depend on the tensors, torch has a gradient of zeros, or none.
    """
    scope = names(m, row, sample, "float64")
    leaves = [scope[name].detach().clone().requires_grad_() for name in "xy" if name in scope]
    scope.update(zip("xy", leaves, strict=False))
    value = total(m, eval(row.text, scope))
    if value is None or not value.requires_grad:
        return [m.zeros_like(leaf) for leaf in leaves] * 2
    first = m.autograd.grad(value, leaves, create_graph=True, allow_unused=True)
    again = [total(m, g) for g in first if g is not None and g.requires_grad]
    second = (
        m.autograd.grad(sum(again), leaves, allow_unused=True) if again else [None] * len(leaves)
    )
    found = zip((*first, *second), (*leaves, *leaves), strict=True)
    return [m.zeros_like(x) if g is None else g.detach() for g, x in found]


@pytest.mark.parametrize("row", SMOOTH, ids=lambda row: row.text)
@pytest.mark.usefixtures("reference_device")
def test_gradient(row: Row) -> None:
    found = {}
    for sample in ("matrix", "0-d") if not row.samples else {"matrix", "wide"} & {*row.samples}:
        said = differ(lambda m, s=sample: derivatives(m, row, s), 1e-6)
        if said:
            found[sample] = said
    assert not found
