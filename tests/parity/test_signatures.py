"""Every call that torch takes, picograd takes: all signatures, and calls by torch's own names."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from picograd.coverage import signatures  # noqa: E402
from tests.frontend.twins import is_error, same  # noqa: E402

# What differs, and why that is no mistake.
KNOWN = {
    "torch.adaptive_avg_pool1d": "torch's own function refuses the out= that it documents",
    "torch.lu": "out= is by name",
    "torch.randint": "the bounds are told apart by their number",
    "torch.nn.functional.max_pool3d": "torch's table has the two the wrong way round",
    "torch.nn.utils.rnn.PackedSequence": "without sizes it means nothing",
    "torch.utils.data.random_split": "the default generator, as an object or as None",
    "Tensor.polygamma": "a method of two orders of arguments",
    "Tensor.where": "the method has the tensor first",
}


def test_signatures():
    found = signatures.compare_all(torch)
    assert not {name: said for name, said in found.different.items() if name not in KNOWN}
    assert found.same > 1300


# Calls by the names that torch has for arguments; x is a matrix, v a vector, i are indices.
CALLS = """
m.linalg.cholesky(input=x)
m.linalg.eigh(input=x).eigenvalues
m.linalg.norm(input=x)
m.linalg.norm(x, axis=0)
m.linalg.vector_norm(x=x)
m.linalg.lstsq(input=x, b=x).solution
m.linalg.det(A=x)
m.linalg.solve_triangular(input=x, B=x, upper=True)
m.det(input=x)
m.matrix_power(input=x, n=2)
m.cholesky_solve(input=x, input2=x)
m.add(x=x, x2=x)
m.sum(x, axis=0, keepdims=True)
m.softmax(x, axis=0)
m.cat([x], axis=0)
m.stack([x], axis=0)
m.unsqueeze(x, axis=0)
m.chunk(x, 3, axis=0)
m.squeeze(x[None], axis=0)
m.unbind(x, axis=0)
m.select(x, axis=0, index=0)
m.repeat_interleave(x, 2, axis=0)
m.diff(x, axis=0)
m.fft.fft(v, axis=0)
m.tensor_split(x, 3, axis=0)
m.tensor_split(input=x, sections=2)
m.tensor_split(input=x, indices=[1])
m.hsplit(input=x, indices=[1])
m.swapaxes(input=x, axis0=0, axis1=1)
x.swapaxes(axis0=0, axis1=1)
m.tile(input=x, dims=(2,))
x.view(size=(9,))
x.view(dtype=m.int32)
x.expand(size=(2, 3, 3))
x.repeat(repeats=(2, 2))
x.reshape(shape=(9,))
x.permute(dims=(1, 0))
x.new_zeros(size=(2,))
x.new_ones(size=(2,))
x.new_full(size=(2,), fill_value=1)
x.clone().copy_(other=x + 1)
x.sum_to_size(size=(1, 3))
x.clone().resize_(size=(1, 3))
x.type(dtype=m.int32, non_blocking=True)
x.split(split_size=1)
x.cumsum(axis=0)
x.max(axis=0, keepdims=True).values
m.result_type(tensor=x, other=1)
m.special.chebyshev_polynomial_t(x=x, n=2)
m.special.multigammaln(input=x + 4, p=2)
m.zero_(input=x.clone())
m.fill_(input=x.clone(), value=1)
m.dropout(input=x, p=0.5, train=False)
m.isin(elements=x, test_element=1)
m.special.erf(x, out=x.clone())
m.angle(x, out=x.clone())
m.fft.hfft2(x, out=x.clone())
m.histogram(v).hist.sum()
m.vander(v, 2, True)
m.norm(x, 2, 0, False, None, m.float64)
m.tensordot(x, x, 2, None)
m.range(0, 3, device="cpu")
m.randint_like(x, 1, generator=None)
m.randint(high=1, size=(2,))
x.clone().set_(source=x, storage_offset=3, size=(3,), stride=(1,))
m.nn.functional.hinge_embedding_loss(x, x, 1.0, None, None, "sum")
m.nn.functional.soft_margin_loss(x, x, None, None, "sum")
m.add(x, x, 1)
m.isnan(x, out=x > 0)
""".strip().splitlines()
REFUSED = CALLS[-2:]


@pytest.mark.parametrize("call", CALLS)
def test_calls(call):
    def program(m):
        return eval(call, {"m": m, "x": m.eye(3), "v": m.ones(3), "i": m.tensor([0, 1])})

    found = same(program, messages=False)
    assert (is_error(found) or found == "TypeError") == (call in REFUSED)
