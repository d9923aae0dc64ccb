"""When loops that ask for nothing are cut: what the search for the moment costs."""

from __future__ import annotations

import pytest

from picograd import pace


def test_a_search_in_vain_rests_ever_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop of a single call never shows in the stack."""
    looks, look = [0], pace._stack

    def counted() -> pace.Stack:
        looks[0] += 1
        return look()

    monkeypatch.setattr(pace, "_stack", counted)
    found, limit = pace.Pace(), 50
    for _ in range(60 * limit):
        if found.is_due(limit):
            found.ran(asked=False)
    assert limit < looks[0] < 10 * limit


def test_a_loop_is_found_after_a_rest() -> None:
    found, limit = pace.Pace(), 2000
    for _ in range(8 * limit):
        if found.is_due(limit):
            found.ran(asked=False)
    cuts = []
    for number in range(40 * limit):
        first = found.is_due(limit)
        second = found.is_due(limit)
        if first or second:
            found.ran(asked=False)
            cuts.append((number, first))
    gaps = {now - before for (before, _), (now, _) in zip(cuts[-9:-1], cuts[-8:])}
    assert len(gaps) == 1 and max(gaps) < limit // 4
    assert all(first for _, first in cuts[-8:])
