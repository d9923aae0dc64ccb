"""Small programs, as text, that must do the same in picograd and in torch.

Each row is statements separated by `;`, the last of which is an expression of the module `m`. Rows
were differences once: types of exceptions, writes that torch's autograd forbids, gradients and
signs at the edges of functions.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
from tests.frontend.twins import same
from tests.hosted import hosted

inf, nan = float("inf"), float("nan")


def run(m, text):
    """The value of the last of the statements of a row."""
    names = {"m": m, "inf": inf, "nan": nan}
    *statements, last = [part.strip() for part in text.split(";")]
    for statement in statements:
        exec(statement, names)
    return eval(last, names)


DTYPES = [
    'm.zeros(2, dtype="float32")',
    'm.arange(3, dtype="float32")',
    'm.tensor([1.0], dtype="float32")',
    'm.ones(2).sum(dtype="float32")',
    "m.zeros(2, dtype=float)",
    "m.ones(2, dtype=bool)",
    "m.tensor([1.5], dtype=int)",
    "m.tensor([1.5], dtype=complex)",
    "m.zeros_like(m.ones(2), dtype=float)",
    "m.ones(2).to(int)",
    "m.ones(2).to(dtype=float)",
    "m.ones(2, 3).sum(dtype=float)",
    "m.arange(4, dtype=float)",
    "m.full((2,), 3, dtype=float)",
    "m.softmax(m.ones(2), 0, dtype=float)",
    "m.randint(3, (2,), dtype=float).dtype",
    "m.rand(2, dtype=int)",
    "m.can_cast(float, m.int32)",
    "m.promote_types(1, 2)",
]

ERRORS = [
    "m.ones(2).repeat()",
    "m.histc(m.ones(3), bins=-1)",
    "m.rot90(m.ones(3))",
    'm.tensor([1, "a"])',
    'm.tensor(["a", 1])',
    "m.tensor([1, 2]) % m.tensor(0)",
    "m.tensor([1, 2]) // m.tensor([0, 1])",
    "m.tensor([1, 2]) // m.zeros(2, dtype=m.int64)",
    "m.fmod(m.tensor([1, 2]), m.tensor(0))",
    'm.div(m.tensor([4]), m.tensor(0), rounding_mode="floor")',
    'm.div(m.tensor([4]), m.tensor(0), rounding_mode="trunc")',
    "m.tensor([1.0, 2.0]) % 0",
    "m.bernoulli(m.tensor(2.0))",
    "m.bernoulli(m.tensor([0.0, -1.0]))",
    "m.bernoulli(m.tensor([1, 0]))",
]

LEAF = "x = m.ones(4, requires_grad=True); "
COMPUTED = "x = m.ones(4, requires_grad=True) * 1; "
WRITES = [
    LEAF + "x.__setitem__(..., x); x",
    LEAF + "x.__setitem__(slice(None), x); x",
    COMPUTED + "x[1] += 2; x",
    COMPUTED + "a, b, c, d = x.unbind(); a.add_(1); x",
    COMPUTED + "a, b = x.split(2); a.add_(1); x",
    COMPUTED + "a, b = x.split([1, 3]); a.fill_(2.0); x",
    COMPUTED + "a, b = x.chunk(2); a.mul_(2); x",
    COMPUTED + "a, b = m.tensor_split(x, 2); a.mul_(2); x",
    COMPUTED + "[row.add_(1) for row in x]; x",
    COMPUTED + "a, b = x.split(2); a[0] = 1; x",
    COMPUTED + "a, b = x.split(2); x.add_(1); a.sum().backward(); x",
    COMPUTED + "a, b = x.detach().split(2); a[0] = 1; x",
    "x = m.ones(4); a, b = x.split(2); a.add_(1); x",
    "x = m.ones(4); a, b = x.split(2); a.add_(m.ones(2, requires_grad=True)); x",
    "x = m.ones(4, 2); a, b = x.unbind(1); a.add_(m.ones(4, requires_grad=True)); x",
]

SIGNS = [
    f"m.{name}(m.tensor([-0.0, 0.0, -1.0, 1.0, nan] * 4, dtype=m.{dtype})).signbit()[{part}]"
    for name, part in (("tanh", "::5"), ("relu", "::5"), ("nn.functional.relu", "1::5"))
    for dtype in ("float32", "float64", "float16", "bfloat16")
] + [
    "m.tanh(m.tensor([-1e-30, -1e-3, -3.0, inf, -inf])).signbit()",
    "m.relu(m.tensor([-0.0, 0.0, -1.0, 1.0, nan, inf, -inf] * 4))",
    "m.relu(m.tensor([1, -1, 0]))",
]

HALVES = "[0.1, 0.3, 0.7, 1.3, 2.2]"
VALUES = [
    f"m.sinc(m.tensor({HALVES}, dtype=m.float16))",
    f"m.sinc(m.tensor({HALVES}, dtype=m.bfloat16))",
]

EDGE = ("0.0", "-0.0", "1.0", "-2.0", "inf", "-inf", "nan")
PAIRS = ("copysign", "atan2", "hypot", "xlogy", "logaddexp", "floor_divide", "heaviside")
GIVEN = "x = m.ones(2, requires_grad=True); y = x * 1; "
GRADIENTS = [
    GIVEN + "y.fill_(0); y.sum().backward(); x.grad",
    GIVEN + "y[...] = 2; y.sum().backward(); x.grad",
    GIVEN + "y.uniform_(); y.sum().backward(); x.grad",
    GIVEN + "y.copy_(m.ones(2)); y.sum().backward(); x.grad",
    GIVEN + "v = m.ones(2, requires_grad=True); y.copy_(v); y.sum().backward(); [x.grad, v.grad]",
    "x = m.tensor([-0.0, -1.0, 1.0, nan], requires_grad=True); x.relu().sum().backward(); x.grad",
    "x = m.ones(3, requires_grad=True); m.unique(x)",
    "x = m.ones(3, requires_grad=True); m.unique_consecutive(x)",
    "x = m.ones(2, requires_grad=True); y = m.div(x, 2, rounding_mode='floor'); "
    "y.sum().backward(); x.grad",
]


NAMES = [
    "x = m.tensor([-1.0, 2.0]); m.relu_(x); x",
    "x = m.tensor([-1.0, 2.0]); m.clamp_(x, 0, 1); x",
    "x = m.ones(2); m.zero_(x); x",
    "m.fill(m.ones(2), 3)",
    "m.split_with_sizes(m.ones(3), [1, 2])",
    "m.resolve_conj(m.ones(2))",
    "m.nn.functional.binary_cross_entropy(m.tensor([2.0]), m.tensor([1.0]))",
    "m.nn.functional.binary_cross_entropy(m.tensor([0.5]), m.tensor([2.0]))",
    "m.nn.functional.binary_cross_entropy(m.tensor([0.0, 1.0]), m.tensor([1.0, 1.0]))",
    "m.FloatTensor([1, 2])",
    "m.LongTensor([1.5])",
    "m.FloatTensor(2, 3).shape",
    "m.BoolTensor([1, 0])",
    "m.FloatTensor()",
    "m.FloatTensor(m.Size([2, 2])).shape",
    "isinstance(m.ones(1), m.FloatTensor)",
    "isinstance(m.ones(1), m.LongTensor)",
    "m.ones(2).type(m.LongTensor)",
    'm.ones(2).type("torch.LongTensor")',
    "m.ones(2).type(float)",
    "m.ones(2).type(m.DoubleTensor).type()",
    "m.FloatTensor.dtype",
    "m.FloatTensor((2, 3))",
    "m.LongTensor(range(3))",
    "m.FloatTensor(1.5)",
    "m.ones(2).new_tensor([1, 2.5])",
    "m.ones(2).long().new_tensor([1, 2.5])",
    "m.ones(2).new([1, 2])",
    "m.ones(2).new(2, 3).shape",
    "m.ones(2).long().new(2).dtype",
    "m.gcd(m.tensor([4, -6, 0]), m.tensor([6, 4, 0]))",
    "m.lcm(m.tensor([4, -6, 0]), m.tensor([6, 4, 0]))",
    "m.gcd(m.ones(2), m.ones(2))",
    "m.gcd(m.tensor([4]), 2)",
    "m.gcd(m.tensor([True]), m.tensor([False]))",
    "m.tensor([4, 6]).gcd_(m.tensor([6]))",
    "m.tensor([4, 6], dtype=m.int8).lcm(m.tensor([6, 6], dtype=m.int8))",
    "m.gcd(m.tensor([12, 18]), m.tensor([[8], [9]], dtype=m.int32))",
    "m.arange(6).unfold(0, 2, 3)",
    "m.arange(6).unfold(0, 7, 1)",
    "m.arange(12).view(3, 4).unfold(1, 2, 1)",
    "m.tensor(3).unfold(0, 1, 1).shape",
    "x = m.arange(6.); x.unfold(0, 2, 3).add_(1); x",
    "x = m.arange(12.).view(3, 4); x.unfold(1, 2, 2).mul_(2); x",
    "x = m.arange(12.).view(3, 4); x.unfold(0, 1, 2)[0]=7; x",
    "x = m.arange(6.,requires_grad=True); (x.unfold(0, 2, 2)**2).sum().backward(); x.grad",
    "x = m.arange(6.,requires_grad=True); (x.unfold(0, 3, 1)**2).sum().backward(); x.grad",
    "m.as_strided(m.arange(6.), (2, 3), (1, 2))",
    "m.as_strided(m.arange(6.), (2, 3), (1, 1))",
    "m.as_strided(m.arange(6.), (2, 2), (3, 1), 1)",
    "m.as_strided(m.arange(6.), (2,), (2,), 1)",
    "m.as_strided(m.arange(6.), (), (), 3)",
    "m.as_strided(m.arange(6.), (4, 2), (2, 1))",
    "m.as_strided(m.arange(6.), (1, 3, 1), (7, 2, 9))",
    "x = m.arange(6.); x.as_strided((2, 2), (3, 1)).zero_(); x",
    "x = m.arange(12.).view(3, 4); x.as_strided((3,), (5,)).fill_(-1); x",
    "x = m.arange(6.,requires_grad=True); (x.as_strided((4,3),(1,1))**2).sum().backward(); x.grad",
    "x = m.arange(6.,requires_grad=True); (x.as_strided((2,2),(1,3))**2).sum().backward(); x.grad",
    "x = m.arange(12.).view(3, 4)[1:]; x.as_strided((2, 2), (1, 1))",
    "x = m.arange(12.).view(3, 4)[1:]; x.as_strided((2, 2), (1, 1), 0)",
    "m.arange(6.).as_strided((2, 0), (1, 1))",
    "m.as_strided(m.arange(6.), (2,), (1, 1))",
    "m.as_strided(m.arange(6.), (2, 3), (1, 2)).stride()",
    "m.as_strided(m.arange(24.), (2, 3, 2), (12, 4, 1)).stride()",
    "m.as_strided(m.arange(24.), (2, 3, 2), (12, 4, 1))",
    "m.as_strided(m.arange(24.), (2, 3, 2), (12, 0, 1))",
    "m.arange(6.).resize_(2, 2)",
    "m.arange(6.).resize_(8).shape",
    "m.arange(6.).resize_((3, 2))",
    "m.ones(2, requires_grad=True).resize_(3)",
    "m.hsplit(m.arange(8).view(2, 4), 2)",
    "m.vsplit(m.arange(8).view(2, 4), 2)",
    "m.dsplit(m.arange(8).view(2, 2, 2), [1])",
    "m.hsplit(m.arange(6), 3)",
    "m.hsplit(m.arange(6), 4)",
    "m.vsplit(m.arange(6), 2)",
    "m.range(1, 4)",
    "m.range(0, 1, 0.5)",
    "m.ldexp(m.tensor([1.,3.]), m.tensor([2, -1]))",
    "m.angle(m.tensor([1.,-1.,0.,nan]))",
    "m.angle(m.tensor([1+1j, -1j]))",
    "m.angle(m.tensor([1, -1]))",
    "m.isreal(m.tensor([1+1j, 2+0j]))",
    "m.isreal(m.ones(2))",
    "m.select_scatter(m.zeros(2, 2), m.ones(2), 0, 1)",
    "m.select_scatter(m.zeros(2, 2), m.ones(3), 0, 1)",
    "m.slice_scatter(m.zeros(4, 2), m.ones(2, 2), 0, 1, 3)",
    "m.slice_scatter(m.zeros(4, 4), m.ones(4, 2), -1, 0, None, 2)",
    "m.diagonal_scatter(m.zeros(3, 3), m.ones(2), 1)",
    "m.diagflat(m.tensor([[1, 2], [3, 4]]), 1)",
    "m.zeros(3, 3).fill_diagonal_(2)",
    "m.zeros(7, 3).fill_diagonal_(2, wrap=True)",
    "m.zeros(7, 3).fill_diagonal_(2)",
    "m.zeros(2, 2, 2).fill_diagonal_(1)",
    "m.zeros(3).fill_diagonal_(2)",
    "m.ones(2, 3).sum_to_size(1, 3)",
    "m.ones(4, 2, 3).sum_to_size((2, 1))",
    "m.ones(2, 3).sum_to_size(2)",
    "m.ones(1, 2).squeeze_().shape",
    "m.ones(2).unsqueeze_(0).shape",
    "m.ones(2, 3).t_().shape",
    "m.ones(2, 3, 4).transpose_(0, 2).stride()",
    "x = m.zeros(2, 3); y = x.view(6); x.t_()[0]=1; y",
    "m.ones(2).share_memory_()",
    "x = m.ones(2, 2, requires_grad=True); s = m.ones(2, requires_grad=True); "
    "(m.select_scatter(x*1, s, 0, 1)*3).sum().backward(); [x.grad, s.grad]",
]


# Found by torch's own samples of its operators.
SAMPLES = [
    "m.ones(2, 3).cumsum(1).flip(dims=[0, 1])",
    "m.diff(m.arange(4), n=0, prepend=m.zeros(1, dtype=m.int64))",
    "m.scalar_tensor(2, requires_grad=True)",
    "m.randint_like(m.ones(3), 1, dtype=m.int64, device='cpu')",
    "m.quantile(m.tensor(2.0), 0.5, 0, True).shape",
    "[part.shape for part in m.ones(5).tensor_split(m.tensor(2))]",
    "m.arange(4).gather(0, m.tensor([], dtype=m.uint8))",
    "m.addmv(m.arange(2), m.ones(2, 3, dtype=m.int64), m.arange(3), alpha=2.0, beta=1.0)",
    "m.ones(1, 1).squeeze(()).shape",
    "m.tensordot(m.ones(1, 2), m.ones(3, 2), dims=([0], [0]))",
    "m.arange(0.0, -8.5, -4.2, dtype=m.int64)",
    "m.searchsorted(m.tensor([3, 1, 2]), m.tensor([2]), sorter=m.tensor([1, 2, 0]))",
    "m.tensor(True).sum_to_size(())",
    "x = m.ones(2, 3); m.transpose_copy(x, 0, 1).add_(1); x",
    "[part.tolist() for part in m.unbind_copy(m.ones(2, 2))]",
    "m.split_with_sizes_copy(m.arange(5), [2, 3])",
    "m.unsafe_chunk(m.arange(4), 2)[0].add_(1)",
    "m.linspace(4.3, -3, 6, dtype=m.int64)",
    "m.view_as_real(m.tensor([1 + 2j]))",
    "m.view_as_complex(m.tensor([[1.0, 2.0]]))",
    "m.view_as_complex(m.ones(3))",
    "m.nextafter(m.tensor([1.0, 0.0]), m.tensor([2.0, -1.0]))",
    "m.ones(2, 3).index_reduce(0, m.tensor([0, 0]), m.full((2, 3), 4.0), 'mean')",
    "m.arange(4.0).index_reduce_(0, m.tensor([1, 1]), m.tensor([-5.0, 2.0]), 'amin')",
    "m.ones(2).index_reduce(0, m.tensor([1]), m.ones(1), 'sum')",
    "m.trapz(m.tensor([1.0, 2, 4]), m.tensor([0.0, 1, 3]))",
    "m.cumulative_trapezoid(m.tensor([[1.0, 2, 4]]), dx=2.0)",
    "m.combinations(m.arange(3), 2, True)",
    "m.unravel_index(m.tensor([5, 3]), (2, 3))",
    "m.gradient(m.tensor([1.0, 4, 9, 16]), spacing=2.0, edge_order=2)",
    "m.gradient(m.tensor([1.0, 4, 9, 16]), spacing=[m.tensor([0.0, 1, 3, 4])])",
    "m.nanquantile(m.tensor([1.0, nan, 3, 2]), m.tensor([0.0, 0.4]))",
]


ON_CPU = {"m.ones(2).type(m.DoubleTensor).type()": "names the type of PyTorch's tensors, the CPU's"}
ROWS = [*NAMES, *DTYPES, *ERRORS, *WRITES, *SIGNS, *VALUES, *GRADIENTS, *SAMPLES]


@pytest.mark.parametrize("text", hosted(ROWS, ON_CPU))
def test_row(text):
    same(lambda m: run(m, text), messages=False)


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_at_the_edges(name):
    """Every pair of special numbers at once; where torch refuses, so do we."""
    left = ", ".join(a for a in EDGE for b in EDGE)
    right = ", ".join(b for a in EDGE for b in EDGE)
    text = (
        f"x = m.tensor([{left}], requires_grad=True); y = m.tensor([{right}], requires_grad=True); "
        f"m.{name}(x, y).sum().backward(); [x.grad, y.grad]"
    )
    same(lambda m: run(m, text), messages=False)
