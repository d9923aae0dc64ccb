"""Compiled programs, and which one serves a graph.

In: a graph and its structure, from the engine. Out: `get`, a variant that computes it and the
values to run it with. A graph is served, in this order, by

1. a program compiled for its very structure (`graph.canonical`);
2. a program for many sizes (`graph.elastic`) of its kind: the same but for extents;
3. a new program: for its own sizes when these are the first of the kind, for many sizes from then
   on (`PICOGRAD_ELASTIC=0` forbids it), where the graph has such a program.

Sizes that come back again and again, or several times on end, get a program of their own: it needs
no masks.

>>> statistics.programs_compiled >= 0
True
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from picograd import env, reporter
from picograd.graph.canonical import Structure, canonicalise, identity, is_simple
from picograd.graph.elastic.sizes import Sizes, split
from picograd.graph.hole import is_hole
from picograd.graph.node import Node
from picograd.reporter import Reporter
from picograd.runtime import device as devices
from picograd.runtime.device import Canonical, Executable

if TYPE_CHECKING:
    from picograd.graph.elastic.build import Recipe

# A program for many sizes is left for one of the very size after this many runs, or runs on end.
RUNS_BEFORE_OWN, RUNS_ON_END = 64, 3
# A kind whose graph has no program for many sizes is tried this often (sizes may be unlucky).
ATTEMPTS = 2


@dataclass(slots=True)
class Statistics:
    """Counters since the process began (or since `reset`)."""

    programs_compiled: int = 0
    programs_run: int = 0
    kernels_run: int = 0

    def reset(self) -> None:
        self.programs_compiled = self.programs_run = self.kernels_run = 0


statistics = Statistics()


@dataclass(slots=True)
class Variant:
    """A compiled program and the constants it was specialised for: value slot -> cell."""

    baked: dict[int, int]
    executable: Executable
    number: int  # of the program, as DEBUG=1 prints it

    def accepts(self, cells: Sequence[int]) -> bool:
        for slot, cell in self.baked.items():  # noqa: SIM110 (a generator costs more)
            if cells[slot] != cell:
                return False
        return True


@dataclass(slots=True)
class Graph:
    """What the engine asks a program for."""

    order: list[Node]
    outputs: list[Node]
    donated: list[int]
    structure: Structure


@dataclass(slots=True)
class _Kind:
    """Graphs that differ only in extents: what was seen of them, and programs for many sizes."""

    seen: list[tuple[Sizes, list[int]]] = field(default_factory=list)
    variants: list[tuple[Variant, Recipe]] = field(default_factory=list)
    runs: dict[Sizes, int] = field(default_factory=dict)
    last: Sizes | None = None  # the sizes of the last run, and how often they came on end
    streak: int = 0
    attempts: int = 0

    def outgrows(self, sizes: Sizes) -> bool:
        """Count one more run of these sizes; True if they are worth a program of their own."""
        runs = self.runs[sizes] = self.runs.get(sizes, 0) + 1
        self.streak = self.streak + 1 if self.last == sizes else 1
        self.last = sizes
        return runs > RUNS_BEFORE_OWN or self.streak > RUNS_ON_END


_programs: dict[Hashable, list[Variant]] = {}
_kinds: dict[Hashable, _Kind] = {}


def get(graph: Graph) -> tuple[Variant, list[int]]:
    """A program that computes the graph, compiled if need be, and the values to give it."""
    structure = graph.structure
    for variant in _programs.get(structure.key, ()):
        if variant.accepts(structure.cells):
            _tell_found(variant)
            return variant, structure.cells
    if any(is_hole(node) for node in graph.order):
        raise RuntimeError(
            "vmap: it looks like you're asking a tensor for its contents (.item(), if, print) in a "
            "mapped function, where it stands for all examples at once. This is not supported."
        )
    if graph.outputs[0].device not in ("cpu", "cuda") or not env.ELASTIC.get():
        return _compile_own(graph), structure.cells
    skeleton, sizes = split(structure)
    kind = _kinds.setdefault(skeleton, _Kind())
    found = _find(kind, structure, sizes)
    if found is None and _is_worth_a_try(kind, sizes):
        found = _compile_elastic(graph, kind, sizes)
    if found is None:
        _see(kind, sizes, structure.cells)
        return _compile_own(graph), structure.cells
    variant, recipe = found
    if kind.outgrows(sizes):
        return _compile_own(graph), structure.cells
    fit = recipe.fit(sizes)
    assert fit is not None
    return variant, recipe.values(structure.cells, fit)


def rerun(structure: Structure) -> Callable[[], bool]:
    """For who keeps a program for many sizes and runs it again without `get`: to be called before
    each run, False when the sizes have come so often that `get` should be asked again."""
    skeleton, sizes = split(structure)
    kind = _kinds.get(skeleton, _Kind())
    return lambda: not kind.outgrows(sizes)


def own(graph: Graph) -> Variant:
    """The program of a graph's own sizes."""
    structure = graph.structure
    for variant in _programs.get(structure.key, ()):
        if variant.accepts(structure.cells):
            return variant
    return _compile_own(graph)


