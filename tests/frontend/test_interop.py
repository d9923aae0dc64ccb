"""Data from and to the outside against torch: construction, NumPy, shared memory."""

import copy
import pickle

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

from tests.frontend.twins import is_error, same  # noqa: E402
from tests.hosted import hosted  # noqa: E402

DATA = {
    "int": 3,
    "float": 2.5,
    "bool": True,
    "complex": 1 + 2j,
    "list": [1, 2, 3],
    "mixed": [1, 2.5],
    "bool and int": [True, 2],
    "nested": [[1, 2], [3, 4]],
    "tuples": ((1.0, 2.0), [3, 4]),
    "empty": [],
    "empty rows": [[], []],
    "array": np.arange(6, dtype=np.float64).reshape(2, 3),
    "int32 array": np.array([1, 2], dtype=np.int32),
    "uint8 array": np.array([1, 255], dtype=np.uint8),
    "strided array": np.arange(10)[::2],
    "transposed array": np.arange(6).reshape(2, 3).T,
    "reversed array": np.arange(4)[::-1],
    "big endian": np.array([1.0, 2.0], dtype=">f4"),
    "numpy scalar": np.float32(1.5),
    "numpy int": np.int64(7),
    "list of numpy scalars": [np.float32(1.5), np.float32(2)],
    "list of arrays": [np.array([1, 2]), np.array([3, 4])],
    "range": range(4),
    "bool array": np.array([True, False]),
    "float16 array": np.array([1.5], dtype=np.float16),
    "0-d array": np.array(4.0),
    "ragged": [[1, 2], [3]],
    "uneven depth": [[1], 2],
    "string": "abc",
    "strings": ["a"],
    "none": None,
    "object": object(),
    "string array": np.array(["a"]),
    "deep": [[[1.0]], [[2.0]]],
    "large int": 2**62,
    "too large": 2**63,
}
OTHER_WORDS = ("uneven depth", "object", "none", "string array", "too large", "strings", "string")
SHARED = ("reversed array",)


@pytest.mark.parametrize("name", DATA)
def test_tensor(name):
    data = DATA[name]
    same(lambda m: m.tensor(data), messages=name not in OTHER_WORDS)


def test_nested_tensors():
    same(lambda m: m.tensor([m.tensor(1.0), m.tensor(2.0)]))
    same(lambda m: m.tensor([[m.tensor(1), 2], [3, m.tensor(4)]]))
    same(lambda m: m.tensor(m.ones(2, requires_grad=True)))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float16", "float64"])
@pytest.mark.parametrize("name", ["int", "float", "list", "mixed", "array", "bool array"])
def test_dtype(name, dtype):
    same(lambda m: m.tensor(DATA[name], dtype=getattr(m, dtype)))


ERRORS = {
    "integer requires grad": lambda m: m.tensor([1, 2], requires_grad=True),
    "integer requires_grad_": lambda m: m.tensor([1, 2]).requires_grad_(),
    "numpy of grad": lambda m: m.ones(2, requires_grad=True).numpy(),
    "array of grad": lambda m: np.asarray(m.ones(2, requires_grad=True)),
    "item": lambda m: m.ones(2).item(),
    "bool": lambda m: bool(m.ones(2)),
    "bool empty": lambda m: bool(m.ones(0)),
    "if": lambda m: 1 if m.ones(2) > 0 else 0,
    "float": lambda m: float(m.ones(2)),
    "index float": lambda m: [1, 2, 3][m.tensor(1.0)],
    "device": lambda m: m.ones(2, device="nowhere"),
    "from_numpy list": lambda m: m.from_numpy([1, 2]),
    "from_numpy reversed": lambda m: m.from_numpy(np.arange(3)[::-1]),
    "from_numpy strings": lambda m: m.from_numpy(np.array(["a"])),
    "missing": lambda m: m.no_such_function,
    "grad type": lambda m: setattr(m.ones(2, requires_grad=True), "grad", 1),
    "grad shape": lambda m: setattr(m.ones(2, requires_grad=True), "grad", m.ones(3)),
    "to cuda": lambda m: m.ones(2).to("cuda"),
    "cuda()": lambda m: m.ones(2).cuda(),
    "ones on cuda": lambda m: m.ones(2, device=m.device("cuda", 0)),
    "module to cuda": lambda m: m.nn.Linear(2, 2).to("cuda:0"),
}
ERROR_WORDS = (
    "integer requires grad",
    "integer requires_grad_",
    "numpy of grad",
    "item",
    "bool",
    "bool empty",
    "if",
)


NO_GPU = dict.fromkeys([name for name in ERRORS if "cuda" in name], "expects that there is no GPU")


@pytest.mark.parametrize("name", hosted(ERRORS, NO_GPU))
def test_errors(name):
    if "cuda" in name and torch.cuda.is_available():
        pytest.skip("torch finds the device")
    same(ERRORS[name], messages=name in ERROR_WORDS)


def test_a_device_may_be_named_without_being_there():
    names = ("cuda", "cuda:1")
    same(lambda m: [(repr(m.device(n)), m.device(n).type, m.device(n).index) for n in names])


def program_numpy_shares(m):
    x = m.zeros(2, 3)
    a = x.numpy()
    a[0, 1] = 5
    x[1, 2] = 7
    x.add_(1)
    y = x * 2
    a[:] = 0
    return x, y, a.copy()


