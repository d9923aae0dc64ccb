"""Train a feed-forward language model on first names, and sample new ones.

The model is that of Bengio et al. 2003 (https://www.jmlr.org/papers/v3/bengio03a.html): the
embeddings of the last T letters are concatenated, pass two tanh layers, and give the logits of
the next letter. Run it with `python examples/names.py`; `--steps`, `--batch` and `--seed` change
the run, `--module torch` runs the same program on PyTorch.

Dimension key
    B: batch size   T: context length   V: vocabulary   E: embedding width   D: hidden width
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from time import perf_counter
from typing import Any

from tqdm import tqdm

T, E, D = 3, 10, 200
NAMES = Path(__file__).parent / "data" / "names.txt"


class Linear:
    """`X @ W + b` with weights scaled so that tanh is neither linear nor saturated at the start."""

    def __init__(self, torch: Any, fan_in: int, fan_out: int, gain: float = 5 / 3) -> None:
        self.weight = torch.randn((fan_in, fan_out)) * (gain / fan_in**0.5)
        self.bias = torch.zeros(fan_out)

    def __call__(self, x: Any) -> Any:
        return x @ self.weight + self.bias

    def parameters(self) -> list[Any]:
        return [self.weight, self.bias]


class Model:
    """Embedding, two hidden layers, logits: [B, T] letters -> [B, V]."""

    def __init__(self, torch: Any, vocabulary: int) -> None:
        self.torch = torch
        self.embedding = torch.randn((vocabulary, E))
        self.layers = [
            Linear(torch, T * E, D),
            Linear(torch, D, D),
            Linear(torch, D, vocabulary, gain=0.1),
        ]
        for parameter in self.parameters():
            parameter.requires_grad = True

    def __call__(self, letters: Any) -> Any:
        x = self.embedding[letters].view(-1, T * E)
        for layer in self.layers[:-1]:
            x = self.torch.tanh(layer(x))
        return self.layers[-1](x)

    def parameters(self) -> list[Any]:
        return [self.embedding, *(p for layer in self.layers for p in layer.parameters())]


def make_data(torch: Any, names: list[str]) -> tuple[Any, Any, str]:
    """All contexts [N, T], the letter that follows each [N], and the alphabet ('.' ends a name)."""
    alphabet = "." + "".join(sorted(set("".join(names))))
    code = {letter: number for number, letter in enumerate(alphabet)}
    contexts, targets = [], []
    for name in names:
        context = [0] * T
        for letter in name + ".":
            contexts.append(context)
            targets.append(code[letter])
            context = [*context[1:], code[letter]]
    return torch.tensor(contexts), torch.tensor(targets), alphabet


def train(torch: Any, model: Model, data: tuple[Any, Any], steps: int, batch: int) -> list[float]:
    """Adam on random batches, the learning rate falling to a tenth; returns the losses."""
    contexts, targets = data
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    losses: list[float] = []
    progress = tqdm(range(steps), unit="step", mininterval=0.5)
    for step in progress:
        for group in optimizer.param_groups:
            group["lr"] = 0.005 * (1 - 0.9 * step / steps)
        chosen = torch.randint(0, contexts.shape[0], (batch,))
        logits = model(contexts[chosen])
        loss = torch.nn.functional.cross_entropy(logits, targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 50 == 0:
            progress.set_postfix(loss=f"{losses[-1]:.3f}")
    return losses


def sample(torch: Any, model: Model, alphabet: str) -> str:
    """One name, letter by letter from the model's distribution."""
    letters, context = "", [0] * T
    while True:
        with torch.no_grad():
            logits = model(torch.tensor([context]))
            chances = torch.nn.functional.softmax(logits, dim=1)
        letter = int(torch.multinomial(chances, num_samples=1, replacement=True).item())
        if letter == 0:
            return letters
        letters, context = letters + alphabet[letter], [*context[1:], letter]


def plot(losses: list[float], path: Path) -> None:
    """Save the loss curve, averaged over windows, when matplotlib is installed."""
    try:
        from matplotlib import pyplot
    except ImportError:
        print("matplotlib is not installed: no plot of the loss")
        return
    window = max(len(losses) // 100, 1)
    means = [
        sum(losses[i : i + window]) / len(losses[i : i + window])
        for i in range(0, len(losses), window)
    ]
    pyplot.plot([i * window for i in range(len(means))], means)
    pyplot.xlabel("step")
    pyplot.ylabel("cross-entropy")
    pyplot.savefig(path)
    print(f"loss curve: {path}")


def main() -> None:
    """Train, report the loss, print 20 samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--module", default="picograd", help="picograd or torch")
    parser.add_argument("--plot", type=Path, default=Path("names_loss.png"))
    options = parser.parse_args()

    torch = importlib.import_module(options.module)
    torch.manual_seed(options.seed)
    names = NAMES.read_text().split()
    contexts, targets, alphabet = make_data(torch, names)
    model = Model(torch, len(alphabet))
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(names)} names, {len(contexts)} examples, {size} parameters")
    start = perf_counter()
    losses = train(torch, model, (contexts, targets), options.steps, options.batch)
    last = losses[-100:]
    print(
        f"loss {losses[0]:.3f} -> {sum(last) / len(last):.3f} in {perf_counter() - start:.1f} s "
        "(mean of the last 100 steps)"
    )
    print("samples:", ", ".join(sample(torch, model, alphabet) for _ in range(20)))
    plot(losses, options.plot)


if __name__ == "__main__":
    main()
