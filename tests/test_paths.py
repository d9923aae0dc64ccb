"""Import lines of torch programs that name a file of torch's name here too."""

from __future__ import annotations

import importlib

import pytest

import picograd

LINES = [
    ("optim.adamw", "AdamW"),
    ("optim.rmsprop", "RMSprop"),
    ("optim.sgd", "SGD"),
    ("optim.optimizer", "Optimizer"),
    ("autograd.function", "Function"),
    ("autograd.variable", "Variable"),
    ("autograd.grad_mode", "no_grad"),
    ("nn.utils.clip_grad", "clip_grad_norm_"),
    ("nn.utils.convert_parameters", "parameters_to_vector"),
    ("nn.parameter", "Parameter"),
    ("distributions.normal", "Normal"),
    ("utils.data.dataset", "Dataset"),
    ("utils.data.sampler", "Sampler"),
]


@pytest.mark.parametrize(("path", "name"), LINES)
def test_a_module_of_torch_has_the_package_s_own_class(path, name):
    found = getattr(importlib.import_module(f"picograd.{path}"), name)
    package = picograd
    for part in path.split(".")[:-1]:
        package = getattr(package, part)
    assert found is getattr(package, name)
