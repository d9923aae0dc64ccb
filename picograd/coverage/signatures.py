"""Whether functions take the calls that PyTorch's take.

In: the installed `torch`. Out: `compare_all`, for the names that both have: which of torch's ways
to call a function ours refuses, or understands differently, and which defaults are others. What
ours takes beyond that is no difference. Torch's own signatures come from the schemas of its
operators, from Python's signatures, and from the table of `torch.overrides`.

>>> import inspect
>>> ours = inspect.signature(lambda input, dim=0: None)
>>> refusals(inspect.signature(lambda input, dim=1, *, out=None: None), ours, ("out",))
['dim=0, torch dim=1']
>>> refusals(inspect.signature(lambda input, axis: None), ours, ())
['refuses (input=, axis=)']
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from types import ModuleType
from typing import Any

import picograd
from picograd import coverage, later

# Where names are compared, and how torch's operators of that place begin.
PLACES = {
    "torch": "",
    "Tensor": "",
    "torch.nn.functional": None,
    "torch.nn": None,
    "torch.nn.init": None,
    "torch.nn.utils": None,
    "torch.nn.utils.rnn": None,
    "torch.optim": None,
    "torch.optim.lr_scheduler": None,
    "torch.linalg": "linalg_",
    "torch.fft": "fft_",
    "torch.special": "special_",
    "torch.distributions": None,
    "torch.utils.data": None,
    "torch.autograd": None,
}
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
# What has no meaning here (layouts, pinned memory), or only on torch's CUDA devices.
_ACCEPTED = {"layout", "memory_format", "pin_memory", "names", "out_dtype", "cudnn_enabled"}
# Defaults that are spelled differently and mean the same. Torch's schemas number the dtypes.
_SAME_DEFAULTS = {
    "padding": (0, "valid"),
    "unbiased": (None, True),
    "device": ("cpu", None),
    "align_corners": (None, False),
    "indexing": (None, "ij"),
    "compute_mode": (None,),
}
_NUMBERED_DTYPES = {4: "torch.int64"}


@dataclass
class Comparison:
    """How many signatures agree, what differs by name, and what has no signature to compare."""

    same: int = 0
    different: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def compare_all(torch: ModuleType, places: Iterable[str] = PLACES) -> Comparison:
    """Compare every public function, method and class that both have."""
    found = Comparison()
    for place in places:
        theirs, ours = coverage.find(place, torch), coverage.find(place, picograd)
        for name in sorted(set(dir(theirs)) - set(dir(object))):
            if not name.startswith("_") and _is_function(getattr(theirs, name, None)):
                _compare_one(torch, place, name, getattr(ours, name, None), found)
    return found


def _is_function(found: Any) -> bool:
    """Whether it is called for what it does; objects that can be called are none."""
    return callable(found) and isinstance(found, Hashable)


def _compare_one(torch: ModuleType, place: str, name: str, ours: Any, found: Comparison) -> None:
    if ours is None or not callable(ours):
        return
    full = f"{place}.{name}"
    wanted = torch_signatures(torch, place, name)
    mine, extra = own_signature(ours, name)
    if not wanted or mine is None:
        found.unknown.append(full)
        return
    differences = list(dict.fromkeys(d for one in wanted for d in refusals(one, mine, extra)))
    if differences:
        found.different[full] = differences
    else:
        found.same += 1


# --- reading signatures --------------------------------------------------------------------------


def own_signature(ours: Any, name: str) -> tuple[Signature | None, tuple[str, ...]]:
    """The signature of one of our functions, and the keywords that decorators add to it."""
    if inspect.isfunction(ours) and ours.__module__ == later.__name__:
        ours = getattr(__import__(later.METHODS[name][0], fromlist=["x"]), later.METHODS[name][1])
    extra: list[str] = []
    layer: Any = ours
    while hasattr(layer, "__wrapped__"):
        extra += getattr(layer, "other_names", ())
        layer = layer.__wrapped__
    try:
        return inspect.signature(ours), tuple(extra)
    except (TypeError, ValueError):
        return None, ()


def torch_signatures(torch: ModuleType, place: str, name: str) -> list[Signature]:
    """The ways to call one of torch's functions, classes or methods."""
    function = getattr(coverage.find(place, torch), name)
    if inspect.isclass(function) or inspect.isfunction(function):
        with contextlib.suppress(TypeError, ValueError):
            signature = inspect.signature(function)
            if not any(p.kind is Parameter.VAR_KEYWORD for p in signature.parameters.values()):
                return [_bare(signature) if place == "Tensor" else signature]
    prefix = PLACES[place]
    if prefix is not None and not inspect.isclass(function):
        found = _from_schemas(torch, prefix + name, place, function)
        if found:
            return found
    override = _overrides(torch).get(function)
    if override is None:
        return []
    signature = inspect.signature(override)
    return [_bare(signature) if place == "Tensor" else signature]


def _bare(signature: Signature) -> Signature:
    """The signature of a method, whose first argument has no name that a caller could use."""
    first, *others = signature.parameters.values()
    return Signature([first.replace(kind=Parameter.POSITIONAL_ONLY), *others])


_known: dict[str, dict[Any, Callable[..., Any]]] = {}


