"""`torch.autograd.graph`: the steps of the tape, and hooks on several tensors or on saved ones.

In: tensors and functions. Out: handles and contexts.

>>> import picograd
>>> isinstance((picograd.ones(1, requires_grad=True) * 2).grad_fn, Node)
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from picograd.frontend.tape import GradNode as Node
from picograd.frontend.tape import RemovableHandle
from picograd.frontend.tensor import Tensor

__all__ = ["Node", "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks"]


class _Handles:
    """Several handles as one."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self.handles = handles

    def remove(self) -> None:
        """Take all the hooks away."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *details: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all"
) -> _Handles:
    """Call `fn` with the gradients of all the tensors when each is known, or (`mode="any"`) with
    the first. The count starts again with the next backward."""
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    arrived: dict[int, Tensor] = {}
    seen = [0]

    def hook(place: int) -> Callable[[Tensor], None]:
        def one(gradient: Tensor) -> None:
            arrived[place] = gradient
            seen[0] += 1
            if mode == "any" and seen[0] == 1:
                fn(gradient)
            if seen[0] == len(tensors):
                if mode == "all":
                    fn([arrived.get(n) for n in range(len(tensors))])
                arrived.clear()
                seen[0] = 0

        return one

    return _Handles([x.register_hook(hook(n)) for n, x in enumerate(tensors)])


@contextmanager
def save_on_cpu(pin_memory: bool = False, device_type: str = "cuda") -> Iterator[None]:
    """Keep what backward needs in the host's memory: where it is already."""
    yield


class saved_tensors_hooks:
    """Torch's hooks on what is saved: here steps save graph nodes, which have no contents yet."""

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        raise NotImplementedError(
            "autograd.graph.saved_tensors_hooks isn't supported: what backward needs is saved as "
            "graph nodes, which are often never computed. utils.checkpoint saves memory instead"
        )
