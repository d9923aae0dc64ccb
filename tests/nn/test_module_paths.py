"""Import paths of layers and of their bases, as programs write them."""

from __future__ import annotations

import importlib

import pytest

from picograd import nn

PATHS = [
    ("nn.modules.module", "Module", nn.Module),
    ("nn.modules.conv", "Conv2d", nn.Conv2d),
    ("nn.modules.loss", "CrossEntropyLoss", nn.CrossEntropyLoss),
    ("nn.modules.activation", "MultiheadAttention", nn.MultiheadAttention),
    ("nn.modules.linear", "Linear", nn.Linear),
    ("nn.modules.container", "ModuleList", nn.ModuleList),
    ("nn.modules.normalization", "LayerNorm", nn.LayerNorm),
    ("nn.modules.sparse", "Embedding", nn.Embedding),
    ("nn.modules.transformer", "TransformerEncoderLayer", nn.TransformerEncoderLayer),
    ("nn.modules", "Linear", nn.Linear),
    ("nn.parameter", "Parameter", nn.Parameter),
    ("nn.parameter", "Buffer", nn.Buffer),
    ("nn.parameter", "UninitializedParameter", None),
]
BASES = [
    ("nn.modules.conv", "_ConvNd", nn.Conv3d, nn.ConvTranspose1d),
    ("nn.modules.batchnorm", "_BatchNorm", nn.BatchNorm1d, nn.BatchNorm3d),
    ("nn.modules.batchnorm", "_NormBase", nn.BatchNorm1d, nn.InstanceNorm2d),
    ("nn.modules.instancenorm", "_InstanceNorm", nn.InstanceNorm1d, nn.InstanceNorm2d),
    ("nn.modules.loss", "_Loss", nn.MSELoss, nn.NLLLoss),
]


@pytest.mark.parametrize("path, name, expected", PATHS)
def test_one_class_under_both_paths(path, name, expected):
    found = getattr(importlib.import_module(f"picograd.{path}"), name)
    assert expected is None or found is expected


@pytest.mark.parametrize("path, name, first, second", BASES)
def test_bases(path, name, first, second):
    base = getattr(importlib.import_module(f"picograd.{path}"), name)
    assert issubclass(first, base) and issubclass(second, base) and not issubclass(nn.Linear, base)


def test_tuples():
    from picograd.nn.modules.utils import _ntuple, _pair, _quadruple, _single, _triple

    assert (_single(1), _pair(2), _triple(3), _quadruple(4), _ntuple(5)(0)) == (
        (1,), (2, 2), (3, 3, 3), (4, 4, 4, 4), (0,) * 5,
    )  # fmt: skip
    assert _pair([1, 2]) == (1, 2)
