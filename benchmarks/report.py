"""Rows of measurements, and what is printed of them.

In: samples. Out: lines for a terminal, a table for `docs/performance.md`, JSON.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peers import OWN, PEERS
from workloads.base import Workload


@dataclass
class Row:
    """One measured cell: a workload on one framework."""

    family: str
    workload: str
    peer: str
    median_ms: float
    fastest_ms: float
    first_call_ms: float
    gflops: float
    gigabytes_per_second: float
    percent_of_fma_peak: float
    percent_of_bandwidth: float  # of a plain copy's
    ratio_to_picograd: float  # time of the peer / time of picograd: above 1, picograd is faster
    error: float  # against float64, as a part of the result's largest magnitude
    rounds: int
    kernels: int | None = None
    host_ms: float | None = None  # of enqueueing a step on a GPU
    how: str = ""  # a GPU's steps: replays of a graph, calls, or by the clock


@dataclass
class Samples:
    """What was measured of one workload: seconds by peer, and the machine's roofs by round. Of a
    GPU also the host's seconds, and how steps were timed."""

    seconds: dict[str, list[float]]
    first: dict[str, float]
    errors: dict[str, float]
    gflops: list[float]
    bandwidth: list[float]
    kernels: int
    host: dict[str, list[float]] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)


def rows(workload: Workload, samples: Samples) -> list[Row]:
    medians = {peer: statistics.median(values) for peer, values in samples.seconds.items()}
    fma, bandwidth = statistics.median(samples.gflops), statistics.median(samples.bandwidth)
    made = []
    for peer, median in medians.items():
        gflops, gigabytes = workload.flops / median / 1e9, workload.bytes / median / 1e9
        made.append(
            Row(
                family=workload.family,
                workload=workload.name,
                peer=peer,
                median_ms=median * 1e3,
                fastest_ms=min(samples.seconds[peer]) * 1e3,
                first_call_ms=samples.first[peer] * 1e3,
                gflops=gflops,
                gigabytes_per_second=gigabytes,
                percent_of_fma_peak=100 * gflops / fma,
                percent_of_bandwidth=100 * gigabytes / bandwidth,
                ratio_to_picograd=median / medians.get(OWN, float("nan")),
                error=samples.errors[peer],
                rounds=len(samples.seconds[peer]),
                kernels=samples.kernels if peer == OWN else None,
                host_ms=statistics.median(samples.host[peer]) * 1e3 if samples.host else None,
                how=samples.how.get(peer, ""),
            )
        )
    return made


HEADER = (
    f"{'workload':42}{'peer':11}{'median ms':>10}{'fastest':>10}{'ratio':>7}{'GFLOP/s':>9}"
    f"{'% peak':>7}{'GB/s':>7}{'% band':>7}{'kernels':>8}{'first ms':>10}{'error':>9}"
)
GPU_HEADER = f"{HEADER}{'host ms':>9}  how"


def line(row: Row) -> str:
    kernels = "" if row.kernels is None else str(row.kernels)
    host = "" if row.host_ms is None else f"{row.host_ms:9.3f}  {row.how}"
    return (
        f"{row.workload:42}{row.peer:11}{row.median_ms:10.3f}{row.fastest_ms:10.3f}"
        f"{row.ratio_to_picograd:7.2f}{row.gflops:9.1f}{row.percent_of_fma_peak:7.1f}"
        f"{row.gigabytes_per_second:7.1f}{row.percent_of_bandwidth:7.1f}{kernels:>8}"
        f"{row.first_call_ms:10.1f}{row.error:9.1e}{host}"
    )


def markdown(found: Sequence[Row], caption: str) -> str:
    """One table a family: picograd's time and share of its roof, and the peers' ratios."""
    peers = [peer for peer in PEERS if any(row.peer == peer for row in found)]
    text = [caption]
    for family in dict.fromkeys(row.family for row in found):
        text += ["", f"### {family.capitalize()}", ""]
        heads = ["ms", "% of roof", *(title(peer) for peer in peers), "kernels", "first call, ms"]
        text.append(f"| workload | {' | '.join(heads)} |")
        text.append("|---|" + "---:|" * len(heads))
        cells: dict[str, dict[str, Row]] = {}
        for row in found:
            if row.family == family:
                cells.setdefault(row.workload, {})[row.peer] = row
        text += [_markdown_row(name, by_peer, peers) for name, by_peer in cells.items()]
    return "\n".join(text)


def title(peer: str) -> str:
    names = {"numpy": "NumPy", "torch": "PyTorch", "torch out=": "PyTorch, out=", "jax": "JAX"}
    names |= {"compile": "torch.compile", "torch math": "PyTorch, math", "cupy": "CuPy"}
    return names.get(peer, peer)


def _markdown_row(name: str, by_peer: dict[str, Row], peers: Sequence[str]) -> str:
    own = by_peer.get(OWN)
    if own is None:
        return f"| {name} | failed |" + " |" * (len(peers) + 3)
    ratios = []
    for peer in peers:
        ratio = by_peer[peer].ratio_to_picograd if peer in by_peer else None
        shown = "" if ratio is None else f"{ratio:.2f}"
        ratios.append(f"**{shown}**" if ratio is not None and ratio < 1 else shown)
    roof = max(own.percent_of_fma_peak, own.percent_of_bandwidth)
    cells = [f"{own.median_ms:.3g}" if own.median_ms < 100 else f"{own.median_ms:.0f}"]
    cells += [f"{roof:.0f}", *ratios, str(own.kernels), f"{own.first_call_ms:.0f}"]
    return f"| {name} | {' | '.join(cells)} |"


def write_block(path: Path, name: str, text: str) -> None:
    """Replace what stands in a file between the marks of that name, or write a new file."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    block = f"{begin}\n\n{text}\n\n{end}"
    old = path.read_text() if path.exists() else ""
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(old):
        path.write_text(pattern.sub(lambda _: block, old, count=1))
    else:
        path.write_text(f"{old}\n{block}\n" if old else f"{block}\n")
