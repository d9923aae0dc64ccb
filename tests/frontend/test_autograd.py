"""Autograd against torch: the tape, hooks, modes, custom functions, errors, and every op's rule."""

import gc

import numpy as np
import pytest

import picograd
from picograd.frontend import derivatives, tape
from picograd.graph.ops import REDUCES, Combiner, Op

torch = pytest.importorskip("torch")

from tests.frontend.twins import is_error, same  # noqa: E402


def test_every_op_has_a_rule_or_is_listed_as_having_none():
    for op in Op:
        keys = [(op, combiner) for combiner in Combiner] if op in REDUCES else [op]
        for key in keys:
            assert (key in tape.RECORDERS) != (op in derivatives.NOT_DIFFERENTIABLE), key


def leaf(m, *shape, shift=0.5):
    count = int(np.prod(shape))
    values = np.sin(np.arange(count) * 1.7 + shift) + 1.3
    return m.tensor(values.reshape(shape).astype(np.float64), requires_grad=True)


UNARY = {
    "neg": lambda m, x: -x,
    "abs": lambda m, x: (x - 1).abs() * x,
    "sqrt": lambda m, x: x.sqrt(),
    "reciprocal": lambda m, x: x.reciprocal(),
    "exp": lambda m, x: x.exp(),
    "exp2": lambda m, x: m.exp2(x),
    "expm1": lambda m, x: x.expm1(),
    "log": lambda m, x: x.log(),
    "log2": lambda m, x: x.log2(),
    "log1p": lambda m, x: x.log1p(),
    "sin": lambda m, x: x.sin(),
    "cos": lambda m, x: x.cos(),
    "tanh": lambda m, x: x.tanh(),
    "atan": lambda m, x: x.atan(),
    "erf": lambda m, x: x.erf(),
    "floor": lambda m, x: x.floor() * x,
    "round": lambda m, x: x.round() * x,
    "cast": lambda m, x: x.float().double() * x,
    "pow": lambda m, x: x**3,
    "pow half": lambda m, x: x**0.5,
    "rpow": lambda m, x: 2.0**x,
    "sum": lambda m, x: x.sum(1) * x.sum(0, keepdim=True)[:, :3],
    "sum all": lambda m, x: x.sum() * x,
    "mean": lambda m, x: x.mean(0) ** 2,
    "prod": lambda m, x: x.prod(1),
    "prod zero": lambda m, x: m.cat([x, x[:1] * 0]).prod(0),
    "amax": lambda m, x: x.amax(1) ** 2,
    "amin": lambda m, x: x.amin(0) ** 2,
    "amax ties": lambda m, x: m.cat([x, x]).amax(0) ** 2,
    "max": lambda m, x: x.max(1).values ** 2,
    "cumsum": lambda m, x: x.cumsum(1) ** 2,
    "cumprod": lambda m, x: x.cumprod(0),
    "cumprod zero": lambda m, x: m.cat([x[:1], x[:1] * 0, x, x[:1] * 0, x]).cumprod(0),
    "cummax": lambda m, x: x.cummax(1).values ** 2,
    "cummin": lambda m, x: x.cummin(0).values ** 2,
    "reshape": lambda m, x: x.reshape(-1) ** 2,
    "permute": lambda m, x: x.permute(1, 0) ** 2 @ x,
    "expand": lambda m, x: x[:, None].expand(3, 5, 4) ** 2,
    "flip": lambda m, x: x.flip(0) * x,
    "slice": lambda m, x: x[1:, ::2] ** 2,
    "gather": lambda m, x: x[m.tensor([0, 2, 0])] ** 2,
    "index pairs": lambda m, x: x[m.tensor([0, 2, 0]), m.tensor([1, 1, 1])] ** 2,
    "where": lambda m, x: m.where(x > 1, x * x, x**3),
    "clone": lambda m, x: x.clone() * x,
    "cat": lambda m, x: m.cat([x, x * 2], 1) ** 2,
    "stack": lambda m, x: m.stack([x, x * 2]) ** 2,
    "softmax": lambda m, x: x.softmax(1) ** 2,
    "log_softmax": lambda m, x: x.log_softmax(0) ** 2,
    "sigmoid": lambda m, x: x.sigmoid(),
    "var": lambda m, x: x.var(1),
    "remainder": lambda m, x: x % 0.7 * x,
}
BINARY = {
    "add": lambda m, x, y: (x + y) * x,
    "sub": lambda m, x, y: (x - y) * y,
    "mul": lambda m, x, y: x * y,
    "div": lambda m, x, y: x / y,
    "pow": lambda m, x, y: x**y,
    "maximum": lambda m, x, y: m.maximum(x, y) ** 2,
    "minimum": lambda m, x, y: m.minimum(x, y) ** 2,
    "maximum ties": lambda m, x, y: m.maximum(x, x * 1) * y,
    "remainder": lambda m, x, y: x % y,
    "matmul": lambda m, x, y: x @ y.t(),
    "broadcast": lambda m, x, y: x[:, :1] * y + y[0],
    "where": lambda m, x, y: m.where(x > y, x, y * 2) * x,
    "scatter": lambda m, x, y: scattered(m, x, y),
    "index_put": lambda m, x, y: put(m, x, y),
}


