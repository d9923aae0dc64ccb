"""`autocast` on the CPU: the dtypes that torch gives, and training that goes as in torch.

Each line of `CASES` is evaluated in both libraries (`m`) in the mode, with `x(*shape)` making
numbers of float32 and then of bfloat16; `f` makes float32 numbers and `b` bfloat16 ones.
"""

from __future__ import annotations

import warnings

import pytest

import picograd

torch = pytest.importorskip("torch")
from tests.hosted import hosted  # noqa: E402

CASES = """
F.linear(x(2,3), x(4,3), x(4))
F.linear(x(2,3), x(4,3))
F.linear(x(2,2,3), x(4,3), x(4))
x(2,3) @ x(3,2)
m.matmul(x(2,3), x(3))
m.matmul(x(3), x(3))
m.mm(x(2,3), x(3,2))
m.mv(x(2,3), x(3))
m.dot(x(3), x(3))
m.vdot(x(3), x(3))
m.inner(x(2,3), x(2,3))
m.outer(x(3), x(3))
m.bmm(x(2,3,2), x(2,2,3))
m.addmm(x(2,2), x(2,3), x(3,2))
m.addmv(x(2), x(2,3), x(3))
m.addr(x(2,3), x(2), x(3))
m.baddbmm(x(2,2,2), x(2,2,3), x(2,3,2))
m.addbmm(x(2,2), x(2,2,3), x(2,3,2))
m.linalg.multi_dot([x(2,3), x(3,2), x(2,2)])
m.einsum("ij,jk->ik", x(2,3), x(3,2))
m.einsum("ij,ij->ij", x(2,3), x(2,3))
m.einsum("ij->i", x(2,3))
m.einsum("i,j->ij", x(2), x(3))
m.einsum("i,i->", x(3), x(3))
m.tensordot(x(2,3), x(3,2), dims=1)
F.bilinear(x(2,3), x(2,3), x(4,3,3), x(4))
m.linalg.vecdot(x(2,3), x(2,3))
m.linalg.matrix_power(x(3,3), 2)
m.kron(x(2,2), x(2,2))
F.prelu(x(2,3), x(3))
F.conv1d(x(1,2,5), x(3,2,2), x(3))
F.conv2d(x(1,2,5,5), x(3,2,2,2), x(3))
F.conv3d(x(1,2,3,3,3), x(3,2,2,2,2), x(3))
F.conv_transpose1d(x(1,2,5), x(2,3,2), x(3))
F.conv_transpose2d(x(1,2,5,5), x(2,3,2,2), x(3))
F.conv_transpose3d(x(1,2,3,3,3), x(2,3,2,2,2), x(3))
F.scaled_dot_product_attention(x(1,2,3,4), x(1,2,3,4), x(1,2,3,4))
F.scaled_dot_product_attention(x(1,2,3,4), x(1,2,3,4), x(1,2,3,4), x(3,3))
m.cdist(x(2,3), x(2,3))
m.corrcoef(x(2,3))
m.cov(x(2,3))
F.avg_pool1d(x(1,2,4), 2)
F.avg_pool2d(x(1,2,4,4), 2)
F.avg_pool3d(x(1,2,4,4,4), 2)
F.max_pool1d(x(1,2,4), 2)
F.max_pool2d(x(1,2,4,4), 2)
F.max_pool3d(x(1,2,4,4,4), 2)
F.adaptive_avg_pool2d(x(1,2,4,4), 2)
F.adaptive_avg_pool3d(x(1,2,4,4,4), 2)
F.adaptive_max_pool2d(x(1,2,4,4), 2)
F.adaptive_max_pool3d(x(1,2,4,4,4), 2)
F.max_unpool2d(x(1,1,1,1), m.zeros(1,1,1,1,dtype=m.int64), 2)
F.fractional_max_pool2d(x(1,2,4,4), 2, output_size=2)
F.fractional_max_pool3d(x(1,2,4,4,4), 2, output_size=2)
F.lp_pool2d(x(1,2,4,4), 2, 2)
F.pad(x(1,2,4), (1,1), mode="reflect")
F.pad(x(1,2,4,4), (1,1,1,1), mode="reflect")
F.pad(x(1,2,4,4,4), (1,1,1,1,1,1), mode="reflect")
F.pad(x(1,2,4), (1,1), mode="replicate")
F.pad(x(1,2,4,4), (1,1,1,1), mode="replicate")
F.pad(x(1,2,4,4,4), (1,1,1,1,1,1), mode="replicate")
F.pad(x(1,2,4), (1,1), mode="circular")
F.pad(x(1,2,4), (1,1))
F.grid_sample(x(1,1,3,3), x(1,2,2,2))
F.interpolate(x(1,1,3,3), scale_factor=2, mode="bilinear")
F.interpolate(x(1,1,3,3), scale_factor=2)
F.mse_loss(x(2,3), x(2,3))
F.l1_loss(x(2,3), x(2,3))
F.smooth_l1_loss(x(2,3), x(2,3))
F.huber_loss(x(2,3), x(2,3))
F.cross_entropy(x(2,3), m.tensor([0,1]))
F.cross_entropy(x(2,3), x(2,3))
F.nll_loss(x(2,3), m.tensor([0,1]))
F.nll_loss(x(2,3,1,1), m.tensor([[[0]],[[1]]]))
F.binary_cross_entropy(x(2,3).clamp(0,1), x(2,3).clamp(0,1))
F.binary_cross_entropy_with_logits(x(2,3), x(2,3))
F.kl_div(x(2,3), x(2,3))
F.poisson_nll_loss(x(2,3), x(2,3))
F.gaussian_nll_loss(x(2,3), x(2,3), x(2,3))
F.hinge_embedding_loss(x(2,3), x(2,3))
F.cosine_embedding_loss(x(2,3), x(2,3), x(2))
F.margin_ranking_loss(x(2), x(2), x(2))
F.soft_margin_loss(x(2,3), x(2,3))
F.triplet_margin_loss(x(2,3), x(2,3), x(2,3))
F.multi_margin_loss(x(2,3), m.tensor([0,1]))
F.multilabel_margin_loss(x(2,3), m.tensor([[0,-1,1],[1,0,-1]]))
F.multilabel_soft_margin_loss(x(2,3), x(2,3))
F.ctc_loss(x(4,1,3).log_softmax(-1), m.tensor([[1,2]]), m.tensor([4]), m.tensor([2]))
F.cosine_similarity(x(2,3), x(2,3))
F.pairwise_distance(x(2,3), x(2,3))
x(2,3).softmax(-1)
x(2,3).log_softmax(-1)
F.layer_norm(x(2,3), (3,))
F.batch_norm(x(2,3), None, None, training=True)
F.group_norm(x(2,4), 2)
x(2).exp()
x(2).log()
x(2) ** 2
x(2).sum()
x(2).mean()
x(2).cumsum(0)
x(2).norm()
x(3).std()
x(2).prod()
x(2,2).prod(0)
x(2,2).prod(0, dtype=m.float64)
x(2,2).trace()
x(4).quantile(0.5)
x(4).nanquantile(0.5)
m.polar(x(2), x(2))
m.view_as_complex(x(3,2))
m.complex(x(2), x(2))
m.stft(x(16), 4, return_complex=True)
m.fft.fft(x(4))
m.fft.rfft(x(4))
m.fft.ifft(x(4))
m.fft.fft2(x(4,4))
m.fft.irfft(x(4))
m.fft.hfft(x(4))
m.fft.fftn(x(4,4))
m.fft.rfft2(x(4,4))
m.inverse(spd(x))
m.linalg.inv(spd(x))
m.linalg.cholesky(spd(x))
m.cholesky(spd(x))
m.linalg.solve(spd(x), x(3,2))
m.linalg.qr(x(3,3))[0]
m.linalg.svd(x(3,3))[1]
m.linalg.svdvals(x(3,3))
m.svd(x(3,3))[1]
m.qr(x(3,3))[1]
m.linalg.eigh(spd(x))[0]
m.linalg.eigvalsh(spd(x))
m.linalg.eig(spd(x))[0]
m.linalg.eigvals(spd(x))
m.linalg.lstsq(spd(x), x(3,2))[0]
m.pinverse(x(3,3))
m.linalg.det(spd(x))
m.linalg.slogdet(spd(x))[1]
m.linalg.matrix_rank(spd(x))
m.linalg.cond(spd(x))
m.cholesky_solve(x(3,1), spd(x))
m.cholesky_inverse(spd(x))
m.linalg.lu_factor(spd(x))[0]
m.linalg.solve_triangular(spd(x), x(3,1), upper=True)
m.cat([x(2), x(2)])
m.cat([x(2), f(2)])
m.cat([b(2), x(2)])
m.stack([x(2), f(2)])
m.cat([x(2), m.arange(2)])
x(3).index_copy(0, m.tensor([0]), f(1))
f(3).index_copy(0, m.tensor([0]), x(1))
m.hstack([x(2), f(2)])
m.vstack([x(2), f(2)])
x(2) + f(2)
F.linear(x(2,3), f(4,3), f(4))
x(2,3) @ b(3,2)
F.conv1d(x(1,2,5), b(3,2,2), f(3))
x(2,3).double() @ f(3,2).double()
m.mm(x(2,3).double(), f(3,2).double())
f(2,2).long() @ f(2,2).long()
x(2,3).half() @ x(3,2)
f(2,2).to(m.complex64) @ f(2,2).to(m.complex64)
F.mse_loss(x(2), b(2))
F.mse_loss(x(2).double(), f(2).double())
F.mse_loss(x(2).double(), f(2))
F.mse_loss(x(2).half(), f(2))
nn.RNN(3,4)(x(2,1,3).float())[0]
nn.LSTM(3,4)(x(2,1,3).float())[0]
nn.LSTM(3,4)(x(2,1,3).float())[1][1]
nn.GRU(3,4)(x(2,1,3).float())[0]
nn.RNN(3,4)(x(2,1,3))[0]
nn.LSTM(3,4)(x(2,1,3))[0]
nn.GRU(3,4)(x(2,1,3))[0]
nn.LSTMCell(3,4)(x(2,3))[0]
nn.LSTMCell(3,4)(x(2,3))[1]
nn.GRUCell(3,4)(x(2,3))
nn.RNNCell(3,4)(x(2,3))
nn.MultiheadAttention(4,2)(x(3,1,4), x(3,1,4), x(3,1,4))[0]
nn.MultiheadAttention(4,2)(x(3,1,4), x(3,1,4), x(3,1,4))[1]
nn.MultiheadAttention(4,2).eval()(x(3,1,4), x(3,1,4), x(3,1,4))[0]
nn.TransformerEncoderLayer(4,2,8)(x(3,1,4))
nn.TransformerEncoderLayer(4,2,8,batch_first=True).eval()(x(3,1,4))
nn.Linear(3,4)(x(2,3))
nn.Conv2d(2,3,2)(x(1,2,4,4))
nn.Embedding(3,4)(m.tensor([0,1]))
nn.Sequential(nn.Linear(3,4), nn.LayerNorm(4))(x(2,3))
nn.Sequential(nn.Conv2d(2,3,2), nn.BatchNorm2d(3))(x(1,2,4,4))
x(2,3) + nn.Linear(3,3)(x(2,3))
nn.GroupNorm(2,4)(nn.Linear(3,4)(x(2,3)))
nn.RMSNorm(4)(nn.Linear(3,4)(x(2,3)))
nn.InstanceNorm1d(2)(x(2,2,3))
nn.Linear(3,4)(x(2,3)).softmax(-1)
nn.CrossEntropyLoss()(nn.Linear(3,4)(x(2,3)), m.tensor([0,1]))
nn.Bilinear(3,3,2)(x(2,3), x(2,3))
m.mm(f(2,2), f(2,2), out=m.empty(2,2))
F.unfold(x(1,1,4,4), 2)
x(2,3).mv(x(3))
x(2,3).__matmul__(x(3))
F.normalize(x(2,3))
m.dist(x(2), x(2))
F.gelu(x(2))
F.embedding_bag(m.tensor([[0,1]]), x(3,2))
m.histc(x(4))
F.local_response_norm(x(1,2,3), 2)
m.addcmul(x(2), x(2), f(2))
m.lerp(x(2), x(2), 0.5)
m.where(x(2) > 0.2, x(2), f(2))
""".strip().splitlines()


