"""Recurrent layers, cells and packed sequences: names, numbers, gradients are torch's."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

LAYERS = [
    "LSTM(3, 4)",
    "LSTM(3, 4, 2, bidirectional=True, batch_first=True)",
    "GRU(3, 4, num_layers=2)",
    "RNN(3, 4)",
    "RNN(3, 4, nonlinearity='relu', bias=False)",
]
CELLS = ["LSTMCell(3, 4)", "GRUCell(3, 4)", "RNNCell(3, 4, nonlinearity='relu')"]


def twin(expression: str):
    theirs, ours = (eval(f"m.nn.{expression}", {"m": m}) for m in (torch, picograd))
    assert repr(ours) == repr(theirs)
    state = {name: picograd.tensor(value.numpy()) for name, value in theirs.state_dict().items()}
    ours.load_state_dict(state)
    return theirs, ours


def states(value):
    return list(value) if isinstance(value, tuple) else [value]


def same(ours, theirs) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-3, 1e-5)


@pytest.mark.parametrize("expression", LAYERS)
def test_layer(expression: str) -> None:
    theirs, ours = twin(expression)
    array = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    x, y = torch.tensor(array, requires_grad=True), picograd.tensor(array, requires_grad=True)
    (want, last), (have, final) = theirs(x), ours(y)
    same(have, want)
    for a, b in zip(states(final), states(last), strict=True):
        same(a, b)
    want.square().sum().backward()
    have.square().sum().backward()
    same(y.grad, x.grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        same(p.grad, q.grad)
    alone, _ = ours(y[:, 0])
    same(alone, theirs(x[:, 0])[0])
    again, _ = ours(y, final)
    same(again, theirs(x, last)[0])


@pytest.mark.parametrize("expression", [e for e in LAYERS if "batch_first" not in e])
def test_packed_sequences(expression: str) -> None:
    theirs, ours = twin(expression)
    array = np.random.default_rng(0).standard_normal((5, 3, 3)).astype(np.float32)
    results = []
    for module, layer in ((torch, theirs), (picograd, ours)):
        utils = module.nn.utils.rnn
        packed = utils.pack_padded_sequence(
            module.tensor(array), module.tensor([2, 5, 4]), enforce_sorted=False
        )
        output, last = layer(packed)
        padded, lengths = utils.pad_packed_sequence(output)
        results.append((padded, lengths, packed.data, packed.batch_sizes, *states(last)))
    for a, b in zip(results[1], results[0], strict=True):
        same(a, b)


@pytest.mark.parametrize("expression", CELLS)
def test_cell(expression: str) -> None:
    theirs, ours = twin(expression)
    array = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    want, have = theirs(torch.tensor(array)), ours(picograd.tensor(array))
    for a, b in zip(states(have), states(want), strict=True):
        same(a, b)
    again = ours(picograd.tensor(array), have)
    same(states(again)[0], states(theirs(torch.tensor(array), want))[0])


def test_sequences_pad_and_unpad() -> None:
    def run(m):
        utils = m.nn.utils.rnn
        rows = [m.tensor([1.0, 2.0]), m.tensor([3.0]), m.tensor([4.0, 5.0, 6.0])]
        packed = utils.pack_sequence(rows, enforce_sorted=False)
        return [
            utils.pad_sequence(rows, batch_first=True, padding_value=-1.0).tolist(),
            utils.pad_sequence(rows, padding_side="left").tolist(),
            packed.data.tolist(),
            packed.batch_sizes.tolist(),
            utils.pad_packed_sequence(packed, total_length=4)[0].tolist(),
            [row.tolist() for row in utils.unpack_sequence(packed)],
        ]

    assert run(picograd) == run(torch)


@pytest.mark.parametrize("norm", [1.0, 2.0, float("inf")])
def test_clipping(norm: float) -> None:
    def run(m):
        weights = [m.ones(3, requires_grad=True), m.ones(2, 2, requires_grad=True)]
        (sum((w * w).sum() for w in weights) * 3).backward()
        before = m.nn.utils.clip_grad_norm_(weights, 2.0, norm).item()
        clipped = [w.grad.tolist() for w in weights]
        m.nn.utils.clip_grad_value_(weights, 0.25)
        return before, clipped, [w.grad.tolist() for w in weights]

    for a, b in zip(run(picograd), run(torch), strict=True):
        for x, y in zip(np.atleast_1d(a) if np.isscalar(a) else a,
                        np.atleast_1d(b) if np.isscalar(b) else b, strict=True):  # fmt: skip
            np.testing.assert_allclose(x, y, 1e-5)


def test_parameters_as_a_vector() -> None:
    layer = picograd.nn.Linear(2, 3)
    vector = picograd.nn.utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (9,)
    picograd.nn.utils.vector_to_parameters(vector * 0 + 2, layer.parameters())
    assert layer.weight.tolist() == [[2.0, 2.0]] * 3
