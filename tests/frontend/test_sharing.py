"""Memory shared with other libraries (DLPack), and tensors through pickle and `copy`."""

from __future__ import annotations

import copy
import gc
import pickle

import numpy as np
import pytest

import picograd
from picograd.utils.dlpack import from_dlpack, to_dlpack

torch = pytest.importorskip("torch")

DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64"
VIEWS = {
    "whole": lambda x: x,
    "row": lambda x: x[1],
    "column": lambda x: x[:, 2],
    "turned": lambda x: x.t(),
    "every other": lambda x: x[:, ::2],
    "number": lambda x: x[1, 1],
    "empty": lambda x: x[:0],
}


def grid(m, dtype):
    return m.arange(12).reshape(3, 4).to(getattr(m, dtype))


@pytest.mark.host("PyTorch sees the tensor's memory, and has no GPU")
@pytest.mark.parametrize("dtype", DTYPES.split())
@pytest.mark.parametrize("view", VIEWS)
def test_from_torch_and_back(dtype, view):
    theirs = VIEWS[view](grid(torch, dtype))
    for taken in (picograd.from_dlpack(theirs), from_dlpack(torch.utils.dlpack.to_dlpack(theirs))):
        assert taken.tolist() == theirs.tolist() and str(taken.dtype) == str(theirs.dtype)
    ours = VIEWS[view](grid(picograd, dtype))
    for taken in (torch.from_dlpack(ours), torch.utils.dlpack.from_dlpack(to_dlpack(ours))):
        assert taken.tolist() == ours.tolist() and str(taken.dtype) == str(ours.dtype)


@pytest.mark.parametrize("make", [np.zeros, lambda n: torch.zeros(n, dtype=torch.float64)])
def test_writes_are_seen_on_both_sides(make):
    theirs = make(4)
    ours = picograd.from_dlpack(theirs)
    theirs[1] = 5
    ours[2] += 7
    assert ours.tolist() == [0, 5, 7, 0] == theirs.tolist()
    del theirs
    gc.collect()
    assert (ours * 2).tolist() == [0, 10, 14, 0]


@pytest.mark.host("NumPy and PyTorch see the tensor's memory")
def test_a_view_stays_a_view():
    ours = picograd.zeros(2, 3)
    theirs = torch.from_dlpack(ours[:, 1])
    theirs += 1
    ours[0] *= 3
    assert ours.tolist() == [[0, 3, 0], [0, 1, 0]] and theirs.tolist() == [3, 1]
    array = np.from_dlpack(ours)
    ours[1, 2] = 9
    assert array[1, 2] == 9
    del ours
    gc.collect()
    assert array.sum() == 13 and theirs.sum() == 4


@pytest.mark.host("names the device of memory, the CPU")
def test_a_capsule_is_taken_once():
    capsule = to_dlpack(picograd.ones(2))
    from_dlpack(capsule)
    with pytest.raises(RuntimeError):
        from_dlpack(capsule)
    with pytest.raises(BufferError):
        picograd.ones(2, requires_grad=True).__dlpack__()
    with pytest.raises(BufferError):
        picograd.from_dlpack(np.ones(3)[::-1])
    assert picograd.ones(1).__dlpack_device__() == (1, 0)
    copied = np.ones(2)
    picograd.from_dlpack(copied, copy=True).zero_()
    assert copied.tolist() == [1, 1]


def described(x):
    return (x.tolist(), x.stride(), x.storage_offset(), x.requires_grad, type(x).__name__)


def family(m):
    base = m.arange(12.0).reshape(3, 4)
    made = {name: see(base) for name, see in VIEWS.items()}
    made |= {
        "parameter": m.nn.Parameter(m.ones(2)),
        "leaf": m.ones(3, requires_grad=True),
        "bools": m.tensor([True, False]),
        "half": m.ones(2, dtype=m.bfloat16),
        "expanded": m.ones(2, 1).expand(2, 3),
        "complex": m.ones(2, dtype=m.complex64),
    }
    made["leaf"].grad = m.ones(3)
    return made


@pytest.mark.parametrize("how", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), copy.copy])
def test_copies_look_like_torchs(how):
    ours, theirs = how(family(picograd)), how(family(torch))
    for name, x in theirs.items():
        assert described(ours[name]) == described(x), name
    assert (ours["leaf"].grad is None) == (theirs["leaf"].grad is None)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_what_shared_memory_still_does(how):
    before = family(picograd)
    after = how(before)
    after["whole"][1] = 7
    assert after["row"].tolist() == [7] * 4 and after["column"].tolist() == [2, 7, 10]
    assert after["turned"][:, 1].tolist() == [7] * 4 and before["row"].tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("m", [picograd, torch], ids=["picograd", "torch"])
def test_results_are_no_leaves(m):
    result = m.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError):
        copy.deepcopy(result)


def test_modules_and_optimisers():
    model = picograd.nn.Sequential(picograd.nn.Linear(2, 2), picograd.nn.BatchNorm1d(2))
    model[0].tied = model[0].weight
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert made[0].tied is made[0].weight is not model[0].weight
        assert sorted(made.state_dict()) == sorted(model.state_dict())
    optimiser = picograd.optim.Adam(model.parameters())
    assert copy.deepcopy(optimiser).param_groups[0]["params"][0] is not model[0].weight


BUFFERS = [
    ("bytearray(range(16))", "dtype=m.float32, offset=4"),
    ("bytearray(range(16))", "dtype=m.int16, count=3"),
    ("bytearray(range(16))", "dtype=m.int16, count=9"),
    ("bytearray(range(16))", "dtype=m.int64, offset=4"),
    ("bytearray(range(16))", "dtype=m.int64, offset=16"),
    ("bytearray()", "dtype=m.uint8"),
    ("b'abcd'", "dtype=m.uint8"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("data, options", BUFFERS)
def test_frombuffer(data, options):
    results = []
    for m in (picograd, torch):
        try:
            results.append(eval(f"m.frombuffer({data}, {options})", {"m": m}).tolist())
        except ValueError:
            results.append(ValueError)
    assert results[0] == results[1]


def test_frombuffer_shares():
    memory = bytearray(4)
    x = picograd.frombuffer(memory, dtype=picograd.uint8)
    memory[1] = 3
    x[2] = 4
    assert x.tolist() == [0, 3, 4, 0] == list(memory)


@pytest.mark.host("expects that there is no GPU")
def test_devices_that_are_not_here_have_names():
    cuda = picograd.device("cuda:1")
    assert (cuda.type, cuda.index, str(cuda)) == ("cuda", 1, "cuda:1")
    assert picograd.ones(1).device != cuda == picograd.device("cuda", 1)
    for use in (picograd.ones(1).to, lambda d: picograd.ones(1, device=d)):
        with pytest.raises(AssertionError, match="not compiled with CUDA enabled"):
            use(cuda)


@pytest.mark.parametrize("to", ["uint8", "int16", "int64", "float32", "complex64"])
@pytest.mark.parametrize("view", ["x", "x[1:]", "x[:, :2]", "x.t()", "x[0, 0]"])
def test_view_as_elements_of_another_size(view, to):
    results = []
    for m in (picograd, torch):
        x = m.arange(16, dtype=m.int32).reshape(4, 4)
        try:
            seen = eval(view).view(getattr(m, to))
            seen[..., 0] = 3
            x += 1
            results.append((seen.tolist(), x.tolist()))
        except (RuntimeError, IndexError) as error:
            results.append(type(error))
    assert results[0] == results[1]
