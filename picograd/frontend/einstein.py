"""Contractions by subscripts: einsum, tensordot, kron, bilinear, trace.

In: a subscript string and tensors. Out: a tensor. Every step is a contraction of at most two
operands: align their labels, multiply, sum. More than two operands go in the order that opt_einsum
finds cheapest.

>>> import picograd
>>> a, b = picograd.ones(2, 3), picograd.ones(3, 4)
>>> picograd.einsum("ij,jk->ik", a, b).shape
torch.Size([2, 4])
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.dtypes import bool_, int32
from picograd.frontend import primitives
from picograd.frontend.autocasting import SWITCH, as_given, in_float32, is_on, lowered, widest
from picograd.frontend.contractions import check_same, matmul
from picograd.frontend.elementwise import add
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import broadcast_to, wrap_dim
from picograd.frontend.reductions import sum as total
from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Combiner, Op, Shape

Labels = tuple[str | int, ...]  # letters; the dims of an ellipsis are numbers counted from the end


def _tokens(text: str, operand: Tensor | None) -> Labels:
    """The labels of one operand (or of the output, which has no rank yet)."""
    before, dots, after = text.partition("...")
    for letter in before + after:
        if not letter.isalpha():
            raise RuntimeError(
                f"einsum(): invalid subscript given at {text!r}, subscripts must be in [a-zA-Z]"
            )
    if operand is None:
        return (*before, *([0] if dots else []), *after)
    hidden = operand.ndim - len(before) - len(after)
    if hidden < 0 or (hidden and not dots):
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({len(before) + len(after)}) "
            f"does not match the number of dimensions ({operand.ndim}) for an operand, and no "
            f"ellipsis was given ({text!r}, shape {list(operand._shape)})"
        )
    return (*before, *range(-hidden, 0), *after)


def _diagonal(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """Repeated labels of one operand: its diagonal."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x._shape[first] != x._shape[second]:
                raise RuntimeError(
                    f"einsum(): subscript {label} is repeated but the sizes don't match, "
                    f"{x._shape[second]} != {x._shape[first]}"
                )
            x = x.diagonal(0, first, second)
            rest = [other for n, other in enumerate(labels) if n not in (first, second)]
            labels = (*rest, label)
    return x, labels


def contract(
    operands: Sequence[Tensor],
    inputs: Sequence[Labels],
    output: Labels,
    sizes: dict[str | int, int],
) -> Tensor:
    """The sum of the product of one or two operands over all labels that `output` lacks."""
    parts: list[tuple[Tensor, Labels]] = []
    for n, (x, labels) in enumerate(zip(operands, inputs, strict=True)):
        others = {label for m, one in enumerate(inputs) if m != n for label in one}
        alone = [label for label in labels if label not in others and label not in output]
        axes = tuple(labels.index(label) for label in alone)
        kept = tuple(label for label in labels if label not in alone)
        parts.append((primitives.reduce(Combiner.SUM, x, tuple(sorted(axes))), kept))
    if len(parts) == 1:
        x, labels = parts[0]
        return (
            primitives.permute(x, tuple(labels.index(label) for label in output)) if labels else x
        )
    summed = tuple(dict.fromkeys(one for _, labels in parts for one in labels if one not in output))
    if SWITCH.used:
        (a, of_a), (b, of_b) = parts
        a, b = lowered(a, b) if summed else widest(a, b)
        parts = [(a, of_a), (b, of_b)]
    every = (*output, *summed)
    shape = tuple(sizes[label] for label in every)
    first, second = (_spread(x, labels, every, shape) for x, labels in parts)
    product = primitives.elementwise(Op.MUL, first, second)
    return primitives.reduce(Combiner.SUM, product, tuple(range(len(output), len(every))))


def _spread(x: Tensor, labels: Labels, every: Labels, shape: Shape) -> Tensor:
    """An operand with its axes in the order of `every`, repeated along those it lacks."""
    own = [label for label in every if label in labels]
    order = tuple(labels.index(label) for label in own)
    if order != tuple(range(len(order))):
        x = primitives.permute(x, order)
    tall = tuple(x._shape[own.index(label)] if label in own else 1 for label in every)
    return broadcast_to(primitives.reshape(x, tall), shape)


