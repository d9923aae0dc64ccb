"""`torch.autograd.functional`: Jacobians, Hessians and products with them, at a point.

In: a function and its inputs, a tensor or a tuple of them. Out: tensors, in tuples where the inputs
or outputs are tuples.

>>> import picograd
>>> jacobian(lambda x: x**2, picograd.tensor([1.0, 3.0]))
tensor([[2., 0.],
        [0., 6.]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from picograd.frontend.autograd import grad
from picograd.frontend.creation import ones_like, zeros_like
from picograd.frontend.differentials import jacrev
from picograd.frontend.grad_mode import enable_grad
from picograd.frontend.tensor import Tensor

Tensors = Tensor | tuple[Tensor, ...]


def _tuple(x: Any, what: str, name: str) -> tuple[Tensor, ...]:
    listed = tuple(x) if isinstance(x, (tuple, list)) else (x,)
    for number, one in enumerate(listed):
        if not isinstance(one, Tensor):
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the "
                f"value at index {number} has type {type(one)}."
            )
    return listed


def _like(x: Any, parts: Sequence[Any]) -> Any:
    """A tuple where `x` is one, else the only part."""
    return tuple(parts) if isinstance(x, (tuple, list)) else parts[0]


def _tracked(inputs: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    if create_graph:
        return tuple([x.view_as(x) if x.requires_grad else _leaf(x) for x in inputs])
    return tuple([_leaf(x) for x in inputs])


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()


def _settled(tensors: Sequence[Tensor], create_graph: bool) -> tuple[Tensor, ...]:
    return tuple(tensors) if create_graph else tuple([x.detach() for x in tensors])


def _vectors(v: Any, like: tuple[Tensor, ...], name: str) -> tuple[Tensor, ...]:
    """The given vectors; without, 1 for the only number."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(
                f"The vector v can only be None if the user-provided function returns a single "
                f"Tensor with a single element ({name})."
            )
        return (ones_like(like[0].detach()),)
    given = _tuple(v, "v", name)
    if len(given) != len(like):
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(like)} but got {len(given)}."
        )
    for number, (one, other) in enumerate(zip(given, like, strict=True)):
        if one.shape != other.shape:
            raise RuntimeError(
                f"Entry {number} in v has invalid size: should be {other.shape} but got "
                f"{one.shape}."
            )
    return given


def _pulled(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Any, strict: bool, create: bool
) -> tuple[Tensor, ...]:
    """The vector-Jacobian product; zeros where nothing depends on an input (`strict`: an error)."""
    pairs = [(x, v) for x, v in zip(outputs, vectors, strict=True) if x.requires_grad]
    if strict and len(pairs) < len(outputs):
        raise RuntimeError(
            "The output of the user-provided function is independent of the input. This is not "
            "allowed in strict mode."
        )
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if pairs:
        sources, given = zip(*pairs, strict=True)
        found = grad(sources, inputs, given, create_graph=create, allow_unused=True)
    if strict and any(one is None for one in found):
        raise RuntimeError(
            "The output of the user-provided function is independent of an input. This is not "
            "allowed in strict mode."
        )
    return tuple([zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)])


def vjp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> Any:
    """The outputs, and the product of a vector and the Jacobian."""
    with enable_grad():
        tracked = _tracked(_tuple(inputs, "inputs", "vjp"), create_graph)
        result = func(*tracked)
        outputs = _tuple(result, "outputs of the user-provided function", "vjp")
        found = _pulled(outputs, tracked, _vectors(v, outputs, "vjp"), strict, create_graph)
    return (
        _like(result, _settled(outputs, create_graph)),
        _like(inputs, _settled(found, create_graph)),
    )


def jvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> Any:
    """The outputs, and the product of the Jacobian and a vector."""
    with enable_grad():
        tracked = _tracked(_tuple(inputs, "inputs", "jvp"), create_graph)
        vectors = _vectors(v, tracked, "jvp")
        result = func(*tracked)
        outputs = _tuple(result, "outputs of the user-provided function", "jvp")
        dummies = [zeros_like(x.detach()).requires_grad_() for x in outputs]
        pulled = _pulled(outputs, tracked, dummies, strict, True)
        found = _pulled(pulled, dummies, vectors, False, create_graph)
    return (
        _like(result, _settled(outputs, create_graph)),
        _like(result, _settled(found, create_graph)),
    )


def jacobian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """For each output and each input: all derivatives."""
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(
            f"Expected strategy to be either 'forward-mode' or 'reverse-mode'. Got: {strategy}."
        )
    given = _tuple(inputs, "inputs", "jacobian")
    kinds: list[Any] = []

    def listed(*some: Tensor) -> tuple[Tensor, ...]:
        result = func(*some)
        kinds[:] = [result]
        outputs = _tuple(result, "outputs of the user-provided function", "jacobian")
        if strict:
            _pulled(outputs, some, [ones_like(x) for x in outputs], True, True)
        return outputs

    kept = given if create_graph else tuple([x.detach() for x in given])
    rows = jacrev(listed, tuple(range(len(given))))(*kept)
    settled = [_like(inputs, _settled(row, create_graph)) for row in rows]
    return _like(kinds[0], settled)


def hessian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function with one number."""
    count = len(_tuple(inputs, "inputs", "hessian"))

    def slopes(*some: Tensor) -> tuple[Tensor, ...]:
        found = jacobian(_scalar(func, "hessian"), some, create_graph=True, strict=strict)
        return tuple([x.reshape(one.shape) for x, one in zip(found, some, strict=True)])

    found = jacobian(slopes, _tuple(inputs, "inputs", "hessian"), create_graph, strict)
    return _like(inputs, [_like(inputs, found[number]) for number in range(count)])


def _scalar(func: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    """The function, which must give one number."""

    def checked(*some: Tensor) -> Tensor:
        result = func(*some)
        [output] = _tuple(result, "outputs of the user-provided function", name)[:1]
        if isinstance(result, (tuple, list)) and len(result) != 1:
            raise RuntimeError(f"The function given to {name} should return a single Tensor")
        if output.numel() != 1:
            raise RuntimeError(
                f"The Tensor returned by the function given to {name} should contain a single "
                "element"
            )
        return output.reshape(())

    return checked


def _slopes(
    func: Callable[..., Any], inputs: Tensors, name: str, create_graph: bool, strict: bool
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The value, the tracked inputs, and the gradients by them."""
    tracked = _tracked(_tuple(inputs, "inputs", name), create_graph)
    value = _scalar(func, name)(*tracked)
    return value, tracked, _pulled((value,), tracked, [None], strict, True)


def vhp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> Any:
    """The value, and the product of a vector and the Hessian."""
    with enable_grad():
        value, tracked, slopes = _slopes(func, inputs, "vhp", create_graph, strict)
        found = _pulled(slopes, tracked, _vectors(v, tracked, "vhp"), strict, create_graph)
    [value] = _settled((value,), create_graph)
    return value, _like(inputs, _settled(found, create_graph))


def hvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> Any:
    """The value, and the product of the Hessian and a vector: it is symmetric."""
    return vhp(func, inputs, v, create_graph, strict)
