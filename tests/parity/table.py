"""The rows of the parity tests: expressions, and the tensors that they are tried on.

A row is an expression of `m` (the module, torch or picograd), `F` (its `nn.functional`) and tensors
`x`, `y`, `z` of like shapes. `SAMPLES` makes the tensors from a function `a(*shape)` of random
numbers; what a row needs beyond that (a range of values, dtypes) is in its table's options.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

inf, nan = float("inf"), float("nan")


@dataclass(frozen=True)
class Row:
    """An expression; `low` and `high` bound the values; `smooth`: its gradient is compared too."""

    text: str
    low: float = -3.0
    high: float = 3.0
    smooth: bool = True
    dtypes: tuple[str, ...] = ("float32", "int64", "bool")
    samples: tuple[str, ...] = ()


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


def listed(text: str) -> list[str]:
    """The expressions of a text: its lines, of which semicolons make several."""
    return [one.strip() for one in text.replace("\n", ";").split(";") if one.strip()]


# --- tensors -------------------------------------------------------------------------------------

SAMPLES = {
    "0-d": lambda m, a: m.tensor(a()),
    "size 0": lambda m, a: m.tensor(a(0)),
    "empty rows": lambda m, a: m.tensor(a(2, 0, 3)),
    "matrix": lambda m, a: m.tensor(a(2, 3)),
    "transposed": lambda m, a: m.tensor(a(3, 2)).t(),
    "steps": lambda m, a: m.tensor(a(4, 6))[::2, 1::2],
    "expanded": lambda m, a: m.tensor(a(1, 3)).expand(2, 3),
    "permuted": lambda m, a: m.tensor(a(2, 3, 4)).permute(2, 0, 1),
    "one": lambda m, a: m.tensor(a(1, 1)),
}
EDGES = np.array([nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e30, 1e-30], np.float32)

# --- elementwise ---------------------------------------------------------------------------------

ANY = words("""
abs asinh atan ceil clone conj cos cosh deg2rad erf erfc exp exp2 expm1 floor frac
isfinite isinf isnan isneginf isposinf isreal logical_not nan_to_num neg positive rad2deg real relu
reciprocal round sgn sigmoid sign signbit sin sinc sinh square tan tanh trunc i0 angle""")
POSITIVE = words("log log10 log1p log2 rsqrt sqrt digamma lgamma")
UNIT = words("acos asin atanh erfinv logit")

UNARY = [
    *(Row(f"m.{name}(x)") for name in ANY),
    *(Row(f"m.{name}(x)", 0.1, 4.0) for name in POSITIVE),
    *(Row(f"m.{name}(x)", 0.05, 0.95) for name in UNIT),
    Row("m.acosh(x)", 1.1, 4.0),
    *(Row(f"m.clamp(x, {bounds})") for bounds in ("-1, 1", "min=0", "max=0.5", "1, -1")),
    Row("m.round(x, decimals=1)", dtypes=("float32",)),
    Row("m.polygamma(1, x)", 0.5, 3.0, dtypes=("float32",)),
    Row("m.special.entr(x)", 0.1, 2.0, dtypes=("float32",)),
    Row("m.special.log_ndtr(x)", dtypes=("float32",)),
    Row("m.bitwise_not(x)", smooth=False, dtypes=("int64", "bool", "float32")),
    *(
        Row(f"F.{call}", dtypes=("float32",))
        for call in listed("""relu6(x);leaky_relu(x);elu(x);selu(x);celu(x);gelu(x)
        gelu(x, approximate='tanh');silu(x);mish(x);softplus(x);softsign(x);tanhshrink(x)
        hardtanh(x);hardswish(x);hardsigmoid(x);hardshrink(x);softshrink(x);logsigmoid(x)
        threshold(x, 0.5, 2.0)""")
    ),
]

BINARY = [
    *(Row(f"m.{n}(x, y)") for n in words("add sub mul div true_divide maximum minimum")),
    *(Row(f"m.{n}(x, y)") for n in words("atan2 hypot copysign logaddexp logaddexp2 fmax fmin")),
    *(
        Row(f"m.{n}(x, y)", smooth=False)
        for n in words("""eq ne lt le gt ge logical_and logical_or logical_xor isclose
        floor_divide remainder fmod nextafter heaviside""")
    ),
    *(
        Row(f"m.{n}(x, y)", smooth=False, dtypes=("int64", "bool", "uint8", "float32"))
        for n in words("bitwise_and bitwise_or bitwise_xor gcd lcm")
    ),
    Row("m.pow(x, y)", 0.2, 3.0),
    Row("m.xlogy(x, y)", 0.2, 3.0),
    Row("m.bitwise_left_shift(x, y)", 0, 5, False, ("int64",)),
    Row("m.add(x, y, alpha=2)"),
    Row("m.sub(x, y, alpha=3)"),
    Row("m.div(x, y, rounding_mode='floor')", smooth=False),
    Row("m.div(x, y, rounding_mode='trunc')", smooth=False),
    Row("m.lerp(x, y, 0.3)", dtypes=("float32",)),
    Row("m.addcmul(x, y, y, value=0.5)", dtypes=("float32",)),
    Row("m.addcdiv(x, y, y, value=0.5)", 0.5, 3.0, dtypes=("float32",)),
    Row("m.where(x > 0, x, y)"),
    Row("m.float_power(x, 2)", 0.2, 3.0),
    *(Row(f"x {op} 2") for op in ("+", "-", "*", "/", "**")),
    *(Row(f"2 {op} x", 0.5, 3.0) for op in ("+", "-", "*", "/", "**")),
    *(Row(f"x {op} 2", smooth=False) for op in ("//", "%", "<", ">=", "==")),
    *(Row(f"x {op} 2.5", smooth=False) for op in ("+", "//", "%", "**", "<")),
    *(Row(f"F.{n}(x, y)", dtypes=("float32",)) for n in words("mse_loss l1_loss smooth_l1_loss")),
    Row("F.huber_loss(x, y, delta=0.7)", dtypes=("float32",)),
    Row("F.binary_cross_entropy_with_logits(x, y)", 0.1, 0.9, dtypes=("float32",)),
    Row("F.kl_div(x, y, reduction='sum')", 0.1, 0.9, dtypes=("float32",)),
]

# --- reductions, scans, sorts --------------------------------------------------------------------

DIMMED = ("0-d", "size 0", "empty rows", "matrix", "transposed", "permuted", "one")
_DIM = ("", ", 0", ", -1", ", dim=-1, keepdim=True")

REDUCTION = [
    *(Row(f"m.{n}(x{d})", samples=DIMMED) for n in words("sum mean prod amax amin") for d in _DIM),
    *(Row(f"m.{n}(x{d})", samples=DIMMED) for n in ("std", "var", "nansum", "max") for d in _DIM),
    *(Row(f"m.{n}(x{d})", samples=DIMMED) for n in ("min", "median", "norm") for d in _DIM[:2]),
    *(
        Row(f"m.{n}(x{d})", smooth=False, samples=DIMMED)
        for n in words("argmax argmin all any count_nonzero")
        for d in _DIM[:3]
    ),
    *(Row(f"m.logsumexp(x{d})", samples=DIMMED) for d in _DIM[1:3]),
    *(Row(f"m.softmax(x{d})", dtypes=("float32",), samples=DIMMED) for d in _DIM[1:3]),
    Row("m.log_softmax(x, 0)", dtypes=("float32",), samples=DIMMED),
    *(Row(f"m.{n}(x, {d})", samples=DIMMED) for n in ("cumsum", "cumprod") for d in (0, -1)),
    *(Row(f"m.{n}(x, -1)", samples=DIMMED) for n in words("cummax cummin logcumsumexp sort")),
    *(Row(f"m.{n}(x, 0)", samples=DIMMED) for n in ("unbind", "msort")),
    Row("m.argsort(x, dim=-1, stable=True)", smooth=False, samples=DIMMED),
    Row("m.topk(x, 1)", samples=DIMMED),
    Row("m.kthvalue(x, 1)[0]", samples=DIMMED),
    Row("m.std_mean(x, 0)", samples=DIMMED),
    Row("m.aminmax(x, dim=0)", samples=DIMMED),
    Row("m.var(x, -1, correction=0)", samples=DIMMED),
    Row("m.quantile(x, 0.3)", dtypes=("float32",), samples=DIMMED),
    Row("m.unique(x)", smooth=False, samples=DIMMED),
    Row("m.nonzero(x)", smooth=False, samples=DIMMED),
    Row("m.sum(x, (0, -1))", samples=DIMMED),
    Row("m.sum(x, dtype=m.float64)", samples=DIMMED),
    Row("F.normalize(x, dim=-1)", dtypes=("float32",), samples=DIMMED),
]

# --- movement, indexing --------------------------------------------------------------------------

VIEWED = ("0-d", "size 0", "matrix", "transposed", "steps", "expanded", "permuted")
# Views and copies; those that give several tensors come with the one that is looked at.
MOVEMENT = [
    Row(text, samples=VIEWED)
    for text in listed("""
