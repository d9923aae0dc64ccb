"""Runs the lines of one program with torch and with picograd and compares what a user can see.

In: lines as `generate_programs.py` writes them. Out: `difference(lines)`, None or a sentence, and
`shrink(lines)`, a shorter program with a difference of the same kind. After each line: whether it
raised, the exception's type, and of every tensor shape, dtype, strides, requires_grad and is_leaf
(nothing is computed for that). At the end: values and gradients.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch

import picograd

# What torch must refuse: here saved values are never spoiled, and a write never reads itself.
HARMLESS = (
    "modified by an inplace",
    "some elements of the input tensor and the written-to",
    "more than one element of the written-to tensor",
    "derivative for aten::",
    "output of a function that returns multiple views",
)


class Difference(NamedTuple):
    """What differs: a kind (which shrinking preserves) and words."""

    kind: str
    words: str


def _execute(line: str, names: dict[str, Any]) -> Exception | None:
    before = dict(names)
    try:
        exec(line, names)
    except Exception as error:
        names.clear()
        names.update(before)
        return error
    return None


def _errors(line: str, theirs: Exception | None, ours: Exception | None) -> Difference | None:
    if theirs is None and ours is None:
        return None
    if theirs is None and "more than one element of the written-to" in str(ours):
        return Difference("allowed", "")  # a write through the diagonal of an expanded tensor
    if theirs is None:
        return Difference(f"raises {type(ours).__name__}", f"{line}\n  picograd raises {ours!r}")
    if ours is None:
        if any(words in str(theirs) for words in HARMLESS):
            return Difference("allowed", "")
        return Difference("accepts", f"{line}\n  torch raises {theirs!r}")
    if not isinstance(ours, type(theirs)):
        return Difference("type of error", f"{line}\n  torch raises {theirs!r}, picograd {ours!r}")
    return None


def _facts(x: Any) -> tuple[object, ...]:
    strides = x.stride() if 0 not in x.shape else ()
    strides = tuple(s for s, n in zip(strides, x.shape, strict=False) if n != 1)
    return (
        tuple(x.shape),
        str(x.dtype),
        strides,
        x.is_contiguous(),
        x.requires_grad,
        x.is_leaf,
        x.storage_offset() if x.numel() else 0,
    )


FACTS = ("shape", "dtype", "stride", "is_contiguous", "requires_grad", "is_leaf", "storage_offset")


def _values(x: Any) -> np.ndarray:
    x = x.detach()
    if str(x.dtype) in ("torch.bfloat16", "torch.float16"):
        x = x.float()
    return np.array(x.tolist()).reshape(tuple(x.shape))


def _unequal(ours: Any, theirs: Any, scale: float, tolerance: float) -> str | None:
    mine, other = _values(ours), _values(theirs)
    if other.dtype.kind not in "fc":
        return (
            None if np.array_equal(mine, other) else f"{other.tolist()}, picograd {mine.tolist()}"
        )
    with np.errstate(all="ignore"):
        fits = np.allclose(mine, other, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    return None if fits else f"{other.tolist()}, picograd {mine.tolist()}"


def _tensors(names: dict[str, Any], kind: type) -> list[str]:
    return [name for name, value in names.items() if isinstance(value, kind)]


def _compare_values(theirs: dict[str, Any], ours: dict[str, Any]) -> Difference | None:
    pairs: list[tuple[str, Any, Any]] = []
    for name in _tensors(theirs, torch.Tensor):
        a, b = theirs[name], ours[name]
        pairs.append((name, b, a))
        if a.is_leaf or a.retains_grad:
            if (a.grad is None) != (b.grad is None) and (a.grad is None or bool(a.grad.any())):
                return Difference("gradient", f"{name}.grad: {a.grad}, picograd {b.grad}")
            if a.grad is not None and b.grad is not None:
                if a.grad.dtype != a.dtype or str(b.grad.dtype) != str(a.grad.dtype):
                    return Difference("gradient dtype", f"{name}.grad: {b.grad.dtype}")
                if tuple(a.grad.shape) != tuple(b.grad.shape):
                    return Difference("gradient shape", f"{name}.grad: {tuple(b.grad.shape)}")
                pairs.append((f"{name}.grad", b.grad, a.grad))
    scale, tolerance = 1.0, 2e-5
    for _, _, a in pairs:
        tolerance = max(tolerance, {"float16": 1e-2, "bfloat16": 6e-2}.get(str(a.dtype)[6:], 0))
        if a.numel() and (a.dtype.is_floating_point or a.is_complex()):
            scale = max(scale, float(a.detach().abs().nan_to_num(0, 0, 0).max()))
    for name, b, a in pairs:
        found = _unequal(b, a, scale, tolerance)
        if found is not None:
            return Difference("gradient" if "grad" in name else "value", f"{name}: torch {found}")
    return None


def _compare_facts(line: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Difference | None:
    for name in _tensors(theirs, torch.Tensor):
        a, b = theirs[name], ours.get(name)
        if b is None and not bool(a.detach().any()):
            theirs[name] = None  # a gradient of zeros that nobody needed
            continue
        if not isinstance(b, picograd.Tensor):
            return Difference("kind", f"{line}\n  {name} is {b!r}")
        try:
            expected = _facts(a)
        except RuntimeError:  # one of several outputs of one view was written: torch gives up
            return Difference("allowed", "")
        for what, one, other in zip(FACTS, expected, _facts(b), strict=True):
            if one != other:
                return Difference(what, f"{line}\n  {name}: {what} {one}, picograd {other}")
    return None


def difference(lines: list[str]) -> Difference | None:
    """The first thing that differs between torch and picograd."""
    theirs: dict[str, Any] = {"m": torch}
    ours: dict[str, Any] = {"m": picograd}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for line in lines:
            expected, found = _execute(line, theirs), _execute(line, ours)
            wrong = _errors(line, expected, found)
            if wrong is not None:
                return None if wrong.kind == "allowed" else wrong
            wrong = _compare_facts(line, theirs, ours)
            if wrong is not None:
                return None if wrong.kind == "allowed" else wrong
        for name, a in theirs.items():
            if isinstance(a, (bool, int, float)) and name != "m":
                b = ours[name]
                if type(a) is not type(b) or not np.allclose(a, b, 2e-2, 2e-2, equal_nan=True):
                    return Difference("number", f"{name}: {a!r}, picograd {b!r}")
        try:
            return _compare_values(theirs, ours)
        except Exception as error:
            return Difference("computing", f"picograd raises {error!r}")


def shrink(lines: list[str]) -> list[str]:
    """A program with a difference of the same kind from which no line can be dropped."""
    first = difference(lines)
    if first is None:
        return lines
    changed = True
    while changed:
        changed = False
        for position in reversed(range(len(lines))):
            shorter = lines[:position] + lines[position + 1 :]
            found = difference(shorter)
            if found is not None and found.kind == first.kind:
                lines, changed = shorter, True
    return lines
