"""Part 4, speculative decoding: a small model guesses ahead, the large one checks all at once.

A pass of a large model over five tokens costs little more than over one. So a *draft* model writes
a few tokens, and the *target* gives its own chances for all of them in one pass. A guess x that the
draft drew with chance q(x) is kept with probability min(1, p(x) / q(x)), p being the target's; at
the first refusal a token is drawn from what p has more than q, max(p - q, 0), and if none is
refused one more from p. Each token then has exactly the distribution p (Leviathan et al. 2023,
https://arxiv.org/abs/2211.17192). With temperature 0, where p and q are 1 for the likeliest token,
the same rule writes exactly what the target alone would have written.

Both models keep preallocated caches (part 4, cache): to forget refused tokens is to set a length.

    python examples/language/part4_speculative.py [--torch]

It trains both models on English for some seconds, and prints the letters written by the target
alone and speculatively (equal at temperature 0), and how many letters a pass of the target gave.
Below a minute.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence

from part4_attention import GPT, english_batches, train
from part4_cache import preallocated

if "--torch" in sys.argv:
    import torch
else:
    import picograd as torch

CONTEXT = 96


class Reader:
    """A model and the tokens that it has read, which can be taken back."""

    def __init__(self, model: GPT, temperature: float) -> None:
        self.model, self.temperature = model, temperature
        self.caches = preallocated(model)
        self.passes = 0

    @torch.no_grad()
    def read(self, tokens: list[int]) -> list[list[float]]:
        """After each of these tokens, the chances of the next."""
        self.passes += 1
        logits = self.model(torch.tensor([tokens]), self.caches)[0]
        if self.temperature == 0:
            return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).tolist()
        return torch.softmax(logits / self.temperature, dim=-1).tolist()

    def back_to(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        for cache in self.caches:
            cache.length = length


def draw(weights: Sequence[float], rng: random.Random) -> int:
    return rng.choices(range(len(weights)), weights)[0]


def plain(target: Reader, prompt: list[int], count: int, rng: random.Random) -> list[int]:
    """`count` tokens after a prompt, one pass of the target for each."""
    tokens, new = list(prompt), prompt
    for _ in range(count):
        new = [draw(target.read(new)[-1], rng)]
        tokens += new
    return tokens


def accept(
    guesses: list[int], q: list[list[float]], p: list[list[float]], rng: random.Random
) -> list[int]:
    """The guesses (drawn from q) that may stay, and one token more; p has one row more than q."""
    kept = []
    for guess, drafts, targets in zip(guesses, q, p, strict=False):
        if rng.random() * drafts[guess] >= targets[guess]:
            rest = [max(t - d, 0.0) for t, d in zip(targets, drafts, strict=True)]
            return [*kept, draw(rest, rng)]
        kept.append(guess)
    return [*kept, draw(p[len(guesses)], rng)]


def speculative(
    target: Reader, draft: Reader, prompt: list[int], count: int, ahead: int, rng: random.Random
) -> list[int]:
    """`count` tokens after a prompt, as if the target drew each; `ahead` are guessed at a time."""
    tokens = list(prompt)
    if len(prompt) > 1:  # between rounds, both have read all tokens but the last
        target.read(prompt[:-1])
        draft.read(prompt[:-1])
    while len(tokens) < len(prompt) + count:
        last, guesses, q = tokens[-1], [], []
        for _ in range(ahead):
            q += draft.read([last])
            last = draw(q[-1], rng)
            guesses.append(last)
        draft.read([last])
        p = target.read([tokens[-1], *guesses])
        tokens += accept(guesses, q, p, rng)
        target.back_to(len(tokens) - 1)
        draft.back_to(len(tokens) - 1)
    return tokens[: len(prompt) + count]


def main() -> None:
    parser = argparse.ArgumentParser(description="Speculative decoding.")
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--ahead", type=int, default=4)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    options = parser.parse_args()
    torch.manual_seed(1)
    alphabet, batches = english_batches(CONTEXT, options.steps)
    models = {
        "target": GPT(len(alphabet), context=CONTEXT, width=96, layers=3),
        "draft": GPT(len(alphabet), context=CONTEXT, width=32, heads=2, layers=1),
    }
    for name, model in models.items():
        print(f"{name}: loss {train(model, batches)[-1]:.3f}")
    prompt, count = alphabet.encode("The "), options.count
    for temperature in (0.0, 0.8):
        print(f"temperature {temperature}")
        target = Reader(models["target"], temperature)
        tokens = plain(target, prompt, count, random.Random(2))
        print(f"  alone        {count / target.passes:.2f} letters a pass:", end=" ")
        print(repr(alphabet.decode(tokens)))
        target, draft = (Reader(model, temperature) for model in models.values())
        tokens = speculative(target, draft, prompt, count, options.ahead, random.Random(2))
        print(f"  speculative  {count / (target.passes - 1):.2f} letters a pass:", end=" ")
        print(repr(alphabet.decode(tokens)))


if __name__ == "__main__":
    main()
