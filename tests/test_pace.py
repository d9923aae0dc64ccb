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


def test_the_parts_of_a_training_step_are_not_cut() -> None:
    """A forward pass that is longer than what ran before it, and numbers asked for in between."""
    found, limit = pace.Pace(), 8000
    for _ in range(3000):  # a model's parameters: a loop that is cut where it comes round
        if found.is_due(limit):
            found.ran(asked=False)
    found.expect_phases(limit)
    for step in range(4):
        for part in (3300, 5000, 600):
            cuts = [found.is_due(limit) for _ in range(part + 10 * step)]
            assert not any(cuts)
            found.ran(asked=True)
            found.end_phase(limit)
        assert not found.is_due(limit)  # a metric
        found.ran(asked=True)


def test_a_part_longer_than_the_limit_is_cut_at_its_loop() -> None:
    found, limit = pace.Pace(), 1000
    found.expect_phases(limit)
    cuts = 0
    for _ in range(pace.PHASES + 1):
        cuts = 0
        for _ in range(2500):
            first = found.is_due(limit)
            second = found.is_due(limit)
            if first or second:
                found.ran(asked=False)
                cuts += first and not second
        found.ran(asked=True)
        found.end_phase(limit)
    assert cuts > 5  # at the beginning of an iteration, not in its midst
