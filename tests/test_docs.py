"""What the documents show is what picograd prints today, and what they name exists."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "picograd"
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]
MODULES = sorted(PACKAGE.rglob("*.py"))
QUOTED = re.compile(r"`([^`\n]+)`")
TORCHS = ("nn.", "optim.")  # a document may say what isn't there
# Machine code depends on the release of LLVM.
ASSEMBLY = re.compile(r"(?<=```asm\n).*?(?=```)", re.DOTALL)


def test_softmax_page_is_what_picograd_prints() -> None:
    spec = importlib.util.spec_from_file_location("make", ROOT / "docs" / "make_softmax.py")
    assert spec is not None and spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    page = make.PAGE.read_text()
    made = make.make(page)
    assert made.count("\n```\n```\n") == 0, "an empty block"
    assert ASSEMBLY.sub("", made) == ASSEMBLY.sub("", page), "run python docs/make_softmax.py"
    assert "vscalefps" in page


# --- names ----------------------------------------------------------------------------------------


def texts(path: Path) -> str:
    """A document, or the docstrings of a module."""
    if path.suffix == ".md":
        return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, documented)]
    return "\n".join(ast.get_docstring(node) or "" for node in nodes)


def places(path: Path) -> list[Path]:
    """The folders from which a text's paths may start."""
    inside = [folder for folder in path.parents if PACKAGE in folder.parents]
    return [ROOT, PACKAGE, *inside]


def names_nothing(name: str, path: Path) -> bool:
    """Whether a quoted name looks like a file or module of ours, and isn't there."""
    if re.fullmatch(r"\w[\w./*-]*/|[\w./*-]*\w\.(py|md|toml)", name):
        return not any(list(place.glob(name.rstrip("/"))) for place in places(path))
    if not re.fullmatch(r"[a-z_]+(\.[A-Za-z_]{2,})+", name) or name.startswith(TORCHS):
        return False
    first, *rest = name.split(".")
    starts = [ROOT] if first == "picograd" else places(path)[1:]
    for place in starts:
        if (place / first).is_dir() or (place / f"{first}.py").is_file():
            if has(place / first, rest):
                return False
        elif first != "picograd":
            continue
    return any((place / first).is_dir() or (place / f"{first}.py").is_file() for place in starts)


def has(place: Path, names: list[str]) -> bool:
    """Whether a package or module has a submodule or something else of that name."""
    for number, name in enumerate(names):
        if (place / name).is_dir() or (place / f"{name}.py").is_file():
            place = place / name
            continue
        module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        rest = names[number:]
        return all(re.search(rf"\b{part}\b", module.read_text()) for part in rest[:2])
    return True


@pytest.mark.parametrize("path", [*DOCUMENTS, *MODULES], ids=lambda p: str(p.relative_to(ROOT)))
def test_quoted_names_exist(path: Path) -> None:
    wrong = {name for name in QUOTED.findall(texts(path)) if names_nothing(name, path)}
    assert not wrong


def test_the_check_of_names_sees_what_is_wrong() -> None:
    here = PACKAGE / "codegen" / "pipeline.py"
    for name in ("schedule.plan", "picograd/engine.py", "passes/*.py", "codegen.llvm.render"):
        assert not names_nothing(name, here), name
    for name in ("schedule.blend", "picograd/motor.py", "llvm_ops.py", "lower.raise_up"):
        assert names_nothing(name, here), name
    assert not names_nothing("x.sum", here), "not ours"


@pytest.mark.host("documents display the CPU's tensors, and what its code generator makes")
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_examples_in_documents(path: Path) -> None:
    text = re.sub(r"^```.*$", "", path.read_text(), flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, path.name, str(path), 0)
    assert examples.examples or path.name not in ("README.md", "architecture.md")
    assert doctest.DocTestRunner().run(examples).failed == 0
