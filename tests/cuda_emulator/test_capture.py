"""`torch.cuda.graph`: what is recorded, what a replay computes, and what can't be recorded. Runs
wherever there is a GPU.
"""

from __future__ import annotations

import pytest

import picograd as torch
from picograd import nn

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def vector(*values: float):
    return torch.tensor(values, dtype=torch.float32, device="cuda")


def recorded(function, *arguments):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = function(*arguments)
    return graph, results


def test_replays_read_and_write_the_same_memory() -> None:
    x, total = vector(0, 0), vector(1, 2)
    graph, y = recorded(lambda: ((x + total) * 2, total.add_(x))[0])
    assert total.tolist() == [1, 2]  # recording computes nothing
    for n in (1, 2):
        x.copy_(vector(n, n))
        graph.replay()
    assert y.tolist() == [8, 10] and total.tolist() == [4, 5]
    kept = y + 0
    x.zero_()
    graph.replay()
    assert kept.tolist() == [8, 10] and y.tolist() == [8, 10]
    x[1] = 3
    graph.replay()
    assert y.tolist() == [8, 16] and total.tolist() == [4, 8]


def test_copies_are_other_memory() -> None:
    """Tensors that share memory until one of them is written to, before and while recording."""
    x = vector(1, 2)
    before = x.clone()
    graph, (old, new) = recorded(lambda: (x.clone(), x.add_(before) * 1))
    for _ in range(3):
        graph.replay()
    assert before.tolist() == [1, 2] and x.tolist() == [4, 8]
    assert old.tolist() == [3, 6] and new.tolist() == [4, 8]
    before.copy_(vector(0, 1))
    graph.replay()
    assert x.tolist() == [4, 9] and old.tolist() == [4, 8]


def test_random_numbers_go_on() -> None:
    graph, x = recorded(lambda: torch.rand(3, device="cuda"))
    torch.manual_seed(4)
    found = []
    for _ in range(3):
        graph.replay()
        found.append(x.tolist())
    torch.manual_seed(4)
    assert found == [torch.rand(3, device="cuda").tolist() for _ in range(3)]


def test_sorting() -> None:
    x = vector(3, 1, 2)
    graph, (values, places) = recorded(lambda: (x * 2).sort())
    for numbers in ([1, 3, 2], [5, 4, 6]):
        x.copy_(vector(*numbers))
        graph.replay()
        assert values.tolist() == sorted(2 * n for n in numbers)
        assert [numbers[n] * 2 for n in places.tolist()] == values.tolist()


def _learner():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.25), nn.Linear(8, 2))
    model = model.cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x, y):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def test_a_training_step() -> None:
    batches = [(torch.randn(5, 4).cuda(), torch.randn(5, 2).cuda()) for _ in range(4)]
    trained = []
    for as_graph in (False, True):
        model, step = _learner()
        step(*batches[0])  # the optimiser's state has to be there
        x, y = batches[0][0].clone(), batches[0][1].clone()
        state = torch.get_rng_state()
        losses = []
        graph, loss = recorded(step, x, y) if as_graph else (None, None)
        torch.set_rng_state(state)
        for batch in batches:
            if graph is not None and loss is not None:
                x.copy_(batch[0])
                y.copy_(batch[1])
                graph.replay()
            else:
                loss = step(*batch)
            losses.append(loss.item())
        tensors = [*model.state_dict().values(), *[p.grad for p in model.parameters()]]
        trained.append((losses, [one.tolist() for one in tensors]))
    assert trained[0] == trained[1]


def test_indices_are_checked_in_replays() -> None:
    table, places = torch.zeros(3, device="cuda"), torch.tensor([0, 2], device="cuda")
    graph, _ = recorded(lambda: table.index_add_(0, places, vector(1, 1)))
    graph.replay()
    places.copy_(torch.tensor([0, 3]).cuda())
    with pytest.raises(IndexError):
        graph.replay()
    assert table.tolist() == [1, 0, 1]


FORBIDDEN = {
    "item": (lambda x: x.sum().item(), "capturing: the CPU reads a tensor"),
    "cpu": (lambda x: x.cpu(), "Cannot copy between CPU and CUDA tensors"),
    "from the CPU": (lambda x: torch.arange(3.0, device="cpu").cuda(), "Cannot copy between"),
    "waiting": (lambda x: torch.cuda.synchronize(), "capturing: waiting for the GPU"),
    "waiting for a stream": (lambda x: torch.cuda.Stream().synchronize(), "waiting for a stream"),
    "an event": (lambda x: torch.cuda.Event().record(), "capturing: an event"),
    "another capture": (lambda x: torch.cuda.CUDAGraph().capture_begin(), "capturing"),
    "another generator": (
        lambda x: x.uniform_(generator=torch.Generator("cuda").manual_seed(5)),
        "unregistered generator",
    ),
    "steps that are counted": (
        lambda x: _stepped(torch.optim.Adam, x),
        "graph capture of step() for an instance of Adam but param_groups' capturable is False",
    ),
}


def _stepped(kind, x) -> None:
    parameter = nn.Parameter(x)
    parameter.grad = x * 2
    kind([parameter]).step()


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_not_recorded(name) -> None:
    """The error leaves everything as it was, and the graph empty."""
    function, words = FORBIDDEN[name]
    x = vector(1, 2)
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError) as caught, torch.cuda.graph(graph):
        x.mul_(3)
        function(x)
    assert words in str(caught.value)
    assert x.tolist() == [1, 2] and not torch.cuda.is_current_stream_capturing()
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        graph.replay()


def test_memory_is_kept_as_long_as_the_graph() -> None:
    x = torch.ones(1 << 18, device="cuda")
    graph, y = recorded(lambda x: (x @ x.reshape(-1, 1)) * torch.arange(3.0, device="cuda"), x)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    others = [torch.full((1 << 10,), 9.0, device="cuda") + n for n in range(8)]
    [one.sum().item() for one in others]
    graph.replay()
    assert y.tolist() == [0, 1 << 18, 1 << 19]
    assert [one[0].item() for one in others] == [9 + n for n in range(8)]
    del others, y, x
    assert torch.cuda.memory_allocated() >= before - (1 << 12)
    graph.reset()
    assert torch.cuda.memory_allocated() <= before - (1 << 20)


def test_graphed_callables() -> None:
    model = nn.Linear(3, 2).cuda()
    x = torch.ones(4, 3, device="cuda", requires_grad=True)
    assert torch.cuda.make_graphed_callables(model, (x,)) is model
    assert model.weight.grad is None and x.grad is None
    first, second = torch.cuda.make_graphed_callables((model, torch.relu), ((x,), (x,)))
    assert second(first(x)).shape == (4, 2)
