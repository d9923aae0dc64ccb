"""The search for tiles: what is tried, what is believed, what is remembered."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import picograd as torch
from picograd import engine
from picograd.codegen.contraction.candidates import candidates
from picograd.codegen.contraction.lower import lower_contraction
from picograd.codegen.target import AVX2, AVX512, Target
from picograd.codegen.verify import verify
from picograd.env import Context
from picograd.runtime import kernels, tune
from picograd.runtime.host import target
from picograd.schedule.kernel import Kernel
from tests.codegen import contractions

EXTENTS = {"m": 50, "n": 130, "k": 300}


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no time for timing."""
    monkeypatch.setattr(tune, "SECONDS", 0.0)
    monkeypatch.setattr(tune, "RUNS", 1)
    monkeypatch.setattr(tune, "_known", tune._Known())
    tmp_path.chmod(0o700)
    return tmp_path


def kernel() -> Kernel:
    return contractions.product("mk,kn->mn", EXTENTS).kernel


@pytest.mark.parametrize("equation", ["mk,kn->mn", "km,nk->mn"])
@pytest.mark.parametrize("machine", [AVX512, AVX2, replace(AVX512, l2=9000)])
@pytest.mark.parametrize("rows", [5, 50])
def test_every_candidate_is_right(equation: str, machine: Target, rows: int) -> None:
    case = contractions.product(equation, EXTENTS | {"m": rows})
    tried = candidates(case.kernel, machine)
    assert not tried or len({tiles.lanes for tiles in tried}) > 1
    for tiles in tried:
        function = lower_contraction(case.kernel, machine, tiles)
        assert function is not None
        verify(function)
        arrays = [array.copy() for array in case.arrays]
        contractions.run(function, machine, arrays)
        np.testing.assert_array_equal(arrays[2], case.expected[2], err_msg=str(tiles))


def test_what_is_found_is_written_and_read_again(quick: Path) -> None:
    x = torch.randn(50, 300, device="cpu"), torch.randn(300, 130, device="cpu")
    want = (x[0] @ x[1]).numpy()
    engine.clear_cache()
    kernels.CACHE.clear()
    with Context(TUNE=1, PICOGRAD_CACHE=str(quick)):
        np.testing.assert_array_equal((x[0] @ x[1]).numpy(), want)
    (line,) = (quick / tune.FILE).read_text().splitlines()
    entry = json.loads(line)
    assert entry["kernel"].startswith("matmul_") and entry["machine"] == tune.machine(target())
    assert entry["tried"] > 3 and min(entry["microseconds"], entry["untuned"]) > 0


def test_later_runs_use_the_file_and_keep_programs_for_it(quick: Path) -> None:
    model, other, *_ = candidates(kernel(), target())
    name = {"kernel": tune.describe(kernel()), "machine": tune.machine(target())}
    lines = ["{", "[]", json.dumps(name | {"tiles": {"height": 3}})]
    lines.append(json.dumps(name | {"tiles": asdict(other)}))
    with Context(PICOGRAD_CACHE=str(quick)):
        assert tune.tiles_for(kernel(), target()) is None and tune.stamp() == ""
    (quick / tune.FILE).write_text("\n".join(lines))
    tune._known.path = None
    with Context(PICOGRAD_CACHE=str(quick)):
        assert tune.tiles_for(kernel(), target()) == other != model
        assert tune.tiles_for(kernel(), replace(target(), threads=99)) is None
        assert tune.stamp()


def test_a_wrong_candidate_is_never_taken(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = candidates(kernel(), target())[0]
    wrong = replace(model, row_tiles=1, row_parts=1, row_blocks=1)
    found = "picograd.codegen.contraction.candidates.candidates"
    monkeypatch.setattr(found, lambda *_: [model, wrong])
    monkeypatch.setattr(tune, "_seconds", lambda executable, buffers, best: min(best, 9.0) / 2)
    with Context(TUNE=1, PICOGRAD_CACHE=str(quick)):
        assert tune.tiles_for(kernel(), target()) == model


def test_kernels_with_numbers_of_the_run_are_left_alone(quick: Path) -> None:
    case = contractions.everything({"m": 9, "n": 21, "k": 13})
    with Context(TUNE=1, PICOGRAD_CACHE=str(quick)):
        assert tune.tiles_for(case, target()) is None
