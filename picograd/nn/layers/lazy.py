"""Lazy layers: the number of input features is read off the first input.

In: the other arguments of a layer. Out: a module whose parameters have no shape until it is called;
then it becomes the plain layer.

>>> import picograd
>>> layer = LazyLinear(2)
>>> layer(picograd.ones(4, 3)).shape, layer
(torch.Size([4, 2]), Linear(in_features=3, out_features=2, bias=True))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, cast

from picograd.frontend.creation import empty
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.tensor import Tensor
from picograd.nn.hooks import RemovableHandle
from picograd.nn.layers import convolution, normalisation
from picograd.nn.layers.linear import Linear
from picograd.nn.module import Module
from picograd.nn.parameter import Parameter

NO_SHAPE = (
    "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
    "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. "
    "Call `forward` to initialize the parameters before accessing their attributes."
)


class _Shapeless(Tensor):
    """A tensor that gets its shape, and another class, by `materialize`."""

    becomes: ClassVar[type[Tensor]]

    def materialize(self, shape: tuple[int, ...], device: Any = None, dtype: Any = None) -> None:
        """Take memory (not yet filled) of a shape."""
        data = empty(tuple(shape), device=device or self.device, dtype=dtype or self.dtype)
        self.data = data
        cast("Any", self).__class__ = self.becomes

    @property
    def shape(self) -> NoReturn:
        raise RuntimeError(NO_SHAPE)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            made: Any = type(self)
            memo[id(self)] = made(device=self.device, dtype=self.dtype)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return (type(self), (self.requires_grad, self.device, self.dtype))


class UninitializedParameter(_Shapeless, Parameter):
    """A parameter without a shape."""

    becomes = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: Any = None
    ) -> UninitializedParameter:
        data = empty(0, device=device, dtype=dtype)
        return cast("Any", Tensor._make_subclass(cls, data, requires_grad))


class UninitializedBuffer(_Shapeless):
    """A buffer without a shape."""

    becomes = Tensor

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None
    ) -> UninitializedBuffer:
        return cast("Any", Tensor._make_subclass(cls, empty(0, device=device, dtype=dtype)))


def is_lazy(tensor: Any) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return isinstance(tensor, _Shapeless)


class LazyModuleMixin(Module):
    """Calls `initialize_parameters` with the first input, and then becomes `cls_to_become`."""

    cls_to_become: ClassVar[type[Module] | None] = None
    _first: RemovableHandle
    _loading: RemovableHandle

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._first = self.register_forward_pre_hook(_infer, with_kwargs=True)
        self._loading = self.register_load_state_dict_pre_hook(_load)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give the parameters their shapes, for an input."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module has no shape yet."""
        return any(map(is_lazy, (*self._parameters.values(), *self._buffers.values())))


def _infer(module: LazyModuleMixin, args: Any, kwargs: Any) -> None:
    """The hook on the first call."""
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(
            f"module {module._get_name()} has not been fully initialized by its "
            "initialize_parameters"
        )
    module._first.remove()
    module._loading.remove()
    del module._first, module._loading
    if module.cls_to_become is not None:
        cast("Any", module).__class__ = module.cls_to_become


