"""The autograd methods of a tensor: `backward`, `requires_grad_`, `detach`, hooks.

In: tensors. Out: their place on the tape, changed. The walk itself is in `frontend/autograd.py`.

>>> import picograd
>>> x = picograd.tensor([1.0, 2.0]).requires_grad_()
>>> (x * x).sum().backward()
>>> x.grad.tolist()
[2.0, 4.0]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from picograd.frontend import autograd, tape
from picograd.frontend.registry import operation
from picograd.frontend.tape import Meta, RemovableHandle
from picograd.frontend.tensor import Tensor


@operation(function=False)
def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradient of this tensor to `.grad` of the leaves it was computed from."""
    autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)


@operation(function=False)
def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Make a leaf collect its gradient, or stop that."""
    edge = self._edge()
    if edge is not None and not isinstance(edge[0], tape.AccumulateGrad):
        if not requires_grad:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        return self
    if requires_grad and not self.dtype.is_inexact:
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    if not requires_grad:
        if self._meta is not None:
            self._meta.requires_grad = False
            self._meta.edge = None
        return self
    if self._meta is None:
        self._meta = Meta()
    self._meta.requires_grad = True
    # A leaf is a view of nothing, as far as gradients go.
    self._base, self._relative = None, ()
    return self


@operation()
def detach(input: Tensor) -> Tensor:
    """The same memory without history."""
    return input._alias()


@operation(function=False)
def detach_(input: Tensor) -> Tensor:
    """Forget the history."""
    if input._base is not None:
        raise RuntimeError(
            "Can't detach views in-place. Use detach() instead. If you are using "
            "DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as "
            "True, gradients are views of DDP buckets, and hence detach_() cannot be called on "
            "these gradients. To fix this error, please refer to the Optimizer.zero_grad() "
            "function in torch/optim/optimizer.py as the solution."
        )
    if input._meta is not None:
        input._meta.edge = None
        input._meta.requires_grad = False
        input._meta.retains = False
    return input


@operation(function=False)
def retain_grad(self: Tensor) -> None:
    """Keep the gradient of a non-leaf in `.grad`."""
    edge = self._edge()
    if edge is None:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if isinstance(edge[0], tape.AccumulateGrad) or (self._meta and self._meta.retains):
        return
    meta = self._meta
    assert meta is not None
    meta.retains = True
    edge[0].retain(edge[1], self)


@operation(function=False)
def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook(gradient)` when the tensor's gradient is computed; a result replaces it."""
    edge = self._edge()
    if edge is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    return tape.add_hook(edge[0].hooks_of(edge[1]), hook)


@operation(function=False)
def register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """Call `hook(tensor)` after a gradient was added to `tensor.grad` of a leaf."""
    edge = self._edge()
    if edge is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if not isinstance(edge[0], tape.AccumulateGrad) or self._meta is None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if self._meta.post_hooks is None:
        self._meta.post_hooks = tape._HookTable()
    return tape.add_hook(self._meta.post_hooks, hook)
