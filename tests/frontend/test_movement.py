"""Joining, repeating, shifting and padding against torch."""

from __future__ import annotations

import pytest

from tests.frontend.parity import check

S = (2, 3)

CASES = {
    "cat": (lambda t, x, y: (t.cat([x, y]), t.cat((x, y), dim=-1), t.concat([x, y], axis=1)), S, S),
    "cat_uneven": (lambda t, x, y: t.cat([x, y], 0), S, (1, 3)),
    "cat_dtypes": (lambda t, x, y: t.cat([x, y]), S, ("int64", S)),
    "cat_many": (lambda t, x, y: (t.cat([x, y] * 9), t.cat([x, y, x, y, x], 1).tanh()), S, S),
    "cat_many_uneven": (lambda t, x, y: t.cat([x, y, y, x[:0], x, x[:2], y * 2]), S, (1, 3)),
    "cat_many_dtypes": (lambda t, x, y: t.cat([x, y, y, x, y, x]), S, ("int64", S)),
    "stack_many": (lambda t, x: (t.stack([x * n for n in range(20)]), t.stack([x] * 6, -1)), S),
    "cat_empty": (lambda t, x: t.cat([t.zeros(0), x]), S),
    "cat_sizes": (lambda t, x, y: t.cat([x, y]), S, (2, 4)),
    "cat_ranks": (lambda t, x, y: t.cat([x, y]), S, (3,)),
    "cat_scalar": (lambda t, x: t.cat([x, x]), ()),
    "cat_nothing": (lambda t: t.cat([]),),
    "stack": (lambda t, x, y: (t.stack([x, y]), t.stack([x, y], 1), t.stack([x, y], -1)), S, S),
    "stack_sizes": (lambda t, x, y: t.stack([x, y]), S, (2, 4)),
    "stacks": (
        lambda t, x: (t.hstack([x, x]), t.vstack([x, x]), t.dstack([x, x]), t.column_stack([x, x])),
        S,
    ),
    "stacks_1d": (
        lambda t, x: (t.hstack([x, x]), t.vstack([x, x]), t.dstack([x, x]), t.column_stack([x, x])),
        (3,),
    ),
    "atleast": (lambda t, x: (t.atleast_1d(x), t.atleast_2d(x), t.atleast_3d(x)), ()),
    "atleast_1": (lambda t, x: (t.atleast_2d(x), t.atleast_3d(x), t.atleast_1d([x, x])), (3,)),
    "repeat": (lambda t, x: (x.repeat(2, 3), x.repeat((2, 1, 2)), x.repeat(1, 0)), S),
    "repeat_few": (lambda t, x: x.repeat(2), S),
    "tile": (lambda t, x: (t.tile(x, (2,)), x.tile(2, 1, 1)), S),
    "interleave": (lambda t, x: (x.repeat_interleave(2), x.repeat_interleave(3, dim=1)), S),
    "interleave_tensor": (lambda t, x: t.repeat_interleave(x, t.tensor([1, 0, 2]), dim=1), S),
    "flip": (lambda t, x: (x.flip(0), x.flip((0, 1)), t.flip(x, [1]), t.fliplr(x), t.flipud(x)), S),
    "flip_wrong": (lambda t, x: t.flip(x, [1]), (3,)),
    "rot90": (lambda t, x: (t.rot90(x), t.rot90(x, 2), t.rot90(x, 3), t.rot90(x, -1, [1, 0])), S),
    "roll": (lambda t, x: (x.roll(1), x.roll(1, 0), x.roll((1, -1), (0, 1)), x.roll(5, 1)), S),
    "tril": (lambda t, x: (x.tril(), x.triu(), x.tril(-1), t.triu(x, diagonal=1)), (3, 4)),
    "tril_batch": (lambda t, x: (x.tril(1), x.triu(-1)), (2, 3, 3)),
    "tril_wrong": (lambda t, x: x.tril(), (3,)),
    "tril_ones": (lambda t: t.tril(t.ones(3, 3, dtype=t.bool)),),
    "diag": (
        lambda t, x, y: (t.diag(x), x.diag(1), x.diag(-1), y.diag(), t.diag(y, 1)),
        (3,),
        (3, 4),
    ),
    "diag_embed": (lambda t, x: (t.diag_embed(x), t.diag_embed(x, 1), t.diag_embed(x, 0, 0, 2)), S),
    "block_diag": (lambda t, x, y: t.block_diag(x, y), S, (1, 2)),
    "meshgrid": (
        lambda t, x, y: (t.meshgrid(x, y, indexing="ij"), t.meshgrid([x, y], indexing="xy")),
        (2,),
        (3,),
    ),
    "cartesian": (lambda t, x, y: t.cartesian_prod(x, y), (2,), (3,)),
    "broadcast_tensors": (lambda t, x, y: t.broadcast_tensors(x, y), (2, 1), (3,)),
    "unfold": (lambda t, x: (x.unfold(1, 2, 1), x.unfold(0, 2, 2), x.unfold(-1, 3, 2)), (4, 5)),
    "unfold_wrong": (lambda t, x: x.unfold(0, 9, 1), S),
    "views": (
        lambda t, x: (
            x.movedim(0, 1),
            x.swapaxes(0, 1),
            x.unsqueeze(1),
            x.flatten(),
            x.chunk(2, 1),
        ),
        S,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    function, *specs = CASES[name]
    check(function, *specs)
