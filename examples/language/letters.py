"""The text of the other programs in this folder, as numbers: first names, and English prose.

No tensors here: a program turns these lists into tensors of its own.
"""

from __future__ import annotations

import random
from pathlib import Path
from pydoc_data.topics import topics


class Alphabet:
    """The letters of a text in a fixed order; number 0 begins and ends a name."""

    def __init__(self, text: str, first: str = "") -> None:
        self.letters = first + "".join(sorted(set(text) - set(first)))
        self.number = {letter: number for number, letter in enumerate(self.letters)}

    def __len__(self) -> int:
        return len(self.letters)

    def encode(self, text: str) -> list[int]:
        return [self.number[letter] for letter in text]

    def decode(self, numbers: list[int]) -> str:
        return "".join(self.letters[number] for number in numbers)


def names() -> list[str]:
    """5,163 first names, shuffled so that any part of them is typical."""
    listed = (Path(__file__).parents[1] / "data" / "names.txt").read_text().split()
    random.Random(0).shuffle(listed)
    return listed


NAMES = Alphabet("abcdefghijklmnopqrstuvwxyz", first=".")


def english(size: int | None = None) -> str:
    """The start of the language reference that `help()` shows: about 400,000 characters."""
    return "\n".join(topics[name] for name in sorted(topics))[:size]


def windows(words: list[str], context: int) -> tuple[list[list[int]], list[int]]:
    """For each letter of each name: the letters before it, and the letter. (0 fills the start.)"""
    before, after = [], []
    for word in words:
        window = [0] * context
        for number in [*NAMES.encode(word), 0]:
            before.append(window)
            after.append(number)
            window = [*window[1:], number]
    return before, after


def rows(words: list[str], length: int) -> tuple[list[list[int]], list[list[int]]]:
    """For each name: its letters after a 0, and what follows each; -1 where nothing is asked."""
    inputs, targets = [], []
    for word in words:
        numbers = NAMES.encode(word)[: length - 1]
        rest = length - 1 - len(numbers)
        inputs.append([0, *numbers, *[0] * rest])
        targets.append([*numbers, 0, *[-1] * rest])
    return inputs, targets
