"""LLVM text in static single assignment form, with common subexpressions shared and loop
invariants moved out while it is written.

In: instructions, one at a time, as text. Out: lines of text in nested *scopes* (the function's
entry, a loop's body, the body of an If). The text of a pure instruction names its value: the same
text twice is the same value, and it is placed in the shallowest scope that knows its operands.
`llvm.render` drives it; `llvm.ops` and `llvm.math` write arithmetic with `Lanes`.

>>> from picograd.dtypes import float32
>>> builder = Builder()
>>> lanes = builder.lanes(float32, 4)
>>> lanes.add(lanes.number(1.0), "%x") == lanes.add(lanes.number(1.0), "%x")
True
>>> builder.scopes[0].lines
['  %v0 = fadd <4 x float> splat (float 0x3FF0000000000000), %x']
"""

from __future__ import annotations

from dataclasses import dataclass, field

from picograd.codegen.llvm.types import literal, register, splat, suffix, vector
from picograd.dtypes import DType, bool_, int32


@dataclass(slots=True)
class Scope:
    """A region of straight-line text (with finished inner loops in it).

    `block` is the label of the basic block that is open at its end. Values computed inside may
    leave it unless it is `guarded` (the body of an If); loads may leave it when it is `certain`
    to run.
    """

    block: str
    guarded: bool = False
    certain: bool = False
    lines: list[str] = field(default_factory=list)
    memo: list[str] = field(default_factory=list)


