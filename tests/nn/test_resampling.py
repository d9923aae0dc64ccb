"""Resampling, columns and rearrangement: numbers and gradients are torch's."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

IMAGE, SIGNAL = (2, 3, 5, 4), (2, 3, 5)
CASES = [
    *[("interpolate", IMAGE, {"size": size, "mode": mode}) for size in ((7, 9), (3, 2), 5)
      for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")],
    ("interpolate", IMAGE, {"scale_factor": 1.7, "mode": "bilinear"}),
    ("interpolate", IMAGE, {"scale_factor": (2, 0.6), "mode": "nearest"}),
    ("interpolate", IMAGE, {"scale_factor": 1.7, "mode": "bilinear",
                            "recompute_scale_factor": True}),
    ("interpolate", IMAGE, {"size": (8, 3), "mode": "bilinear", "align_corners": True}),
    ("interpolate", IMAGE, {"size": (8, 3), "mode": "bicubic", "align_corners": True}),
    ("interpolate", SIGNAL, {"size": 8, "mode": "linear"}),
    ("interpolate", SIGNAL, {"size": 1, "mode": "linear", "align_corners": True}),
    ("interpolate", (1, 2, 3, 2, 4), {"scale_factor": 2, "mode": "trilinear"}),
    ("pixel_shuffle", (2, 8, 3, 2), {"upscale_factor": 2}),
    ("pixel_unshuffle", (2, 2, 6, 4), {"downscale_factor": 2}),
    ("channel_shuffle", (2, 6, 3, 2), {"groups": 3}),
    ("unfold", IMAGE, {"kernel_size": (2, 3), "padding": 1, "stride": 2}),
    ("unfold", IMAGE, {"kernel_size": 2, "dilation": 2}),
    ("fold", (2, 12, 25), {"output_size": (5, 4), "kernel_size": (2, 2), "padding": (1, 1),
                           "stride": (1, 1), "dilation": (2, 1)}),
    ("fold", (2, 8, 9), {"output_size": (4, 4), "kernel_size": 2}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "shape", "options"), CASES, ids=str)
def test_numbers_and_gradients(name: str, shape, options) -> None:
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x, y = torch.tensor(array, requires_grad=True), picograd.tensor(array, requires_grad=True)
    want = getattr(torch.nn.functional, name)(x, **options)
    have = getattr(picograd.nn.functional, name)(y, **options)
    np.testing.assert_allclose(have.detach().numpy(), want.detach().numpy(), 1e-4, 1e-5)
    want.square().sum().backward()
    have.square().sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), x.grad.numpy(), 1e-3, 1e-4)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_grid_sample(mode: str, padding_mode: str, align_corners: bool) -> None:
    random = np.random.default_rng(0)
    image = random.standard_normal((2, 3, 5, 4)).astype(np.float32)
    grid = random.uniform(-2.3, 2.3, (2, 6, 3, 2)).astype(np.float32)
    results = []
    for m in (torch, picograd):
        x, g = m.tensor(image, requires_grad=True), m.tensor(grid, requires_grad=True)
        y = m.nn.functional.grid_sample(x, g, mode, padding_mode, align_corners)
        y.square().sum().backward()
        results.append((y.detach(), x.grad, x.grad if mode == "nearest" else g.grad))
    for have, want in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(have.numpy(), want.numpy(), 1e-3, 1e-4)


@pytest.mark.parametrize("align_corners", [True, False])
def test_affine_grid(align_corners: bool) -> None:
    theta = np.random.default_rng(0).standard_normal((2, 2, 3)).astype(np.float32)
    size = (2, 3, 4, 5)
    want = torch.nn.functional.affine_grid(torch.tensor(theta), size, align_corners)
    have = picograd.nn.functional.affine_grid(picograd.tensor(theta), size, align_corners)
    np.testing.assert_allclose(have.numpy(), want.numpy(), 1e-5, 1e-6)


LAYERS = [
    ("Upsample(scale_factor=2)", IMAGE),
    ("Upsample(size=(3, 4), mode='bilinear')", IMAGE),
    ("UpsamplingBilinear2d(scale_factor=2)", IMAGE),
    ("PixelShuffle(2)", (1, 4, 2, 2)),
    ("Unfold(2, stride=2)", IMAGE),
    ("Fold((4, 4), 2)", (2, 8, 9)),
]


@pytest.mark.parametrize(("expression", "shape"), LAYERS, ids=str)
def test_layers(expression: str, shape) -> None:
    theirs, ours = (eval(f"m.nn.{expression}", {"m": m}) for m in (torch, picograd))
    assert repr(ours) == repr(theirs)
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    want, have = theirs(torch.tensor(array)), ours(picograd.tensor(array))
    np.testing.assert_allclose(have.numpy(), want.numpy(), 1e-4, 1e-5)
