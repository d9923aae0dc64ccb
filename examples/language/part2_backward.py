"""Part 2, backward: the model of part 1 learns, by gradient descent written out.

    loss.backward()                     the derivative of the loss by every parameter
    p.data += -rate * p.grad            a small step against it

Nothing else is needed. What one wants to see, though, is whether the gradient arrives at every
layer: `retain_grad()` keeps it for values that are not parameters.

    python examples/language/part2_backward.py [--steps 2000] [--torch]

It prints the loss while it falls (3.3 -> about 2.4), then for each layer how large its outputs and
their gradients are and how many of its tanhs are stuck at -1 or 1, then new names.
About 10 seconds.
"""

from __future__ import annotations

import argparse
import sys

from letters import names, windows
from part1_forward import Linear, Model, T, Tanh, loss_on, sample

if "--torch" in sys.argv:
    import torch
else:
    import picograd as torch

F = torch.nn.functional
B = 64


def rate(step: int, steps: int) -> float:
    """Large steps at first, small ones for the last quarter."""
    return 0.2 if step < 0.75 * steps else 0.02


def train(model: Model, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> list[float]:
    """A step of gradient descent for each batch (windows [B, T], next letters [B]); the losses."""
    losses = []
    for step, (before, after) in enumerate(batches):
        loss = F.cross_entropy(model(before), after)
        for layer in model.layers:
            layer.out.retain_grad()
        for parameter in model.parameters():
            parameter.grad = None
        loss.backward()
        for parameter in model.parameters():
            parameter.data += -rate(step, len(batches)) * parameter.grad
        losses.append(loss.item())
        if step % 250 == 0:
            print(f"step {step:5}  loss {losses[-1]:.3f}")
    return losses


def random_batches(words: list[str], steps: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    before, after = (torch.tensor(numbers) for numbers in windows(words, T))
    chosen = (torch.randint(0, len(after), (B,)) for _ in range(steps))
    return [(before[rows], after[rows]) for rows in chosen]


def health(model: Model) -> list[tuple[str, float, float, float]]:
    """For each layer, after a step: how large outputs and gradients are, and the share stuck."""
    found = []
    for layer in model.layers:
        stuck = (layer.out.abs() > 0.97).float().mean().item() if isinstance(layer, Tanh) else 0.0
        size, slope = layer.out.std().item(), layer.out.grad.std().item()
        found.append((type(layer).__name__, size, slope, stuck))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a language model by gradient descent.")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    steps = parser.parse_args().steps
    torch.manual_seed(1)
    words, model = names(), Model()
    train(model, random_batches(words[:4600], steps))
    print("layer      outputs   gradients   stuck")
    for name, size, slope, stuck in health(model):
        print(f"{name:10} {size:7.3f} {slope:11.6f} {stuck:7.1%}")
    weights = [layer.weight for layer in model.layers if isinstance(layer, Linear)]
    updates = [(0.02 * w.grad.std() / w.std()).item() for w in weights]
    print("a step changes the weights by", ", ".join(f"{u:.1e}" for u in updates), "of their size")
    held_out = loss_on(model, words[4600:]).item()
    print(f"loss on names not seen: {held_out:.3f}")
    print("samples:", ", ".join(sample(model) for _ in range(20)))


if __name__ == "__main__":
    main()