def clear_cache() -> None:
    """Forget all compiled programs (for tests and measurements of compile time)."""
    _programs.clear()
    _kinds.clear()


def _tell_found(variant: Variant) -> None:
    if env.debug_level() >= 1:
        kernels = variant.executable.kernel_count
        print(f"program {variant.number}: {kernels} kernels, found in the cache", file=sys.stderr)


# --- a program of its own -----------------------------------------------------------------------


def _compile_own(graph: Graph) -> Variant:
    """Compile a program for a graph that no variant fits, and remember it."""
    started = time.perf_counter()
    structure = graph.structure
    variants = _programs.setdefault(structure.key, [])
    # The constants to specialise for: simple ones that no known variant saw with another value.
    baked = {slot: structure.cells[slot] for slot, attr in structure.constants if is_simple(attr)}
    for variant in variants:
        baked = {slot: cell for slot, cell in baked.items() if variant.baked.get(slot) == cell}

    def make() -> Canonical:
        canonical = canonicalise(graph.order, graph.outputs, structure, frozenset(baked))
        slots = {id(buffer): slot for slot, buffer in enumerate(structure.leaves)}
        places = [slots[id(graph.order[position].buffer)] for position in graph.donated]
        return canonical, frozenset(places)

    built = _build(graph, make, lambda: identity(structure, baked))
    variant = Variant(baked, *built)
    variants.append(variant)
    _tell_compiled(graph, variant, started, "")
    return variant


def _build(
    graph: Graph, make: Callable[[], Canonical], identify: Callable[[], str]
) -> tuple[Executable, int]:
    """An executable, and the number of its program; who watches sees it made."""
    statistics.programs_compiled += 1
    device = devices.get(graph.outputs[0].device)
    if not reporter.wanted():
        return device.obtain(make, identify), statistics.programs_compiled
    report = Reporter(statistics.programs_compiled)
    canonical, donated = make()
    report.saw_graph(canonical)
    return device.build(canonical, donated, report), statistics.programs_compiled


def _tell_compiled(graph: Graph, variant: Variant, started: float, remark: str) -> None:
    if env.debug_level() >= 1:
        milliseconds = (time.perf_counter() - started) * 1e3
        done = "loaded" if variant.executable.loaded else "compiled"
        print(
            f"program {variant.number}: {len(graph.order)} nodes, "
            f"{variant.executable.kernel_count} kernels, {done} in {milliseconds:.1f} ms{remark}",
            file=sys.stderr,
        )


# --- a program for many sizes -------------------------------------------------------------------


def _find(kind: _Kind, structure: Structure, sizes: Sizes) -> tuple[Variant, Recipe] | None:
    """The program of a kind that serves a graph with the least room to spare."""
    best = None
    for variant, recipe in kind.variants:
        fit = recipe.fit(sizes)
        if fit is None or not variant.accepts(structure.cells):
            continue
        if best is None or sum(recipe.capacities) < sum(best[1].capacities):
            best = variant, recipe
    if best is not None:
        _tell_found(best[0])
    return best


def _is_worth_a_try(kind: _Kind, sizes: Sizes) -> bool:
    others = any(seen != sizes for seen, _ in kind.seen)
    return others and kind.attempts < ATTEMPTS


def _see(kind: _Kind, sizes: Sizes, cells: list[int]) -> None:
    if len(kind.seen) < 8 and all(sizes != seen for seen, _ in kind.seen):
        kind.seen.append((sizes, list(cells)))


def _compile_elastic(graph: Graph, kind: _Kind, sizes: Sizes) -> tuple[Variant, Recipe] | None:
    """Compile a program for many sizes; None when the graph has none."""
    from picograd.graph.elastic.build import build
    from picograd.graph.elastic.cost import reach
    from picograd.graph.elastic.layout import Unsupported
    from picograd.runtime.elastic import ElasticExecutable

    started = time.perf_counter()
    structure = graph.structure
    observations = [*(seen for seen, _ in kind.seen if seen != sizes), sizes]
    symbols = reach(graph.order, structure, observations)
    if 0 in (symbols.values(sizes) or ()):
        return None  # masks would do, but nothing is quicker than a program for nothing
    baked = {
        slot: structure.cells[slot]
        for slot, attr in structure.constants
        if is_simple(attr) and all(cells[slot] == structure.cells[slot] for _, cells in kind.seen)
    }
    try:
        built = build(
            graph.order, graph.outputs, graph.donated, structure, symbols, frozenset(baked)
        )
        if built.recipe.fit(sizes) is None:
            raise Unsupported("it would compute much more than is asked for")
    except Unsupported as reason:
        kind.attempts += 1
        if env.debug_level() >= 1:
            print(f"no program for many sizes: {reason}", file=sys.stderr)
        return None
    _see(kind, sizes, structure.cells)
    executable, number = _build(
        graph,
        lambda: (built.outputs, built.donated),
        lambda: f"{identity(structure, baked)} {symbols}",
    )
    variant = Variant(baked, ElasticExecutable(executable, built.recipe), number)
    kind.variants.append((variant, built.recipe))
    limits = ", ".join(map(str, built.recipe.capacities))
    _tell_compiled(graph, variant, started, f", for sizes up to {limits}")
    return variant, built.recipe