def numbers(m, *shape):
    count = 1
    for extent in shape:
        count *= extent
    return (m.arange(count, dtype=m.float32).reshape(shape) * 7 % 11) / 11 + 0.1


def dtype_of(m, case, name, **mode):
    def make(dtype):
        return lambda *shape: numbers(m, *shape).to(dtype)

    def spd(x):
        return (x(3, 3).float() @ x(3, 3).float().T + 3 * m.eye(3)).to(x(1).dtype)

    x = make(getattr(m, name))
    scope = {"m": m, "nn": m.nn, "F": m.nn.functional, "x": x, "spd": spd}
    scope |= {"f": make(m.float32), "b": make(m.bfloat16)}
    with m.autocast("cpu", **mode):
        return str(eval(case, scope).dtype)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_dtypes(case: str) -> None:
    for name in ("float32", "bfloat16"):
        try:
            expected = dtype_of(torch, case, name)
        except (RuntimeError, NotImplementedError):
            continue  # torch has no kernel for it
        assert dtype_of(picograd, case, name) == expected, name


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("enabled", [True, False])
def test_the_dtype_and_whether_it_is_enabled(name: str, enabled: bool) -> None:
    for case in ("x(2, 3) @ x(3, 2)", "F.mse_loss(x(2), x(2))", "m.prod(x(2))"):
        expected = dtype_of(torch, case, "float32", dtype=getattr(torch, name), enabled=enabled)
        mode = {"dtype": getattr(picograd, name), "enabled": enabled}
        assert dtype_of(picograd, case, "float32", **mode) == expected


