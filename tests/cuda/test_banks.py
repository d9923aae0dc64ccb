"""No two threads of a warp wait for each other at the shared memory of a contraction's tiles.

In: the loop IR of a kernel. Its shared accesses are evaluated for the threads of a warp. Shared
memory has 32 banks of 4 bytes: a request of up to 128 bytes takes as many turns as the bank that is
asked for most different words. Neighbouring elements that a thread reads or writes as lanes, or
one after another, are one access, as the compiler makes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from picograd import dtypes
from picograd.codegen.cuda.render import grid_function
from picograd.codegen.dependence import roots, walk
from picograd.codegen.loops import (
    Address,
    Call,
    For,
    Function,
    Home,
    If,
    Let,
    Load,
    Memory,
    Statement,
    Store,
)
from picograd.graph.index import Index, Var
from picograd.graph.node import Node
from picograd.schedule.plan import plan
from tests.cuda.test_compile import product

# What threads read or write by helpers; the others' accesses are hardware's.
WIDTHS = {"pg_load_matrix": 16, "pg_load_turned": 16, "pg_copy4": 4, "pg_copy8": 8, "pg_copy16": 16}
Access = tuple[Memory, Index, int]  # and bytes


def function_of(node: Node, capability: int = 80) -> Function:
    (step,) = plan([node]).steps
    return grid_function(step.kernel, capability)


def shared_accesses(body: tuple[Statement, ...]) -> Iterator[Access | None]:
    """In order; None between two that can't be one."""
    for statement in body:
        match statement:
            case For() | If():
                yield None
                yield from shared_accesses(statement.body)
            case Call(helper, arguments):
                yield None
                for argument in arguments:
                    shared = isinstance(argument, Address) and argument.memory.home is Home.SHARED
                    if shared and helper in WIDTHS:
                        yield argument.memory, argument.index, WIDTHS[helper]
                        yield None
            case Let() | Store():
                for value in walk(roots(statement)):
                    if isinstance(value, Load) and value.memory.home is Home.SHARED:
                        yield value.memory, value.index, value.dtype.itemsize * value.lanes
                if isinstance(statement, Store) and statement.memory.home is Home.SHARED:
                    size = statement.memory.dtype.itemsize * statement.value.lanes
                    yield statement.memory, statement.index, size
            case _:
                yield None


def joined(accesses: Iterator[Access | None]) -> Iterator[Access]:
    """Runs of neighbours as one access of up to 16 bytes."""
    current: Access | None = None
    for access in accesses:
        if access is not None and current is not None:
            memory, index, size = current
            step = access[1] - index
            follows = step.is_constant and step.constant * memory.dtype.itemsize == size
            if access[0] is memory and follows and size < 16:
                current = memory, index, size + access[2]
                continue
        if current is not None:
            yield current
        current = access
    if current is not None:
        yield current


def turns(access: Access, warp: int) -> int:
    """How many turns the worst request of a warp takes."""
    memory, index, size = access
    places = []
    for lane in range(32):
        values = dict.fromkeys(index.variables(), 0)
        values |= {v: warp * 32 + lane for v in values if v.name == "thread_number"}
        places.append(memory.offset + index.evaluate(values) * memory.dtype.itemsize)
    together, worst = 128 // size, 0
    for first in range(0, 32, together):
        words = {
            place // 4 + word
            for place in places[first : first + together]
            for word in range(max(1, size // 4))
        }
        worst = max(worst, max(Counter(word % 32 for word in words).values()))
    return worst


CASES = {
    f"{dtype.name}{coarse} {rows}x{columns} {turned}": product(
        dtype, rows, columns, 4096, turned, bool(coarse)
    )
    for dtype, coarse in (
        (dtypes.float32, ""),
        (dtypes.float32, " coarse"),
        (dtypes.float64, ""),
        (dtypes.bfloat16, ""),
    )
    for turned in ((False, False), (False, True), (True, False), (True, True))
    for rows, columns in ((4096, 4096), (64, 64))
}


@pytest.mark.parametrize("name", CASES)
def test_no_bank_is_asked_twice(name: str) -> None:
    function = function_of(CASES[name])
    found = list(joined(shared_accesses(function.phases[0].body)))
    assert len(found) > 8
    for access in found:
        assert max(turns(access, warp) for warp in range(4)) == 1, access


def test_results_of_warp_groups_meet_in_no_bank() -> None:
    """On their way out: 8 bytes in, 16 bytes out."""
    function = function_of(product(dtypes.bfloat16), 90)
    found = list(joined(shared_accesses(function.phases[-1].body)))
    assert {size for _, _, size in found} == {8, 16}
    assert all(turns(access, warp) == 1 for access in found for warp in range(8))


def test_a_power_of_two_would_collide() -> None:
    """What the padding is for."""
    thread = Var("thread_number", 0, 255)
    memory = Memory("tile", dtypes.float32, 4096, Home.SHARED)
    column = Index(((thread, 32),))
    assert turns((memory, column, 4), 0) == 32 and turns((memory, column + 0, 16), 0) == 8