def scattered(m, x, y):
    index = m.tensor([[0, 1, 0, 1], [2, 2, 2, 0]])
    return x.scatter_add(0, index, y[:2]) ** 2


def put(m, x, y):
    z = x * 2
    z[m.tensor([0, 2])] = y[:2] * 3
    return z * z


@pytest.mark.parametrize("name", UNARY)
def test_unary_first_and_second_derivatives(name):
    def program(m):
        x = leaf(m, 3, 4)
        y = UNARY[name](m, x)
        weight = m.tensor(np.cos(np.arange(y.numel())).reshape(tuple(y.shape)))
        (first,) = m.autograd.grad((y * weight).sum(), x, create_graph=True)
        if not first.requires_grad:
            return y, first.detach()
        (second,) = m.autograd.grad((first * first).sum(), x, allow_unused=True)
        return y.detach(), first.detach(), None if second is None else second + 0

    same(program, tolerance=1e-7)


@pytest.mark.parametrize("name", BINARY)
def test_binary_first_and_second_derivatives(name):
    def program(m):
        x, y = leaf(m, 3, 4), leaf(m, 3, 4, shift=2.0)
        z = BINARY[name](m, x, y)
        weight = m.tensor(np.cos(np.arange(z.numel())).reshape(tuple(z.shape)))
        first = m.autograd.grad((z * weight).sum(), (x, y), create_graph=True)
        total = sum((g * g).sum() for g in first)
        second = m.autograd.grad(total, (x, y), allow_unused=True)
        return z.detach(), [g.detach() for g in first], second

    same(program, tolerance=1e-7)


def program_accumulates(m):
    x = leaf(m, 3)
    (x * 2).sum().backward()
    kept = x.grad
    (x * x).sum().backward()
    return x.grad, kept is x.grad


def program_gradient_argument(m):
    x = leaf(m, 3)
    y = x * x
    y.backward(m.tensor([1.0, 2.0, 3.0], dtype=m.float64))
    return x.grad


def program_retain_graph(m):
    x = leaf(m, 3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


def program_twice_without_saved_values(m):
    x = leaf(m, 3)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    return x.grad


def program_retain_grad(m):
    x = leaf(m, 3)
    y = x * 2
    z = y.view(3, 1)
    y.retain_grad()
    z.retain_grad()
    (z * z).sum().backward()
    return y.grad, z.grad, y.retains_grad, x.grad, y.is_leaf


def program_retain_grad_then_write(m):
    x = leaf(m, 3)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y * 5).sum().backward()
    return y.grad, x.grad


def program_hooks(m):
    x = leaf(m, 3)
    seen = []
    y = x * 2
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    (y * y).sum().backward(retain_graph=True)
    handle.remove()
    handle.remove()
    first = x.grad.clone()
    x.grad = None
    (y * y).sum().backward()
    return seen, first, x.grad


def program_hook_on_viewed(m):
    x = leaf(m, 4)
    y = x * 2
    z = y.view(2, 2)
    y.register_hook(lambda g: g * 10)
    (z.t() * 3).sum().backward()
    return x.grad


def program_post_accumulate_hook(m):
    x = leaf(m, 3)
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    (x * 2).sum().backward()
    handle.remove()
    (x * 2).sum().backward()
    return seen


def program_grad_of_intermediate(m):
    x = leaf(m, 3)
    y = x * x
    z = (y * y).sum()
    dy, dx = m.autograd.grad(z, [y, x])
    return dy, dx, x.grad


def program_unused(m):
    x, y = leaf(m, 3), leaf(m, 2)
    z = (x * 2).sum()
    kept = m.autograd.grad(z, [x, y], allow_unused=True, retain_graph=True)
    return kept[0], kept[1], m.autograd.grad(z, [x, y], materialize_grads=True)


def program_several_outputs(m):
    x = leaf(m, 3)
    outputs = [(x * x).sum(), x * 3]
    return m.autograd.grad(outputs, x, [None, m.ones(3, dtype=m.float64)])


def program_backward_of_several(m):
    x = leaf(m, 3)
    m.autograd.backward([(x * x).sum(), x.sum()])
    return x.grad


