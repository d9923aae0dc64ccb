"""Ready parametrisations: weight norm, spectral norm, orthogonal matrices.

In: a module and the name of its weight. Out: the module, whose weight is computed from now on
(see `nn/utils/parametrize.py`).

Sources: Salimans & Kingma 2016, Weight Normalization; Miyato et al. 2018, Spectral Normalization;
Lezcano-Casado 2019, Trivializations for Gradient-Based Optimization on Manifolds.

>>> from picograd import nn
>>> layer = orthogonal(nn.Linear(3, 3))
>>> (layer.weight @ layer.weight.T).round().abs().tolist()
[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
"""

from __future__ import annotations

from typing import cast

import numpy as np

from picograd.frontend.creation import eye, zeros_like
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.movement import cat
from picograd.frontend.random import randn
from picograd.frontend.tensor import Tensor
from picograd.nn.functional import normalize, pad
from picograd.nn.layers.convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from picograd.nn.module import Module
from picograd.nn.utils.hooked_norms import merged_around, norm_except_dim, scaled_direction
from picograd.nn.utils.parametrize import register_parametrization

TRANSPOSED = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
WARM_UP = 15  # power iterations before the first use


class _WeightNorm(Module):
    """Length and direction: the weight is `g * v / |v|`."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """The weight."""
        return scaled_direction(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Its length and itself."""
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn the weight's length and direction apart."""
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    """The weight over its largest singular value, followed by power iteration."""

    _u: Tensor
    _v: Tensor

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.ndim}, "
                f"{weight.ndim - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got n_power_iterations="
                f"{n_power_iterations}"
            )
        self.dim = dim % weight.ndim
        self.eps, self.n_power_iterations = eps, n_power_iterations
        if weight.ndim > 1:
            matrix = self._matrix(weight.detach())
            rows, columns = matrix.shape
            kind = matrix.dtype
            for name, extent in (("_u", rows), ("_v", columns)):
                start = randn(extent, dtype=kind, device=matrix.device)
                self.register_buffer(name, normalize(start, dim=0, eps=eps))
            self._iterate(matrix, WARM_UP)

    def _matrix(self, weight: Tensor) -> Tensor:
        """The weight with the chosen dimension first, and the others merged."""
        return merged_around(weight, self.dim)

    def _iterate(self, matrix: Tensor, times: int) -> None:
        with no_grad():
            u, v = self._u, self._v
            for _ in range(times):
                u = normalize(matrix.mv(v), dim=0, eps=self.eps)
                v = normalize(matrix.mH.mv(u), dim=0, eps=self.eps)
            self._u.copy_(u)
            self._v.copy_(v)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight, scaled."""
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / u.vdot(matrix.mv(v))

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself: it may be assigned whatever its norm is."""
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide the weight by its largest singular value."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    axis = (1 if isinstance(module, TRANSPOSED) else 0) if dim is None else dim
    made = _SpectralNorm(weight, n_power_iterations, axis, eps)
    return register_parametrization(module, name, made)


def _factored(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """LAPACK's compact QR: Householder vectors below R, and their factors."""
    raw, factors = np.linalg.qr(values(matrix), mode="raw")
    place = matrix._storage.node.device
    kept = cast("np.ndarray", np.swapaxes(raw, -1, -2))
    return from_array(np.ascontiguousarray(kept), place), from_array(factors, place)


def _orthonormal(matrix: Tensor) -> Tensor:
    """A matrix with the same span whose columns are orthonormal: Q of QR, with R's diagonal > 0."""
    compact, factors = _factored(matrix)
    signs = compact.diagonal(dim1=-2, dim2=-1).sgn()
    return compact.orgqr(factors) * signs.unsqueeze(-2)


def _is_orthonormal(matrix: Tensor) -> bool:
    rows, columns = matrix.shape[-2:]
    if rows < columns:
        matrix = matrix.mT
        columns = rows
    one = eye(columns, dtype=matrix.dtype, device=matrix.device)
    return bool(((matrix.mH @ matrix) - one).abs().max() <= 1e-3)


class _Orthogonal(Module):
    """An orthogonal matrix of any matrix, times one that stays (`base`)."""

    base: Tensor

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        if weight.dtype.is_complex and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.orthogonal_map, self.trivialised = orthogonal_map, use_trivialization
        self.shape = weight.shape
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        """The orthogonal matrix."""
        rows, columns = x.shape[-2:]
        wide = rows < columns
        if wide:
            x, rows, columns = x.mT, columns, rows
        if self.orthogonal_map == "householder":
            vectors = x.tril(diagonal=-1)
            factors = 2.0 / (1.0 + (vectors * vectors).sum(dim=-2))
            signs = x.diagonal(dim1=-2, dim2=-1).sgn().detach()
            result = vectors.orgqr(factors) * signs.unsqueeze(-2)
        else:
            x = x.tril()
            if rows != columns:
                x = pad(x, (0, rows - columns))
            skew = x - x.mH
            if self.orthogonal_map == "matrix_exp":
                result = skew.matrix_exp()
            else:
                one = eye(rows, dtype=x.dtype, device=x.device)
                result = (one - skew / 2).inverse() @ (one + skew / 2)
            result = result[..., :columns]
        if self.trivialised and self.base is not None:
            result = self.base @ result
        return result.mT if wide else result

    def right_inverse(self, q: Tensor) -> Tensor:
        """What gives `q`, made orthogonal. Raises NotImplementedError where there is no such."""
        if q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {tuple(self.shape)}. "
                f"Got a tensor of shape {tuple(q.shape)}."
            )
        whole = q
        wide = q.shape[-2] < q.shape[-1]
        if wide:
            q = q.mT
        rows, columns = q.shape[-2:]
        if not self.trivialised:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley "
                    "parametrizations when use_trivialization=False."
                )
            compact, factors = _factored(q)
            diagonal = compact.diagonal(dim1=-2, dim2=-1)
            diagonal.sign_()
            diagonal[factors == 0.0] *= -1
            return compact.mT if wide else compact
        if rows == columns:
            self.base = q.clone() if _is_orthonormal(q) else _orthonormal(q)
        else:
            rest = randn(*q.shape[:-2], rows, rows - columns, dtype=q.dtype, device=q.device)
            self.base = _orthonormal(cat([q, rest], dim=-1))
        start = zeros_like(whole)
        if self.orthogonal_map == "householder":
            start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)  # zero vectors give minus the identity
        return start


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a matrix orthogonal (rows or columns orthonormal, whichever are fewer)."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1] or weight.dtype.is_complex
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
            f"Got: {orthogonal_map}"
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
