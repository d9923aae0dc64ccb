"""Which names of PyTorch's API exist here: a table of them, and the answers.

In: `names.txt`, the names that 52 programs use, in tiers by how many of them do. Out: `entries`,
and `missing`, what of an entry is not there. `python -m picograd.coverage` prints them, and
`picograd/coverage/signatures.py` compares how functions are called.

>>> entries()[0].names, missing(entries()[0])
(('Tensor.item',), [])
>>> exists("torch.zeros"), exists("Tensor.sum"), exists("torch.nothing")
(True, True, False)
"""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import picograd

NAMES = Path(__file__).with_name("names.txt")
_HEADING = re.compile(r"\[(\d): (.*)\]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: names of one thing, or a statement.

    tier, group    1 for five programs or more, 2 for two to four, 3 for one; what it belongs to
    programs       how many of the counted programs use it
    names          `torch.x.y` and `Tensor.x`, all of which must exist; or one statement
    kind           "names"; "runs", "refused": the statement must run, or raise ValueError
    plumbing       whether it only serves several GPUs or processes, or torch's own insides
    """

    tier: int
    group: str
    programs: int
    names: tuple[str, ...]
    kind: str
    plumbing: bool


@functools.cache
def entries() -> tuple[Entry, ...]:
    """The lines of the table, in its order."""
    found, tier, group = [], 0, ""
    for line in NAMES.read_text().splitlines():
        heading = _HEADING.fullmatch(line)
        if heading:
            tier, group = int(heading[1]), heading[2]
        elif line and not line.startswith("#"):
            programs, _, rest = line.partition(" ")
            kind = {">": "runs", "!": "refused"}.get(rest[0], "names")
            names = tuple(rest.removeprefix("~ ").split()) if kind == "names" else (rest[2:],)
            found.append(Entry(tier, group, int(programs), names, kind, rest[0] == "~"))
    return tuple(found)


def missing(entry: Entry) -> list[str]:
    """The names of an entry that don't exist, or its statement if that does not do as it should."""
    if entry.kind == "names":
        return [name for name in entry.names if not exists(name)]
    statement = entry.names[0]
    return [] if _runs(statement) == (entry.kind == "runs") else [statement]


def exists(name: str, root: Any = picograd) -> bool:
    """Whether `root`, which stands for torch, has a name; `Tensor.x` may be an attribute."""
    try:
        find(name, root)
    except AttributeError:
        parent, _, attribute = name.rpartition(".")
        return parent == "Tensor" and hasattr(root.ones(2, 2, requires_grad=True) * 2, attribute)
    return True


def find(name: str, root: Any = picograd) -> Any:
    """What a name means. Raises AttributeError if it isn't there."""
    found, path = root, root.__name__
    parts = name.split(".")
    for part in parts[1:] if parts[0] == "torch" else parts:
        path += "." + part
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = importlib.import_module(path)
            except ImportError:
                raise AttributeError(f"{path} doesn't exist") from None
    return found


def _runs(statement: str) -> bool:
    """Whether a statement about a matrix `x` and three indices `y` runs; ValueError means no."""
    values = {
        "torch": picograd,
        "x": picograd.arange(9.0).reshape(3, 3) - 4,
        "y": picograd.tensor([0, 2, 1]),
    }
    try:
        exec(statement, values)
    except ValueError:
        return False
    return True
