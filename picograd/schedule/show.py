"""Printing kernels and programs in index notation, for DEBUG=3 and for tests.

In: kernels and programs. Out: text. Called by the reporter (`picograd.reporter`).

>>> from picograd.dtypes import float32
>>> from picograd.graph.index import variable
>>> show_expr(Access("a0", variable("i0", 8), float32))
'a0[i0]'
"""

from __future__ import annotations

from picograd.graph.ops import Op
from picograd.schedule.kernel import (
    Access,
    Compute,
    Expr,
    FromIndex,
    Guard,
    Kernel,
    Literal,
    Philox,
    Program,
    Scalar,
    Stage,
    StageKind,
)

SYMBOLS = {
    Op.ADD: "+",
    Op.SUB: "-",
    Op.MUL: "*",
    Op.DIV: "/",
    Op.EQ: "==",
    Op.NE: "!=",
    Op.LT: "<",
    Op.LE: "<=",
    Op.AND: "&",
    Op.OR: "|",
    Op.XOR: "^",
}


def show_expr(expr: Expr) -> str:
    """An expression as a formula."""
    match expr:
        case Literal():
            return str(expr.value)
        case Scalar():
            return f"s{expr.slot}"
        case Access():
            mask = "" if expr.mask.always else f" if {expr.mask}"
            return f"{expr.buffer}[{expr.index}{mask}]"
        case FromIndex():
            return f"{expr.dtype.name}({expr.index})"
        case Philox():
            return f"philox{expr.word}({expr.position}, s{expr.seed}, s{expr.call})"
        case Guard():
            return f"({show_expr(expr.value)} if {expr.mask} else {show_expr(expr.other)})"
        case Compute():
            args = [show_expr(arg) for arg in expr.args]
            symbol = SYMBOLS.get(expr.op)
            if symbol is not None:
                return f"({f' {symbol} '.join(args)})"
            name = expr.dtype.name if expr.op is Op.CAST else expr.op.name.lower()
            return f"{name}({', '.join(args)})"


def show_stage(stage: Stage) -> str:
    """A stage as one line of index notation."""
    parts = [f"{bind.var} = {show_expr(bind.value)}; " for bind in stage.binds]
    inner = "".join(f"for {var}:{var.high + 1} " for var in stage.inner)
    value = show_expr(stage.value)
    axes = ", ".join(f"{var}:{var.high + 1}" for var in stage.reduce)
    if stage.combiner is not None:
        prefix = {StageKind.SCAN: "prefix_", StageKind.SCATTER: "into_"}.get(stage.kind, "")
        value = f"{prefix}{stage.combiner.name.lower()}_{{{axes}}} {value}"
    elif stage.kind is StageKind.SCATTER:
        value = f"in_order_{{{axes}}} {value}"
    once = "once: " if stage.once else ""
    if stage.kind is StageKind.CHECK:
        return f"{once}{inner}{''.join(parts)}fail if {value}"
    mask = "" if stage.mask.always else f" where {stage.mask}"
    return f"{once}{inner}{''.join(parts)}{stage.target}[{stage.store}] = {value}{mask}"


def show_kernel(kernel: Kernel) -> str:
    """A kernel: its domain, and a line for each stage."""
    domain = " ".join(f"{var}:{var.high + 1}" for var in kernel.domain) or "one point"
    lines = [f"kernel {kernel.name}  {kernel.pattern.name.lower()}  domain {domain}"]
    homes = {memory.name: memory for memory in kernel.memories}
    for stage in kernel.stages:
        home = homes.get(stage.target)
        note = "" if home is None else f"   ({home.space.name.lower()} {home.dtype.name})"
        lines.append(f"  {show_stage(stage)}{note}")
    return "\n".join(lines)


def show_program(program: Program) -> str:
    """A program: its kernels' names in order with the slots they run on, then the decisions."""
    lines: list[str] = []
    for step in program.steps:
        names = [
            f"{memory.name}={_slot_name(program, slot)}"
            for memory, slot in zip(step.kernel.arguments, step.slots, strict=True)
        ]
        values = f" values {list(step.scalars)}" if step.scalars else ""
        lines.append(f"{step.kernel.name}  {' '.join(names)}{values}")
    lines.append(f"outputs {[_slot_name(program, slot) for slot in program.outputs]}")
    lines.append(f"arena {program.arena} bytes")
    lines += [f"{d.subject}: {d.verdict} ({d.reason})" for d in program.decisions]
    return "\n".join(lines)


def _slot_name(program: Program, slot: int) -> str:
    found = program.slots[slot]
    return f"{found.kind.name.lower()}{found.number}"
