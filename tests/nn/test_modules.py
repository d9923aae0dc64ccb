"""Modules have torch's names, repr, state and numbers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

FLOAT = (4, 6)
# expression, input shapes
LAYERS = [
    ("Linear(6, 3)", [FLOAT]),
    ("Linear(6, 3, bias=False)", [(2, 4, 6)]),
    ("Bilinear(6, 5, 3)", [FLOAT, (4, 5)]),
    ("Identity(54, unused=True)", [FLOAT]),
    ("Flatten()", [(2, 3, 4)]),
    ("Flatten(0, 1)", [(2, 3, 4)]),
    ("Unflatten(1, (2, 3))", [FLOAT]),
    *[
        (f"{name}({args})", [FLOAT])
        for name, args in [
            ("CELU", "0.7"), ("ELU", "alpha=0.5"), ("GELU", ""), ("GELU", "approximate='tanh'"),
            ("GLU", ""), ("Hardshrink", ""), ("Hardsigmoid", ""), ("Hardswish", ""),
            ("Hardtanh", "-0.5, 0.8"), ("LeakyReLU", "0.2"), ("LogSigmoid", ""),
            ("LogSoftmax", "dim=1"), ("Mish", ""), ("PReLU", ""), ("PReLU", "6"), ("ReLU", ""),
            ("ReLU", "inplace=True"), ("ReLU6", ""), ("SELU", ""), ("SiLU", ""), ("Sigmoid", ""),
            ("Softmax", "dim=-1"), ("Softmin", "dim=0"), ("Softplus", "beta=2"),
            ("Softshrink", ""), ("Softsign", ""), ("Tanh", ""), ("Tanhshrink", ""),
            ("Threshold", "0.1, 20"), ("Dropout", "p=0.0"),
            ("AlphaDropout", "p=0.0"), ("RReLU", "0.2, 0.2"), ("Dropout2d", "p=0.0"),
        ]
    ],
    ("LayerNorm(6)", [FLOAT]),
    ("LayerNorm((4, 6), eps=1e-3)", [(3, 4, 6)]),
    ("LayerNorm(6, bias=False)", [FLOAT]),
    ("LayerNorm(6, elementwise_affine=False)", [FLOAT]),
    ("RMSNorm(6)", [FLOAT]),
    ("GroupNorm(2, 6)", [(3, 6, 5)]),
    ("BatchNorm1d(6)", [FLOAT]),
    ("BatchNorm1d(6, momentum=None)", [(4, 6, 3)]),
    ("BatchNorm1d(6, affine=False, track_running_stats=False)", [FLOAT]),
    ("BatchNorm2d(3)", [(2, 3, 4, 5)]),
    ("BatchNorm3d(3)", [(2, 3, 4, 5, 2)]),
    ("InstanceNorm1d(3)", [(2, 3, 7)]),
    ("InstanceNorm1d(3)", [(3, 7)]),
    ("InstanceNorm2d(3, affine=True)", [(2, 3, 4, 5)]),
    ("InstanceNorm2d(3, track_running_stats=True)", [(2, 3, 4, 5)]),
    ("Conv1d(3, 4, 3, padding='same', dilation=2)", [(2, 3, 9)]),
    ("Conv2d(3, 4, (3, 2), stride=2, padding=1, bias=False)", [(2, 3, 8, 7)]),
    ("Conv2d(4, 6, 3, padding=1, groups=2, padding_mode='reflect')", [(2, 4, 8, 7)]),
    ("Conv3d(2, 3, 2)", [(1, 2, 4, 5, 3)]),
    ("ConvTranspose1d(3, 4, 3, 2, output_padding=1)", [(2, 3, 5)]),
    ("ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2)", [(2, 4, 5, 4)]),
    ("ConvTranspose3d(2, 3, 2, stride=2)", [(1, 2, 3, 3, 2)]),
    ("MaxPool1d(2)", [(2, 3, 9)]),
    ("MaxPool2d(3, stride=2, padding=1, ceil_mode=True)", [(2, 3, 9, 8)]),
    ("MaxPool3d(2)", [(1, 2, 4, 5, 4)]),
    ("AvgPool1d(2)", [(2, 3, 9)]),
    ("AvgPool2d((3, 2), padding=1, count_include_pad=False)", [(2, 3, 9, 8)]),
    ("AvgPool3d(2)", [(1, 2, 4, 5, 4)]),
    ("AdaptiveAvgPool2d((1, 1))", [(2, 3, 9, 8)]),
    ("AdaptiveMaxPool2d(3)", [(2, 3, 9, 8)]),
    ("MaxPool1d(2)", [(3, 8)]),
    ("LPPool1d(2, 3)", [(2, 3, 9)]),
    ("LPPool2d(3, (2, 3), 2)", [(2, 3, 8, 7)]),
    ("LocalResponseNorm(3, alpha=0.1)", [(2, 5, 4)]),
    ("Softmax2d()", [(2, 3, 4, 5)]),
    ("CosineSimilarity()", [FLOAT, FLOAT]),
    ("PairwiseDistance(1.5)", [FLOAT, FLOAT]),
    ("CircularPad2d((1, 2, 0, 1))", [(2, 3, 4, 5)]),
    ("ReflectionPad3d(1)", [(1, 2, 3, 2, 4)]),
    ("ZeroPad3d(1)", [(1, 2, 3, 2, 4)]),
    ("ZeroPad2d(2)", [(2, 3, 4, 5)]),
    ("ConstantPad1d((1, 2), 3.5)", [(2, 3, 4)]),
    ("ReflectionPad2d((1, 1, 2, 0))", [(2, 3, 4, 5)]),
    ("ReplicationPad1d(2)", [(2, 3, 4)]),
    ("Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))", [FLOAT]),
]  # fmt: skip


def make(module, expression: str):
    return eval(f"nn.{expression}", {"nn": module.nn})


def twin(expression: str):
    """The same layer in both libraries, with equal parameters."""
    torch.manual_seed(0)
    theirs, ours = make(torch, expression), make(picograd, expression)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    loaded = {name: picograd.tensor(value.numpy()) for name, value in state.items()}
    assert repr(ours.load_state_dict(loaded)) == "<All keys matched successfully>"
    return theirs, ours


def arrays(shapes, seed: int = 0):
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize(("expression", "shapes"), LAYERS, ids=lambda value: str(value))
def test_layer(expression: str, shapes) -> None:
    theirs, ours = twin(expression)
    assert repr(ours) == repr(theirs)
    given = arrays(shapes)
    for training in (True, False):
        theirs.train(training)
        ours.train(training)
        x = [torch.tensor(a, requires_grad=True) for a in given]
        y = [picograd.tensor(a, requires_grad=True) for a in given]
        want = theirs(*[a * 1 for a in x])
        have = ours(*[a * 1 for a in y])
        np.testing.assert_allclose(have.detach().numpy(), want.detach().numpy(), 1e-4, 1e-5)
        (want * want).sum().backward()
        (have * have).sum().backward()
        for a, b in zip(x, y, strict=True):
            np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), 1e-3, 1e-4)
        for (name, p), q in zip(theirs.named_parameters(), ours.parameters(), strict=True):
            np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), 1e-3, 1e-4, err_msg=name)
        for (name, p), q in zip(theirs.named_buffers(), ours.buffers(), strict=True):
            np.testing.assert_allclose(q.numpy(), p.numpy(), 1e-4, 1e-5, err_msg=name)


PAIRS = [(3, 5), (3, 5)]
LOSSES = [
    ("L1Loss()", PAIRS), ("MSELoss(reduction='sum')", PAIRS),
    ("MSELoss(size_average=False)", PAIRS),
    ("SmoothL1Loss(beta=0.5)", PAIRS), ("HuberLoss(delta=0.5)", PAIRS),
    ("SoftMarginLoss()", PAIRS), ("BCEWithLogitsLoss()", PAIRS), ("PoissonNLLLoss()", PAIRS),
    ("KLDivLoss(reduction='batchmean')", PAIRS),
    ("TripletMarginLoss(margin=0.5)", [*PAIRS, (3, 5)]),
    ("TripletMarginWithDistanceLoss(swap=True)", [*PAIRS, (3, 5)]),
    ("MultiLabelSoftMarginLoss()", PAIRS),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("expression", "shapes"), LOSSES, ids=lambda value: str(value))
def test_loss(expression: str, shapes) -> None:
    theirs, ours = make(torch, expression), make(picograd, expression)
    assert repr(ours) == repr(theirs)
    given = [np.abs(a) for a in arrays(shapes)]
    want = theirs(*[torch.tensor(a) for a in given])
    have = ours(*[picograd.tensor(a) for a in given])
    np.testing.assert_allclose(have.numpy(), want.numpy(), 1e-4, 1e-5)


@pytest.mark.parametrize(
    "expression",
    [
        "CrossEntropyLoss()",
        "CrossEntropyLoss(label_smoothing=0.1)",
        "CrossEntropyLoss(ignore_index=1)",
        "CrossEntropyLoss(reduction='none')",
    ],
)
def test_cross_entropy(expression: str) -> None:
    (logits,) = arrays([(4, 5)])
    labels = np.array([0, 1, 4, 2])
    want = make(torch, expression)(torch.tensor(logits), torch.tensor(labels))
    have = make(picograd, expression)(picograd.tensor(logits), picograd.tensor(labels))
    np.testing.assert_allclose(have.numpy(), want.numpy(), 1e-4, 1e-5)


def test_weights_of_losses_are_buffers() -> None:
    loss = picograd.nn.CrossEntropyLoss(picograd.ones(3))
    assert list(loss.state_dict()) == ["weight"]


# --- the tree ------------------------------------------------------------------------------------


def block(m):
    class Block(m.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = m.nn.ModuleList([m.nn.Linear(2, 2), m.nn.Linear(2, 2)])
            self.named = m.nn.ModuleDict({"a": m.nn.Tanh()})
            self.scale = m.nn.Parameter(m.ones(1))
            self.tied = self.layers[0]
            self.register_buffer("mask", m.zeros(2))
            self.register_buffer("hidden", m.zeros(2), persistent=False)
            self.numbers = m.nn.ParameterList([m.ones(1), m.ones(2)])
            self.table = m.nn.ParameterDict({"x": m.ones(1)})

        def forward(self, x):
            for layer in self.layers:
                x = self.named["a"](layer(x)) * self.scale
            return x

    return Block()


@pytest.mark.host("PyTorch's parameters are on the CPU, and their types are printed")
def test_names_of_the_tree() -> None:
    theirs, ours = block(torch), block(picograd)
    assert repr(ours) == repr(theirs)
    for what in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, what)()] == [n for n, _ in getattr(theirs, what)()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters(recurse=False)] == ["scale"]
    assert ours.get_submodule("layers.1") is ours.layers[1]
    assert ours.get_parameter("layers.1.bias") is ours.layers[1].bias


ERRORS = [
    lambda m, b: setattr(b, "scale", m.ones(1)),
    lambda m, b: setattr(b, "layers", 3),
    lambda m, b: setattr(b, "mask", "text"),
    lambda m, b: b.register_parameter("a.b", None),
    lambda m, b: b.register_buffer("forward", None),
    lambda m, b: b.register_parameter("p", m.ones(1)),
    lambda m, b: b.add_module("x", 3),
    lambda m, b: b.nothing,
    lambda m, b: b.get_submodule("layers.7"),
    lambda m, b: m.nn.Module()(3),
    lambda m, b: b.train("yes"),
    lambda m, b: b.to(m.int64),
    lambda m, b: b.load_state_dict({}),
    lambda m, b: b.load_state_dict({**b.state_dict(), "more": m.ones(1)}),
    lambda m, b: b.load_state_dict({**b.state_dict(), "scale": m.ones(2)}),
    lambda m, b: m.nn.Dropout(2.0),
    lambda m, b: m.nn.BatchNorm2d(2)(m.ones(2, 2)),
    lambda m, b: m.nn.GroupNorm(2, 3),
    lambda m, b: m.nn.ModuleList([])[0],
    lambda m, b: m.nn.Linear(2, 2, colour=1),
    lambda m, b: m.nn.ReLU(colour=1),
    lambda m, b: m.nn.MSELoss(colour=1),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors_are_torchs(number: int) -> None:
    with pytest.raises(Exception) as theirs:
        ERRORS[number](torch, block(torch))
    with pytest.raises(type(theirs.value)) as ours:
        ERRORS[number](picograd, block(picograd))
    if number in (12, 13, 14):
        assert str(ours.value) == str(theirs.value)


def test_assignment_before_init() -> None:
    class Early(picograd.nn.Module):
        def __init__(self) -> None:
            self.weight = picograd.nn.Parameter(picograd.ones(1))

    with pytest.raises(AttributeError, match=r"before Module\.__init__"):
        Early()


def test_assign_and_delete() -> None:
    module = block(picograd)
    module.scale = None
    assert "scale" not in dict(module.named_parameters())
    module.scale = picograd.nn.Parameter(picograd.zeros(1))
    assert module.scale.item() == 0
    del module.mask
    assert "mask" not in module.state_dict()
    module.layers = picograd.nn.Identity()
    assert isinstance(module.layers, picograd.nn.Identity)


def test_containers() -> None:
    nn = picograd.nn
    items = nn.ModuleList([nn.Linear(1, 1), nn.Tanh()])
    items.append(nn.ReLU()).extend([nn.Sigmoid()]).insert(1, nn.Identity())
    names = ["Linear", "Identity", "Tanh", "ReLU", "Sigmoid"]
    assert [type(m).__name__ for m in items] == names
    assert [type(m).__name__ for m in items[1:3]] == names[1:3] and len(items[-1:]) == 1
    del items[0]
    assert [n for n, _ in items.named_children()] == ["0", "1", "2", "3"]
    with pytest.raises(NotImplementedError):
        items(picograd.ones(1))
    stack = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    stack.append(nn.ReLU())
    assert len(stack) == 3 and isinstance(stack[-1], nn.ReLU)
    stack[1] = nn.Identity()
    assert isinstance(stack[1], nn.Identity) and len(stack[:2]) == 2


def test_hooks_see_and_change() -> None:
    def run(m):
        layer = m.nn.Linear(2, 2)
        with m.no_grad():
            layer.weight.fill_(0.5)
            layer.bias.fill_(0.25)
        seen = []
        layer.register_forward_pre_hook(lambda mod, args: (args[0] * 2,))
        handle = layer.register_forward_hook(lambda mod, args, out: out + 1)
        layer.register_full_backward_hook(
            lambda mod, gi, go: seen.append((gi[0].tolist(), go[0].tolist()))
        )
        x = m.ones(1, 2, requires_grad=True)
        layer(x).sum().backward()
        handle.remove()
        return seen, x.grad.tolist(), layer(m.ones(1, 2)).tolist()

    assert run(picograd) == run(torch)


def test_conversion_and_modes() -> None:
    module = block(picograd)
    before = module.scale
    module.double()
    assert module.scale is before and module.scale.dtype == picograd.float64
    assert module.mask.dtype == picograd.float64
    module.to(picograd.float32).eval()
    assert not module.named["a"].training and module.layers[0].weight.dtype == picograd.float32
    module.requires_grad_(False)
    assert not any(p.requires_grad for p in module.parameters())
    seen = []
    module.apply(lambda m: seen.append(type(m).__name__))
    assert seen[-1] == "Block"


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent_and_keep_ties(how) -> None:
    module = picograd.nn.Sequential(picograd.nn.Linear(2, 2), picograd.nn.Tanh())
    module.append(module[0])
    twin = how(module)
    assert twin[0] is twin[2] and twin[0].weight is not module[0].weight
    with picograd.no_grad():
        module[0].weight.zero_()
    assert twin[0].weight.abs().sum().item() > 0
    assert isinstance(twin[0].weight, picograd.nn.Parameter) and twin[0].weight.requires_grad


def test_load_assign_takes_the_tensors() -> None:
    layer = picograd.nn.Linear(2, 2)
    state = {"weight": picograd.ones(2, 2), "bias": picograd.zeros(2)}
    layer.load_state_dict(state, assign=True)
    assert isinstance(layer.weight, picograd.nn.Parameter)
    state["weight"][0, 0] = 5.0
    assert layer.weight[0, 0].item() == 5.0
    missing = layer.load_state_dict({"weight": picograd.zeros(2, 2), "x": 1}, strict=False)
    assert missing.missing_keys == ["bias"] and missing.unexpected_keys == ["x"]


def test_training_compiles_nothing_after_two_steps() -> None:
    from picograd import engine

    nn = picograd.nn
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    optimiser = picograd.optim.Adam(model.parameters(), lr=0.01)
    x, y = picograd.randn(16, 4), picograd.randint(0, 2, (16,))
    for number in range(6):
        if number == 3:
            engine.statistics.reset()
        loss = nn.CrossEntropyLoss()(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
    assert engine.statistics.programs_compiled == 0


INITIALISERS = [
    ("uniform_", (-1.0, 2.0)), ("normal_", (1.0, 0.5)), ("trunc_normal_", ()),
    ("xavier_uniform_", (2.0,)), ("xavier_normal_", ()), ("kaiming_uniform_", ()),
    ("kaiming_normal_", (0, "fan_out", "relu")), ("orthogonal_", (1.5,)), ("sparse_", (0.25, 0.1)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), INITIALISERS)
def test_initialisers_have_torchs_spread(name: str, args) -> None:
    picograd.manual_seed(0)
    torch.manual_seed(0)
    shape = (256, 128)
    want = getattr(torch.nn.init, name)(torch.empty(shape), *args).numpy()
    have = getattr(picograd.nn.init, name)(picograd.empty(shape), *args).numpy()
    assert abs(want.mean() - have.mean()) < 0.05 and abs(want.std() / have.std() - 1) < 0.05
    assert abs(want.min() - have.min()) < 0.1 * abs(want.min()) + 0.1 * want.std() * 5


def test_fixed_initialisers() -> None:
    for name, shape in (("eye_", (3, 4)), ("dirac_", (4, 2, 3)), ("ones_", (2,)), ("zeros_", (2,))):
        want = getattr(torch.nn.init, name)(torch.empty(shape)).numpy()
        have = getattr(picograd.nn.init, name)(picograd.empty(shape)).numpy()
        np.testing.assert_array_equal(have, want)
    for args in (("relu",), ("tanh",), ("leaky_relu", 0.2), ("linear",)):
        want = torch.nn.init.calculate_gain(*args)
        assert picograd.nn.init.calculate_gain(*args) == pytest.approx(want)
