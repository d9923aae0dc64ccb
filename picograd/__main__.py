"""`python -m picograd program.py [arguments]`: run a program that imports torch, with picograd.

In: a Python file written for PyTorch. Out: what the program does.

>>> # python -m picograd train.py --epochs 3
"""

from __future__ import annotations

import os
import runpy
import sys

from picograd import alias


def main() -> None:
    """Run the program that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print("usage: python -m picograd program.py [arguments]", file=sys.stderr)
        raise SystemExit(2 if len(sys.argv) < 2 else 0)
    alias.install()
    program = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
