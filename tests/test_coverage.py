"""`python -m picograd.coverage`: what it counts, what it prints, how it compares signatures."""

from __future__ import annotations

import inspect

import pytest

import picograd
from picograd import coverage
from picograd.coverage import Entry, __main__, signatures


def test_every_entry_is_counted_once():
    found = coverage.entries()
    assert [sum(entry.tier == tier for entry in found) for tier in (1, 2, 3)] == [268, 254, 327]
    assert all(entry.programs >= 5 for entry in found if entry.tier == 1)
    assert all(2 <= entry.programs <= 4 for entry in found if entry.tier == 2)
    assert not [entry for entry in found if entry.plumbing and entry.tier < 3]


PRESENT = ["torch", "torch.nn.functional.relu", "Tensor.grad", "Tensor.T", "torch.autograd.grad"]
ABSENT = ["torch.nn.functional.nothing", "Tensor.nothing", "torch.nothing.at.all"]


@pytest.mark.parametrize("name", PRESENT)
def test_names_that_exist(name):
    assert coverage.exists(name)


@pytest.mark.parametrize("name", ABSENT)
def test_names_that_do_not_exist(name):
    assert not coverage.exists(name)


STATEMENTS = [("x[:, 1]", "runs", True), ("x[::-1]", "runs", False), ("x[::-1]", "refused", True)]


@pytest.mark.parametrize("statement, kind, good", STATEMENTS)
def test_statements_are_run(statement, kind, good):
    entry = Entry(1, "indexing", 5, (statement,), kind, False)
    assert coverage.missing(entry) == ([] if good else [statement])


def entry(tier: int, name: str, plumbing: bool = False) -> Entry:
    return Entry(tier, "a group", 5, (name,), "names", plumbing)


CASES = {
    "nothing missing": ([entry(1, "torch.add")], 0),
    "missing in tier 1": ([entry(1, "torch.add"), entry(1, "torch.gone")], 1),
    "missing in tier 2": ([entry(2, "torch.gone")], 1),
    "missing in tier 3": ([entry(3, "torch.gone")], 0),
    "missing plumbing": ([entry(3, "torch.distributed.gone", True)], 0),
}


@pytest.mark.parametrize("name", CASES)
def test_report_and_status(name, monkeypatch, capsys):
    entries, status = CASES[name]
    monkeypatch.setattr(coverage, "entries", lambda: tuple(entries))
    assert __main__.main([]) == status
    printed = capsys.readouterr().out
    gone = [one.names[0] for one in entries if "gone" in one.names[0]]
    assert all(f"    {one}\n" in printed for one in gone)
    assert "torch.add" not in printed
    assert ("only for several GPUs" in printed) == (name == "missing plumbing")


def test_all_names_of_the_table_exist():
    gaps = [one for one in coverage.entries() if not one.plumbing and coverage.missing(one)]
    assert not gaps


def test_tolerances_have_their_older_path():
    found = coverage.find("torch.testing._comparison.default_tolerances")
    assert found(picograd.float32, picograd.ones(1, dtype=picograd.float16)) == (1e-3, 1e-5)


def same(theirs, ours, extra=()):
    return signatures.refusals(inspect.signature(theirs), inspect.signature(ours), extra)


# torch's signature, ours, keywords that decorators add, and what is said
COMPARED = {
    "the same": (lambda input, dim=0: 0, lambda input, dim=0: 0, (), []),
    "more than torch": (lambda input: 0, lambda input, k=1: 0, (), []),
    "a default": (lambda x, eps=1e-5: 0, lambda x, eps=0.1: 0, (), ["eps=0.1, torch eps=1e-05"]),
    "no default": (lambda x, p=2: 0, lambda x, p: 0, (), ["needs p, torch has p=2"]),
    "a keyword": (lambda x, *, out=None: 0, lambda x: 0, (), ["refuses (x, out=)"]),
    "a decorator's keyword": (lambda x, *, out=None: 0, lambda x: 0, ("out",), []),
    "too few": (lambda x, y: 0, lambda x: 0, (), ["refuses (x, y)"]),
    "another order": (
        lambda a, b=1: 0,
        lambda b=1, a=0: 0,
        (),
        [f"takes {name} elsewhere than torch, which has it at {n}" for n, name in enumerate("ab")],
    ),
    "positional in torch": (lambda x, p=2: 0, lambda x, *, p=2: 0, (), ["refuses (x, p)"]),
}


@pytest.mark.parametrize("name", COMPARED)
def test_signatures_are_compared(name):
    *given, said = COMPARED[name]
    assert same(*given) == said
