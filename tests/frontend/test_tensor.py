"""The tensor's own methods against torch, and programs that mix them."""

import pytest

import picograd

torch = pytest.importorskip("torch")

from tests.frontend.twins import is_error, same  # noqa: E402
from tests.hosted import hosted  # noqa: E402


def program_attributes(m):
    x = m.zeros(2, 3, 4)
    return [
        x.dim(), x.ndim, x.numel(), x.nelement(), tuple(x.size()), x.size(1), x.size(-1),
        x.stride(), x.stride(1), x.element_size(), x.itemsize, x.nbytes, x.dtype, str(x.device),
        x.device.type, x.is_contiguous(), x.storage_offset(), x.is_floating_point(),
        x.is_complex(), len(x), x.shape.numel(), x.type(), x.requires_grad, x.is_leaf,
        x.is_cuda, tuple(x.T.shape) if x.ndim == 2 else None, x[0].T.stride(), x.mT.shape[1],
    ]  # fmt: skip


def program_device(m):
    d = m.device("cpu")
    return [
        d.type,
        str(d),
        repr(d),
        d == m.device("cpu"),
        d == "cpu",
        m.zeros(1, device=d).tolist(),
    ]


def program_size(m):
    s = m.zeros(2, 3).shape
    return [
        s == (2, 3), s + m.Size((4,)), tuple(s[1:]), repr(s[1:]), list(s), s.numel(),
        hash(s) == hash((2, 3)), isinstance(s, tuple), isinstance(s[0], int),
        m.Size([4, 5]).numel(),
    ]  # fmt: skip


def program_to(m):
    x = m.tensor([1.7, -2.2])
    return [
        x.to(m.int64), x.to("cpu") is x, x.to(m.float32) is x, x.to(dtype=m.float64),
        x.to(m.float32, copy=True) is x, x.type(m.int32), x.type("torch.LongTensor"),
        x.to(m.zeros(1, dtype=m.int16)), x.cpu() is x, x.type_as(m.tensor([True])),
    ]  # fmt: skip


def program_reflected_operators(m):
    x = m.tensor([1, 2, 4])
    return [
        2 - x,
        2 / x,
        2**x,
        7 // x,
        7 % x,
        2 * x,
        1 + x,
        x << 1,
        3 & x,
        1 | x,
        1 ^ x,
        ~x,
        -x,
        +x,
    ]


def program_comparisons(m):
    x = m.tensor([1.0, 2.0])
    return [x == 1, x != 1, x < 2, 2 > x, x >= m.ones(2), x == None, x != None]  # noqa: E711, SIM300


def program_augmented(m):
    x = m.tensor([8, 9])
    y = x
    x += 1
    x -= m.tensor(2)
    x *= 3
    x //= 2
    x %= 7
    x **= 2
    x <<= 1
    x |= 1
    x &= 31
    x ^= 3
    return x, y


def program_rebinding(m):
    x = m.ones(3)
    y = x
    x = x + 1
    return x, y


def program_training_by_hand(m):
    x = m.tensor([[0.5, -1.0], [2.0, 0.3], [1.0, 1.0]])
    target = m.tensor([1.0, 0.0, 2.0])
    w = m.tensor([0.1, -0.2], requires_grad=True)
    b = m.zeros(1, requires_grad=True)
    losses = []
    for step in range(6):
        loss = (((x @ w) + b - target) ** 2).mean()
        for p in (w, b):
            p.grad = None
        loss.backward()
        if step % 2:
            for p in (w, b):
                p.data += -0.1 * p.grad
        else:
            with m.no_grad():
                for p in (w, b):
                    p -= 0.1 * p.grad
        losses.append(loss.item())
    return losses, w, b


def program_storage(m):
    x = m.arange(6.0).view(2, 3)
    shared = x.t().storage()
    return [repr(shared), list(shared), len(shared), shared[2], shared.data_ptr() == x.data_ptr()]


def program_iteration(m):
    x = m.arange(6).view(3, 2)
    a, b, c = x
    a += 10
    return [row.sum().item() for row in x], list(zip(x.tolist(), b.tolist(), strict=False)), c


PROGRAMS = {name: value for name, value in globals().items() if name.startswith("program_")}


DEVICE = "names the device of PyTorch's tensors, the CPU"
ON_CPU = dict.fromkeys(("program_attributes", "program_to", "program_storage"), DEVICE)


@pytest.mark.filterwarnings("ignore:TypedStorage")
@pytest.mark.parametrize("name", hosted(PROGRAMS, ON_CPU))
def test_programs(name):
    assert not is_error(same(PROGRAMS[name]))


ERRORS = {
    "add string": lambda m: m.ones(2) + "a",
    "string add": lambda m: "a" + m.ones(2),
    "list times": lambda m: [1] @ m.ones(2),
    "missing attribute": lambda m: m.ones(2).no_such_thing,
    "shapes": lambda m: m.ones(2) + m.ones(3),
    "data": lambda m: setattr(m.ones(2), "data", 3),
    "shape": lambda m: setattr(m.ones(2), "shape", (1,)),
    "device type": lambda m: m.device(3.5),
    "device index": lambda m: m.zeros(1, device="nowhere:0"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    found = same(ERRORS[name], messages=False)
    assert isinstance(found, str)


def test_tensors_take_attributes_and_weak_references():
    import weakref

    x = picograd.ones(2)
    x.label = "weights"
    assert x.label == "weights" and weakref.ref(x)() is x
    assert not hasattr(x, "_no_such_thing")


def test_subclasses_share_memory_and_are_leaves():
    class Parameter(picograd.Tensor):
        def __new__(cls, data):
            return picograd.Tensor._make_subclass(cls, data, True)

    data = picograd.zeros(2)
    p = Parameter(data)
    assert isinstance(p, Parameter) and p.requires_grad and p.is_leaf
    data[0] = 3
    assert p.tolist() == [3.0, 0.0]
    assert not isinstance(p * 2, Parameter)


def test_results_on_another_device_stay_there():
    x = picograd.tensor([1.0, 2.0], device="numpy", requires_grad=True)
    y = (x * 2).to("cpu")
    assert str((x * 2).device) == "numpy" and str(y.device) == "cpu"
    (y * y).sum().backward()
    assert x.grad is not None and str(x.grad.device) == "numpy"
    assert x.grad.tolist() == [8.0, 16.0]
