"""Radix sort in CUDA C: what the blocks of one pass do, stable and without an order among blocks.

In: nothing. Out: `RADIX`, helpers. A pass sorts keys, and the positions that go with them, by eight
bits: every block counts the digits of its tile, one block a digit adds up what the tiles have, and
then each block brings its tile into order in shared memory and writes it to its places. A `Make`
says how the key of an element is made (`pg_made`). `cuda.ordering` makes kernels of whole sorts.

>>> "pg_block_move" in RADIX
True
"""

from __future__ import annotations

from picograd.codegen.cuda.warps import WARPS

THREADS = 256  # of a block, as many as there are digits
DIGIT = 8


def tile(key_bits: int) -> int:
    """The elements of a block's tile."""
    return THREADS * (8 if key_bits > 32 else 16)


RADIX = (
    WARPS
    + r"""
// Elements, or the keys and positions that an earlier pass has left.
template <typename Make> struct pg_rows {
    typedef typename Make::Key Key;
    const typename Make::Element* x;
    const Key* keys;
    const unsigned* at;
    Key flip;
};
template <typename Make> __device__ inline typename Make::Key pg_key(
    const pg_rows<Make>& rows, long long i
) {
    return rows.keys ? rows.keys[i] : pg_made(Make(), rows.x[i]) ^ rows.flip;
}
template <typename Make> __device__ inline unsigned pg_position(
    const pg_rows<Make>& rows, long long i
) {
    return rows.at ? rows.at[i] : (unsigned)i;
}
struct pg_number {  // keys that are there already
    typedef unsigned Key;
    typedef unsigned Element;
};
__device__ inline unsigned pg_made(pg_number, unsigned x) { return x; }
template <typename Key> struct pg_tile {
    static const int items = sizeof(Key) > 4 ? 8 : 16;
};

// How often each digit occurs in a tile: counts[digit * blocks + block].
template <typename Make> __device__ void pg_block_count(
    const pg_rows<Make>& rows, long long n, int block, int blocks, int shift, unsigned* counts
) {
    __shared__ unsigned bins[256];
    bins[threadIdx.x] = 0;
    __syncthreads();
    const int items = pg_tile<typename Make::Key>::items;
    const long long base = (long long)block * 256 * items;
    for (int item = 0; item < items; item++) {
        const long long i = base + item * 256 + threadIdx.x;
        pg_warp_count(bins, i < n ? (int)(pg_key(rows, i) >> shift & 255) : -1);
    }
    __syncthreads();
    counts[(long long)threadIdx.x * blocks + block] = bins[threadIdx.x];
}
// What all blocks before each have of a digit, in place of what it has itself; all together.
__device__ inline void pg_block_places(unsigned* counts, int blocks, unsigned* total) {
    unsigned run = 0;
    for (int start = 0; start < blocks; start += 256) {
        const int i = start + threadIdx.x;
        const unsigned own = i < blocks ? counts[i] : 0;
        unsigned all;
        const unsigned before = pg_block_before(own, &all);
        if (i < blocks) counts[i] = run + before;
        run += all;
    }
    if (threadIdx.x == 0) *total = run;
}
// Bring a tile into order and write it. counts: the places of its digits among equal ones; totals
// of the digits: where these begin.
template <typename Make> __device__ void pg_block_move(
    const pg_rows<Make>& rows, long long n, int block, int blocks, int shift,
    const unsigned* counts, const unsigned* totals, typename Make::Key* keys, unsigned* at
) {
    typedef typename Make::Key Key;
    const int items = pg_tile<Key>::items;
    __shared__ Key key_of[256 * items];
    __shared__ unsigned at_of[256 * items];
    __shared__ unsigned counters[8 * 256];
    __shared__ unsigned places[256];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, thread = threadIdx.x;
    const long long base = (long long)block * 256 * items;
    const int count = n - base < 256 * items ? (int)(n - base) : 256 * items;
    unsigned* const mine = counters + warp * 256;
    for (int each = 0; each < 8; each++) counters[each * 256 + thread] = 0;
    __syncthreads();
    Key key[items];
    unsigned rank[items];
#pragma unroll
    for (int item = 0; item < items; item++) {
        const int i = (warp * items + item) * 32 + lane;
        // What lies behind the end comes last, and is not written.
        key[item] = i < count ? pg_key(rows, base + i) : ~(Key)0;
        const unsigned digit = (unsigned)(key[item] >> shift & 255);
        const unsigned peers = pg_warp_peers(digit);
        const unsigned before = __popc(peers & ((1u << lane) - 1));
        const unsigned start = mine[digit];
        __syncwarp();
        if (before == 0) mine[digit] = start + __popc(peers);
        __syncwarp();
        rank[item] = start + before;
    }
    __syncthreads();
    unsigned total = 0, ignored;
    for (int each = 0; each < 8; each++) {
        const unsigned one = counters[each * 256 + thread];
        counters[each * 256 + thread] = total;
        total += one;
    }
    const unsigned start = pg_block_before(total, &ignored);
    const unsigned digits_before = pg_block_before(totals[thread], &ignored);
    for (int each = 0; each < 8; each++) counters[each * 256 + thread] += start;
    places[thread] = digits_before + counts[(long long)thread * blocks + block] - start;
    __syncthreads();
#pragma unroll
    for (int item = 0; item < items; item++) {
        const int i = (warp * items + item) * 32 + lane;
        const unsigned place = mine[(unsigned)(key[item] >> shift & 255)] + rank[item];
        key_of[place] = key[item];
        if (i < count) at_of[place] = pg_position(rows, base + i);
    }
    __syncthreads();
    for (int i = thread; i < count; i += 256) {
        const unsigned place = places[(unsigned)(key_of[i] >> shift & 255)] + i;
        keys[place] = key_of[i];
        at[place] = at_of[i];
    }
}

// For scatters, whose keys are 32 bits wide.
__device__ inline pg_rows<pg_number> pg_keys(const unsigned* keys, const int* at, bool first) {
    pg_rows<pg_number> rows;
    rows.x = 0;
    rows.keys = keys;
    rows.at = first ? 0 : (const unsigned*)at;
    rows.flip = 0;
    return rows;
}
__device__ inline void pg_block_count_keys(
    const unsigned* keys, long long n, int block, int blocks, int shift, unsigned* counts
) {
    pg_block_count(pg_keys(keys, 0, true), n, block, blocks, shift, counts);
}
__device__ inline void pg_block_move_keys(
    const unsigned* keys, const int* at, bool first, long long n, int block, int blocks,
    int shift, const unsigned* counts, const unsigned* totals, unsigned* to, int* to_at
) {
    pg_block_move(pg_keys(keys, at, first), n, block, blocks, shift, counts, totals, to,
                  (unsigned*)to_at);
}
// Where one block has everything.
__device__ inline void pg_block_one_place(unsigned* counts, unsigned* totals) {
    totals[threadIdx.x] = counts[threadIdx.x];
    counts[threadIdx.x] = 0;
}
// The chunk in which the run ends that the last key of a chunk belongs to, among sorted keys; the
// chunk itself, where the run began before it.
__device__ inline void pg_run_end(
    const unsigned* keys, long long n, int size, int chunk, int* ends
) {
    const long long start = (long long)chunk * size;
    long long low = start + size < n ? start + size : n, high = n;
    const unsigned key = keys[low - 1];
    if (start > 0 && keys[start - 1] == key) high = low;
    while (low < high) {
        const long long middle = (low + high) / 2;
        if (keys[middle] == key) low = middle + 1;
        else high = middle;
    }
    ends[chunk] = (int)((low - 1) / size);
}
"""
)
