"""Losses as modules: each holds its arguments and applies the function of the same meaning.

In: hyper-parameters. Out: modules that take (input, target). Weights are buffers.

>>> import picograd
>>> MSELoss()(picograd.zeros(2), picograd.ones(2)).item()
1.0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from picograd.frontend.tensor import Tensor
from picograd.nn import functional as F
from picograd.nn.module import Module

# Arguments that torch still takes in front of `reduction`, without a meaning of their own.
_OLD = ("size_average", "reduce")


class Loss(Module):
    """A module whose arguments go to one loss function as they are."""

    function: ClassVar[Callable[..., Tensor]]
    arguments: ClassVar[dict[str, Any]]
    order: ClassVar[tuple[str, ...]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        if len(args) > len(self.order):
            raise TypeError(f"{type(self).__name__} takes {self.order}, got {len(args)} arguments")
        given = {**dict(zip(self.order, args, strict=False)), **kwargs}
        for name in given:
            if name not in self.order:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{name}'"
                )
        if given.pop("reduce", None) is False:
            given["reduction"] = "none"
        elif given.pop("size_average", None) is False:
            given["reduction"] = "sum"
        for name, value in {**self.arguments, **given}.items():
            if name in ("weight", "pos_weight"):
                self.register_buffer(name, value)
            elif name not in _OLD:
                setattr(self, name, value)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The loss, reduced as `reduction` says."""
        given = {name: getattr(self, name) for name in self.arguments}
        return type(self).function(*inputs, **given)


def _of(name: str, function: Callable[..., Tensor], order: str, **arguments: Any) -> type[Loss]:
    """`order`: the positional arguments, torch's old ones included."""
    body = {
        "function": staticmethod(function),
        "arguments": arguments,
        "order": tuple(order.split()),
        "__doc__": function.__doc__,
        "__module__": __name__,
    }
    return type(name, (Loss,), body)


_PLAIN = "size_average reduce reduction"

L1Loss = _of("L1Loss", F.l1_loss, _PLAIN, reduction="mean")
MSELoss = _of("MSELoss", F.mse_loss, _PLAIN, reduction="mean")
SoftMarginLoss = _of("SoftMarginLoss", F.soft_margin_loss, _PLAIN, reduction="mean")
KLDivLoss = _of("KLDivLoss", F.kl_div, f"{_PLAIN} log_target", reduction="mean", log_target=False)
BCELoss = _of("BCELoss", F.binary_cross_entropy, f"weight {_PLAIN}", weight=None, reduction="mean")
HingeEmbeddingLoss = _of(
    "HingeEmbeddingLoss", F.hinge_embedding_loss, f"margin {_PLAIN}", margin=1.0, reduction="mean"
)
CosineEmbeddingLoss = _of(
    "CosineEmbeddingLoss", F.cosine_embedding_loss, f"margin {_PLAIN}", margin=0.0, reduction="mean"
)
MarginRankingLoss = _of(
    "MarginRankingLoss", F.margin_ranking_loss, f"margin {_PLAIN}", margin=0.0, reduction="mean"
)
CrossEntropyLoss = _of(
    "CrossEntropyLoss",
    F.cross_entropy,
    "weight size_average ignore_index reduce reduction label_smoothing",
    weight=None,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
)
NLLLoss = _of(
    "NLLLoss",
    F.nll_loss,
    "weight size_average ignore_index reduce reduction",
    weight=None,
    ignore_index=-100,
    reduction="mean",
)
BCEWithLogitsLoss = _of(
    "BCEWithLogitsLoss",
    F.binary_cross_entropy_with_logits,
    "weight size_average reduce reduction pos_weight",
    weight=None,
    reduction="mean",
    pos_weight=None,
)
SmoothL1Loss = _of(
    "SmoothL1Loss",
    F.smooth_l1_loss,
    "size_average reduce reduction beta",
    reduction="mean",
    beta=1.0,
)
HuberLoss = _of("HuberLoss", F.huber_loss, "reduction delta", reduction="mean", delta=1.0)
GaussianNLLLoss = _of(
    "GaussianNLLLoss",
    F.gaussian_nll_loss,
    "full eps reduction",
    full=False,
    eps=1e-6,
    reduction="mean",
)
PoissonNLLLoss = _of(
    "PoissonNLLLoss",
    F.poisson_nll_loss,
    "log_input full size_average eps reduce reduction",
    log_input=True,
    full=False,
    eps=1e-8,
    reduction="mean",
)
TripletMarginLoss = _of(
    "TripletMarginLoss",
    F.triplet_margin_loss,
    "margin p eps swap size_average reduce reduction",
    margin=1.0,
    p=2.0,
    eps=1e-6,
    swap=False,
    reduction="mean",
)
MultiLabelMarginLoss = _of(
    "MultiLabelMarginLoss", F.multilabel_margin_loss, _PLAIN, reduction="mean"
)
MultiLabelSoftMarginLoss = _of(
    "MultiLabelSoftMarginLoss",
    F.multilabel_soft_margin_loss,
    f"weight {_PLAIN}",
    weight=None,
    reduction="mean",
)
MultiMarginLoss = _of(
    "MultiMarginLoss",
    F.multi_margin_loss,
    f"p margin weight {_PLAIN}",
    p=1,
    margin=1.0,
    weight=None,
    reduction="mean",
)


class TripletMarginWithDistanceLoss(Module):
    """`functional.triplet_margin_with_distance_loss` as a module."""

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        given = PairwiseDistance() if distance_function is None else distance_function
        self.distance_function, self.margin = given, margin
        self.swap, self.reduction = swap, reduction

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss, reduced as `reduction` says."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along `dim`."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Two broadcastable tensors -> one without `dim`."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of differences along the last dimension."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """(N, D), (N, D) -> (N,)."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
