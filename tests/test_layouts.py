"""What is not dense is refused by name; what stands for it works on dense tensors."""

from __future__ import annotations

import numpy as np
import pytest

import picograd
from picograd.futures import Future, collect_all, wait_all

REFUSED = {
    "a sparse tensor": lambda m: m.sparse_csr_tensor([0, 1], [0], [1.0]),
    "blocks": lambda m: m.ones(2, 2).to_sparse(blocksize=(1, 1)),
    "to sparse": lambda m: m.ones(2).to_sparse_csr(),
    "nested": lambda m: m.nested.nested_tensor([m.ones(1), m.ones(2)]),
    "8-bit floats": lambda m: m.ones(2).to(m.float8_e4m3fn),
    "8-bit floats made": lambda m: m.zeros(2, dtype=m.float8_e5m2),
    "8-bit floats seen": lambda m: m.ones(2, dtype=m.uint8).view(m.float8_e5m2),
    "8-bit floats from a list": lambda m: m.tensor([1.0], dtype=m.float8_e4m3fn),
    "their products": lambda m: m._scaled_mm(m.ones(2, 2), m.ones(2, 2)),
    "TorchScript": lambda m: m.jit.load("model.pt"),
    "a shared file": lambda m: m.from_file("numbers", shared=True, size=1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    with pytest.raises(NotImplementedError, match=r"picograd|aren't supported|numpy"):
        REFUSED[name](picograd)


def test_dense_stands_for_it(tmp_path):
    x = picograd.arange(4.0).view(2, 2)
    assert x.to_dense() is x and x.dequantize().dtype is picograd.float32 and not x.is_xpu
    assert picograd.equal(picograd.spmm(x.to_sparse(), mat2=x), x @ x)
    assert (picograd.float8_e4m3fn.itemsize, repr(picograd.float8_e5m2)) == (1, "torch.float8_e5m2")
    np.arange(3, dtype=np.float32).tofile(tmp_path / "numbers")
    assert picograd.from_file(str(tmp_path / "numbers"), size=2).tolist() == [0.0, 1.0]


def test_unscaling_finds_what_is_not_finite():
    grads, found = [picograd.ones(2), picograd.tensor([1.0, float("inf")])], picograd.zeros(1)
    picograd._amp_foreach_non_finite_check_and_unscale_(grads[:1], found, picograd.tensor(0.5))
    assert grads[0].tolist() == [0.5, 0.5] and found.item() == 0
    picograd._amp_foreach_non_finite_check_and_unscale_(grads, found, picograd.tensor(0.5))
    assert found.item() == 1


def test_futures():
    first, second = Future(), Future()
    both = collect_all([first, second])
    failed = first.then(lambda done: 1 / done.value())
    with pytest.raises(RuntimeError):
        first.value()
    first.set_result(0)
    assert not both.done()
    second.set_result("b")
    assert both.wait() == [first, second] and wait_all([first, second]) == [0, "b"]
    with pytest.raises(ZeroDivisionError):
        failed.wait()
