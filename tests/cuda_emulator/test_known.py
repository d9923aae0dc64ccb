"""What the host knows of a GPU's tensors is checked at the call, and not again by the kernels."""

from __future__ import annotations

import numpy as np
import pytest

import picograd as torch
from picograd.frontend import known

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

SENT = {
    "tensor": lambda: torch.tensor([0, 5], device="cuda"),
    "cuda": lambda: torch.tensor([0, 5], device="cpu").cuda(),
    "pinned": lambda: torch.tensor([0, 5], device="cpu").pin_memory().to("cuda", non_blocking=True),
    "small integers": lambda: torch.tensor([0, 5], dtype=torch.int32, device="cuda"),
    "of the CPU": lambda: torch.tensor([0, 5], device="cpu"),
}


@pytest.mark.parametrize("name", SENT)
def test_indices_that_were_sent(name) -> None:
    table, index = torch.ones(3, device="cuda"), SENT[name]()
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 0 with size 3"):
        table[index]


USES = {
    "F.embedding(i, x)": IndexError,
    "F.cross_entropy(x, i)": IndexError,
    "F.one_hot(i, 2)": RuntimeError,
    "i // (i - i[0])": None,  # computed
    "i // torch.tensor([1, 0], device='cuda')": RuntimeError,
    "torch.bernoulli(torch.tensor([0.5, 2.0], device='cuda'))": RuntimeError,
    "F.binary_cross_entropy(torch.tensor([2.0], device='cuda'), x[0, :1])": RuntimeError,
}


@pytest.mark.parametrize("text", USES)
def test_what_is_told_at_the_call(text) -> None:
    x, i = torch.ones(2, 3, device="cuda"), torch.tensor([0, 4], device="cuda")
    names = {"x": x, "i": i, "torch": torch, "F": torch.nn.functional}
    if USES[text] is None:
        eval(text, names)
        return
    with pytest.raises(USES[text]):
        eval(text, names)


def test_what_was_written_since_is_not_known() -> None:
    table, index = torch.arange(3.0, device="cuda"), torch.tensor([7, 1], device="cuda")
    index[0] = 2
    assert table[index].tolist() == [2, 1]
    index += 5
    read = table[index]
    with pytest.raises(IndexError, match="index 7 is out of bounds"):
        read.tolist()


def test_memory_that_others_may_write_is_not_known() -> None:
    index = torch.tensor([0, 1], device="cuda")
    address = index.data_ptr()
    assert address and known.contents(index._storage.node) is None
    assert known.contents(torch.tensor([0, 1], device="cuda")._storage.node) is not None


def test_known_indices_are_not_waited_for() -> None:
    table, index = torch.arange(3.0, device="cuda"), torch.tensor([2, 0], device="cuda")
    assert table[index].node.attr.checked
    assert not table[index + 0 * index].node.attr.checked


def test_what_is_remembered_is_small_and_a_copy() -> None:
    array = np.array([1, 2])
    x = torch.as_tensor(array, device="cuda")
    array[0] = 9
    noted = known.contents(x._storage.node)
    assert noted is not None and noted.tolist() == [1, 2]
    assert known.contents(torch.zeros(1 << 16, device="cuda").cos_()._storage.node) is None
    for sent in (torch.arange((1 << 16) + 1), torch.rand((1 << 10) + 1)):
        assert known.contents(sent.cpu().cuda()._storage.node) is None


def test_legacy_types_name_a_device() -> None:
    kind = torch.cuda.FloatTensor
    x = kind(2, 3).fill_(1.0)
    assert x.is_cuda and isinstance(x, kind) and x.type() == "torch.cuda.FloatTensor"
    with torch.device("cpu"):
        y = x.type(torch.DoubleTensor)
        assert y.type() == "torch.DoubleTensor" and not isinstance(y, torch.cuda.DoubleTensor)
        assert y.type(kind).is_cuda and y.type("torch.cuda.LongTensor").dtype is torch.int64
        assert not isinstance(x, torch.FloatTensor)
    with torch.device("cpu"):
        torch.set_default_tensor_type("torch.cuda.FloatTensor")
        assert torch.ones(1).is_cuda
