"""Elements beside each other in memory, but not in a loop: shuffles in place of gathers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import picograd
from picograd.codegen.dependence import all_values, stride
from picograd.codegen.loops import Function, Load, Store, statements
from picograd.codegen.pipeline import compile_function
from picograd.codegen.target import AVX512
from picograd.dtypes import float32
from picograd.graph.index import Index, Var, of
from picograd.graph.ops import Op
from picograd.schedule.kernel import (
    Access,
    Compute,
    Kernel,
    Memory,
    Pattern,
    Space,
    Stage,
    StageKind,
)
from tests.codegen.native import compile_all

DTYPES = ["float32", "float64", "float16", "int64", "int32", "uint8", "bool", "complex64"]
SIZES = [1, 7, 16, 28, 65]


def numbers(dtype: str, *shape: int) -> np.ndarray:
    found = np.random.default_rng(sum(shape)).integers(-9, 9, shape).astype(dtype)
    return found if found.dtype.kind != "c" else found + 1j * found[::-1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_each_element_several_times(dtype: str, size: int) -> None:
    values = numbers(dtype, 3, size)
    x = picograd.tensor(values)
    for times in (2, 3, 4, 8, 16):
        wide = x[:, :, None].expand(3, size, times).contiguous()
        np.testing.assert_array_equal(wide.numpy(), np.repeat(values[:, :, None], times, 2))
        row = x[0, :, None].expand(2, size, times).contiguous()  # the same for each outer row
        np.testing.assert_array_equal(row.numpy(), np.repeat(values[:1, :, None], times, 2)[[0, 0]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_elements_of_several_sources_in_turn(dtype: str, size: int) -> None:
    parts = [numbers(dtype, 3, size), *(numbers(dtype, 4, size)[n : n + 3] for n in (0, 1))]
    parts.append(parts[0][::-1].copy())
    for count in (2, 3, 4):
        have = picograd.stack([picograd.tensor(part) for part in parts[:count]], -1)
        np.testing.assert_array_equal(have.numpy(), np.stack(parts[:count], -1))


@pytest.mark.parametrize("stride", [3, 5, 8, 9])
@pytest.mark.parametrize("size", [16, 50])
def test_elements_far_apart(stride: int, size: int) -> None:
    values = numbers("float32", 3, size * stride)
    x = picograd.tensor(values)
    np.testing.assert_array_equal(x[:, 1::stride].contiguous().numpy(), values[:, 1::stride])
    sums = x.reshape(-1, stride).sum(1)
    np.testing.assert_array_equal(sums.numpy(), values.reshape(-1, stride).sum(1))


@pytest.mark.parametrize("shape", [(3, 56, 56), (2, 33, 47), (64, 64)])
@pytest.mark.parametrize("turns", [1, 3])
def test_a_quarter_turn(shape: tuple[int, ...], turns: int) -> None:
    values = numbers("float32", *shape)
    have = picograd.rot90(picograd.tensor(values), turns, (-2, -1)).contiguous()
    np.testing.assert_array_equal(have.numpy(), np.rot90(values, turns, (-2, -1)))


def _kernel(body: Stage, inner: tuple[Var, ...], size: int, read: int) -> Kernel:
    memories = (
        Memory("a0", float32, read, Space.ARGUMENT),
        Memory("a1", float32, size, Space.ARGUMENT, True),
    )
    return Kernel("neighbours", Pattern.ROWS, inner, (body,), memories)


def _vectors(function: Function, var_of: type[Load] | type[Store]) -> list[Index]:
    body = tuple(statement for phase in function.phases for statement in phase.body)
    if var_of is Store:
        return [s.index for s in statements(body) if isinstance(s, Store) and s.value.lanes > 1]
    return [v.index for v in all_values(body) if isinstance(v, Load) and v.lanes > 1]


@pytest.mark.parametrize("times", [2, 4, 8])
def test_neighbours_are_written_as_whole_vectors(times: int) -> None:
    i, j = Var("i", 0, 63), Var("j", 0, times - 1)
    value = Access("a0", of(i), float32)
    stage = Stage(StageKind.MAP, "a1", of(i) * times + of(j), value)
    function = compile_function(_kernel(stage, (i, j), 64 * times, 64), replace(AVX512, threads=1))
    written = _vectors(function, Store)
    assert written
    for index in written:
        (lane,) = (a for a in index.atoms() if isinstance(a, Var) and a.lanes > 1)
        assert stride(index, lane) == 1


def test_values_with_names_are_joined_too() -> None:
    i, j = Var("i", 0, 64), Var("j", 0, 1)
    twice = Access("a0", of(j), float32)
    value = Compute(Op.MUL, (twice, Compute(Op.SIN, (twice,), float32)), float32)
    kernel = _kernel(Stage(StageKind.MAP, "a1", of(i) * 2 + of(j), value), (i, j), 130, 2)
    function = compile_function(kernel, AVX512)
    arrays = [np.array([0.5, -2.0], np.float32), np.zeros(130, np.float32)]
    compile_all([function], AVX512)[function.name].run(arrays)
    expected = np.tile(arrays[0] * np.sin(arrays[0]), 65)
    np.testing.assert_allclose(arrays[1], expected, 1e-6)