def _load(module: LazyModuleMixin, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
    """The hook on loading: shapes are those of the state."""
    for table in (module._parameters, module._buffers):
        for name, tensor in table.items():
            given = state.get(prefix + name)
            if isinstance(tensor, _Shapeless) and given is not None and not is_lazy(given):
                with no_grad():
                    tensor.materialize(given.shape)


class LazyLinear(LazyModuleMixin, Linear):
    """`Linear` whose `in_features` comes from the first input."""

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_features:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        if not self.has_uninitialized_params():
            self.in_features = self.weight.shape[-1]
            return
        with no_grad():
            self.in_features = input.shape[-1]
            cast("Any", self.weight).materialize((self.out_features, self.in_features))
            if self.bias is not None:
                cast("Any", self.bias).materialize((self.out_features,))
            self.reset_parameters()


class _LazyConvolution(LazyModuleMixin, convolution._Convolution):
    """A convolution whose `in_channels` comes from the first input."""

    def __init__(self, out_channels: int, *args: Any, **kwargs: Any) -> None:
        place: dict[str, Any] = {"device": kwargs.get("device"), "dtype": kwargs.get("dtype")}
        super().__init__(0, 0, *args, **kwargs)
        biased = self.bias is not None
        self.out_channels = out_channels
        self.weight = UninitializedParameter(**place)
        if biased:
            self.bias = UninitializedParameter(**place)

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_channels:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor, *rest: Any) -> None:
        channels = input.shape[-1 - self.rank]
        if not self.has_uninitialized_params():
            self.in_channels = channels
            return
        if input.ndim not in (self.rank + 1, self.rank + 2):
            raise RuntimeError(
                f"Expected {self.rank + 1}D (unbatched) or {self.rank + 2}D (batched) input to "
                f"{type(self).__name__}, but got input of size: {list(input.shape)}"
            )
        if channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        first, second = self.out_channels, channels // self.groups
        if self.transposed:
            first, second = channels, self.out_channels // self.groups
        with no_grad():
            self.in_channels = channels
            cast("Any", self.weight).materialize((first, second, *self.kernel_size))
            if self.bias is not None:
                cast("Any", self.bias).materialize((self.out_channels,))
            self.reset_parameters()


class _LazyNorm(LazyModuleMixin, normalisation._ChannelNorm):
    """A norm whose `num_features` comes from the first input."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        **rest: Any,
    ) -> None:
        super().__init__(
            0, eps, momentum, affine, track_running_stats, device=device, dtype=dtype, **rest
        )
        for name in ("weight", "bias"):
            if self._parameters[name] is not None:
                setattr(self, name, UninitializedParameter(device=device, dtype=dtype))
        for name in ("running_mean", "running_var"):
            if self._buffers[name] is not None:
                self._buffers[name] = UninitializedBuffer(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.num_features:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        self.num_features = input.shape[1]
        if not self.has_uninitialized_params():
            return
        with no_grad():
            for tensor in (self.weight, self.bias, self.running_mean, self.running_var):
                if isinstance(tensor, _Shapeless):
                    tensor.materialize((self.num_features,))
            self.reset_parameters()


def _lazy(base: type, plain: type[Module]) -> type:
    contents = {
        "__doc__": f"`{plain.__name__}` that reads its number of channels off the first input.",
        "__module__": __name__,
        "cls_to_become": plain,
    }
    return type(f"Lazy{plain.__name__}", (base, plain), contents)


LazyConv1d = _lazy(_LazyConvolution, convolution.Conv1d)
LazyConv2d = _lazy(_LazyConvolution, convolution.Conv2d)
LazyConv3d = _lazy(_LazyConvolution, convolution.Conv3d)
LazyConvTranspose1d = _lazy(_LazyConvolution, convolution.ConvTranspose1d)
LazyConvTranspose2d = _lazy(_LazyConvolution, convolution.ConvTranspose2d)
LazyConvTranspose3d = _lazy(_LazyConvolution, convolution.ConvTranspose3d)
LazyBatchNorm1d = _lazy(_LazyNorm, normalisation.BatchNorm1d)
LazyBatchNorm2d = _lazy(_LazyNorm, normalisation.BatchNorm2d)
LazyBatchNorm3d = _lazy(_LazyNorm, normalisation.BatchNorm3d)
LazyInstanceNorm1d = _lazy(_LazyNorm, normalisation.InstanceNorm1d)
LazyInstanceNorm2d = _lazy(_LazyNorm, normalisation.InstanceNorm2d)
LazyInstanceNorm3d = _lazy(_LazyNorm, normalisation.InstanceNorm3d)
