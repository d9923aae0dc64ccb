"""Random graphs: what the schedule's notation computes is what the graph means."""

from __future__ import annotations

import random

import numpy as np

from picograd.graph.interpret import interpret
from tests.schedule.graphs import check, random_graph


def run(seed: int) -> None:
    graph, outputs, donated = random_graph(seed, 2 + seed % 14)
    wanted = interpret(outputs, graph.buffers, graph.values)
    if all(np.abs(array).max(initial=0) < 1e6 for array in wanted):
        check(outputs, graph.buffers, graph.values, donated)


def test_random_graphs(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(150):
        number = generator.randrange(1 << 30)
        try:
            run(number)
        except Exception:
            print(f"graph {number}")
            raise
