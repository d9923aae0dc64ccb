"""Is a review friendly? Words become vectors, a sentence the mean of its words, and that a number.

Three steps turn a sentence into numbers (B sentences, L words, V words known, E and H wide):

    words [B, L] -> embeddings [B, L, E] -> pooled [B, E] -> hidden [B, H] -> logit [B]

The embedding is a lookup in a table; its other form, a product with one-hot rows, gives the same.
Pooling makes sentences of any length comparable, but forgets the order of words: "good, not bad"
and "bad, not good" are one bag. The third model therefore looks at pairs of neighbours (a
convolution of width 2) before it pools, and so learns what "not" does. The reviews are made by a
small grammar; a third of them are of that kind.

    python examples/sentiment.py [--steps 300] [--torch]

It prints, for each way of pooling, the accuracy on reviews that were not trained on, with and
without a "not" (mean and max can only guess at the latter), and the words whose vectors are nearest
to "good" and to "bad". About 10 seconds.
"""

from __future__ import annotations

import argparse
import random
import sys

if "--torch" in sys.argv:
    import torch
else:
    import picograd as torch

F, nn = torch.nn.functional, torch.nn

GOOD = ["good", "great", "lovely", "clever", "moving", "funny", "superb", "honest", "bright"]
BAD = ["bad", "awful", "boring", "dull", "clumsy", "empty", "weak", "tedious", "ugly", "hollow"]
THINGS = ["film", "plot", "cast", "script", "music", "ending", "story", "dialogue", "scene"]
OPENINGS = ["the {} was", "i found the {}", "its {} is", "we thought the {} seemed", "a {} so"]
FILLERS = ["really", "quite", "simply", "rather", "indeed", "somehow", "truly", "almost"]
ENDINGS = ["", "in the end", "as everyone said", "for two long hours", "and that is that"]
PADDING = 0


def review(rng: random.Random) -> tuple[list[str], int, bool]:
    """Words, whether it is friendly, and whether it says so with a "not"."""
    friendly, negated = rng.random() < 0.5, rng.random() < 1 / 3
    words = rng.choice(OPENINGS).format(rng.choice(THINGS)).split()
    words += rng.sample(FILLERS, rng.randrange(3))
    said, denied = (GOOD, BAD) if friendly else (BAD, GOOD)
    verdict = [rng.choice(said)]
    if negated:
        no = ["not", rng.choice(denied)]
        verdict = verdict + no if rng.random() < 0.5 else [*no, "but", *verdict]
    words += verdict
    return words + rng.choice(ENDINGS).split(), int(friendly), negated


class Reviews:
    """Reviews as rows of word numbers, padded to one length."""

    def __init__(self, count: int, seed: int) -> None:
        rng = random.Random(seed)
        texts, labels, negated = zip(*(review(rng) for _ in range(count)), strict=True)
        length = max(len(words) for words in texts)
        rows = [[NUMBER[w] for w in words] + [PADDING] * (length - len(words)) for words in texts]
        self.words = torch.tensor(rows)
        self.labels = torch.tensor(labels, dtype=torch.float32)
        self.negated = torch.tensor(negated)


def vocabulary() -> list[str]:
    """Every word of the grammar, after the padding."""
    known = {*GOOD, *BAD, *THINGS, *FILLERS, "not", "but"}
    for phrase in OPENINGS + ENDINGS:
        known |= {word for word in phrase.split() if word != "{}"}
    return ["", *sorted(known)]


WORDS = vocabulary()
NUMBER = {word: number for number, word in enumerate(WORDS)}


class Classifier(nn.Module):
    """A logit for each row of word numbers; `pooling` is mean, max, or pairs."""

    def __init__(self, pooling: str, width: int = 16, hidden: int = 32) -> None:
        super().__init__()
        self.pooling = pooling
        self.embedding = nn.Embedding(len(WORDS), width, padding_idx=PADDING)
        self.pairs = nn.Conv1d(width, width, kernel_size=2) if pooling == "pairs" else None
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, 1)

    def pool(self, words: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """[B, L, E] -> [B, E]; the padding does not count."""
        there = (words != PADDING).unsqueeze(-1)
        if self.pooling == "mean":
            return (vectors * there).sum(1) / there.sum(1)
        if self.pairs is not None:
            vectors = self.pairs(vectors.transpose(1, 2)).transpose(1, 2).relu()
            there = there[:, 1:]
        return vectors.masked_fill(~there, -torch.inf).max(dim=1).values

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        pooled = self.pool(words, self.embedding(words))
        return self.out(self.hidden(pooled).relu()).squeeze(-1)


def one_hot_lookup(table: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """What an embedding computes, as a sum over the vocabulary: its gradient is plain to see."""
    return F.one_hot(words, table.shape[0]).float() @ table


def train(model: Classifier, reviews: Reviews, steps: int, batch: int = 64) -> list[float]:
    """Adam on batches that walk through the reviews; the losses."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for step in range(steps):
        start = step * batch % (len(reviews.words) - batch + 1)
        rows = slice(start, start + batch)
        logits = model(reviews.words[rows])
        loss = F.binary_cross_entropy_with_logits(logits, reviews.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def accuracy(model: Classifier, reviews: Reviews) -> tuple[float, float]:
    """The share of right answers among the plain reviews and among the negated ones."""
    with torch.no_grad():
        right = (model(reviews.words) > 0) == (reviews.labels > 0.5)
    plain, negated = right[~reviews.negated], right[reviews.negated]
    return plain.float().mean().item(), negated.float().mean().item()


def nearest(model: Classifier, word: str, count: int = 5) -> list[str]:
    """The words whose vectors point most nearly where this one's does."""
    table = model.embedding.weight.detach()
    likeness = F.cosine_similarity(table, table[NUMBER[word]].unsqueeze(0), dim=1)
    likeness[NUMBER[word]] = -1
    likeness[PADDING] = -1
    return [WORDS[place] for place in likeness.topk(count).indices.tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify reviews by pooled word vectors.")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    steps = parser.parse_args().steps
    training, held_out = Reviews(2000, seed=1), Reviews(500, seed=2)
    print(f"{len(WORDS)} words; 2000 reviews to train on, 500 to test")
    for pooling in ("mean", "max", "pairs"):
        torch.manual_seed(0)
        model = Classifier(pooling)
        losses = train(model, training, steps)
        plain, negated = accuracy(model, held_out)
        print(f"{pooling:5}  loss {losses[0]:.3f} -> {losses[-1]:.3f}", end="  ")
        print(f"right: {plain:.1%} of the plain, {negated:.1%} of the negated")
        if pooling == "mean":
            print(
                "       near good:", *nearest(model, "good"), "| near bad:", *nearest(model, "bad")
            )


if __name__ == "__main__":
    main()
