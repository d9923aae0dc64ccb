"""Print loop IR so that a person can read it.

In: a `loops.Function`. Out: text, one statement a line. `DEBUG=5` shows it after every pass, and
its hash names the compiled functions (equal text is equal meaning).

>>> from picograd.codegen.loops import Let, Literal
>>> from picograd.dtypes import float32
>>> print("\\n".join(lines((Let("x", Literal.of(1.0, float32)),), 0)))
x = 1.0
"""

from __future__ import annotations

from picograd.codegen.loops import (
    Address,
    Alu,
    Argument,
    Barrier,
    Broadcast,
    Call,
    Carried,
    Exchange,
    Fail,
    Fold,
    For,
    Function,
    If,
    IndexValue,
    Kind,
    Let,
    Literal,
    Load,
    MulAdd,
    MulAddPairs,
    Phase,
    Predicate,
    Prefetch,
    Random,
    Ref,
    Shuffle,
    Statement,
    Store,
    Value,
    children,
)
from picograd.graph.index import Var
from picograd.graph.mask import Mask

INDENT = "  "


def show(function: Function) -> str:
    """The whole function."""
    scalars = ", ".join(f"s{n}: {dtype.name}" for n, dtype in enumerate(function.scalars))
    text = [f"function {function.name}({scalars})"]
    for memory in function.memories:
        place = memory.slot if memory.home.name == "ARGUMENT" else memory.offset
        mark = " written" if memory.written else ""
        text.append(
            f"  {memory.name}: {memory.dtype.name}[{memory.size}] "
            f"{memory.home.name.lower()} {place}{mark}"
        )
    if function.workspace or function.scratch:
        text.append(f"  workspace {function.workspace} bytes, scratch {function.scratch} bytes")
    if function.shared:
        text.append(f"  shared {function.shared} bytes, {function.resident} blocks together")
    text.extend(f"  map{number}: {tile}" for number, tile in enumerate(function.maps))
    for phase in function.phases:
        text.extend(show_phase(phase))
    return "\n".join(text) + "\n"


def show_phase(phase: Phase) -> list[str]:
    """A phase's heading and body."""
    if phase.var is None:
        head = "phase"
    else:
        head = f"phase parallel {phase.var} in {phase.extent}"
    work = f"  # {phase.work:.0f} ns each" if phase.work else ""
    return [head + work, *lines(phase.body, 1)]


def lines(body: tuple[Statement, ...], depth: int) -> list[str]:
    """A body, indented."""
    text: list[str] = []
    for statement in body:
        pad = INDENT * depth
        match statement:
            case For():
                text.append(pad + _for(statement))
                text.extend(lines(statement.body, depth + 1))
                text.extend(f"{pad}{INDENT}{c.name} <- {value(c.next)}" for c in statement.carried)
            case If():
                text.append(f"{pad}if {statement.mask}:")
                text.extend(lines(statement.body, depth + 1))
            case Let():
                bound = _bound(statement.var)
                text.append(f"{pad}{statement.name}{bound} = {value(statement.value)}")
            case Store():
                arrow = " <~ " if statement.streaming else " = "
                place = f"{statement.memory.name}[{statement.index}]"
                text.append(f"{pad}{place}{arrow}{value(statement.value)}{_where(statement.mask)}")
            case Fail():
                text.append(f"{pad}fail if {value(statement.condition)}")
            case Prefetch(memory, index, write):
                text.append(f"{pad}prefetch {memory.name}[{index}]{' to write' * write}")
            case Barrier():
                text.append(f"{pad}barrier")
            case Call(helper, arguments):
                text.append(f"{pad}{helper}({', '.join(map(value, arguments))})")
            case _:  # statements of other passes print as themselves
                text.append(f"{pad}{statement}")
    return text


def value(root: Value) -> str:
    """A value as an expression; lanes show as `<16>`."""
    match root:
        case Literal():
            number = root.value
            text = f"{number}" if number == number else "nan"
            return text + _lanes(root.lanes)
        case Argument():
            return f"s{root.slot}{_lanes(root.lanes)}"
        case Ref():
            return root.name
        case Load():
            return f"{root.memory.name}[{root.index}]{_lanes(root.lanes)}{_where(root.mask)}"
        case IndexValue():
            return f"{root.dtype.name}({root.index}){_lanes(root.lanes)}"
        case Predicate():
            return f"({root.mask}){_lanes(root.lanes)}"
        case Alu():
            name = root.op.name.lower()
            if name in ("cast", "bitcast"):
                name = f"{name}_{root.dtype.name}"
            return f"{name}({', '.join(value(arg) for arg in root.args)})"
        case MulAdd():
            return f"fma({value(root.a)}, {value(root.b)}, {value(root.c)})"
        case MulAddPairs():
            return f"pairs({value(root.a)}, {value(root.b)}, {value(root.c)})"
        case Random():
            parts = ", ".join(value(part) for part in children(root))
            return f"random{root.word}({parts})"
        case Broadcast():
            return f"{value(root.value)}{_lanes(root.lanes)}"
        case Shuffle():
            lanes = " ".join(map(str, root.order))
            return f"shuffle({value(root.first)}, {value(root.second)}, {lanes})"
        case Fold():
            return f"fold_{root.combiner.name.lower()}({value(root.value)})"
        case Exchange():
            return f"exchange({value(root.value)}, {root.distance})"
        case Address(memory, index):
            return f"&{memory.name}[{index}]"
        case _:
            return str(root)


def _for(loop: For) -> str:
    step = f" step {loop.step}" if loop.step != 1 else ""
    kind = "" if loop.kind is Kind.SERIAL else f" {loop.kind.name.lower()}"
    free = " independent" if loop.independent else ""
    free += f" reduces {loop.reduces.name.lower()}" if loop.reduces else ""
    text = f"for {loop.var} in {loop.begin} .. {loop.end}{step}{kind}{free}"
    return text + "".join(f" carry {_carried(c)}" for c in loop.carried)


def _carried(carried: Carried) -> str:
    return f"{carried.name}: {carried.dtype.name}{_lanes(carried.lanes)} = {value(carried.init)}"


def _bound(var: Var | None) -> str:
    return f" (index {var.low}..{var.high})" if var else ""


def _lanes(count: int) -> str:
    return f"<{count}>" if count > 1 else ""


def _where(mask: Mask) -> str:
    return "" if mask.always else f" where {mask}"
