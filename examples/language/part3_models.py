"""Part 3, from FFN to GPT: four ways for a letter to know about the letters before it.

Each model maps letters [B, L] to logits [B, L, V]: at every place, what comes next.

    FFN     the last 3 letters, side by side               sees 3 letters
    RNN     a state that a matrix turns at every letter     sees all, remembers the last few
    LSTM    a state with gates: what to keep, add and show  sees all, and gradients live longer
    GPT     attention: each place looks at all before it    sees all, at once instead of in turn

    python examples/language/part3_models.py [--steps 150] [--torch]

It trains each on first names and prints its size, losses (all begin near log 27 = 3.3; on names not
seen they end between 2.2 and 2.4), time and a few samples. Below a minute; most of it is the first
step of the two that go letter by letter: their loops are unrolled into one program.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

from letters import NAMES, names, rows

if "--torch" in sys.argv:
    import torch
else:
    import picograd as torch

F, nn = torch.nn.functional, torch.nn
V, LENGTH = len(NAMES), 12


class FFN(nn.Module):
    def __init__(self, width: int = 24, hidden: int = 128, seen: int = 3) -> None:
        super().__init__()
        self.seen = seen
        self.embedding = nn.Embedding(V, width)
        self.hidden = nn.Linear(seen * width, hidden)
        self.out = nn.Linear(hidden, V)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        length = letters.shape[1]
        padded = F.pad(letters, (self.seen - 1, 0))  # what stands before a name is 0s
        shifted = [padded[:, k : k + length] for k in range(self.seen)]
        side_by_side = self.embedding(torch.stack(shifted, dim=2)).flatten(2)
        return self.out(torch.tanh(self.hidden(side_by_side)))


class RNN(nn.Module):
    """h' = tanh(W [x, h] + b)"""

    def __init__(self, width: int = 24, hidden: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, width)
        self.cell = nn.Linear(width + hidden, hidden)
        self.start = nn.Parameter(torch.zeros(hidden))
        self.out = nn.Linear(hidden, V)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        state = self.start.expand(letters.shape[0], -1)
        states = []
        for x in self.embedding(letters).unbind(dim=1):
            state = torch.tanh(self.cell(torch.cat([x, state], dim=1)))
            states.append(state)
        return self.out(torch.stack(states, dim=1))


class LSTM(nn.Module):
    """c' = forget * c + add * new;  h' = show * tanh(c'): `torch.nn.LSTM`, by hand."""

    def __init__(self, width: int = 24, hidden: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, width)
        self.from_input = nn.Linear(width, 4 * hidden)
        self.from_state = nn.Linear(hidden, 4 * hidden)
        self.out = nn.Linear(hidden, V)

    def states(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.from_state.in_features
        h = c = torch.zeros(inputs.shape[0], hidden)
        shown = []
        for x in self.from_input(inputs).unbind(dim=1):
            add, forget, new, show = (x + self.from_state(h)).chunk(4, dim=1)
            c = torch.sigmoid(forget) * c + torch.sigmoid(add) * torch.tanh(new)
            h = torch.sigmoid(show) * torch.tanh(c)
            shown.append(h)
        return torch.stack(shown, dim=1)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        return self.out(self.states(self.embedding(letters)))


class Block(nn.Module):
    """Look around (causal self-attention), then think (a feed-forward net); each adds to x."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        b, length, width = x.shape
        q, k, v = self.qkv(x).view(b, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
        later = torch.ones(length, length, dtype=torch.bool).triu(diagonal=1)
        weights = scores.masked_fill(later, -torch.inf).softmax(dim=-1)
        return self.merge((weights @ v).transpose(1, 2).reshape(b, length, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, width: int = 48, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, width)
        self.places = nn.Embedding(LENGTH, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, V)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        x = self.embedding(letters) + self.places(torch.arange(letters.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


MODELS = {"FFN": FFN, "RNN": RNN, "LSTM": LSTM, "GPT": GPT}


def loss_of(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean surprise over the letters asked for: targets of -1 do not count."""
    return F.cross_entropy(model(inputs).view(-1, V), targets.reshape(-1), ignore_index=-1)


def train(model: nn.Module, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for inputs, targets in batches:
        loss = loss_of(model, inputs, targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def sample(model: nn.Module, count: int) -> list[str]:
    """`count` names at once. The rows keep one length, so that every letter is the same program."""
    letters = torch.zeros(count, LENGTH, dtype=torch.int64)
    for place in range(LENGTH - 1):
        chances = model(letters)[:, place].softmax(dim=-1)
        letters[:, place + 1] = torch.multinomial(chances, 1).squeeze(1)
    drawn = [NAMES.decode(row) for row in letters[:, 1:].tolist()]
    return [name.split(".")[0] for name in drawn]


def main() -> None:
    parser = argparse.ArgumentParser(description="Four language models on the same names.")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    steps = parser.parse_args().steps
    inputs, targets = (torch.tensor(part) for part in rows(names(), LENGTH))
    split = 4600
    for name, build in MODELS.items():
        torch.manual_seed(1)
        model, started = build(), time.perf_counter()
        chosen = [torch.randint(0, split, (64,)) for _ in range(steps)]
        losses = train(model, [(inputs[rows], targets[rows]) for rows in chosen])
        seconds = time.perf_counter() - started
        with torch.no_grad():
            held_out = loss_of(model, inputs[split:], targets[split:]).item()
        size = sum(parameter.numel() for parameter in model.parameters())
        print(f"{name:5} {size:6} parameters  loss {losses[0]:.3f} -> {losses[-1]:.3f}", end="  ")
        print(f"not seen {held_out:.3f}  {seconds:5.1f} s  ", ", ".join(sample(model, 6)))


if __name__ == "__main__":
    main()
