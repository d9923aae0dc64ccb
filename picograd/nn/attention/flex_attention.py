"""Attention whose scores and mask are functions of the positions.

In: query, key and value, `score_mod(score, b, h, q, kv)` and a block mask made from
`mask_mod(b, h, q, kv)`. Out: attention. Both functions are written for one score; they are called
once, with the scores of all pairs and with index tensors that broadcast against them, so all of it
is one graph like any other.

A block mask lists which blocks of scores hold something. Here it serves programs that ask for it:
the mask itself is `mask_mod`, which fuses with the scores; no block is skipped.

>>> import picograd
>>> x = picograd.ones(1, 1, 3, 2)
>>> causal = create_block_mask(lambda b, h, q, kv: q >= kv, None, None, 3, 3)
>>> flex_attention(x, x, picograd.arange(3.0).reshape(1, 1, 3, 1), block_mask=causal).flatten()
tensor([0.0000, 0.5000, 1.0000])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from picograd.dtypes import bool_, float32, int32
from picograd.frontend.contractions import matmul
from picograd.frontend.creation import arange, full, ones, zeros
from picograd.frontend.selection import choose
from picograd.frontend.statistics import logsumexp
from picograd.frontend.tensor import Tensor
from picograd.frontend.views import broadcast_to
from picograd.nn.functional import pad

Function = Callable[..., Any]
BLOCK = 128


class AuxRequest(NamedTuple):
    """What else `flex_attention` should return."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What was asked for: the scores' logsumexp and maxima of each query."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """Every query sees every key."""
    return ones((), dtype=bool_, device=batch.device)


