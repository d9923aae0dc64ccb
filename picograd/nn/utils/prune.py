"""Pruning: some elements of a parameter are held at zero by a mask.

In: a module and the name of a parameter. Out: the module with the parameter `<name>_orig` and the
buffer `<name>_mask`, whose product is `<name>`, computed before each call. Pruning again takes away
from what is left.

>>> import picograd
>>> layer = l1_unstructured(picograd.nn.Linear(4, 1, bias=False), "weight", 0.5)
>>> layer.weight_mask.sum().item(), [name for name, _ in layer.named_parameters()]
(2.0, ['weight_orig'])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from picograd.frontend.creation import ones_like
from picograd.frontend.movement import cat
from picograd.frontend.random import rand_like
from picograd.frontend.tensor import Tensor
from picograd.nn.module import Module
from picograd.nn.parameter import Parameter

Amount = int | float
Masks = Callable[[Tensor], Tensor]


class _Apply:
    """What runs before each call of a module: parameter times mask."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: Module, inputs: Any) -> None:
        masked = getattr(module, self.name + "_orig") * getattr(module, self.name + "_mask")
        setattr(module, self.name, masked)


def _hooks(module: Module) -> list[_Apply]:
    return [hook for hook, _ in module._hooks.of("before") if isinstance(hook, _Apply)]


def _count(amount: Amount, size: int) -> int:
    """How many of `size` elements an amount means: a number of them or a fraction."""
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (isinstance(amount, float) and amount > 1.0):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0.0, 1.0] or a non-negative "
            "integer"
        )
    count = round(amount * size) if isinstance(amount, float) else amount
    if count > size:
        raise ValueError(
            f"amount={amount} should be smaller than the number of parameters to prune={size}"
        )
    return count


def _pruned(module: Module, name: str, importance: Tensor | None, masks: Masks) -> Module:
    """Prune by `masks(importance)`, which takes elements away from the mask there is."""
    if any(hook.name == name for hook in _hooks(module)):
        mask = getattr(module, name + "_mask")
        original = getattr(module, name + "_orig")
    else:
        original = module._parameters[name]
        if original is None:
            raise ValueError(f"{type(module).__name__}.{name} is None: nothing to prune")
        mask = ones_like(original.detach())
        delattr(module, name)
        module.register_parameter(name + "_orig", original)
        module.register_forward_pre_hook(_Apply(name))
    scores = original.detach() if importance is None else importance
    fresh = mask * masks(scores * mask if importance is None else scores).to(mask.dtype)
    module.register_buffer(name + "_mask", fresh)
    _Apply(name)(module, None)
    return module


def _without_lowest(count: Callable[[int], int], alive: Tensor | None) -> Masks:
    """A mask without the elements of lowest score, among those that are `alive`."""

    def masks(scores: Tensor) -> Tensor:
        flat = scores.reshape(-1)
        places = flat.new_zeros(flat.shape, dtype=flat.dtype)
        order = flat if alive is None else flat.masked_fill(alive.reshape(-1) == 0, float("inf"))
        number = int(flat.numel() if alive is None else alive.sum().item())
        lowest = order.topk(count(number), largest=False).indices
        return (places.index_fill(0, lowest, 1.0) == 0).reshape(scores.shape)

    return masks


def _alive(module: Module, name: str) -> Tensor | None:
    return module._buffers.get(name + "_mask")


def identity(module: Module, name: str) -> Module:
    """Prune nothing: the mask is all ones."""
    return _pruned(module, name, None, ones_like)


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune where `mask` is 0."""
    return _pruned(module, name, None, lambda scores: mask)


def l1_unstructured(
    module: Module, name: str, amount: Amount, importance_scores: Tensor | None = None
) -> Module:
    """Prune the elements of smallest absolute value (or score)."""
    lowest = _without_lowest(lambda size: _count(amount, size), _alive(module, name))
    return _pruned(module, name, importance_scores, lambda scores: lowest(scores.abs()))


def random_unstructured(module: Module, name: str, amount: Amount) -> Module:
    """Prune elements at random."""
    lowest = _without_lowest(lambda size: _count(amount, size), _alive(module, name))
    return _pruned(module, name, None, lambda scores: lowest(rand_like(scores)))


def _channels(amount: Amount, dim: int, scored: Masks, alive: Tensor | None) -> Masks:
    """A mask without the channels along `dim` of lowest score, among those that are left."""

    def masks(scores: Tensor) -> Tensor:
        axis = dim % scores.ndim
        others = tuple([n for n in range(scores.ndim) if n != axis])
        left = None if alive is None else (alive.sum(dim=others) > 0).to(scores.dtype)
        chosen = _without_lowest(lambda size: _count(amount, size), left)
        shape = [scores.shape[n] if n == axis else 1 for n in range(scores.ndim)]
        ranked = scored(scores.movedim(axis, 0).flatten(1))
        return chosen(ranked).reshape(shape).expand(scores.shape)

    return masks


def ln_structured(
    module: Module,
    name: str,
    amount: Amount,
    n: Any,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Prune the channels along `dim` whose n-norm is smallest."""
    masks = _channels(amount, dim, lambda rows: rows.norm(n, dim=1), _alive(module, name))
    return _pruned(module, name, importance_scores, masks)


def random_structured(module: Module, name: str, amount: Amount, dim: int) -> Module:
    """Prune channels along `dim` at random."""
    masks = _channels(amount, dim, lambda rows: rand_like(rows[:, 0]), _alive(module, name))
    return _pruned(module, name, None, masks)


class L1Unstructured:
    """For `global_unstructured`: by absolute value."""

    score = staticmethod(lambda values: values.abs())


class RandomUnstructured:
    """For `global_unstructured`: at random."""

    score = staticmethod(rand_like)


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: Any,
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    amount: Amount = 0,
) -> None:
    """Prune several parameters together: those of lowest score over all."""
    listed = list(parameters)
    if pruning_method not in (L1Unstructured, RandomUnstructured):
        raise TypeError("global_unstructured takes prune.L1Unstructured or RandomUnstructured")
    given = importance_scores or {}
    tensors: list[Tensor] = [getattr(module, name).detach() for module, name in listed]
    flat = cat(
        [
            pruning_method.score(given.get(place, x)).reshape(-1)
            for place, x in zip(listed, tensors, strict=True)
        ]
    )
    masks = [_alive(*place) for place in listed]
    left = [ones_like(x) if m is None else m for m, x in zip(masks, tensors, strict=True)]
    alive = cat([mask.reshape(-1) for mask in left])
    kept = _without_lowest(lambda size: _count(amount, size), alive)(flat)
    begin = 0
    for (module, name), x in zip(listed, tensors, strict=True):
        part = kept[begin : begin + x.numel()].reshape(x.shape)
        custom_from_mask(module, name, part)
        begin += x.numel()


def is_pruned(module: Module) -> bool:
    """Whether anything of the tree is pruned."""
    return any(_hooks(part) for part in module.modules())


def remove(module: Module, name: str) -> Module:
    """Make the pruning final: the parameter is plain again, with its zeros."""
    for number, (hook, _) in list(module._hooks._kinds.get("before", {}).items()):
        if isinstance(hook, _Apply) and hook.name == name:
            hook(module, None)
            value: Tensor = getattr(module, name).detach()
            original: Parameter = getattr(module, name + "_orig")
            delattr(module, name)
            original.data = value
            for part in ("_orig", "_mask"):
                delattr(module, name + part)
            module.register_parameter(name, original)
            del module._hooks._kinds["before"][number]
            return module
    raise ValueError(
        f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
    )
