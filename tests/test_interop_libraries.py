"""einops, safetensors and multiprocessing in programs that say `import torch`, and without it."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import picograd

EINOPS = """
import torch
from einops import asnumpy, einsum, pack, parse_shape, rearrange, reduce, repeat, unpack
x = torch.arange(24.).reshape(2, 3, 4)
assert rearrange(x, 'b c d -> b (c d)').tolist() == x.reshape(2, 12).tolist()
assert rearrange(x, 'b c (k l) -> k b (c l)', k=2)[1, 0].tolist() == [2, 3, 6, 7, 10, 11]
for name in ('mean', 'sum', 'max', 'min', 'prod'):
    wanted = getattr(x.cpu().numpy(), name)((1, 2)).tolist()
    assert torch.allclose(reduce(x, 'b c d -> b', name), torch.tensor(wanted)), name
assert repeat(x, 'b c d -> b (c k) d', k=2).tolist() == x.repeat_interleave(2, 1).tolist()
assert torch.equal(einsum(x, x, 'b c d, b e d -> b c e'), x @ x.mT)
packed, shapes = pack([x, torch.ones(2, 5)], 'b *')
assert [tuple(part.shape) for part in unpack(packed, shapes, 'b *')] == [(2, 3, 4), (2, 5)]
assert parse_shape(x, 'b _ d') == {'b': 2, 'd': 4} and asnumpy(x).sum() == 276
x.requires_grad_()
reduce(x * 2, 'b c d -> c', 'sum').sum().backward()
assert x.grad.eq(2).all()
"""
LAYERS = """
from einops.layers.torch import EinMix, Rearrange, Reduce
model = torch.nn.Sequential(
    Rearrange('b c d -> b (c d)'), torch.nn.Linear(12, 4), Rearrange('b (k l) -> b k l', k=2),
    Reduce('b k l -> b k', 'max'))
assert model(x).shape == (2, 2) and len(list(model.parameters())) == 2
mix = EinMix('b c d -> b d e', 'c e', c=3, e=5, bias_shape='e')
assert mix(x).shape == (2, 4, 5) and len(mix.state_dict()) == 2
"""
SAFETENSORS = """
import sys, torch
from safetensors import safe_open
from safetensors.torch import load, load_file, load_model, save, save_file, save_model
path = sys.argv[1] + '/a.safetensors'
dtypes = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
          torch.int16, torch.int8, torch.uint8, torch.bool]
state = {str(d): torch.tensor([[0, 1], [2, 3]]).to(d) for d in dtypes}
state |= {'empty': torch.zeros(0, 2), 'number': torch.tensor(3.0), 'one': torch.zeros(3),
          'two': torch.zeros(3)}
save_file(state, path, metadata={'k': 'v'})
for found in (load_file(path), load(save(state))):
    assert sorted(found) == sorted(state)
    for name, tensor in found.items():
        assert tensor.dtype is state[name].dtype and torch.equal(tensor.cpu(), state[name].cpu())
with safe_open(path, framework='pt', device='cpu') as file:
    assert file.metadata() == {'k': 'v'} and 'number' in file.keys()
    assert file.get_slice('torch.float32')[1:, 0].tolist() == [2.0]
model, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
save_model(model, path)
assert load_model(other, path) == (set(), []) and torch.equal(model.weight, other.weight)
x = torch.ones(4)
for wrong in ({'a': x, 'b': x}, {'a': x.reshape(2, 2).t()}, {'a': 1}, [x]):
    try:
        save_file(wrong, path)
    except (RuntimeError, ValueError) as error:
        continue
    raise AssertionError(wrong)
"""
SHARED = """
import torch
import torch.multiprocessing as mp
def write(x, queue):
    x[1] += 5
    queue.put(x * 2)
def number(rank, x):
    x[rank] = rank + 1
if __name__ == '__main__':
    x, queue = torch.zeros(3).share_memory_(), mp.Queue()
    process = mp.get_context('fork').Process(target=write, args=(x, queue))
    process.start()
    received = queue.get()
    process.join()
    assert x.tolist() == [0, 5, 0] and received.tolist() == [0, 10, 0], (x, received)
    mp.start_processes(number, args=(x,), nprocs=2, start_method='fork')
    assert x.tolist() == [1, 2, 0]
    model = torch.nn.Linear(2, 2)
    model.share_memory()
    assert all(p.is_shared() for p in model.parameters())
    model(torch.ones(2)).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert all(p.is_shared() for p in model.parameters())
"""


def run(program: str, folder: Path, alias: bool = True) -> None:
    path = folder / "program.py"
    path.write_text(program)
    command = [sys.executable, *(["-m", "picograd"] if alias else []), str(path), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_einops_under_the_alias(tmp_path: Path) -> None:
    pytest.importorskip("einops")
    run(EINOPS + LAYERS, tmp_path)


@pytest.mark.parametrize("first", ["picograd", "einops"])
def test_einops_without_it(tmp_path: Path, first: str) -> None:
    pytest.importorskip("einops")
    root = Path(picograd.__file__).parents[1]
    start = (
        f"import sys\nsys.path.insert(0, {str(root)!r})\nimport {first}\nimport einops._backends"
    )
    program = start + EINOPS.replace("import torch", "\nimport picograd as torch", 1)
    run(program + "assert 'torch' not in sys.modules", tmp_path, alias=False)


def test_safetensors(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    run(SAFETENSORS, tmp_path)


def header(content: object) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text


def entry(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


HOSTILE = {
    "empty": b"",
    "long header": struct.pack("<Q", 1 << 62) + b"{}",
    "no json": header(b"\x80\x04cos\nsystem\n"),
    "offsets beyond the end": header(entry(offsets=(0, 1 << 40))) + bytes(8),
    "offsets backwards": header(entry(offsets=(8, 0))) + bytes(8),
    "a shape that doesn't fit": header(entry(shape=(1 << 40,))) + bytes(8),
    "a negative shape": header(entry(shape=(-2,))) + bytes(8),
    "an unknown type": header(entry(dtype="PY")) + bytes(8),
    "a hole": header(entry(offsets=(8, 16))) + bytes(16),
    "cut off": header(entry()) + bytes(4),
}


def test_hostile_safetensors(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    for number, content in enumerate(HOSTILE.values()):
        (tmp_path / f"{number}.safetensors").write_bytes(content)
    run(
        "import sys, glob\nfrom safetensors import SafetensorError\n"
        "from safetensors.torch import load, load_file\n"
        f"files = glob.glob(sys.argv[1] + '/*.safetensors')\nassert len(files) == {len(HOSTILE)}\n"
        "for path in files:\n"
        "    for read in (load_file, lambda path: load(open(path, 'rb').read())):\n"
        "        try:\n            print(read(path))\n"
        "        except (SafetensorError, ValueError, OSError):\n            continue\n"
        "        raise AssertionError(path)\n",
        tmp_path,
    )


@pytest.mark.host("forked processes share the CPU's memory; of a GPU they may use nothing")
def test_processes_share_memory(tmp_path: Path) -> None:
    run(SHARED, tmp_path)
