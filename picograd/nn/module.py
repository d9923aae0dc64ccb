"""Modules: trees of parameters, buffers and submodules with a `forward`.

In: attributes that the user assigns. Out: `Module`, which lists them by name, calls `forward` with
hooks, and converts, saves and loads the whole tree. Layers subclass it (the shortest are in
`picograd/nn/layers/linear.py`); `picograd/nn/state.py` holds saving and loading.

>>> from picograd import nn
>>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
>>> [name for name, _ in model.named_parameters()]
['0.weight', '0.bias']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from picograd.frontend.hostdata import settle
from picograd.frontend.tensor import Tensor
from picograd.nn import hooks, state
from picograd.nn.conversion import Convertible
from picograd.nn.hooks import Hooks, RemovableHandle
from picograd.nn.parameter import Buffer, Parameter

if TYPE_CHECKING:
    from picograd.replay import Replayed

M = TypeVar("M", bound="Module")
_TABLES = ("_parameters", "_buffers", "_modules")


class Module(Convertible):
    """The base of all layers and models: assign parameters and modules, write `forward`."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]
    _hooks: Hooks
    forward: Callable[..., Any]
    _compiled_call_impl: Replayed | None = None  # what `compile` made of the module

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs:
            raise TypeError(f"{type(self).__name__}.__init__() got unexpected arguments")
        store = self.__dict__
        store["training"] = True
        store["_parameters"], store["_buffers"], store["_modules"] = {}, {}, {}
        store["_non_persistent_buffers_set"] = set()
        store["_hooks"] = Hooks()

    # --- calling ----------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._compiled_call_impl is not None:
            return self._compiled_call_impl(*args, **kwargs)
        return self._call_impl(*args, **kwargs)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks.empty and not hooks.GLOBAL:
            return self.forward(*args, **kwargs)
        return hooks.call(self, args, kwargs)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        **_: Any,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after `forward`; its result replaces the output."""
        return self._hooks.add("after", hook, prepend, with_kwargs)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before `forward`; its result replaces the arguments."""
        return self._hooks.add("before", hook, prepend, with_kwargs)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the inputs' gradients are known."""
        return self._hooks.add("backward", hook, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradient of the output is known."""
        return self._hooks.add("backward_pre", hook, prepend)

    # --- attributes -------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        store = self.__dict__
        if "_modules" not in store:
            if isinstance(value, Parameter | Buffer | Module):
                kind = "parameters" if isinstance(value, Parameter) else "module"
                raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, "_modules")
            store["_modules"][name] = value
        elif isinstance(value, Buffer):
            self._forget(name, "_buffers")
            self.register_buffer(name, value, value.persistent)
        elif (table := self._table_of(name)) is not None:
            self._replace(table, name, value)
        else:
            object.__setattr__(self, name, value)

    def _table_of(self, name: str) -> str | None:
        return next((table for table in _TABLES if name in self.__dict__[table]), None)

    def _replace(self, table: str, name: str, value: Any) -> None:
        """Assign something plain to a name that holds a parameter, a buffer or a module."""
        wanted = {"_parameters": "parameter", "_buffers": "buffer", "_modules": "child module"}
        types = {"_parameters": "nn.Parameter", "_buffers": "Tensor", "_modules": "nn.Module"}
        fits = value is None or (table == "_buffers" and isinstance(value, Tensor))
        if not fits:
            raise TypeError(
                f"cannot assign '{type(value).__name__}' as {wanted[table]} '{name}' "
                f"(torch.{types[table]} or None expected)"
            )
        self.__dict__[table][name] = value

    def _forget(self, name: str, keep: str) -> None:
        """Let go of what `name` was, unless it stays in the table `keep` (and keeps its place)."""
        self.__dict__.pop(name, None)
        for table in _TABLES:
            if table != keep:
                self.__dict__[table].pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __getattr__(self, name: str) -> Any:
        for table in _TABLES:
            found = self.__dict__.get(table)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        table = self._table_of(name)
        if table is None:
            object.__delattr__(self, name)
        else:
            del self.__dict__[table][name]
            self._non_persistent_buffers_set.discard(name)

    def __dir__(self) -> list[str]:
        names = {*object.__dir__(self), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[:1].isdigit())

    def __setstate__(self, contents: dict[str, Any]) -> None:
        self.__dict__.update(contents)

    # --- registration -----------------------------------------------------------------------------

    def _check_name(self, name: str, kind: str, table: str) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[table]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """List a parameter (or keep its name free with None)."""
        self._check_name(name, "parameter", "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                f"created explicitly. To express '{name}' as a function of another Tensor, compute "
                "the value in the forward() method."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """List a tensor that is not trained; `persistent` ones are saved."""
        self._check_name(name, "buffer", "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(torch Tensor or None required)"
            )
        self._buffers[name] = tensor if tensor is None else settle(tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """List a submodule under a name that needn't be an identifier."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(name, "module", "_modules")
        self._modules[name] = module

    register_module = add_module

    # --- the tree ---------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Every module of the tree with its dotted path, this one first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Every module of the tree once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        tree = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in tree:
            for name, member in module.__dict__[table].items():
                if member is None or (remove_duplicate and id(member) in seen):
                    continue
                seen.add(id(member))
                yield f"{path}.{name}" if path else name, member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The tree's parameters with their dotted paths."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The tree's parameters."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The tree's buffers with their dotted paths."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The tree's buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; '' is this one."""
        module = self
        for name in target.split(".") if target else ():
            found = module._modules.get(name) if isinstance(module, Module) else None
            if found is None:
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        return self._member(target, "_parameters", "an nn.Parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        return self._member(target, "_buffers", "a buffer")

    def _member(self, target: str, table: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if name not in module.__dict__[table]:
            raise AttributeError(f"`{name}` is not {what}")
        return module.__dict__[table][name]

    # --- the whole tree at once -------------------------------------------------------------------

    def apply(self: M, fn: Callable[[Module], None]) -> M:
        """Call `fn` with every module of the tree, children first."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Choose training (dropout drops, batch norm measures) or evaluation, for the tree."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: M) -> M:
        """`train(False)`."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Train all parameters, or none."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach().zero_()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Replay calls where that gives the same (`compile`)."""
        from picograd.replay import Replayed

        self.__dict__["_compiled_call_impl"] = Replayed(self._call_impl, self)

    # --- saving -----------------------------------------------------------------------------------

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted path."""
        if args:
            destination = args[0]
            prefix = args[1] if len(args) > 1 else prefix
            keep_vars = args[2] if len(args) > 2 else keep_vars
        return state.collect(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copy a state into the tree (`assign`: take its tensors instead).

        Raises RuntimeError that lists missing and unexpected keys (when `strict`) and wrong shapes.
        """
        return state.load(self, state_dict, strict, assign)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after `state_dict`."""
        return self._hooks.add("state", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, ...)` before this module loads."""
        return self._hooks.add("load", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after this module has loaded."""
        return self._hooks.add("loaded", hook)

    def get_extra_state(self) -> Any:
        """State beyond tensors: override together with `set_extra_state`."""
        raise RuntimeError("Module.get_extra_state is not overridden")

    def set_extra_state(self, extra: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError("Module.set_extra_state is not overridden")

    # --- printing ---------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The arguments shown between the parentheses."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [
            f"({name}): " + repr(module).replace("\n", "\n  ")
            for name, module in self._modules.items()
        ]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        inside = "\n  ".join(lines + children)
        return f"{self._get_name()}(\n  {inside}\n)"


def _no_forward(self: Module, *args: Any) -> Any:
    raise NotImplementedError(
        f'Module [{type(self).__name__}] is missing the required "forward" function'
    )


Module.forward = _no_forward
