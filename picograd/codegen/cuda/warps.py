"""What threads of a warp and of a block find out together, in CUDA C.

In: nothing. Out: `WARPS`, helpers of blocks of 256 threads; every thread of the block calls them.

    pg_warp_peers      the lanes whose digit is the own one
    pg_warp_count      add one to the counter of each lane's digit (-1: none)
    pg_block_before    the sum of the numbers of all threads before, and of all

>>> "pg_warp_peers" in WARPS
True
"""

from __future__ import annotations

WARPS = r"""
__device__ inline unsigned pg_warp_peers(unsigned digit) {
    unsigned peers = 0xffffffffu;
#pragma unroll
    for (int bit = 0; bit < 8; bit++) {
        const bool set = digit >> bit & 1;
        const unsigned votes = __ballot_sync(0xffffffffu, set);
        peers &= set ? votes : ~votes;
    }
    return peers;
}
// Many equal numbers are common, and would wait for each other.
__device__ inline void pg_warp_count(unsigned* counters, int digit) {
    const int first = __shfl_sync(0xffffffffu, digit, 0);
    if (__ballot_sync(0xffffffffu, digit == first) == 0xffffffffu) {
        if ((threadIdx.x & 31) == 0 && digit >= 0) atomicAdd(counters + digit, 32u);
    } else if (digit >= 0) {
        atomicAdd(counters + digit, 1u);
    }
}
__device__ inline unsigned pg_block_before(unsigned own, unsigned* all) {
    __shared__ unsigned warps[8];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    unsigned upto = own;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
        const unsigned other = __shfl_up_sync(0xffffffffu, upto, distance);
        if (lane >= distance) upto += other;
    }
    __syncthreads();  // the sums of an earlier call are read
    if (lane == 31) warps[warp] = upto;
    __syncthreads();
    unsigned before = 0, total = 0;
#pragma unroll
    for (int each = 0; each < 8; each++) {
        before += each < warp ? warps[each] : 0;
        total += warps[each];
    }
    *all = total;
    return before + upto - own;
}
"""
