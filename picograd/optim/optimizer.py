"""The base of all optimisers: parameters in groups, state, hooks, saving.

In: parameters with gradients. Out: new contents of the parameters, written in place without being
recorded. An optimiser of ours says in `update` what one parameter's step is; a program's own may
override `step` instead, as in torch. The state dicts have torch's keys.

>>> import picograd
>>> w = picograd.ones(2, requires_grad=True)
>>> optimizer = picograd.optim.SGD([{"params": [w], "lr": 0.5}])
>>> optimizer.state_dict()["param_groups"][0]["params"]
[0]
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, cast

from picograd import engine
from picograd.frontend import primitives
from picograd.frontend import storage as storages
from picograd.frontend.creation import zeros_like
from picograd.frontend.elementwise import add, mul, neg, sub
from picograd.frontend.grad_mode import enable_grad, no_grad
from picograd.frontend.hostdata import settle
from picograd.frontend.stamps import stamped_nodes
from picograd.frontend.tensor import Tensor
from picograd.optim.script import Script, listener

Group = dict[str, Any]  # torch's param_groups: settings by name, and the list "params"
State = dict[str, Any]  # torch's per-parameter state: tensors and numbers by name
Closure = Callable[[], Tensor]
Parameters = Iterable[Tensor] | Iterable[Group] | Iterable[tuple[str, Tensor]]
Hook = Callable[..., Any]
ParamsT, StateDict = Parameters, dict[str, Any]  # what torch calls them


class HookHandle:
    """Takes a hook away again."""

    def __init__(self, hooks: OrderedDict[int, Hook], number: int) -> None:
        self._hooks = hooks
        self._number = number

    def remove(self) -> None:
        """The hook is not called any more."""
        self._hooks.pop(self._number, None)


class Optimizer:
    """The parameters in groups, their state, and what every optimiser does with them."""

    state: defaultdict[Tensor, State]

    def __init__(self, params: Parameters, defaults: Group) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {_type_name(params)}"
            )
        self.defaults = defaults
        self.state = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._forget_hooks()
        _call_hooks_in(type(self))
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)  # type: ignore[arg-type]

    def _forget_hooks(self) -> None:
        self._before_step: OrderedDict[int, Hook] = OrderedDict()
        self._after_step: OrderedDict[int, Hook] = OrderedDict()

    def add_param_group(self, param_group: Group) -> None:
        """Optimise further parameters, with settings of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        listed = [given] if isinstance(given, Tensor) else list(given)
        names = [one[0] for one in listed if isinstance(one, tuple)]
        if names and len(names) != len(listed):
            raise ValueError(
                "all optimizer params should be with/without names. Some param names are missing"
            )
        listed = [one[1] if isinstance(one, tuple) else one for one in listed]
        self._check_parameters(listed)
        made = {**self.defaults, **param_group, "params": listed}
        if names:
            made["param_names"] = names
        for group in self.param_groups:
            if ("param_names" in group) != ("param_names" in made):
                which = "with" if "param_names" in made else "without"
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param "
                    f"group {which} names to the optimizer"
                )
        self.param_groups.append(made)
        for parameter in made["params"]:
            settle(parameter)
        engine.expect_phases()

    def _check_parameters(self, listed: list[Tensor]) -> None:
        known = set(self._parameters())
        for parameter in listed:
            if not isinstance(parameter, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is "
                    f"{_type_name(parameter)}"
                )
            if not (parameter.is_leaf or parameter.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
            if parameter in known:
                raise ValueError("some parameters appear in more than one parameter group")
        if len(set(listed)) != len(listed):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error",
                stacklevel=4,
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for parameter in self._parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad = zeros_like(parameter)

    def _parameters(self) -> Iterator[Tensor]:
        for group in self.param_groups:
            yield from group["params"]

    def step(self, closure: Closure | None = None) -> Any:
        """Update the parameters once; `closure` computes the loss (and gradients) again."""
        if engine.is_listened():
            self._check_capture()
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        script = listener()
        with no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        gradient = parameter.grad
                        if group.get("maximize"):
                            gradient = neg(gradient)
                        if isinstance(script, Script):
                            script.update(self, parameter, gradient, group)
                        else:
                            self.update(parameter, gradient, self.state[parameter], group)
        return loss

    def _check_capture(self) -> None:
        """Raise for a step in a CUDA graph whose numbers would be another run's."""
        name = type(self).__name__
        if not all(group.get("capturable", True) for group in self.param_groups):
            raise RuntimeError(
                f"Attempting CUDA graph capture of step() for an instance of {name} but "
                "param_groups' capturable is False."
            )
        if any("capturable" in group for group in self.param_groups):
            raise NotImplementedError(
                f"CUDA graph capture of {name}.step(): it counts its steps in Python. Use "
                "torch.compile(step), which replays a training step as one CUDA graph."
            )

    def begin(self, parameter: Tensor, state: State, group: Group) -> None:
        """Put into a parameter's state what stands there before its first step, if that can be
        told without the gradient."""

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        """One parameter's step."""
        raise NotImplementedError(f"{type(self).__name__} has neither `update` nor `step`")

    # --- hooks ----------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Hook) -> HookHandle:
        """Call `hook(optimizer, args, kwargs)` before every step; it may return new ones."""
        return _register(self._before_step, hook)

    def register_step_post_hook(self, hook: Hook) -> HookHandle:
        """Call `hook(optimizer, args, kwargs)` after every step."""
        return _register(self._after_step, hook)

    # --- saving ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state, with parameters numbered instead of named by themselves."""
        numbers: dict[int, int] = {}
        for n, parameter in enumerate(self._parameters()):
            numbers.setdefault(id(parameter), n)
        groups = [
            {**group, "params": [numbers[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {numbers.get(id(p), p): one for p, one in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` gave."""
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if [len(g["params"]) for g in saved] != [len(g["params"]) for g in self.param_groups]:
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        order = list(chain.from_iterable(group["params"] for group in saved))
        by_number = dict(zip(order, self._parameters(), strict=True))
        for group, other in zip(self.param_groups, saved, strict=True):
            settings = {key: value for key, value in other.items() if key != "params"}
            group.update(copy.deepcopy(settings))
        self.state = defaultdict(dict)
        for number, one in state_dict["state"].items():
            parameter = by_number.get(number)
            self.state[number if parameter is None else parameter] = _fitted(one, parameter)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_hooks()
        _call_hooks_in(type(self))

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for n, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {n}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _register(hooks: OrderedDict[int, Hook], hook: Hook) -> HookHandle:
    number = max(hooks, default=-1) + 1
    hooks[number] = hook
    return HookHandle(hooks, number)


def _call_hooks_in(cls: type[Optimizer]) -> None:
    """Make the class's `step` call hooks; whoever wrote that `step`, it need not know of them."""
    plain = cls.step
    if getattr(plain, "calls_hooks", False):
        return

    @functools.wraps(plain)
    def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        for hook in list(self._before_step.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        result = plain(self, *args, **kwargs)
        for hook in list(self._after_step.values()):
            hook(self, args, kwargs)
        engine.end_phase(last=True)
        return result

    cast("Any", step).calls_hooks = True
    cls.step = step


def _fitted(value: Any, parameter: Tensor | None, key: str | None = None) -> Any:
    """A saved state with its tensors copied, in their parameter's dtype and place."""
    if isinstance(value, Tensor):
        value = value.detach().clone()
        if parameter is None or key == "step":
            return value
        dtype = parameter.dtype if parameter.dtype.is_float else None
        return value.to(device=parameter.device, dtype=dtype)
    if isinstance(value, dict):
        return {name: _fitted(one, parameter, name) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_fitted(one, parameter) for one in value])
    return value


def _type_name(value: object) -> str:
    if isinstance(value, Tensor):
        return value.type() if type(value) is Tensor else type(value).__name__
    return type(value).__name__


# --- what the files beside this one share -------------------------------------------------------


def check(name: str, value: object, valid: bool) -> None:
    """Raise torch's error for a setting out of range."""
    if not valid:
        raise ValueError(f"Invalid {name}: {value}")


def check_usual(
    lr: float | Tensor, eps: float = 0, weight_decay: float = 0, betas: tuple[float, ...] = ()
) -> None:
    """Raise torch's errors for the settings that most optimisers have."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    check("learning rate", number(lr), number(lr) >= 0)
    check("epsilon value", eps, eps >= 0)
    for n, beta in enumerate(betas):
        check(f"beta parameter at index {n}", beta, 0 <= beta < 1)
    check("weight_decay value", weight_decay, weight_decay >= 0)


def number(value: float | Tensor) -> float:
    """A setting or step count that may be kept as a tensor."""
    return float(value.item()) if isinstance(value, Tensor) else value


def count_step(state: State) -> int:
    """Count one more step."""
    state["step"] = step = int(number(state["step"])) + 1
    return step


def rewrite(
    targets: Sequence[Tensor],
    function: Callable[..., Sequence[Tensor]],
    sources: Sequence[Tensor],
    numbers: Sequence[float],
    *switches: bool,
) -> None:
    """Write `function(*sources, *numbers, *switches)` into the targets.

    Numbers come as tensors of the first source's shape, so that they may change without the
    function's graph being another one. An update that calls this does all it does to tensors so:
    while a function is recorded, who listens takes the numbers and may be interested in no more.
    """
    first, script = sources[0].node, listener()
    if script is None:
        constants = [
            primitives.constant_node(number(value), first.dtype, first.device, first.shape)
            for value in numbers
        ]
    else:
        values = [number(value) for value in numbers]
        found = script.constants((list(targets), function, switches), values, first)
        if found is None:
            return
        constants = found
    results = stamped_nodes(function, [*[x.node for x in sources], *constants], *switches)
    for target, node in zip(targets, results, strict=True):
        storages.settle(node, [x._storage for x in sources])
        target._write_node(node)


def decayed(parameter: Tensor, gradient: Tensor, group: Group) -> Tensor:
    """The gradient with weight decay in it."""
    decay = group["weight_decay"]
    return add(gradient, mul(parameter, decay)) if decay else gradient


def blend(old: Tensor, new: Tensor, keep: float) -> Tensor:
    """`keep * old + (1 - keep) * new`, as `lerp_` rounds it."""
    return add(old, mul(sub(new, old), 1 - keep))
