"""Part 4, KV cache: a new token needs the keys and values of those before it, not them again.

Three ways to generate the same letters, one at a time:

    again        the whole text goes through the model for every letter, padded to one length
    growing      each layer keeps keys and values and appends the new ones (`torch.cat`)
    preallocated each layer has room for the longest text and writes the new ones into it in place;
                 what is not written yet lies after every query, where causal masking hides it

The growing cache has another size at every letter. The preallocated one never changes its size, so
a compiler sees the same program for every letter.

    python examples/language/part4_cache.py [--count 60] [--torch]

It trains a small GPT on English for a few seconds, and prints what each way wrote (the same) and
the time for a letter, first and second run. Half a minute.
"""

from __future__ import annotations

import argparse
import sys
import time

from part4_attention import CONTEXT, GPT, english_batches, train

if "--torch" in sys.argv:
    import torch
else:
    import picograd as torch


class Growing:
    """Keys and values [B, heads, so far, size], longer by one token each time."""

    def __init__(self) -> None:
        self.length = 0
        self.keys = self.values = None

    def extend(self, keys: torch.Tensor, values: torch.Tensor):
        """Where the new ones begin; all keys; all values."""
        if self.keys is not None:
            keys = torch.cat([self.keys, keys], dim=2)
            values = torch.cat([self.values, values], dim=2)
        start, self.length = self.length, keys.shape[2]
        self.keys, self.values = keys, values
        return start, keys, values


class Preallocated:
    """Keys and values [B, heads, room, size], of which the first `length` are written."""

    def __init__(self, batch: int, heads: int, room: int, size: int) -> None:
        self.length = 0
        self.keys = torch.zeros(batch, heads, room, size)
        self.values = torch.zeros(batch, heads, room, size)

    def extend(self, keys: torch.Tensor, values: torch.Tensor):
        start, self.length = self.length, self.length + keys.shape[2]
        self.keys[:, :, start : self.length] = keys
        self.values[:, :, start : self.length] = values
        return start, self.keys, self.values


def preallocated(model: GPT) -> list[Preallocated]:
    """A cache for each layer, for one text."""
    parts = [block.attention for block in model.blocks]
    return [Preallocated(1, part.groups, model.context, part.size) for part in parts]


def growing(model: GPT) -> list[Growing]:
    return [Growing() for _ in model.blocks]


@torch.no_grad()
def again(model: GPT, prompt: list[int], count: int) -> list[int]:
    """The likeliest tokens after a prompt, from the whole text each time."""
    tokens = list(prompt)
    for _ in range(count):
        row = tokens + [0] * (model.context - len(tokens))
        logits = model(torch.tensor([row]))
        tokens.append(int(logits[0, len(tokens) - 1].argmax()))
    return tokens


@torch.no_grad()
def cached(model: GPT, prompt: list[int], count: int, caches: list) -> list[int]:
    """The same, feeding each token once: the prompt at a time, then one by one."""
    tokens, new = list(prompt), prompt
    for _ in range(count):
        logits = model(torch.tensor([new]), caches)
        new = [int(logits[0, -1].argmax())]
        tokens += new
    return tokens


WAYS = {
    "again": again,
    "growing": lambda *of: cached(*of, growing(of[0])),
    "preallocated": lambda *of: cached(*of, preallocated(of[0])),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate with and without caches.")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    options = parser.parse_args()
    torch.manual_seed(1)
    context = max(CONTEXT, options.count + 4)
    alphabet, batches = english_batches(context, options.steps)
    model = GPT(len(alphabet), context=context, groups=2)
    print(f"loss {train(model, batches)[-1]:.3f}")
    prompt = alphabet.encode("The ")
    for name, way in WAYS.items():
        times = []
        for _ in range(2):
            started = time.perf_counter()
            tokens = way(model, prompt, options.count)
            times.append((time.perf_counter() - started) / options.count * 1e3)
        print(f"{name:13} {times[0]:6.2f} then {times[1]:6.2f} ms a letter: ", end="")
        print(repr(alphabet.decode(tokens)))


if __name__ == "__main__":
    main()