def _overrides(torch: ModuleType) -> dict[Any, Callable[..., Any]]:
    if "table" not in _known:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _known["table"] = torch.overrides.get_testing_overrides()
    return _known["table"]


def _from_schemas(torch: ModuleType, name: str, place: str, function: Any) -> list[Signature]:
    """The overloads of an operator that take tensors, or make one."""
    method = place == "Tensor"
    found: list[list[Parameter]] = []
    with_out: list[list[str]] = []
    # Python's bindings keep what one overload takes by name only, and leave some `out` away.
    by_name: set[str] = set()
    documented = "out" in (function.__doc__ or "").partition("->")[0]
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}"):
        kinds = [str(argument.type) for argument in schema.arguments]
        makes = any(argument.name == "layout" for argument in schema.arguments)
        if "Tensor" not in " ".join(kinds) and not makes:
            continue
        if kinds[0].startswith("List") and schema.arguments[0].name == "self":
            continue
        if any("Dimname" in kind or "Stream" in kind for kind in kinds):
            continue
        if method and not (schema.arguments[0].name == "self" and kinds[0] == "Tensor"):
            continue
        parameters = [_parameter(argument, method) for argument in schema.arguments]
        by_name |= {p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY}
        if not any(argument.is_out for argument in schema.arguments):
            found.append(parameters)
        elif documented and not method:
            with_out.append([p.name for p in parameters])
    for number, parameters in enumerate(found):
        if [*(p.name for p in parameters), "out"] in with_out:
            parameters.append(Parameter("out", Parameter.KEYWORD_ONLY, default=None))
        found[number] = [
            p.replace(kind=Parameter.KEYWORD_ONLY) if p.name in by_name else p for p in parameters
        ]
    own = [ps for ps in found if any(p.name in ("self", "input") for p in ps)]
    return [Signature(parameters) for parameters in own or found if parameters]


def _parameter(argument: Any, method: bool) -> Parameter:
    name = "input" if argument.name == "self" and not method else argument.name
    kind = Parameter.KEYWORD_ONLY if argument.kwarg_only else Parameter.POSITIONAL_OR_KEYWORD
    if name == "self":
        kind = Parameter.POSITIONAL_ONLY
    default = argument.default_value if argument.has_default_value() else Parameter.empty
    return Parameter(name if name != "from" else "from_", kind, default=default)


# --- comparing them ------------------------------------------------------------------------------


def refusals(theirs: Signature, ours: Signature, extra: tuple[str, ...]) -> list[str]:
    """What of torch's signature ours doesn't do, in words; `extra` are further keywords of ours."""
    parameters = [p for p in theirs.parameters.values() if p.kind not in _REST]
    parameters = [p for p in parameters if p.name not in _ACCEPTED or p.name in ours.parameters]
    found = []
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    order = _bound(ours, [p.name for p in positional], {})
    if order is None:
        found.append(f"refuses ({', '.join(p.name for p in positional)})")
    rest = {p.name for p in ours.parameters.values() if p.kind in _REST}
    for place, p in enumerate(positional):
        if (
            p.name not in rest
            and order is not None
            and p.name in ours.parameters
            and order.get(p.name, p.name) != p.name
        ):
            found.append(f"takes {p.name} elsewhere than torch, which has it at {place}")
    required = [p.name for p in positional if p.default is Parameter.empty]
    for p in [] if found else parameters:
        if p.kind is Parameter.POSITIONAL_ONLY or p.name in extra:
            continue
        before = required[: required.index(p.name)] if p.name in required else required
        after = {name: name for name in required[len(before) :] if name not in extra}
        if _bound(ours, before, {**after, p.name: p.name}) is None:
            given = [*before, *(f"{name}=" for name in dict.fromkeys([*after, p.name]))]
            found.append(f"refuses ({', '.join(given)})")
            break
    found += _defaults(parameters, ours)
    return found


def _bound(ours: Signature, positional: list[str], named: dict[str, str]) -> dict[str, Any] | None:
    """Which of our parameters get what; None if the call is refused."""
    try:
        return dict(ours.bind_partial(*positional, **named).arguments)
    except TypeError:
        return None


def _defaults(parameters: list[Parameter], ours: Signature) -> list[str]:
    found = []
    for p in parameters:
        own = ours.parameters.get(p.name)
        if own is None or own.kind in _REST or p.default is Parameter.empty:
            continue
        if own.default is Parameter.empty:
            found.append(f"needs {p.name}, torch has {p.name}={p.default!r}")
        elif p.name not in _ACCEPTED and not _equal(p.name, own.default, p.default):
            found.append(f"{p.name}={own.default!r}, torch {p.name}={p.default!r}")
    return found


def _equal(name: str, a: Any, b: Any) -> bool:
    """Whether two defaults mean the same; the libraries' own objects compare by their names."""
    same = _SAME_DEFAULTS.get(name, ())
    a, b = (list(value) if isinstance(value, tuple) else value for value in (a, b))
    if a == b or (a != a and b != b) or (a in same and b in same):
        return True
    if isinstance(b, list):
        return all(item == a for item in b) or (not b and a is None)
    if name == "dtype":
        return a is None or str(a) in (str(b), _NUMBERED_DTYPES.get(b))
    plain = (bool, int, float, str, list, tuple, type(None))
    return not isinstance(a, plain) and not isinstance(b, plain) and (callable(a) and callable(b))
