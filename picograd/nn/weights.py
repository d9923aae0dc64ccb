"""Functions with a weight: linear maps and tables.

In: tensors and weights. Out: tensors. Exported by `picograd.nn.functional`.

>>> import picograd
>>> linear(picograd.tensor([1.0, 2.0]), picograd.tensor([[3.0, 4.0]])).item()
11.0
"""

from __future__ import annotations

import math

from picograd.dtypes import int64
from picograd.frontend import primitives, watching
from picograd.frontend.autocasting import SWITCH, lowered
from picograd.frontend.contractions import check_same, matmul, product, step_name
from picograd.frontend.creation import ones, zeros
from picograd.frontend.elementwise import add, filled_like
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.hostdata import values
from picograd.frontend.indexing import known_range, prepared
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import broadcast_to, type_name
from picograd.frontend.reductions import positions
from picograd.frontend.registry import writing_out
from picograd.frontend.selection import choose
from picograd.frontend.stamps import stamped
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op


@writing_out
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input @ weight.T + bias`."""
    if weight.ndim == 2 and input.ndim and input._shape[-1] != weight._shape[1]:
        rows = math.prod(input._shape[:-1])
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input._shape[-1]} and "
            f"{weight._shape[1]}x{weight._shape[0]})"
        )
    if SWITCH.used:
        (input, weight), (bias,) = lowered(input, weight), lowered(bias)
    if weight.ndim != 2 or not input.ndim:
        result = matmul(input, weight)
        return result if bias is None else add(result, bias)
    check_same(input, weight, "addmm_impl_cpu_")
    if bias is None:
        name = step_name(len(input._shape), 2)
        result = stamped(name, _linear, (input, weight))
    else:
        name = "AddmmBackward0" if len(input._shape) == 2 else "ViewBackward0"
        result = stamped(name, _linear, (input, weight, bias))
    if result._meta is not None:
        watching.watch_factors(result, input, weight)
    return result


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    result = product(input, primitives.permute(weight, (1, 0)))
    return result if bias is None else add(result, bias)


@recorded_as("EmbeddingBackward0")
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` that the indices name; row `padding_idx` gets no gradient.

    `max_norm` first shortens longer rows among them, in place. `scale_grad_by_freq` divides a row's
    gradient by how often the indices name it.
    """
    if input.dtype.name not in ("int64", "int32"):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got {type_name(input.dtype)} instead"
        )
    try:
        index, checked = prepared(input, weight._shape[0], 0, wrapping=False)
    except IndexError as error:
        raise IndexError(f"index out of range in self ({error})") from None
    if max_norm is not None:
        _shorten(weight, index, max_norm, norm_type)
    if scale_grad_by_freq:
        weight = _by_frequency(weight, index)
    if padding_idx is None:
        return primitives.gather(weight, (0,), (index,), checked)
    row = padding_idx + weight._shape[0] if padding_idx < 0 else padding_idx
    place = primitives.reshape(positions(weight, 0).narrow(1, 0, 1), (weight._shape[0], 1))
    fixed = primitives.elementwise(Op.EQ, place, filled_like(place, row))
    table = choose(fixed, weight.detach(), weight)
    return primitives.gather(table, (0,), (index,), checked)


def _named(weight: Tensor, index: Tensor) -> Tensor:
    """How often the indices name each row."""
    flat = primitives.reshape(index, (index.numel(),))
    counts = zeros(weight._shape[0], dtype=weight.dtype, device=weight.device)
    return counts.index_add(0, flat, ones(flat._shape, dtype=weight.dtype, device=weight.device))


def _shorten(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the named rows whose norm is above `max_norm` down to it, in place."""
    with no_grad():
        lengths = weight.norm(norm_type, dim=1, keepdim=True)
        long = (lengths > max_norm) & (_named(weight, index).unsqueeze(1) > 0)
        weight.copy_(choose(long, weight * (max_norm / (lengths + 1e-7)), weight))


def _by_frequency(weight: Tensor, index: Tensor) -> Tensor:
    """The table, whose rows' gradients are divided by how often the indices name them."""
    if not weight.requires_grad:
        return weight
    counts = _named(weight.detach(), index).clamp(min=1).unsqueeze(1)
    table = weight.view_as(weight)
    table.register_hook(lambda gradient: gradient / counts)
    return table


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A new last dimension with 1 at the class and 0 elsewhere (int64)."""
    if tensor.dtype is not int64:
        raise RuntimeError(
            f"one_hot is only applicable to index tensor of type LongTensor, got {tensor.dtype}"
        )
    bounds = known_range(tensor)
    if num_classes == -1:
        if not tensor.numel():
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        num_classes = int(values(tensor).max()) + 1
    if bounds is not None and bounds[1] >= bounds[0]:
        if bounds[0] < 0:
            raise RuntimeError("Class values must be non-negative.")
        if bounds[1] >= num_classes:
            raise RuntimeError(
                f"Class values must be smaller than num_classes ({bounds[1]} >= {num_classes})."
            )
    shape = (*tensor._shape, num_classes)
    classes = primitives.iota(num_classes, int64, tensor._storage.node.device)
    wide = broadcast_to(primitives.reshape(tensor, (*tensor._shape, 1)), shape)
    same = primitives.elementwise(Op.EQ, wide, broadcast_to(classes, shape))
    return primitives.cast(same, int64)
