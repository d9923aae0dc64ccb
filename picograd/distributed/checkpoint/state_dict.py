"""State dicts of modules and optimisers, whose keys are the names of parameters.

In: a module and its optimisers. Out: dicts that `set_...` takes back, also for a module whose
parameters are in another order.

>>> from picograd import nn, optim
>>> model = nn.Linear(1, 1)
>>> list(get_model_state_dict(model))
['weight', 'bias']
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from picograd.nn.module import Module
from picograd.optim.optimizer import Optimizer

_WRAPPER = "module."


@dataclass
class StateDictOptions:
    """How state dicts are made. Of one process all are full, on the CPU."""

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False
    dsd_fqn_modifiers: str = "_fqn_modifiers"


class IncompatibleKeys(NamedTuple):
    """What was missing, and what was not expected."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def _plain(name: str) -> str:
    return name.removeprefix(_WRAPPER)


def get_model_state_dict(
    model: Module, *, submodules: Any = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The module's state, without the prefix of a wrapper."""
    options = options or StateDictOptions()
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return {
        _plain(name): value
        for name, value in model.state_dict().items()
        if not (options.ignore_frozen_params and name in frozen)
    }


def set_model_state_dict(
    model: Module, model_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> IncompatibleKeys:
    """Load a state; names may lack the prefix of a wrapper."""
    names = {_plain(name): name for name in model.state_dict()}
    state = {names.get(name, name): value for name, value in model_state_dict.items()}
    found = model.load_state_dict(state, strict=(options or StateDictOptions()).strict)
    return IncompatibleKeys(list(found.missing_keys), list(found.unexpected_keys))


def _listed(optimizers: Optimizer | Iterable[Optimizer]) -> list[Optimizer]:
    return [optimizers] if isinstance(optimizers, Optimizer) else list(optimizers)


def _names(model: Module) -> dict[int, str]:
    return {id(p): _plain(name) for name, p in model.named_parameters()}


def _init_optim_state(optimizer: Optimizer) -> None:
    """Let an optimiser make its state: a step with gradients of 0 and rates of 0."""
    if optimizer.state:
        return
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is not None:
                raise RuntimeError("state_dict can only be used if the optimizer has no gradients")
    rates = [group.get("lr") for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = p.detach() * 0 if p.requires_grad else None
        if "lr" in group:
            group["lr"] = 0.0
    optimizer.step()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if "lr" in group:
            group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)


def get_optimizer_state_dict(
    model: Module,
    optimizers: Optimizer | Iterable[Optimizer],
    *,
    submodules: Any = None,
    options: StateDictOptions | None = None,
) -> dict[str, Any]:
    """The optimisers' state under the names of the parameters."""
    names = _names(model)
    state: dict[str, Any] = {}
    groups: list[dict[str, Any]] = []
    for optimizer in _listed(optimizers):
        _init_optim_state(optimizer)
        for group in optimizer.param_groups:
            chosen = [names[id(p)] for p in group["params"]]
            groups.append({**group, "params": chosen})
            for name, p in zip(chosen, group["params"], strict=True):
                if p in optimizer.state:
                    state[name] = dict(optimizer.state[p])
    return {"state": state, "param_groups": groups}


def set_optimizer_state_dict(
    model: Module,
    optimizers: Optimizer | Iterable[Optimizer],
    optim_state_dict: dict[str, Any],
    *,
    options: StateDictOptions | None = None,
) -> None:
    """Load what `get_optimizer_state_dict` gave."""
    names = _names(model)
    by_name = {
        name: group for group in optim_state_dict["param_groups"] for name in group["params"]
    }
    for optimizer in _listed(optimizers):
        state, groups, number = {}, [], 0
        for group in optimizer.param_groups:
            chosen = [names[id(p)] for p in group["params"]]
            saved = by_name[chosen[0]] if chosen and chosen[0] in by_name else group
            groups.append({**saved, "params": list(range(number, number + len(chosen)))})
            for place, name in enumerate(chosen, number):
                if name in optim_state_dict["state"]:
                    state[place] = optim_state_dict["state"][name]
            number += len(chosen)
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def get_state_dict(
    model: Module, optimizers: Optimizer | Iterable[Optimizer], **options: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both."""
    return (
        get_model_state_dict(model, **options),
        get_optimizer_state_dict(model, optimizers, **options),
    )


def set_state_dict(
    model: Module,
    optimizers: Optimizer | Iterable[Optimizer],
    *,
    model_state_dict: dict[str, Any],
    optim_state_dict: dict[str, Any],
    options: StateDictOptions | None = None,
) -> IncompatibleKeys:
    """Load both."""
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return set_model_state_dict(model, model_state_dict, options=options)
