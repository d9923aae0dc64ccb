"""A convolutional network that reads handwritten digits.

Shows `nn.Module`, convolution and pooling, `DataLoader`, an optimiser with a schedule of its
learning rate, and evaluation without gradients. Expect about 99 % of
the digits that it has not seen to be read rightly after ten epochs.

    python examples/convnet.py [--epochs 10] [--torch]
    DEBUG=1 python examples/convnet.py --epochs 1      # one line for each program that is compiled
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
DataLoader, TensorDataset = torch.utils.data.DataLoader, torch.utils.data.TensorDataset


class Net(nn.Module):
    """[B, 1, 8, 8] images -> [B, 10] logits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            # The normalisation takes any constant away again: no bias before it.
            nn.Conv2d(1, 16, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(32 * 2 * 2, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def train(model, batches, optimizer) -> list[float]:
    """One pass over the batches; the loss of each."""
    model.train()
    losses = []
    for images, labels in batches:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def accuracy(model, images, labels) -> float:
    """The share of images that are read rightly."""
    model.eval()
    return (model(images).argmax(dim=1) == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    options = parser.parse_args()

    torch.manual_seed(0)
    images, labels = map(torch.tensor, digits.load())
    images = images.unsqueeze(1)
    seen, unseen = TensorDataset(images[:1500], labels[:1500]), (images[1500:], labels[1500:])
    batches = DataLoader(seen, batch_size=50, shuffle=True)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.epochs)
    print(f"{sum(p.numel() for p in model.parameters())} parameters")
    started = time.perf_counter()
    for epoch in range(1, options.epochs + 1):
        losses = train(model, batches, optimizer)
        schedule.step()
        print(
            f"epoch {epoch:2}  loss {sum(losses) / len(losses):.3f}  "
            f"unseen digits read {accuracy(model, *unseen):.1%}  "
            f"{time.perf_counter() - started:5.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
