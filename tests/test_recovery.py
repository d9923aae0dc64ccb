"""After an index outside: what is spoilt, what is computed all the same, what is taken back."""

from __future__ import annotations

import numpy as np
import pytest

import picograd
from picograd.nn import functional


def computed(values: list[int]) -> picograd.Tensor:
    """An index tensor whose numbers nobody knows at the call."""
    return picograd.tensor(values) + 0


LOSSES = {
    "cross entropy": lambda w, i: functional.cross_entropy(picograd.ones(2, 3) @ w, i),
    "embedding": lambda w, i: functional.embedding(i, w).sum(),
    "index": lambda w, i: w[i].sum(),
    "gather": lambda w, i: w.gather(0, i.view(1, 2)).sum(),
    "index_add": lambda w, i: picograd.zeros(4, 4).index_add(0, i, w[:2]).sum(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_alone_are_checked(name: str) -> None:
    """Nobody asks for the loss, so the check of its own gather never runs."""
    weights = picograd.ones(3, 4, requires_grad=True)
    loss = LOSSES[name](weights, computed([0, 9]))
    loss.backward()
    del loss
    assert weights.grad is not None
    with pytest.raises(IndexError):
        weights.grad.tolist()


def test_a_step_with_a_bad_label_is_undone() -> None:
    """Weights and the optimiser's state are what they were; the next step works."""
    weights = picograd.randn(3, 4, requires_grad=True)
    optimiser = picograd.optim.Adam([weights], lr=0.1)

    def step(labels: list[int]) -> picograd.Tensor:
        loss = functional.cross_entropy(picograd.ones(2, 3) @ weights, computed(labels))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    step([0, 1]).item()
    before = weights.tolist()
    moments = optimiser.state[weights]["exp_avg"].tolist()
    loss = step([0, 9])
    with pytest.raises(IndexError, match="index 9 is out of bounds for dimension 1 with size 4"):
        loss.item()
    assert weights.tolist() == before
    assert optimiser.state[weights]["exp_avg"].tolist() == moments
    assert np.isfinite(step([0, 1]).item())
    assert weights.tolist() != before


def test_writes_before_the_bad_one_stay() -> None:
    x = picograd.zeros(5)
    x[1] = 3.0
    x[computed([7])] = 1.0
    with pytest.raises(IndexError):
        x.tolist()
    assert x.tolist() == [0.0, 3.0, 0.0, 0.0, 0.0]
    x[2] = 1.0
    assert x.tolist() == [0.0, 3.0, 1.0, 0.0, 0.0]


def test_message_names_the_line_and_the_number_that_was_written() -> None:
    bad = picograd.ones(3)[computed([0, -9])]
    with pytest.raises(IndexError) as caught:
        bad.tolist()
    message = str(caught.value)
    assert "index -9 is out of bounds for dimension 0 with size 3" in message
    assert "test_recovery.py:" in message


def test_pending_failures_do_not_stop_others() -> None:
    """So many tensors that everything pending is computed: the bad one waits for its reader."""
    bad = picograd.ones(3)[computed([5])]
    numbers = [picograd.ones(2) * n for n in range(3)]
    picograd.synchronize()
    assert [n.sum().item() for n in numbers] == [0.0, 2.0, 4.0]
    with pytest.raises(IndexError):
        bad.item()
