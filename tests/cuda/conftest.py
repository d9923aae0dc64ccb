"""How many kernels were compiled for which GPU, under the results."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            counts.update(dict(getattr(report, "user_properties", ())))
    for name in sorted(counts):
        if name.startswith(("kernels for ", "of them to ")) or name == "bytes spilled":
            terminalreporter.write_line(f"{counts[name]} {name}")
