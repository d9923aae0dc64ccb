"""Part 4, attention variants: one layer, five ways to use it.

    multi-head      every head has its own queries, keys and values
    grouped-query   several heads share keys and values: a smaller cache when generating
    multi-query     all heads share one set of them
    sliding window  a place looks at the last few places only: cost grows with L, not with L * L
    cross           keys and values come from another sequence: the names to be translated

The first four are the attention of a small GPT on English letters; how well it learns and how many
numbers a token leaves in a cache (part 4, cache) are compared. The last one sits in a decoder that
writes a name backwards: it only sees the name through its cross-attention.

    python examples/language/part4_attention.py [--steps 80] [--torch]

It prints losses (4.8 -> about 2.7; the first four hardly differ), the numbers cached a token, and
the decoder's share of right letters with cross-attention (all) and without (a third). About half
a minute, most of it compiling six training steps.
"""

from __future__ import annotations

import argparse
import math
import sys

from letters import NAMES, Alphabet, english, names

if "--torch" in sys.argv:
    import torch
else:
    import picograd as torch

F, nn = torch.nn.functional, torch.nn
CONTEXT, WIDTH, HEADS, LAYERS, BATCH = 48, 64, 4, 1, 16


class Attention(nn.Module):
    """`heads` heads of queries from x; `groups` heads of keys and values from x or `memory`."""

    def __init__(self, width: int, heads: int, groups: int, window: int | None = None) -> None:
        super().__init__()
        self.heads, self.groups, self.size, self.window = heads, groups, width // heads, window
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, groups * self.size)
        self.value = nn.Linear(width, groups * self.size)
        self.merge = nn.Linear(width, width)

    def split(self, x: torch.Tensor, heads: int) -> torch.Tensor:
        """[B, L, heads * size] -> [B, heads, L, size]"""
        return x.view(*x.shape[:2], heads, self.size).transpose(1, 2)

    def hidden(self, places: torch.Tensor, length: int) -> torch.Tensor:
        """Which of `length` keys a query at each of these places may not see: [L, length]."""
        behind = places.unsqueeze(1) - torch.arange(length)
        if self.window is None:
            return behind < 0
        return (behind < 0) | (behind >= self.window)

    def forward(self, x: torch.Tensor, cache=None, memory: torch.Tensor | None = None):
        """[B, L, width] -> the same; a `cache` adds keys and values of earlier places to these."""
        source, start = x if memory is None else memory, 0
        q = self.split(self.query(x), self.heads)
        k, v = (self.split(part(source), self.groups) for part in (self.key, self.value))
        if cache is not None:
            start, k, v = cache.extend(k, v)
        shared = self.heads // self.groups
        k, v = (part.repeat_interleave(shared, dim=1) for part in (k, v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.size)
        if memory is None:
            places = torch.arange(x.shape[1]) + start
            scores = scores.masked_fill(self.hidden(places, k.shape[2]), -torch.inf)
        mixed = scores.softmax(dim=-1) @ v
        return self.merge(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Self-attention, cross-attention if there is a memory, feed-forward; each adds to x."""

    def __init__(self, width: int, heads: int, groups: int, window: int | None, cross: bool):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, groups, window)
        self.cross = Attention(width, heads, groups) if cross else None
        self.norm3 = nn.LayerNorm(width) if cross else None
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, cache=None, memory: torch.Tensor | None = None):
        x = x + self.attention(self.norm1(x), cache)
        if self.cross is not None and memory is not None:
            x = x + self.cross(self.norm3(x), memory=memory)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Tokens [B, L] -> logits [B, L, V]; with caches (one a layer) they continue those before."""

    def __init__(
        self,
        vocabulary: int,
        context: int = CONTEXT,
        width: int = WIDTH,
        heads: int = HEADS,
        layers: int = LAYERS,
        groups: int | None = None,
        window: int | None = None,
        cross: bool = False,
    ) -> None:
        super().__init__()
        self.context, groups = context, groups or heads
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(
            Block(width, heads, groups, window, cross) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: torch.Tensor, caches=None, memory: torch.Tensor | None = None):
        start = caches[0].length if caches else 0
        x = self.tokens(tokens) + self.places.weight[start : start + tokens.shape[1]]
        for block, cache in zip(self.blocks, caches or [None] * len(self.blocks), strict=True):
            x = block(x, cache, memory)
        return self.head(self.norm(x))

    def cached_numbers(self) -> int:
        """How many numbers a token leaves in the caches of all layers."""
        parts = [block.attention for block in self.blocks]
        return sum(2 * part.groups * part.size for part in parts)


def english_batches(length: int, steps: int, size: int | None = None):
    """The alphabet of some English, and random windows of it with what follows each letter."""
    text = english(size)
    alphabet = Alphabet(text)
    data = torch.tensor(alphabet.encode(text))
    steps_in = torch.arange(length)
    starts = (torch.randint(0, len(text) - length - 1, (BATCH, 1)) for _ in range(steps))
    batches = [(data[start + steps_in], data[start + steps_in + 1]) for start in starts]
    return alphabet, batches


def train(model: nn.Module, batches, rate: float = 3e-3) -> list[float]:
    """AdamW; a batch is what the model takes, and the targets. The losses."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    losses = []
    for *inputs, targets in batches:
        logits = model(*inputs)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


class Backwards(nn.Module):
    """Writes the name that it is shown from its end; `cross=False` does not show it."""

    def __init__(self, length: int, cross: bool, width: int = 32) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(NAMES), width)
        self.places = nn.Embedding(length, width)
        self.decoder = GPT(len(NAMES), length, width, heads=2, layers=1, groups=1, cross=cross)

    def forward(self, shown: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
        memory = self.letters(shown) + self.places.weight
        return self.decoder(written, memory=memory)


def reversed_names(words: list[str], length: int) -> tuple[torch.Tensor, ...]:
    """Names as shown, what has been written of them, and the next letter (-1: none is asked)."""
    shown, written, following = [], [], []
    for word in words:
        numbers = NAMES.encode(word)[: length - 1]
        rest = length - 1 - len(numbers)
        shown.append([0] * (rest + 1) + numbers)
        written.append([0, *numbers[::-1], *[0] * rest])
        following.append([*numbers[::-1], 0, *[-1] * rest])
    return torch.tensor(shown), torch.tensor(written), torch.tensor(following)


def right_letters(model: nn.Module, shown, written, following) -> float:
    """The share of letters that the model would have written."""
    with torch.no_grad():
        guesses = model(shown, written).argmax(dim=-1)
    asked = following >= 0
    return (guesses == following)[asked].float().mean().item()


VARIANTS = {
    "multi-head": {},
    "grouped-query": {"groups": 2},
    "multi-query": {"groups": 1},
    "sliding window": {"window": 8},
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Attention variants.")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    steps = parser.parse_args().steps
    for name, variant in VARIANTS.items():
        torch.manual_seed(1)
        alphabet, batches = english_batches(CONTEXT, steps)
        model = GPT(len(alphabet), **variant)
        losses = train(model, batches)
        print(f"{name:14}  loss {losses[0]:.3f} -> {sum(losses[-10:]) / 10:.3f}", end="  ")
        print(f"{model.cached_numbers()} numbers cached a token", flush=True)
    length = 10
    examples = reversed_names(names(), length)
    for cross in (True, False):
        torch.manual_seed(1)
        chosen = (torch.randint(0, 4600, (64,)) for _ in range(3 * steps))
        model = Backwards(length, cross)
        train(model, [[part[rows] for part in examples] for rows in chosen], rate=1e-2)
        share = right_letters(model, *(part[4600:] for part in examples))
        kind = "with cross-attention" if cross else "without"
        print(f"backwards, {kind}: {share:.1%} of the letters are right")


if __name__ == "__main__":
    main()
