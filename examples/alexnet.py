"""AlexNet's architecture at an eighth of its width, on digits enlarged to 67x67.

The layers are those of Krizhevsky, Sutskever and Hinton 2012: five convolutions, the first 11x11
with stride 4, groups of two where the paper had two GPUs, overlapping pooling, normalisation across
channels, dropout, three linear layers; trained by SGD with momentum and weight decay, as there.
With 67 instead of 227 pixels every layer still has something to do: 67 -> 15 -> 7 -> 3 -> 1.
Dropout is 0.1 (theirs: 0.5): an eighth of the width has less to spare. Expect 96 % or more of the
digits that it has not seen to be read rightly after five epochs.

    python examples/alexnet.py [--epochs 5] [--torch]
"""

from __future__ import annotations

import argparse
import sys
import time

import digits

if "--torch" in sys.argv:  # the same program on PyTorch
    import torch
else:
    import picograd as torch

nn, F = torch.nn, torch.nn.functional


class AlexNet(nn.Module):
    """[B, 1, 67, 67] images -> [B, classes] logits; `width` 96 is the paper's."""

    def __init__(self, classes: int = 10, width: int = 12, dropout: float = 0.1) -> None:
        super().__init__()
        c1, c2, c3, c5, hidden = width, width * 8 // 3, width * 4, width * 8 // 3, width * 42
        self.features = nn.Sequential(
            nn.Conv2d(1, c1, kernel_size=11, stride=4),
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(c1, c2, kernel_size=5, padding=2, groups=2),
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(c2, c3, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(c3, c3, kernel_size=3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(c3, c5, kernel_size=3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(c5, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x))


def enlarged(images):
    """[N, 8, 8] digits -> [N, 1, 67, 67], centred around zero."""
    large = F.interpolate(images.unsqueeze(1), size=(67, 67), mode="bilinear")
    return (large - large.mean()) / large.std()


def train(model, optimizer, images, labels, batch: int = 50) -> list[float]:
    """One pass in random order; the loss of each batch."""
    model.train()
    losses = []
    for chosen in torch.randperm(len(images)).split(batch):
        loss = F.cross_entropy(model(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def accuracy(model, images, labels) -> float:
    model.eval()
    return (model(images).argmax(dim=1) == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    options = parser.parse_args()

    torch.manual_seed(0)
    images, labels = map(torch.tensor, digits.load())
    images = enlarged(images)
    model = AlexNet()
    for module in model.modules():  # ReLU halves the variance: start as He et al. 2015
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    print(f"{sum(p.numel() for p in model.parameters())} parameters")
    started = time.perf_counter()
    for epoch in range(1, options.epochs + 1):
        losses = train(model, optimizer, images[:1500], labels[:1500])
        print(
            f"epoch {epoch:2}  loss {sum(losses) / len(losses):.3f}  "
            f"unseen digits read {accuracy(model, images[1500:], labels[1500:]):.1%}  "
            f"{time.perf_counter() - started:5.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
