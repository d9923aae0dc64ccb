"""Render the loop IR as CUDA C.

In: a `loops.Function` of one-lane values, mapped to a grid (`passes/map_to_grid.py`). Out: source
text with one `__global__` function a phase, `<name>_<n>`, whose parameters are the arguments'
pointers in order, then the run-time scalars, then `status`, `workspace` and `scratch`. The text
needs no header and compiles with NVRTC or nvcc (`--fmad=false`).

>>> from picograd.codegen.loops import Function, Phase
>>> from picograd.graph.index import constant
>>> print(kernel_head(Function("nothing", (), (), ()), 0))
extern "C" __global__ void nothing_0(int* status, char* workspace, char* scratch)
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from picograd.codegen import lower
from picograd.codegen.contraction.grid import lower_to_grid
from picograd.codegen.contraction.tensor_cores import lower_to_tensor_cores
from picograd.codegen.cuda import ops as cuda_ops
from picograd.codegen.cuda.index import condition, identifier, index, integer_type
from picograd.codegen.cuda.ops import (
    FORMS,
    NARROW,
    PRELUDE,
    loaded,
    memory_type,
    register_type,
    stored,
)
from picograd.codegen.loops import (
    Alu,
    Argument,
    Barrier,
    Carried,
    Fail,
    For,
    Function,
    Home,
    If,
    IndexValue,
    Kind,
    Let,
    Literal,
    Load,
    Memory,
    Mma,
    MulAdd,
    Phase,
    Predicate,
    Random,
    Ref,
    Statement,
    Store,
    Value,
    children,
)
from picograd.codegen.passes.map_to_grid import map_to_grid
from picograd.codegen.passes.split_complex import split_complex
from picograd.codegen.pipeline import Observer
from picograd.codegen.show import show
from picograd.dtypes import DType, float64
from picograd.errors import InternalError
from picograd.graph.ops import Op
from picograd.schedule.kernel import Kernel, Pattern

TENSOR_CORES = 80  # the compute capability, times ten, whose products of 16-bit floats are used


def cuda_source(kernel: Kernel, architecture: int = TENSOR_CORES) -> str:
    """A kernel of the schedule as a complete CUDA C file."""
    return PRELUDE + "\n" + cuda_kernel(kernel, architecture)


def cuda_kernel(kernel: Kernel, architecture: int = TENSOR_CORES) -> str:
    """A kernel of the schedule as CUDA C that follows the prelude."""
    return render_cuda(grid_function(kernel, architecture))


def grid_function(
    kernel: Kernel, architecture: int = TENSOR_CORES, observer: Observer | None = None
) -> Function:
    """A kernel as loops over blocks and threads, for GPUs of a compute capability (80: 8.0) and
    above; its name ends in a hash of its text. `observer` is told of what each pass makes."""
    function = None
    if kernel.pattern is Pattern.CONTRACTION and architecture >= TENSOR_CORES:
        function = lower_to_tensor_cores(kernel)
    if kernel.pattern is Pattern.CONTRACTION and function is None:
        function = lower_to_grid(kernel)
    passes = [] if function is not None else [split_complex, map_to_grid]
    function = function or lower.lower(kernel)
    if observer is not None:
        observer("lower", function)
    for transform in passes:
        function = transform(function)
        if observer is not None:
            observer(transform.__name__, function)
    digest = hashlib.sha256(show(function).encode()).hexdigest()
    return replace(function, name=f"{kernel.name}_{digest[:12]}")


def render_cuda(function: Function) -> str:
    """One `__global__` function a phase, without the prelude."""
    phases = [_Phase(function, number).text() for number in range(len(function.phases))]
    return "\n".join(phases)


def grid_of(phase: Phase) -> tuple[int, int]:
    """The blocks, and the threads of each, that a mapped phase is launched with."""
    sizes = {Kind.BLOCK: 1, Kind.THREAD: 1}
    body = phase.body
    while len(body) == 1 and isinstance(body[0], For) and body[0].kind in sizes:
        sizes[body[0].kind] = body[0].end.constant
        body = body[0].body
    return sizes[Kind.BLOCK], sizes[Kind.THREAD]


def kernel_head(function: Function, number: int) -> str:
    """The signature of phase `number`."""
    parameters = []
    for memory in function.memories:
        if memory.home is Home.ARGUMENT:
            kind = "" if memory.written else "const "
            parameters.append(f"{kind}{memory_type(memory.dtype)}* __restrict__ {memory.name}")
    parameters += [f"{memory_type(dtype)} p{slot}" for slot, dtype in enumerate(function.scalars)]
    parameters += ["int* status", "char* workspace", "char* scratch"]
    return f'extern "C" __global__ void {function.name}_{number}({", ".join(parameters)})'


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
    if value != value:
        return "PG_NAN"
    if value in (float("inf"), float("-inf")):
        return "PG_INFINITY" if value > 0 else "(-PG_INFINITY)"
    text = f"{value!r}{suffix}"
    return f"({text})" if text.startswith("-") else text


class _Phase:
    """Writes one phase.

    `scopes` maps, block by block, the values that are in a variable to its name. A value that
    depends on memory which the kernel writes is `volatile`: it is known within one statement only.
    """

    def __init__(self, function: Function, number: int) -> None:
        self.function = function
        self.number = number
        self.lines: list[str] = []
        self.depth = 1
        self.scopes: list[dict[Value, str]] = [{}]
        self.volatile: set[Value] = set()
        self.count = 0

    def text(self) -> str:
        phase: Phase = self.function.phases[self.number]
        if phase.var is not None:
            raise InternalError(
                f"{self.function.name}: phase {self.number} is not mapped to a grid"
            )
        for memory in self.function.memories:
            self._declare(memory)
        self._body(phase.body)
        head = kernel_head(self.function, self.number)
        return "\n".join([head + " {", *self.lines, "}", ""])

    def _declare(self, memory: Memory) -> None:
        kind = memory_type(memory.dtype)
        if memory.home is Home.WORKSPACE:
            self._line(f"{kind}* {memory.name} = ({kind}*)(workspace + {memory.offset}LL);")
        elif memory.home is Home.SCRATCH:
            thread = "((long long)blockIdx.x * blockDim.x + threadIdx.x)"
            start = f"{thread} * {self.function.scratch}LL + {memory.offset}LL"
            self._line(f"{kind}* {memory.name} = ({kind}*)(scratch + {start});")
        elif memory.home is Home.SHARED:
            # Aligned, so that the compiler may join neighbouring elements.
            self._line(f"__shared__ __align__(16) {kind} {memory.name}[{memory.size}];")

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def _fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    # --- statements ----------------------------------------------------------------------------

    def _body(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            match statement:
                case For():
                    self._for(statement)
                case Let():
                    self._let(statement)
                case Store():
                    self._store(statement)
                case If():
                    self._block(f"if ({condition(statement.mask)}) {{", statement.body)
                case Fail():
                    self._line(f"if ({self._value(statement.condition)}) *status = 1;")
                case Barrier():
                    self._line("__syncthreads();")
                case Mma():
                    self._multiply(statement)
            self._forget()

    def _forget(self) -> None:
        for scope in self.scopes:
            for value in self.volatile & scope.keys():
                del scope[value]
        self.volatile.clear()

    def _block(self, head: str, body: tuple[Statement, ...]) -> None:
        self._line(head)
        self.depth += 1
        self.scopes.append({})
        self._body(body)
        self.scopes.pop()
        self.depth -= 1
        self._line("}")

    def _for(self, loop: For) -> None:
        name = identifier(loop.var.name)
        if loop.kind in (Kind.BLOCK, Kind.THREAD):
            place = "blockIdx.x" if loop.kind is Kind.BLOCK else "threadIdx.x"
            self._block(f"{{ const int {name} = {place};", loop.body)
            return
        for carried in loop.carried:
            start = self._value(carried.init)
            self._line(f"{register_type(carried.dtype)} {identifier(carried.name)} = {start};")
        head = (
            f"for ({integer_type(loop.var)} {name} = {index(loop.begin)}; "
            f"{name} < {index(loop.end)}; {name} += {loop.step}) {{"
        )
        if loop.kind is Kind.UNROLL:
            self._line("#pragma unroll")
        self._line(head)
        self.depth += 1
        self.scopes.append({})
        self._body(loop.body)
        self._advance(loop.carried)
        self.scopes.pop()
        self.depth -= 1
        self._line("}")

    def _advance(self, carried: tuple[Carried, ...]) -> None:
        """All next values are computed before the first is assigned."""
        if not carried:
            return
        following = [self._value(each.next) for each in carried]
        if len(carried) > 1:
            for position, each in enumerate(carried):
                name = self._fresh()
                kind = register_type(each.dtype)
                self._line(f"const {kind} {name} = {following[position]};")
                following[position] = name
        for each, value in zip(carried, following, strict=True):
            self._line(f"{identifier(each.name)} = {value};")

    def _let(self, let: Let) -> None:
        name = identifier(let.name)
        if let.var is None:
            value = self._value(let.value)
            self._line(f"const {register_type(let.value.dtype)} {name} = {value};")
            return
        kind = integer_type(let.var)
        if isinstance(let.value, IndexValue):
            value = index(let.value.index)  # in as few bits as its parts need
        else:
            value = self._value(let.value)
        self._line(f"const {kind} {name} = {value};")
        if let.var.name != let.name:
            self._line(f"const {kind} {identifier(let.var.name)} = {name};")

    def _store(self, store: Store) -> None:
        guard = "" if store.mask.always else f"if ({condition(store.mask)}) "
        value = stored(store.memory.dtype, self._value(store.value))
        self._line(f"{guard}{store.memory.name}[{index(store.index)}] = {value};")

    def _multiply(self, product: Mma) -> None:
        names = [identifier(name) for name in product.results]
        for name, value in zip(names, product.sums, strict=True):
            self._line(f"float {name} = {self._value(value)};")
        pairs = [self._value(value) for value in (*product.left, *product.right)]
        self._line(f"pg_mma_{NARROW[product.dtype]}({', '.join([*names, *pairs])});")

    # --- values --------------------------------------------------------------------------------

    def _value(self, root: Value) -> str:
        """The C expression of a value; every operation gets a variable of its own, once a scope."""
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

    def _known(self, value: Value) -> str | None:
        if isinstance(value, Literal):
            return literal(value.value, value.dtype)
        if isinstance(value, Ref):
            return identifier(value.name)
        for scope in reversed(self.scopes):
            name = scope.get(value)
            if name is not None:
                return name
        return None

    def _define(self, value: Value) -> None:
        if value.lanes != 1:
            raise InternalError(f"{self.function.name}: CUDA C takes one-lane values, not {value}")
        name = self._fresh()
        self._line(f"const {register_type(value.dtype)} {name} = {self._expression(value)};")
        self.scopes[-1][value] = name
        reads = isinstance(value, Load) and value.memory.written
        if reads or any(child in self.volatile for child in children(value)):
            self.volatile.add(value)

    def _expression(self, value: Value) -> str:
        names = [self._known(child) or "" for child in children(value)]
        match value:
            case Argument():
                return loaded(value.dtype, f"p{value.slot}")
            case Load():
                element = loaded(value.dtype, f"{value.memory.name}[{index(value.index)}]")
                if value.mask.always:
                    return element
                zero = literal(0, value.dtype)
                return f"({condition(value.mask)}) ? {element} : {zero}"
            case IndexValue():
                return cuda_ops.rounded(
                    value.dtype, f"({register_type(value.dtype)}){index(value.index)}"
                )
            case Predicate():
                return condition(value.mask)
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
                return f"{names[0]} * {names[1]} + {names[2]}"
            case Random():
                return f"pg_philox({value.word}, {', '.join(names)})"
            case _:
                raise InternalError(f"CUDA C has no form for {type(value).__name__}")
