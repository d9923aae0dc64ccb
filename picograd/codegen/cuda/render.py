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
from picograd.codegen.contraction.skinny import lower_skinny
from picograd.codegen.contraction.tensor_cores import lower_to_tensor_cores
from picograd.codegen.contraction.thread_tiles import lower_to_grid
from picograd.codegen.contraction.warp_groups import lower_to_warp_groups
from picograd.codegen.cuda.index import condition, identifier, index, integer_type
from picograd.codegen.cuda.ops import (
    PRELUDE,
    memory_type,
    register_type,
)
from picograd.codegen.cuda.values import Values
from picograd.codegen.dependence import memories_read, memories_written
from picograd.codegen.loops import (
    Barrier,
    Call,
    Carried,
    Fail,
    For,
    Function,
    Home,
    If,
    IndexValue,
    Kind,
    Let,
    Memory,
    Phase,
    Ref,
    Statement,
    Store,
    statements,
)
from picograd.codegen.panels.grid import lower_panels_to_grid
from picograd.codegen.passes.map_to_grid import map_to_grid
from picograd.codegen.passes.split_complex import split_complex
from picograd.codegen.pipeline import Observer
from picograd.codegen.show import show
from picograd.codegen.target import WARP_GROUPS
from picograd.codegen.verify import verify
from picograd.errors import InternalError
from picograd.graph.ops import Combiner
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
    if kernel.pattern is Pattern.CONTRACTION and architecture == WARP_GROUPS:
        function = lower_to_warp_groups(kernel)
    if kernel.pattern is Pattern.CONTRACTION and function is None and architecture >= TENSOR_CORES:
        function = lower_to_tensor_cores(kernel)
    if kernel.pattern is Pattern.CONTRACTION and function is None:
        function = lower_to_grid(kernel)
    # A product with one line is a sum like others to the schedule.
    if function is None and kernel.stages[0].combiner is Combiner.SUM:
        function = lower_skinny(kernel)
    if kernel.pattern is Pattern.PANELS:
        function = lower_panels_to_grid(kernel, architecture >= TENSOR_CORES)
    passes = [] if function is not None else [split_complex, map_to_grid]
    function = function or lower.lower(kernel)
    if observer is not None:
        observer("lower", function)
    for transform in passes:
        function = transform(function)
        if observer is not None:
            observer(transform.__name__, function)
    if passes:
        verify(function)
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


def shared_of(function: Function, phase: Phase) -> int:
    """The bytes of dynamic shared memory that a phase is launched with."""
    meets = any(isinstance(statement, Barrier) for statement in statements(phase.body))
    return function.shared if meets else 0


def kernel_head(function: Function, number: int) -> str:
    """The signature of phase `number`."""
    parameters = []
    for memory in function.memories:
        if memory.home is Home.ARGUMENT:
            kind = "" if memory.written else "const "
            parameters.append(f"{kind}{memory_type(memory.dtype)}* __restrict__ {memory.name}")
    parameters += [f"{memory_type(dtype)} p{slot}" for slot, dtype in enumerate(function.scalars)]
    parameters += ["int* status", "char* workspace", "char* scratch"]
    parameters += [f"const pg_map map{number}" for number in range(len(function.maps))]
    return f'extern "C" __global__ void {function.name}_{number}({", ".join(parameters)})'


