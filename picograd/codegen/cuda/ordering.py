"""Sorting of rows in CUDA C, for one element type.

In: a dtype. Out: `source`, the kernels that `runtime.cuda.sorting` launches. Keys are unsigned
integers in the order of the elements, where NaNs are equal and the greatest, and -0 equals 0; a
flip mask (all ones) turns the order round. Ties stay in the order of their positions.

    sort_tiles    a tile of up to 2048 elements in shared memory, by pairs (key, position), bitonic:
                  a short row, or part of a long one of which only the first few are wanted
    sort_totals   the digits of a row, for all passes of a radix sort (see `cuda.radix`)
    sort_plan     which passes move anything, and between which arrays
    sort_count, sort_places, sort_move   one pass
    sort_finish   positions and elements in order
    sort_pick     the position at a rank, or at the median's

A row has two arrays of keys and positions. In the plan, a pass reads from 0 (the elements), 1 or 2,
plus 4 where all elements have the same digit.

>>> from picograd.dtypes import float16
>>> passes(float16), "unsigned short" in source(float16)
(2, True)
"""

from __future__ import annotations

from functools import lru_cache

from picograd.codegen.cuda.ops import C_TYPES
from picograd.codegen.cuda.radix import RADIX
from picograd.dtypes import DType, bfloat16, float16, float32

LONGEST = 2048  # elements of a tile in shared memory
_MANTISSA = {float16: 10, bfloat16: 7, float32: 23}
_UNSIGNED = {1: "unsigned char", 2: "unsigned short", 4: "unsigned", 8: "unsigned long long"}


def passes(dtype: DType) -> int:
    """The passes of a radix sort."""
    return dtype.itemsize


def key_bytes(dtype: DType) -> int:
    """The size of a key."""
    return 8 if dtype.itemsize == 8 else 4


def _key(dtype: DType) -> str:
    """The body that makes a key of an element `x`."""
    bits = dtype.bits
    sign = f"((Key)1 << {bits - 1})"
    if not dtype.is_float:
        return f"return (Key)(Raw)x ^ {sign};" if dtype.is_signed else "return (Key)(Raw)x;"
    mantissa = _MANTISSA.get(dtype, 52)
    infinity = ((1 << (bits - 1 - mantissa)) - 1) << mantissa
    return f"""const Key raw = pg_raw(x), size = raw & ({sign} - 1);
    if (size > {infinity}ull) return (Key)(Raw)~(Raw)0;
    return size == 0 ? {sign} : raw & {sign} ? (Key)(Raw)~raw : raw | {sign};"""


@lru_cache(maxsize=32)
def source(dtype: DType) -> str:
    """All kernels, as a complete file."""
    return keys(dtype) + _TILES + _RADIX_KERNELS + _pick(dtype)


def keys(dtype: DType) -> str:
    """The helpers, and how keys are made: `pg_made(Make(), element)`."""
    key = _UNSIGNED[key_bytes(dtype)]
    head = f"""
typedef {C_TYPES[dtype][1]} Element;
typedef {_UNSIGNED[dtype.itemsize]} Raw;
typedef {key} Key;
#define PASSES {passes(dtype)}
__device__ inline Key pg_raw(Element x) {{
    union {{ Element x; Raw raw; }} both;
    both.x = x;
    return both.raw;
}}
struct Make {{
    typedef ::Key Key;
    typedef ::Element Element;
}};
__device__ inline Key pg_made(Make, Element x) {{
    {_key(dtype)}
}}
"""
    return RADIX + head