x.view(-1); x.reshape(-1); x.flatten(); x.ravel(); x.contiguous(); x.clone(); x.T; x.mT; x.t()
x.transpose(0, 1); x.permute(1, 0); x.unsqueeze(0); x.unsqueeze(-1); x.squeeze(); x.squeeze(0)
x.expand(2, 2, 3); x.expand_as(m.zeros(2, 2, 3)); x.repeat(2, 1); x.tile(2); x.flip(0); x.roll(1)
x.roll(1, 0); x.rot90(); m.fliplr(x); m.flipud(x); x.chunk(2)[0]; x.split(1, -1)[0]
x.tensor_split(2)[1]; x.unbind(0)[0]; x.narrow(0, 0, 1); x.select(0, 0); x.select(-1, 1)
x.diagonal(); m.diag(x); m.diag_embed(x); x.tril(); x.triu(1); x.movedim(0, -1); x.swapaxes(0, -1)
x.unfold(0, 1, 1); x.unfold(-1, 2, 1); x.view_as(x); x.reshape(3, -1); x.view(3, 2); x.adjoint()
x.unflatten(0, (1, -1)); m.atleast_2d(x); m.cat([x, x]); m.cat([x, x], -1); m.stack([x, x], -1)
m.hstack([x, x]); m.vstack([x, x]); m.repeat_interleave(x, 2); m.broadcast_to(x, (2, 2, 3))
x[0]; x[-1]; x[None]; x[..., 0]; x[:, None]; x[0:1]; x[:, ::2]; x[1:, 1:]; x[[0, 1]]; x[x > 0]
x[m.tensor([0, 1])]; x[..., m.tensor([1, 0])]; x[0, 1]; x[m.tensor([True, False])]; x[:, [0], None]
x[()]; x[5]; m.take(x, m.tensor([0, 1])); m.index_select(x, 0, m.tensor([0, 0, 1]))
m.gather(x, -1, m.tensor([[0, 1], [1, 0]])); m.take_along_dim(x, m.tensor([[0], [1]]), 1)
m.masked_select(x, x < 1); x.masked_fill(x > 1, 9); m.index_fill(x, 0, m.tensor([0]), 7)
m.index_add(x, 0, m.tensor([0]), x[:1]); m.scatter(x, -1, m.tensor([[0, 1]]), 5)
m.scatter_add(x, 0, m.tensor([[0, 1]]), x[:1]); m.movedim(x, (0, 1), (1, 0)); x.detach(); x.data
""")
]

# --- matrices and layers: x is (3, 4), others as the expressions make them -----------------------

_IMAGE = "m.arange(96.0, dtype=x.dtype).reshape(2, 3, 4, 4).sin() * x[0, 0]"
MATRIX = [
    Row(text, dtypes=("float32",), samples=("wide",))
    for text in listed(f"""
