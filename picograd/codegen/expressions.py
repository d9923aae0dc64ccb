"""Lower one stage's scalar expressions to loop IR values.

In: the `schedule.kernel` expressions of a stage. Out: the statements of an innermost body and the
value they end in. `codegen.lower` and `codegen.contraction.lower` call it.

Loop IR values stay small trees: an expression that is used twice, or sits on a very deep chain,
becomes a `Let`, so that no later pass walks a shared value again and again.

>>> from picograd.dtypes import float32
>>> from picograd.graph.ops import Op
>>> two = kernel.Literal.of(2.0, float32)
>>> body = Body(lambda access: Literal.of(0.0, float32), Names())
>>> body.value(kernel.Compute(Op.ADD, (two, two), float32)).op.name
'ADD'
"""

from __future__ import annotations

from collections.abc import Callable

from picograd.codegen.loops import (
    Alu,
    Argument,
    IndexValue,
    Let,
    Literal,
    Predicate,
    Random,
    Ref,
    Statement,
    Value,
)
from picograd.dtypes import DType, int64, uint32, uint64
from picograd.graph.index import Index
from picograd.graph.ops import Combiner, Op
from picograd.schedule import kernel

DEEPEST = 24  # a chain of values is cut by a Let at this depth
COMBINE = {
    Combiner.SUM: Op.ADD,
    Combiner.PROD: Op.MUL,
    Combiner.MAX: Op.MAXIMUM,
    Combiner.MIN: Op.MINIMUM,
}


def identity(combiner: Combiner, dtype: DType) -> Literal:
    """The number that leaves every other as it is."""
    start = {Combiner.SUM: 0, Combiner.PROD: 1}.get(combiner)
    if start is None:
        start = dtype.lowest if combiner is Combiner.MAX else dtype.highest
    return Literal.of(float(start) if dtype.is_float else start, dtype)


def combine(combiner: Combiner, first: Value, second: Value) -> Alu:
    """`first (+) second`, both of one dtype and equal lanes."""
    return Alu(COMBINE[combiner], (first, second), first.dtype, first.lanes)


def cast(value: Value, dtype: DType) -> Value:
    """The value as another dtype (itself when it has it)."""
    return value if value.dtype is dtype else Alu(Op.CAST, (value,), dtype, value.lanes)


def _is_clamped(bind: kernel.Bind) -> bool:
    """Whether a data-dependent index is written as one that cannot leave its variable's range."""
    value, low = bind.value, None if bind.value.dtype.is_signed else 0
    if isinstance(value, kernel.Compute) and value.op is Op.MAXIMUM:
        value, least = value.args
        low = least.value if isinstance(least, kernel.Literal) else None
    if low is None or not isinstance(value, kernel.Compute) or value.op is not Op.MINIMUM:
        return False
    most = value.args[1]
    known = isinstance(most, kernel.Literal)
    return known and bind.var.low <= low <= most.value <= bind.var.high


class Names:
    """Fresh names within one function, numbered in order so that equal kernels get equal text."""

    def __init__(self) -> None:
        self.count = 0

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}.{self.count}"


class Body:
    """The statements of one loop body while they are being made."""

    def __init__(self, load: Callable[[kernel.Access], Value], names: Names) -> None:
        self.statements: list[Statement] = []
        self._load = load
        self._names = names
        self._done: dict[int, Value] = {}
        self._depth: dict[int, int] = {}
        self._words: dict[tuple[Index, int, int], int] = {}  # wanted of each random block
        self._uses: dict[int, int] = {}
        self._keep: list[kernel.Expr] = []  # keeps ids unique while they are keys

    def bind(self, binds: tuple[kernel.Bind, ...]) -> None:
        """Name data-dependent indices. They are clamped: whatever the data, nothing outside is
        touched (a CHECK stage reports the error)."""
        for bind in binds:
            value = cast(self.value(bind.value), int64)
            if not _is_clamped(bind):
                low, high = Literal.of(bind.var.low, int64), Literal.of(bind.var.high, int64)
                value = Alu(Op.MAXIMUM, (value, low), int64)
                value = Alu(Op.MINIMUM, (value, high), int64)
            self.statements.append(Let(bind.var.name, value, bind.var))

    def value(self, root: kernel.Expr) -> Value:
        """Lower an expression; shared parts are named once."""
        self._count(root)
        stack = [root]
        while stack:
            expression = stack[-1]
            if id(expression) in self._done:
                stack.pop()
                continue
            missing = [part for part in parts(expression) if id(part) not in self._done]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            self._finish(expression)
        return self._done[id(root)]

    def name(self, stem: str, value: Value) -> Ref:
        """Bind a value to a fresh name."""
        name = self._names.fresh(stem)
        self.statements.append(Let(name, value))
        return Ref(name, value.dtype, value.lanes)

    def _count(self, root: kernel.Expr) -> None:
        self._keep.append(root)
        stack, seen = [root], set(self._done)
        while stack:
            current = stack.pop()
            if isinstance(current, kernel.Philox):
                block = (current.position, current.seed, current.call)
                count = 1 if current.word == 0 else 2 if current.word == 1 else 4
                self._words[block] = max(count, self._words.get(block, 1))
            for part in parts(current):
                self._uses[id(part)] = self._uses.get(id(part), 0) + 1
                if id(part) not in seen:
                    seen.add(id(part))
                    stack.append(part)

    def _finish(self, expression: kernel.Expr) -> None:
        value = self._lower(expression)
        depth = 1 + max((self._depth[id(part)] for part in parts(expression)), default=0)
        simple = isinstance(value, Literal | Argument | Ref | IndexValue)
        if not simple and (self._uses.get(id(expression), 0) > 1 or depth > DEEPEST):
            value, depth = self.name("v", value), 0
        self._done[id(expression)], self._depth[id(expression)] = value, depth

    def _lower(self, expression: kernel.Expr) -> Value:
        match expression:
            case kernel.Literal(value=value, dtype=dtype):
                return Literal(value, dtype, expression.key)
            case kernel.Scalar(slot=slot, dtype=dtype):
                return Argument(slot, dtype)
            case kernel.Access():
                return self._load(expression)
            case kernel.FromIndex(index=index, dtype=dtype):
                return IndexValue(index, dtype)
            case kernel.Compute(op=op, args=args, dtype=dtype):
                return Alu(op, tuple(self._done[id(arg)] for arg in args), dtype)
            case kernel.Guard(mask=mask, value=inside, other=other, dtype=dtype):
                arms = (self._done[id(inside)], self._done[id(other)])
                if mask.always:
                    return arms[0]
                if mask.never:
                    return arms[1]
                return Alu(Op.WHERE, (Predicate(mask), *arms), dtype)
            case kernel.Philox(word=word, position=position, seed=seed, call=call):
                low, high = _halves(position)
                slots = Argument(seed, uint64), Argument(call, uint64)
                count = self._words[position, seed, call]
                return Random(word, low, high, *slots, count, uint32)


def parts(expression: kernel.Expr) -> tuple[kernel.Expr, ...]:
    """The expressions that an expression is computed from."""
    match expression:
        case kernel.Compute(args=args):
            return args
        case kernel.Guard(value=value, other=other):
            return (value, other)
        case _:
            return ()


def _halves(position: Index) -> tuple[Value, Value]:
    """The low and the high 32 bits of a position."""
    if position.bounds()[1] < 1 << 32:
        return IndexValue(position, uint32), Literal.of(0, uint32)
    whole = IndexValue(position, uint64)
    high = Alu(Op.SHR, (whole, Literal.of(32, uint64)), uint64)
    return cast(whole, uint32), cast(high, uint32)
