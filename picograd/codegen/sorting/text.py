"""LLVM text with loops, for code that is written by hand.

In: instructions as text. Out: the lines of one function. A loop is a `with` block that makes its
phis; what an iteration hands to the next one is `carried`.

>>> text = Text()
>>> with text.loop("0", "%n", total="i64 0") as loop:
...     loop.next["total"] = text.value(f"add i64 {loop['total']}, {loop.index}")
>>> print(text.function("define i64 @triangle(i64 %n)", f"ret i64 {loop['total']}"))
define i64 @triangle(i64 %n) {
entry:
  br label %head0
head0:
  %i0 = phi i64 [ 0, %entry ], [ %next0, %body0 ]
  %total0 = phi i64 [ 0, %entry ], [ %v0, %body0 ]
  %some0 = icmp slt i64 %i0, %n
  br i1 %some0, label %body0, label %done0
body0:
  %v0 = add i64 %total0, %i0
  %next0 = add i64 %i0, 1
  br label %head0
done0:
  ret i64 %total0
}
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Loop:
    """One loop: its index, and by name the carried values (inside: of this iteration; after it:
    the final ones). `next` takes what the following iteration gets. A loop of no or one iteration
    is an if that has results."""

    def __init__(self, index: str, carried: dict[str, str]) -> None:
        self.index = index
        self.next: dict[str, str] = {}
        self._carried = carried

    def __getitem__(self, name: str) -> str:
        return self._carried[name]


class Text:
    """The lines of one function, and the basic block that is open at their end."""

    def __init__(self) -> None:
        self.lines: list[str] = ["entry:"]
        self.block = "entry"
        self._values = 0
        self._blocks = 0

    def value(self, instruction: str) -> str:
        """Write an instruction; the name of its result."""
        name = f"%v{self._values}"
        self._values += 1
        self.lines.append(f"  {name} = {instruction}")
        return name

    def do(self, instruction: str) -> None:
        """Write an instruction without a result."""
        self.lines.append(f"  {instruction}")

    def label(self, block: str) -> None:
        """Begin a basic block; the one before has its terminator."""
        self.lines.append(f"{block}:")
        self.block = block

    def at(self, kind: str, base: str, index: str) -> str:
        """The address of an element of an array."""
        return self.value(f"getelementptr {kind}, ptr {base}, i64 {index}")

    def load(self, kind: str, base: str, index: str = "0", align: int = 1) -> str:
        """An element of an array."""
        return self.value(f"load {kind}, ptr {self.at(kind, base, index)}, align {align}")

    def store(self, kind: str, value: str, base: str, index: str = "0", align: int = 1) -> None:
        """Write an element of an array."""
        self.do(f"store {kind} {value}, ptr {self.at(kind, base, index)}, align {align}")

    @contextmanager
    def loop(self, begin: str, end: str, step: int | str = 1, **carried: str) -> Iterator[Loop]:
        """`for index in range(begin, end, step)`; carried values are given as "type initial"."""
        n = self._number()
        initial = {name: text.rsplit(" ", 1) for name, text in carried.items()}
        loop = Loop(f"%i{n}", {name: f"%{name}{n}" for name in carried})
        before = self.block
        self.do(f"br label %head{n}")
        self.label(f"head{n}")
        phis = len(self.lines)
        self.do(f"%some{n} = icmp slt i64 %i{n}, {end}")
        self.do(f"br i1 %some{n}, label %body{n}, label %done{n}")
        self.label(f"body{n}")
        yield loop
        self.do(f"%next{n} = add i64 %i{n}, {step}")
        self.do(f"br label %head{n}")
        rows = [f"  %i{n} = phi i64 [ {begin}, %{before} ], [ %next{n}, %{self.block} ]"]
        for name, (kind, first) in initial.items():
            following = f"[ {loop.next[name]}, %{self.block} ]"
            rows.append(f"  %{name}{n} = phi {kind} [ {first}, %{before} ], {following}")
        self.lines[phis:phis] = rows
        self.label(f"done{n}")

    @contextmanager
    def repeat(self, **carried: str) -> Iterator[Loop]:
        """A loop that runs at least once, and on while the body's `next["again"]` is true. After
        it, `next` has the final values."""
        n = self._number()
        loop = Loop("", {name: f"%{name}{n}" for name in carried})
        before = self.block
        self.do(f"br label %body{n}")
        self.label(f"body{n}")
        phis = len(self.lines)
        yield loop
        rows = []
        for name, text in carried.items():
            kind, first = text.rsplit(" ", 1)
            following = f"[ {loop.next[name]}, %{self.block} ]"
            rows.append(f"  %{name}{n} = phi {kind} [ {first}, %{before} ], {following}")
        self.do(f"br i1 {loop.next['again']}, label %body{n}, label %done{n}")
        self.lines[phis:phis] = rows
        self.label(f"done{n}")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """The body runs where the condition holds."""
        n = self._number()
        self.do(f"br i1 {condition}, label %then{n}, label %after{n}")
        self.label(f"then{n}")
        yield
        self.do(f"br label %after{n}")
        self.label(f"after{n}")

    def least(self, a: str, b: str) -> str:
        """The lesser of two i64."""
        return self.value(f"call i64 @llvm.smin.i64(i64 {a}, i64 {b})")

    def function(self, head: str, end: str = "ret void") -> str:
        """The whole function, closed by its last instruction."""
        return "\n".join([f"{head} {{", *self.lines, f"  {end}", "}"])

    def _number(self) -> int:
        self._blocks += 1
        return self._blocks - 1
