"""Derivatives of functions: what `picograd.func` and `picograd.autograd.functional` are made of.

In: functions of tensors or nested containers of them. Out: their gradients, products with their
Jacobians, and Jacobians.

Each transform gives the function *tracked* arguments: aliases of the given ones with a place of
their own on the tape, so that nested transforms and the tape around them both see the right
derivative. Results are cut from the tape where nothing outside of the call requires grad.

>>> import picograd
>>> outputs, pull = vjp(lambda x: x * x, picograd.tensor(3.0))
>>> outputs.item(), pull(picograd.tensor(1.0))[0].item()
(9.0, 6.0)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from picograd.frontend import autograd, tape
from picograd.frontend.creation import eye, zeros_like
from picograd.frontend.grad_mode import enable_grad, is_grad_enabled
from picograd.frontend.pytree import TreeSpec, tree_flatten, tree_map_only, tree_unflatten
from picograd.frontend.tape import AccumulateGrad, GradNode
from picograd.frontend.tensor import Tensor
from picograd.frontend.vmap import vmap

Function = Callable[..., Any]
Argnums = int | tuple[int, ...]


class _Level:
    """One transform's run: the tracked arguments, and what on the tape is inside of it."""

    def __init__(self) -> None:
        self.begin = tape.next_sequence()
        self.outer = is_grad_enabled()
        self.leaves: set[GradNode] = set()

    def tracked(self, x: Any, name: str) -> Tensor:
        """An alias with a place of its own on the tape."""
        if not isinstance(x, Tensor):
            raise ValueError(f"{name}: Expected only Tensors as arguments, got {type(x)}")
        if self.outer and x.requires_grad:
            return x.view_as(x)
        leaf = x.detach().requires_grad_()
        edge = leaf._edge()
        assert edge is not None
        self.leaves.add(edge[0])
        return leaf

    def settled(self, tree: Any) -> Any:
        """The results, without history unless it leads outside of this run."""
        leaves, spec = tree_flatten(tree)
        return tree_unflatten([self._settled(x) for x in leaves], spec)

    def _settled(self, x: Any) -> Any:
        if not isinstance(x, Tensor) or not x.requires_grad:
            return x
        return x if self.outer and self._leads_out(x) else x.detach()

    def _leads_out(self, x: Tensor) -> bool:
        stack, seen = [x._edge()], set[GradNode]()
        while stack:
            edge = stack.pop()
            if edge is None or edge[0] in seen or edge[0] in self.leaves:
                continue
            node = edge[0]
            if node.sequence < self.begin:
                return True
            if not node.edges:  # a leaf of somebody else's, or the beginning of an example
                if not isinstance(node, AccumulateGrad) or node.variable is not None:
                    return True
                continue
            seen.add(node)
            stack.extend(node.edges)
        return False


def _chosen(args: tuple[Any, ...], argnums: Argnums) -> tuple[int, ...]:
    """The positions of the arguments to differentiate by."""
    listed = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if not listed:
        raise RuntimeError("argnums must be non-empty")
    for number in listed:
        if not -len(args) <= number < len(args):
            raise RuntimeError(
                f"Got argnum={number}, but only {len(args)} positional inputs are available"
            )
    return tuple([number % len(args) for number in listed])


def _replaced(
    args: tuple[Any, ...], positions: tuple[int, ...], level: _Level, name: str
) -> tuple[list[Any], list[list[Tensor]], list[TreeSpec]]:
    """The arguments with tracked tensors at the positions; the tensors, and their nestings."""
    inside, tensors, specs = list(args), [], []
    for place in positions:
        leaves, spec = tree_flatten(args[place])
        tensors.append([level.tracked(x, name) for x in leaves])
        specs.append(spec)
        inside[place] = tree_unflatten(tensors[-1], spec)
    return inside, tensors, specs


def _gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Any, create: bool = True
) -> list[Tensor]:
    """The gradients of the inputs; zeros for those that nothing depends on."""
    pairs = [(x, v) for x, v in zip(outputs, vectors, strict=True) if x.requires_grad]
    if not pairs:
        return [zeros_like(x) for x in inputs]
    sources, given = zip(*pairs, strict=True)
    return list(
        autograd.grad(  # pyright: ignore[reportReturnType]
            sources, inputs, given, retain_graph=True, create_graph=create, allow_unused=True,
            materialize_grads=True,
        )
    )  # fmt: skip


