"""Sums of products: matmul and its relatives.

In: tensors. Out: tensors. A contraction is two expanded tensors multiplied and summed over the
shared axis, as plain primitives: the scheduler recognises the pattern, and its gradients, which are
of the same form. `einsum` and what is built on it are in `einstein.py`.

>>> import picograd
>>> picograd.matmul(picograd.tensor([[1, 2]]), picograd.tensor([[3], [4]]))
tensor([[11]])
"""

from __future__ import annotations

from picograd.dtypes import DType, bool_
from picograd.frontend import primitives, watching
from picograd.frontend.autocasting import SWITCH, as_given, in_fewer_bits, lowered
from picograd.frontend.autograd import label
from picograd.frontend.elementwise import add, mul
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import Number, broadcast_pair, broadcast_to, type_name
from picograd.frontend.registry import operation
from picograd.frontend.stamps import stamped
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Combiner, Op

_C_NAMES = {
    "bool": "bool",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short int",
    "int32": "int",
    "int64": "long int",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}


def _c_name(dtype: DType) -> str:
    return _C_NAMES.get(dtype.name, dtype.name)


def check_same(a: Tensor, b: Tensor, name: str) -> None:
    """Raise torch's errors for operands of a contraction that differ in dtype or are bools."""
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {_c_name(a.dtype)} != "
            f"{_c_name(b.dtype)}"
        )
    if a.dtype is bool_:
        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name(a.dtype)}'")


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """(..., M, K) times (..., K, N), batches broadcast: the product has the axes (..., M, N, K)."""
    *lead_a, rows, inner = a._shape
    *lead_b, _, columns = b._shape
    lead = broadcast_pair(tuple(lead_a), tuple(lead_b))
    rank = b.ndim
    flipped = primitives.permute(b, (*range(rank - 2), rank - 1, rank - 2))
    left = primitives.reshape(a, (*lead_a, rows, 1, inner))
    right = primitives.reshape(flipped, (*lead_b, 1, columns, inner))
    shape = (*lead, rows, columns, inner)
    product = primitives.elementwise(Op.MUL, broadcast_to(left, shape), broadcast_to(right, shape))
    return primitives.reduce(Combiner.SUM, product, (len(shape) - 1,))


def _sizes(x: Tensor) -> str:
    return "x".join(map(str, x._shape))


@operation(out=True)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product; vectors count as a row (left) or a column (right), batches broadcast."""
    for position, x in enumerate((input, other), 1):
        if not isinstance(x, Tensor):
            if getattr(x, "is_sparse", False):
                left = position == 1
                return input.__matmul__(other) if left else other.__rmatmul__(input)
            raise TypeError(
                f"matmul(): argument 'other' (position {position}) must be Tensor, not "
                f"{type(x).__name__}"
            )
    if not input.ndim or not other.ndim:
        raise RuntimeError(
            "both arguments to matmul need to be at least 1D, but they are "
            f"{input.ndim}D and {other.ndim}D"
        )
    if SWITCH.used:
        input, other = lowered(input, other)
    if input.ndim == 1 and other.ndim == 1:
        return dot(input, other)
    check_same(input, other, "addmm_impl_cpu_")
    if input._shape[-1] != (other._shape[-2] if other.ndim > 1 else other._shape[0]):
        _refuse(input, other, *_as_matrices(input, other))
    name = step_name(len(input._shape), len(other._shape))
    result = stamped(name, product, (input, other))
    if result._meta is not None:
        watching.watch_factors(result, input, other)
    return result


def _as_matrices(input: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """A vector on the left as a row, on the right as a column."""
    return (
        input if input.ndim > 1 else primitives.reshape(input, (1, *input._shape)),
        other if other.ndim > 1 else primitives.reshape(other, (*other._shape, 1)),
    )


def product(input: Tensor, other: Tensor) -> Tensor:
    """`matmul` of checked operands, one of which has two dimensions or more."""
    result = multiply(*_as_matrices(input, other))
    if input.ndim == 1:
        return primitives.reshape(result, result._shape[:-2] + result._shape[-1:])
    if other.ndim == 1:
        return primitives.reshape(result, result._shape[:-1])
    return result


def step_name(left: int, right: int) -> str:
    """The name that torch gives the step of a product of tensors of these ranks."""
    if left <= 2 and right <= 2:
        if left == 1:
            return "SqueezeBackward4"
        return "MmBackward0" if right == 2 else "MvBackward0"
    return "UnsafeViewBackward0"


def _refuse(input: Tensor, other: Tensor, a: Tensor, b: Tensor) -> None:
    if input.ndim == 2 and other.ndim == 1:
        raise RuntimeError(
            f"size mismatch, got input ({input._shape[0]}), mat ({_sizes(input)}), vec "
            f"({_sizes(other)})"
        )
    if a.ndim > 2 and b.ndim > 2:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{b._shape[0]}, "
            f"{a._shape[-1]}] but got: [{b._shape[0]}, {b._shape[-2]}] (matmul of shapes "
            f"{list(input._shape)} and {list(other._shape)})."
        )
    raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({_sizes(a)} and {_sizes(b)})")


def _need_rank(x: Tensor, rank: int, name: str) -> None:
    if x.ndim != rank:
        kind = {1: "a vector", 2: "a matrix", 3: "a 3D tensor"}[rank]
        raise RuntimeError(f"{name} must be {kind}, but its shape is {list(x._shape)}")


@operation(out=True)
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices."""
    if not isinstance(input, Tensor) or not isinstance(mat2, Tensor):
        return matmul(input, mat2)  # of a sparse matrix, or a TypeError
    _need_rank(input, 2, "self")
    _need_rank(mat2, 2, "mat2")
    return matmul(input, mat2)