_TILES = r"""
// n elements (or keys and positions) a row, in tiles; the first k of each tile go to where the next
// round finds them, or are the results: those of the rows of `whole`, `width` long. `half` threads
// have a tile of 2 * half.
extern "C" __global__ void __launch_bounds__(1024) sort_tiles(
    const Element* x, const Key* keys, const unsigned* at, Key* next_keys, unsigned* next_at,
    const Element* whole, Element* values, long long* indices, long long width, long long n,
    long long rows, long long tiles, long long k, Key flip, int half
) {
    extern __shared__ uint4 pg_shared[];
    const int group = threadIdx.x / half, thread = threadIdx.x % half, size = 2 * half;
    Key* const key_of = (Key*)pg_shared + group * size;
    unsigned* const at_of = (unsigned*)((Key*)pg_shared + blockDim.x * 2) + group * size;
    const long long number = (long long)blockIdx.x * (blockDim.x / half) + group;
    const bool some = number < rows * tiles;
    const long long row = some ? number / tiles : 0, tile = some ? number % tiles : 0;
    for (int i = thread; i < size; i += half) {
        const long long from = tile * size + i;
        const bool inside = some && from < n;
        key_of[i] = !inside ? ~(Key)0 : x ? pg_made(Make(), x[row * n + from]) ^ flip
                                          : keys[row * n + from];
        at_of[i] = !inside ? ~0u : x ? (unsigned)from : at[row * n + from];
    }
    __syncthreads();
    for (int run = 2; run <= size; run *= 2) {
        for (int distance = run / 2; distance; distance /= 2) {
            const int low = 2 * thread - (thread & (distance - 1)), high = low + distance;
            const Key first = key_of[low], second = key_of[high];
            const unsigned here = at_of[low], there = at_of[high];
            const bool greater = first > second || (first == second && here > there);
            if (greater == ((low & run) == 0)) {
                key_of[low] = second;
                key_of[high] = first;
                at_of[low] = there;
                at_of[high] = here;
            }
            __syncthreads();
        }
    }
    for (int i = thread; some && i < k && i < size; i += half) {
        if (next_keys) {
            next_keys[number * k + i] = key_of[i];
            next_at[number * k + i] = at_of[i];
        } else {
            indices[row * k + i] = at_of[i];
            if (values) values[row * k + i] = whole[row * width + at_of[i]];
        }
    }
}
"""

