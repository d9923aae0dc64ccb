"""Which cases of a table are about the CPU's tensors, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest


def hosted(cases: Iterable[Any], reasons: Mapping[Any, str]) -> list[Any]:
    """The cases for `parametrize`, those with a reason marked `host`; each reason has its case."""
    table = list(cases)
    strangers = set(reasons) - set(table)
    assert not strangers, f"no such cases: {strangers}"
    return [
        pytest.param(case, marks=pytest.mark.host(reasons[case])) if case in reasons else case
        for case in table
    ]