class _Phase(Values):
    """Writes the statements of one phase."""

    def __init__(self, function: Function, number: int) -> None:
        super().__init__(function.name)
        self.function, self.number = function, number

    def text(self) -> str:
        phase: Phase = self.function.phases[self.number]
        if phase.var is not None:
            raise InternalError(
                f"{self.function.name}: phase {self.number} is not mapped to a grid"
            )
        if self.function.shared:
            self.line("extern __shared__ uint4 pg_shared[];")
        used = memories_read(phase.body) | memories_written(phase.body)
        names = [memory.name for memory in self.function.memories]
        for memory in dict.fromkeys(self.function.memories):
            if memory in used or names.count(memory.name) == 1:  # phases may use the same names
                self._declare(memory)
        self._body(phase.body)
        head = kernel_head(self.function, self.number)
        _, threads = grid_of(phase)
        resident = f", {self.function.resident}" if self.function.resident else ""
        head = head.replace("void ", f"void __launch_bounds__({threads}{resident}) ", 1)
        return "\n".join([head + " {", *self.lines, "}", ""])

    def _declare(self, memory: Memory) -> None:
        kind = memory_type(memory.dtype)
        if memory.home is Home.WORKSPACE:
            self.line(f"{kind}* {memory.name} = ({kind}*)(workspace + {memory.offset}LL);")
        elif memory.home is Home.SCRATCH:
            thread = "((long long)blockIdx.x * blockDim.x + threadIdx.x)"
            start = f"{thread} * {self.function.scratch}LL + {memory.offset}LL"
            self.line(f"{kind}* {memory.name} = ({kind}*)(scratch + {start});")
        elif memory.home is Home.SHARED and self.function.shared:
            # A swizzle repeats after 1 KiB.
            start = "pg_aligned(pg_shared)" if self.function.maps else "(char*)pg_shared"
            self.line(f"{kind}* {memory.name} = ({kind}*)({start} + {memory.offset});")
        elif memory.home is Home.SHARED:
            # Aligned, so that the compiler may join neighbouring elements.
            self.line(f"__shared__ __align__(16) {kind} {memory.name}[{memory.size}];")
        elif memory.home is Home.REGISTER:
            self.line(f"{register_type(memory.dtype)} {memory.name}[{memory.size}];")

    # --- statements ----------------------------------------------------------------------------

    def _body(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            match statement:
                case For():
                    self._for(statement)
                case Let():
                    self._let(statement)
                case Store():
                    self.store(statement)
                case If():
                    self._block(f"if ({condition(statement.mask)}) {{", statement.body)
                case Fail():
                    failing = " || ".join(dict.fromkeys(self.parts(statement.condition)))
                    self.line(f"if ({failing}) *status = 1;")
                case Barrier():
                    self.line("__syncthreads();")
                case Call():
                    self._call(statement)
            self.forget()

    def _block(self, head: str, body: tuple[Statement, ...]) -> None:
        self.line(head)
        self.depth += 1
        self.scopes.append({})
        self._body(body)
        self.scopes.pop()
        self.depth -= 1
        self.line("}")

    def _for(self, loop: For) -> None:
        name = identifier(loop.var.name)
        if loop.kind in (Kind.BLOCK, Kind.THREAD):
            place = "blockIdx.x" if loop.kind is Kind.BLOCK else "threadIdx.x"
            self._block(f"{{ const int {name} = {place};", loop.body)
            return
        for carried in loop.carried:
            starts = self.parts(carried.init)
            for each, start in zip(_names(carried), starts, strict=True):
                self.line(f"{register_type(carried.dtype)} {each} = {start};")
        head = (
            f"for ({integer_type(loop.var)} {name} = {index(loop.begin)}; "
            f"{name} < {index(loop.end)}; {name} += {loop.step}) {{"
        )
        if loop.kind is Kind.UNROLL:
            self.line("#pragma unroll")
        self.line(head)
        self.depth += 1
        self.scopes.append({})
        self._body(loop.body)
        self._advance(loop.carried)
        self.scopes.pop()
        self.depth -= 1
        self.line("}")

    def _advance(self, carried: tuple[Carried, ...]) -> None:
        """All next values are computed before the first is assigned."""
        if not carried:
            return
        following = [value for each in carried for value in self.parts(each.next)]
        kinds = [register_type(each.dtype) for each in carried for _ in range(each.lanes)]
        if len(carried) > 1:
            for position, kind in enumerate(kinds):
                name = self.fresh()
                self.line(f"const {kind} {name} = {following[position]};")
                following[position] = name
        names = [name for each in carried for name in _names(each)]
        for name, value in zip(names, following, strict=True):
            self.line(f"{name} = {value};")

    def _let(self, let: Let) -> None:
        name = identifier(let.name)
        if let.var is None:
            values = self.parts(let.value)
            for each, value in zip(
                _names(Ref(let.name, let.value.dtype, len(values))), values, strict=True
            ):
                self.line(f"const {register_type(let.value.dtype)} {each} = {value};")
            return
        kind = integer_type(let.var)
        if isinstance(let.value, IndexValue):
            value = index(let.value.index)  # in as few bits as its parts need
        else:
            value = self.value(let.value)
        self.line(f"const {kind} {name} = {value};")
        if let.var.name != let.name:
            self.line(f"const {kind} {identifier(let.var.name)} = {name};")

    def _call(self, call: Call) -> None:
        names = [self.value(argument) for argument in call.arguments]
        self.line(f"{call.helper}({', '.join(names)});")


def _names(value: Carried | Ref) -> list[str]:
    """The variables of a value's lanes."""
    name = identifier(value.name)
    return [name] if value.lanes == 1 else [f"{name}_{lane}" for lane in range(value.lanes)]
