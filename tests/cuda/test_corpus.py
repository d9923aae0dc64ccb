"""Every kernel that the suite met compiles, for each GPU it is meant for, and stays in registers.

`CUDA_SOURCES=folder pytest` leaves the kernels of a run in a folder (see `corpus`); these tests,
with the same variable, compile them all: for compute capability 8.0 as programs do, and their
registers and spills are looked at; for 7.5 and 9.0 with the optimiser's quickest settings, which
halve the time and refuse the same things. The last lines of the output say how many there were.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from picograd import dtypes
from picograd.codegen.cuda.ops import PRELUDE
from picograd.codegen.cuda.render import cuda_kernel
from picograd.schedule.kernel import Kernel
from picograd.schedule.plan import plan
from tests.cuda import corpus, nvrtc
from tests.cuda.nvrtc import Resources
from tests.cuda.test_compile import needs_nvrtc, product, softmax

BATCH = 100  # kernels in one compilation: the helpers that all need take as long as three
PARTS = 6
ARCHITECTURES = {75: "sm_75", 80: "sm_80", 90: "sm_90a"}
MEASURED = 80  # the compute capability that is compiled for as programs do
QUICK = "-Ofc=max"

REGISTERS = 65536  # of a multiprocessor
LEAST_THREADS = 32  # of a block; where there are fewer, the whole kernel has no more

# What a kernel's text may have so that a few bytes of registers go to memory, and why.
MAY_SPILL = {
    "double": (16, "a division that the fast way cannot do is a call, which saves registers"),
    "attention_": (16, "ptxas gives up a register or two for another block at a time"),
}
# Arguments beyond what the fast reduction can do are reduced in an array.
MAY_HAVE_AN_ARRAY = re.compile(r"\b(?:sin|cos|tan)f?\(")

_HEAD = re.compile(r"(__global__ void (?:__launch_bounds__\((\d+)[^)]*\) )?)")


def compile_all(texts: dict[str, str], capability: int) -> dict[str, Resources]:
    """Compile kernels by their (distinct) names; what each function of them takes."""
    architecture = ARCHITECTURES[capability]
    options = ["--ptxas-options=-v", *([] if capability == MEASURED else [QUICK])]
    found: dict[str, Resources] = {}
    names = list(texts)
    for start in range(0, len(names), BATCH):
        batch = [texts[name] for name in names[start : start + BATCH]]
        size, log = nvrtc.compile_source("\n".join([PRELUDE, *batch]), architecture, *options)
        if not size:
            for name in names[start : start + BATCH]:  # name the one that fails
                size, log = nvrtc.compile_source(
                    f"{PRELUDE}\n{texts[name]}", architecture, *options
                )
                assert size, f"{name} does not compile for {architecture}:\n{log}\n{texts[name]}"
            pytest.fail(f"kernels do not compile together for {architecture}:\n{log}")
        found |= nvrtc.resources(log)
    return found


def faults(text: str, taken: dict[str, Resources]) -> list[str]:
    """What of a kernel's functions is not as promised."""
    said = []
    for head in re.finditer(_HEAD.pattern + r"(\w+)", text):
        threads, name = int(head[2] or 1), head[3]
        one = taken[name]
        warps = -(-threads // 32)
        if -(-one.registers // 8) * 8 * warps * 32 > REGISTERS:
            said.append(f"{name}: {one.registers} registers of {threads} threads")
        allowed = max((size for part, (size, _) in MAY_SPILL.items() if part in text), default=0)
        if one.spilled > allowed and threads >= LEAST_THREADS:
            said.append(f"{name}: {one.spilled} bytes spilled, {one.registers} registers")
        elif one.stack > max(allowed, one.spilled) and not MAY_HAVE_AN_ARRAY.search(text):
            said.append(f"{name}: {one.stack} bytes of an array in local memory")
    return said


def distinct(path: Path) -> str:
    """A text whose functions are named after its file: kernels of equal name differ in content."""
    return _HEAD.sub(rf"\1k{path.stem}_", path.read_text())


@needs_nvrtc
@pytest.mark.parametrize("capability", corpus.CAPABILITIES)
@pytest.mark.parametrize("part", range(PARTS))
def test_kernels_of_the_suite(part: int, capability: int, record_property) -> None:  # type: ignore[no-untyped-def]
    folder = os.environ.get("CUDA_SOURCES")
    if not folder:
        pytest.skip("CUDA_SOURCES names no folder: no run's kernels to compile")
    paths = corpus.read(Path(folder), capability)[part::PARTS]
    texts = {path.stem: distinct(path) for path in paths}
    taken = compile_all(texts, capability)
    record_property(f"kernels for {ARCHITECTURES[capability]}", len(texts))
    if capability == MEASURED:
        said = [line for text in texts.values() for line in faults(text, taken)]
        record_property("bytes spilled", sum(one.spilled for one in taken.values()))
        assert not said, "\n".join(said)


def kernels() -> list[Kernel]:
    outputs = [softmax(), product(dtypes.bfloat16)]
    return [step.kernel for output in outputs for step in plan([output]).steps]


def test_texts_belong_to_capabilities(tmp_path: Path) -> None:
    """A softmax has one text for all; a large product of bfloat16 one for each."""
    corpus.write(tmp_path, kernels())
    found = {path.name: len(list(path.iterdir())) for path in tmp_path.iterdir()}
    assert found == {"75-80-90": 1, "75": 1, "80": 1, "90": 1}
    for capability in corpus.CAPABILITIES:
        texts = {path.read_text() for path in corpus.read(tmp_path, capability)}
        assert texts == {cuda_kernel(kernel, capability) for kernel in kernels()}


@needs_nvrtc
def test_what_does_not_compile_is_named() -> None:
    texts = {"good": cuda_kernel(kernels()[0]), "bad": 'extern "C" __global__ void bad() { nix; }'}
    with pytest.raises(AssertionError, match=r"(?s)^bad does not compile for sm_75:.*nix"):
        compile_all(texts, 75)


@needs_nvrtc
def test_spills_and_arrays_are_faults() -> None:
    """128 numbers at a time, but room for 64 registers; an array whose place is not known."""
    loads = "\n".join(f"float v{n} = x[{n}];" for n in range(128))
    stores = "\n".join(f"x[{n}] = v{n};" for n in range(128))
    body = f"{loads} __syncthreads(); {stores}"
    head = 'extern "C" __global__ void __launch_bounds__'
    spilling = f"{head}(1024) many(volatile float* x) {{ {body} }}"
    array = "int own[512]; for (int i = 0; i < 512; i++) own[i] = x[i]; x[0] = own[x[512]];"
    indexing = f"{head}(64) array(volatile int* x) {{ {array} }}"
    for text, fault in ((spilling, "many: .* spilled"), (indexing, "array: .* local memory")):
        (said,) = faults(text, compile_all({"k": text}, MEASURED))
        assert re.match(fault, said)