_RADIX_KERNELS = r"""
struct Row {  // a row's arrays, and where a pass finds and leaves its records
    pg_rows<Make> from;
    Key* keys;
    unsigned* at;
};
__device__ inline Row pg_row(
    const Element* x, Key* keys, unsigned* at, long long row, long long n, int state, Key flip
) {
    Key* const mine = keys + row * 2 * n;
    unsigned* const places = at + row * 2 * n;
    const int from = state & 3, other = from == 1;
    Row found;
    found.from.x = x + row * n;
    found.from.keys = from ? mine + (from - 1) * n : 0;
    found.from.at = from ? places + (from - 1) * n : 0;
    found.from.flip = flip;
    found.keys = mine + other * n;
    found.at = places + other * n;
    return found;
}
extern "C" __global__ void __launch_bounds__(256) sort_totals(
    const Element* x, unsigned* totals, long long n, int blocks, Key flip
) {
    __shared__ unsigned bins[PASSES * 256];
    const long long row = blockIdx.x / blocks, block = blockIdx.x % blocks;
    for (int digit = 0; digit < PASSES; digit++) bins[digit * 256 + threadIdx.x] = 0;
    __syncthreads();
    const long long step = (long long)blocks * 256;
    for (long long start = block * 256; start < n; start += step) {
        const long long i = start + threadIdx.x;
        const Key key = i < n ? pg_made(Make(), x[row * n + i]) ^ flip : 0;
#pragma unroll
        for (int digit = 0; digit < PASSES; digit++)
            pg_warp_count(bins + digit * 256, i < n ? (int)(key >> 8 * digit & 255) : -1);
    }
    __syncthreads();
    for (int digit = 0; digit < PASSES; digit++) {
        const unsigned found = bins[digit * 256 + threadIdx.x];
        if (found) atomicAdd(totals + (row * PASSES + digit) * 256 + threadIdx.x, found);
    }
}
extern "C" __global__ void __launch_bounds__(256) sort_plan(
    const unsigned* totals, int* plan, long long n
) {
    __shared__ int same[PASSES];
    const long long row = blockIdx.x;
    if (threadIdx.x < PASSES) same[threadIdx.x] = 0;
    __syncthreads();
    for (int digit = 0; digit < PASSES; digit++)
        if (totals[(row * PASSES + digit) * 256 + threadIdx.x] == n) same[digit] = 4;
    __syncthreads();
    if (threadIdx.x) return;
    int from = 0;
    for (int digit = 0; digit < PASSES; digit++) {
        plan[row * (PASSES + 1) + digit] = from | same[digit];
        if (!same[digit]) from = from == 1 ? 2 : 1;
    }
    plan[row * (PASSES + 1) + PASSES] = from;
}
extern "C" __global__ void __launch_bounds__(256) sort_count(
    const Element* x, Key* keys, unsigned* at, unsigned* counts, const int* plan, long long n,
    int blocks, int digit, Key flip
) {
    const long long row = blockIdx.x / blocks;
    const int block = blockIdx.x % blocks, state = plan[row * (PASSES + 1) + digit];
    if (state & 4) return;
    const Row here = pg_row(x, keys, at, row, n, state, flip);
    pg_block_count(here.from, n, block, blocks, 8 * digit, counts + row * 256 * blocks);
}
extern "C" __global__ void __launch_bounds__(256) sort_places(
    unsigned* counts, const int* plan, int blocks, int digit
) {
    const long long row = blockIdx.x / 256;
    if (plan[row * (PASSES + 1) + digit] & 4) return;
    unsigned ignored;
    pg_block_places(counts + (long long)blockIdx.x * blocks, blocks, &ignored);
}
extern "C" __global__ void __launch_bounds__(256) sort_move(
    const Element* x, Key* keys, unsigned* at, const unsigned* counts, const unsigned* totals,
    const int* plan, long long n, int blocks, int digit, Key flip
) {
    const long long row = blockIdx.x / blocks;
    const int block = blockIdx.x % blocks, state = plan[row * (PASSES + 1) + digit];
    if (state & 4) return;
    const Row here = pg_row(x, keys, at, row, n, state, flip);
    pg_block_move(here.from, n, block, blocks, 8 * digit, counts + row * 256 * blocks,
                  totals + (row * PASSES + digit) * 256, here.keys, here.at);
}
extern "C" __global__ void __launch_bounds__(256) sort_finish(
    const Element* x, const unsigned* at, const int* plan, Element* values, long long* indices,
    long long n, long long k, long long count
) {
    const long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    if (i >= count) return;
    const long long row = i / k, place = i % k;
    const int from = plan[row * (PASSES + 1) + PASSES];
    const unsigned position = from ? at[(row * 2 + from - 1) * n + place] : (unsigned)place;
    indices[i] = position;
    if (values) values[i] = x[row * n + position];
}
"""


def _pick(dtype: DType) -> str:
    """The position at a rank; meaning 1: at the median's, or the first NaN's; 2: at that of all
    others."""
    nan = (
        "false"
        if not dtype.is_float
        else "pg_made(Make(), x[row * n + indices[row * n + at]]) == last"
    )
    return f"""
extern "C" __global__ void __launch_bounds__(256) sort_pick(
    const Element* x, const long long* indices, long long* found, long long n, long long k,
    long long rank, int meaning, long long rows
) {{
    const long long row = (long long)blockIdx.x * 256 + threadIdx.x;
    if (row >= rows) return;
    if (meaning) {{
        const Key last = (Key)(Raw)~(Raw)0;
        long long numbers = 0, end = n;  // what is no NaN comes first
        while (numbers < end) {{
            const long long at = (numbers + end) / 2;
            if ({nan}) end = at;
            else numbers = at + 1;
        }}
        rank = numbers == n || meaning == 2 ? (numbers > 0 ? (numbers - 1) / 2 : 0) : numbers;
    }}
    found[row] = indices[row * k + rank];
}}
"""