@operation(method=False)
@recorded_as("ViewBackward0")
def einsum(equation: str, *operands: Tensor | Sequence[Tensor]) -> Tensor:
    """The sum of products that Einstein's notation describes, with ellipses and repeated labels."""
    tensors = _operands(operands)
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    names = left.split(",")
    if len(names) != len(tensors):
        raise RuntimeError(
            f"einsum(): {'more' if len(tensors) > len(names) else 'fewer'} operands were provided "
            f"than specified in the equation ({len(tensors)} for {equation!r})"
        )
    pairs = [_diagonal(x, _tokens(name, x)) for x, name in zip(tensors, names, strict=True)]
    tensors, labels = [x for x, _ in pairs], [one for _, one in pairs]
    sizes = _extents(tensors, labels)
    if arrow:
        output = _explicit(right, sizes)
    else:
        counts = [label for name in names for label in name if label.isalpha()]
        letters = sorted(letter for letter in set(counts) if counts.count(letter) == 1)
        output = (*sorted(label for label in sizes if isinstance(label, int)), *letters)
    if len(tensors) == 1:
        return _rearranged(tensors[0], labels[0], output)
    if all(x.dtype is bool_ for x in tensors):
        # Products are "and", sums "or".
        counts = [primitives.cast(x, int32) for x in tensors]
        return primitives.cast(_contract_all(counts, labels, output, sizes), bool_)
    if not is_on():
        for x in tensors[1:]:
            check_same(tensors[0], x, "einsum")
    return _contract_all(tensors, labels, output, sizes)


def _rearranged(x: Tensor, labels: Labels, output: Labels) -> Tensor:
    """One operand: a view of it, unless something is summed."""
    summed = tuple(n for n, label in enumerate(labels) if label not in output)
    if summed:
        x = total(x, summed)
    kept = [label for label in labels if label in output]
    return x.permute(*(kept.index(label) for label in output)) if kept else x


def _operands(operands: Sequence[Tensor | Sequence[Tensor]]) -> list[Tensor]:
    if len(operands) == 1 and not isinstance(operands[0], Tensor):
        operands = tuple(operands[0])
    if not operands:
        raise ValueError("einsum(): must specify the equation string and at least one operand")
    return [x for x in operands if isinstance(x, Tensor)]


def _explicit(text: str, sizes: dict[str | int, int]) -> Labels:
    hidden = sorted(label for label in sizes if isinstance(label, int))
    output: list[str | int] = []
    for label in _tokens(text, None):
        if isinstance(label, int):
            output.extend(hidden)
        elif label in output:
            raise RuntimeError(
                f"einsum(): output subscript {label} appears more than once in the output"
            )
        elif label not in sizes:
            raise RuntimeError(
                f"einsum(): output subscript {label} does not appear in the equation for any "
                "input operand"
            )
        else:
            output.append(label)
    return tuple(output)


def _extents(tensors: Sequence[Tensor], labels: Sequence[Labels]) -> dict[str | int, int]:
    sizes: dict[str | int, int] = {}
    for number, (x, names) in enumerate(zip(tensors, labels, strict=True)):
        for name, extent in zip(names, x._shape, strict=True):
            seen = sizes.setdefault(name, extent)
            if seen != extent and 1 not in (seen, extent):
                raise RuntimeError(
                    f"einsum(): subscript {name} has size {extent} for operand {number} which does "
                    f"not broadcast with previously seen size {seen}"
                )
            sizes[name] = extent if seen == 1 else seen
    return sizes


def _contract_all(
    tensors: list[Tensor],
    labels: list[Labels],
    output: Labels,
    sizes: dict[str | int, int],
) -> Tensor:
    """All operands, two at a time."""
    for n, x in enumerate(tensors):
        # An extent of 1 that broadcasts must not be summed as if it were the label's whole extent.
        shape = tuple(sizes[label] for label in labels[n])
        tensors[n] = broadcast_to(x, shape)
    for first, second in _path(tensors, labels, output):
        pair = [tensors[first], tensors[second]]
        names = [labels[first], labels[second]]
        for n in sorted((first, second), reverse=True):
            del tensors[n], labels[n]
        later = {label for one in labels for label in one} | set(output)
        both = dict.fromkeys((*names[0], *names[1]))
        kept = tuple(label for label in both if label in later)
        if not tensors:
            kept = output
        tensors.append(contract(pair, names, kept, sizes))
        labels.append(kept)
    if labels[0] == output:
        return tensors[0]
    return contract(tensors, labels, output, sizes)


