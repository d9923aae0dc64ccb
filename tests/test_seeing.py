"""Every DEBUG level prints what the table promises, DUMP writes it, and filters choose kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from picograd import env
from picograd.runtime.jit import register_report

ROOT = Path(__file__).parents[1]
PROGRAM = """
import picograd as torch
x = torch.tensor([[float(i * j % 7) for j in range(40)] for i in range(30)])
print(torch.softmax(x, dim=-1).sum().item())
print((x + 1).numpy()[0, 0])
"""


def run(program: str = PROGRAM, **variables: str) -> tuple[str, str]:
    """What a program prints with these variables set: (stdout, stderr)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DEVICE": "cpu", **variables}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


def test_level_0_is_silent() -> None:
    out, err = run(DEBUG="0")
    assert float(out.split()[0]) == pytest.approx(30, rel=1e-5)
    assert err == ""


def test_level_1_programs() -> None:
    _, err = run(DEBUG="1")
    assert "program 1:" in err and "kernels, compiled in" in err
    assert "GFLOP/s" not in err


TWICE = """
import numpy as np, picograd as torch
from picograd.env import Context
for level in (0, 2):
    with Context(DEBUG=level):
        torch.tensor(np.ones(3, np.float32)).exp().numpy()
"""


def test_programs_from_the_cache() -> None:
    _, err = run(TWICE.replace("(0, 2)", "(1, 1)"))
    first, second = err.splitlines()
    assert "1 kernels, compiled in" in first
    assert second == "program 1: 1 kernels, found in the cache"


def test_a_program_compiled_in_silence_can_be_timed() -> None:
    _, err = run(TWICE)
    hit, kernel = err.splitlines()
    assert hit == "program 1: 1 kernels, found in the cache"
    assert kernel.startswith("kernel map_exp_3 ") and "% of the roofline" in kernel


def test_device_of_new_tensors() -> None:
    program = "import picograd as t; print(t.ones(2).device, t.ones(2, device='cpu').device)"
    assert run(program, DEVICE="numpy")[0] == "numpy cpu\n"
    program += "; t.set_default_device('null'); print(t.ones(2).device)"
    assert run(program, DEVICE="numpy")[0].endswith("null\n")
    with pytest.raises(subprocess.CalledProcessError) as failure:
        run(program, DEVICE="gpu")
    assert "Expected one of cpu, numpy, null" in failure.value.stderr


def test_level_2_a_line_per_kernel() -> None:
    _, err = run(DEBUG="2")
    lines = [line for line in err.splitlines() if line.startswith("kernel ")]
    assert len(lines) >= 2
    for line in lines:
        for unit in ("us", "GFLOP/s", "GB/s", "% of the roofline"):
            assert unit in line
    assert "sum_{" not in err


def test_level_3_schedule_with_reasons() -> None:
    _, err = run(DEBUG="3")
    assert "max_{i1:40}" in err, "index notation"
    assert "stored (" in err, "a decision with its reason"
    assert "define void" not in err


def test_level_4_llvm_with_vectors() -> None:
    _, err = run(DEBUG="4")
    assert "define void @" in err
    assert " x float>" in err, "explicit vectors"
    assert "loop IR after" not in err


def test_level_5_graph_and_loop_ir_by_pass() -> None:
    _, err = run(DEBUG="5")
    assert "graph as written" in err and "graph simplified" in err
    assert "rules applied" in err
    _, err = run("import picograd as t; (t.ones(9) * 2.5).numpy()", DEBUG="5")
    assert "fold constants: <MUL" in err
    assert "loop IR after lower" in err and "loop IR after vectorise" in err
    assert "loop IR after unroll" in err
    assert "vector registers" not in err


def test_level_6_assembly_registers_spills() -> None:
    _, err = run(DEBUG="6")
    assert "vector registers" in err and "spills" in err
    assert ".text" in err or "ret" in err


def test_filter_by_kernel_name() -> None:
    _, everything = run(DEBUG="4")
    _, some = run(DEBUG="4:map*")
    _, none = run(DEBUG="4:nothing*")
    assert everything.count("define void") > some.count("define void") > 0
    assert none.count("define void") == 0


def test_dump_writes_a_folder_per_kernel(tmp_path: Path) -> None:
    out, err = run(DUMP=str(tmp_path))
    assert err == "" and out
    kernels = [path.parent for path in tmp_path.glob("*/kernel.ll")]
    assert len(kernels) >= 2
    for folder in kernels:
        names = {path.name for path in folder.iterdir()}
        assert {"kernel.txt", "kernel.ll", "kernel.s", "loops_00_lower.txt"} <= names or any(
            name.startswith("loops_00") for name in names
        )
    assert list(tmp_path.glob("program_*/schedule.txt"))
    assert list(tmp_path.glob("program_*/graph_simplified.txt"))


def test_table_names_every_variable_and_level() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "picograd.env"], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    for variable in env.VARIABLES:
        assert variable.name in printed
    for level, meaning in env.LEVELS:
        assert f"{level}  {meaning}" in printed
        assert f"| `DEBUG={level}` | {meaning} |" in (ROOT / "README.md").read_text()


def test_context_sets_and_restores() -> None:
    with env.Context(DEBUG="3:abc*", PICOGRAD_GRAPH_NODES=7):
        assert env.debug_level() == 3
        assert env.debug_level("abcd") == 3 and env.debug_level("other") == 0
        assert env.GRAPH_NODES.get() == 7
    assert env.debug_level() == 0
    with pytest.raises(ValueError, match="unknown variable"):
        env.Context(DEBUGG=1)
    with pytest.raises(ValueError, match="not valid"), env.Context(DEBUG="loud"):
        pass
    assert env.debug_level() == 0


def test_register_report_counts_both_vendors() -> None:
    x86 = "vaddps %zmm1, %zmm2, %zmm3\nvmovaps %ymm9, 32(%rsp) # 32-byte Spill"
    assert register_report(x86) == "4 vector registers, 1 spills, 0 reloads"
    assert register_report("fmla v3.4s, v1.4s, v2.s[0]").startswith("3 vector registers")
