"""Contraction kernels made from an einsum equation, their meaning in NumPy, and ways to run them.

Each operand lies in memory in the order of its letters, so that transposes are equations too.
Values are small integers: every order of summation is exact, and results are compared bit for bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from picograd.codegen.loops import Function
from picograd.codegen.target import Target
from picograd.dtypes import DType, bfloat16, bool_, float16, float32, int32, int64, uint32, uint64
from picograd.graph.index import Index, Param, Var, linearize, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import (
    Access,
    Compute,
    Expr,
    FromIndex,
    Guard,
    Kernel,
    Literal,
    Memory,
    Pattern,
    Philox,
    Scalar,
    Space,
    Stage,
    StageKind,
)

MAP, REDUCE = StageKind.MAP, StageKind.REDUCE


@dataclass(frozen=True)
class Case:
    """A kernel, the arrays it starts from, and what they must be afterwards."""

    kernel: Kernel
    arrays: list[np.ndarray]
    expected: list[np.ndarray]


class Maker:
    """Builds a case step by step: operands, sum, stages."""

    def __init__(
        self, equation: str, extents: dict[str, int], dtype: DType = float32, seed: int = 0
    ) -> None:
        inputs, self.output = equation.split("->")
        self.left, self.right = inputs.split(",")
        self.equation, self.extents, self.dtype = equation, extents, dtype
        self.rng = np.random.default_rng(seed)
        summed = sorted((set(self.left) | set(self.right)) - set(self.output))
        self.domain = tuple(self.var(letter) for letter in self.output)
        self.reduce = tuple(self.var(letter) for letter in summed)
        self.memories: list[Memory] = []
        self.stages: list[Stage] = []
        self.arrays: list[np.ndarray] = []
        self.results: dict[int, np.ndarray] = {}

    def var(self, letter: str) -> Var:
        return Var(letter, 0, self.extents[letter] - 1)

    def at(self, letters: str) -> Index:
        shape = [self.extents[letter] for letter in letters]
        return linearize([of(self.var(letter)) for letter in letters], shape)

    def shape(self, letters: str) -> tuple[int, ...]:
        return tuple(self.extents[letter] for letter in letters)

    def argument(self, dtype: DType, array: np.ndarray) -> str:
        name = f"a{len(self.arrays)}"
        self.memories.append(Memory(name, dtype, array.size, Space.ARGUMENT))
        self.arrays.append(array.astype(dtype.numpy).ravel())
        return name

    def input(self, letters: str, dtype: DType | None = None) -> tuple[Access, np.ndarray]:
        """A new argument of small integers, and its values."""
        dtype = dtype or self.dtype
        array = self.rng.integers(-4 if dtype.is_signed else 0, 5, self.shape(letters))
        name = self.argument(dtype, array)
        return Access(name, self.at(letters), dtype), array.astype(np.float64)

    def result(self, letters: str, dtype: DType) -> str:
        return self.argument(dtype, np.full(self.shape(letters), 7))

    def sum(self, left: Expr, right: Expr, target: str, store: Index) -> None:
        accumulator = float32 if self.dtype in (float16, bfloat16) else self.dtype
        product = Compute(Op.MUL, (left, right), self.dtype)
        axes = self.reduce
        self.stages.append(
            Stage(REDUCE, target, store, product, (), axes, Combiner.SUM, accumulator)
        )

    def map(self, target: str, store: Index, value: Expr) -> None:
        self.stages.append(Stage(MAP, target, store, value))

    def case(self, expected: dict[str, np.ndarray]) -> Case:
        kernel = Kernel(
            "product", Pattern.CONTRACTION, self.domain, tuple(self.stages), tuple(self.memories)
        )
        wanted = [array.copy() for array in self.arrays]
        for name, values in expected.items():
            number = int(name[1:])
            wanted[number] = values.astype(wanted[number].dtype).ravel()
        return Case(kernel, self.arrays, wanted)


def product(equation: str, extents: dict[str, int], dtype: DType = float32) -> Case:
    """One sum stored as it is."""
    make = Maker(equation, extents, dtype)
    left, x = make.input(make.left)
    right, y = make.input(make.right)
    target = make.result(make.output, dtype)
    make.sum(left, right, target, make.at(make.output))
    return make.case({target: np.einsum(equation, x, y)})


def relu(value: Expr) -> Expr:
    return Compute(Op.MAXIMUM, (value, Literal.of(0.0, value.dtype)), value.dtype)


def linear(extents: dict[str, int], equation: str = "mk,nk->mn", dtype: DType = float32) -> Case:
    """relu(x @ w.T + bias), the sum kept in a local."""
    make = Maker(equation, extents, dtype)
    left, x = make.input(make.left)
    right, y = make.input(make.right)
    bias, z = make.input(make.output[-1])
    target = make.result(make.output, dtype)
    make.memories.append(Memory("t0", dtype, 1, Space.LOCAL))
    make.sum(left, right, "t0", Index())
    total = Compute(Op.ADD, (Access("t0", Index(), dtype), bias), dtype)
    make.map(target, make.at(make.output), relu(total))
    return make.case({target: np.maximum(np.einsum(equation, x, y) + z, 0)})


def several(extents: dict[str, int], equation: str = "mk,kn->mn") -> Case:
    """The sum itself, the sum plus a residual in place, and a narrower copy of that."""
    make = Maker(equation, extents)
    left, x = make.input(make.left)
    right, y = make.input(make.right)
    plain = make.result(make.output, float32)
    residual, z = make.input(make.output)
    narrow = make.result(make.output, float16)
    place = make.at(make.output)
    make.sum(left, right, plain, place)
    added = Compute(Op.ADD, (Access(plain, place, float32), residual), float32)
    make.map(residual.buffer, place, added)
    make.map(narrow, place, Compute(Op.CAST, (residual,), float16))
    total = np.einsum(equation, x, y)
    return make.case({plain: total, residual.buffer: total + z, narrow: total + z})


def rounded(extents: dict[str, int], equation: str = "mk,kn->mn") -> Case:
    """The sum as float16 and, at the same positions of another result, half of it."""
    make = Maker(equation, extents)
    left, x = make.input(make.left, float16)
    right, y = make.input(make.right, float16)
    narrow, wide = make.result(make.output, float16), make.result(make.output, float32)
    place = make.at(make.output)
    make.dtype = float16
    make.sum(left, right, narrow, place)
    value = Compute(Op.CAST, (Access(narrow, place, float16),), float32)
    half = Compute(Op.MUL, (value, Literal.of(0.5, float32)), float32)
    make.map(wide, place, half)
    total = np.einsum(equation, x, y)
    return make.case({narrow: total, wide: total / 2})


def copied(extents: dict[str, int], equation: str = "mk,kn->mn") -> Case:
    """The sum in a local that is stored as it is, and its double."""
    make = Maker(equation, extents)
    left, x = make.input(make.left)
    right, y = make.input(make.right)
    plain, double = make.result(make.output, float32), make.result(make.output, float32)
    make.memories.append(Memory("t0", float32, 1, Space.LOCAL))
    place, local = make.at(make.output), Access("t0", Index(), float32)
    make.sum(left, right, "t0", Index())
    make.map(plain, place, local)
    make.map(double, place, Compute(Op.ADD, (local, Access(plain, place, float32)), float32))
    total = np.einsum(equation, x, y)
    return make.case({plain: total, double: 2 * total})


def everything(extents: dict[str, int]) -> Kernel:
    """Run-time numbers and slice starts, random words, padding and masks, in factors and epilogue.

    Arguments: x, y, noise target, masked target (kept outside its mask). Scalars: slice start of
    x's rows, seed, call, a factor.
    """
    make = Maker("mk,kn->mn", extents)
    start = of(Param(0, 0, 30))
    m, n, k = (make.var(letter) for letter in "mnk")
    rows, columns, depth = (extents[letter] for letter in "mnk")
    x = make.argument(float32, np.zeros((rows + 30) * depth))
    y = make.argument(float32, np.zeros(depth * columns))
    noise = make.result("mn", float32)
    masked = make.result("mn", int32)
    place = make.at("mn")
    left = Access(x, (of(m) + start) * depth + of(k), float32)
    inside = Mask.inside(of(n), 1, columns - 1)
    shifted = Access(y, of(k) * columns + of(n) + 1, float32, inside)
    right = Guard(inside, shifted, Literal.of(2.0, float32), float32)
    make.memories.append(Memory("t0", float32, 1, Space.LOCAL))
    make.sum(left, right, "t0", Index())
    total = Access("t0", Index(), float32)
    scaled = Compute(Op.MUL, (total, Scalar(3, float32)), float32)
    word = Philox(1, place, 1, 2, uint32)
    kept = Compute(Op.LT, (word, Literal.of(1 << 31, uint32)), bool_)
    zero = Literal.of(0.0, float32)
    make.map(noise, place, Compute(Op.WHERE, (kept, scaled, zero), float32))
    whole = Compute(Op.CAST, (total,), int32)
    numbered = Compute(Op.ADD, (whole, FromIndex(of(m) * 5 + of(n), int32)), int32)
    make.stages.append(Stage(MAP, masked, place, numbered, mask=Mask().require(of(n) - of(m))))
    kernel = make.case({}).kernel
    return replace(kernel, scalars=(int64, uint64, uint64, float32))


def converted(extents: dict[str, int], dtype: DType, equation: str = "mk,kn->mn") -> Case:
    """Factors computed while they are packed: relu(x) @ float32(y), y of another dtype."""
    make = Maker(equation, extents)
    left, x = make.input(make.left)
    right, y = make.input(make.right, dtype)
    target = make.result(make.output, float32)
    wide = Compute(Op.CAST, (right,), float32)
    make.sum(relu(left), wide, target, make.at(make.output))
    return make.case({target: np.einsum(equation, np.maximum(x, 0), y)})


def convolution(batch: int, inputs: int, outputs: int, size: int, window: int) -> Case:
    """A padded convolution: the left factor is a masked window of the image."""
    extents = {"b": batch, "c": inputs, "o": outputs, "h": size, "w": size, "i": window}
    extents |= {"j": window, "y": size, "x": size}
    make = Maker("bcyxhwij,ocij->bohw", extents)
    images = make.rng.integers(-4, 5, (batch, inputs, size, size))
    weights = make.rng.integers(-4, 5, (outputs, inputs, window, window))
    image, weight = make.argument(float32, images), make.argument(float32, weights)
    target = make.result("bohw", float32)
    half = window // 2
    row = of(make.var("h")) + of(make.var("i")) - half
    column = of(make.var("w")) + of(make.var("j")) - half
    mask = Mask.inside(row, 0, size) & Mask.inside(column, 0, size)
    plane = of(make.var("b")) * inputs + of(make.var("c"))
    access = Access(image, plane * (size * size) + row * size + column, float32, mask)
    left = Guard(mask, access, Literal.of(0.0, float32), float32)
    make.reduce = tuple(make.var(letter) for letter in "cij")
    make.sum(left, Access(weight, make.at("ocij"), float32), target, make.at("bohw"))
    padded = np.pad(images, ((0, 0), (0, 0), (half, half), (half, half)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window), (2, 3))
    return make.case({target: np.einsum("bchwij,ocij->bohw", windows, weights)})


def windows(
    equation: str, extents: dict[str, int], stride: int = 1, dilation: int = 1, bias: bool = False
) -> Case:
    """Windows of an image (b, c; places h, w; inside i, j) by another factor: `ocij->bohw` is a
    convolution, `bohw->ocij` its gradient. With bias (of the channels o) the result is relu'd
    and added to what is there."""
    other, output = equation.split("->")
    make = Maker(f"bchwij,{other}->{output}", extents)
    rows = (extents["h"] - 1) * stride + (extents["i"] - 1) * dilation + 1
    columns = (extents["w"] - 1) * stride + (extents["j"] - 1) * dilation + 1
    shape = (extents["b"], extents["c"], rows, columns)
    images = make.rng.integers(-4, 5, shape)
    image = make.argument(float32, images)
    b, c, h, w, i, j = (of(make.var(letter)) for letter in "bchwij")
    place = linearize((b, c, h * stride + i * dilation, w * stride + j * dilation), shape)
    factor, values = make.input(other)
    target = make.result(output, float32)
    reach = [(extents[letter] - 1) * dilation + 1 for letter in "ij"]
    seen = np.lib.stride_tricks.sliding_window_view(images, reach, (2, 3))
    seen = seen[:, :, ::stride, ::stride, ::dilation, ::dilation]
    result = np.einsum(make.equation, seen, values)
    window = Access(image, place, float32)
    if not bias:
        make.sum(window, factor, target, make.at(output))
        return make.case({target: result})
    added, numbers = make.input("o")
    make.memories.append(Memory("t0", float32, 1, Space.LOCAL))
    make.sum(window, factor, "t0", Index())
    total = Compute(Op.ADD, (Access("t0", Index(), float32), added), float32)
    before = Access(target, make.at(output), float32)
    make.map(target, make.at(output), Compute(Op.ADD, (relu(total), before), float32))
    along = [extents["o"] if letter == "o" else 1 for letter in output]
    return make.case({target: np.maximum(result + numbers.reshape(along), 0) + 7})


def size(case: Case) -> int:
    """Multiply-adds of a case."""
    stage = case.kernel.stages[0]
    return prod(axis.high + 1 for axis in (*case.kernel.domain, *stage.reduce))


# --- running them as machine code -----------------------------------------------------------------


def run(
    function: Function,
    target: Target,
    arrays: Sequence[np.ndarray],
    parts: int = 1,
    cpu: str | None = None,
) -> None:
    """Compile a function without scalars and run it, each phase in `parts` pieces, last first.

    `cpu` restricts the instructions to those of one of LLVM's CPUs."""
    from picograd.codegen.llvm.render import render
    from picograd.runtime.jit import compile_ir

    library = compile_ir(render(function, target), cpu)
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64, ctypes.c_int64)
    buffers = (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays])
    workspace, scratch = aligned(function.workspace), aligned(function.scratch)
    status = np.zeros(1, np.int32)
    context = (ctypes.c_void_p * 3)(status.ctypes.data, workspace.ctypes.data, scratch.ctypes.data)
    for number, phase in enumerate(function.phases):
        call = kind(library.addresses[f"{function.name}_{number}"])
        extent = phase.extent.evaluate({})
        for part in reversed(range(parts)):
            begin, end = extent * part // parts, extent * (part + 1) // parts
            if begin < end:
                call(ctypes.addressof(buffers), 0, ctypes.addressof(context), begin, end)
    del library


def aligned(size: int) -> np.ndarray:
    """Cache-line-aligned bytes that hold no zeros."""
    block = np.full(size + 128, 0xA5, np.uint8)
    return block[-block.ctypes.data % 64 :]