def modes(m):
    """What the functions about the mode answer, in and out of contexts and decorators."""
    seen = []

    def look():
        product = m.ones(1, 1) @ m.ones(1, 1)
        seen.append((str(product.dtype), m.is_autocast_enabled("cpu"), m.is_autocast_enabled()))
        seen.append((str(m.get_autocast_dtype("cpu")), str(m.get_autocast_dtype("cuda"))))
        seen.append((m.is_autocast_cpu_enabled(), m.is_autocast_cache_enabled()))

    look()
    mode = m.amp.autocast("cpu", dtype=m.float16, cache_enabled=False)
    with mode:
        look()
        with m.autocast(device_type="cpu", enabled=False):
            look()
        with m.cpu.amp.autocast():
            look()
        look()
    with pytest.raises(KeyError), m.autocast("cpu"):
        raise KeyError
    look()
    m.autocast("cpu")(look)()
    m.autocast("cuda")(look)()
    with m.autocast("cpu", dtype=m.float32):
        look()
    m.set_autocast_dtype("cpu", m.float16)
    m.set_autocast_enabled("cpu", True)
    look()
    m.set_autocast_enabled("cpu", False)
    m.set_autocast_dtype("cpu", m.bfloat16)
    look()
    return seen


@pytest.mark.host("where PyTorch has no GPU, it disables the modes of one")
@pytest.mark.filterwarnings("ignore")
def test_modes() -> None:
    assert modes(picograd) == modes(torch)