class Builder:
    """The open scopes of one function and the values that they know."""

    def __init__(self) -> None:
        self.scopes = [Scope("entry")]
        self.memo: dict[str, str] = {}  # instruction text -> the name of its value
        self.depth: dict[str, int] = {}  # name -> number of the scope that holds it
        self.volatile: list[str] = []  # memoised loads of written memories
        self.declarations: dict[str, str] = {}  # name -> declaration
        self.helpers: dict[str, str] = {}  # name -> definition of a private function
        self.floor = 0  # values stay at or inside this scope
        self.load_floor = 0  # loads stay at or inside this scope
        self.counter = 0
        self._lanes: dict[tuple[DType, int], Lanes] = {}

    # --- names and scopes -----------------------------------------------------------------------

    def fresh(self, prefix: str = "v") -> str:
        """A new name, without its sigil."""
        self.counter += 1
        return f"{prefix}{self.counter - 1}"

    def open(self, block: str, guarded: bool, certain: bool) -> Scope:
        """Enter an inner scope that begins with the basic block `block`."""
        self.forget_loads()
        scope = Scope(block, guarded, certain)
        self.scopes.append(scope)
        self._set_floors()
        return scope

    def close(self) -> Scope:
        """Leave the innermost scope; its values are forgotten."""
        self.forget_loads()
        scope = self.scopes.pop()
        for text in scope.memo:
            self.memo.pop(text, None)
        self._set_floors()
        return scope

    def _set_floors(self) -> None:
        self.floor = self.load_floor = 0
        for level, scope in enumerate(self.scopes):
            if scope.guarded:
                self.floor = level
            if not scope.certain and level:
                self.load_floor = level

    @property
    def level(self) -> int:
        return len(self.scopes) - 1

    # --- instructions ---------------------------------------------------------------------------

    def emit(self, text: str, *operands: str) -> str:
        """The value of a pure instruction (the text right of the `=`)."""
        found = self.memo.get(text)
        if found is not None:
            return found
        level = self.floor
        for operand in operands:
            depth = self.depth.get(operand, 0)
            if depth > level:
                level = depth
        return self._place(text, level)

    def emit_address(self, text: str, *operands: str) -> str:
        """As `emit`, for cheap integer arithmetic that may also leave an If."""
        found = self.memo.get(text)
        if found is not None:
            return found
        level = 0
        for operand in operands:
            depth = self.depth.get(operand, 0)
            if depth > level:
                level = depth
        return self._place(text, level)

    def emit_load(self, text: str, volatile: bool, *operands: str) -> str:
        """The value of a load. A volatile one (of a written memory) is emitted here and holds
        until the next store; another leaves the loops that are certain to run."""
        found = self.memo.get(text)
        if found is not None:
            return found
        if volatile:
            self.volatile.append(text)
            return self._place(text, self.level)
        level = max(self.load_floor, *(self.depth.get(operand, 0) for operand in operands))
        return self._place(text, level)

    def emit_rare(self, condition: str, kind: str, usual: str, call: str, *operands: str) -> str:
        """`usual`, or where a (rarely true) condition holds, the value of a call. It makes basic
        blocks in the scope where it is placed."""
        key = f"{condition} ? {call} : {usual}"
        found = self.memo.get(key)
        if found is not None:
            return found
        level = max([self.floor, *(self.depth.get(x, 0) for x in (condition, usual, *operands))])
        scope, before = self.scopes[level], self.scopes[level].block
        rare, after, value = self.fresh("rare"), self.fresh("usual"), f"%{self.fresh('slow')}"
        scope.lines += [
            f"  br i1 {condition}, label %{rare}, label %{after}",
            f"{rare}:",
            f"  {value} = {call}",
            f"  br label %{after}",
            f"{after}:",
        ]
        scope.block = after
        text = f"phi {kind} [ {usual}, %{before} ], [ {value}, %{rare} ]"
        found = self.memo[key] = self._place(text, level)
        if level:
            scope.memo.append(key)
        return found

    def _place(self, text: str, level: int) -> str:
        name = f"%v{self.counter}"
        self.counter += 1
        scope = self.scopes[level]
        scope.lines.append(f"  {name} = {text}")
        if level:
            scope.memo.append(text)
            self.depth[name] = level
        self.memo[text] = name
        return name

    def perform(self, text: str) -> None:
        """An instruction with an effect, here and now."""
        self.scopes[-1].lines.append("  " + text)

    def label(self, block: str) -> None:
        """End the open basic block (its terminator is written) and begin another."""
        scope = self.scopes[-1]
        scope.lines.append(f"{block}:")
        scope.block = block

    def forget_loads(self) -> None:
        """A store has happened or may happen: loads of written memories are no longer known."""
        for text in self.volatile:
            self.memo.pop(text, None)
        self.volatile.clear()

    def bind(self, name: str) -> None:
        """Declare that a name (a phi) belongs to the innermost scope."""
        self.depth[name] = self.level

    def declare(self, name: str, result: str, arguments: str) -> None:
        """Declare a function that the text calls."""
        if name not in self.declarations:
            self.declarations[name] = f"declare {result} @{name}({arguments})"

    # --- vectors --------------------------------------------------------------------------------

    def lanes(self, dtype: DType, lanes: int) -> Lanes:
        """Arithmetic on values of a dtype and number of lanes."""
        found = self._lanes.get((dtype, lanes))
        if found is None:
            found = self._lanes[dtype, lanes] = Lanes(self, dtype, lanes)
        return found

    def broadcast(self, element: str, value: str, lanes: int) -> str:
        """A scalar register (or constant) in every lane."""
        if lanes == 1:
            return value
        if not value.startswith("%"):
            return splat(element, value, lanes)
        kind = vector(element, lanes)
        first = self.emit_address(f"insertelement {kind} poison, {element} {value}, i64 0", value)
        return self.emit_address(
            f"shufflevector {kind} {first}, {kind} poison, <{lanes} x i32> zeroinitializer", first
        )

    def shuffle(self, element: str, lanes: int, value: str, order: list[int]) -> str:
        """Chosen lanes of a vector; a single one as a scalar."""
        kind = vector(element, lanes)
        if len(order) == 1:
            return self.emit(f"extractelement {kind} {value}, i64 {order[0]}", value)
        positions = ", ".join(f"i32 {position}" for position in order)
        text = f"shufflevector {kind} {value}, {kind} poison, <{len(order)} x i32> <{positions}>"
        return self.emit(text, value)


