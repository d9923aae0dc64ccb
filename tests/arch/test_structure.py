"""The shape of the code base: layers, docstrings, sizes, examples, what an import costs.

In: the source tree. Out: a failure that names the file that broke a house rule.
"""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "picograd"
FILES = sorted(path.relative_to(ROOT) for path in PACKAGE.rglob("*.py"))
LONGEST = 500
# The beginnings of paths that exist on one machine only.
MACHINE_PATH = re.compile(r"(?<![\w.}])/(home|root|Users|mnt|work|workspace|tmp)/\w")


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def python(program: str) -> str:
    """What a fresh interpreter prints for a program."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def text_files() -> list[Path]:
    """Every text file of the repository: what git tracks, or all of it without git."""
    try:
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        listed = [str(path.relative_to(ROOT)) for path in ROOT.glob("*/**/*.py")]
    found = [ROOT / name for name in listed]
    return [path for path in found if path.is_file() and b"\0" not in path.read_bytes()[:1024]]


def test_import_contracts_hold():
    pytest.importorskip("importlinter.cli")
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and "1 kept, 0 broken" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=str)
def test_module_explains_itself_and_is_short(path):
    source = (ROOT / path).read_text()
    assert source.count("\n") <= LONGEST, f"{path} has {source.count(chr(10))} lines"
    module = importlib.import_module(module_name(path))
    text = (module.__doc__ or "").strip()
    assert text, f"{path} has no docstring: what comes in, what goes out, who calls it"
    assert len(text.splitlines()[0]) <= 100


@pytest.mark.parametrize("path", FILES, ids=str)
def test_examples_in_docstrings(path):
    module = importlib.import_module(module_name(path))
    result = doctest.testmod(module)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples of {path} fail"


def test_every_top_module_says_what_comes_in_and_out():
    """The docstrings that a reader meets first name both ends of the stage."""
    silent = []
    for path in FILES:
        if path.name.startswith("__"):
            continue
        text = (importlib.import_module(module_name(path)).__doc__ or "").lower()
        if len(text.split()) < 8:
            silent.append(str(path))
    assert not silent, f"docstrings of a few words: {silent}"


def test_import_loads_no_compiler():
    heavy = ("llvmlite", "opt_einsum", "torch", "matplotlib", "pycuda", "tqdm", "scipy")
    loaded = python(f"import sys, picograd; print([m for m in {heavy!r} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_reading_the_frontend_compiles_nothing():
    """Building a graph and reading shapes costs no compiler either."""
    program = (
        "import sys, picograd as t\n"
        "x = t.ones(3, 4)\n"
        "y = (x @ x.T).softmax(-1)\n"
        "assert y.shape == (3, 3) and 'llvmlite' not in sys.modules\n"
        "print(y.sum().item(), 'llvmlite' in sys.modules)"
    )
    assert python(program).split() == ["3.0", "True"]


def test_no_machine_paths():
    found = []
    for path in text_files():
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)


def test_machine_path_pattern():
    assert MACHINE_PATH.search('open("/home/someone/x")') and MACHINE_PATH.search("/tmp/x")
    assert not MACHINE_PATH.search("https://example.org/work/x")
    assert not MACHINE_PATH.search("bytes/root/x")


def test_no_leftovers():
    """No debugging statements and no notes to oneself in the package."""
    pattern = re.compile(r"\b(breakpoint\(\)|pdb\.set_trace|TODO|FIXME|XXX|HACK)\b")
    found = [
        f"{path}:{number}"
        for path in FILES
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found
