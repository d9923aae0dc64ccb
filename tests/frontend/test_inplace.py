"""Aliasing and in-place operations against torch."""

import pytest

pytest.importorskip("torch")
from tests.frontend.twins import is_error, same


def program_aliases_see_writes(m):
    x = m.zeros(2, 3)
    a, b = x[0], x.view(-1)
    kept = x + 1
    a[1] = 5
    b[5] = 7
    x[1] += 1
    return x, a, b, kept


def program_slices(m):
    x = m.zeros(4, 4)
    x[1:3, ::2] = m.tensor([[1.0, 2.0], [3.0, 4.0]])
    x[:, 3] = 9
    x[0, :2] = m.tensor([5, 6])
    x[3] = x[1]
    return x


def program_broadcast(m):
    x = m.zeros(2, 3)
    x[:] = m.tensor([1.0, 2.0, 3.0])
    x += m.tensor([[10.0], [20.0]])
    return x


def program_leading_ones(m):
    x = m.zeros(3)
    x[:2] = m.ones(1, 1, 2)
    return x


def program_overlapping_move(m):
    x = m.arange(6)
    x[1:] = x[:-1].clone()
    return x


def program_detach_shares(m):
    x = m.ones(3, requires_grad=True)
    d = x.detach()
    d[0] = 5
    x.data[1] = 6
    x.data += 1
    return x, d


def program_data_assignment(m):
    x = m.ones(3, requires_grad=True)
    view = x.data
    x.data = m.zeros(3)
    x.data[0] = 2
    return x, view, x.is_leaf


def program_in_place_methods(m):
    x = m.tensor([1.0, 4.0, 9.0])
    x.sqrt_().add_(1).mul_(m.tensor(2.0)).neg_()
    y = x
    y -= 1
    return x, y is x


def program_fill(m):
    x = m.empty(2, 2)
    x.fill_(3)
    x[0].zero_()
    x[1, 1].fill_(m.tensor(8.0))
    return x


def program_copy_converts(m):
    x = m.zeros(2, 2, dtype=m.int32)
    x.copy_(m.tensor([1.7, -2.5]))
    return x


def program_version(m):
    x = m.zeros(3)
    x.add_(1)
    x[0] = 2
    return x, x._version > 1


def program_fresh_results(m):
    x = m.ones(3)
    y = x.clone()
    z = x * 1
    y[0] = 0
    z[1] = 0
    return x, y, z


def program_loop(m):
    x, w = m.zeros(3, 3), m.arange(9.0).view(3, 3)
    for i in range(3):
        for j in range(3):
            for k in range(3):
                x[i, j] += w[i, k] * w[k, j]
    return x


def program_self_reference(m):
    x = m.arange(4.0)
    x[1] = x[0] + x[2]
    x[2] = x[1] * x[3]
    x += x
    return x


def program_no_grad_update(m):
    w = m.ones(3, requires_grad=True)
    with m.no_grad():
        w -= 0.5
        w[0] = 9
    return w, w.is_leaf, w.grad_fn is None


def program_saved_values_survive(m):
    w = m.tensor([1.0, 2.0], requires_grad=True)
    x = w.detach().clone()
    y = w * x
    x.zero_()
    return y, x


def program_out(m):
    x = m.empty(3)
    m.add(m.ones(3), m.ones(3), out=x)
    view = m.zeros(4)
    m.exp(m.zeros(2), out=view[1:3])
    return x, view


PROGRAMS = {name: value for name, value in globals().items() if name.startswith("program_")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    assert not is_error(same(PROGRAMS[name]))


ERRORS = {
    "leaf": lambda m: m.ones(3, requires_grad=True).add_(1),
    "leaf view": lambda m: m.ones(3, requires_grad=True)[0].add_(1),
    "leaf setitem": lambda m: m.ones(3, requires_grad=True).__setitem__(0, 1),
    "leaf augmented": lambda m: m.ones(3, requires_grad=True).__iadd__(1),
    "category": lambda m: m.ones(3, dtype=m.int64).add_(1.5),
    "category div": lambda m: m.ones(3, dtype=m.int64).__itruediv__(2),
    "shape": lambda m: m.ones(3).add_(m.ones(2, 3)),
    "shapes": lambda m: m.ones(3).add_(m.ones(2)),
    "copy": lambda m: m.ones(3).copy_(m.ones(2)),
    "fill": lambda m: m.ones(3).fill_(m.ones(2)),
    "no grad view": lambda m: written_no_grad_view(m),
    "detach view": lambda m: (m.ones(3, requires_grad=True) * 1)[0].detach_(),
}


def written_no_grad_view(m):
    x = m.zeros(3)
    with m.no_grad():
        v = x[0]
    v.copy_(m.ones((), requires_grad=True))


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    words = name not in ("copy", "shapes", "no grad view")
    found = same(ERRORS[name], messages=words)
    assert found == "RuntimeError" or found[0] == "RuntimeError"


def test_saved_values_are_not_spoiled():
    """A write that autograd doesn't notice (`.data`) changes no gradient."""
    import picograd

    x = picograd.tensor([2.0, 3.0], requires_grad=True)
    y = x * 1
    z = y * y
    y.data.zero_()
    z.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [4.0, 6.0]


def test_augmented_assignment_of_an_element_writes_once():
    import picograd

    x = picograd.zeros(2, 2)
    x[0, 1] += 5
    assert x._version == 1 and x.tolist() == [[0.0, 5.0], [0.0, 0.0]]
