"""Bad input raises torch's exception type at the call, with the shapes and dtypes in the message.

Each case runs with picograd (type and words of the message) and, where PyTorch is installed, with
torch (type), so that the table itself is checked. Whatever was raised, tensors stay usable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

import picograd

try:
    import torch
except ImportError:
    torch = None


class Case(NamedTuple):
    """A program that fails, the exception's type, and words of picograd's message."""

    program: Callable[..., object]
    error: type[Exception]
    words: tuple[str, ...] = ()


def needs_grad(m, *shape):
    return m.ones(*shape, requires_grad=True)


SHAPES = {
    "add": Case(lambda m: m.ones(2, 3) + m.ones(4), RuntimeError, ("3", "4")),
    "multiply in place": Case(lambda m: m.ones(3).mul_(m.ones(2, 3)), RuntimeError, ("[2, 3]",)),
    "compare": Case(lambda m: m.ones(2) < m.ones(3), RuntimeError, ("2", "3")),
    "where": Case(lambda m: m.where(m.ones(2) > 0, m.ones(3), m.ones(3)), RuntimeError, ("2", "3")),
    "matmul": Case(lambda m: m.ones(2, 3) @ m.ones(4, 5), RuntimeError, ("2x3", "4x5")),
    "matmul vectors": Case(lambda m: m.ones(3) @ m.ones(4), RuntimeError, ("[3]", "[4]")),
    "matmul matrix vector": Case(lambda m: m.ones(2, 3) @ m.ones(4), RuntimeError, ("2x3", "4")),
    "matmul batches": Case(lambda m: m.ones(2, 3, 4) @ m.ones(5, 4, 3), RuntimeError, ("2", "5")),
    "matmul 0-d": Case(lambda m: m.ones(()) @ m.ones(3), RuntimeError, ("1D",)),
    "mm of a vector": Case(lambda m: m.mm(m.ones(3), m.ones(3)), RuntimeError, ("matri",)),
    "bmm": Case(lambda m: m.bmm(m.ones(2, 3), m.ones(3, 2)), RuntimeError, ("3D",)),
    "dot": Case(lambda m: m.dot(m.ones(2), m.ones(3)), RuntimeError, ("2", "3")),
    "einsum extents": Case(
        lambda m: m.einsum("ij,jk->ik", m.ones(2, 3), m.ones(4, 5)), RuntimeError, ("j", "3", "4")
    ),
    "einsum axes": Case(lambda m: m.einsum("ijk->i", m.ones(2, 3)), RuntimeError, ("subscripts",)),
    "einsum operands": Case(
        lambda m: m.einsum("ij,jk", m.ones(2, 2)), RuntimeError, ("fewer", "ij,jk")
    ),
    "einsum letters": Case(lambda m: m.einsum("i$->i", m.ones(2, 2)), RuntimeError, ("i$",)),
    "diff of a number": Case(lambda m: m.tensor(3.0).diff(), RuntimeError, ("one-dim",)),
    "split of a number": Case(lambda m: m.tensor(3.0).split(1), RuntimeError, ("dim",)),
    "unbind a number": Case(lambda m: m.tensor(3.0).unbind(), IndexError, ("dim",)),
    "argmax of bools": Case(lambda m: m.ones(2).bool().argmax(), RuntimeError, ("bool",)),
    "cat": Case(lambda m: m.cat([m.ones(2, 3), m.ones(2, 4)]), RuntimeError, ("3", "4")),
    "cat ranks": Case(lambda m: m.cat([m.ones(2, 3), m.ones(2)]), RuntimeError, ("2", "1")),
    "stack": Case(lambda m: m.stack([m.ones(2), m.ones(3)]), RuntimeError, ("[2]", "[3]")),
    "stack of nothing": Case(lambda m: m.stack([]), RuntimeError, ("non-empty",)),
    "view": Case(lambda m: m.ones(2, 3).view(4), RuntimeError, ("[4]", "6")),
    "view of a transpose": Case(
        lambda m: m.ones(2, 3).T.view(6), RuntimeError, ("view", "reshape")
    ),
    "reshape": Case(lambda m: m.ones(2, 3).reshape(4, 2), RuntimeError, ("[4, 2]", "6")),
    "reshape -1": Case(lambda m: m.ones(2, 3).reshape(4, -1), RuntimeError, ("[4, -1]", "6")),
    "reshape two -1": Case(lambda m: m.ones(2, 3).reshape(-1, -1), RuntimeError, ("one",)),
    "expand": Case(lambda m: m.ones(2, 3).expand(4, 3), RuntimeError, ("4", "2")),
    "expand fewer": Case(lambda m: m.ones(2, 3).expand(3), RuntimeError, ("3",)),
    "broadcast_to": Case(lambda m: m.broadcast_to(m.ones(2), (3,)), RuntimeError, ("3", "2")),
    "permute": Case(lambda m: m.ones(2, 3).permute(0), RuntimeError, ("2", "1")),
    "permute twice": Case(lambda m: m.ones(2, 3).permute(0, 0), RuntimeError, ()),
    "split sizes": Case(lambda m: m.ones(4).split([1, 2]), RuntimeError, ("4",)),
    "unflatten": Case(lambda m: m.ones(6).unflatten(0, (4, 2)), RuntimeError, ("6",)),
    "gather": Case(
        lambda m: m.gather(m.ones(2), 0, m.zeros(1, 1, dtype=m.int64)), RuntimeError, ()
    ),
    "assign": Case(lambda m: m.zeros(2, 3).__setitem__(0, m.ones(2)), RuntimeError, ("2", "3")),
    "copy_": Case(lambda m: m.zeros(3).copy_(m.ones(2)), RuntimeError, ("2", "3")),
    "T of linear weights": Case(
        lambda m: m.nn.functional.linear(m.ones(2, 3), m.ones(4, 5)), RuntimeError, ("2x3", "5x4")
    ),
    "cross entropy": Case(
        lambda m: m.nn.functional.cross_entropy(m.ones(2, 3), m.zeros(4, dtype=m.int64)),
        ValueError,
        ("2", "4"),
    ),
    "ragged list": Case(lambda m: m.tensor([[1, 2], [3]]), ValueError, ("length",)),
    "negative size": Case(lambda m: m.zeros(-1), RuntimeError, ("-1",)),
    "narrow": Case(lambda m: m.ones(3).narrow(0, 2, 4), RuntimeError, ("2", "4", "3")),
    "diagonal of a vector": Case(lambda m: m.ones(3).diagonal(), IndexError, ("-1",)),
}

DTYPES = {
    "float index": Case(lambda m: m.ones(3)[m.ones(2)], IndexError, ("Float", "long")),
    "index by a float": Case(lambda m: m.ones(3)[1.5], IndexError, ("float",)),
    "index by text": Case(lambda m: m.ones(3)["a"], TypeError, ("str",)),
    "float gather": Case(lambda m: m.gather(m.ones(2), 0, m.ones(2)), RuntimeError, ("int64",)),
    "float embedding": Case(
        lambda m: m.nn.functional.embedding(m.ones(2), m.ones(3, 4)),
        RuntimeError,
        ("Float", "Long"),
    ),
    "bitwise and": Case(lambda m: m.ones(2) & m.ones(2), RuntimeError, ("float",)),
    "bitwise not": Case(lambda m: ~m.ones(2), TypeError, ("float32",)),
    "bitwise xor": Case(lambda m: m.ones(2) ^ 1, RuntimeError, ("float",)),
    "integer += float": Case(
        lambda m: m.ones(2, dtype=m.int64).add_(1.5), RuntimeError, ("float", "long")
    ),
    "integer /= integer": Case(
        lambda m: m.ones(2, dtype=m.int32).div_(2), RuntimeError, ("float", "int")
    ),
    "bool += integer": Case(
        lambda m: m.ones(2, dtype=m.bool).add_(1), RuntimeError, ("long", "bool")
    ),
    "real += complex": Case(
        lambda m: m.ones(2).add_(m.ones(2, dtype=m.complex64)), RuntimeError, ("complex", "float")
    ),
    "bool - bool": Case(
        lambda m: m.ones(2, dtype=m.bool) - m.ones(2, dtype=m.bool), RuntimeError, ("bool",)
    ),
    "negate bool": Case(lambda m: -m.ones(2, dtype=m.bool), RuntimeError, ("bool",)),
    "mean of integers": Case(lambda m: m.ones(2, dtype=m.int64).mean(), RuntimeError, ("Long",)),
    "order complex": Case(
        lambda m: m.ones(2, dtype=m.complex64) < m.ones(2, dtype=m.complex64), RuntimeError, ()
    ),
    "max of complex": Case(lambda m: m.ones(2, dtype=m.complex64).max(), RuntimeError, ()),
    "matmul dtypes": Case(
        lambda m: m.ones(2, 2) @ m.ones(2, 2, dtype=m.float64), RuntimeError, ("float", "double")
    ),
    "integers that require grad": Case(
        lambda m: m.tensor([1, 2], requires_grad=True), RuntimeError, ("float",)
    ),
    "zeros that require grad": Case(
        lambda m: m.zeros(2, dtype=m.int64, requires_grad=True), RuntimeError, ("float",)
    ),
    "requires_grad_ of integers": Case(
        lambda m: m.arange(3).requires_grad_(), RuntimeError, ("float",)
    ),
    "requires_grad of integers": Case(
        lambda m: setattr(m.arange(3), "requires_grad", True), RuntimeError, ("float",)
    ),
    "softmax of integers": Case(lambda m: m.arange(3).softmax(0), RuntimeError, ("long",)),
    "tensor of None": Case(lambda m: m.tensor(None), (RuntimeError, TypeError), ("None",)),
    "tensor of text": Case(lambda m: m.tensor("abc"), (ValueError, TypeError), ("str",)),
    "tensor of objects": Case(lambda m: m.tensor(np.array([object()])), TypeError, ("object",)),
    "from_numpy of a list": Case(lambda m: m.from_numpy([1.0]), TypeError, ("list",)),
    "add a string": Case(lambda m: m.ones(2) + "a", TypeError, ("str",)),
    "add None": Case(lambda m: m.ones(2) + None, TypeError, ("None",)),
    "list + tensor": Case(lambda m: [1.0] + m.ones(1), TypeError, ("list",)),  # noqa: RUF005
    "zeros of floats": Case(lambda m: m.zeros(2.5), TypeError, ("float",)),
    "unknown keyword": Case(lambda m: m.zeros(2, colour=1), TypeError, ("colour",)),
    "cat of a tensor": Case(lambda m: m.cat(m.ones(2)), TypeError, ()),
    "class indices": Case(
        lambda m: m.nn.functional.one_hot(m.ones(2)), RuntimeError, ("LongTensor", "float32")
    ),
    "numpy of bfloat16": Case(
        lambda m: m.ones(2, dtype=m.bfloat16).numpy(), TypeError, ("bfloat16",)
    ),
    "index by a complex number": Case(lambda m: m.ones(3)[1j], IndexError, ("complex",)),
}

DEVICES = {
    "unknown": Case(lambda m: m.ones(2, device="warp"), RuntimeError, ("warp",)),
    "unknown in to": Case(lambda m: m.ones(2).to("warp"), RuntimeError, ("warp",)),
    "unknown device object": Case(lambda m: m.device("warp"), RuntimeError, ("warp",)),
    "bad number": Case(lambda m: m.device("cpu:x"), RuntimeError, ("cpu:x",)),
    "empty": Case(lambda m: m.device(""), RuntimeError, ()),
}

RANGES = {
    "above": Case(lambda m: m.ones(3)[3], IndexError, ("3",)),
    "below": Case(lambda m: m.ones(3)[-4], IndexError, ("-4", "3")),
    "second axis": Case(lambda m: m.ones(2, 3)[0, 5], IndexError, ("5", "1", "3")),
    "too many": Case(lambda m: m.ones(2)[0, 0], IndexError, ("too many indices", "1")),
    "0-d": Case(lambda m: m.ones(())[0], IndexError, ("0-dim",)),
    "set above": Case(lambda m: m.ones(3).__setitem__(7, 0), IndexError, ("7", "3")),
    "list": Case(lambda m: m.ones(3)[[0, 9]], IndexError, ("9", "3")),
    "array": Case(lambda m: m.ones(3)[np.array([-5])], IndexError, ("-5", "3")),
    "two lists": Case(lambda m: m.ones(2, 3)[[0, 1], [0, 3]], IndexError, ("3",)),
    "lists of two lengths": Case(
        lambda m: m.ones(4, 4)[[0, 1], [0, 1, 2]], IndexError, ("[2]", "[3]")
    ),
    "mask shape": Case(lambda m: m.ones(3)[m.ones(2) > 0], IndexError, ("[2]", "[3]")),
    "negative step": Case(lambda m: m.ones(3)[::-1], ValueError, ("step",)),
    "select": Case(lambda m: m.ones(3).select(0, 3), IndexError, ("3",)),
    "axis": Case(lambda m: m.ones(2, 3).sum(2), IndexError, ("[-2, 1]", "2")),
    "axis below": Case(lambda m: m.ones(2, 3).sum(-3), IndexError, ("[-2, 1]", "-3")),
    "axis twice": Case(lambda m: m.ones(2, 3).sum((0, 0)), RuntimeError, ("0",)),
    "transpose": Case(lambda m: m.ones(2, 3).transpose(0, 2), IndexError, ("2",)),
    "unsqueeze": Case(lambda m: m.ones(2).unsqueeze(3), IndexError, ("[-2, 1]", "3")),
    "squeeze": Case(lambda m: m.ones(2).squeeze(3), IndexError, ("3",)),
    "softmax axis": Case(lambda m: m.ones(2).softmax(1), IndexError, ("1",)),
    "cat axis": Case(lambda m: m.cat([m.ones(2), m.ones(2)], 1), IndexError, ("1",)),
    "max of nothing": Case(lambda m: m.ones(0).max(), RuntimeError, ()),
    "max along nothing": Case(lambda m: m.ones(0, 2).max(0), IndexError, ()),
    "iterate 0-d": Case(lambda m: list(m.ones(())), TypeError, ("0-d",)),
    "len of 0-d": Case(lambda m: len(m.ones(())), TypeError, ("0-d",)),
    "arange step 0": Case(lambda m: m.arange(0, 3, 0), RuntimeError, ()),
    "arange backwards": Case(lambda m: m.arange(3, 0), RuntimeError, ()),
    "one_hot": Case(
        lambda m: m.nn.functional.one_hot(m.tensor([5], device="cpu"), 3),
        RuntimeError,
        ("num_classes",),
    ),
    "multinomial": Case(lambda m: m.multinomial(m.tensor([-1.0, 2.0]), 1), RuntimeError, ()),
}

NUMBERS = {
    "int of several": Case(lambda m: int(m.ones(2)), (RuntimeError, ValueError), ("one element",)),
    "float of several": Case(
        lambda m: float(m.ones(2, 2)), (RuntimeError, ValueError), ("one element",)
    ),
    "item of several": Case(lambda m: m.ones(3).item(), RuntimeError, ("3",)),
    "item of nothing": Case(lambda m: m.ones(0).item(), RuntimeError, ("0",)),
    "bool of several": Case(lambda m: bool(m.ones(2)), RuntimeError, ("ambiguous",)),
    "bool of nothing": Case(lambda m: bool(m.ones(0)), RuntimeError, ("ambiguous",)),
    "if": Case(lambda m: 1 if m.ones(2) == m.ones(2) else 0, RuntimeError, ("ambiguous",)),
    "range": Case(lambda m: range(m.ones(())), TypeError, ("integer",)),
    "list index": Case(lambda m: [0, 1][m.ones(1)], TypeError, ("integer",)),
    "int of nan": Case(lambda m: int(m.tensor(float("nan"))), ValueError, ("nan",)),
    "int of infinity": Case(lambda m: int(m.tensor(float("inf"))), OverflowError, ("inf",)),
    "too large a number": Case(
        lambda m: m.tensor(2**70), (RuntimeError, ValueError), ("overflow",)
    ),
    "manual_seed": Case(lambda m: m.manual_seed("a"), (TypeError, ValueError), ()),
    "randint": Case(lambda m: m.randint(5, 5, (2,)), RuntimeError, ("5",)),
    "unknown name": Case(lambda m: m.frobnicate, AttributeError, ("frobnicate",)),
    "unknown method": Case(lambda m: m.ones(2).frobnicate(), AttributeError, ("frobnicate",)),
    "unknown name of a submodule": Case(
        lambda m: m.nn.functional.frobnicate, AttributeError, ("frobnicate",)
    ),
}


def second_backward(m):
    x = needs_grad(m, 3)
    y = (x * x).sum()
    y.backward()
    y.backward()


def write_to_leaf(m):
    needs_grad(m, 3).add_(1)


def write_to_view_of_leaf(m):
    needs_grad(m, 3)[0] = 1.0


def saved_value_changed(m):
    x = needs_grad(m, 3)
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def numpy_with_grad(m):
    return needs_grad(m, 2).numpy()


def array_with_grad(m):
    return np.array(needs_grad(m, 2) * 2)


def unused(m):
    x, y = needs_grad(m, 2), needs_grad(m, 2)
    return m.autograd.grad(x.sum(), [y])


def gradient_shape(m):
    x = needs_grad(m, 2)
    (x * 2).backward(m.ones(3))


GRADIENTS = {
    "of a vector": Case(lambda m: (needs_grad(m, 2) * 2).backward(), RuntimeError, ("scalar",)),
    "of a matrix": Case(lambda m: needs_grad(m, 2, 2).backward(), RuntimeError, ("scalar",)),
    "without grad": Case(lambda m: m.ones(()).backward(), RuntimeError, ("grad",)),
    "second": Case(second_backward, RuntimeError, ("second time",)),
    "shape": Case(gradient_shape, RuntimeError, ("[3]", "[2]")),
    "unused": Case(unused, RuntimeError, ("allow_unused",)),
    "leaf in place": Case(write_to_leaf, RuntimeError, ("leaf",)),
    "view of a leaf in place": Case(write_to_view_of_leaf, RuntimeError, ("leaf",)),
    "numpy": Case(numpy_with_grad, RuntimeError, ("detach", "requires grad")),
    "array": Case(array_with_grad, RuntimeError, ("detach", "requires grad")),
    "out=": Case(lambda m: m.exp(needs_grad(m, 2), out=m.zeros(2)), RuntimeError, ("out=",)),
    "retain_grad": Case(lambda m: m.ones(2).retain_grad(), RuntimeError, ("requires_grad",)),
    "hook": Case(lambda m: m.ones(2).register_hook(print), RuntimeError, ("grad",)),
    "grad of a wrong shape": Case(
        lambda m: setattr(needs_grad(m, 2), "grad", m.ones(3)), RuntimeError, ("[3]", "[2]")
    ),
    "requires_grad of a result": Case(
        lambda m: setattr(needs_grad(m, 2) * 2, "requires_grad", False), RuntimeError, ("leaf",)
    ),
    "deepcopy of a result": Case(
        lambda m: __import__("copy").deepcopy(needs_grad(m, 2) * 2), RuntimeError, ("deepcopy",)
    ),
}

CASES = {
    f"{group}: {name}": case
    for group, cases in {
        "shapes": SHAPES,
        "dtypes": DTYPES,
        "devices": DEVICES,
        "ranges": RANGES,
        "numbers": NUMBERS,
        "gradients": GRADIENTS,
    }.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", CASES)
def test_error(name):
    case = CASES[name]
    with pytest.raises(case.error) as caught:
        case.program(picograd)
    message = str(caught.value)
    assert message, "an error without a message"
    for word in case.words:
        assert word.lower() in message.lower(), f"{word!r} is not in {message!r}"


@pytest.mark.skipif(torch is None, reason="needs PyTorch")
@pytest.mark.parametrize("name", CASES)
def test_torch_raises_the_same_type(name):
    """The table is right, and picograd's exception is of a type that torch's handlers catch."""
    case = CASES[name]
    with pytest.raises(case.error) as theirs:
        case.program(torch)
    with pytest.raises(case.error) as ours:
        case.program(picograd)
    assert isinstance(ours.value, theirs.type), f"torch: {theirs.value!r}, here: {ours.value!r}"


# --- index tensors whose numbers are known only when they are computed ----------------------------


def computed(values, dtype=None):
    """An index tensor that is not computed yet: nobody can check it at the call."""
    half = picograd.tensor(values, dtype=dtype or picograd.int64)
    return half + half - half


OUTSIDE = {
    "read above": ([0, 5], lambda x, i: x[i]),
    "read below": ([0, -6], lambda x, i: x[i]),
    "read far away": ([2**40, 0], lambda x, i: x[i]),
    "read far below": ([-(2**62), 0], lambda x, i: x[i]),
    "second axis": ([1, 4], lambda x, i: x[:, i]),
    "both axes": ([1, 4], lambda x, i: x[i, i]),
    "sum of a read": ([1, 7], lambda x, i: (x[i] * 2).sum()),
    "index_select": ([1, 5], lambda x, i: x.index_select(0, i)),
    "gather": ([[1, 5]], lambda x, i: x.gather(0, i)),
    "take_along_dim": ([[1, 5, 0, 0]], lambda x, i: x.take_along_dim(i, 0)),
    "embedding": ([1, 5], lambda x, i: picograd.nn.functional.embedding(i, x)),
    "scatter": ([[1, 5]], lambda x, i: x.scatter(0, i, 7.0)),
    "scatter_add": ([[1, 5]], lambda x, i: x.scatter_add(0, i, picograd.ones(1, 2))),
    "index_add": ([1, 5], lambda x, i: x.index_add(0, i, picograd.ones(2, 4))),
    "one number": (5, lambda x, i: x[i]),
    "cross entropy": (
        [0, 1, 2, 3, 4],
        lambda x, i: picograd.nn.functional.cross_entropy(x, i),
    ),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_computed_index_outside(name):
    """IndexError when it is computed; never a read outside; every tensor keeps its value."""
    values, program = OUTSIDE[name]
    x = picograd.arange(20, dtype=picograd.float32).view(5, 4) + 1
    index = computed(values)
    with pytest.raises(IndexError) as caught:
        program(x, index).tolist()
    assert str(caught.value)
    assert x.tolist() == [[4.0 * row + column + 1 for column in range(4)] for row in range(5)]
    assert index.tolist() == values
    assert program(x, index.clamp(0, 3) * 0).sum().item() == program(x, index * 0).sum().item()


WRITES = {
    "set": lambda x, i: x.__setitem__(i, 9.0),
    "set rows": lambda x, i: x.__setitem__(i, picograd.ones(2, 4)),
    "add": lambda x, i: x.index_add_(0, i, picograd.ones(2, 4)),
    "put": lambda x, i: x.index_put_((i,), picograd.tensor(1.0), accumulate=True),
    "copy": lambda x, i: x.index_copy_(0, i, picograd.ones(2, 4)),
    "fill": lambda x, i: x.index_fill_(0, i, 3.0),
}


@pytest.mark.parametrize("name", WRITES)
def test_computed_index_outside_in_a_write(name):
    """A realised tensor whose memory the program would have overwritten keeps its numbers."""
    x = picograd.arange(20, dtype=picograd.float32).view(5, 4)
    before = x.tolist()
    other = picograd.ones(3) * 2
    keeps = x + 0.5  # shares the memory that the write would like to use
    with pytest.raises(IndexError):
        WRITES[name](x, computed([0, 5]))
        x.tolist()
    assert other.tolist() == [2.0, 2.0, 2.0]
    assert keeps.tolist() == [[value + 0.5 for value in row] for row in before]


def test_failed_write_leaves_the_old_memory():
    """The array that shares the memory never sees a half-made write."""
    x = picograd.zeros(6)
    array = x.numpy()
    with pytest.raises(IndexError):
        x[computed([0, 1, 2, 6])] = 5.0
        x.tolist()
    assert array.tolist() == [0.0] * 6


def test_unrelated_tensors_survive_a_failing_program():
    """What was pending together with the failure can be computed later, in any order."""
    x = picograd.ones(4, 3)
    shared = x.cumsum(0)
    good, bad = shared * 2, shared[computed([0, 4])]
    with pytest.raises(IndexError):
        bad.sum().item()
    assert good.tolist() == [[2.0 * (row + 1)] * 3 for row in range(4)]
    with pytest.raises(IndexError):
        bad.sum().item()
    assert shared[computed([0, 3])].sum().item() == 15.0


def test_the_same_program_works_after_it_failed():
    """One compiled program: in range, out of range, in range again."""
    table = picograd.arange(5, dtype=picograd.float32)
    table.tolist()
    for last, fails in ((4, False), (5, True), (3, False), (-1, False), (-6, True)):
        index = picograd.tensor([0, last]) * 1
        if fails:
            with pytest.raises(IndexError):
                table[index].tolist()
        else:
            assert table[index].tolist() == [0.0, float(range(5)[last])]


def test_training_goes_on_after_a_bad_batch():
    """A label out of range stops one step, and the weights stay as they were."""
    weights = picograd.zeros(3, 4, requires_grad=True)
    optimiser = picograd.optim.SGD([weights], lr=1.0)

    def step(labels):
        loss = picograd.nn.functional.cross_entropy(picograd.ones(2, 3) @ weights, labels)
        optimiser.zero_grad()
        loss.backward()
        return loss

    with pytest.raises(IndexError):
        step(computed([1, 9])).item()
    assert weights.detach().abs().sum().item() == 0.0
    loss = step(computed([1, 2]))
    optimiser.step()
    assert abs(loss.item() - np.log(4)) < 1e-5
    assert weights.detach()[:, 0].tolist() == pytest.approx([-0.25] * 3)


# --- an error leaves everything as it was ---------------------------------------------------------


def test_a_refused_write_changes_nothing():
    x = picograd.arange(6).view(2, 3)
    view = x[0]
    for bad in (
        lambda: x.add_(1.5),
        lambda: x.copy_(picograd.ones(4)),
        lambda: x.__setitem__((0, 3), 1),
        lambda: view.__setitem__(slice(None), picograd.ones(2)),
        lambda: x.mul_(picograd.ones(5, 2, 3, dtype=picograd.int64)),
    ):
        with pytest.raises((RuntimeError, IndexError)):
            bad()
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]] and view.tolist() == [0, 1, 2]


def test_a_failed_backward_can_be_repeated():
    x = picograd.ones(2, requires_grad=True)
    y = x * 3
    with pytest.raises(RuntimeError):
        y.backward()
    assert x.grad is None
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_grad_mode_survives_an_error():
    with pytest.raises(RuntimeError), picograd.no_grad():
        picograd.ones(2) @ picograd.ones(3)
    assert picograd.is_grad_enabled()


def test_both_shapes_are_in_the_message():
    """Where torch names one number, a reader wants the shapes."""
    for program in (
        lambda: picograd.ones(2, 3) + picograd.ones(2, 4),
        lambda: picograd.ones(2, 3) @ picograd.ones(2, 4),
        lambda: picograd.cat([picograd.ones(2, 3), picograd.ones(2, 4)]),
    ):
        with pytest.raises(RuntimeError) as caught:
            program()
        assert "3" in str(caught.value) and "4" in str(caught.value)


def test_indices_known_to_the_host_fail_at_the_call():
    """Not later, when the line that is wrong is far away."""
    x = picograd.ones(3)
    for index in ([0, 3], np.array([3]), (3,), 3, np.int64(3)):
        with pytest.raises(IndexError):
            x[index]
