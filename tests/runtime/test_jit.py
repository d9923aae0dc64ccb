"""IR text to machine code."""

from __future__ import annotations

import ctypes
import gc
import math
import subprocess
import sys

import pytest

from picograd.codegen.target import AVX2
from picograd.errors import InternalError
from picograd.runtime import jit, native


def call(library, name, value):
    return ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.addresses[name])(value)


LIBM = """declare double @lgamma(double)
define internal double @hidden(double %x) {
  %y = call double @lgamma(double %x)
  ret double %y
}
define double @visible(double %x) {
  %y = call double @hidden(double %x)
  ret double %y
}
"""


def test_symbols_of_the_process_resolve_and_private_functions_stay_private():
    library = jit.compile_ir(LIBM)
    assert set(library.addresses) == {"visible"}
    assert call(library, "visible", 4.5) == pytest.approx(math.lgamma(4.5), rel=1e-15)


def test_libraries_may_define_the_same_name():
    first, second = jit.compile_ir(LIBM), jit.compile_ir(LIBM.replace("lgamma", "cosh"))
    assert call(first, "visible", 4.5) == pytest.approx(math.lgamma(4.5), rel=1e-15)
    assert call(second, "visible", 2.0) == pytest.approx(math.cosh(2.0), rel=1e-15)
    del first
    gc.collect()
    assert call(second, "visible", 2.0) == pytest.approx(math.cosh(2.0), rel=1e-15)


def test_invalid_ir_is_an_internal_error_with_the_line():
    with pytest.raises(InternalError, match=r"(?s)not valid.*undefined value.*%y"):
        jit.compile_ir("define i64 @f(i64 %x) {\n  %z = add i64 %x, %y\n  ret i64 %z\n}")
    with pytest.raises(InternalError, match="not valid"):
        jit.compile_ir("define i64 @f() {\nentry:\n  br label %entry\n}")


def test_an_unresolved_symbol_is_an_internal_error():
    text = LIBM.replace("lgamma", "no_such_function_anywhere")
    with pytest.raises(InternalError, match="no_such_function_anywhere"):
        jit.compile_ir(text)


def test_assembly_is_for_the_given_processor():
    text = """define <8 x float> @add(<8 x float> %x, <8 x float> %y) {
  %z = fadd <8 x float> %x, %y
  ret <8 x float> %z
}"""
    if "x86_64" not in jit.host().triple:
        pytest.skip("an x86-64 preset")
    assert "ymm" in jit.assembly(text, AVX2.cpu, AVX2.features)
    assert "ymm" not in jit.assembly(text, "x86-64")


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64", "arm64", "riscv64"])
def test_the_pool_is_valid_ir_for_every_machine(machine):
    from llvmlite import binding as llvm

    text = native.module(machine)
    assert "$" not in text
    llvm.parse_assembly(text).verify()
    assert ("@syscall(i64" in text.split("define", 1)[1]) == (machine != "riscv64")


def test_the_pool_compiles_for_aarch64():
    from llvmlite import binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(native.module("aarch64"))
    target = llvm.Target.from_triple("aarch64-unknown-linux-gnu")
    assembly = target.create_target_machine(opt=2).emit_assembly(module)
    assert "yield" in assembly and "picograd_run:" in assembly


FAR_APART = """
import ctypes

from picograd.runtime import jit

jit.host()
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_size_t
libc.mmap.argtypes = [ctypes.c_size_t, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_size_t, ctypes.c_size_t]


def reserve(size):  # nobody may touch it: it costs addresses, no memory
    return libc.mmap(0, size, 0, 0x4022, -1, 0)


wall = reserve(6 << 30)
for size in (1 << 20, 1 << 16, 1 << 12):
    while (page := reserve(size)) > wall:
        last = page
libc.munmap(last, 4096)  # the only page that is free above the wall
table = ", ".join(f"double {number}.0" for number in range(2000))
library = jit.compile_ir(f'''declare double @lgamma(double)
@table = internal constant [2000 x double] [{table}]
define double @at(i64 %place) {{
  %entry = getelementptr double, ptr @table, i64 %place
  %value = load double, ptr %entry
  %result = call double @lgamma(double %value)
  ret double %result
}}''')
print(ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(library.addresses["at"])(1000))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mmap by its numbers on Linux")
def test_code_reaches_its_constants_whatever_is_allocated():
    """One page is free here, and more than two gigabytes further on as much as one likes."""
    command = [sys.executable, "-c", FAR_APART]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == "" and float(done.stdout) == pytest.approx(math.lgamma(1000), rel=1e-14)
