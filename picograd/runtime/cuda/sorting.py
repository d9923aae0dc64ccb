"""The order of rows on the GPU; nothing waits, and nothing goes through the host.

In: a buffer of rows in device memory. Out: what `runtime.sorting` gives for one in the host's, with
the same ties and the same place for NaN. `runtime.sorting` calls it.

* rows of up to 2048 elements: a block each, in shared memory;
* the first few of longer rows: so for each tile of a row, then again for what the tiles left;
* anything else: a radix sort, all blocks together.

>>> _tile(5), _tile(3000)
(8, 2048)
"""

from __future__ import annotations

from picograd.codegen.cuda import ordering, radix
from picograd.codegen.cuda.ordering import LONGEST
from picograd.dtypes import DType, int64
from picograd.runtime.buffer import Buffer
from picograd.runtime.cuda import memory
from picograd.runtime.cuda.steps import Narrow, Ref, Step, run

FEW = LONGEST // 8  # so many of a tile are worth another round
MOST = 1 << 31  # records of a row that have 32-bit places
BLOCK = 128  # threads, where tiles are short
COUNTING_BLOCKS = 1024


def order(
    x: Buffer, rows: int, n: int, k: int, descending: bool, with_values: bool = True
) -> tuple[Buffer, Buffer]:
    """See `runtime.sorting.order`."""
    values = memory.empty(x.dtype, rows * k if with_values else 0)
    indices = memory.empty(int64, rows * k)
    if rows * k:
        if n >= MOST:
            raise RuntimeError(f"rows of 2**31 or more elements can't be sorted, this has {n}")
        # Tiles of a long row leave far fewer candidates than there were elements.
        sort = _by_tiles if n <= LONGEST or k <= FEW else _by_digits
        flip = (1 << x.dtype.bits) - 1 if descending else 0
        sort(x, (rows, n, k), flip, values if with_values else None, indices)
    return values, indices


def position(x: Buffer, rows: int, n: int, rank: int, meaning: int) -> Buffer:
    """See `runtime.sorting.position`; `meaning`: 0, a given rank; 1, that of the median; 2, of the
    median of what is no NaN."""
    found = memory.empty(int64, rows)
    if not rows:
        return found
    k = n if meaning else rank + 1
    _, indices = order(x, rows, n, k, False, with_values=False)
    parameters = [Ref(x.address), Ref(indices.address), Ref(found.address), n, k, rank]
    parameters += [Narrow(meaning), rows]
    step = Step("sort_pick", -(-rows // 256), 256, parameters)
    run(_title("rank", x.dtype, rows, n), ordering.source(x.dtype), [step])
    return found


def _title(what: str, dtype: DType, rows: int, n: int) -> str:
    return f"{what}_{dtype.name}_{rows}x{n}"


def _tile(n: int) -> int:
    """The elements of a tile, a power of two."""
    size = 2
    while size < min(n, LONGEST):
        size *= 2
    return size


def _by_tiles(
    x: Buffer, extents: tuple[int, int, int], flip: int, values: Buffer | None, indices: Buffer
) -> None:
    """In rounds, until one tile has all that is left of a row."""
    rows, n, k = extents
    width = ordering.key_bytes(x.dtype)
    steps: list[Step] = []
    held = []  # until the launches are enqueued
    here, keys, at = x.address, 0, 0
    left = n
    while True:
        size = _tile(left)
        tiles = -(-left // size)
        next_keys = next_at = 0
        if tiles > 1:
            held += [memory.allocate(rows * tiles * k * each) for each in (width, 4)]
            next_keys, next_at = (block.address for block in held[-2:])
        half = size // 2
        together = max(1, BLOCK // half)  # tiles of a block
        parameters = [Ref(here), Ref(keys), Ref(at), Ref(next_keys), Ref(next_at), Ref(x.address)]
        parameters += [Ref(values.address if values else 0), Ref(indices.address)]
        parameters += [n, left, rows, tiles, k, _key(flip, width), Narrow(half)]
        shared = together * size * (width + 4)
        blocks = -(-rows * tiles // together)
        steps.append(Step("sort_tiles", blocks, together * half, parameters, shared))
        if tiles == 1:
            break
        here, keys, at, left = 0, next_keys, next_at, tiles * k
    run(_title("sort", x.dtype, rows, n), ordering.source(x.dtype), steps)


def _key(number: int, width: int) -> int:
    """A key as a parameter."""
    if width == 8:
        return number
    return Narrow(number - (1 << 32) if number >= 1 << 31 else number)


def _by_digits(
    x: Buffer, extents: tuple[int, int, int], flip: int, values: Buffer | None, indices: Buffer
) -> None:
    """All passes; those that would move nothing do nothing."""
    rows, n, k = extents
    dtype, count = x.dtype, ordering.passes(x.dtype)
    width = ordering.key_bytes(dtype)
    blocks = -(-n // radix.tile(8 * width))
    sizes = (2 * n * width, 2 * n * 4, 1024 * blocks, 1024 * count, 4 * (count + 1))
    held = [memory.allocate(rows * size) for size in sizes]
    keys, at, counts, totals, plan = (Ref(block.address) for block in held)
    element, turn = Ref(x.address), _key(flip, width)
    counting = max(1, min(blocks, COUNTING_BLOCKS // rows))
    memory.clear(totals, rows * count * 256)
    steps = [
        Step("sort_totals", rows * counting, 256, [element, totals, n, Narrow(counting), turn]),
        Step("sort_plan", rows, 256, [totals, plan, n]),
    ]
    for digit in range(count):
        place = [Narrow(blocks), Narrow(digit)]
        counted = [element, keys, at, counts, plan, n, *place, turn]
        moved = [element, keys, at, counts, totals, plan, n, *place, turn]
        steps.append(Step("sort_count", rows * blocks, 256, counted))
        steps.append(Step("sort_places", rows * 256, 256, [counts, plan, *place]))
        steps.append(Step("sort_move", rows * blocks, 256, moved))
    places = [element, at, plan, Ref(values.address if values else 0), Ref(indices.address)]
    finish = Step("sort_finish", -(-rows * k // 256), 256, [*places, n, k, rows * k])
    run(_title("sort", dtype, rows, n), ordering.source(dtype), [*steps, finish])
