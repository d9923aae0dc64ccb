"""Threads, waiting, and the limits of element types."""

from __future__ import annotations

import pytest

import picograd
from picograd import engine


def test_results_do_not_depend_on_threads() -> None:
    before = picograd.get_num_threads()
    engine.clear_cache()  # a program for many sizes, left by another test, groups sums differently
    x = picograd.randn(300, 2000)
    x.numpy()
    try:
        results = []
        for threads in (1, 2, 3, 4):
            picograd.set_num_threads(threads)
            assert picograd.get_num_threads() == threads
            y = picograd.softmax(x @ x.T, dim=-1)
            results.append((y.sum().item(), x.sum().item(), x.sum(0).numpy().tobytes()))
        assert len(set(results)) == 1
    finally:
        picograd.set_num_threads(before)


def test_thread_counts_that_make_no_sense() -> None:
    with pytest.raises(RuntimeError, match="positive"):
        picograd.set_num_threads(0)
    with pytest.raises(TypeError, match="int"):
        picograd.set_num_threads(1.5)


def test_synchronize_computes_what_is_pending() -> None:
    from picograd import engine

    y = picograd.ones(3) + 1
    before = engine.statistics.programs_run
    picograd.synchronize()
    assert engine.statistics.programs_run == before + 1
    assert y.tolist() == [2, 2, 2]
    assert engine.statistics.programs_run == before + 1


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "complex64"])
def test_finfo(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = picograd.finfo(getattr(picograd, name)), torch.finfo(getattr(torch, name))
    for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution"):
        assert getattr(ours, field) == pytest.approx(getattr(theirs, field), rel=1e-6), field


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_iinfo(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = picograd.iinfo(getattr(picograd, name)), torch.iinfo(getattr(torch, name))
    assert (ours.bits, ours.min, ours.max) == (theirs.bits, theirs.min, theirs.max)


def test_limits_of_the_wrong_kind() -> None:
    with pytest.raises(TypeError, match="iinfo"):
        picograd.finfo(picograd.int64)
    with pytest.raises(TypeError, match="finfo"):
        picograd.iinfo(picograd.float32)


@pytest.mark.host("expects that there is no GPU")
def test_a_device_chosen_for_a_while() -> None:
    with picograd.device("numpy") as chosen:
        with picograd.device("cpu"):
            assert picograd.ones(2).device.type == "cpu"
        assert picograd.ones(2).device == chosen == picograd.get_default_device()
        with pytest.raises(AssertionError, match="CUDA"), picograd.device("cuda"):
            pass
    assert picograd.ones(2).device.type == "cpu" and not picograd.ones(2).is_xpu
