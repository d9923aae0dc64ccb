"""The names of the steps that `repr` shows, against torch's.

Each line of `CASES` is evaluated in both libraries (`m`); `x(*shape)` computes numbers that require
grad.
"""

from __future__ import annotations

import pytest

import picograd

torch = pytest.importorskip("torch")

CASES = """
x(2)+1
x(2)-1
x(2)*2
x(2)/2
-x(2)
x(2)**2
2**x(2)
1/x(2)
1-x(2)
x(2)@x(2)
x(2,2)@x(2,2)
x(2,2)@x(2)
x(2)@x(2,2)
x(2,2,2)@x(2,2)
x(2,2,2)@x(2,2,2)
x(3,2,2,2)@x(2,2)
m.bmm(x(1,2,2),x(1,2,2))
m.cat([x(2),x(2)])
m.stack([x(2),x(2)])
m.hstack([x(2),x(2)])
x(2,2).sum()
x(2,2).sum(0)
x(2,2).mean()
x(2,2).mean(0)
x(2,2).max()
x(2,2).max(0)[0]
x(2,2).min()
x(2,2).min(1)[0]
x(2,2).amax(0)
x(2,2).amin()
x(2,2).prod()
x(2,2).prod(0)
x(3).std()
x(3).var()
x(3).norm()
m.linalg.norm(x(3))
m.linalg.vector_norm(x(3))
x(3).exp()
x(3).log()
x(3).sqrt()
x(3).rsqrt()
x(3).sin()
x(3).cos()
x(3).tan()
x(3).tanh()
x(3).sigmoid()
x(3).relu()
F.relu(x(3))
F.gelu(x(3))
F.silu(x(3))
F.leaky_relu(x(3))
F.elu(x(3))
F.softplus(x(3))
F.hardtanh(x(3))
F.relu6(x(3))
F.softmax(x(3),0)
F.log_softmax(x(3),0)
x(3).abs()
x(3).clamp(0,1)
x(3).clamp(min=0)
x(3)[0]
x(3)[0:2]
x(3)[index]
x(3)[None]
x(3)[x(3)>0]
x(2,3)[:,0]
x(2,3)[0,1]
x(2,3)[...,0:1]
x(2,3).view(6)
x(2,3).reshape(6)
x(2,3).flatten()
x(2,3).t()
x(2,3).transpose(0,1)
x(2,3).permute(1,0)
x(2,1).squeeze()
x(2,1).squeeze(1)
x(2).unsqueeze(0)
x(2,1).expand(2,3)
x(2).repeat(2)
x(3).clone()
x(3).contiguous()
x(3).double()
x(3).to(m.float64)
x(3).type(m.float64)
x(4).chunk(2)[0]
x(4).split(2)[1]
x(2,2).unbind(0)[0]
x(3).cumsum(0)
x(3).cumprod(0)
x(3).sort()[0]
x(3).topk(2)[0]
x(3).median()
x(3).flip(0)
x(3).roll(1)
m.where(x(3)>0,x(3),x(3))
m.maximum(x(3),x(3))
m.minimum(x(3),x(3))
x(3).gather(0,index)
x(3).index_select(0,index)
x(3).masked_fill(x(3)>0,0.0)
x(3).masked_select(x(3)>0)
x(3).scatter_add(0,index,m.ones(2))
x(3).index_add(0,index,m.ones(2))
m.einsum('ij,jk->ik',x(2,2),x(2,2))
m.einsum('i,i->',x(2),x(2))
m.dot(x(2),x(2))
m.outer(x(2),x(2))
m.addmm(x(2,2),x(2,2),x(2,2))
m.baddbmm(x(1,2,2),x(1,2,2),x(1,2,2))
F.linear(x(2,3),x(4,3),x(4))
F.linear(x(2,3),x(4,3))
F.linear(x(2,2,3),x(4,3),x(4))
F.linear(x(2,2,3),x(4,3))
F.linear(x(3),x(4,3),x(4))
F.linear(x(3),x(4,3))
F.conv1d(x(1,2,4),x(2,2,2))
F.conv2d(x(1,2,4,4),x(2,2,2,2),x(2))
F.conv_transpose2d(x(1,2,4,4),x(2,2,2,2))
F.max_pool1d(x(1,2,4),2)
F.max_pool2d(x(1,2,4,4),2)
F.avg_pool1d(x(1,2,4),2)
F.avg_pool2d(x(1,2,4,4),2)
F.adaptive_avg_pool2d(x(1,2,4,4),1)
F.layer_norm(x(2,3),(3,))
F.group_norm(x(2,4),2)
F.batch_norm(x(2,3),None,None,training=True)
F.embedding(index,x(3,2))
F.dropout(x(3),0.5)
F.dropout(x(3),0.5,False)
F.pad(x(3),(1,1))
F.scaled_dot_product_attention(x(1,1,2,2),x(1,1,2,2),x(1,1,2,2))
F.mse_loss(x(2),m.ones(2))
F.mse_loss(x(2),m.ones(2),reduction='none')
F.l1_loss(x(2),m.ones(2))
F.smooth_l1_loss(x(2),m.ones(2))
F.huber_loss(x(2),m.ones(2))
F.cross_entropy(x(2,3),index)
F.nll_loss(x(2,3),index)
F.binary_cross_entropy(x(2),m.ones(2))
F.binary_cross_entropy_with_logits(x(2),m.ones(2))
F.kl_div(x(2),m.ones(2))
F.normalize(x(2,3))
F.cosine_embedding_loss(x(2,3),x(2,3),m.ones(2))
F.margin_ranking_loss(x(2),x(2),m.ones(2))
F.triplet_margin_loss(x(2,3),x(2,3),x(2,3))
F.soft_margin_loss(x(2),m.ones(2))
F.hinge_embedding_loss(x(2),m.ones(2))
F.multi_margin_loss(x(2,3),index)
F.poisson_nll_loss(x(2),m.ones(2))
m.logsumexp(x(3),0)
x(3).square()
x(3).reciprocal()
x(3).log1p()
x(3).expm1()
x(3).erf()
x(3).floor()
x(3).round()
x(3).sign()
x(3,3).triu()
x(3,3).diagonal()
x(3,3).trace()
m.diag_embed(x(3))
x(3).atan()
x(3).asin()
x(3).sinh()
x(3).cosh()
x(3).log2()
x(3).log10()
x(3)%2
m.atan2(x(3),x(3))
m.lerp(x(3),x(3),0.5)
m.addcmul(x(3),x(3),x(3))
m.addcdiv(x(3),x(3),x(3))
m.cdist(x(2,3),x(2,3))
m.linalg.inv(x(2,2)+m.eye(2))
m.linalg.det(x(2,2)+m.eye(2))
m.linalg.cholesky(x(2,2)+m.eye(2))
m.linalg.qr(x(2,2)+m.eye(2))[0]
m.linalg.svd(x(2,2)+m.eye(2))[1]
m.linalg.eigh(x(2,2)+m.eye(2))[0]
m.fft.rfft(x(3))
x(3).relu_()
x(3).add_(1)
x(3).mul_(2)
x(3).clamp_(0,1)
x(2,3).narrow(1,0,2)
x(2,3).select(0,1)
x(2,3).movedim(0,1)
x(2,3).swapaxes(0,1)
x(2,3).unflatten(1,(3,1))
m.tile(x(2),(2,))
m.broadcast_to(x(2),(2,2))
x(3).nansum()
x(3).logcumsumexp(0)
m.kron(x(2,2),x(2,2))
m.tensordot(x(2,2),x(2,2),1)
m.nn.Linear(2,2)(m.ones(1,2))
m.nn.GRU(2,3)(m.ones(1,1,2))[0]
m.nn.BatchNorm2d(2)(x(1,2,2,2))
m.nn.Embedding(3,2)(index)
m.nn.Conv2d(1,2,2)(m.ones(1,1,3,3))
x(2,2).view_as(m.ones(4,1))
x(3).detach().requires_grad_()*x(3)
x(2,3).sum(0,keepdim=True)
x(3).kthvalue(2)[0]
x(3).mode()[0]
x(3).nan_to_num()
x(3).pow(x(3))
x(3).float()
x(3).half()
x(3).bfloat16()
x(3).index_fill(0,index,1.0)
x(3).index_copy(0,index,m.ones(2))
x(3).masked_scatter(x(3)>0,m.ones(3))
x(3).take(index)
m.take_along_dim(x(3),index)
F.pixel_shuffle(x(1,4,2,2),2)
F.glu(x(4))
F.prelu(x(3),x(1))
F.mish(x(3))
F.hardswish(x(3))
F.hardsigmoid(x(3))
F.selu(x(3))
F.celu(x(3))
F.logsigmoid(x(3))
F.softsign(x(3))
F.tanhshrink(x(3))
F.threshold(x(3),0.1,0)
F.softmin(x(3),0)
F.one_hot(index)*x(2)
F.unfold(x(1,1,3,3),2)
F.grid_sample(x(1,1,2,2),m.zeros(1,1,1,2))
m.std_mean(x(3))[0]
m.var_mean(x(3))[1]
m.complex(x(2),x(2)).abs()
x(3).new_zeros(3)+x(3)
m.meshgrid(x(2),x(2))[0]
m.cartesian_prod(x(2),x(2))
m.vstack([x(2),x(2)])
m.column_stack([x(2),x(2)])
x(2,2).mm(x(2,2))
x(2,2).mv(x(2))
m.addmv(x(2),x(2,2),x(2))
x(2,2).matrix_power(2)
m.cross(x(3),x(3))
m.renorm(x(2,2),2,0,1.0)
m.hypot(x(2),x(2))
x(2).logit()
m.logaddexp(x(2),x(2))
m.special.xlogy(x(2),x(2))
x(2).lgamma()
x(2).digamma()
x(2,2).flipud()
F.rms_norm(x(2,3),(3,))
""".strip().splitlines()


def name_of(m, case):
    scope = {"m": m, "F": m.nn.functional, "index": m.tensor([0, 1])}
    scope["x"] = lambda *shape: m.ones(*shape, requires_grad=True) * 0.5
    return repr(eval(case, scope)).partition("grad_fn=<")[2].partition(">")[0].partition(" ")[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_names(case: str) -> None:
    name = name_of(picograd, case)
    assert name
    assert name == name_of(torch, case)


def test_an_argument_that_comes_back_keeps_its_name() -> None:
    x = picograd.ones(2, requires_grad=True).exp()
    assert picograd.nn.functional.dropout(x, 0.5, False).grad_fn.name() == "ExpBackward0"
    assert picograd.nn.functional.embedding(picograd.tensor([0]), x.view(2, 1)).grad_fn is not None
    assert x.grad_fn.name() == "ExpBackward0"
