"""The CPU renderer: loop IR to LLVM IR text in its final form.

In: a `loops.Function` (SERIAL loops only) and a `Target`. Out: text for
`runtime.jit.compile_ir`, one function a phase, named `<name>_<phase>`:

    define void @f_0(ptr %buffers, ptr %scalars, ptr %context, i64 %begin, i64 %end)

No optimisation pass runs on it, so what is written here is what the machine runs: vectors are
explicit, accumulators are phis, and common subexpressions and loop invariants are handled by
`llvm.builder` while writing. Arithmetic is in `llvm.ops`, addresses in `llvm.index`, loads and
stores in `llvm.memory`.

>>> from picograd.codegen.target import AVX2
>>> text = render(Function("empty", (), (), (Phase(None, Index(), ()),)), AVX2)
>>> text.splitlines()[0].split("(")[0]
'define void @empty_0'
"""

from __future__ import annotations

from collections.abc import Iterable

from picograd.codegen.llvm.builder import Builder
from picograd.codegen.llvm.cast import cast
from picograd.codegen.llvm.choice import choose, is_choice
from picograd.codegen.llvm.index import Indices
from picograd.codegen.llvm.memory import ZEROS, ZEROS_BYTES, Memories
from picograd.codegen.llvm.ops import compute, fold, multiply_add, multiply_add_pairs
from picograd.codegen.llvm.random import Words, philox
from picograd.codegen.llvm.types import literal, register, vector
from picograd.codegen.loops import (
    Address,
    Alu,
    Argument,
    Barrier,
    Broadcast,
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
from picograd.codegen.passes.split_complex import split_complex
from picograd.codegen.target import Target
from picograd.dtypes import DType, int32, int64
from picograd.errors import InternalError
from picograd.graph.index import Index, Var

_SIGNATURE = (
    "ptr noalias %buffers, ptr noalias %scalars, ptr noalias %context, i64 %begin, i64 %end"
)


def render(function: Function, target: Target) -> str:
    """The text of one module that holds the phases of one function."""
    return render_module((function,), target)


def render_module(functions: Iterable[Function], target: Target) -> str:
    """The text of one module that holds several functions of different names."""
    definitions: list[str] = []
    declarations: dict[str, str] = {}
    streamed = zeros = False
    for function in map(split_complex, functions):
        for number, phase in enumerate(function.phases):
            renderer = PhaseRenderer(function, phase, target)
            definitions.append(renderer.render(f"{function.name}_{number}"))
            declarations |= renderer.builder.declarations
            declarations |= renderer.builder.helpers
            streamed |= renderer.memories.streamed
            zeros |= renderer.memories.zeros
    definitions += declarations.values()
    if zeros:
        definitions.append(
            f"@{ZEROS} = private constant [{ZEROS_BYTES} x i8] zeroinitializer, align 64"
        )
    if streamed:
        definitions.append("!0 = !{i32 1}")
    return "\n".join(definitions) + "\n"


def is_x86(target: Target) -> bool:
    """Does the target have x86's streaming stores?"""
    return "sse" in target.features or target.cpu.startswith(("x86", "znver", "skylake", "icelake"))


class PhaseRenderer:
    """Renders one phase; its state is the scopes of the builder and the values of names."""

    def __init__(self, function: Function, phase: Phase, target: Target) -> None:
        self.function = function
        self.phase = phase
        self.builder = Builder()
        self.indices = Indices(self.builder)
        self.memories = Memories(self.builder, self.indices, is_x86(target))
        self.names: dict[str, tuple[str, DType, int]] = {}  # name -> register, dtype, lanes
        self.known: dict[int, str] = {}  # id of a value of this statement -> its register
        self.no_choice: set[int] = set()  # ids of those that `choose` found to be none

    def render(self, name: str) -> str:
        """The text of the phase's function."""
        phase, builder = self.phase, self.builder
        if phase.var is None:
            self.body(phase.body)
        else:
            every = Index(), phase.extent
            self.loop(phase.var, ("%begin", "%end"), every, (), phase.body, 1)
        if self.memories.streamed:
            builder.declare("llvm.x86.sse.sfence", "void", "")
            builder.perform("call void @llvm.x86.sse.sfence()")
        builder.perform("ret void")
        lines = builder.scopes[0].lines
        head = f"define void @{name}({_SIGNATURE}) nounwind {{\nentry:\n"
        return head + "\n".join(lines) + "\n}"

    # --- statements ---------------------------------------------------------------------------

    def body(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            self.known.clear()
            self.no_choice.clear()
            self.statement(statement)

    def statement(self, statement: Statement) -> None:
        match statement:
            case Let(name, value, var):
                self.let(name, value, var)
            case Store(memory, index, value, mask, streaming):
                result = self.value(value, value.lanes)
                self.memories.store(memory, index, result, value.lanes, mask, streaming)
            case For():
                if statement.kind is not Kind.SERIAL:
                    raise ValueError(f"the loop over {statement.var} is {statement.kind.name}")
                self.serial(statement)
            case If(mask, body):
                self.branch(self.indices.mask(mask, 1), body)
            case Fail(condition):
                self.fail(condition)
            case Prefetch(memory, index, write):
                self.memories.prefetch(memory, index, write)
            case Barrier():
                raise ValueError("a barrier is for GPUs")

    def let(self, name: str, value: Value, var: Var | None) -> None:
        result = self.value(value, value.lanes)
        self.names[name] = result, value.dtype, value.lanes
        if var is not None:
            wide = cast(self.builder, result, value.dtype, int64, value.lanes)
            self.indices.bind(var, wide, value.lanes)

    def fail(self, condition: Value) -> None:
        """Set the status when any lane of the condition is true."""
        builder, lanes = self.builder, condition.lanes
        found = self.value(condition, lanes)
        if lanes > 1:
            word = builder.emit(f"bitcast <{lanes} x i1> {found} to i{lanes}", found)
            found = builder.emit(f"icmp ne i{lanes} {word}, 0", word)
        status = builder.emit_address("load ptr, ptr %context, align 8")
        self.memories.guarded(found, f"store i32 1, ptr {status}, align 4")

    def branch(self, mask: str, body: tuple[Statement, ...]) -> None:
        """The body where the mask holds."""
        if mask == "false":
            return
        if mask == "true":
            self.body(body)
            return
        builder = self.builder
        then, after = builder.fresh("if"), builder.fresh("endif")
        builder.open(then, guarded=True, certain=False)
        self.body(body)
        inner = builder.close()
        builder.perform(f"br i1 {mask}, label %{then}, label %{after}")
        builder.scopes[-1].lines.append(f"{then}:")
        builder.scopes[-1].lines += inner.lines
        builder.perform(f"br label %{after}")
        builder.label(after)
        self.known.clear()

    def serial(self, loop: For) -> None:
        if (loop.end - loop.begin).bounds()[1] <= 0 and not loop.carried:
            return
        limits = self.indices.scalar(loop.begin), self.indices.scalar(loop.end)
        carried = []
        for value in loop.carried:
            initial = self.value(value.init, value.lanes)
            carried.append((value, initial))
        self.loop(loop.var, limits, (loop.begin, loop.end), tuple(carried), loop.body, loop.step)

    def loop(
        self,
        var: Var,
        limits: tuple[str, str],
        indices: tuple[Index, Index],
        carried: tuple[tuple, ...],
        body: tuple[Statement, ...],
        step: int,
    ) -> None:
        """A loop that tests at its end, behind a test that it runs at all where that is not
        certain. `limits` are the registers of its begin and end."""
        builder = self.builder
        begin, end = limits
        certain = (indices[1] - indices[0]).bounds()[0] > 0
        tested = not certain or begin == "%begin"  # a phase may be called with no iteration
        head, after = builder.fresh("loop"), builder.fresh("done")
        counter, following = f"%{builder.fresh('i')}", f"%{builder.fresh('next')}"
        builder.open(head, guarded=False, certain=certain)
        builder.bind(counter)
        self.indices.bind(var, counter)
        phis = []
        for value, _ in carried:
            phi = f"%{builder.fresh('carried')}"
            builder.bind(phi)
            self.names[value.name] = phi, value.dtype, value.lanes
            phis.append(phi)
        self.body(body)
        self.known.clear()
        results = [self.value(value.next, value.lanes) for value, _ in carried]
        latch = builder.scopes[-1].block
        inner = builder.close()
        lines, before = builder.scopes[-1].lines, builder.scopes[-1].block
        if tested:
            test = f"%{builder.fresh('any')}"
            builder.perform(f"{test} = icmp slt i64 {begin}, {end}")
            builder.perform(f"br i1 {test}, label %{head}, label %{after}")
        else:
            builder.perform(f"br label %{head}")
        lines.append(f"{head}:")
        builder.perform(f"{counter} = phi i64 [ {begin}, %{before} ], [ {following}, %{latch} ]")
        for (value, initial), phi, result in zip(carried, phis, results, strict=True):
            kind = vector(register(value.dtype), value.lanes)
            builder.perform(f"{phi} = phi {kind} [ {initial}, %{before} ], [ {result}, %{latch} ]")
        lines += inner.lines
        test = f"%{builder.fresh('more')}"
        builder.perform(f"{following} = add nsw i64 {counter}, {step}")
        builder.perform(f"{test} = icmp slt i64 {following}, {end}")
        builder.perform(f"br i1 {test}, label %{head}, label %{after}")
        builder.label(after)
        self.known.clear()
        for (value, initial), result in zip(carried, results, strict=True):
            self.names[value.name] = (
                self._final(value, initial, result, (before, latch) if tested else None),
                value.dtype,
                value.lanes,
            )

    def _final(self, value, initial: str, result: str, blocks: tuple[str, str] | None) -> str:
        """A carried value after its loop."""
        builder = self.builder
        final = f"%{builder.fresh('final')}"
        kind = vector(register(value.dtype), value.lanes)
        if blocks is None:
            builder.depth[result] = min(builder.depth.get(result, 0), builder.level)
            return result
        before, latch = blocks
        builder.perform(f"{final} = phi {kind} [ {initial}, %{before} ], [ {result}, %{latch} ]")
        builder.bind(final)
        return final

    # --- values -------------------------------------------------------------------------------

    def value(self, value: Value, lanes: int) -> str:
        """The register of a value, in `lanes` lanes."""
        known = self.known
        stack = [value]
        while stack:
            current = stack[-1]
            if id(current) in known:
                stack.pop()
                continue
            if is_choice(current) and id(current) not in self.no_choice:
                found = choose(self.memories, current, self.no_choice)
                if found is not None:
                    known[id(current)] = found
                    continue
            waiting = [child for child in children(current) if id(child) not in known]
            if waiting:
                stack.extend(waiting)
                continue
            known[id(current)] = self._one(current)
            stack.pop()
        return self._widened(value, lanes)

    def _widened(self, value: Value, lanes: int) -> str:
        """The register of a value computed already; one lane may stand for several."""
        found = self.known[id(value)]
        if value.lanes == lanes:
            return found
        if value.lanes != 1:
            raise ValueError(f"a value of {value.lanes} lanes where {lanes} are expected: {value}")
        return self.builder.broadcast(register(value.dtype), found, lanes)

    def _one(self, value: Value) -> str:
        """One value whose operands are known."""
        builder = self.builder
        lanes = value.lanes
        match value:
            case Alu(op, args, dtype):
                operands = tuple(self._widened(argument, lanes) for argument in args)
                sources = tuple(argument.dtype for argument in args)
                return compute(builder, op, dtype, lanes, operands, sources)
            case MulAdd(a, b, c, dtype):
                operands = [self._widened(argument, lanes) for argument in (a, b, c)]
                return multiply_add(builder.lanes(dtype, lanes), *operands)
            case MulAddPairs(a, b, c):
                operands = [self.known[id(argument)] for argument in (c, a, b)]
                return multiply_add_pairs(builder, lanes, *operands)
            case Load():
                return self.memories.load(value)
            case Ref(name, dtype):
                found, held, have = self.names[name]
                if held is not dtype or have not in (1, lanes):
                    raise ValueError(f"{name} holds {have} x {held}, not {lanes} x {dtype}")
                return found if have == lanes else builder.broadcast(register(dtype), found, lanes)
            case Literal(number, dtype):
                text = literal(number, dtype)
                return builder.broadcast(register(dtype), text, lanes)
            case Broadcast(inner):
                return builder.broadcast(register(inner.dtype), self.known[id(inner)], lanes)
            case Shuffle(first, second, order):
                operands = self.known[id(first)], self.known[id(second)]
                kind = vector(register(first.dtype), first.lanes)
                lanes_taken = ", ".join(f"i32 {lane}" for lane in order)
                text = f"shufflevector {kind} {operands[0]}, {kind} {operands[1]}, "
                return builder.emit(text + f"<{len(order)} x i32> <{lanes_taken}>", *operands)
            case Fold(combiner, inner):
                total = fold(builder, combiner, inner.dtype, self.known[id(inner)], inner.lanes)
                return builder.broadcast(register(inner.dtype), total, lanes)
            case IndexValue(index, dtype):
                return self._index_value(index, dtype, lanes)
            case Predicate(mask):
                return self.indices.mask(mask, lanes)
            case Argument(slot, dtype):
                return builder.broadcast(register(dtype), self._argument(slot, dtype), lanes)
            case Random(word, low, high):
                seed, call = self.known[id(value.seed)], self.known[id(value.call)]
                words = Words(value.count, seed, call, lanes)
                zero = isinstance(high, Literal) and not high.value
                upper = None if zero else self._widened(high, lanes)
                return philox(builder, words, self._widened(low, lanes), upper, word)
            case Address() | Exchange():
                raise InternalError(f"only threads of a GPU do this: {value}")

    def _argument(self, slot: int, dtype: DType) -> str:
        """A number from its 8-byte cell."""
        builder = self.builder
        cell = builder.emit_address(f"getelementptr i64, ptr %scalars, i64 {slot}")
        element = "i8" if dtype.is_bool else register(dtype)
        value = builder.emit_address(f"load {element}, ptr {cell}, align 8", cell)
        if not dtype.is_bool:
            return value
        return builder.emit_address(f"icmp ne i8 {value}, 0", value)

    def _index_value(self, index: Index, dtype: DType, lanes: int) -> str:
        """An index as a number."""
        source = int64
        if lanes == 1:
            found = self.indices.scalar(index)
        else:
            element = self.indices.width(index)
            source = int32 if element == "i32" else int64
            found = self.indices.lanewise(index, lanes, element)
        if not found.startswith("%") and lanes == 1:
            return literal(int(found), dtype)
        return cast(self.builder, found, source, dtype, lanes)
