"""nn.functional against torch."""

from __future__ import annotations

import numpy as np
import pytest

import picograd
from tests.frontend.parity import check

S = (3, 5)
WIDE = np.array([-200.0, -30.0, -2.0, -0.5, 0.0, 0.5, 2.0, 30.0, 200.0], np.float32)
KNEES = np.array([-6.0, -3.0, -1.0, -0.5, 0.5, 1.0, 3.0, 6.0, 7.0], np.float32) * 1.01
Y = np.array([1, 4, 0])
IGNORE = np.array([1, -100, 0])

ACTIVATIONS = [
    "relu",
    "relu6",
    "sigmoid",
    "tanh",
    "gelu",
    "silu",
    "mish",
    "softplus",
    "logsigmoid",
    "elu",
    "selu",
    "celu",
    "leaky_relu",
    "hardtanh",
    "hardsigmoid",
    "hardswish",
    "softsign",
    "tanhshrink",
    "softshrink",
    "hardshrink",
]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    check(lambda t, x: getattr(t.nn.functional, name)(x), S)
    check(lambda t, x: getattr(t.nn.functional, name)(x), KNEES)
    check(lambda t, x: getattr(t.nn.functional, name)(x), WIDE, atol=1e-5)


def f(name, *args, **named):
    return lambda t, *x: getattr(t.nn.functional, name)(*x, *args, **named)


