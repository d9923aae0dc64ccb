"""`python -m picograd.coverage [--torch]`: which names of PyTorch's API exist here.

In: the table of names. Out: for each tier and group how many of its entries exist, and the names
that don't; with `--torch`, which needs PyTorch, also the calls that PyTorch takes and picograd does
not, and other defaults. The exit status is 1 if a name of tier 1 or 2 is missing.

>>> status = main(["--tier", "1"])  # doctest: +ELLIPSIS
tier 1: used by five programs or more
...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from picograd import coverage
from picograd.coverage import Entry

TIERS = {1: "five programs or more", 2: "two to four programs", 3: "one program"}
REQUIRED = (1, 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m picograd.coverage", description="Which names of PyTorch's API exist here."
    )
    parser.add_argument("--torch", action="store_true", help="compare signatures with PyTorch's")
    parser.add_argument("--tier", type=int, choices=TIERS, help="only this tier")
    options = parser.parse_args(arguments)
    tiers = [options.tier] if options.tier else list(TIERS)
    absent = [name for tier in tiers for name in _report(tier)]
    if options.torch:
        _compare()
    return int(bool(absent))


def _report(tier: int) -> list[str]:
    """Print one tier; the names that are missing and shouldn't be."""
    chosen = [entry for entry in coverage.entries() if entry.tier == tier]
    gaps = {entry: names for entry in chosen if (names := coverage.missing(entry))}
    print(f"tier {tier}: used by {TIERS[tier]}")
    groups = dict.fromkeys(entry.group for entry in chosen)
    for group in groups:
        _count(group, [entry for entry in chosen if entry.group == group], gaps)
    _count("all", chosen, gaps)
    needed = [name for entry, names in gaps.items() if not entry.plumbing for name in names]
    plumbing = [name for entry, names in gaps.items() if entry.plumbing for name in names]
    _list("missing", needed)
    _list("missing, and only for several GPUs or processes or torch's own insides", plumbing)
    print()
    return needed if tier in REQUIRED else []


def _count(label: str, chosen: list[Entry], gaps: dict[Entry, list[str]]) -> None:
    absent = sum(entry in gaps for entry in chosen)
    note = f", {absent} missing" if absent else ""
    print(f"  {label:<45} {len(chosen) - absent:>3} of {len(chosen):>3}{note}")


def _list(title: str, names: Iterable[str]) -> None:
    lines = [f"    {name}" for name in names]
    if lines:
        print(f"  {title}:", *lines, sep="\n")


def _compare() -> None:
    """Print how signatures differ from those of the installed PyTorch."""
    try:
        import torch
    except ImportError:
        raise SystemExit("--torch compares with PyTorch, which is not installed") from None
    from picograd.coverage.signatures import compare_all

    found = compare_all(torch)
    print(f"signatures: {found.same} as PyTorch's, {len(found.different)} not, of those in both")
    for name, differences in found.different.items():
        print(
            f"  {name:<40} {differences[0]}", *(f"{'':<42} {d}" for d in differences[1:]), sep="\n"
        )
    if found.unknown:
        print(f"  not comparable: {', '.join(found.unknown)}")


if __name__ == "__main__":
    sys.exit(main())
