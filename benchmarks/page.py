"""Measure everything and put the tables into `docs/performance.md`.

python benchmarks/page.py [--peers numpy,torch,jax] [--quick] [--page FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the tables of a page.")
    parser.add_argument("--peers", default="numpy,torch,jax", help="as in run.py")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--page", type=Path, default=FOLDER.parent / "docs" / "performance.md")
    options = parser.parse_args()
    ladder = ["run.py", "--peers", options.peers, *(["--quick"] if options.quick else [])]
    for script in (["overhead.py"], ["matmul_table.py"], ladder, ["memory.py"]):
        command = [sys.executable, str(FOLDER / script[0]), *script[1:]]
        subprocess.run([*command, "--markdown", str(options.page)], check=False)


if __name__ == "__main__":
    main()
