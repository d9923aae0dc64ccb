"""Files that nobody's `save` wrote are refused, and nothing of theirs runs."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

import picograd
from picograd import nn, serialization


def repacked(raw: bytes, change, **settings) -> bytes:
    """A file with the contents of its records changed (None: left out)."""
    source = zipfile.ZipFile(io.BytesIO(raw))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **settings) as target:
        for name in source.namelist():
            contents = change(name, source.read(name))
            if contents is not None:
                target.writestr(name, contents)
    return stream.getvalue()


def file_of(value: object) -> bytes:
    stream = io.BytesIO()
    picograd.save(value, stream)
    return stream.getvalue()


def with_pickle(text: bytes, contents: bytes = bytes(24)) -> bytes:
    """A file with a pickle of our choice and one storage of 24 bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        target.writestr("archive/data.pkl", text)
        target.writestr("archive/data/0", contents)
        target.writestr("archive/version", b"3\n")
    return stream.getvalue()


def load(raw: bytes, **settings):
    return picograd.load(io.BytesIO(raw), **settings)


class Reduced:
    """Pickles as a call."""

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __reduce__(self):
        return self.parts


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


ran: list[str] = []


def _run(text: str) -> None:
    ran.append(text)


CODE = {
    "system": pickle.dumps(Reduced(os.system, ("exit 1",)), 2),
    "eval": pickle.dumps(Reduced(eval, ("1/0",)), 2),
    "ours": pickle.dumps(Reduced(_run, ("x",)), 2),
    "ours, protocol 4": pickle.dumps(Reduced(_run, ("x",)), 4),
    "instance": b"(S'x'\ni" + __name__.encode() + b"\n_run\n.",
    "object": b"(c" + __name__.encode() + b"\n_run\nS'x'\no.",
    "extension": opcodes(b"\x82\x01"),
    "attribute of a name": opcodes(b"ctorch\n_utils.os.system\n(X\x01\0\0\0xtR"),
    "import": opcodes(b"cantigravity\nfly\n)R"),
    "call of data": opcodes(b"X\x01\0\0\0x)R"),
    "object of data": opcodes(b"X\x01\0\0\0x)\x81"),
    "state of data": opcodes(b"]}b"),
    "slots of a tensor": opcodes(
        b"ctorch.nn.parameter\nParameter\n", b"N\x89\x86R", b"N}X\x07\0\0\0_offsetK\x09s\x86b"
    ),
    "slots of a function": opcodes(b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\0\0\0aK\x01sb"),
    "a class as state": opcodes(b"ccollections\nOrderedDict\n)R]b"),
    "other encodings": pickle.dumps(Reduced(__import__("_codecs").encode, ("x", "rot13")), 2),
    "persistent name": b"Pname\n.",
    "persistent data": opcodes(b"K\x01Q"),
}


@pytest.mark.parametrize("weights_only", [True, False, None])
@pytest.mark.parametrize("name", CODE)
def test_no_code_runs(name, weights_only):
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        load(with_pickle(CODE[name]), weights_only=weights_only)
    assert not ran


DAMAGE = {
    "nothing": b"",
    "no end": b"\x80\x02]",
    "empty stack": opcodes(),
    "below the mark": opcodes(b"(."),
    "no mark": opcodes(b"]t"),
    "append to a number": opcodes(b"K\x01K\x02a"),
    "items of a list": opcodes(b"]K\x01K\x02s"),
    "odd items": opcodes(b"}(K\x01u"),
    "unknown memo": opcodes(b"h\x07"),
    "long text": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "protocol 9": b"\x80\x09N.",
    "not an opcode": b"\x80\x02\xff.",
    "list as key": opcodes(b"}]K\x01s"),
    "deep key": opcodes(b"})" + b"\x85" * 5000 + b"K\x01s"),
    "long number": opcodes(b"I" + b"9" * 5000 + b"\n"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_pickles(name):
    with pytest.raises(pickle.UnpicklingError):
        load(with_pickle(DAMAGE[name]))


class Storage:
    def __init__(self, kind="FloatStorage", key="0", length=6, location="cpu"):
        self.parts = ("storage", kind, key, location, length)


class Text(pickle._Pickler):
    """Writes the tensors that the tests want to be wrong."""

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            kind = obj.parts[1]
            return (*obj.parts[:1], Global("torch", kind), *obj.parts[2:])
        return None

    def reducer_override(self, obj):
        return (
            (obj[0], obj[1:]) if type(obj) is list and obj and callable(obj[0]) else NotImplemented
        )


class Global:
    def __init__(self, module, name):
        self.text = f"c{module}\n{name}\n".encode()

    def __call__(self):
        raise AssertionError


Text.dispatch = {**pickle._Pickler.dispatch, Global: lambda self, obj: self.write(obj.text)}


class Call(list):
    pass


def tensor_file(storage=None, offset=0, size=(6,), stride=(1,), contents=bytes(24), more=()):
    stream = io.BytesIO()
    pickler = Text(stream, 2)
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    arguments = (storage or Storage(), offset, size, stride, False, None, *more)
    pickler.write(b"\x80\x02")
    pickler.save(rebuild)
    pickler.save(arguments)
    pickler.write(b"R.")
    return with_pickle(stream.getvalue(), contents)


BOUNDS = {
    "too long": {"size": (7,)},
    "negative offset": {"offset": -1, "size": (3,)},
    "beyond": {"offset": 6, "size": (1,)},
    "large stride": {"size": (2,), "stride": (6,)},
    "negative stride": {"offset": 5, "stride": (-1,)},
    "negative size": {"size": (-1,)},
    "overflow": {"size": (2,), "stride": (2**63,)},
    "overflowing product": {"size": (2**40, 2**40), "stride": (0, 0)},
    "overlapping and huge": {"size": (2**20, 2**20, 3, 3), "stride": (0, 0, 1, 1)},
    "fewer strides": {"size": (2, 3), "stride": (1,)},
    "float size": {"size": (2.0,)},
    "bool size": {"size": (True,)},
    "many axes": {"size": (1,) * 99, "stride": (1,) * 99},
    "text size": {"size": "ab"},
    "short record": {"contents": bytes(20)},
    "long record": {"contents": bytes(400)},
    "no record": {"storage": Storage(key="1")},
    "path as key": {"storage": Storage(key="../data.pkl")},
    "number as key": {"storage": Storage(key=0)},
    "declared bomb": {"storage": Storage(length=1 << 40), "size": (1 << 40,)},
    "negative length": {"storage": Storage(length=-6)},
    "unknown kind": {"storage": Storage(kind="QUInt8Storage")},
    "dtype as kind": {"storage": Storage(kind="float32")},
    "too many arguments": {"more": (1, 2, 3)},
}


@pytest.mark.parametrize("name", BOUNDS)
def test_tensors_outside_of_their_storage(name):
    with pytest.raises((RuntimeError, pickle.UnpicklingError)):
        load(tensor_file(**BOUNDS[name]))


def test_the_wrong_tensors_would_be_right():
    """The builder of the tests above makes good files when it is told to."""
    contents = np.arange(6, dtype=np.float32).tobytes()
    assert load(tensor_file(contents=contents)).tolist() == [0, 1, 2, 3, 4, 5]
    window = load(tensor_file(offset=1, size=(2, 2), stride=(3, 1), contents=contents))
    assert window.tolist() == [[1, 2], [4, 5]]


def test_other_bools_are_true():
    raw = tensor_file(Storage("BoolStorage"), contents=bytes([0, 1, 2, 255, 0, 7]))
    assert load(raw).view(picograd.uint8).tolist() == [0, 1, 1, 1, 0, 1]


def test_one_storage_of_two_types():
    raw = file_of([picograd.ones(2), picograd.zeros(2, dtype=picograd.int32)])
    changed = repacked(raw, lambda name, text: text.replace(b"X\x01\0\0\0001", b"X\x01\0\0\0000"))
    with pytest.raises(RuntimeError, match="two types"):
        load(changed)


GOOD = file_of({"a": picograd.arange(8.0), "b": [picograd.ones(3)]})


def test_every_truncation_is_an_error():
    for length in range(0, len(GOOD), 37):
        with pytest.raises((RuntimeError, EOFError, pickle.UnpicklingError)):
            load(GOOD[:length])


def test_changed_bytes_never_crash(seed):
    """Whatever a changed byte does, it is an error or a dictionary."""
    rng = np.random.default_rng(seed)
    for _ in range(150):
        changed = bytearray(GOOD)
        for place in rng.integers(0, len(GOOD), 3):
            changed[place] = rng.integers(0, 256)
        try:
            load(bytes(changed))
        except (RuntimeError, EOFError, pickle.UnpicklingError, UnicodeDecodeError) as e:
            assert str(e)


def test_changed_pickles_never_crash(seed):
    """The same inside of a pickle, where no checksum helps."""
    rng = np.random.default_rng(seed)
    good = zipfile.ZipFile(io.BytesIO(GOOD)).read("archive/data.pkl")
    for _ in range(300):
        text = bytearray(good)
        for place in rng.integers(0, len(text), 2):
            text[place] = rng.integers(0, 256)
        raw = repacked(
            GOOD, lambda name, old, new=bytes(text): new if name.endswith(".pkl") else old
        )
        try:
            repr(load(raw))
        except (RuntimeError, pickle.UnpicklingError) as e:
            assert str(e)


ARCHIVES = {
    "compressed": lambda: repacked(GOOD, lambda n, c: c, compression=zipfile.ZIP_DEFLATED),
    "bomb": lambda: repacked(
        GOOD, lambda n, c: bytes(1 << 22) if n.endswith("data/0") else c,
        compression=zipfile.ZIP_DEFLATED,
    ),
    "no pickle": lambda: repacked(GOOD, lambda n, c: None if n.endswith("pkl") else c),
    "no storage": lambda: repacked(GOOD, lambda n, c: None if n.endswith("data/0") else c),
    "byte order": lambda: repacked(GOOD, lambda n, c: b"x" if n.endswith("byteorder") else c),
    "path up": lambda: GOOD.replace(b"archive/data/1", b"archive/../../"),
    "absolute": lambda: GOOD.replace(b"archive/data/1", b"/rchive/data/1"),
    "duplicate": lambda: GOOD.replace(b"archive/data/1", b"archive/data/0"),
    "checksum": lambda: GOOD.replace(struct.pack("<f", 5.0), struct.pack("<f", 6.0)),
    "not a zip": lambda: b"hello, this is text",
    "old pickle": lambda: pickle.dumps({"a": 1}),
    "another zip": lambda: repacked(GOOD, lambda n, c: None) or b"",
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(name):
    raw = ARCHIVES[name]()
    assert raw != GOOD
    with pytest.raises((RuntimeError, pickle.UnpicklingError)):
        load(raw)


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def test_a_module_whose_classes_a_program_declares():
    """Hooks needn't be declared, and a layer may keep a function."""
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)
    raw = file_of(layer)
    own = [nn.MultiheadAttention, nn.Linear, nn.LayerNorm, nn.Dropout, nn.functional.relu]
    own += [nn.modules.linear.NonDynamicallyQuantizableLinear, nn.TransformerEncoderLayer]
    with serialization.safe_globals(own):
        x = picograd.ones(3, 1, 4)
        assert picograd.equal(load(raw)(x), layer(x))


def test_what_a_program_declares_safe_is_loaded():
    raw = file_of(Point(3))
    with pytest.raises(pickle.UnpicklingError, match="add_safe_globals"):
        load(raw)
    with serialization.safe_globals([Point]):
        assert load(raw).x == 3
        assert serialization.get_safe_globals() == [Point]
        assert load(file_of({"kind": Point, "more": [Point, (Point, 1)]})) == {
            "kind": Point, "more": [Point, (Point, 1)],
        }  # fmt: skip
    with pytest.raises(pickle.UnpicklingError):
        load(raw, weights_only=False)
