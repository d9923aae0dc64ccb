"""Views against torch: values, strides, offsets, errors."""

import numpy as np
import pytest

pytest.importorskip("torch")
from tests.frontend.twins import same


def described(x):
    return (x, x.stride(), x.storage_offset(), x.is_contiguous())


VIEWS = {
    "row": lambda x: x[1],
    "negative": lambda x: x[-1],
    "element": lambda x: x[1, 2, 3],
    "column": lambda x: x[:, 1],
    "steps": lambda x: x[::2, 1:, ::3],
    "ellipsis": lambda x: x[..., 0],
    "ellipsis between": lambda x: x[0, ..., 1],
    "new axes": lambda x: x[None, :, None, 1],
    "new axis last": lambda x: x[..., None],
    "empty": lambda x: x[2:2],
    "empty beyond": lambda x: x[:, 5:3],
    "clamped": lambda x: x[-10:10, 1:100],
    "nested": lambda x: x[1:][0][:, 1:3],
    "nested steps": lambda x: x[:, :, ::2][:, :, 1::2],
    "whole": lambda x: x[:],
    "transpose": lambda x: x.transpose(0, 2),
    "permute": lambda x: x.permute(2, 0, 1),
    "permute twice": lambda x: x.permute(2, 0, 1).permute(1, 2, 0),
    "mT": lambda x: x.mT,
    "t": lambda x: x[0].t(),
    "T": lambda x: x[0].T,
    "view": lambda x: x.view(4, 6),
    "view -1": lambda x: x.view(2, -1),
    "view of slice": lambda x: x[1].view(-1),
    "view split": lambda x: x.transpose(0, 1).view(3, 2, 2, 2),
    "reshape copy": lambda x: x.permute(2, 1, 0).reshape(-1),
    "flatten": lambda x: x.flatten(1),
    "flatten all": lambda x: x.flatten(),
    "unflatten": lambda x: x.unflatten(2, (2, -1)),
    "squeeze": lambda x: x[:1, :, :1].squeeze(),
    "squeeze one": lambda x: x[:1, :, :1].squeeze(0),
    "squeeze not one": lambda x: x.squeeze(1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "unsqueeze last": lambda x: x.transpose(0, 2).unsqueeze(-1),
    "expand": lambda x: x[:, :1].expand(2, 5, 4),
    "expand new": lambda x: x[0].expand(2, -1, -1),
    "expand same": lambda x: x.expand(2, 3, 4),
    "movedim": lambda x: x.movedim(0, -1),
    "movedim many": lambda x: x.movedim((0, 1), (2, 0)),
    "select": lambda x: x.select(1, -2),
    "narrow": lambda x: x.narrow(2, 1, 2),
    "diagonal": lambda x: x[0].diagonal(),
    "diagonal above": lambda x: x[0].diagonal(1),
    "diagonal below": lambda x: x[0].diagonal(-1),
    "diagonal outside": lambda x: x[0].diagonal(7),
    "diagonal dims": lambda x: x.diagonal(1, 2, 0),
    "unbind": lambda x: x.unbind(1)[2],
    "chunk": lambda x: x.chunk(3, 2)[1],
    "split": lambda x: x.split(3, 2)[1],
    "split sizes": lambda x: x.split([1, 3], 2)[1],
    "tensor_split": lambda x: x.tensor_split(3, 2)[2],
    "contiguous": lambda x: x.transpose(0, 1).contiguous(),
    "clone": lambda x: x[:, 1].clone(),
    "view dtype": lambda x: x.view(x.dtype),
    "detach": lambda x: x[1].detach(),
    "numpy integer": lambda x: x[np.int64(1), :, np.int32(0)],
}


@pytest.mark.parametrize("name", VIEWS)
def test_view_reads(name):
    same(lambda m: described(VIEWS[name](m.arange(24).view(2, 3, 4))))


# What torch gives as a copy is not written through.
COPIES = ("clone", "contiguous", "reshape copy")


@pytest.mark.parametrize("name", VIEWS)
def test_view_writes(name):
    def program(m):
        x = m.arange(24).view(2, 3, 4)
        y = VIEWS[name](x)
        y += 100
        y.copy_(y * 2)
        return x, y

    same(program, messages=not name.startswith("expand"))


@pytest.mark.parametrize("name", VIEWS)
def test_view_gradients(name):
    def program(m):
        x = m.arange(24.0).view(2, 3, 4).requires_grad_()
        y = VIEWS[name](x)
        if name in ("detach", "view dtype"):
            return None
        weight = m.arange(float(y.numel())).view(y.shape)
        (y * y * weight).sum().backward()
        return x.grad

    same(program)


# Torch refuses in-place writes to one of several views made at once, and `view(dtype)` forgets.
NOT_WRITTEN = ("expand", "expand new", "unbind", "chunk", "split", "split sizes", "view dtype")


@pytest.mark.parametrize("name", [n for n in VIEWS if n not in NOT_WRITTEN])
def test_gradients_through_writes(name):
    def program(m):
        w = m.arange(24.0).view(2, 3, 4).requires_grad_()
        x = w * 2
        y = VIEWS[name](x)
        if name == "detach":
            return None
        before = x * 1
        v = (m.arange(float(y.numel())) + 1).view(y.shape).requires_grad_()
        y.mul_(v)
        (x * x * before).sum().backward()
        return w.grad, v.grad

    same(program)


ERRORS = {
    "view": lambda x: x.t().view(-1),
    "view size": lambda x: x.view(5),
    "view -1": lambda x: x.view(-1, 5),
    "view two -1": lambda x: x.view(-1, -1),
    "index": lambda x: x[3],
    "index second": lambda x: x[0, -5],
    "too many": lambda x: x[0, 0, 0],
    "zero dim": lambda x: x[0, 0][0],
    "negative step": lambda x: x[::-1],
    "expand": lambda x: x.expand(2, 4),
    "permute": lambda x: x.permute(0, 0),
    "transpose": lambda x: x.transpose(0, 2),
    "t": lambda x: x[None].t(),
    "narrow": lambda x: x.narrow(0, 2, 5),
    "unsqueeze": lambda x: x.unsqueeze(4),
    "overlap": lambda x: x[:1].expand(3, 4).add_(1),
    "string": lambda x: x["a"],
    "len": lambda x: len(x[0, 0]),
    "iterate": lambda x: list(x[0, 0]),
    "chunk": lambda x: x.chunk(0),
    "split": lambda x: x.split([1, 1]),
    "select": lambda x: x.select(0, 9),
    "diagonal": lambda x: x.diagonal(0, 1, 1),
}
DIFFERENT_WORDS = ("expand", "permute", "string", "narrow")


@pytest.mark.parametrize("name", ERRORS)
def test_view_errors(name):
    found = same(
        lambda m: ERRORS[name](m.arange(12).view(3, 4)), messages=name not in DIFFERENT_WORDS
    )
    assert isinstance(found, (tuple, str))


def test_random_view_chains(seed):
    """Chains of random views read, write and differentiate as torch's do."""
    rng = np.random.default_rng(seed)
    for _ in range(40):
        chain = [int(n) for n in rng.integers(0, 1 << 30, 5)]

        def program(m, chain=chain):
            w = (m.arange(60.0).view(3, 4, 5) + 1).requires_grad_()
            x = w * 1
            y = x
            for number in chain:
                y = random_view(y, number)
            described_view = (y.stride(), y.storage_offset(), tuple(y.shape))
            y.mul_(3)
            z = x * 3
            y.add_(1)
            (z.sum() + (x * 2).sum()).backward()
            return described_view, x, y, w.grad

        same(program, messages=False)


def random_view(x, number):
    kind, rest = number % 6, number // 6
    if x.ndim == 0:
        return x.unsqueeze(0)
    axis = rest % x.ndim
    extent = x.shape[axis]
    if kind == 0:
        return x.transpose(axis, rest // 7 % x.ndim)
    if kind == 1 and extent:
        return x.select(axis, rest // 11 % extent)
    if kind == 2:
        start = rest // 13 % (extent + 1)
        return x[(slice(None),) * axis + (slice(start, None, 1 + rest // 17 % 2),)]
    if kind == 3:
        return x.unsqueeze(axis)
    if kind == 4 and x.is_contiguous():
        return x.view(-1)
    if kind == 5 and x.ndim >= 2 and x.is_contiguous():
        return x.flatten(0, 1)
    return x.squeeze()


def test_view_dtype_shares_memory():
    def program(m):
        x = m.tensor([1.0, -2.0])
        bits = x.view(m.int32)
        bits[0] = 0
        return x, bits

    same(program)


def test_fill_of_repeated_elements():
    def program(m):
        x = m.arange(12.0).view(3, 4)
        x[:1].expand(3, 4).zero_()
        x[1].expand(2, 4).fill_(7)
        y = m.tensor(1.0)
        y.expand(3).fill_(2.5)
        return x, y

    same(program)
