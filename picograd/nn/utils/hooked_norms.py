"""Weight norm and spectral norm by hooks: the older forms of those in `parametrizations`.

In: a module and the name of its weight. Out: the module, which computes that weight from
`<name>_g` and `<name>_v` (or `<name>_orig` and the vectors of a power iteration) before each call.

>>> from picograd import nn
>>> layer = weight_norm(nn.Linear(2, 3))
>>> sorted(layer.state_dict())
['bias', 'weight_g', 'weight_v']
>>> sorted(remove_weight_norm(layer).state_dict())
['bias', 'weight']
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from picograd.frontend.grad_mode import no_grad
from picograd.frontend.random import randn
from picograd.frontend.tensor import Tensor
from picograd.nn.hooks import RemovableHandle
from picograd.nn.module import Module
from picograd.nn.parameter import Parameter


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The norm over all dimensions but one, which stay with extent 1; of everything for -1."""
    if dim == -1:
        return v.norm(pow)
    return v.norm(pow, dim=tuple([n for n in range(v.ndim) if n != dim]), keepdim=True)


def scaled_direction(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """`g * v / |v|`."""
    return v * (g / norm_except_dim(v, 2, dim))


def merged_around(weight: Tensor, dim: int) -> Tensor:
    """A matrix: the dimension `dim` first, and the others merged."""
    others = [n for n in range(weight.ndim) if n != dim]
    return weight.permute(dim, *others).reshape(weight.shape[dim], -1)


class _Hook:
    """What runs before each call of a module to compute one of its weights."""

    kind: str
    handle: RemovableHandle

    def __init__(self, name: str) -> None:
        self.name = name

    def compute(self, module: Module) -> Tensor:
        """The weight."""
        raise NotImplementedError

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute(module))

    def hang(self, module: Module) -> None:
        """Run before every call from now on."""
        self.handle = module.register_forward_pre_hook(self)

    def take_down(self, module: Module, parts: tuple[str, ...]) -> None:
        """Make the weight a parameter again, and forget what it was computed from."""
        with no_grad():
            weight = self.compute(module).detach().clone()
        delattr(module, self.name)
        for part in parts:
            delattr(module, self.name + part)
        module.register_parameter(self.name, Parameter(weight))
        self.handle.remove()


def _hook_of(module: Module, kind: type[_Hook], name: str) -> _Hook | None:
    for hook, _ in module._hooks.of("before"):
        if isinstance(hook, kind) and hook.name == name:
            return hook
    return None


class WeightNorm(_Hook):
    """Length and direction."""

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = -1 if dim is None else dim

    def compute(self, module: Module) -> Tensor:
        v, g = getattr(module, self.name + "_v"), getattr(module, self.name + "_g")
        return scaled_direction(v, g, self.dim)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn a weight's length (`<name>_g`) and direction (`<name>_v`) apart."""
    if _hook_of(module, WeightNorm, name) is not None:
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook = WeightNorm(name, dim)
    weight = getattr(module, name)
    delattr(module, name)
    length = norm_except_dim(weight.detach(), 2, hook.dim)
    module.register_parameter(name + "_g", Parameter(length))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    hook(module, None)
    hook.hang(module)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter again."""
    hook = _hook_of(module, WeightNorm, name)
    if hook is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    hook.take_down(module, ("_g", "_v"))
    return module


class SpectralNorm(_Hook):
    """The weight over its largest singular value, followed by power iteration."""

    def __init__(self, name: str, iterations: int, dim: int, eps: float) -> None:
        super().__init__(name)
        if iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations="
                f"{iterations}"
            )
        self.iterations, self.dim, self.eps = iterations, dim, eps

    def compute(self, module: Module, iterate: bool = False) -> Tensor:
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = merged_around(weight, self.dim)
        if iterate:
            normalize = _normalised(self.eps)
            with no_grad():
                for _ in range(self.iterations):
                    v.copy_(normalize(matrix.t().mv(u)))
                    u.copy_(normalize(matrix.mv(v)))
        u, v = u.clone(), v.clone()
        return weight / u.dot(matrix.mv(v))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute(module, module.training))


def _normalised(eps: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x / x.norm().clamp(min=eps)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value before each call."""
    from picograd.nn.layers.convolution import _Transposed

    if _hook_of(module, SpectralNorm, name) is not None:
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    axis = (1 if isinstance(module, _Transposed) else 0) if dim is None else dim
    hook = SpectralNorm(name, n_power_iterations, axis, eps)
    weight = getattr(module, name)
    delattr(module, name)
    module.register_parameter(name + "_orig", weight)
    with no_grad():
        rows, columns = merged_around(weight, axis).shape
        for suffix, extent in (("_u", rows), ("_v", columns)):
            start = _normalised(eps)(randn(extent, dtype=weight.dtype, device=weight.device))
            module.register_buffer(name + suffix, start)
    setattr(module, name, weight.detach())
    hook.hang(module)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter again."""
    hook = _hook_of(module, SpectralNorm, name)
    if hook is None:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    hook.take_down(module, ("_orig", "_u", "_v"))
    return module