@operation(out=True)
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices."""
    _need_rank(input, 3, "batch1")
    _need_rank(mat2, 3, "batch2")
    if input._shape[0] != mat2._shape[0] or input._shape[2] != mat2._shape[1]:
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{input._shape[0]}, {input._shape[2]}] but got: [{mat2._shape[0]}, {mat2._shape[1]}]."
        )
    return label(matmul(input, mat2), "BmmBackward0")


@operation(out=True, tensors=True)
@as_given
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    _need_rank(input, 2, "input")
    _need_rank(vec, 1, "vec")
    return matmul(input, vec)


@operation(out=True, tensors=True)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors' elements."""
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    if input.dtype is not tensor.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{type_name(input.dtype)} and {type_name(tensor.dtype)}"
        )
    check_same(input, tensor, "dot")
    if input._shape != tensor._shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{input._shape[0]}] and src "
            f"[{tensor._shape[0]}] to have the same number of elements, but got {input._shape[0]} "
            f"and {tensor._shape[0]} elements respectively"
        )
    product = primitives.elementwise(Op.MUL, input, tensor)
    return label(primitives.reduce(Combiner.SUM, product, (0,)), "DotBackward0")


@operation(out=True, tensors=True)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot` with the first vector conjugated."""
    if not input.dtype.is_complex:
        return dot(input, other)
    real, imaginary = (primitives.elementwise(op, input) for op in (Op.REAL, Op.IMAG))
    turned = primitives.elementwise(Op.NEG, imaginary)
    return dot(primitives.elementwise(Op.COMPLEX, real, turned), other)


@operation(out=True, tensors=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimensions of both."""
    if not input.ndim or not other.ndim:
        return mul(input, other)
    if input._shape[-1] != other._shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input._shape)} and {list(other._shape)}"
        )
    rows = input.reshape((-1, input._shape[-1])) if input.numel() else input
    columns = other.reshape((-1, other._shape[-1]))
    return matmul(rows, columns.t()).reshape(input._shape[:-1] + other._shape[:-1])


@operation(out=True, aliases=("ger",))
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of the elements of two vectors."""
    _need_rank(input, 1, "outer: expected self to be a vector; self")
    _need_rank(vec2, 1, "outer: expected vec2 to be a vector; vec2")
    return mul(primitives.reshape(input, (*input._shape, 1)), vec2)


# --- with something added ------------------------------------------------------------------------


def _plus(input: Tensor, product: Tensor, beta: Number, alpha: Number) -> Tensor:
    if product.dtype.is_integer:  # the factors are of the tensors' dtype
        alpha, beta = int(alpha), int(beta)  # type: ignore[arg-type]
    elif product.dtype.is_bool:
        alpha, beta = bool(alpha), bool(beta)
    scaled = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return scaled
    result = add(scaled, input if beta == 1 else mul(input, beta))
    if result._shape != product._shape:
        raise RuntimeError(
            f"The expanded size of the tensor {list(product._shape)} must match the existing size "
            f"{list(input._shape)}"
        )
    return result


@operation(inplace=True, out=True)
@recorded_as("AddmmBackward0")
@in_fewer_bits
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """`beta * input + alpha * (mat1 @ mat2)`."""
    return _plus(input, mm(mat1, mat2), beta, alpha)


@operation(inplace=True, out=True)
@recorded_as("AddmvBackward0")
def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """`beta * input + alpha * (mat @ vec)`."""
    return _plus(input, mv(mat, vec), beta, alpha)


@operation(inplace=True, out=True)
@recorded_as("AddrBackward0")
def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """`beta * input + alpha * outer(vec1, vec2)`."""
    return _plus(input, outer(vec1, vec2), beta, alpha)


@operation(inplace=True, out=True)
@recorded_as("BaddbmmBackward0")
@in_fewer_bits
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """`beta * input + alpha * (batch1 @ batch2)`."""
    return _plus(input, bmm(batch1, batch2), beta, alpha)


@operation(inplace=True, out=True)
@recorded_as("AddbmmBackward0")
@in_fewer_bits
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """`beta * input + alpha * ` the sum of the batch's products."""
    total = primitives.reduce(Combiner.SUM, bmm(batch1, batch2), (0,))
    return _plus(input, total, beta, alpha)
