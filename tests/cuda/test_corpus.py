"""Every kernel that the suite met compiles, for each GPU it is meant for, and stays in registers.

`CUDA_SOURCES=folder pytest` leaves the kernels of a run in a folder (see `corpus`); these tests,
with the same variable, compile them all for compute capability 8.0, as programs do, and look at
their registers and spills. For 7.5 and 9.0 the compiler's front end judges all of them. What it
lets pass and the assembler may refuse are instructions: to machine code go the kernels that 8.0
does not have, and of the others as many as call, together, all that is called for each type. The
last lines of the output say how many there were.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

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


def batches(texts: dict[str, str]) -> Iterator[tuple[dict[str, str], str]]:
    """Kernels by their (distinct) names, some at a time, and one source of each batch."""
    names = list(texts)
    for start in range(0, len(names), BATCH):
        batch = {name: texts[name] for name in names[start : start + BATCH]}
        yield batch, "\n".join([PRELUDE, *batch.values()])


def blame(batch: dict[str, str], refusal: Callable[[str], str]) -> NoReturn:
    """Fail by the name of the kernel that is refused."""
    for name, text in batch.items():
        said = refusal(f"{PRELUDE}\n{text}")
        assert not said, f"{name} does not compile:\n{said}\n{text}"
    pytest.fail(f"kernels do not compile together:\n{', '.join(batch)}")


def compile_all(texts: dict[str, str], capability: int) -> dict[str, Resources]:
    """Compile kernels to machine code; what each function of them takes."""
    options = [ARCHITECTURES[capability], "--ptxas-options=-v"]
    options += [] if capability == MEASURED else [QUICK]

    def refusal(source: str) -> str:
        size, log = nvrtc.compile_source(source, *options)
        return "" if size else log

    found: dict[str, Resources] = {}
    for batch, source in batches(texts):
        size, log = nvrtc.compile_source(source, *options)
        if not size:
            blame(batch, refusal)
        found |= nvrtc.resources(log)
    return found


def parse_all(texts: dict[str, str], capability: int) -> None:
    """Show kernels to the compiler's front end."""

    def refusal(source: str) -> str:
        return nvrtc.refusal(source, ARCHITECTURES[capability])

    for batch, source in batches(texts):
        if refusal(source):
            blame(batch, refusal)


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


def sources(capability: int) -> list[Path]:
    folder = os.environ.get("CUDA_SOURCES")
    if not folder:
        pytest.skip("CUDA_SOURCES names no folder: no run's kernels to compile")
    return corpus.read(Path(folder), capability)


def texts_of(paths: list[Path]) -> dict[str, str]:
    return {path.stem: distinct(path) for path in paths}


@needs_nvrtc
@pytest.mark.parametrize("part", range(PARTS))
def test_kernels_of_the_suite_stay_in_registers(part: int, record_property) -> None:  # type: ignore[no-untyped-def]
    texts = texts_of(sources(MEASURED)[part::PARTS])
    taken = compile_all(texts, MEASURED)
    record_property(f"kernels for {ARCHITECTURES[MEASURED]}", len(texts))
    record_property("bytes spilled", sum(one.spilled for one in taken.values()))
    said = [line for text in texts.values() for line in faults(text, taken)]
    assert not said, "\n".join(said)


@needs_nvrtc
@pytest.mark.parametrize("capability", sorted({*corpus.CAPABILITIES} - {MEASURED}))
def test_kernels_of_the_suite_for_other_gpus(capability: int, record_property) -> None:  # type: ignore[no-untyped-def]
    paths = sources(capability)
    parse_all(texts_of(paths), capability)
    record_property(f"kernels for {ARCHITECTURES[capability]}", len(paths))
    measured = set(sources(MEASURED))
    own = [path for path in paths if path not in measured]
    chosen = list(dict.fromkeys([*own, *corpus.covering(paths)]))
    compile_all(texts_of(chosen), capability)
    record_property(f"of them to machine code for {ARCHITECTURES[capability]}", len(chosen))


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
    for judge in (compile_all, parse_all):
        with pytest.raises(AssertionError, match=r"(?s)^bad does not compile:.*nix"):
            judge(texts, 75)


def test_some_kernels_call_all_that_is_called(tmp_path: Path) -> None:
    """The smallest is taken; a larger one only where it adds a helper, or a helper's type."""
    head = 'extern "C" __global__ void __launch_bounds__(1) name_{}(int* a0) {{\n'
    bodies = [
        "pg_a(float x);",
        "pg_a(float y); y;",
        "pg_a(double x); 1234;",
        "pg_b(float x); 12345;",
    ]
    for number, body in enumerate(bodies):
        (tmp_path / str(number)).write_text(head.format(number) + body + "}")
    paths = [tmp_path / str(number) for number in (3, 2, 1, 0)]
    assert [path.name for path in corpus.covering(paths)] == ["0", "2", "3"]


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
