"""Operations on lists of tensors against torch."""

from __future__ import annotations

from typing import Any

import pytest

import picograd

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("add", ("others",), {"alpha": 0.5}),
    ("add", (2.0,), {}),
    ("mul", ([2.0, 3.0],), {}),
    ("div", ("others",), {}),
    ("sub", ("others",), {}),
    ("sqrt", (), {}),
    ("neg", (), {}),
    ("pow", (2,), {}),
    ("reciprocal", (), {}),
    ("maximum", (1.5,), {}),
    ("maximum", ("others",), {}),
    ("clamp_min", ("others",), {}),
    ("clamp_max", (1.5,), {}),
    ("lerp", ("others", 0.25), {}),
    ("addcmul", ("others", "others"), {"value": 0.5}),
    ("addcdiv", ("others", "others", [0.5, -2.0]), {}),
    ("addcdiv", ("others", "others", -0.1), {}),
    ("norm", (2,), {}),
    ("copy_", ("others",), {}),
    ("zero_", (), {}),
]


def run(lib: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[list[float]]:
    lists = {
        "self": [lib.tensor([1.0, 2.0]), lib.tensor([[3.0], [4.0]])],
        "others": [lib.tensor([5.0, 0.5]), lib.tensor([[2.0], [8.0]])],
    }
    given = [lists[a] if isinstance(a, str) else a for a in args]
    result = getattr(lib, f"_foreach_{name}")(lists["self"], *given, **kwargs)
    assert (result is lists["self"]) is name.endswith("_")
    return [x.flatten().tolist() for x in result]


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=str)
def test_each_is_torchs(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    for spelling in {name, name if name in ("norm",) else name.removesuffix("_") + "_"}:
        here, there = (run(lib, spelling, args, kwargs) for lib in (picograd, torch))
        for ours, theirs in zip(here, there, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-6)


def test_refusals() -> None:
    with pytest.raises(RuntimeError, match="same number of tensors, got 1 and 2"):
        picograd._foreach_add([picograd.ones(1)], [picograd.ones(1)] * 2)
    with pytest.raises(AttributeError, match="_foreach_frobnicate"):
        _ = picograd._foreach_frobnicate
