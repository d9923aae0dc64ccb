"""The values of the loop IR as C variables.

In: values, in the order in which statements need them. Out: lines that define a variable for each
operation, once a scope, and the names. `cuda.render` writes the statements around them. A value of
several lanes is as many variables, `v1_0`, `v1_1`, ...; neighbours in memory that lie on a 16-byte
boundary are loaded and stored together.

>>> from picograd.dtypes import float32
>>> from picograd.graph.index import Var, constant, of
>>> lane, i = Var("lane", 0, 3, 4), Var("i", 0, 7)
>>> access = Load(Memory("x", float32, 32, Home.ARGUMENT), of(i) * 4 + of(lane), 4)
>>> values = Values("k")
>>> print(values.part(access, 3, values.value(access)))
v1_3
>>> values.lines[0].strip()
'const pg_vec<float, 4> v2 = *(const pg_vec<float, 4>*)(x + i * 4);'
"""

from __future__ import annotations

from picograd.codegen.cuda import ops as cuda_ops
from picograd.codegen.cuda.index import condition, identifier, index
from picograd.codegen.cuda.ops import FORMS, loaded, memory_type, register_type, stored
from picograd.codegen.expressions import COMBINE
from picograd.codegen.loops import (
    Address,
    Alu,
    Argument,
    Broadcast,
    Exchange,
    Fold,
    Home,
    IndexValue,
    Literal,
    Load,
    Memory,
    MulAdd,
    Predicate,
    Random,
    Ref,
    Store,
    Value,
    children,
)
from picograd.codegen.wide import aligned_start, elements_together, lane_variable
from picograd.dtypes import DType, float64
from picograd.errors import InternalError
from picograd.graph.index import Index, Param, Var, constant
from picograd.graph.mask import Mask
from picograd.graph.ops import Op


def literal(value: int | float | bool, dtype: DType) -> str:
    """A constant of a dtype."""
    if dtype.is_bool:
        return "true" if value else "false"
    if dtype.is_float:
        return _real(float(value), "" if dtype is float64 else "f")
    if dtype.itemsize == 8:
        least = dtype.kind == "int" and value == dtype.lowest
        return (
            "(-9223372036854775807LL - 1)"
            if least
            else (f"{int(value)}{'LL' if dtype.kind == 'int' else 'ULL'}")
        )
    return f"(({register_type(dtype)}){int(value)}{'u' if dtype.kind == 'uint' else 'LL'})"


def _real(value: float, suffix: str) -> str:
    kind = "" if suffix else "(double)"
    if value != value:
        return f"{kind}PG_NAN"
    if value in (float("inf"), float("-inf")):
        return f"{kind}PG_INFINITY" if value > 0 else f"({kind}-PG_INFINITY)"
    text = f"{value!r}{suffix}"
    return f"({text})" if text.startswith("-") else text


