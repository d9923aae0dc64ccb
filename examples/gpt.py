"""A character-level GPT trained on English text that ships with Python, in under a minute.

The text is the language reference that `help()` shows (`pydoc_data.topics`). The model is the
usual one (Radford et al. 2019): token and position embeddings, blocks of causal self-attention and
a feed-forward network with pre-norm residuals, and a linear head. Nothing in this file knows
picograd but the import; it runs with PyTorch as well.

    python examples/gpt.py [--steps 300] [--torch]
"""

from __future__ import annotations

import argparse
import importlib
import time
from pydoc_data.topics import topics
from types import SimpleNamespace
from typing import Any

CONTEXT, WIDTH, HEADS, LAYERS, BATCH = 64, 96, 4, 3, 24


def text() -> str:
    """About 400,000 characters of English."""
    return "\n".join(topics[name] for name in sorted(topics))


def build(torch: Any, vocabulary: int) -> Any:
    """The model, with `torch` or picograd."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.heads = nn.Linear(WIDTH, 3 * WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)
            self.feed = nn.Sequential(
                nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
            )

        def attend(self, x: Any) -> Any:
            n, t, c = x.shape
            q, k, v = (
                part.view(n, t, HEADS, c // HEADS).transpose(1, 2)
                for part in self.heads(x).split(WIDTH, dim=2)
            )
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out(y.transpose(1, 2).reshape(n, t, c))

        def forward(self, x: Any) -> Any:
            x = x + self.attend(self.norm1(x))
            return x + self.feed(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, WIDTH)
            self.places = nn.Embedding(CONTEXT, WIDTH)
            self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, vocabulary, bias=False)

        def forward(self, x: Any, targets: Any = None) -> Any:
            hidden = self.tokens(x) + self.places(torch.arange(x.shape[1]))
            logits = self.head(self.norm(self.blocks(hidden)))
            if targets is None:
                return logits
            return F.cross_entropy(logits.view(-1, vocabulary), targets.view(-1))

    return GPT()


def train(torch: Any, steps: int, report: int = 25) -> SimpleNamespace:
    """Train a model; its losses, and what is needed to sample from it."""
    torch.manual_seed(1)
    corpus = text()
    letters = sorted(set(corpus))
    number = {letter: n for n, letter in enumerate(letters)}
    data = torch.tensor([number[letter] for letter in corpus])
    model = build(torch, len(letters))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    losses, started = [], time.perf_counter()
    window = torch.arange(CONTEXT)
    for step in range(steps):
        starts = torch.randint(0, len(corpus) - CONTEXT - 1, (BATCH, 1))
        loss = model(data[starts + window], data[starts + window + 1])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if report and step % report == 0:
            seconds = time.perf_counter() - started
            print(f"step {step:4}  loss {losses[-1]:.3f}  {seconds:5.1f} s", flush=True)
    return SimpleNamespace(model=model, letters=letters, number=number, losses=losses)


def sample(torch: Any, trained: SimpleNamespace, prompt: str, count: int) -> str:
    """Letters that the model puts after a prompt."""
    tokens = [trained.number[letter] for letter in prompt]
    with torch.no_grad():
        for _ in range(count):
            # Padded to one length, so that every step is the same program.
            seen = tokens[-CONTEXT:]
            row = seen + [0] * (CONTEXT - len(seen))
            logits = trained.model(torch.tensor([row]))[0, len(seen) - 1]
            chances = torch.softmax(logits / 0.8, dim=-1)
            tokens.append(int(torch.multinomial(chances, 1)))
    return "".join(trained.letters[token] for token in tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a character-level GPT.")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    options = parser.parse_args()
    torch = importlib.import_module("torch" if options.torch else "picograd")
    trained = train(torch, options.steps)
    print(f"loss {sum(trained.losses[-20:]) / len(trained.losses[-20:]):.3f}\n")
    print(sample(torch, trained, "The ", 200))


if __name__ == "__main__":
    main()
