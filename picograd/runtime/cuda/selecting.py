"""Selection and search on the GPU.

In: buffers in device memory. Out: new ones. `nonzero` waits for one number, the size of its result;
`search` only enqueues. `frontend.selecting` calls both.

>>> MOST
4294967296
"""

from __future__ import annotations

from picograd.codegen.cuda import selecting
from picograd.dtypes import int64, uint32
from picograd.runtime.buffer import Buffer
from picograd.runtime.cuda import memory
from picograd.runtime.cuda.steps import Narrow, Ref, Step, run

MOST = 1 << 32


def nonzero(flags: Buffer) -> Buffer:
    """Where flags (bool) are set: places from 0, in order."""
    n = flags.size
    if n >= MOST:
        raise RuntimeError(f"2**32 or more elements can't be searched for nonzero ones: {n}")
    if not n:
        return memory.empty(int64, 0)
    blocks = -(-n // selecting.TILE)
    counts, total = memory.empty(uint32, blocks), memory.empty(uint32, 1)
    title, source = f"nonzero_{n}", selecting.SELECTION
    counted, number = [Ref(flags.address), Ref(counts.address)], Narrow(blocks)
    run(
        title,
        source,
        [
            Step("select_count", blocks, 256, [*counted, n]),
            Step("select_places", 1, 256, [Ref(counts.address), number, Ref(total.address)]),
        ],
    )
    places = memory.empty(int64, int(total.array[0]))
    if places.size:
        run(
            title,
            source,
            [Step("select_write", blocks, 256, [*counted, Ref(places.address), n])],
        )
    return places


def search(sequences: Buffer, numbers: Buffer, n: int, each: int, behind: bool) -> Buffer:
    """Where numbers belong in sorted rows of n elements, of which every `each` numbers have the
    next; one row is that of all. `behind`: after equal ones."""
    places = memory.empty(int64, numbers.size)
    if numbers.size:
        step = n if sequences.size > n else 0
        parameters = [Ref(sequences.address), Ref(numbers.address), Ref(places.address)]
        parameters += [n, step, each, numbers.size, Narrow(behind)]
        kernel = Step("search", -(-numbers.size // 256), 256, parameters)
        dtype = numbers.dtype
        run(f"search_{dtype.name}_{numbers.size}", selecting.search(dtype), [kernel])
    return places