def program_numpy_of_view(m):
    x = m.arange(12.0).view(3, 4)
    a = x[1:, ::2].numpy()
    b = x.t().numpy()
    a[0, 0] = 100
    x[2] = -1
    return x, a.copy(), b.copy(), a.strides, b.strides


def program_from_numpy(m):
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = m.from_numpy(a)
    y = x + 1
    a[0, 0] = 50
    x[1] = 9
    view = x[0]
    a[0, 2] = 60
    return x, y, view, a.copy()


def program_from_numpy_transposed(m):
    a = np.arange(6, dtype=np.int64).reshape(2, 3)
    x = m.from_numpy(a.T)
    x[0, 1] = 77
    return x, a.copy(), x.stride()


def program_from_numpy_copies(m):
    a = np.zeros(3)
    x = m.from_numpy(a)
    copies = [x.clone(), x.view(3, 1).contiguous().clone(), m.tensor(a), x.double() + 0]
    full = m.zeros(3, dtype=m.float64)
    full.copy_(x)
    part = m.zeros(4, dtype=m.float64)
    part[1:] = x
    a[:] = 1
    return copies, full, part, x


def program_from_numpy_item(m):
    a = np.zeros(3)
    x = m.from_numpy(a)
    seen = [x[0].item()]
    a[0] = 1
    seen.append(x[0].item())
    a[0] = 2
    y = x[0]
    seen.append(y.item())
    a[0] = 3
    seen.append(y.item())
    return seen


def program_as_tensor(m):
    a = np.zeros(2, dtype=np.float32)
    shared, converted = m.as_tensor(a), m.as_tensor(a, dtype=m.float64)
    a[0] = 4
    x = m.ones(2)
    return shared, converted, m.as_tensor(x) is x, m.as_tensor([1, 2])


def program_alias_before_numpy(m):
    x = m.zeros(3)
    y = x + 1
    c = x.clone()
    v = x[1:]
    a = x.numpy()
    a[:] = 5
    return x, y, c, v


def program_data_pointers(m):
    x = m.arange(12.0).view(3, 4)
    return [
        x[1].data_ptr() - x.data_ptr(),
        x.t().data_ptr() == x.data_ptr(),
        x.clone().data_ptr() == x.data_ptr(),
        x.numpy().__array_interface__["data"][0] == x.data_ptr(),
    ]


def program_array_protocol(m):
    x = m.tensor([[1.0, 2.0], [3.0, 4.0]])
    shared = np.asarray(x)
    shared[0, 0] = 9
    return [
        x,
        np.array(x),
        np.array(x, dtype=np.int64),
        np.sqrt(np.asarray(x)),
        np.stack([x[0].numpy(), x[1].numpy()]),
    ]


def program_mixed_arithmetic(m):
    x = m.tensor([1.0, 2.0])
    return [np.float64(2) * x, x * np.float32(3), x + np.int64(1), x == np.array([1.0, 3.0])]


def program_conversions(m):
    x = m.tensor([[1.5, 2.5]])
    return [
        x.tolist(),
        float(x[0, 0]),
        int(x[0, 1]),
        bool(m.tensor([[0.5]])),
        [10, 20, 30][m.tensor(1)],
        list(range(m.tensor(3))),
        len(x),
        2.5 in x,
        [row.tolist() for row in x],
        complex(m.tensor(2.0)),
        x.type(),
        x.nelement(),
        x.element_size(),
        x.ndim,
        x.size(-1),
        x.size(),
    ]


def program_deepcopy(m):
    x = m.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    y = copy.deepcopy(x)
    with m.no_grad():
        y[0] = 5
    base = m.zeros(4)
    both = copy.deepcopy([base, base[1:3]])
    both[0][1] = 8
    return x, y, y.grad, y.grad is x.grad, both, base


def program_pickle(m):
    x = m.arange(6.0).view(2, 3).t().requires_grad_()
    y = pickle.loads(pickle.dumps(x))
    return y, y.is_leaf, y.requires_grad


def program_hash(m):
    x = m.ones(2)
    y = m.ones(2)
    return len({x, y, x}), x in {x: 1}, hash(x) == id(x)


def program_legacy(m):
    return m.Tensor([1, 2]), m.Tensor(2, 3).shape, m.Tensor(m.Size((2, 1))).shape, m.Tensor().shape


PROGRAMS = {name: value for name, value in globals().items() if name.startswith("program_")}


SHARING = "NumPy writes to the tensor's memory"
ON_CPU = {
    "program_numpy_shares": SHARING,
    "program_numpy_of_view": SHARING,
    "program_as_tensor": SHARING,
    "program_alias_before_numpy": SHARING,
    "program_array_protocol": SHARING,
    "program_data_pointers": "NumPy sees the tensor's memory",
    "program_conversions": "names the type of PyTorch's tensors, the CPU's",
}


@pytest.mark.parametrize("name", hosted(PROGRAMS, ON_CPU))
def test_programs(name):
    assert not is_error(same(PROGRAMS[name]))


def test_deepcopy_of_a_result_is_refused():
    same(lambda m: copy.deepcopy(m.ones(2, requires_grad=True) * 2), messages=False)


@pytest.mark.host("NumPy sees the tensor's memory")
def test_pinning_ends_with_the_array():
    x = picograd.zeros(3)
    a = x.numpy()
    assert x._storage.is_pinned()
    del a
    assert not x._storage.is_pinned()


def test_missing_names_say_so():
    with pytest.raises(AttributeError, match=r"picograd\.lobpcg isn't supported yet"):
        _ = picograd.lobpcg