def program_backward_inputs(m):
    x, y = leaf(m, 3), leaf(m, 3, shift=1)
    (x * y).sum().backward(inputs=[x])
    return x.grad, y.grad


def program_third_derivative(m):
    x = leaf(m)
    y = x**4
    for _ in range(3):
        (y,) = m.autograd.grad(y, x, create_graph=True)
    return y.detach()


def program_create_graph_backward(m):
    x = leaf(m, 2)
    (x**3).sum().backward(create_graph=True)
    requires = x.grad.requires_grad
    (x.grad**2).sum().backward()
    return requires, x.grad.detach()


def program_modes(m):
    x = leaf(m, 2)
    seen = []
    with m.no_grad():
        seen.append((x * 2).requires_grad)
        with m.enable_grad():
            seen.append((x * 2).requires_grad)
        seen.append(m.is_grad_enabled())
    with m.inference_mode():
        seen.append((x * 2).requires_grad)
    with m.set_grad_enabled(False):
        seen.append((x * 2).requires_grad)
    m.set_grad_enabled(False)
    seen.append(m.is_grad_enabled())
    m.set_grad_enabled(True)

    @m.no_grad()
    def quiet():
        return (x * 2).requires_grad

    @m.no_grad
    def bare():
        return m.is_grad_enabled()

    @m.inference_mode()
    def inference():
        return (x * 2).requires_grad

    @m.no_grad()
    def generator():
        yield m.is_grad_enabled()

    seen += [quiet(), bare(), inference()]
    for inside in generator():
        seen += [inside, m.is_grad_enabled()]
    try:
        with m.no_grad():
            raise KeyError
    except KeyError:
        seen.append(m.is_grad_enabled())
    return seen


def program_leaves(m):
    x = leaf(m, 2)
    y = x * 2
    d = y.detach()
    frozen = m.ones(2)
    return [
        x.is_leaf, y.is_leaf, d.is_leaf, frozen.is_leaf, d.requires_grad, y.requires_grad,
        (frozen * 2).requires_grad, (y > 0).requires_grad, y.long().requires_grad,
        x.grad is None, x.grad_fn is None,
    ]  # fmt: skip


def program_detach_in_place(m):
    x = leaf(m, 2)
    y = x * 2
    y.detach_()
    return y, y.requires_grad, y.is_leaf


def program_grad_assignment(m):
    x = leaf(m, 2)
    x.grad = m.zeros_like(x)
    (x * 2).sum().backward()
    first = x.grad.clone()
    x.grad.zero_()
    x.grad = None
    return first, x.grad


def program_freeze(m):
    x = leaf(m, 2)
    x.requires_grad = False
    y = (x * 2).requires_grad
    x.requires_grad_()
    return y, (x * 2).requires_grad


def program_names(m):
    x = leaf(m, 2, 2)
    results = [
        x + 1, x * 2, x.exp(), x.sum(), x.view(4), x.t(), x.permute(1, 0), x[0], x[:, :1],
        x.unsqueeze(0), x.clone(), x.tanh(), x.transpose(0, 1), x.expand(3, 2, 2), x / 3, x - 1,
        -x, x.log(), x.sqrt(),
    ]  # fmt: skip
    return [result.grad_fn.name() for result in results], [
        type(r.grad_fn).__name__ for r in results
    ]


def program_next_functions(m):
    x = leaf(m, 2)
    fn = (x * 2).exp().grad_fn
    return fn.name(), fn.next_functions[0][0].name(), len(fn.next_functions)


def program_setitem_with_gradient(m):
    x, y = leaf(m, 3), leaf(m, 2)
    z = m.zeros(2, 3, dtype=m.float64)
    row = z[1]
    z[0] = x
    row[:2] = y * 2
    z[1, 2] += x[0]
    return z, m.autograd.grad((z * z).sum(), [x, y])


def program_write_into_view_of_result(m):
    x = leaf(m, 2, 3)
    y = x * 2
    v = y.view(-1)[1:5]
    v.mul_(y[0, 0].detach().clone())
    v[0] = 0
    return y, m.autograd.grad((y * y).sum(), x)


def program_fill_forgets(m):
    x = leaf(m, 3)
    y = x * 2
    y[1] = 0
    y[0].zero_()
    (y.sum() + x.sum()).backward()
    return x.grad, y.requires_grad


def program_whole_fill(m):
    x = leaf(m, 3)
    y = x * 2
    y.zero_()
    (y.sum() + x.sum()).backward()
    return x.grad, y.requires_grad


def program_copy_between(m):
    x = leaf(m, 3)
    y = m.zeros(3)
    y.copy_(x)
    y.register_hook(lambda g: g * 2)
    (y * 3).sum().backward()
    return x.grad, y.dtype


