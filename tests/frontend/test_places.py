"""What a function makes for its own use is made where its arguments are, not by default.

The arguments are on the device "numpy", the default is another one; a GPU's would be no different.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import picograd as torch
from picograd import nn
from picograd.nn.attention import flex_attention as flex

F = nn.functional
Make = Callable[..., Any]


def image(make: Make) -> Any:
    return make(1, 2, 6, 6)


def moved(module: nn.Module, like: Any) -> nn.Module:
    return module.to(like.device)


def unpacked(make: Make) -> Any:
    x = make(4, 2, 3)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([2, 4]), enforce_sorted=False)
    return nn.utils.rnn.pad_packed_sequence(packed, total_length=5)[0]


def recurrent(make: Make) -> Any:
    x = make(4, 2, 3)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4, 2]))
    return moved(nn.GRU(3, 2, bidirectional=True), x)(packed)[0].data


def masked(make: Make) -> Any:
    x = make(1, 3, 4)
    mask = x[0, :, :3] > 0.5
    return moved(nn.MultiheadAttention(4, 2, batch_first=True), x)(x, x, x, attn_mask=mask)[0]


def parametrized(kind: Callable[..., Any], *sizes: int, **options: Any) -> Callable[[Make], Any]:
    def function(make: Make) -> Any:
        x = make(3, sizes[0])
        return kind(moved(nn.Linear(*sizes), x), **options)(x)

    return function


def shown(make: Make) -> Any:
    x = make(1, 1, 4, 4)
    mod = flex.and_masks(lambda b, h, q, k: q >= k, flex.noop_mask)
    mask = flex.create_block_mask(mod, 1, 1, 4, 4, device=x.device, BLOCK_SIZE=2)
    assert mask.to_dense().device == x.device
    return flex.flex_attention(x, x, x, block_mask=mask)


def sampled(make: Make) -> Any:
    grid = F.affine_grid(make(1, 2, 3), (1, 2, 3, 3), align_corners=False)
    return F.grid_sample(image(make), grid, align_corners=False)


CASES: dict[str, Callable[[Make], Any]] = {
    "combinations": lambda make: torch.combinations(make(4)),
    "repeat_interleave": lambda make: make(2).repeat_interleave((make(2) * 2).long(), 0),
    "pdist": lambda make: F.pdist(make(4, 3)),
    "interpolate": lambda make: F.interpolate(image(make), scale_factor=2, mode="bilinear"),
    "interpolate, bicubic": lambda make: F.interpolate(image(make), size=5, mode="bicubic"),
    "interpolate, nearest": lambda make: F.interpolate(image(make), size=4),
    "grid_sample": sampled,
    "adaptive mean": lambda make: F.adaptive_avg_pool2d(image(make), 4),
    "adaptive maximum": lambda make: F.adaptive_max_pool2d(image(make), 4, True)[1],
    "mean of windows": lambda make: F.avg_pool2d(image(make), 3, 2, padding=1),
    "maximum of windows": lambda make: F.max_pool2d(image(make), 3, 2, 1, 2, False, True)[1],
    "fold": lambda make: F.fold(F.unfold(image(make), 2), (6, 6), 2),
    "bags": lambda make: F.embedding_bag((make(2, 3) * 3).long(), make(4, 2)),
    "bags by offsets": lambda make: F.embedding_bag(
        (make(4) * 3).long(), make(4, 2), (make(2) * 0).long(), mode="max"
    ),
    "padding of rows": unpacked,
    "recurrent": recurrent,
    "masked attention": masked,
    "weight norm": parametrized(nn.utils.parametrizations.weight_norm, 3, 2),
    "spectral norm": parametrized(nn.utils.parametrizations.spectral_norm, 3, 2),
    "spectral norm, hooked": parametrized(nn.utils.spectral_norm, 3, 2),
    "orthogonal": parametrized(nn.utils.parametrizations.orthogonal, 3, 2),
    "Cayley": parametrized(*(nn.utils.parametrizations.orthogonal, 3, 2), orthogonal_map="cayley"),
    "sparse start": lambda make: nn.init.sparse_(make(4, 3), 0.5),
    "orthogonal start": lambda make: nn.init.orthogonal_(make(4, 3)),
    "Poisson": lambda make: torch.poisson(make(3)),
    "flex attention": shown,
}


@pytest.mark.parametrize("name", CASES)
def test_helpers_are_where_the_arguments_are(name: str) -> None:
    rng = np.random.default_rng(3)

    def make(*shape: int) -> Any:
        return torch.tensor(rng.random(shape, np.float32), device="numpy")

    torch.set_default_device("cpu")
    try:
        result = CASES[name](make)
        assert result.device.type == "numpy" and bool(result.isfinite().all())
    finally:
        torch.set_default_device(None)