class Values:
    """The lines of a phase, and which values are in which variables.

    `scopes` maps, block by block, the values that are in a variable to its name. A value that
    depends on memory which the kernel writes is `volatile`: it is known within one statement only.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[str] = []
        self.depth = 1
        self.scopes: list[dict[Value, str]] = [{}]
        self.volatile: set[Value] = set()
        self.count = 0

    def line(self, text: str) -> None:
        """Add a line."""
        self.lines.append("    " * self.depth + text)

    def fresh(self) -> str:
        """The name of a new variable."""
        self.count += 1
        return f"v{self.count}"

    def value(self, root: Value) -> str:
        """The name of a value (a constant's text); what it is computed from is defined first."""
        stack = [root]
        while stack:
            value = stack[-1]
            waiting = [c for c in children(value) if self._known(c) is None]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if self._known(value) is None:
                self._define(value)
        name = self._known(root)
        assert name is not None
        return name

    def parts(self, value: Value) -> list[str]:
        """The names of a value's lanes."""
        name = self.value(value)
        return [self.part(value, lane, name) for lane in range(value.lanes)]

    def part(self, value: Value, lane: int, name: str) -> str:
        """The name of one lane of a value that is called `name`."""
        single = value.lanes == 1 or isinstance(value, Literal | Argument | Broadcast)
        return name if single else f"{name}_{lane}"

    def forget(self) -> None:
        """After a statement: what depends on memory that may have changed is not known any more."""
        for scope in self.scopes:
            for value in self.volatile & scope.keys():
                del scope[value]
        self.volatile.clear()

    def store(self, store: Store) -> None:
        """The lines of a store."""
        memory, lanes = store.memory, store.value.lanes
        names = self.parts(store.value)
        if memory.home is not Home.REGISTER:
            names = [stored(memory.dtype, name) for name in names]
        start = aligned_start(memory, store.index, store.mask, lanes)
        if start is None:
            for lane, name in enumerate(names):
                place, mask = _lane(store.index, lane), _lane_mask(store.mask, lane)
                self.line(f"{_guard(mask)}{memory.name}[{index(place)}] = {name};")
            return
        kind, step = _vector(memory, lanes)
        for lane in range(0, lanes, step):
            piece = ", ".join(names[lane : lane + step])
            place = f"({memory.name} + {index(start + lane)})"
            self.line(f"{_guard(store.mask)}*({kind}*){place} = {kind}{{{{{piece}}}}};")

    # --- definitions ----------------------------------------------------------------------------

    def _known(self, value: Value) -> str | None:
        if isinstance(value, Literal):
            return literal(value.value, value.dtype)
        if isinstance(value, Ref):
            return identifier(value.name)
        if isinstance(value, Broadcast):
            return self._known(value.value)
        for scope in reversed(self.scopes):
            name = scope.get(value)
            if name is not None:
                return name
        return None

    def _define(self, value: Value) -> None:
        name = self.fresh()
        kind = f"const {register_type(value.dtype)}"
        if isinstance(value, Address):
            kind = f"{'' if value.memory.written else 'const '}{memory_type(value.dtype)}* const"
        start = None
        if isinstance(value, Load) and value.lanes > 1:
            start = aligned_start(value.memory, value.index, value.mask, value.lanes)
        if start is not None:
            assert isinstance(value, Load)
            self._load_together(value, name, start)
        elif value.lanes == 1 or isinstance(value, Argument):  # one number for all lanes
            self.line(f"{kind} {name} = {self._expression(value, 0)};")
        else:
            for lane in range(value.lanes):
                self.line(f"{kind} {name}_{lane} = {self._expression(value, lane)};")
        self.scopes[-1][value] = name
        reads = isinstance(value, Load) and value.memory.written
        if reads or any(child in self.volatile for child in children(value)):
            self.volatile.add(value)

    def _load_together(self, load: Load, name: str, start: Index) -> None:
        """Lanes that lie side by side in memory, by 16 bytes."""
        kind, step = _vector(load.memory, load.lanes)
        for first in range(0, load.lanes, step):
            whole = self.fresh()
            place = f"*(const {kind}*)({load.memory.name} + {index(start + first)})"
            if not load.mask.always:
                place = f"({condition(load.mask)}) ? {place} : {kind}{{}}"
            self.line(f"const {kind} {whole} = {place};")
            for at in range(step):
                element = loaded(load.dtype, f"{whole}.at[{at}]")
                self.line(f"const {register_type(load.dtype)} {name}_{first + at} = {element};")

    def _expression(self, value: Value, lane: int) -> str:
        """The C expression of one lane."""
        names = [self.part(child, lane, self._known(child) or "") for child in children(value)]
        match value:
            case Address():
                return f"{value.memory.name} + {index(value.index)}"
            case Argument():
                return loaded(value.dtype, f"p{value.slot}")
            case Load():
                return _element(value, lane)
            case IndexValue():
                place = index(_lane(value.index, lane))
                return cuda_ops.rounded(value.dtype, f"({register_type(value.dtype)}){place}")
            case Predicate():
                return condition(_lane_mask(value.mask, lane))
            case Alu(op=Op.CAST):
                return cuda_ops.cast(names[0], value.args[0].dtype, value.dtype)
            case Alu(op=Op.BITCAST):
                return cuda_ops.bitcast(names[0], value.args[0].dtype, value.dtype)
            case Alu():
                operand = value.args[-1].dtype
                return cuda_ops.rounded(value.dtype, FORMS[value.op](operand, *names))
            case MulAdd():
                if value.dtype.is_float:
                    suffix = "" if value.dtype is float64 else "f"
                    return f"fma{suffix}({', '.join(names)})"
                product = cuda_ops.wrapping(value.dtype, "({} * {} + {})", *names)
                return cuda_ops.rounded(value.dtype, product)
            case Random():
                return f"pg_philox({value.word}, {', '.join(names)})"
            case Exchange():
                return f"__shfl_xor_sync(0xffffffffu, {names[0]}, {value.distance})"
            case Fold():
                return self._folded(value)
            case _:
                raise InternalError(f"{self.name}: CUDA C has no form for {type(value).__name__}")

    def _folded(self, fold: Fold) -> str:
        names = self.parts(fold.value)
        op = COMBINE[fold.combiner]
        while len(names) > 1:
            half = len(names) // 2
            pairs = zip(names[:half], names[half:], strict=True)
            names = [cuda_ops.rounded(fold.dtype, FORMS[op](fold.dtype, x, y)) for x, y in pairs]
        return names[0]


# --- lanes ----------------------------------------------------------------------------------------


def _lane(value: Index, lane: int) -> Index:
    """An index in one lane."""
    var = lane_variable(value)
    return value if var is None else value.substitute({var: constant(lane)})


def _lane_mask(mask: Mask, lane: int) -> Mask:
    """A mask in one lane."""
    values: dict[Var | Param, Index] = {
        a: constant(lane) for a in mask.atoms() if isinstance(a, Var) and a.lanes > 1
    }
    return mask.substitute(values) if values else mask


def _guard(mask: Mask) -> str:
    return "" if mask.always else f"if ({condition(mask)}) "


def _element(load: Load, lane: int) -> str:
    """One lane of a load, element by element."""
    memory, mask = load.memory, _lane_mask(load.mask, lane)
    element = f"{memory.name}[{index(_lane(load.index, lane))}]"
    if memory.home is not Home.REGISTER:
        element = loaded(load.dtype, element)
    if mask.always:
        return element
    return f"({condition(mask)}) ? {element} : {literal(0, load.dtype)}"


def _vector(memory: Memory, lanes: int) -> tuple[str, int]:
    """The type of one access, and its elements."""
    step = elements_together(memory, lanes)
    return f"pg_vec<{memory_type(memory.dtype)}, {step}>", step
