"""Which elements, and where in a sequence: selection and binary search in CUDA C.

In: nothing, or a dtype. Out: `SELECTION` and `search`, files of kernels that
`runtime.cuda.selecting` launches.

    select_count    the flags of each tile that are set
    select_places   how many the tiles before have, and all
    select_write    the places of the set flags, in order
    search          where numbers belong in sorted rows: behind what is less, or what is equal too

>>> from picograd.dtypes import float32
>>> "select_write" in SELECTION, "search(" in search(float32)
(True, True)
"""

from __future__ import annotations

from functools import lru_cache

from picograd.codegen.cuda.ordering import keys
from picograd.codegen.cuda.radix import RADIX
from picograd.dtypes import DType

FLAGS = 16  # of a thread: 16 bytes
TILE = 256 * FLAGS

SELECTION = (
    RADIX
    + r"""
// The flags of a thread: a bit for each.
__device__ inline unsigned pg_flags(const unsigned char* flags, long long n, long long start) {
    unsigned found = 0;
    if (start + 16 <= n) {
        union { uint4 words; unsigned char at[16]; } all;
        all.words = *(const uint4*)(flags + start);
#pragma unroll
        for (int item = 0; item < 16; item++) found |= (all.at[item] ? 1u : 0u) << item;
    } else {
        for (int item = 0; item < 16 && start + item < n; item++)
            found |= (flags[start + item] ? 1u : 0u) << item;
    }
    return found;
}
extern "C" __global__ void __launch_bounds__(256) select_count(
    const unsigned char* flags, unsigned* counts, long long n
) {
    const long long start = ((long long)blockIdx.x * 256 + threadIdx.x) * 16;
    unsigned all;
    pg_block_before(__popc(pg_flags(flags, n, start)), &all);
    if (threadIdx.x == 0) counts[blockIdx.x] = all;
}
extern "C" __global__ void __launch_bounds__(256) select_places(
    unsigned* counts, int blocks, unsigned* total
) {
    pg_block_places(counts, blocks, total);
}
extern "C" __global__ void __launch_bounds__(256) select_write(
    const unsigned char* flags, const unsigned* counts, long long* places, long long n
) {
    const long long start = ((long long)blockIdx.x * 256 + threadIdx.x) * 16;
    unsigned found = pg_flags(flags, n, start), all;
    long long to = counts[blockIdx.x] + pg_block_before(__popc(found), &all);
    for (int item = 0; found; item++, found >>= 1)
        if (found & 1) places[to++] = start + item;
}
"""
)

_SEARCH = r"""
extern "C" __global__ void __launch_bounds__(256) search(
    const Element* rows, const Element* numbers, long long* places, long long n, long long step,
    long long each, long long count, int behind
) {
    const long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    if (i >= count) return;
    const Element* const row = rows + i / each * step;
    const Key key = pg_made(Make(), numbers[i]);
    long long low = 0, high = n;
    while (low < high) {
        const long long middle = (low + high) / 2;
        const Key here = pg_made(Make(), row[middle]);
        if (here < key || (behind && here == key)) low = middle + 1;
        else high = middle;
    }
    places[i] = low;
}
"""


@lru_cache(maxsize=32)
def search(dtype: DType) -> str:
    """A complete file for one element type."""
    return keys(dtype) + _SEARCH