WARNINGS = [
    "m.autocast('cuda')",
    "m.autocast('cpu', dtype=m.float32)",
    "m.autocast('cpu')",
    "m.cuda.amp.autocast(enabled=False)",
    "m.cpu.amp.autocast()",
    "m.amp.GradScaler('cuda')",
    "m.amp.GradScaler('cuda', enabled=False)",
    "m.cuda.amp.GradScaler()",
    "m.autocast()",
    "m.autocast(1)",
]


NO_GPU = "PyTorch tells that it has no GPU"
TOLD = ("m.autocast('cuda')", "m.amp.GradScaler('cuda')", "m.cuda.amp.GradScaler()")


@pytest.mark.parametrize("case", hosted(WARNINGS, dict.fromkeys(TOLD, NO_GPU)))
def test_warnings(case: str) -> None:
    def told(m):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                eval(case, {"m": m})
            except Exception as error:
                return type(error), str(error)
        return [(one.category, str(one.message)) for one in caught]

    assert told(picograd) == told(torch)


def training(m, scaler):
    """The losses of a few steps, the dtypes of a model's results, and gradients' dtypes."""
    model = m.nn.Sequential(
        m.nn.Conv2d(1, 4, 3), m.nn.ReLU(), m.nn.Flatten(), m.nn.Linear(16, 8), m.nn.LayerNorm(8)
    )
    with m.no_grad():
        for parameter in model.parameters():
            parameter.copy_(numbers(m, *parameter.shape) - 0.5)
    optimizer = m.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    image, target = numbers(m, 6, 1, 4, 4), m.arange(6) % 8
    losses, dtypes = [], []
    for _ in range(5):
        optimizer.zero_grad()
        with m.autocast("cpu", dtype=m.bfloat16):
            result = model(image)
            loss = m.nn.functional.cross_entropy(result, target)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
        dtypes += [str(one.dtype) for one in (result, loss)]
    return losses, dtypes + [str(one.grad.dtype) for one in model.parameters()]