class Lanes:
    """Instructions on values of one dtype and number of lanes; each method returns a value."""

    __slots__ = (
        "_intrinsics",
        "_numbers",
        "builder",
        "dtype",
        "element",
        "lanes",
        "mask",
        "type",
    )

    def __init__(self, builder: Builder, dtype: DType, lanes: int) -> None:
        self.builder = builder
        self.dtype = dtype
        self.lanes = lanes
        self.element = register(dtype)
        self.type = vector(self.element, lanes)
        self.mask = vector("i1", lanes)
        self._numbers: dict[int | float | bool, str] = {}
        self._intrinsics: dict[str, str] = {}

    def to(self, dtype: DType) -> Lanes:
        """The same number of lanes of another dtype."""
        return self.builder.lanes(dtype, self.lanes)

    def number(self, value: int | float | bool) -> str:
        """A constant in every lane."""
        if not value:  # 0.0 and -0.0 are one key
            return splat(self.element, literal(value, self.dtype), self.lanes)
        found = self._numbers.get(value)
        if found is None:
            found = splat(self.element, literal(value, self.dtype), self.lanes)
            self._numbers[value] = found
        return found

    def bits(self, value: int) -> str:
        """An integer constant in every lane, of an integer register type."""
        return splat(self.element, str(value), self.lanes)

    def one(self, opcode: str, x: str) -> str:
        return self.builder.emit(f"{opcode} {self.type} {x}", x)

    def two(self, opcode: str, x: str, y: str) -> str:
        return self.builder.emit(f"{opcode} {self.type} {x}, {y}", x, y)

    def add(self, x: str, y: str) -> str:
        return self.two("fadd", x, y)

    def sub(self, x: str, y: str) -> str:
        return self.two("fsub", x, y)

    def mul(self, x: str, y: str) -> str:
        return self.two("fmul", x, y)

    def div(self, x: str, y: str) -> str:
        return self.two("fdiv", x, y)

    def neg(self, x: str) -> str:
        return self.one("fneg", x)

    def fma(self, x: str, y: str, z: str) -> str:
        return self.intrinsic("fma", x, y, z)

    def abs(self, x: str) -> str:
        return self.intrinsic("fabs", x)

    def copysign(self, magnitude: str, sign: str) -> str:
        return self.intrinsic("copysign", magnitude, sign)

    def intrinsic(self, name: str, *arguments: str) -> str:
        """An overloaded intrinsic whose arguments and result have this type."""
        start = self._intrinsics.get(name)
        if start is None:
            full = f"llvm.{name}.{suffix(self.element, self.lanes)}"
            self.builder.declare(full, self.type, ", ".join([self.type] * len(arguments)))
            start = self._intrinsics[name] = f"call {self.type} @{full}({self.type} "
        inside = f", {self.type} ".join(arguments)
        return self.builder.emit(f"{start}{inside})", *arguments)

    def ldexp(self, x: str, exponent: str) -> str:
        """`x * 2**exponent` for int32 exponents, rounded once."""
        whole = self.to(int32)
        kinds = f"{suffix(self.element, self.lanes)}.{suffix('i32', self.lanes)}"
        full = f"llvm.ldexp.{kinds}"
        self.builder.declare(full, self.type, f"{self.type}, {whole.type}")
        text = f"call {self.type} @{full}({self.type} {x}, {whole.type} {exponent})"
        return self.builder.emit(text, x, exponent)

    def compare(self, predicate: str, x: str, y: str) -> str:
        """`fcmp`/`icmp` with its predicate, for example `fcmp olt`."""
        return self.builder.emit(f"{predicate} {self.type} {x}, {y}", x, y)

    def select(self, condition: str, x: str, y: str) -> str:
        if condition == "true" or x == y:
            return x
        if condition == "false":
            return y
        text = f"select {self.mask} {condition}, {self.type} {x}, {self.type} {y}"
        return self.builder.emit(text, condition, x, y)

    def convert(self, opcode: str, x: str, target: Lanes) -> str:
        """A cast instruction of this type's value; nothing where the types are equal."""
        if self.type == target.type:
            return x
        return self.builder.emit(f"{opcode} {self.type} {x} to {target.type}", x)

    def is_nan(self, x: str) -> str:
        return self.compare("fcmp uno", x, x)

    def horner(self, x: str, coefficients: tuple[float, ...]) -> str:
        """A polynomial with the highest coefficient first, by fused multiply-adds."""
        total = self.number(coefficients[0])
        for coefficient in coefficients[1:]:
            total = self.fma(total, x, self.number(coefficient))
        return total

    def logic(self) -> Lanes:
        """The lanes of bools that comparisons give."""
        return self.to(bool_)
