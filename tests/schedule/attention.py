"""Attention in its many spellings, and the programs that its graphs become: for tests."""

from __future__ import annotations

import math
from collections.abc import Callable

import picograd
from picograd.graph.canonical import analyse, canonicalise, is_simple
from picograd.graph.node import topological
from picograd.schedule.kernel import Kernel, Pattern, Program
from picograd.schedule.panels.limits import CACHE, Limits
from picograd.schedule.plan import plan

Tensors = list[picograd.Tensor]


def plain(q, k, v):
    return (q @ k.transpose(-2, -1) * 0.3).softmax(-1) @ v


def causal(q, k, v):
    rows, columns = q.shape[-2], k.shape[-2]
    mask = picograd.tril(picograd.ones(rows, columns))
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.masked_fill(mask == 0, -math.inf).softmax(-1) @ v


def window(q, k, v):
    row = picograd.arange(q.shape[-2]).view(-1, 1)
    column = picograd.arange(k.shape[-2])
    outside = (column > row + 2) | (column <= row - 7)
    return (q @ k.transpose(-2, -1)).masked_fill(outside, -math.inf).softmax(-1) @ v


def half_causal(q, k, v):
    return causal(q.bfloat16(), k.bfloat16(), v.bfloat16())


def unscaled_log(q, k, v):
    return (q @ k.transpose(-2, -1)).log_softmax(-1).exp() @ v


def normalised(q, k, v):
    scores = (q @ k.transpose(-2, -1)).relu() + 0.1
    return scores / scores.sum(-1, keepdim=True) @ v


def double(q, k, v):
    return plain(q.double(), k.double(), v.double())


SPELLINGS: dict[str, Callable[..., picograd.Tensor]] = {
    f.__name__: f for f in (plain, causal, window, half_causal, unscaled_log, normalised, double)
}


def inputs(*shapes: tuple[int, ...]) -> Tensors:
    """Computed tensors of normal numbers."""
    generator = picograd.Generator().manual_seed(1)
    made = [picograd.randn(*shape, generator=generator) for shape in shapes]
    for tensor in made:
        tensor.numpy()
    return [tensor.requires_grad_() for tensor in made]


def program_of(tensors: Tensors, blocks: Limits = CACHE) -> Program:
    """The program that computes pending tensors, on a device that has such `blocks` of rows."""
    nodes = [tensor._storage.node for tensor in tensors]
    order = topological(nodes)
    structure = analyse(order, nodes, donated=[])
    baked = frozenset(slot for slot, attr in structure.constants if is_simple(attr))
    return plan(canonicalise(order, nodes, structure, baked), panels=blocks)


def panels(program: Program) -> list[Kernel]:
    """The kernels that work by blocks of rows."""
    kernels = [step.kernel for step in program.steps]
    return [kernel for kernel in kernels if kernel.pattern is Pattern.PANELS]


def with_gradients(result: picograd.Tensor, leaves: Tensors) -> Tensors:
    """A result and the gradients of its square's sum, all pending."""
    return [result.detach(), *picograd.autograd.grad(result.square().sum(), leaves)]
