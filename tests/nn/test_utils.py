"""`nn.utils`: norms of weights, parametrisations, pruning, lazy modules, calls with other weights.

Each program runs in both libraries (`m`) from equal weights (`fill`) and sets `result`.
"""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")


def fill(m, module):
    """Give every parameter and buffer the same numbers in both libraries."""
    random = np.random.default_rng(0)
    with m.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            values = random.standard_normal(tuple(tensor.shape)).astype(np.float32)
            tensor.copy_(m.tensor(values))
    return module


def numbers(m, *shape):
    values = np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)
    return m.tensor(values, requires_grad=True)


TRAIN = """
layer(x).square().sum().backward()
result = [sorted(layer.state_dict()), layer(x), x.grad, *[p.grad for p in layer.parameters()]]
"""
OLD = "x = numbers(m, 4, 3)\nlayer = fill(m, m.nn.Linear(3, 5))\n"
IMAGE = "x = numbers(m, 2, 3, 5, 5)\nlayer = fill(m, m.nn.Conv2d(3, 4, 3))\n"
UPWARDS = "x = numbers(m, 2, 3, 5, 5)\nlayer = fill(m, m.nn.ConvTranspose2d(3, 4, 3))\n"
NEW = "P = m.nn.utils.parametrizations\nR = m.nn.utils.parametrize\n"
SAME_VECTORS = "layer(x)\nfill(m, layer)\nfor _ in range(30): layer(x)\n"
SQUARES = """
class Square(m.nn.Module):
    def forward(self, w): return w ** 2
    def right_inverse(self, w): return w.sqrt()
class Split(m.nn.Module):
    def forward(self, a, b): return a - b
    def right_inverse(self, w): return w.clamp(min=0), (-w).clamp(min=0)
class Double(m.nn.Module):
    def forward(self, w): return w * 2
"""
PRUNE = "import importlib\nprune = importlib.import_module(m.__name__ + '.nn.utils.prune')\n"
PRUNE += "x = numbers(m, 4, 3)\nlayer = fill(m, m.nn.Linear(3, 5))\n"
PRUNED = """
before = prune.is_pruned(layer)
layer(x).square().sum().backward()
result = [sorted(layer.state_dict()), before, layer.weight, layer.weight_mask, layer(x),
          *[p.grad for p in layer.parameters()], repr(prune.remove(layer, 'weight')),
          sorted(layer.state_dict()), prune.is_pruned(layer), layer.weight]
"""
ORTHOGONAL = [
    NEW + f"x = numbers(m, 4, {columns})\nlayer = fill(m, m.nn.Linear({columns}, {rows}))\n"
    f"P.orthogonal(layer, orthogonal_map='{how}', use_trivialization={trivial})\n"
    "with m.no_grad(): layer.parametrizations.weight.original.add_(numbers(m, "
    f"{rows}, {columns}).detach().tril(-1) / 9)\n"
    + ("layer(x).sin().sum().backward()\nresult = [layer.weight @ layer.weight.T, layer(x), "
       "layer.parametrizations.weight.original.grad]" if rows <= columns else
       "layer(x).sin().sum().backward()\nresult = [layer.weight.T @ layer.weight]")
    for how in ("matrix_exp", "cayley", "householder")
    for trivial in (True, False)
    for rows, columns in ((3, 3), (5, 3), (3, 5))
    if rows == columns or not trivial
]  # fmt: skip
PROGRAMS = [
    OLD + "layer = m.nn.utils.weight_norm(layer)" + TRAIN,
    OLD + "layer = m.nn.utils.weight_norm(layer, dim=None)" + TRAIN,
    OLD + "layer = m.nn.utils.weight_norm(layer, dim=1)" + TRAIN,
    OLD + "layer = m.nn.utils.remove_weight_norm(m.nn.utils.weight_norm(layer))" + TRAIN,
    OLD + "m.nn.utils.weight_norm(m.nn.utils.weight_norm(layer))",
    OLD + "m.nn.utils.remove_weight_norm(layer)",
    IMAGE + "layer = m.nn.utils.weight_norm(layer)" + TRAIN,
    OLD + "layer = m.nn.utils.spectral_norm(layer)\n" + SAME_VECTORS + TRAIN,
    UPWARDS + "layer = m.nn.utils.spectral_norm(layer)\n" + SAME_VECTORS + TRAIN,
    OLD + "layer = m.nn.utils.spectral_norm(layer)\n" + SAME_VECTORS
    + "layer.eval()\nlayer = m.nn.utils.remove_spectral_norm(layer)" + TRAIN,
    OLD + NEW + "P.weight_norm(layer)" + TRAIN,
    OLD + NEW + "P.weight_norm(layer, dim=None)" + TRAIN + "\nresult.append(repr(layer))",
    IMAGE + NEW + "P.spectral_norm(layer, n_power_iterations=60)\n" + TRAIN,
    OLD + NEW + "P.spectral_norm(layer, n_power_iterations=60)\nR.remove_parametrizations(layer, "
    "'weight')" + TRAIN,
    OLD + NEW + "P.weight_norm(layer); R.remove_parametrizations(layer, 'weight')" + TRAIN
    + "\nresult.append(repr(layer))",
    OLD + NEW + "P.weight_norm(layer); R.remove_parametrizations(layer, 'weight', False)",
    OLD + NEW + "R.remove_parametrizations(layer, 'weight', False)",
    OLD + NEW + SQUARES + "R.register_parametrization(layer, 'weight', Square())\n"
    "with m.no_grad(): layer.weight = m.full((5, 3), 4.0)" + TRAIN,
    OLD + NEW + SQUARES + "R.register_parametrization(layer, 'weight', Double())\n"
    "R.register_parametrization(layer, 'weight', Double())" + TRAIN + "\n"
    "result += [R.is_parametrized(layer), R.is_parametrized(layer, 'bias'), repr(layer), "
    "R.type_before_parametrizations(layer) is m.nn.Linear]",
    OLD + NEW + SQUARES + "R.register_parametrization(layer, 'weight', Double())\n"
    "layer.weight = m.zeros(5, 3)",
    OLD + NEW + SQUARES + "R.register_parametrization(layer, 'weight', Double())\n"
    "R.remove_parametrizations(layer, 'weight', leave_parametrized=False)" + TRAIN,
    OLD + NEW + SQUARES + "R.register_parametrization(layer, 'weight', Split())" + TRAIN,
    OLD + NEW + SQUARES + "R.register_parametrization(layer, 'weight', Split())\n"
    "import copy\nlayer = copy.deepcopy(layer)" + TRAIN,
    OLD + NEW + SQUARES + "R.register_parametrization(layer, 'weight', Split())\n"
    "import pickle; pickle.dumps(layer)",
    OLD + NEW + SQUARES + "R.register_parametrization(layer, 'nothing', Split())",
    OLD + NEW + "R.register_parametrization(layer, 'weight', m.nn.Flatten(0))",
    OLD + NEW + SQUARES + "R.register_parametrization(layer, 'weight', Double())\n"
    "with R.cached(): result = [layer.weight is layer.weight]\n"
    "result.append(layer.weight is layer.weight)",
    *ORTHOGONAL,
    NEW + "layer = fill(m, m.nn.Linear(4, 4))\nP.orthogonal(layer, orthogonal_map='cayley', "
    "use_trivialization=False)\nlayer.weight = m.eye(4)",
    NEW + "layer = P.orthogonal(m.nn.Linear(4, 3), orthogonal_map='householder', "
    "use_trivialization=False)\nw = m.linalg.qr(numbers(m, 4, 3).detach())[0].T\n"
    "layer.weight = w\nresult = [layer.weight, w]",
    NEW + "P.orthogonal(m.nn.Linear(4, 3), orthogonal_map='other')",
    PRUNE + "prune.l1_unstructured(layer, 'weight', 4)" + PRUNED,
    PRUNE + "prune.l1_unstructured(layer, 'weight', 0.3)\n"
    "prune.l1_unstructured(layer, 'weight', amount=0.3)" + PRUNED,
    PRUNE + "prune.ln_structured(layer, 'weight', 2, n=2, dim=0)" + PRUNED,
    PRUNE + "prune.ln_structured(layer, 'weight', 0.4, n=1, dim=1)\n"
    "prune.l1_unstructured(layer, 'weight', 0.3)" + PRUNED,
    PRUNE + "prune.custom_from_mask(layer, 'weight', m.eye(5, 3))" + PRUNED,
    PRUNE + "prune.identity(layer, 'weight')" + PRUNED,
    PRUNE + "prune.l1_unstructured(layer, 'weight', 99)",
    PRUNE + "prune.l1_unstructured(layer, 'weight', 1.5)",
    PRUNE + "prune.l1_unstructured(layer, 'weight', 'all')",
    PRUNE + "prune.remove(layer, 'weight')",
    PRUNE + "prune.random_unstructured(layer, 'weight', 0.4)\n"
    "prune.random_structured(layer, 'bias', 2, 0) if 0 else None\n"
    "result = [layer.weight_mask.sum()]",
    PRUNE + "prune.random_structured(layer, 'weight', 2, 0)\n"
    "result = [layer.weight_mask.sum(), layer.weight_mask.sum(1).sort().values]",
    PRUNE + "prune.global_unstructured([(layer, 'weight'), (layer, 'bias')], "
    "pruning_method=prune.L1Unstructured, amount=0.45)\n"
    "result = [layer.weight_mask, layer.bias_mask]" ,
    "x = numbers(m, 4, 3)\nlayer = m.nn.Linear(3, 5)\n"
    "given = {'weight': numbers(m, 5, 3), 'bias': numbers(m, 5)}\n"
    "y = m.func.functional_call(layer, given, x)\ny.sum().backward()\n"
    "result = [y, given['weight'].grad, layer.weight.grad]",
    "layer = m.nn.Linear(3, 5)\nm.func.functional_call(layer, {'nothing': m.ones(1)}, m.ones(3))",
    "layer = m.nn.Linear(3, 5)\n"
    "m.func.functional_call(layer, {'weight': m.ones(5, 3)}, m.ones(3), strict=True)",
    "layer = m.nn.LazyLinear(5)\nresult = [repr(layer), type(layer.weight).__name__, "
    "layer.has_uninitialized_params()]\ny = layer(m.ones(4, 3))\n"
    "result += [repr(layer), tuple(layer.weight.shape), type(layer.weight).__name__, "
    "type(layer).__name__, layer.has_uninitialized_params() if hasattr(layer, "
    "'has_uninitialized_params') else None]",
    *[
        f"layer = m.nn.Lazy{kind}({arguments})\nlayer(m.ones({shape}))\n"
        "result = [repr(layer), {k: tuple(v.shape) for k, v in layer.state_dict().items()}]"
        for kind, arguments, shape in [
            ("Conv1d", "4, 3", "2, 3, 7"),
            ("Conv2d", "4, 3, groups=2, bias=False", "2, 6, 7, 7"),
            ("Conv3d", "4, 3, stride=2, padding=1", "2, 3, 7, 7, 7"),
            ("ConvTranspose1d", "4, 3", "2, 3, 7"),
            ("ConvTranspose2d", "4, 3, output_padding=1, stride=2", "2, 3, 7, 7"),
            ("ConvTranspose3d", "4, 2", "2, 3, 3, 3, 3"),
            ("BatchNorm1d", "", "4, 3"),
            ("BatchNorm2d", "affine=False", "4, 3, 2, 2"),
            ("BatchNorm3d", "track_running_stats=False", "4, 3, 2, 2, 2"),
            ("InstanceNorm1d", "affine=True", "4, 3, 5"),
            ("InstanceNorm2d", "", "4, 3, 5, 5"),
            ("InstanceNorm3d", "track_running_stats=True", "4, 3, 5, 5, 5"),
        ]
    ],
    "layer = m.nn.LazyLinear(5)\nlayer.weight.shape",
    "layer = m.nn.Sequential(m.nn.LazyLinear(5), m.nn.ReLU(), m.nn.LazyLinear(2))\n"
    "layer(m.ones(4, 3))\nfill(m, layer)\nresult = [layer(m.ones(4, 3)), repr(layer)]",
    "layer = m.nn.LazyLinear(5)\nlayer.load_state_dict(fill(m, m.nn.Linear(3, 5)).state_dict())\n"
    "result = [layer(m.ones(4, 3)), repr(layer)]",
    "import copy\nlayer = copy.deepcopy(m.nn.LazyLinear(5))\nlayer(m.ones(4, 3))\n"
    "result = [repr(layer)]",
]  # fmt: skip


def outcome(program, m):
    names = {"m": m, "fill": fill, "numbers": numbers}
    m.manual_seed(0)
    try:
        exec(program, names)
    except Exception as error:
        return type(error).__name__, None
    return None, names.get("result")


def check(ours, theirs):
    if isinstance(theirs, torch.Tensor):
        assert tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.detach().numpy(), rtol=2e-4, atol=2e-5
        )
    elif isinstance(theirs, list):
        for a, b in zip(ours, theirs, strict=True):
            check(a, b)
    else:
        assert ours == theirs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_as_in_torch(number) -> None:
    error, ours = outcome(PROGRAMS[number], picograd)
    expected, theirs = outcome(PROGRAMS[number], torch)
    assert error == expected, PROGRAMS[number]
    check(ours, theirs)
