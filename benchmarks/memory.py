"""How much memory a training step takes at its peak, beside PyTorch.

    python benchmarks/memory.py [--only GPT] [--peers torch,jax] [--markdown docs/performance.md]

Each cell is a process of its own: it makes the weights and data, takes three steps, and tells by
how much its resident memory has grown at the peak since the framework was loaded. picograd's
process runs twice and the second counts, which finds its programs on the disk: compiling takes
memory too, but once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))  # a checkout need not be installed

import peers as framework
import report
from peers import OWN
from workloads import ladder
from workloads.base import Workload

STEPS = 3
MEGABYTE = 1 << 20


def resident(field: str) -> int:
    """Bytes of this process that lie in memory: now (`VmRSS`) or at most so far (`VmHWM`)."""
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith(field + ":"):
            return int(text.split()[1]) * 1024
    raise OSError(f"the system does not tell {field}")


def grown(workload: Workload, peer: str) -> int:
    """Bytes of memory that this process needs for a few steps, at the peak."""
    _warm(peer, workload.name)
    before = resident("VmRSS")
    step = framework.build(peer, workload, workload.inputs(np.random.default_rng(0)))
    assert step is not None
    for _ in range(STEPS):
        step()
    return resident("VmHWM") - before


def _warm(peer: str, name: str) -> None:
    """Load the framework and start its threads: that is no part of a step. Not by the same model
    in small: picograd would make one program for both sizes."""
    kind = "names" if name.startswith("MLP") else "MLP"
    small = next(w for w in ladder(tiny=True) if w.name.startswith(kind))
    step = framework.build(peer, small, small.inputs(np.random.default_rng(0)))
    assert step is not None
    step()


def measure(name: str, peer: str, cache: str) -> float:
    """Megabytes, measured in a process of its own."""
    command = [sys.executable, __file__, "--cell", name, peer]
    environment = os.environ | {"PICOGRAD_CACHE": cache}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"{name}: {peer} failed:\n{found.stderr}")
    return json.loads(found.stdout.splitlines()[-1]) / MEGABYTE


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the peak memory of training steps.")
    parser.add_argument("--peers", default="torch")
    parser.add_argument("--only", default="", help="part of a workload's name")
    parser.add_argument("--markdown", type=Path, help="put the table into this file")
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = [w for w in ladder() if w.family == "training" and options.only in w.name]
    if options.cell:
        name, peer = options.cell
        print(grown(next(w for w in chosen if w.name == name), peer))
        return
    names = [n for n in options.peers.split(",") if n and framework.unusable(n) is None]
    heads = ["picograd, MB", *(f"{report.title(name)}, MB" for name in names)]
    lines = [f"| training step | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    print(lines[0])
    with tempfile.TemporaryDirectory() as cache:
        for workload in chosen:
            measure(workload.name, OWN, cache)  # compiles
            cells = [measure(workload.name, peer, cache) for peer in (OWN, *names)]
            lines.append(f"| {workload.name} | {' | '.join(f'{c:.0f}' for c in cells)} |")
            print(lines[-1], flush=True)
    if options.markdown:
        report.write_block(options.markdown, "memory", "\n".join(lines))


if __name__ == "__main__":
    main()
