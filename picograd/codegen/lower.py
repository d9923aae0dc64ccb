"""Lower a kernel to a plain loop nest, which the passes then make fast.

In: a `schedule.kernel.Kernel`. Out: a `loops.Function` of serial scalar loops that already says
which loops are independent and which only accumulate. Called by `codegen.pipeline`.

* a stage is a nest over the domain (shared by neighbouring stages), its inner axes and, inside,
  its reduce axes, whose accumulators are loop-carried;
* LOCAL targets are `Let`s, SCRATCH rows are per-thread memory, closing stages (reductions over the
  domain itself) leave partial results in the workspace, which the next phase combines.

>>> from picograd.dtypes import float32
>>> from picograd.graph.index import Index, Var, of
>>> i = Var("i0", 0, 3)
>>> stage = kernel.Stage(kernel.StageKind.MAP, "a1", of(i), kernel.Access("a0", of(i), float32))
>>> space = kernel.Space.ARGUMENT
>>> memories = tuple(kernel.Memory(name, float32, 4, space) for name in ("a0", "a1"))
>>> copy = kernel.Kernel("copy", kernel.Pattern.ROWS, (i,), (stage,), memories)
>>> type(lower(copy).phases[0].body[0]).__name__
'For'
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd, prod

from picograd.codegen.expressions import Body, Names, cast, combine, identity
from picograd.codegen.loops import (
    Alu,
    Carried,
    Fail,
    For,
    Function,
    Home,
    Let,
    Load,
    Memory,
    Phase,
    Predicate,
    Ref,
    Statement,
    Store,
    Value,
)
from picograd.dtypes import DType
from picograd.errors import InternalError
from picograd.graph.index import Index, Var, constant, of
from picograd.graph.ops import Combiner, Op
from picograd.schedule import kernel
from picograd.schedule.kernel import Kernel, Space, Stage, StageKind

BLOCKS = 256  # at most this many partial results of a closing reduction
BLOCK = 2048  # at least this many points for each
ALIGNMENT = 64


def lower(source: Kernel) -> Function:
    """The plain nest of a kernel (of a contraction too: as an ordinary reduction)."""
    return _Lowering(source).function()


def extent(var: Var) -> int:
    """How many values a loop variable takes."""
    return var.high - var.low + 1


def loop(var: Var, body: tuple[Statement, ...], **kind: object) -> For:
    """A loop over all values of a variable."""
    made = For(var, constant(var.low), constant(var.high + 1), body)
    return replace(made, **kind)  # pyright: ignore[reportArgumentType]


class _Lowering:
    def __init__(self, source: Kernel) -> None:
        self.kernel = source
        self.names = Names()
        self.memories: dict[str, Memory] = {}
        self.locals: dict[str, Ref] = {}
        self.scratch = self.workspace = 0
        stored = {stage.target for stage in source.stages if stage.kind is not StageKind.CHECK}
        crossing = {stage.target for stage in source.stages if self._closes(stage)}
        for slot, memory in enumerate(source.memories):
            written = memory.written or memory.name in stored
            if memory.space is Space.LOCAL and memory.name in crossing:
                self._partials(memory.name, memory.dtype, 1)
            elif memory.space is Space.LOCAL:
                self.locals[memory.name] = Ref(memory.name, memory.dtype)
            elif memory.space is Space.SCRATCH:
                self._scratch(memory)
            else:
                self.memories[memory.name] = Memory(
                    memory.name, memory.dtype, memory.size, Home.ARGUMENT, slot, 0, written
                )

    def function(self) -> Function:
        """One or two phases for each run of stages that ends in closing ones."""
        phases: list[Phase] = []
        for stages in self._segments():
            closing = tuple(stage for stage in stages if self._closes(stage))
            opening = tuple(stage for stage in stages if not self._closes(stage))
            if closing:
                phases.extend(self._closing(opening, closing))
            elif opening:
                self._append(phases, opening)
        source = self.kernel
        return Function(
            source.name,
            tuple(self.memories.values()),
            source.scalars,
            tuple(phases),
            self.workspace,
            self.scratch,
        )

    def _append(self, phases: list[Phase], stages: tuple[Stage, ...]) -> None:
        """Add stages: single numbers that follow a closing reduction join its last phase."""
        body = self._domain(stages)
        if phases and not any(_uses(stage, self.kernel.domain) for stage in stages):
            phases[-1] = replace(phases[-1], body=phases[-1].body + body)
        else:
            phases.append(Phase(None, constant(1), body))

    # --- memories ---------------------------------------------------------------------------------

    def _scratch(self, memory: kernel.Memory) -> None:
        made = Memory(memory.name, memory.dtype, memory.size, Home.SCRATCH, 0, self.scratch, True)
        self.scratch += aligned(memory.size * memory.dtype.itemsize)
        self.memories[memory.name] = made

    def _partials(self, name: str, dtype: DType, size: int) -> Memory:
        made = Memory(name, dtype, size, Home.WORKSPACE, 0, self.workspace, True)
        self.workspace += aligned(size * dtype.itemsize)
        self.memories[name] = made
        return made

    def load(self, access: kernel.Access) -> Value:
        """What an access reads: a local's name or an element of a memory."""
        if access.buffer in self.locals:
            return self.locals[access.buffer]
        memory = self.memories.get(access.buffer)
        if memory is None:
            raise InternalError(f"{self.kernel.name}: no memory is called {access.buffer}")
        return Load(memory, access.index, 1, access.mask)

    # --- phases -----------------------------------------------------------------------------------

    def _closes(self, stage: Stage) -> bool:
        return any(var in self.kernel.domain for var in stage.reduce)

    def _segments(self) -> list[list[Stage]]:
        """Runs of stages; each run ends with its closing ones."""
        runs: list[list[Stage]] = [[]]
        for stage in self.kernel.stages:
            if runs[-1] and self._closes(runs[-1][-1]) and not self._closes(stage):
                runs.append([])
            runs[-1].append(stage)
        return [run for run in runs if run]

    def _domain(self, stages: tuple[Stage, ...]) -> tuple[Statement, ...]:
        """The stages within loops over the domain. Stages that follow a closing one and use no
        domain variable run once."""
        domain = self.kernel.domain
        after = stages[0] is not self.kernel.stages[0]
        if after and not any(_uses(stage, domain) for stage in stages):
            domain = ()
        body: tuple[Statement, ...] = ()
        for stage in stages:
            body += self._stage(stage)
        for var in reversed(domain):
            free = all(self._is_independent(stage, var) for stage in stages)
            body = (loop(var, body, independent=free),)
        return body

    def _closing(self, opening: tuple[Stage, ...], closing: tuple[Stage, ...]) -> list[Phase]:
        """Partial results of blocks of the outermost domain axis, then their combination."""
        outer = self.kernel.domain[0]
        inside = _points(self.kernel.domain[1:])
        inside *= max(_points((*stage.inner, *stage.reduce)) for stage in (*opening, *closing))
        count = block_count(extent(outer), max(1, BLOCK // inside))
        size = extent(outer) // count
        rest = extent(outer) - count * size
        partials = [
            self._partials(f"part{number}", _accumulator(stage, self.kernel), count + (rest > 0))
            for number, stage in enumerate(closing)
        ]
        block = Var("block", 0, count - 1)
        first = (
            loop(block, self._block(opening, closing, partials, of(block), size), independent=True),
        )
        if rest:
            first += self._block(opening, closing, partials, constant(count), size, rest)
        second: tuple[Statement, ...] = ()
        for stage, memory in zip(closing, partials, strict=True):
            second += self._combine(stage, memory)
        return [Phase(None, constant(1), first), Phase(None, constant(1), second)]

    def _block(
        self,
        opening: tuple[Stage, ...],
        closing: tuple[Stage, ...],
        partials: list[Memory],
        block: Index,
        size: int,
        count: int | None = None,
    ) -> tuple[Statement, ...]:
        """One block: the domain loops carry one accumulator for each closing stage."""
        outer, *inner = self.kernel.domain
        base = Var(outer.name, outer.low, outer.high)
        begin = block * size + outer.low
        body: tuple[Statement, ...] = ()
        for stage in opening:
            body += self._stage(stage)
        levels = [[self.names.fresh("sum") for _ in (base, *inner)] for _ in closing]
        results: list[Value] = []
        for stage, names in zip(closing, levels, strict=True):
            statements, value = self._accumulate(stage, names[-1])
            body += statements
            results.append(value)
        for depth, var in reversed(list(enumerate((base, *inner)))):
            carried = tuple(
                Carried(
                    names[depth],
                    memory.dtype,
                    Ref(names[depth - 1], memory.dtype)
                    if depth
                    else identity(_combiner(stage), memory.dtype),
                    value,
                )
                for stage, memory, names, value in zip(
                    closing, partials, levels, results, strict=True
                )
            )
            made = loop(var, body, carried=carried, reduces=_combiner(closing[0]))
            if depth == 0:
                made = replace(made, begin=begin, end=begin + (count or size))
            body = (made,)
            results = [Ref(c.name, c.dtype) for c in carried]
        stores = tuple(
            Store(memory, block, value) for memory, value in zip(partials, results, strict=True)
        )
        return body + stores

    def _accumulate(self, stage: Stage, name: str) -> tuple[tuple[Statement, ...], Value]:
        """The statements of a closing stage's value and the accumulator's next value."""
        rest = tuple(var for var in stage.reduce if var not in self.kernel.domain)
        dtype = _accumulator(stage, self.kernel)
        if stage.inner:
            raise InternalError(f"{self.kernel.name}: a reduction over the domain has inner axes")
        start = Ref(name, dtype)
        return self._reduction(stage, rest, start, dtype)

    def _combine(self, stage: Stage, partial: Memory) -> tuple[Statement, ...]:
        var = Var("block", 0, partial.size - 1)
        combiner, name = _combiner(stage), self.names.fresh("total")
        accumulator = Ref(name, partial.dtype)
        carried = Carried(
            name,
            partial.dtype,
            identity(combiner, partial.dtype),
            combine(combiner, accumulator, Load(partial, of(var))),
        )
        made = loop(var, (), carried=(carried,), reduces=combiner)
        return (made, *self._finish(stage, accumulator))

    def _finish(self, stage: Stage, value: Value) -> tuple[Statement, ...]:
        """Give a stage's target its value."""
        if stage.target in self.locals:
            target = self.locals[stage.target]
            return (Let(target.name, cast(value, target.dtype)),)
        memory = self.memories[stage.target]
        return (Store(memory, stage.store, cast(value, memory.dtype), stage.mask),)

    # --- stages -----------------------------------------------------------------------------------

    def _stage(self, stage: Stage) -> tuple[Statement, ...]:
        """A stage within the domain loops: its inner loops around its own kind of body."""
        match stage.kind:
            case StageKind.REDUCE:
                dtype = _accumulator(stage, self.kernel)
                body, value = self._reduction(
                    stage, stage.reduce, identity(_combiner(stage), dtype), dtype
                )
                body += self._finish(stage, value)
            case StageKind.SCAN:
                body = self._scan(stage)
            case _:
                body = self._map(stage)
                for var in reversed(stage.reduce):  # of SCATTER: in order, where they can meet
                    apart = self._is_independent(stage, var)
                    body = (loop(var, body, independent=apart),)
        for var in reversed(stage.inner):
            body = (loop(var, body, independent=self._is_independent(stage, var)),)
        return body

    def _map(self, stage: Stage) -> tuple[Statement, ...]:
        body = Body(self.load, self.names)
        body.bind(stage.binds)
        value = body.value(stage.value)
        if stage.kind is StageKind.CHECK:
            if not stage.mask.always:
                value = Alu(Op.AND, (Predicate(stage.mask), value), value.dtype)
            return (*body.statements, Fail(value))
        if stage.kind is StageKind.SCATTER and stage.combiner is not None:
            old = Load(self.memories[stage.target], stage.store, 1, stage.mask)
            value = combine(stage.combiner, old, value)
        return (*body.statements, *self._finish(stage, value))

    def _reduction(
        self, stage: Stage, axes: tuple[Var, ...], start: Value, dtype: DType
    ) -> tuple[tuple[Statement, ...], Value]:
        """Nested loops that carry one accumulator from `start`, and its final value."""
        combiner = _combiner(stage)
        names = [self.names.fresh("acc") for _ in axes]
        body = Body(self.load, self.names)
        body.bind(stage.binds)
        value = cast(body.value(stage.value), dtype)
        before = Ref(names[-1], dtype) if names else start
        result: Value = combine(combiner, before, value)
        statements = tuple(body.statements)
        for depth in reversed(range(len(axes))):
            init = Ref(names[depth - 1], dtype) if depth else start
            carried = Carried(names[depth], dtype, init, result)
            statements = (loop(axes[depth], statements, carried=(carried,), reduces=combiner),)
            result = Ref(names[depth], dtype)
        return statements, result

    def _scan(self, stage: Stage) -> tuple[Statement, ...]:
        dtype, combiner = _accumulator(stage, self.kernel), _combiner(stage)
        (axis,) = stage.reduce
        name = self.names.fresh("run")
        body = Body(self.load, self.names)
        body.bind(stage.binds)
        value = cast(body.value(stage.value), dtype)
        new = body.name("run", combine(combiner, Ref(name, dtype), value))
        carried = Carried(name, dtype, identity(combiner, dtype), new)
        statements = (*body.statements, *self._finish(stage, new))
        return (loop(axis, statements, carried=(carried,)),)

    def _is_independent(self, stage: Stage, var: Var) -> bool:
        """Whether iterations of an axis of a stage (of SCATTER: of any) never meet in memory.

        True by definition except for SCATTER, where different values of `var` must store to
        different places whatever the other indices are.
        """
        if stage.kind is not StageKind.SCATTER:
            return True
        step = abs(stage.store.coefficient(var))
        if step == 0 or not stage.store.is_affine_in(var):
            return False
        others = [(atom, abs(factor)) for atom, factor in stage.store.terms if atom != var]
        reach = sum(f * (a.bounds[1] - a.bounds[0]) for a, f in others if f < step)
        if reach >= step:
            return False
        reach += step * (extent(var) - 1)
        # What is coarser moves in multiples of `coarse`, so the remainder tells `var`.
        coarse = gcd(*(factor for _, factor in others if factor >= step))
        return coarse == 0 or coarse > reach


def _uses(stage: Stage, variables: tuple[Var, ...]) -> bool:
    """Whether a stage mentions one of the variables anywhere."""
    wanted = frozenset(variables)
    found = set(stage.store.atoms()) | set(stage.mask.atoms())
    stack: list[kernel.Expr] = [stage.value, *(bind.value for bind in stage.binds)]
    seen: set[int] = set()
    while stack:
        expression = stack.pop()
        if id(expression) in seen:
            continue
        seen.add(id(expression))
        match expression:
            case kernel.Access():
                found |= expression.index.atoms() | expression.mask.atoms()
            case kernel.FromIndex():
                found |= expression.index.atoms()
            case kernel.Guard():
                found |= expression.mask.atoms()
                stack += [expression.value, expression.other]
            case kernel.Philox():
                found |= expression.position.atoms()
            case kernel.Compute():
                stack += expression.args
            case _:
                pass
    return bool(found & wanted)


def _combiner(stage: Stage) -> Combiner:
    if stage.combiner is None:
        raise InternalError(f"a {stage.kind.name} stage has no combiner")
    return stage.combiner


def _accumulator(stage: Stage, source: Kernel) -> DType:
    if stage.accumulator is not None:
        return stage.accumulator
    return next(m.dtype for m in source.memories if m.name == stage.target)


def aligned(size: int) -> int:
    """Bytes rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _points(variables: tuple[Var, ...]) -> int:
    """How many points some loops have together."""
    return prod(extent(var) for var in variables)


def block_count(size: int, least: int) -> int:
    """How many equal blocks, each of at least `least`, an axis is cut into: it depends on the
    shape alone."""
    most = max(1, min(BLOCKS, size // least))
    if size % most == 0:
        return most
    exact = [count for count in range(most // 4 + 1, most + 1) if size % count == 0]
    return max(exact, default=most)
