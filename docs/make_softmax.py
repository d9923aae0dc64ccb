"""Writes what picograd prints today into docs/softmax.md: `python docs/make_softmax.py`.

In: the page, in which a comment stands before each block that is generated:

    <!-- FILE | STEP | STEP ... -->      FILE of the folder that DUMP fills, then steps on its lines

with the steps `from TEXT` (from the first line that has it), `with TEXT` (only such lines),
`around TEXT` (the loop of the assembly that contains it) and `first N`. Out: the page with the
blocks filled. `tests/test_docs.py` compares it with the page that is committed. Code is generated
for AVX-512 by the device "null", which runs nothing, so the page is the same on every machine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).parent / "softmax.md"
PROGRAM = """
import numpy as np, picograd as torch
x = torch.tensor(np.zeros((64, 100), np.float32))
torch.softmax(x, dim=-1).numpy()
"""
BLOCK = re.compile(
    r"(<!-- ([\w*]+/[^|\n]+?)((?: \| [^|\n]+?)*) -->\n```\w*\n).*?(?=```\n)", re.DOTALL
)


def dump_softmax(folder: Path) -> None:
    """All forms of one softmax, as files."""
    settings = {"DUMP": str(folder), "DEVICE": "null", "PICOGRAD_CPU": "avx512"}
    path = os.pathsep.join([str(PAGE.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **settings, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)


def select(lines: list[str], step: str) -> list[str]:
    """The lines that one step of a comment chooses."""
    verb, _, text = step.partition(" ")
    found = [number for number, line in enumerate(lines) if text in line]
    match verb:
        case "from":
            return lines[found[0] :]
        case "with":
            return [lines[number] for number in found]
        case "first":
            return lines[: int(text)]
        case "around":
            labels = [n for n, line in enumerate(lines) if re.match(r"\.?\w+:", line)]
            begin = max(number for number in labels if number < found[0])
            jump = next(n for n in range(found[0], len(lines)) if re.match(r"\tj", lines[n]))
            return lines[begin : jump + 1]
    raise ValueError(f"unknown step: {step}")


def fill(page: str, folder: Path) -> str:
    """The page with its blocks from a folder of dumped files."""

    def block(match: re.Match[str]) -> str:
        head, pattern, steps = match[1], match[2], match[3]
        (path,) = folder.glob(pattern)
        lines = path.read_text().splitlines()
        for step in steps.split(" | ")[1:]:
            lines = select(lines, step)
        return head + "\n".join(lines) + "\n"

    return BLOCK.sub(block, page)


def make(page: str) -> str:
    """The page as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        dump_softmax(Path(folder))
        return fill(page, Path(folder))


if __name__ == "__main__":
    PAGE.write_text(make(PAGE.read_text()))
