"""Products on warp groups (wgmma), whose factors are fetched box by box (TMA).

Runs where there is a GPU of compute capability 9.0, and under `python -m tests.cuda_emulator`.
Tiles that only large products would take are given to small ones here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import picograd as torch
from picograd.codegen.contraction import warp_groups
from picograd.codegen.cuda import render
from picograd.codegen.loops import Function
from picograd.env import Context
from picograd.schedule.kernel import Kernel
from tests.cuda_emulator.test_contractions import check, exact, factor

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() != (9, 0),
    reason="there is no GPU of compute capability 9.0",
)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Function]]:
    """What was lowered to warp groups. Two blocks take all tiles in turn."""
    found: list[Function] = []
    lower = warp_groups.lower_to_warp_groups

    def watched(kernel: Kernel) -> Function | None:
        function = lower(kernel)
        if function is not None:
            found.append(function)
        return function

    monkeypatch.setattr(warp_groups, "LEAST_TILES", 1)
    monkeypatch.setattr(warp_groups, "BLOCKS", 2)
    monkeypatch.setattr(render, "lower_to_warp_groups", watched)
    with Context(PICOGRAD_ELASTIC=0):  # a program for many sizes masks its factors
        yield found
    assert found


@pytest.mark.parametrize("turned", ["", "left", "right", "both"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_layouts(dtype: str, turned: str, made: list[Function]) -> None:
    """Tiles with tails in rows, columns and depth; each direction as it lies in memory."""
    rows, columns, depth = 264, 200, 456
    a = factor((depth, rows) if turned in ("left", "both") else (rows, depth), dtype, 1)
    b = factor((columns, depth) if turned in ("right", "both") else (depth, columns), dtype, 2)
    a = a.T if turned in ("left", "both") else a
    b = b.T if turned in ("right", "both") else b
    check(a @ b, exact(a) @ exact(b), dtype)
    lines = [turned in ("left", "both"), turned in ("", "left")]  # contiguous along rows, columns
    assert [tile.turned for tile in made[0].maps] == lines


def test_a_batch_and_what_follows(made: list[Function]) -> None:
    """A factor of each batch element, and a shared one, which join; bias and relu."""
    a, b = factor((3, 140, 72), "bfloat16", 3), factor((72, 104), "bfloat16", 4)
    bias = factor((104,), "bfloat16", 5)
    result = torch.relu(a @ b + bias)
    check(result, np.maximum(exact(a) @ exact(b) + exact(bias), 0), "bfloat16", 2)


def test_a_batch_of_both(made: list[Function]) -> None:
    a, b = factor((3, 72, 136), "bfloat16", 9), factor((3, 136, 88), "bfloat16", 2)
    check(a @ b, exact(a) @ exact(b), "bfloat16")
    assert all(tile.sizes[2] == 3 for tile in made[0].maps)


def test_gradients(made: list[Function]) -> None:
    a, b = factor((136, 80), "float16", 6), factor((80, 144), "float16", 7)
    a.requires_grad_(), b.requires_grad_()
    seed = factor((136, 144), "float16", 8)
    product = a @ b
    product.sum().item()
    product.backward(seed)
    check(a.grad, exact(seed) @ exact(b.detach()).T, "float16")
    check(b.grad, exact(a.detach()).T @ exact(seed), "float16")
    assert len(made) == 3


# A product of several rounds of the ring, of whose kernel a part is taken away.
WITHOUT = """
import re
import numpy as np
import picograd as torch
from picograd.codegen.contraction import warp_groups
from picograd.env import Context
from picograd.runtime.cuda import modules
from tests.cuda_emulator.test_contractions import check, exact, factor

warp_groups.LEAST_TILES, warp_groups.BLOCKS = 1, 2
render, taken = modules.render_cuda, []
def rendered(function):
    text, count = re.subn({pattern!r}, "", render(function))
    taken.append(count)
    return text
modules.render_cuda = rendered
with Context(PICOGRAD_ELASTIC=0):
    a, b = factor((128, 896), "bfloat16", 1), factor((896, 128), "bfloat16", 2)
    expected = exact(a) @ exact(b)
    try:
        check(a @ b, expected, "bfloat16")
        print("right", sum(taken))
    except (AssertionError, RuntimeError) as error:
        print("caught", sum(taken))
"""
MISSING = {
    "nothing": (r"nothing is called so", "right 0"),
    "until boxes have come": (r"pg_meet_wait\([^;]*;(?=\s*pg_products_begin)", "caught 1"),
    "until a slot is free": (r"pg_meet_wait\([^;]*;(?!\s*pg_products_begin)", "caught 1"),
    "before the first product": (r"pg_products_begin\(\);", "caught 1"),
    "until products are done": (r"pg_products_end\(\);", "caught 1"),
}


@pytest.mark.skipif("EMULATOR_CACHE" not in os.environ, reason="a GPU would hang")
@pytest.mark.parametrize("what", MISSING)
def test_a_missing_wait_is_caught(what: str) -> None:
    """The emulator copies and multiplies no sooner than somebody waits for it."""
    pattern, said = MISSING[what]
    program = [sys.executable, "-c", WITHOUT.format(pattern=pattern)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == said, done.stdout + done.stderr