def _combined(mask_mods: tuple[Function, ...], start: bool) -> Function:
    if not all(callable(one) for one in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def mask(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        result = full((), start, dtype=bool_, device=b.device)
        for one in mask_mods:
            result = result & one(b, h, q, kv) if start else result | one(b, h, q, kv)
        return result

    return mask


def and_masks(*mask_mods: Function) -> Function:
    """Seen where all the masks say so."""
    return _combined(mask_mods, True)


def or_masks(*mask_mods: Function) -> Function:
    """Seen where any of the masks says so."""
    return _combined(mask_mods, False)


def _places(
    batch: int, heads: int, queries: int, keys: int, device: Any = None
) -> tuple[Tensor, ...]:
    """The four indices, shaped to broadcast against the scores."""
    extents = (batch, heads, queries, keys)
    shapes = [[n if axis == k else 1 for k in range(4)] for axis, n in enumerate(extents)]
    return tuple(
        [
            arange(n, dtype=int32, device=device).reshape(shape)
            for n, shape in zip(extents, shapes, strict=True)
        ]
    )


def create_mask(
    mod_fn: Function,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
) -> Tensor:
    """What a mask (four arguments) or score function (five, of a score of 0) gives everywhere."""
    shape = (1 if B is None else B, 1 if H is None else H, Q_LEN, KV_LEN)
    places = _places(*shape, device)
    count = mod_fn.__code__.co_argcount if hasattr(mod_fn, "__code__") else 4
    if count == 5:
        result = mod_fn(zeros(shape, device=device), *places) != -math.inf
        return broadcast_to(result, shape)
    return broadcast_to(mod_fn(*places), shape)


def _per_block(mask: Tensor, sizes: tuple[int, int]) -> Tensor:
    """How many pairs each block of a mask shows."""
    rows, columns = sizes
    queries, keys = mask.shape[-2:]
    filled = pad(mask.to(int32), (0, -keys % columns, 0, -queries % rows))
    blocked = filled.unflatten(-1, (-1, columns)).unflatten(-3, (-1, rows))
    return blocked.sum(dim=(-1, -3))


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """For each row of blocks: how many are set, and their numbers followed by the others'."""
    order = blocks.to(int32).argsort(dim=-1, descending=True, stable=True)
    return blocks.sum(dim=-1).to(int32), order.to(int32)


def _dense(count: Tensor, indices: Tensor) -> Tensor:
    """Undo `_listed`."""
    columns = indices.shape[-1]
    used = (arange(columns, device=count.device) < count.unsqueeze(-1)).to(int32)
    return (used * 0).scatter(-1, indices.long(), used)


class BlockMask:
    """Which blocks of the scores hold something, and the function that says which pairs do."""

    def __init__(
        self,
        seq_lengths: tuple[int, int],
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None,
        full_kv_indices: Tensor | None,
        BLOCK_SIZE: tuple[int, int],
        mask_mod: Function,
    ) -> None:
        self.seq_lengths, self.BLOCK_SIZE, self.mask_mod = seq_lengths, BLOCK_SIZE, mask_mod
        self.kv_num_blocks, self.kv_indices = kv_num_blocks, kv_indices
        self.full_kv_num_blocks, self.full_kv_indices = full_kv_num_blocks, full_kv_indices
        self.q_num_blocks, self.q_indices = _listed(_dense(kv_num_blocks, kv_indices).mT)
        self.full_q_num_blocks = self.full_q_indices = None
        if full_kv_num_blocks is not None and full_kv_indices is not None:
            full = _dense(full_kv_num_blocks, full_kv_indices).mT
            self.full_q_num_blocks, self.full_q_indices = _listed(full)

    @classmethod
    def from_kv_blocks(
        cls,
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None = None,
        full_kv_indices: Tensor | None = None,
        BLOCK_SIZE: int | tuple[int, int] = BLOCK,
        mask_mod: Function | None = None,
        seq_lengths: tuple[int, int] | None = None,
        compute_q_blocks: bool = True,
    ) -> BlockMask:
        """A mask given by its blocks: partial ones (where `mask_mod` decides) and full ones."""
        if kv_indices.ndim < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        sizes = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
        rows, columns = kv_indices.shape[-2:]
        lengths = seq_lengths or (rows * sizes[0], columns * sizes[1])
        decide = mask_mod or noop_mask
        partial = _dense(kv_num_blocks, kv_indices).to(bool_)
        full = None
        if full_kv_num_blocks is not None and full_kv_indices is not None:
            full = _dense(full_kv_num_blocks, full_kv_indices).to(bool_)

        def mask(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
            place = (q // sizes[0]).long(), (kv // sizes[1]).long()
            lead = ((b % partial.shape[0]).long(), (h % partial.shape[1]).long())
            seen = partial[(*lead, *place)] & decide(b, h, q, kv)
            return seen if full is None else seen | full[(*lead, *place)]

        return cls(
            lengths, kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, sizes, mask
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(batch, heads, queries, keys)."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """The number of pairs."""
        return math.prod(self.shape)

    def to_dense(self) -> Tensor:
        """1 for each block that holds something, else 0."""
        dense = _dense(self.kv_num_blocks, self.kv_indices)
        if self.full_kv_num_blocks is not None and self.full_kv_indices is not None:
            dense = dense | _dense(self.full_kv_num_blocks, self.full_kv_indices)
        return dense

    def sparsity(self) -> float:
        """The percentage of pairs in blocks that hold nothing."""
        held = self.to_dense().sum().item() * math.prod(self.BLOCK_SIZE)
        return 100 * (1 - held / self.numel())

    def to(self, device: Any) -> BlockMask:
        """The mask itself: its functions work on any device."""
        return self

    def __getitem__(self, index: Any) -> BlockMask:
        """Some of the batch, heads or rows of blocks; the function of the positions stays."""
        index = index if isinstance(index, tuple) else (index,)
        index = tuple([slice(n, n + 1 or None) if isinstance(n, int) else n for n in index])
        parts = [self.kv_num_blocks, self.kv_indices, self.full_kv_num_blocks, self.full_kv_indices]
        taken = [None if part is None else part[index] for part in parts]
        number, indices, full_number, full_indices = taken
        assert number is not None and indices is not None
        rest = (full_number, full_indices, self.BLOCK_SIZE, self.mask_mod)
        return BlockMask(self.seq_lengths, number, indices, *rest)

    def __repr__(self) -> str:
        return (
            f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, "
            f"BLOCK_SIZE={self.BLOCK_SIZE}, mask_mod={getattr(self.mask_mod, '__name__', '?')})"
        )


def create_block_mask(
    mask_mod: Function,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = BLOCK,
    _compile: bool = False,
    separate_full_blocks: bool = True,
) -> BlockMask:
    """The block mask of a function of the positions; `None` for B or H: it is the same for all."""
    sizes = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
    counts = _per_block(create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device), sizes)
    full = counts.eq(math.prod(sizes))
    partial = (counts > 0) & ~full if separate_full_blocks else counts > 0
    complete = _listed(full) if separate_full_blocks else (None, None)
    return BlockMask((Q_LEN, KV_LEN), *_listed(partial), *complete, sizes, mask_mod)


def _check(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> None:
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ValueError(
            "Expected query, key and value to be 4 dimensional, but got query.dim(): "
            f"{query.ndim}, key.dim(): {key.ndim} and value.dim(): {value.ndim}"
        )
    if query.dtype is not key.dtype or query.dtype is not value.dtype:
        raise ValueError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype}, key.dtype: {key.dtype}, and value.dtype: {value.dtype}"
        )
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            "Expect query and key/value to have the same embedding dimension but got "
            f"E={query.shape[-1]} and E={key.shape[-1]}"
        )
    heads, key_heads = query.shape[1], key.shape[1]
    if heads != key_heads and not enable_gqa:
        raise ValueError(
            "Expect query and key/value to have the same number of heads but got "
            f"Hq={heads} and Hkv={key_heads}. Try setting enable_gqa=True for GQA."
        )
    if heads % key_heads:
        raise ValueError(
            f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} "
            f"and Hkv={key_heads}"
        )


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Function | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: dict[str, Any] | None = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """`softmax(score_mod(query @ key.T * scale), where block_mask shows) @ value`.

    A query that may look at nothing gets zeros.
    """
    _check(query, key, value, enable_gqa)
    batch, heads, queries = query.shape[:3]
    times, keys = heads // key.shape[1], key.shape[2]
    if times > 1:
        key, value = (x.repeat_interleave(times, dim=1) for x in (key, value))
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = matmul(query, key.mT) * factor
    places = _places(batch, heads, queries, keys, query.device)
    if score_mod is not None:
        scores = score_mod(scores, *places)
    if block_mask is not None:
        if block_mask.seq_lengths[0] < queries or block_mask.seq_lengths[1] < keys:
            raise ValueError(
                f"block_mask was created for block_mask.shape={block_mask.shape} but got "
                f"q_len={queries} and kv_len={keys}. As the block mask was created for a smaller "
                "length than you're using it for, you likely need to create a new block mask."
            )
        scores = choose(block_mask.mask_mod(*places), scores, -math.inf)
    largest = scores.amax(-1, keepdim=True).detach()
    weights = (scores - choose(largest.eq(-math.inf), 0.0, largest)).exp()
    total = weights.sum(-1, keepdim=True)
    result = matmul(weights / choose(total.eq(0), 1.0, total), value)
    if return_aux is not None:
        lse = logsumexp(scores.to(float32), -1) if return_aux.lse else None
        return result, AuxOutput(lse, largest.squeeze(-1) if return_aux.max_scores else None)
    return (result, logsumexp(scores.to(float32), -1)) if return_lse else result
