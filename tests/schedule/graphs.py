"""Random canonical graphs, and the check that a program computes what its graph means."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from picograd.dtypes import float32, int64
from picograd.graph.index import ZERO, Param, of
from picograd.graph.interpret import interpret
from picograd.graph.node import Node, make
from picograd.graph.ops import (
    AxesAttr,
    CastAttr,
    Combiner,
    ConstAttr,
    GatherAttr,
    IotaAttr,
    LeafAttr,
    Op,
    PadAttr,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    ShapeAttr,
    SliceAttr,
)
from picograd.schedule.kernel import Program
from picograd.schedule.plan import plan
from picograd.schedule.show import show_program
from picograd.schedule.simulate import simulate

UNARY = (Op.NEG, Op.ABS, Op.TANH, Op.TANH, Op.ERF)
BINARY = (Op.ADD, Op.SUB, Op.MAXIMUM, Op.MINIMUM, Op.MUL)


class Graphs:
    """Grows one random graph; leaves and run-time values are made on the way."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numpy = np.random.default_rng(seed)
        self.buffers: dict[int, np.ndarray] = {}
        self.values: dict[int, int | float] = {}
        self.nodes: list[Node] = []
        self.floats: list[Node] = []

    def value(self, number: int | float) -> int:
        self.values[len(self.values)] = number
        return len(self.values) - 1

    def shape(self) -> tuple[int, ...]:
        return tuple(self.random.choice((1, 2, 3, 4, 6)) for _ in range(self.random.randint(0, 3)))

    def leaf(self, shape: tuple[int, ...]) -> Node:
        slot = len(self.buffers)
        self.buffers[slot] = self.numpy.integers(-3, 4, shape).astype(np.float32)
        return make(Op.BUFFER, (), LeafAttr(slot, shape, float32), "cpu")

    def indices(self, shape: tuple[int, ...], extent: int) -> Node:
        slot = len(self.buffers)
        self.buffers[slot] = self.numpy.integers(0, extent, shape)
        return make(Op.BUFFER, (), LeafAttr(slot, shape, int64), "cpu")

    def number(self) -> Node:
        if self.random.random() < 0.5:
            return make(Op.CONST, (), ConstAttr(float(self.random.randint(-2, 2)), float32), "cpu")
        slot = self.value(float(self.random.randint(-2, 2)))
        return make(Op.PARAMETER, (), LeafAttr(slot, (), float32), "cpu")

    def pick(self) -> Node:
        if not self.floats or self.random.random() < 0.12:
            return self.leaf(self.shape())
        recent = self.floats[-4:]
        return self.random.choice(recent if self.random.random() < 0.6 else self.floats)

    def like(self, shape: tuple[int, ...]) -> Node:
        """Some node, brought to a shape."""
        same = [node for node in self.floats if node.shape == shape]
        if same and self.random.random() < 0.7:
            return self.random.choice(same)
        if self.random.random() < 0.3:
            return self.spread(self.number(), shape)
        part = tuple(1 if self.random.random() < 0.3 else extent for extent in shape)
        fitting = [node for node in self.floats if node.size == int(np.prod(part))]
        if fitting and self.random.random() < 0.7:
            return self.spread(self.reshape(self.random.choice(fitting), part), shape)
        return self.spread(self.leaf(part), shape)

    def reshape(self, x: Node, shape: tuple[int, ...]) -> Node:
        return x if x.shape == shape else make(Op.RESHAPE, (x,), ShapeAttr(shape))

    def spread(self, x: Node, shape: tuple[int, ...]) -> Node:
        if len(x.shape) < len(shape):
            x = self.reshape(x, (1,) * (len(shape) - len(x.shape)) + x.shape)
        return x if x.shape == shape else make(Op.EXPAND, (x,), ShapeAttr(shape))

    def step(self) -> Node:
        """One more node, of a random kind."""
        kinds = [self.unary, self.binary, self.binary, self.reduce, self.reduce, self.move]
        kinds += [self.move, self.where, self.gather, self.update, self.scatter, self.scan]
        kinds += [self.matmul, self.softmax, self.noise]
        node = self.random.choice(kinds)()
        if node.size <= 400:
            self.floats.append(node)
        return node

    def unary(self) -> Node:
        return make(self.random.choice(UNARY), (self.pick(),))

    def binary(self) -> Node:
        x = self.pick()
        return make(self.random.choice(BINARY), (make(Op.TANH, (x,)), self.like(x.shape)))

    def where(self) -> Node:
        """The condition compares exact numbers, so that rounding can't turn it round."""
        x = self.pick()
        exact = self.leaf(x.shape)
        condition = make(Op.LT, (exact, self.spread(self.number(), x.shape)))
        return make(Op.WHERE, (condition, x, self.like(x.shape)))

    def reduce(self) -> Node:
        x = self.pick()
        axes = tuple(axis for axis in range(len(x.shape)) if self.random.random() < 0.5)
        combiner = self.random.choice((Combiner.SUM, Combiner.MAX, Combiner.MIN))
        node = make(Op.REDUCE, (x,), ReduceAttr(combiner, axes)) if axes else x
        if axes and self.random.random() < 0.5:  # and back
            keep = tuple(1 if a in axes else extent for a, extent in enumerate(x.shape))
            node = self.spread(self.reshape(node, keep), x.shape)
        return node

    def scan(self) -> Node:
        x = self.pick()
        if not x.shape:
            return x
        return make(Op.SCAN, (x,), ScanAttr(Combiner.SUM, self.random.randrange(len(x.shape))))

    def matmul(self) -> Node:
        x = self.pick()
        if len(x.shape) != 2:
            return self.binary()
        (m, k), n = x.shape, self.random.choice((1, 2, 3))
        y = self.like((k, n))
        left = make(Op.EXPAND, (self.reshape(x, (m, k, 1)),), ShapeAttr((m, k, n)))
        right = make(Op.EXPAND, (self.reshape(y, (1, k, n)),), ShapeAttr((m, k, n)))
        product = make(Op.MUL, (left, right))
        return make(Op.TANH, (make(Op.REDUCE, (product,), ReduceAttr(Combiner.SUM, (1,))),))

    def softmax(self) -> Node:
        x = self.pick()
        if not x.shape:
            return x
        axis = self.random.randrange(len(x.shape))
        keep = tuple(1 if a == axis else extent for a, extent in enumerate(x.shape))
        top = make(Op.REDUCE, (x,), ReduceAttr(Combiner.MAX, (axis,)))
        power = make(Op.EXP, (make(Op.SUB, (x, self.spread(self.reshape(top, keep), x.shape))),))
        total = make(Op.REDUCE, (power,), ReduceAttr(Combiner.SUM, (axis,)))
        return make(Op.DIV, (power, self.spread(self.reshape(total, keep), x.shape)))

    def noise(self) -> Node:
        shape = self.shape()
        slots = [of(Param(self.value(self.random.randrange(99)), 0, 1 << 40)) for _ in range(2)]
        word = make(Op.RANDOM, (), RandomAttr(shape, self.random.randrange(4), *slots), "cpu")
        seven = make(Op.CONST, (), ConstAttr(7, word.dtype), "cpu")
        small = make(Op.MOD, (word, self.spread(seven, shape)))
        x = make(Op.CAST, (small,), CastAttr(float32))
        if shape and self.random.random() < 0.5:
            count = make(Op.IOTA, (), IotaAttr(shape[-1], int64), "cpu")
            count = make(Op.CAST, (count,), CastAttr(float32))
            x = make(Op.ADD, (x, self.spread(count, shape)))
        return x

    def move(self) -> Node:
        x = self.pick()
        rank, kind = len(x.shape), self.random.randrange(6)
        if kind == 0:
            order = list(range(rank))
            self.random.shuffle(order)
            return make(Op.PERMUTE, (x,), AxesAttr(tuple(order)))
        if kind == 1:
            before = tuple(self.random.randint(0, 1) for _ in range(rank))
            after = tuple(self.random.randint(0, 2) for _ in range(rank))
            fill = ConstAttr(float(self.random.randint(0, 1)), float32)
            return make(Op.PAD, (x,), PadAttr(before, after, fill))
        if kind == 2:
            attr = self.window(x.shape)
            return make(Op.SLICE, (x,), attr)
        if kind == 3:
            axes = tuple(a for a in range(rank) if self.random.random() < 0.5)
            return make(Op.FLIP, (x,), AxesAttr(axes)) if axes else x
        if kind == 4:
            shape = (self.random.choice((2, 3)), *x.shape)
            return self.spread(x, shape) if x.size < 100 else x
        sizes, left = [], x.size
        for part in (2, 3):
            if left % part == 0 and left and self.random.random() < 0.7:
                sizes.append(part)
                left //= part
        sizes.append(left)
        self.random.shuffle(sizes)
        return self.reshape(x, tuple(sizes))

    def window(self, shape: tuple[int, ...]) -> SliceAttr:
        starts, sizes, steps = [], [], []
        for extent in shape:
            size = self.random.randint(1, extent)
            step = self.random.randint(1, (extent - 1) // (size - 1)) if size > 1 else 1
            last = extent - (size - 1) * step - 1
            start = self.random.randint(0, last)
            starts.append(of(Param(self.value(start), 0, last)) if last > 0 else ZERO)
            sizes.append(size)
            steps.append(step)
        return SliceAttr(tuple(starts), tuple(sizes), tuple(steps))

    def update(self) -> Node:
        x = self.pick()
        attr = self.window(x.shape)
        value = self.like(attr.sizes)
        if self.random.random() < 0.5:  # read what is overwritten, or its neighbours
            again = attr if self.random.random() < 0.5 else self.same_sizes(x.shape, attr)
            value = make(Op.ADD, (make(Op.SLICE, (x,), again), value))
        return make(Op.UPDATE, (x, value), attr)

    def same_sizes(self, shape: tuple[int, ...], attr: SliceAttr) -> SliceAttr:
        starts = []
        for extent, size, step in zip(shape, attr.sizes, attr.steps, strict=True):
            last = extent - (size - 1) * step - 1
            start = self.random.randint(0, last)
            starts.append(of(Param(self.value(start), 0, last)) if last > 0 else ZERO)
        return SliceAttr(tuple(starts), attr.sizes, attr.steps)

    def table(self, x: Node) -> tuple[tuple[int, ...], list[Node], tuple[int, ...]]:
        axes = [a for a in range(len(x.shape)) if self.random.random() < 0.5] or [0]
        shape = tuple(self.random.choice((1, 2, 3)) for _ in range(self.random.randint(0, 2)))
        rest = tuple(e for a, e in enumerate(x.shape) if a not in axes)
        return tuple(axes), [self.indices(shape, x.shape[a]) for a in axes], shape + rest

    def gather(self) -> Node:
        x = self.pick()
        if not x.shape:
            return x
        axes, tables, _ = self.table(x)
        return make(Op.GATHER, (x, *tables), GatherAttr(axes, self.random.random() < 0.5))

    def scatter(self) -> Node:
        x = self.pick()
        if not x.shape:
            return x
        axes, tables, shape = self.table(x)
        value, checked = self.like(shape), self.random.random() < 0.5
        if self.random.random() < 0.5:
            return make(Op.SCATTER, (x, value, *tables), GatherAttr(axes, checked))
        combiner = self.random.choice((Combiner.SUM, Combiner.MAX))
        attr = ScatterReduceAttr(axes, checked, combiner)
        return make(Op.SCATTER_REDUCE, (x, value, *tables), attr)


def random_graph(seed: int, steps: int) -> tuple[Graphs, list[Node], frozenset[int]]:
    """A graph, its outputs and the inputs that a program may overwrite."""
    graph = Graphs(seed)
    for _ in range(steps):
        graph.step()
    count = graph.random.randint(1, 3)
    outputs = [graph.floats[-1]] + [graph.pick() for _ in range(count - 1)]
    if graph.random.random() < 0.3 and outputs[0].op is not Op.BUFFER:
        outputs.append(graph.reshape(outputs[0], (outputs[0].size,)))
    donated = frozenset(slot for slot in graph.buffers if graph.random.random() < 0.5)
    return graph, outputs, donated


def check(
    outputs: Sequence[Node],
    buffers: Mapping[int, np.ndarray],
    values: Mapping[int, int | float] | None = None,
    donated: frozenset[int] = frozenset(),
) -> Program:
    """Plan, run and compare with the interpreter; inputs that are not donated stay as they were."""
    program = plan(outputs, donated)
    wanted = interpret(outputs, buffers, values or {})
    inputs = {slot: array.copy() for slot, array in buffers.items()}
    found = simulate(program, inputs, values)
    for node, want, got in zip(outputs, wanted, found, strict=True):
        assert got.dtype == node.dtype.numpy
        np.testing.assert_allclose(
            got.astype(np.float64),
            want.reshape(-1).astype(np.float64),
            rtol=2e-4,
            atol=2e-4,
            err_msg=show_program(program),
        )
    for slot, array in buffers.items():
        assert slot in donated or np.array_equal(inputs[slot], array), f"input {slot} changed"
    return program
