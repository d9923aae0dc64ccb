"""`functional_call`: a module called with other parameters, which stay as they were.

In: a module and tensors by dotted path. Out: what the module computes with them. Also
`picograd.func.functional_call`.

>>> import picograd
>>> layer = picograd.nn.Linear(1, 1, bias=False)
>>> functional_call(layer, {"weight": picograd.tensor([[3.0]])}, picograd.ones(1, 1)).item()
3.0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from picograd.frontend.tensor import Tensor
from picograd.nn.module import Module

State = Mapping[str, Tensor]


def _tied(module: Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, also under the other names of what they replace."""
    names: dict[int, list[str]] = {}
    for listed in (module.named_parameters, module.named_buffers):
        for name, member in listed(remove_duplicate=False):
            names.setdefault(id(member), []).append(name)
    result = dict(given)
    for group in names.values():
        known = [name for name in group if name in given]
        if len({id(given[name]) for name in known}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(known)}, which are tied. "
                "Consider using tie_weights=False"
            )
        result |= {name: given[known[0]] for name in group if known}
    return result


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: State | Sequence[State],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with these parameters and buffers instead of its own."""
    several = parameter_and_buffer_dicts
    listed = [several] if isinstance(several, Mapping) else list(several)
    given = {name: tensor for one in listed for name, tensor in one.items()}
    if strict:
        _check_names(module, given)
    if tie_weights:
        given = _tied(module, given)
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for path, tensor in given.items():
            owner, _, name = path.rpartition(".")
            holder = module.get_submodule(owner)
            tables: list[dict[str, Any]] = [holder._parameters, holder._buffers]
            table = next((one for one in tables if name in one), None)
            if table is None:  # without `strict`, names that the module lacks do nothing
                continue
            before.append((table, name, table[name]))
            table[name] = tensor
        arguments = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*arguments, **(kwargs or {}))
    finally:
        for table, name, old in reversed(before):
            table[name] = old


def _check_names(module: Module, given: Mapping[str, Tensor]) -> None:
    own = {n for n, _ in module.named_parameters(remove_duplicate=False)}
    own |= {n for n, _ in module.named_buffers(remove_duplicate=False)}
    missing, unexpected = sorted(own - set(given)), sorted(set(given) - own)
    if missing or unexpected:
        raise RuntimeError(
            f"Error(s) in functional_call: missing keys {missing}, unexpected keys {unexpected}"
        )
