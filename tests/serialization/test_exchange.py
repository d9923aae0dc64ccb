"""Files go both ways between picograd and torch, and come back as they were."""

from __future__ import annotations

import io
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

WAYS = [(picograd, torch), (torch, picograd), (picograd, picograd)]
# Where picograd's tensors are on a GPU that torch doesn't see, torch reads them to the CPU.
HERE = {} if torch.cuda.is_available() else {torch: {"map_location": "cpu"}}
DTYPES = [
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16",
    "bfloat16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip


def through(source, target, value, **settings):
    stream = io.BytesIO()
    source.save(value, stream)
    stream.seek(0)
    return target.load(stream, **HERE.get(target, {}) | settings)


def same(a, b) -> None:
    """Equal in type (by name), shape, strides, offset, requires_grad and contents."""
    if type(a).__name__ in ("dtype", "DType", "device", "Size"):
        assert repr(a) == repr(b)
        return
    assert type(a).__name__ == type(b).__name__
    if hasattr(a, "stride"):
        assert repr(a.dtype) == repr(b.dtype) and tuple(a.shape) == tuple(b.shape)
        assert a.requires_grad == b.requires_grad
        if 0 not in a.shape:
            assert a.stride() == b.stride() and a.storage_offset() == b.storage_offset()
        assert a.detach().reshape(-1).tolist() == b.detach().reshape(-1).tolist()
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif type(a) in (list, tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            same(one, other)
    else:
        assert a == b


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype):
    for source, target in WAYS:
        value = [
            source.tensor(data, dtype=getattr(source, dtype))
            for data in ([[0, 1, 2], [1, 0, 1]], 1, [], [[]])
        ]
        for loaded, original in zip(through(source, target, value), value, strict=True):
            same(loaded, original)


VALUES = {
    "plain": "[1, -(2**70), 2.5, 'text', 'ü', None, True, b'bytes', 3 + 4j, (), (1,), (1, 2, 3)]",
    "containers": "{'a': [{1: 2}, {3, 4}], ('k', 1): OrderedDict(x=1), 2.5: Counter('aab')}",
    "bytearray": "bytearray(b'abc')",
    "long": "list(range(3000)) + ['x' * 70000]",
    "nested": "[[[[[[1], 2], 3], 4], 5], {'a': {'b': {'c': m.ones(1)}}}]",
    "settings": "[m.float16, m.bool, m.zeros(2, 3).shape, m.device('cpu')]",
    "parameter": "m.nn.Parameter(m.arange(3.0))",
    "frozen": "m.nn.Parameter(m.arange(3.0), requires_grad=False)",
    "requires_grad": "m.ones(2, requires_grad=True)",
    "transposed": "m.arange(24.0).view(2, 3, 4).permute(2, 0, 1)",
    "window": "m.arange(24.0).view(4, 6)[1:3, 2:5]",
    "last_rows": "m.arange(24.0).view(4, 6)[2:, 1:]",
    "steps": "m.arange(24.0).view(4, 6)[::2, 1::2]",
    "odd_steps": "m.arange(23.0)[1::3]",
    "column": "m.arange(24.0).view(4, 6)[:, 5]",
    "diagonal": "m.arange(25.0).view(5, 5).diagonal()",
    "expanded": "m.arange(3.0).view(3, 1).expand(2, 3, 4)",
    "scalar_view": "m.arange(3.0)[1]",
    "expanded_scalar": "m.arange(3.0)[1].expand(2, 2)",
    "state_dict": "m.nn.Sequential(m.nn.Linear(2, 3), m.nn.BatchNorm1d(3)).state_dict()",
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    for source, target in WAYS:
        scope = {"m": source, "OrderedDict": OrderedDict, "Counter": Counter}
        value = eval(VALUES[name], scope)
        loaded = through(source, target, value)
        if name == "state_dict":
            assert type(loaded) is OrderedDict and set(loaded._metadata) == {"", "0", "1"}
            loaded, value = dict(loaded), dict(value)
        same(loaded, value)


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_views_share_memory(source, target):
    whole = source.zeros(4, 6)
    value = {
        "whole": whole, "row": whole[1], "window": whole[0:2, 3:], "turned": whole.t(),
        "flat": whole.view(-1), "again": whole, "other": source.zeros(4, 6),
    }  # fmt: skip
    loaded = through(source, target, value)
    loaded["row"][4] = 7
    assert loaded["whole"] is loaded["again"]
    assert loaded["whole"][1, 4] == 7 == loaded["window"][1, 1] == loaded["turned"][4, 1]
    assert loaded["flat"][10] == 7 and loaded["other"].sum() == 0
    first = through(source, target, [whole[1], whole])
    first[0].fill_(3)
    assert first[1].sum() == 18


def test_tied_weights_stay_tied():
    weight = torch.nn.Parameter(torch.ones(3))
    a, b = through(torch, picograd, [weight, weight])
    assert a is b and a.is_leaf and a.requires_grad
    a, b = through(torch, picograd, [torch.ones(3).requires_grad_(), weight.detach()])
    (a * 2).sum().backward()
    assert a.grad.tolist() == [2, 2, 2] and b.grad is None


def test_overlapping_windows_become_copies():
    value = torch.arange(6.0).as_strided((4, 3), (1, 1))
    assert through(torch, picograd, value).tolist() == value.tolist()


def test_conjugate_and_negative_views():
    value = torch.tensor([1 + 2j, 3 - 1j])
    assert through(torch, picograd, value.conj()).tolist() == value.conj().tolist()
    assert through(torch, picograd, value.conj().imag).tolist() == value.conj().imag.tolist()


def test_state_dicts_of_optimisers():
    for source, target in WAYS:
        rng = np.random.default_rng(0)
        start = rng.standard_normal((2, 3)).astype(np.float32)
        slope = rng.standard_normal((2, 3)).astype(np.float32)
        ends = []
        value = None
        for module in (source, target):
            w = module.tensor(start.copy(), requires_grad=True)
            optimizer = module.optim.Adam([w], lr=0.1, amsgrad=True)
            if value is not None:
                optimizer.load_state_dict(through(source, target, value))
            w.grad = module.tensor(slope)
            optimizer.step()
            if value is None:
                value = optimizer.state_dict()
                with module.no_grad():
                    w.copy_(module.tensor(start))
                optimizer.step()
            ends.append(w.detach().numpy().copy())
        np.testing.assert_allclose(*ends, rtol=1e-6)


def test_whole_modules():
    model = picograd.nn.Sequential(picograd.nn.Linear(2, 3), picograd.nn.ReLU())
    model.eval()
    again = through(picograd, picograd, model, weights_only=False)
    x = picograd.ones(1, 2)
    assert repr(again) == repr(model) and again(x).tolist() == model(x).tolist()
    assert not again.training


def test_paths(tmp_path):
    path = tmp_path / "model.pt"
    for name in (path, str(path)):
        picograd.save({"a": picograd.ones(2)}, name)
        here = torch.load(name, **HERE.get(torch, {}))["a"]
        assert here.tolist() == [1, 1] == picograd.load(name)["a"].tolist()
    first = path.read_bytes()
    picograd.save({"a": picograd.ones(2)}, path)
    assert path.read_bytes() == first, "the same contents make the same file"
    with pytest.raises(RuntimeError, match="Parent directory"):
        picograd.save(1, tmp_path / "missing" / "x.pt")
    with pytest.raises(FileNotFoundError):
        picograd.load(tmp_path / "missing.pt")
    with pytest.raises(AttributeError):
        picograd.save(1, 3)
    with pytest.raises(AttributeError):
        picograd.load(3)
    with path.open("rb") as stream:
        assert picograd.load(stream)["a"].tolist() == [1, 1]


def test_what_cannot_be_pickled_leaves_no_file(tmp_path: Path):
    path = tmp_path / "x.pt"
    with pytest.raises(Exception, match="pickle"):
        picograd.save(lambda: 0, path)
    assert not path.exists()


LOCATIONS = ["cpu", "numpy", {"cpu": "numpy"}, picograd.device("numpy"), lambda s, place: s.cpu(),
             lambda s, place: None]  # fmt: skip
PLACES = ["cpu", "numpy", "numpy", "numpy", "cpu", "cpu"]


@pytest.mark.parametrize(("location", "place"), list(zip(LOCATIONS, PLACES, strict=True)))
def test_map_location(location, place):
    loaded = through(torch, picograd, torch.ones(2), map_location=location)
    assert loaded.device.type == place and loaded.tolist() == [1, 1]


def test_other_byte_orders():
    stream = io.BytesIO()
    value = [picograd.tensor([1.5, -2.0]), picograd.tensor([1 + 2j])]
    picograd.save(value, stream)
    raw = stream.getvalue()
    from tests.serialization.test_hostile import repacked

    def change(name, contents):
        if name.endswith("byteorder"):
            return b"big"
        if name.endswith(("data/0", "data/1")):
            return np.frombuffer(contents, "<f4").astype(">f4").tobytes()
        return contents

    loaded = picograd.load(io.BytesIO(repacked(raw, change)))
    assert [one.tolist() for one in loaded] == [[1.5, -2.0], [1 + 2j]]


def test_defaultdicts():
    value = defaultdict(list, a=[1])
    loaded = through(picograd, picograd, value)
    assert loaded == value and loaded["new"] == []
