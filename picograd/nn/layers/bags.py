"""`EmbeddingBag`: a table whose rows are combined by bags.

In: sizes. Out: a module with `weight`.

>>> EmbeddingBag(10, 3, mode="sum")
EmbeddingBag(10, 3, mode='sum')
"""

from __future__ import annotations

from typing import Any

from picograd.dtypes import DType
from picograd.frontend.creation import empty
from picograd.frontend.device import device as Device
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.tensor import Tensor
from picograd.nn import functional as F
from picograd.nn import init
from picograd.nn.module import Module
from picograd.nn.parameter import Parameter


class EmbeddingBag(Module):
    """Sums, means or maxima of bags of rows of a table."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse, self.mode = scale_grad_by_freq, sparse, mode
        self.include_last_offset = include_last_offset
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError("padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        if _weight is None:
            shape = (num_embeddings, embedding_dim)
            self.weight = Parameter(empty(shape, device=device, dtype=dtype))
            self.reset_parameters()
        else:
            self.weight = Parameter(_weight)

    def reset_parameters(self) -> None:
        """Draw the table again from N(0, 1); the padding row is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].fill_(0)

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Integers (B, N), or (N,) with offsets (B,) -> (B, embedding_dim)."""
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, **rest: Any) -> EmbeddingBag:
        """A layer over a given table."""
        if embeddings.ndim != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        made = cls(embeddings.shape[0], embeddings.shape[1], _weight=embeddings, **rest)
        made.weight.requires_grad_(not freeze)
        return made

    def extra_repr(self) -> str:
        shown = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        given = {name: getattr(self, name) for name in shown}
        parts += [f"{name}={value}" for name, value in given.items() if value != shown[name]]
        parts.append(f"mode={self.mode!r}")
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx}")
        return ", ".join(parts)