@pytest.mark.parametrize("options", [{"enabled": False}, {"growth_interval": 2}])
def test_training(options: dict[str, object]) -> None:
    losses, dtypes = training(picograd, picograd.amp.GradScaler("cpu", **options))
    other_losses, other_dtypes = training(torch, torch.amp.GradScaler("cpu", **options))
    assert dtypes == other_dtypes
    assert losses[-1] < losses[0]
    assert losses == pytest.approx(other_losses, rel=0.02)


def scaling(m):
    """What a scaler says and does when gradients overflow, and when it is used wrongly."""
    scaler = m.amp.GradScaler("cpu", init_scale=16.0, growth_interval=2)
    weight = m.nn.Parameter(m.tensor([2.0]))
    optimizer = m.optim.SGD([weight], lr=0.5)
    seen = [scaler.state_dict(), scaler.get_growth_factor(), scaler.is_enabled()]
    for factor in (1.0, float("inf"), 1.0, 1.0, 3.0):
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.unscale_(optimizer)
        with pytest.raises(RuntimeError, match="already been called on this optimizer"):
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        with pytest.raises(RuntimeError, match="since the last update"):
            scaler.step(optimizer)
        scaler.update()
        seen.append((weight.item(), scaler.get_scale(), scaler.state_dict()))
    with pytest.raises(AssertionError):
        scaler.update()
    copy = m.amp.GradScaler("cpu")
    copy.load_state_dict(scaler.state_dict())
    off = m.amp.GradScaler("cpu", enabled=False)
    return [*seen, copy.get_scale(), off.state_dict(), off.get_scale(), off.scale(3)]


def test_scaler() -> None:
    assert scaling(picograd) == scaling(torch)


def test_checkpoint_repeats_in_the_mode() -> None:
    def gradient(m):
        x, w = numbers(m, 3, 3).requires_grad_(), numbers(m, 3, 3).requires_grad_()
        seen = []

        def run(value):
            result = value @ w
            seen.append(str(result.dtype))
            return result

        with m.autocast("cpu"):
            result = m.utils.checkpoint.checkpoint(run, x, use_reentrant=False)
        result.float().sum().backward()
        return set(seen), x.grad.tolist(), w.grad.tolist()

    assert gradient(picograd) == gradient(torch)