def grad_and_value(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that gives the gradient and the value (and what else `func` returns)."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        positions = _chosen(args, argnums)
        level = _Level()
        with enable_grad():
            inside, tensors, specs = _replaced(args, positions, level, "grad_and_value")
            result = func(*inside, **kwargs)
            output, aux = _with_aux(result, "grad_and_value", has_aux)
            if not isinstance(output, Tensor):
                raise RuntimeError(
                    f"Expected f(*args) to return a scalar tensor, got {type(output).__name__}"
                )
            if output.ndim:
                raise RuntimeError(
                    "Expected f(*args) to return a scalar tensor, got tensor with "
                    f"{output.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            flat = [x for group in tensors for x in group]
            found = iter(_gradients([output], flat, [None]))
        trees = [
            tree_unflatten([next(found) for _ in group], spec)
            for group, spec in zip(tensors, specs, strict=True)
        ]
        gradients = level.settled(trees[0] if isinstance(argnums, int) else tuple(trees))
        value = level.settled(output)
        return (gradients, (value, level.settled(aux))) if has_aux else (gradients, value)

    return wrapper


def grad(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that gives the gradient of a scalar function."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        gradients, rest = both(*args, **kwargs)
        return (gradients, rest[1]) if has_aux else gradients

    return wrapper


def _with_aux(result: Any, name: str, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(
            f"{name}(f)(*args): output of function f should be a tuple: (output, aux) if has_aux "
            "is True"
        )
    return result


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> Any:
    """`func(*primals)` and the function from cotangents of its outputs to those of the primals."""
    level = _Level()
    with enable_grad():
        inside, tensors, specs = _replaced(primals, tuple(range(len(primals))), level, "vjp")
        outputs, aux = _with_aux(func(*inside), "vjp", has_aux)
    flat, out_spec = tree_flatten(outputs)
    for x in flat:
        if not isinstance(x, Tensor):
            raise RuntimeError(
                f"vjp(f, *primals): Expected f(*primals) to return only Tensors, got {type(x)}"
            )
    inputs = [x for group in tensors for x in group]

    def pull(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        vectors, spec = tree_flatten(given)
        if spec != out_spec:
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of "
                f"outputs to the function. cotangents: {spec}, primal output: {out_spec}"
            )
        outer = is_grad_enabled()
        with enable_grad():
            found = iter(_gradients(flat, inputs, vectors))
        trees = tuple(
            [
                tree_unflatten([next(found) for _ in group], spec)
                for group, spec in zip(tensors, specs, strict=True)
            ]
        )
        return level.settled(trees) if outer else tree_map_only(Tensor, lambda x: x.detach(), trees)

    values = level.settled(outputs)
    return (values, pull, level.settled(aux)) if has_aux else (values, pull)


def jvp(
    func: Function, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> Any:
    """`func(*primals)` and the product of its Jacobian and the tangents."""
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals and tangents to be tuples. E.g. it should "
            "be valid to call f(*primals)."
        )
    level = _Level()
    with enable_grad():
        inside, tensors, _ = _replaced(primals, tuple(range(len(primals))), level, "jvp")
        outputs, aux = _with_aux(func(*inside), "jvp", has_aux)
        flat, out_spec = tree_flatten(outputs)
        inputs = [x for group in tensors for x in group]
        given = tree_flatten(tangents)[0]
        if [x.shape for x in given] != [x.shape for x in inputs]:
            raise RuntimeError("jvp(f, primals, tangents): shapes of tangents and primals differ")
        vectors = [level.tracked(zeros_like(x.detach()), "jvp") for x in flat]
        pulled = _gradients(flat, inputs, vectors)
        products = _gradients(pulled, vectors, given)
    values = level.settled(outputs)
    tangent = level.settled(tree_unflatten(products, out_spec))
    return (values, tangent, level.settled(aux)) if has_aux else (values, tangent)


def linearize(func: Function, *primals: Any) -> tuple[Any, Function]:
    """`func(*primals)`, and the function from tangents to the product with the Jacobian."""
    return func(*primals), lambda *tangents: jvp(func, primals, tangents)[1]


def jacrev(
    func: Function,
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Function:
    """A function that gives the Jacobian: for each output, each input's derivatives."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        positions = _chosen(args, argnums)

        def chosen(*some: Any) -> Any:
            whole = list(args)
            for place, x in zip(positions, some, strict=True):
                whole[place] = x
            return func(*whole, **kwargs)

        found = vjp(chosen, *[args[place] for place in positions], has_aux=has_aux)
        outputs, pull = found[0], found[1]
        flat, out_spec = tree_flatten(outputs)
        rows = []
        for number, output in enumerate(flat):
            jacobians = _rows(pull, flat, number, out_spec, chunk_size)
            shaped = tree_map_only(
                Tensor, lambda x, o=output: x.reshape(*o.shape, *x.shape[1:]), jacobians
            )
            rows.append(shaped[0] if isinstance(argnums, int) else shaped)
        result = tree_unflatten(rows, out_spec)
        return (result, found[2]) if has_aux else result

    return wrapper


def _rows(
    pull: Function, outputs: list[Tensor], number: int, spec: TreeSpec, chunk_size: int | None
) -> Any:
    """What each element of one output pulls back."""
    output = outputs[number]
    size = output.numel()
    basis = eye(size, dtype=output.dtype, device=output.device).reshape(size, *output.shape)

    def pulled(row: Tensor) -> Any:
        vectors = [row if n == number else zeros_like(x) for n, x in enumerate(outputs)]
        return pull(tree_unflatten(vectors, spec))

    return vmap(pulled, chunk_size=chunk_size)(basis)


def jacfwd(
    func: Function, argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Function:
    """As `jacrev`, which computes it."""
    return jacrev(func, argnums, has_aux=has_aux)


def hessian(func: Function, argnums: Argnums = 0) -> Function:
    """A function that gives the second derivatives."""
    return jacfwd(jacrev(func, argnums), argnums)
