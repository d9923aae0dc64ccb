"""Handwritten digits for the examples: 8x8 images with their labels.

They are scikit-learn's 1,797 scanned digits where it is installed, or else drawn ones: the same
shapes and range, so every example that uses them runs without the network.

    python examples/digits.py        prints some of them
"""

from __future__ import annotations

import numpy as np

# Ten glyphs, each seven rows of five pixels.
FONT = (
    "01110100011001110101110011000101110",
    "00100011000010000100001000010001110",
    "01110100010000100010001000100011111",
    "11111000100010000010000011000101110",
    "00010001100101010010111110001000010",
    "11111100001111000001000011000101110",
    "00110010001000011110100011000101110",
    "11111000010001000100010000100001000",
    "01110100011000101110100011000101110",
    "01110100011000101111000010001001100",
)


def load(count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 8, 8] from 0 to 1 as float32, and labels [N] as int64, in a fixed random order."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        images, labels = drawn(1797)
    else:
        images, labels = load_digits(return_X_y=True)
        images = images.reshape(-1, 8, 8) / 16
    order = np.random.default_rng(0).permutation(len(images))[:count]
    return images[order].astype(np.float32), labels[order].astype(np.int64)


def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Glyphs, each with its own place, strokes of uneven strength, blur and noise."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, count)
    glyphs = np.array([[int(bit) for bit in glyph] for glyph in FONT], float).reshape(10, 7, 5)
    images = np.zeros((count, 8, 8))
    for image, label in zip(images, labels):
        row, column = rng.integers(0, 2), rng.integers(0, 4)
        strength = rng.uniform(0.4, 1.0, (7, 5))
        image[row : row + 7, column : column + 5] = glyphs[label] * strength
    share = rng.uniform(0.0, 0.3, (count, 1, 1))
    images = (1 - share) * images + share * np.roll(images, 1, axis=2)
    return np.clip(images + 0.05 * rng.standard_normal(images.shape), 0, 1), labels


def main() -> None:
    images, labels = load()
    print(f"{len(images)} images; the first six: {labels[:6].tolist()}")
    for row in range(8):
        print("   ".join("".join(" .:*#@"[int(5 * p)] for p in image[row]) for image in images[:6]))


if __name__ == "__main__":
    main()