x @ x.t(); m.mm(x, x.t()); m.matmul(x, x[0]); m.mv(x, x[0]); m.dot(x[0], x[1]); m.outer(x[0], x[1])
m.bmm(x[None], x.t()[None]); m.addmm(x[:, :3], x, x.t(), beta=0.5, alpha=2); m.vdot(x[0], x[1])
m.einsum('ij,kj->ik', x, x); m.einsum('ij->j', x); m.tensordot(x, x, ([1], [1])); m.trace(x)
m.baddbmm(x[None, :, :3], x[None], x.t()[None]); m.kron(x[:2, :2], x); m.chain_matmul(x, x.t(), x)
m.cdist(x, x + 1); m.cross(x[:, :3], x[:, 1:]); m.linalg.norm(x); m.linalg.vector_norm(x, 3)
m.linalg.det(x[:, :3]); m.linalg.inv(x[:, :3]); m.linalg.solve(x[:, :3], x)
m.linalg.matrix_norm(x)
m.linalg.pinv(x); m.linalg.svdvals(x); m.linalg.slogdet(x[:, :3])
m.linalg.matrix_power(x[:, :3], 3)
m.linalg.cholesky(x @ x.t() + m.eye(3, dtype=x.dtype)); m.logdet(x @ x.t())
m.matrix_exp(x[:, :3])
m.linalg.eigvalsh(x @ x.t()); m.linalg.lstsq(x.t(), x.t()[:, :1]).solution; m.cov(x); m.corrcoef(x)
F.linear(x, x); F.linear(x, x, x[:, 0]); F.cosine_similarity(x, x + 1)
F.pairwise_distance(x, x * 2)
F.cross_entropy(x, m.tensor([0, 1, 3])); F.nll_loss(x, m.tensor([0, 1, 3])); F.glu(x)
F.cross_entropy(x, m.tensor([0, 1, 3]), reduction='none', label_smoothing=0.1)
F.layer_norm(x, (4,)); F.rms_norm(x, (4,)); F.batch_norm(x, None, None, training=True)
F.group_norm(x[None], 3); F.embedding(m.tensor([0, 2]), x); F.pad(x, (1, 2)); F.softmin(x, 0)
F.pad(x[None], (1, 2), mode='reflect'); F.pad(x[None], (1, 2), mode='replicate')
F.scaled_dot_product_attention(x[None], x[None], x[None], is_causal=True)
F.conv1d(x[None], x[None, :, :2]); F.conv_transpose1d(x[None], x[:, None, :2])
F.conv2d({_IMAGE}, m.ones(2, 3, 2, 2, dtype=x.dtype), padding=1, stride=2)
F.max_pool2d({_IMAGE}, 2); F.avg_pool2d({_IMAGE}, 2, 1); F.adaptive_avg_pool2d({_IMAGE}, 3)
F.interpolate({_IMAGE}, scale_factor=2); F.interpolate({_IMAGE}, size=3, mode='bilinear')
F.unfold({_IMAGE}, 2); F.instance_norm({_IMAGE})
F.pixel_shuffle(({_IMAGE})[:, :1].repeat(1, 4, 1, 1), 2)
F.adaptive_max_pool2d({_IMAGE}, 2); F.avg_pool1d(x, 2); F.max_pool1d(x, 2)
F.lp_pool1d(x[None], 2, 2)
F.triplet_margin_loss(x, x + 1, x * 2); F.cosine_embedding_loss(x, x + 1, m.tensor([1, -1, 1]))
F.one_hot(m.tensor([0, 2])); F.gaussian_nll_loss(x, x + 1, x * x + 1); F.poisson_nll_loss(x, x * x)
m.fft.fft(x).abs(); m.fft.rfft(x).real; m.fft.irfft(x.to(m.complex128)); m.cumulative_trapezoid(x)
""")
]
SAMPLES["wide"] = lambda m, a: m.tensor(a(3, 4))

ELEMENTWISE = [*UNARY, *BINARY]
ALL = [*ELEMENTWISE, *REDUCTION, *MOVEMENT, *MATRIX]
