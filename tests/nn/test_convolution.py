"""Convolutions and pooling: numbers, gradients and errors are torch's."""

from __future__ import annotations

import numpy as np
import pytest

import picograd
from picograd import engine

torch = pytest.importorskip("torch")

# function, input shapes, arguments
CASES = [
    ("conv1d", [(2, 3, 9), (4, 3, 3)], {}),
    ("conv1d", [(3, 9), (4, 3, 2)], {"stride": 2, "padding": 1}),
    ("conv1d", [(2, 4, 9), (6, 2, 3), (6,)], {"groups": 2, "dilation": 2, "padding": "same"}),
    ("conv2d", [(2, 3, 8, 7), (4, 3, 3, 2), (4,)], {}),
    ("conv2d", [(2, 3, 8, 7), (4, 3, 3, 3), (4,)], {"stride": 2, "padding": 1}),
    ("conv2d", [(2, 4, 8, 7), (4, 1, 3, 3)], {"groups": 4, "padding": (2, 1)}),
    ("conv2d", [(1, 2, 9, 9), (3, 2, 3, 3)], {"dilation": (2, 3), "stride": (1, 2)}),
    ("conv2d", [(2, 3, 5, 5), (4, 3, 1, 1)], {}),
    ("conv2d", [(2, 3, 5, 5), (4, 3, 2, 2)], {"padding": "valid"}),
    ("conv3d", [(1, 2, 4, 5, 6), (3, 2, 2, 3, 2), (3,)], {"padding": 1}),
    ("conv_transpose1d", [(2, 3, 5), (3, 4, 3), (4,)], {"stride": 2, "output_padding": 1}),
    ("conv_transpose2d", [(2, 3, 4, 5), (3, 4, 3, 3), (4,)], {"stride": 2, "padding": 1}),
    ("conv_transpose2d", [(2, 4, 4, 5), (4, 3, 3, 2)], {"groups": 2, "dilation": 2}),
    ("conv_transpose2d", [(1, 2, 3, 3), (2, 1, 2, 2)], {"padding": 1}),
    ("conv_transpose3d", [(1, 2, 3, 3, 2), (2, 2, 2, 2, 2)], {"stride": 2}),
    ("conv1d", [(2, 12, 40), (12, 12, 4)], {"stride": 3, "padding": 2, "dilation": 2}),
    ("conv2d", [(2, 9, 9, 37), (9, 1, 3, 3)], {"groups": 9, "padding": 1, "stride": 2}),
    ("conv2d", [(2, 9, 9, 37), (18, 3, 3, 3)], {"groups": 3, "padding": 1, "dilation": 2}),
    ("conv2d", [(2, 10, 7, 8), (20, 10, 1, 1)], {"stride": (2, 3)}),
    ("conv2d", [(2, 10, 9, 8), (20, 10, 5, 4), (20,)], {"stride": 4, "dilation": 2, "padding": 4}),
    ("conv_transpose1d", [(2, 3, 5), (3, 4, 2)], {"stride": 4, "output_padding": 3}),
    ("conv_transpose1d", [(2, 3, 5), (3, 4, 2)], {"stride": 2, "dilation": 5, "padding": 3}),
    ("max_pool1d", [(2, 3, 9)], {"kernel_size": 2}),
    ("max_pool2d", [(2, 3, 9, 8)], {"kernel_size": 2}),
    ("max_pool2d", [(3, 9, 8)], {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool2d", [(2, 3, 9, 8)], {"kernel_size": (3, 2), "stride": 2, "ceil_mode": True}),
    ("max_pool2d", [(2, 3, 9, 8)], {"kernel_size": 2, "dilation": 2, "stride": 1}),
    ("max_pool3d", [(1, 2, 4, 5, 6)], {"kernel_size": 2}),
    ("max_pool2d", [(2, 3, 9, 8)], {"kernel_size": 3, "padding": 1, "ceil_mode": True}),
    ("max_pool1d", [(3, 10)], {"kernel_size": 4, "padding": 2}),
    ("avg_pool1d", [(2, 3, 9)], {"kernel_size": 3, "padding": 1}),
    ("avg_pool2d", [(2, 3, 9, 8)], {"kernel_size": 2}),
    ("avg_pool2d", [(2, 3, 10, 8)], {"kernel_size": 3, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", [(2, 3, 9, 8)], {"kernel_size": 3, "padding": 1, "count_include_pad": False}),
    ("avg_pool2d", [(2, 3, 9, 8)], {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    ("avg_pool2d", [(2, 3, 8, 8)], {"kernel_size": 3, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", [(2, 3, 9, 8)], {"kernel_size": 3, "divisor_override": 5}),
    ("avg_pool3d", [(1, 2, 4, 5, 6)], {"kernel_size": 2}),
    ("adaptive_avg_pool1d", [(2, 3, 9)], {"output_size": 4}),
    ("adaptive_avg_pool2d", [(2, 3, 8, 6)], {"output_size": 1}),
    ("adaptive_avg_pool2d", [(2, 3, 8, 6)], {"output_size": (4, 3)}),
    ("adaptive_avg_pool2d", [(2, 3, 7, 5)], {"output_size": (3, None)}),
    ("adaptive_avg_pool2d", [(3, 4, 5)], {"output_size": 7}),
    ("adaptive_max_pool1d", [(2, 3, 9)], {"output_size": 4}),
    ("adaptive_max_pool2d", [(2, 3, 7, 5)], {"output_size": (3, 2)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shapes", "options"), CASES, ids=lambda value: str(value))
def test_numbers_and_gradients(name: str, shapes, options) -> None:
    random = np.random.default_rng(0)
    given = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    x = [torch.tensor(a, requires_grad=True) for a in given]
    y = [picograd.tensor(a, requires_grad=True) for a in given]
    want = getattr(torch.nn.functional, name)(*x, **options)
    have = getattr(picograd.nn.functional, name)(*y, **options)
    np.testing.assert_allclose(have.detach().numpy(), want.detach().numpy(), 1e-4, 1e-5)
    (want * want).sum().backward()
    (have * have).sum().backward()
    for a, b in zip(x, y, strict=True):
        np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), 1e-3, 1e-4)


def twice(module, name: str, arrays, options):
    """A function's second derivatives, as arrays."""
    x = [module.tensor(array, requires_grad=True) for array in arrays]
    y = getattr(module.nn.functional, name)(*x, **options)
    first = module.autograd.grad((y * y * y).sum(), x, create_graph=True)
    return [g.numpy() for g in module.autograd.grad(sum((g * g).sum() for g in first), x)]


@pytest.mark.parametrize(
    ("name", "shapes", "options"), [case for case in CASES if case[0].startswith("conv")][2:9:2]
)
def test_second_derivatives(name: str, shapes, options) -> None:
    random = np.random.default_rng(0)
    given = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    for have, want in zip(
        twice(picograd, name, given, options), twice(torch, name, given, options), strict=True
    ):
        np.testing.assert_allclose(have, want, 1e-3, 1e-3 * np.abs(want).max())


@pytest.mark.parametrize(
    ("name", "shapes", "options", "most"),
    [
        ("conv2d", [(2, 16, 12, 12), (24, 16, 3, 3)], {}, 1),
        ("conv2d", [(2, 16, 12, 12), (24, 16, 3, 3), (24,)], {"padding": 1, "stride": 2}, 2),
        ("avg_pool2d", [(2, 3, 9, 8)], {"kernel_size": 3}, 1),
    ],
)
def test_windows_are_no_kernels_of_their_own(name: str, shapes, options, most: int) -> None:
    given = [picograd.tensor(np.ones(shape, np.float32)) for shape in shapes]
    picograd.synchronize()
    engine.statistics.reset()
    getattr(picograd.nn.functional, name)(*given, **options).numpy()
    assert engine.statistics.kernels_run <= most


def test_the_gradient_of_maxima_side_by_side_is_a_kernel_an_axis() -> None:
    x = picograd.ones(2, 3, 9, 8, requires_grad=True)
    y = picograd.nn.functional.max_pool2d(x, 2, padding=1)
    gradient = picograd.ones(y.shape)
    y.detach().numpy(), gradient.numpy()
    engine.statistics.reset()
    picograd.autograd.grad(y, x, gradient)[0].numpy()
    assert engine.statistics.kernels_run <= 2


def test_a_gradient_has_no_windows_in_memory() -> None:
    x, w = (picograd.ones(s, requires_grad=True) for s in ((2, 16, 12, 12), (24, 16, 3, 3)))
    picograd.synchronize()
    engine.statistics.reset()
    picograd.nn.functional.conv2d(x, w, padding=1).sum().backward()
    picograd.synchronize()
    # Two padded images and three contractions, and their results' sum.
    assert engine.statistics.kernels_run <= 6


inf, nan = float("inf"), float("nan")
PLANES = {
    "ties": [[1, 1, 0, 2, 0], [1, 1, 2, 2, 0], [0, 3, 3, 1, 1], [3, 3, 0, 1, 1], [0, 0, 0, 0, 0]],
    "nan": [[1, nan, 0, 2, 0], [nan, 1, 2, 2, 0], [0, 3, 3, nan, nan], [3] * 5, [0] * 5],
    "lowest": [[-inf] * 5, [-inf] * 5, [-inf, -inf, 1, -inf, -inf], [-inf] * 5, [-inf] * 5],
}
WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (2, 3), "stride": (3, 1), "padding": (1, 0)},
    {"kernel_size": (3, 2), "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "dilation": 3, "stride": 1, "padding": 1},
    {"kernel_size": 1, "stride": 3},
]


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("options", WINDOWS, ids=str)
def test_max_pool_gives_places_and_one_winner(plane: str, options: dict[str, object]) -> None:
    """The first of equal elements gets the gradient, and the last NaN; padding never does. Places
    count in the whole plane."""
    array = np.array([PLANES[plane]], np.float32)
    x, y = torch.tensor(array, requires_grad=True), picograd.tensor(array, requires_grad=True)
    want = torch.nn.functional.max_pool2d(x, **options, return_indices=True)
    have = picograd.nn.functional.max_pool2d(y, **options, return_indices=True)
    np.testing.assert_array_equal(have[0].detach().numpy(), want[0].detach().numpy())
    assert have[1].tolist() == want[1].tolist()
    want[0].sum().backward()
    have[0].sum().backward()
    assert y.grad.tolist() == x.grad.tolist()


def test_the_gradient_of_pooling_has_a_gradient() -> None:
    x = picograd.randn(1, 2, 5, 5, dtype=picograd.float64, requires_grad=True)
    for pool in (picograd.nn.functional.max_pool2d, picograd.nn.functional.avg_pool2d):
        for window in ((3, 2, 1), (2,)):
            assert picograd.autograd.gradgradcheck(
                lambda x, pool=pool, window=window: pool(x, *window).square(), x
            )


ERRORS = [
    lambda m: m.nn.functional.conv2d(m.ones(1, 3, 4, 4), m.ones(2, 2, 3, 3)),
    lambda m: m.nn.functional.conv2d(m.ones(4, 4), m.ones(2, 2, 3, 3)),
    lambda m: m.nn.functional.conv2d(m.ones(1, 2, 2, 2), m.ones(2, 2, 3, 3)),
    lambda m: m.nn.functional.conv2d(m.ones(1, 2, 4, 4), m.ones(2, 2, 3, 3), stride=0),
    lambda m: m.nn.functional.conv2d(m.ones(1, 2, 4, 4), m.ones(2, 2, 3, 3).double()),
    lambda m: m.nn.functional.conv1d(m.ones(1, 2, 4), m.ones(2, 2, 3), stride=2, padding="same"),
    lambda m: m.nn.functional.max_pool2d(m.ones(1, 2, 4, 4), 2, padding=2),
    lambda m: m.nn.functional.max_pool2d(m.ones(1, 2, 1, 1), 2),
    lambda m: m.nn.functional.avg_pool2d(m.ones(1, 2, 4, 4), 2, divisor_override=0),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors_are_torchs(number: int) -> None:
    with pytest.raises(Exception) as theirs:
        ERRORS[number](torch)
    with pytest.raises(type(theirs.value)):
        ERRORS[number](picograd)
