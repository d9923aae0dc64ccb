"""Part 1, forward: an untrained feed-forward language model invents "names".

The model of Bengio et al. 2003 (https://www.jmlr.org/papers/v3/bengio03a.html), written with
nothing but tensors: the vectors of the last T letters, side by side, pass two tanh layers and give
a number for each letter that could come next. Softmax makes chances of the numbers, a letter is
drawn, and the window moves on by one.

    python examples/language/part1_forward.py [--torch]

It prints 20 samples, which are noise, and the model's loss on real names: close to log 27 = 3.296,
what a fair 27-sided die has. Part 2 trains it. A few seconds.

Dimension key
    B: batch size   T: context length   V: vocabulary   E: embedding width   D: hidden width
"""

from __future__ import annotations

import argparse
import math
import sys

from letters import NAMES, names, windows

if "--torch" in sys.argv:
    import torch
else:
    import picograd as torch

F = torch.nn.functional
T, E, D = 3, 10, 200
V = len(NAMES)


class Linear:
    """`X @ W + b`; `out` is kept for those who want to look at it."""

    def __init__(self, d_in: int, d_out: int, bias: bool = True) -> None:
        self.weight = torch.randn((d_in, d_out)) / d_in**0.5
        self.bias = torch.zeros(d_out) if bias else None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.out = x @ self.weight
        if self.bias is not None:
            self.out = self.out + self.bias
        return self.out

    def parameters(self) -> list[torch.Tensor]:
        return [self.weight] + ([] if self.bias is None else [self.bias])


class Tanh:
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.out = torch.tanh(x)
        return self.out

    def parameters(self) -> list[torch.Tensor]:
        return []


class Model:
    """Windows of letters [B, T] -> logits of the next letter [B, V]."""

    def __init__(self) -> None:
        self.embedding = torch.randn((V, E))
        self.layers = [
            *(Linear(T * E, D), Tanh()),
            *(Linear(D, D), Tanh()),
            Linear(D, V),
        ]
        # The first guess should be "every letter is as likely": no logit stands out.
        self.layers[-1].weight *= 0.1
        for parameter in self.parameters():
            parameter.requires_grad = True

    def __call__(self, letters: torch.Tensor) -> torch.Tensor:
        x = self.embedding[letters].view(-1, T * E)  # [B, T] -> [B, T, E] -> [B, T * E]
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self) -> list[torch.Tensor]:
        return [self.embedding, *(p for layer in self.layers for p in layer.parameters())]


def loss_on(model: Model, words: list[str]) -> torch.Tensor:
    """The mean surprise over all letters of some names, in nats."""
    before, after = windows(words, T)
    return F.cross_entropy(model(torch.tensor(before)), torch.tensor(after))


@torch.no_grad()
def sample(model: Model, longest: int = 100) -> str:
    """One name, letter by letter."""
    drawn, context = [], [0] * T
    while len(drawn) < longest:
        chances = F.softmax(model(torch.tensor([context])), dim=1)
        letter = int(torch.multinomial(chances, num_samples=1).item())
        if letter == 0:
            break
        drawn.append(letter)
        context = [*context[1:], letter]
    return NAMES.decode(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description="Sample from an untrained language model.")
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    parser.parse_args()
    torch.manual_seed(1)
    model = Model()
    print(f"{sum(p.numel() for p in model.parameters())} parameters")
    for _ in range(20):
        print("  ", sample(model))
    loss = loss_on(model, names()[:1000]).item()
    print(f"loss {loss:.3f}; a die with {V} sides has {math.log(V):.3f}")


if __name__ == "__main__":
    main()