def program_integer_ignored(m):
    x = leaf(m, 3)
    index = (x * 2).argmax()
    (x[index] * 2).backward()
    return x.grad


def program_diamond(m):
    x = leaf(m, 2)
    y = x
    for _ in range(20):
        y = y * 0.5 + y * 0.4
    y.sum().backward()
    return x.grad


class Shared:
    """Custom functions written for either module."""

    def __init__(self, m):
        base = m.autograd.Function

        class Cube(base):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x * x

            @staticmethod
            def backward(ctx, gradient):
                (x,) = ctx.saved_tensors
                return gradient * 3 * x * x

        class Pair(base):
            @staticmethod
            def forward(ctx, x, scale, y):
                ctx.scale = scale
                ctx.needs = tuple(ctx.needs_input_grad)
                total = x + y
                ctx.save_for_backward(total)
                big = (x > y).to(x.dtype)
                ctx.mark_non_differentiable(big)
                return total * scale, total, big

            @staticmethod
            def backward(ctx, first, second, third):
                (total,) = ctx.saved_tensors
                assert total.shape == first.shape
                return first * ctx.scale + second, None, first

        class Raw(base):
            @staticmethod
            def forward(ctx, x):
                ctx.set_materialize_grads(False)
                return x * 2, x * 3

            @staticmethod
            def backward(ctx, first, second):
                return None if second is not None else first * 7

        self.Cube, self.Pair, self.Raw = Cube, Pair, Raw


def program_custom_function(m):
    x = leaf(m, 3)
    cube = Shared(m).Cube
    y = cube.apply(x)
    (first,) = m.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = m.autograd.grad(first.sum(), x)
    return y, first.detach(), second, y.grad_fn.name()


def program_custom_outputs(m):
    x, y = leaf(m, 3), leaf(m, 3, shift=1)
    a, b, c = Shared(m).Pair.apply(x, 4.0, y)
    (a * 2 + b).sum().backward()
    return x.grad, y.grad, c.requires_grad, a.requires_grad


def program_custom_not_materialized(m):
    x = leaf(m, 3)
    a, _ = Shared(m).Raw.apply(x)
    a.sum().backward()
    return x.grad


def program_custom_under_no_grad(m):
    with m.no_grad():
        return Shared(m).Cube.apply(leaf(m, 2)).requires_grad


PROGRAMS = {name: value for name, value in globals().items() if name.startswith("program_")}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_programs(name):
    assert not is_error(same(PROGRAMS[name]))


ERRORS = {
    "not scalar": lambda m: leaf(m, 3).exp().backward(),
    "no grad": lambda m: m.ones(1).backward(),
    "twice": lambda m: backward_twice(m),
    "gradient shape": lambda m: leaf(m, 3).exp().backward(m.ones(2, dtype=m.float64)),
    "unused": lambda m: m.autograd.grad(leaf(m, 2).sum(), leaf(m, 2)),
    "grad of frozen": lambda m: m.autograd.grad(leaf(m, 2).sum(), m.ones(2)),
    "change flag": lambda m: (leaf(m, 2) * 2).requires_grad_(False),
    "retain of frozen": lambda m: m.ones(2).retain_grad(),
    "hook of frozen": lambda m: m.ones(2).register_hook(print),
    "post hook of result": lambda m: (leaf(m, 2) * 2).register_post_accumulate_grad_hook(print),
    "empty inputs": lambda m: leaf(m, 2).sum().backward(inputs=[]),
}


def backward_twice(m):
    y = (leaf(m, 3) ** 2).sum()
    y.backward()
    y.backward()


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    words = name != "grad of frozen"
    found = same(ERRORS[name], messages=words)
    assert is_error(found) or found == "RuntimeError"


def test_deep_graphs_are_walked_without_recursion():
    x = picograd.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(3000):
        y = y + x
    y.backward()
    assert x.grad is not None and x.grad.item() == 3001


def test_backward_frees_saved_values():
    import weakref

    x = picograd.ones(4, requires_grad=True)
    y = x.exp()
    node = weakref.ref(y.node)
    z = y.sum()
    z.backward()
    del y
    gc.collect()
    assert x.grad is not None and x.grad.tolist() == pytest.approx([2.718281828] * 4)
    del z
    x.grad = None
    gc.collect()
    assert node() is None


def test_leaves_are_freed_without_the_collector():
    import weakref

    gc.disable()
    try:
        x = picograd.ones(4, requires_grad=True)
        (x * x).sum().backward()
        dead = weakref.ref(x)
        del x
        assert dead() is None
    finally:
        gc.enable()
