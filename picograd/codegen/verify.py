"""Check that a loop IR function is well-formed and never touches memory outside.

In: a `loops.Function`. Out: nothing, or InternalError naming the statement. `codegen.pipeline`
calls it after lowering and after the last pass, `DEBUG=5` and the tests after every pass.

Names are defined before use, lanes and dtypes agree, loops stay within their variable's bounds,
and every access is proved (`codegen.bounds`) to lie in its memory, or, where the search finds no
proof, tried at many points without finding one outside.

>>> from picograd.codegen.loops import Load, Memory, Phase
>>> from picograd.dtypes import float32
>>> from picograd.graph.index import constant
>>> x = Memory("x", float32, 4, Home.ARGUMENT, written=True)
>>> bad = Store(x, constant(9), Load(x, constant(0)))
>>> verify(Function("f", (x,), (), (Phase(None, constant(1), (bad,)),)))
Traceback (most recent call last):
picograd.errors.InternalError: f: x[9] may lie outside its 4 elements: x[9] = x[0]
"""

from __future__ import annotations

from picograd.codegen import show
from picograd.codegen.bounds import find_outside, proves_within
from picograd.codegen.loops import (
    Alu,
    Broadcast,
    Fail,
    Fold,
    For,
    Function,
    Home,
    If,
    Let,
    Literal,
    Load,
    Memory,
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
from picograd.dtypes import DType, bfloat16, bool_, uint64
from picograd.errors import InternalError
from picograd.graph.index import Index, Param, Var
from picograd.graph.mask import Mask
from picograd.graph.ops import COMPARISONS, Op

Scope = dict[str, tuple[DType, int]]


def verify(function: Function) -> None:
    """Raise InternalError unless the function keeps every rule of the loop IR."""
    for memory in function.memories:
        room = {Home.WORKSPACE: function.workspace, Home.SCRATCH: function.scratch}
        end = memory.offset + memory.size * memory.dtype.itemsize
        if memory.home in room and end > room[memory.home]:
            raise InternalError(f"{function.name}: {memory.name} does not fit into its home")
    for phase in function.phases:
        _Checker(function).phase(phase)


class _Checker:
    def __init__(self, function: Function) -> None:
        self.function = function
        self.memories = set(function.memories)
        self.current = ""
        self.checked: dict[int, Value] = {}
        self.wide: dict[Var, int] = {}  # index variables that differ by lane

    def fail(self, problem: str) -> InternalError:
        return InternalError(f"{self.function.name}: {problem}: {self.current}")

    def phase(self, phase: Phase) -> None:
        variables = frozenset() if phase.var is None else frozenset({phase.var})
        if phase.var is not None and phase.extent.bounds()[1] > phase.var.high + 1:
            raise self.fail(f"the phase runs beyond {phase.var}")
        self.body(phase.body, variables, {}, Mask())

    def body(
        self, body: tuple[Statement, ...], variables: frozenset[Var], scope: Scope, mask: Mask
    ) -> tuple[frozenset[Var], Scope]:
        scope = dict(scope)
        for statement in body:
            self.current = show.lines((statement,), 0)[0] if not isinstance(statement, For) else ""
            match statement:
                case For():
                    self.loop(statement, variables, scope, mask)
                case If():
                    self.mask(statement.mask, variables, 1)
                    self.body(statement.body, variables, scope, mask & statement.mask)
                case Let():
                    self.value(statement.value, variables, scope, mask)
                    scope[statement.name] = (statement.value.dtype, statement.value.lanes)
                    if statement.var is not None:
                        if not statement.value.dtype.is_integer or statement.var.lanes != 1:
                            raise self.fail("an index variable is not an integer")
                        variables = variables | {statement.var}
                        self.wide[statement.var] = statement.value.lanes
                case Store():
                    self.store(statement, variables, scope, mask)
                case Fail():
                    self.value(statement.condition, variables, scope, mask)
                    if statement.condition.dtype is not bool_:
                        raise self.fail("the condition of a check is not bool")
                case Prefetch():
                    self.index(statement.index, variables)
                case _:
                    pass
        return variables, scope

    def loop(self, loop: For, variables: frozenset[Var], scope: Scope, mask: Mask) -> None:
        self.current = f"for {loop.var} in {loop.begin} .. {loop.end}"
        for limit in (loop.begin, loop.end):
            self.index(limit, variables)
            if self.lanes(limit) != 1:
                raise self.fail(f"the limit {limit} differs by lane")
        self.bounds(loop)
        inside = dict(scope)
        for carried in loop.carried:
            self.value(carried.init, variables, scope, mask)
            self.expect(carried.init, carried.dtype, carried.lanes)
            inside[carried.name] = (carried.dtype, carried.lanes)
        inner, defined = self.body(loop.body, variables | {loop.var}, inside, mask)
        self.current = f"the end of the loop over {loop.var}"
        for carried in loop.carried:
            self.value(carried.next, inner, defined, mask)
            self.expect(carried.next, carried.dtype, carried.lanes)
            scope[carried.name] = (carried.dtype, carried.lanes)

    def bounds(self, loop: For) -> None:
        """A loop stays within its variable's bounds (its end may be a multiple of the step)."""
        if loop.var.lanes != 1 or loop.step < 1:
            raise self.fail("a loop needs a scalar variable and a positive step")
        low, high = constant_bounds(loop)
        last = loop.end - 1
        if not proves_within(loop.begin - low, high - low + 2, Mask()):
            raise self.fail(f"the loop begins outside {low}..{high}")
        if not proves_within(last - low + 1, high - low + 2, Mask()):
            raise self.fail(f"the loop ends outside {low}..{high}")

    def store(self, store: Store, variables: frozenset[Var], scope: Scope, mask: Mask) -> None:
        self.value(store.value, variables, scope, mask)
        lanes = store.value.lanes
        self.access(store.memory, store.index, store.mask & mask, variables, lanes)
        self.mask(store.mask, variables, lanes)
        if not store.memory.written:
            raise self.fail(f"{store.memory.name} is stored to but not marked as written")
        if store.value.dtype is not store.memory.dtype:
            raise self.fail(f"a {store.value.dtype.name} is stored as {store.memory.dtype.name}")
        found = self.lanes(store.index)
        if lanes != found and (lanes == 1 or found != 1):
            raise self.fail(f"{lanes} lanes are stored to {found} places")
        if lanes > 1 and found == 1:
            raise self.fail("all lanes are stored to one place")

    def value(self, root: Value, variables: frozenset[Var], scope: Scope, mask: Mask) -> None:
        stack, seen = [root], set()
        while stack:
            value = stack.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            stack.extend(children(value))
            self.one(value, variables, scope, mask)

    def one(self, value: Value, variables: frozenset[Var], scope: Scope, mask: Mask) -> None:
        match value:
            case Ref():
                if value.name not in scope:
                    raise self.fail(f"{value.name} is used before it is defined")
                if scope[value.name] != (value.dtype, value.lanes):
                    raise self.fail(f"{value.name} is {scope[value.name]}, not {value}")
            case Load():
                self.access(value.memory, value.index, value.mask & mask, variables, value.lanes)
                self.mask(value.mask, variables, value.lanes)
            case Predicate():
                self.mask(value.mask, variables, value.lanes)
            case Alu():
                self.alu(value)
            case MulAdd():
                for part in children(value):
                    self.expect(part, value.dtype, value.lanes)
            case MulAddPairs():
                self.expect(value.a, bfloat16, 2 * value.lanes)
                self.expect(value.b, bfloat16, 2 * value.lanes)
                self.expect(value.c, value.dtype, value.lanes)
            case Random():
                for part in (value.low, value.high):
                    self.expect(part, value.dtype, value.lanes)
                for part in (value.seed, value.call):
                    self.expect(part, uint64, 1)
            case Broadcast():
                if value.value.lanes != 1 or value.lanes < 2:
                    raise self.fail("a broadcast is from one lane to several")
            case Shuffle():
                self.expect(value.second, value.dtype, value.first.lanes)
                if any(lane not in range(2 * value.first.lanes) for lane in value.order):
                    raise self.fail("a shuffle takes a lane that its vectors do not have")
            case Fold():
                if value.lanes != 1:
                    raise self.fail("a fold gives one lane")
            case Literal() | _:
                pass

    def alu(self, value: Alu) -> None:
        for arg in value.args:
            if arg.lanes != value.lanes:
                raise self.fail(f"{value.op.name} of {value.lanes} lanes has one of {arg.lanes}")
        args = value.args[1:] if value.op is Op.WHERE else value.args
        if value.op is Op.WHERE and value.args[0].dtype is not bool_:
            raise self.fail("the condition of WHERE is not bool")
        if any(arg.dtype is not args[0].dtype for arg in args):
            names = ", ".join(arg.dtype.name for arg in args)
            raise self.fail(f"{value.op.name} of different dtypes ({names})")
        if value.op in COMPARISONS and value.dtype is not bool_:
            raise self.fail(f"{value.op.name} does not give bool")

    def expect(self, value: Value, dtype: DType, lanes: int) -> None:
        if value.dtype is not dtype or value.lanes != lanes:
            raise self.fail(
                f"{show.value(value)} is {value.dtype.name} in {value.lanes} lanes, "
                f"not {dtype.name} in {lanes}"
            )

    def access(
        self, memory: Memory, index: Index, mask: Mask, variables: frozenset[Var], lanes: int
    ) -> None:
        if memory not in self.memories:
            raise self.fail(f"{memory.name} is not a memory of the function")
        self.index(index, variables)
        if lanes == 1 and self.lanes(index) != 1:
            raise self.fail(f"{memory.name}[{index}] has lanes")
        if proves_within(index, memory.size, mask):
            return
        if find_outside(index, memory.size, mask) is not None:
            raise self.fail(f"{memory.name}[{index}] may lie outside its {memory.size} elements")

    def index(self, index: Index, variables: frozenset[Var]) -> None:
        for atom in index.atoms():
            if isinstance(atom, Param):
                if atom.slot >= len(self.function.scalars):
                    raise self.fail(f"there is no scalar argument {atom.slot}")
            elif atom.lanes == 1 and atom not in variables:
                raise self.fail(f"index variable {atom} ({atom.bounds}) is not defined here")

    def lanes(self, index: Index) -> int:
        """In how many lanes an index differs."""
        return max((self.wide.get(a, a.lanes) for a in index.variables()), default=1)

    def mask(self, mask: Mask, variables: frozenset[Var], lanes: int) -> None:
        for constraint in mask.constraints:
            self.index(constraint, variables)
            found = self.lanes(constraint)
            if found not in (1, lanes):
                raise self.fail(f"a mask of {found} lanes stands on {lanes}")


def constant_bounds(loop: For) -> tuple[int, int]:
    """The bounds of a loop's variable."""
    return loop.var.low, loop.var.high
