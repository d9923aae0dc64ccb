"""Writes random programs for `test_random_programs.py`, one line of Python per statement.

In: a seed. Out: `Generator(seed).program()`, lines over a module named `m` (torch or picograd) and
tensors `t0`, `t1`, ... The lines are run with torch while they are written, so that a statement can
be chosen for the shapes and dtypes that are there; a few fail on purpose. The statements themselves
are in `statements.py`.

Values start as multiples of a quarter. Statements that jump (comparisons, `sort`, `floor`, casts to
integers) are only applied to values that are still exact in both libraries.
"""

from __future__ import annotations

import random
import warnings
from typing import Any

import torch

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
LARGEST = 300.0


class Generator:
    """The state of one program that is being written.

    lines      what has been written
    names      torch's namespace after these lines
    inexact    data pointers of storages whose values may differ by rounding
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"m": torch}
        self.inexact: set[str] = set()
        self.count = 0
        self.wild = self.rng.random() < 0.15
        self.gradients = self.rng.random() < 0.6

    # --- what statements ask for ------------------------------------------------------------------

    def tensors(self) -> list[str]:
        return [name for name, value in self.names.items() if isinstance(value, torch.Tensor)]

    def tensor(self, condition: Any = None) -> str | None:
        """A random tensor's name, one of which a condition (of the tensor) is true."""
        found = [
            name for name in self.tensors() if condition is None or condition(self.names[name])
        ]
        if not found:
            return None
        return self.rng.choice(found[-6:] if self.rng.random() < 0.7 else found)

    def exact(self, name: str) -> bool:
        return name not in self.inexact

    def fresh(self) -> str:
        name = f"t{self.count}"
        self.count += 1
        return name

    def dtype(self) -> str:
        draw = self.rng.random()
        if draw < 0.5:
            return "float32"
        if draw < 0.62:
            return "float64"
        if draw < 0.88 or not self.wild:
            return self.rng.choice((*INTEGERS, "bool", "int64"))
        return self.rng.choice(("float16", "bfloat16", "complex64"))

    def shape(self, rank: int | None = None) -> tuple[int, ...]:
        rank = self.rng.choice((0, 1, 1, 2, 2, 2, 3, 3)) if rank is None else rank
        return tuple(self.rng.choice((1, 2, 2, 3, 3, 4, 5 if rank < 3 else 2)) for _ in range(rank))

    def number(self, dtype: str) -> Any:
        if dtype == "bool":
            return self.rng.random() < 0.5
        if dtype == "uint8":
            return self.rng.randrange(0, 6)
        if dtype in INTEGERS:
            return self.rng.randrange(-4, 6)
        if dtype.startswith("complex"):
            return complex(self.rng.randrange(-8, 9) / 4, self.rng.randrange(-8, 9) / 4)
        return self.rng.randrange(-8, 9) / 4

    def literal(self, shape: tuple[int, ...], dtype: str) -> str:
        if not shape:
            return repr(self.number(dtype))
        return "[" + ", ".join(self.literal(shape[1:], dtype) for _ in range(shape[0])) + "]"

    def create(self, shape: tuple[int, ...] | None = None, dtype: str | None = None) -> str:
        """An expression that makes a tensor."""
        shape, dtype = self.shape() if shape is None else shape, dtype or self.dtype()
        grad = ""
        if self.gradients and dtype in FLOATS and self.rng.random() < 0.5:
            grad = ", requires_grad=True"
        if shape and self.rng.random() < 0.06:
            empty = list(shape)
            empty[self.rng.randrange(len(shape))] = 0
            return f"m.zeros({tuple(empty)}, dtype=m.{dtype}{grad})"
        return f"m.tensor({self.literal(shape, dtype)}, dtype=m.{dtype}{grad})"

    # --- writing ----------------------------------------------------------------------------------

    def program(self) -> list[str]:
        from tests.frontend.statements import statement

        for _ in range(self.rng.choice((1, 2, 2, 3))):
            self.add(f"{self.fresh()} = {self.create()}", True)
        length = self.rng.randrange(5, 26)
        attempts = 0
        while len(self.lines) < length and attempts < 200:
            attempts += 1
            written = statement(self)
            if written is None:
                continue
            line, exact = written
            if not self.add(line, exact):
                break
        return self.lines

    def add(self, line: str, exact: bool) -> bool:
        """Write and run a line; False if the program should end here."""
        inputs_exact = all(self.exact(name) for name in self.tensors() if mentions(line, name))
        before = dict(self.names)
        line = self._written_out(line)
        self.lines.append(line)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(line, self.names)
        except Exception:
            failed = True
        else:
            failed = False
        if failed:
            self.names = before
            return "backward" not in line and "grad(" not in line and self.rng.random() < 0.7
        if not (exact and inputs_exact):
            self._mark(line)
        elif line.split(" = ")[0] in self.tensors():
            self.inexact.discard(line.split(" = ")[0])
            self._mark(None)
        return self._bounded()

    def _written_out(self, line: str) -> str:
        """With `.contiguous()` if the result would be new memory in an order of torch's choice."""
        context = "with m.no_grad(): " * line.startswith("with")
        name, _, expression = line.removeprefix(context).partition(" = ")
        if not (name[0] == "t" and name[1:].isdigit() and expression):
            return line
        try:
            result = eval(expression, dict(self.names))
        except Exception:
            return line
        if not isinstance(result, torch.Tensor) or result.is_contiguous():
            return line
        memory = result.untyped_storage().data_ptr()
        shared = any(self.names[t].untyped_storage().data_ptr() == memory for t in self.tensors())
        return line if shared else f"{context}{name} = ({expression}).contiguous()"

    def _mark(self, line: str | None) -> None:
        """Note the tensors of a line, and all that share memory with them, as inexact."""
        names = self.tensors()
        if line is not None:
            target = line.strip().removeprefix("with m.no_grad(): ").split(" ")[0]
            target = target.split(".")[0].split("[")[0]
            self.inexact.update(name for name in names if name == target)
        storages = {
            self.names[name].untyped_storage().data_ptr()
            for name in names
            if name in self.inexact and self.names[name].numel()
        }
        self.inexact.update(
            name for name in names if self.names[name].untyped_storage().data_ptr() in storages
        )

    def _bounded(self) -> bool:
        for name in self.tensors():
            value = self.names[name].detach()
            if value.dtype.is_floating_point and value.numel():
                if not float(value.abs().nan_to_num(0, 0, 0).max()) < LARGEST:
                    return False
            elif value.is_complex() and value.numel() and float(value.abs().max()) > 50:
                return False
        return True


def mentions(line: str, name: str) -> bool:
    """Whether a line uses a tensor."""
    position = line.find(name)
    while position >= 0:
        after = line[position + len(name) : position + len(name) + 1]
        if not after.isdigit() and (position == 0 or not line[position - 1].isalnum()):
            return True
        position = line.find(name, position + 1)
    return False
