"""What a kernel means, point by point: the slow interpreter that compiled kernels agree with."""

from __future__ import annotations

from itertools import product

import numpy as np

from picograd.codegen.evaluate import compute
from picograd.codegen.expressions import COMBINE, identity
from picograd.dtypes import (
    DType,
)
from picograd.graph.index import Index, Param, Var
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import (
    Access,
    Compute,
    Expr,
    FromIndex,
    Guard,
    Kernel,
    Literal,
    Philox,
    Scalar,
    Space,
    Stage,
    StageKind,
)

MAP, REDUCE, SCAN = StageKind.MAP, StageKind.REDUCE, StageKind.SCAN
SUM, MAX, PROD = Combiner.SUM, Combiner.MAX, Combiner.PROD
ARGUMENT, LOCAL, SCRATCH = Space.ARGUMENT, Space.LOCAL, Space.SCRATCH


class Reference:
    """Runs a kernel from its definition: every stage over all points, in order."""

    def __init__(
        self, kernel: Kernel, arrays: list[np.ndarray], scalars: list[int | float]
    ) -> None:
        self.kernel, self.scalars, self.failed = kernel, scalars, False
        self.arrays = dict(zip((m.name for m in kernel.arguments), arrays, strict=True))
        self.dtypes = {m.name: m.dtype for m in kernel.memories}
        self.private: dict[tuple[object, ...], np.ndarray] = {}
        self.sums: dict[tuple[object, ...], np.ndarray] = {}

    def run(self) -> None:
        with np.errstate(all="ignore"):
            for stage in self.kernel.stages:
                self.stage(stage)

    def stage(self, stage: Stage) -> None:
        self.sums = {}
        domain = tuple(v for v in self.kernel.domain if v not in stage.reduce)
        loops = (*domain, *stage.inner, *stage.reduce)
        for point in product(*(range(v.low, v.high + 1) for v in loops)):
            self.values: dict[Var | Param, int] = dict(zip(loops, point, strict=True))
            self.values |= {atom: int(self.scalars[atom.slot]) for atom in self.params(stage)}
            for bind in stage.binds:
                self.values[bind.var] = int(self.value(bind.value))
            if stage.mask.evaluate(self.values):
                self.point(stage)
        for place, value in self.sums.items():
            if stage.kind is REDUCE:
                self.put(place, self.convert(value, stage.accumulator, stage.target))

    def params(self, stage: Stage) -> set[Param]:
        found: set[Param] = set()
        stack: list[Expr] = [stage.value]
        while stack:
            expression = stack.pop()
            if isinstance(expression, Compute):
                stack.extend(expression.args)
            if isinstance(expression, Access):
                found |= {a for a in expression.index.atoms() if isinstance(a, Param)}
        return found

    def point(self, stage: Stage) -> None:
        value = self.value(stage.value)
        if stage.kind is StageKind.CHECK:
            self.failed |= bool(value)
            return
        place = self.place(stage.target, stage.store)
        if stage.kind is MAP:
            self.put(place, value)
        elif stage.kind is StageKind.SCATTER:
            if stage.combiner is not None:
                value = self.merge(stage.combiner, stage.value.dtype, self.get(place), value)
            self.put(place, value)
        else:
            self.accumulate(stage, place, value)

    def accumulate(self, stage: Stage, place: tuple[object, ...], value: np.ndarray) -> None:
        assert stage.combiner is not None and stage.accumulator is not None
        kind = stage.accumulator
        key = place
        if stage.kind is SCAN:
            (axis,) = stage.reduce
            key = ("run", *(v for k, v in self.values.items() if k != axis))
        start = np.asarray(identity(stage.combiner, kind).value, kind.numpy)
        value = self.convert(value, stage.value.dtype, kind)
        new = self.merge(stage.combiner, kind, self.sums.get(key, start), value)
        self.sums[key] = new
        if stage.kind is SCAN:
            self.put(place, self.convert(new, kind, stage.target))

    def merge(self, combiner: Combiner, dtype: DType, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return compute(COMBINE[combiner], dtype, [x, y], [dtype, dtype])

    def convert(self, value: np.ndarray, source: DType | None, target: str | DType) -> np.ndarray:
        dtype = self.dtypes[target] if isinstance(target, str) else target
        return value if source is dtype else compute(Op.CAST, dtype, [value], [source or dtype])

    def place(self, name: str, index: Index) -> tuple[object, ...]:
        where = index.evaluate(self.values)
        if name in self.arrays:
            return (name, where)
        outer = tuple(self.values[v] for v in self.kernel.domain if v in self.values)
        if any(
            stage.target == name and set(stage.reduce) & set(self.kernel.domain)
            for stage in self.kernel.stages
        ):
            outer = ()
        return (name, where, outer)

    def put(self, place: tuple[object, ...], value: np.ndarray) -> None:
        name = place[0]
        if name in self.arrays:
            self.arrays[str(name)][place[1]] = value
        else:
            self.private[place] = value

    def get(self, place: tuple[object, ...]) -> np.ndarray:
        name = place[0]
        return np.asarray(
            self.arrays[str(name)][place[1]] if name in self.arrays else self.private[place]
        )

    def value(self, expression: Expr) -> np.ndarray:
        match expression:
            case Literal():
                return np.asarray(expression.value, expression.dtype.numpy)
            case Scalar():
                return np.asarray(self.scalars[expression.slot], expression.dtype.numpy)
            case Access():
                if not expression.mask.evaluate(self.values):
                    return np.asarray(0, expression.dtype.numpy)
                return self.get(self.place(expression.buffer, expression.index))
            case FromIndex():
                number = expression.index.evaluate(self.values)
                return np.asarray(number).astype(expression.dtype.numpy)
            case Compute():
                args = [self.value(arg) for arg in expression.args]
                return compute(
                    expression.op, expression.dtype, args, [a.dtype for a in expression.args]
                )
            case Guard():
                inside = expression.mask.evaluate(self.values)
                return self.value(expression.value if inside else expression.other)
            case Philox():
                return philox_word(
                    expression.position.evaluate(self.values),
                    int(self.scalars[expression.seed]),
                    int(self.scalars[expression.call]),
                    expression.word,
                )


def philox_word(position: int, seed: int, call: int, word: int) -> np.ndarray:
    """Philox4x32-10 in Python integers."""
    low = 0xFFFFFFFF
    c = [position & low, position >> 32, call & low, call >> 32]
    key = [seed & low, seed >> 32]
    for _ in range(10):
        first, second = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [
            (second >> 32) ^ c[1] ^ key[0],
            second & low,
            (first >> 32) ^ c[3] ^ key[1],
            first & low,
        ]
        key = [(key[0] + 0x9E3779B9) & low, (key[1] + 0xBB67AE85) & low]
    return np.asarray(c[word], np.uint32)


def reference(kernel: Kernel, arrays: list[np.ndarray], scalars: list[int | float]) -> bool:
    """Run a kernel on its arguments; True when a check failed."""
    state = Reference(kernel, arrays, scalars)
    state.run()
    return state.failed