CASES = {
    "gelu_tanh": (f("gelu", approximate="tanh"), S),
    "softplus_beta": (f("softplus", beta=2.0, threshold=1.0), S),
    "glu": (f("glu"), (3, 4)),
    "prelu": (f("prelu"), (2, 3, 4), (3,)),
    "softmax": (f("softmax", dim=-1), S),
    "relu_inplace": (lambda t, x: t.nn.functional.relu(x * 1, inplace=True), S),
    "mse": (f("mse_loss"), S, S),
    "mse_sum": (f("mse_loss", reduction="sum"), S, S),
    "mse_none": (f("mse_loss", reduction="none"), S, S),
    "mse_wrong": (f("mse_loss", reduction="other"), S, S),
    "l1": (f("l1_loss"), S, S),
    "smooth_l1": (f("smooth_l1_loss", beta=0.5), S, S),
    "huber": (f("huber_loss", delta=0.5), S, S),
    "bce": (
        lambda t, x, y: t.nn.functional.binary_cross_entropy(x.sigmoid(), y.sigmoid().detach()),
        S,
        S,
    ),
    "bce_logits": (
        lambda t, x, y: t.nn.functional.binary_cross_entropy_with_logits(x, y.sigmoid()),
        S,
        S,
    ),
    "bce_logits_wide": (
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(
            x, t.ones(9), reduction="none"
        ),
        WIDE,
    ),
    "bce_weights": (
        lambda t, x, y: t.nn.functional.binary_cross_entropy_with_logits(
            x, y.sigmoid(), weight=t.arange(5.0), pos_weight=t.arange(5.0)
        ),
        S,
        S,
    ),
    "kl": (
        lambda t, x, y: t.nn.functional.kl_div(
            x.log_softmax(1), y.softmax(1), reduction="batchmean"
        ),
        S,
        S,
    ),
    "kl_log": (
        lambda t, x, y: t.nn.functional.kl_div(x, y, log_target=True, reduction="sum"),
        S,
        S,
    ),
    "nll": (lambda t, x, y: t.nn.functional.nll_loss(x.log_softmax(1), y), S, Y),
    "nll_ignore": (lambda t, x, y: t.nn.functional.nll_loss(x, y), S, IGNORE),
    "ce": (f("cross_entropy"), S, Y),
    "ce_none": (f("cross_entropy", reduction="none"), S, Y),
    "ce_sum": (f("cross_entropy", reduction="sum"), S, IGNORE),
    "ce_ignore": (f("cross_entropy"), S, IGNORE),
    "ce_ignore_class": (f("cross_entropy", ignore_index=4), S, Y),
    "ce_weight": (
        lambda t, x, y, w: t.nn.functional.cross_entropy(x, y, weight=w.detach()),
        S,
        Y,
        ("positive", (5,)),
    ),
    "ce_smooth": (f("cross_entropy", label_smoothing=0.1), S, Y),
    "ce_smooth_ignore": (f("cross_entropy", label_smoothing=0.1), S, IGNORE),
    "ce_smooth_weight": (
        lambda t, x, y, w: t.nn.functional.cross_entropy(
            x, y, weight=w.detach(), label_smoothing=0.2
        ),
        S,
        IGNORE,
        ("positive", (5,)),
    ),
    "ce_probabilities": (lambda t, x, y: t.nn.functional.cross_entropy(x, y.softmax(1)), S, S),
    "ce_probabilities_smooth": (
        lambda t, x, y, w: t.nn.functional.cross_entropy(
            x, y.softmax(1), weight=w.detach(), label_smoothing=0.1
        ),
        S,
        S,
        ("positive", (5,)),
    ),
    "ce_1d": (lambda t, x: t.nn.functional.cross_entropy(x, t.tensor(2)), (5,)),
    "ce_images": (f("cross_entropy"), (2, 3, 4), np.array([[0, 1, 2, 0], [1, 1, 0, 2]])),
    "ce_out": (f("cross_entropy"), S, np.array([1, 5, 0])),
    "ce_batch": (f("cross_entropy"), S, np.array([1, 2])),
    "poisson": (
        lambda t, x, y: t.nn.functional.poisson_nll_loss(x, y.detach()),
        S,
        ("positive", S),
    ),
    "gaussian": (
        lambda t, x, y, v: t.nn.functional.gaussian_nll_loss(x, y, v),
        S,
        S,
        ("positive", S),
    ),
    "cosine": (f("cosine_similarity", dim=1), S, S),
    "pairwise": (f("pairwise_distance"), S, S),
    "triplet": (f("triplet_margin_loss"), S, S, S),
    "soft_margin": (lambda t, x, y: t.nn.functional.soft_margin_loss(x, y.sign().detach()), S, S),
    "embedding": (lambda t, i, w: t.nn.functional.embedding(i, w), np.array([[0, 1], [2, 1]]), S),
    "embedding_padding": (
        lambda t, i, w: t.nn.functional.embedding(i, w, padding_idx=1),
        np.array([0, 1, 2]),
        S,
    ),
    "embedding_out": (lambda t, i, w: t.nn.functional.embedding(i, w), np.array([7]), S),
    "one_hot": (lambda t, y: (t.nn.functional.one_hot(y), t.nn.functional.one_hot(y, 7)), Y),
    "one_hot_out": (lambda t, y: t.nn.functional.one_hot(y, 3), Y),
    "one_hot_float": (lambda t, x: t.nn.functional.one_hot(x), S),
    "layer_norm": (lambda t, x, w, b: t.nn.functional.layer_norm(x, (5,), w, b), S, (5,), (5,)),
    "layer_norm_2": (lambda t, x: t.nn.functional.layer_norm(x, (3, 5)), (2, 3, 5)),
    "layer_norm_wrong": (lambda t, x: t.nn.functional.layer_norm(x, (4,)), S),
    "rms_norm": (lambda t, x, w: t.nn.functional.rms_norm(x, (5,), w), S, (5,)),
    "group_norm": (
        lambda t, x, w, b: t.nn.functional.group_norm(x, 2, w, b),
        (2, 4, 3),
        (4,),
        (4,),
    ),
    "instance_norm": (f("instance_norm"), (2, 3, 4)),
    "batch_norm_eval": (
        lambda t, x, m, v, w, b: t.nn.functional.batch_norm(x, m.detach(), v.detach(), w, b),
        S,
        (5,),
        ("positive", (5,)),
        (5,),
        (5,),
    ),
    "batch_norm_images": (
        lambda t, x, w: t.nn.functional.batch_norm(x, None, None, w, training=True),
        (2, 3, 4),
        (3,),
    ),
    "normalize": (f("normalize"), S),
    "normalize_zero": (f("normalize"), np.zeros((2, 3), np.float32)),
    "attention": (f("scaled_dot_product_attention"), (2, 4, 3), (2, 5, 3), (2, 5, 3)),
    "attention_causal": (
        f("scaled_dot_product_attention", is_causal=True),
        (2, 4, 3),
        (2, 4, 3),
        (2, 4, 3),
    ),
    "attention_mask": (
        f("scaled_dot_product_attention", scale=0.3),
        (4, 3),
        (4, 3),
        (4, 3),
        ("float32", (4, 4)),
    ),
    "attention_bool": (
        lambda t, q, m: t.nn.functional.scaled_dot_product_attention(q, q, q, m | t.eye(4).bool()),
        (1, 4, 3),
        ("bool", (4, 4)),
    ),
    "pad": (
        lambda t, x: (
            t.nn.functional.pad(x, (1, 2)),
            t.nn.functional.pad(x, (1, 0, 0, 2), value=3.0),
        ),
        S,
    ),
    "pad_negative": (f("pad", (-1, 1)), S),
    "pad_reflect": (f("pad", (2, 1), mode="reflect"), (2, 3, 4)),
    "pad_reflect_2": (f("pad", (2, 1, 1, 2), mode="reflect"), (1, 2, 3, 4)),
    "pad_replicate": (f("pad", (2, 1), mode="replicate"), (2, 3, 4)),
    "pad_replicate_3": (f("pad", (2, 1, 0, 3, 1, 1), mode="replicate"), (1, 2, 3, 4, 5)),
    "pad_circular_2": (f("pad", (2, -1, 1, 2), mode="circular"), (1, 2, 3, 4)),
    "pad_circular": (f("pad", (2, 1), mode="circular"), (2, 3, 4)),
    "pad_wrong": (f("pad", (1, 1, 1)), S),
    "dropout_eval": (f("dropout", 0.5, False), S),
    "dropout_wrong": (f("dropout", 1.5), S),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    function, *specs = CASES[name]
    check(function, *specs, rtol=1e-4, atol=5e-6)


def test_batch_norm_updates_running_statistics():
    def run(t, x):
        average, variance = t.zeros(5), t.ones(5)
        y = t.nn.functional.batch_norm(x, average, variance, training=True)
        return y, average, variance

    check(run, S, rtol=1e-4)


def test_dropout_keeps_the_mean_and_zeroes():
    picograd.manual_seed(3)
    x = picograd.ones(20000, device="numpy")
    y = picograd.nn.functional.dropout(x, 0.25)
    kept = y.numpy()
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(kept.mean() - 1) < 0.02
