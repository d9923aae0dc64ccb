"""IR text to machine code."""

from __future__ import annotations

import ctypes
import gc
import math

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