def _path(tensors: list[Tensor], labels: list[Labels], output: Labels) -> list[tuple[int, int]]:
    """Which two operands to contract next, by opt_einsum when there is a choice."""
    if len(tensors) < 2:
        return []
    if len(tensors) == 2:
        return [(0, 1)]
    import opt_einsum

    symbols: dict[str | int, str] = {}
    texts = []
    for names in (*labels, output):
        letters = [symbols.setdefault(name, opt_einsum.get_symbol(len(symbols))) for name in names]
        texts.append("".join(letters))
    equation = ",".join(texts[:-1]) + "->" + texts[-1]
    shapes = [x._shape for x in tensors]
    path, _ = opt_einsum.contract_path(equation, *shapes, shapes=True, optimize="auto")
    pairs: list[tuple[int, int]] = []
    count = len(tensors)
    for step in path:
        # A step of more than two operands: fold them one after the other.
        chosen = sorted(step)
        while len(chosen) > 1:
            second, first = chosen.pop(), chosen.pop()
            pairs.append((first, second))
            count -= 1
            if chosen:
                chosen.append(count - 1)
    return pairs


@operation(method=False)
@recorded_as("ViewBackward0")
def tensordot(
    a: Tensor, b: Tensor, dims: int | Sequence[Sequence[int]] = 2, out: Tensor | None = None
) -> Tensor:
    """Contract the last `dims` dimensions of `a` with the first of `b`, or given lists."""
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        left, right = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        left = [wrap_dim(int(n), a.ndim) for n in dims[0]]
        right = [wrap_dim(int(n), b.ndim) for n in dims[1]]
    if len(left) != len(right):
        raise RuntimeError(
            f"both dimension lists should have the same length, got {left} and {right}"
        )
    first: list[str | int] = [f"a{n}" for n in range(a.ndim)]
    second: list[str | int] = [f"b{n}" for n in range(b.ndim)]
    for n, m in zip(left, right, strict=True):
        if a._shape[n] == 1 and b._shape[m] != 1:
            b = b.sum(m, keepdim=True)
        elif b._shape[m] == 1 and a._shape[n] != 1:
            a = a.sum(n, keepdim=True)
        if a._shape[n] != b._shape[m]:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a._shape[n]} in dim {n}"
                f" and second has size {b._shape[m]} in dim {m}"
            )
        second[m] = first[n]
    if not is_on():
        check_same(a, b, "tensordot")
    sizes = dict(zip(second, b._shape, strict=True)) | dict(zip(first, a._shape, strict=True))
    output = [label for label in first if label not in second]
    output += [label for label in second if label not in first]
    result = contract([a, b], [tuple(first), tuple(second)], tuple(output), sizes)
    return result if out is None else out._store_out(result)


@operation(out=True, tensors=True)
@recorded_as("UnsafeViewBackward0")
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product."""
    rank = max(input.ndim, other.ndim)
    a = input.reshape((1,) * (rank - input.ndim) + input._shape)
    b = other.reshape((1,) * (rank - other.ndim) + other._shape)
    tall = tuple(n for extent in a._shape for n in (extent, 1))
    low = tuple(n for extent in b._shape for n in (1, extent))
    product = a.reshape(tall) * b.reshape(low)
    return product.reshape(tuple(x * y for x, y in zip(a._shape, b._shape, strict=True)))


@operation(method=False)
@as_given
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input1 @ weight[k] @ input2` for every k, plus a bias."""
    result = einsum("...i,kij,...j->...k", input1, weight, input2)
    return result if bias is None else add(result, bias)


@operation()
@recorded_as("TraceBackward0")
@in_float32
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return total(input.diagonal())


@operation(method=False, out=True)
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices, in the cheapest order."""
    names = [f"{chr(97 + n)}{chr(98 + n)}" for n in range(len(matrices))]
    return einsum(f"{','.join(names)}->a{chr(97 + len(matrices))}", *matrices)


def natural_power(input: Tensor, n: int) -> Tensor:
    """A square matrix multiplied by itself n >= 0 times."""
    from picograd.frontend.creation import eye

    result: Tensor | None = None
    square = input
    while n:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        square = matmul(square, square) if n else square
    if result is None:
        one = eye(input._shape[-1], dtype=input.dtype, device=input._storage.node.device)
        return input.clone().copy_(broadcast_to(one, input._shape))
    return result.clone() if result is input else result
