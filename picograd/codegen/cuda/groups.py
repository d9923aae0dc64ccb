"""The helpers of kernels for compute capability 9.0: boxes of memory, meetings, warp groups.

In: nothing. Out: `GROUPS`, CUDA C that ends the prelude. `contraction.warp_groups` makes the calls;
`tests/cuda_emulator/emulator.h` has the same helpers for the CPU.

    pg_map_publish     a descriptor from the parameters to global memory, for later launches
    pg_map_acquire     what was published is seen by this thread's fetches
    pg_fetch_tile      begin to copy a box to shared memory; its bytes arrive at a meeting
    pg_meet_begin      a meeting (mbarrier) of so many threads; _begun: all may use them
    pg_meet_expect     arrive, and let the phase end no sooner than so many bytes have come
    pg_meet_arrive, pg_meet_wait (until the phase of this parity has ended)
    pg_meet_threads    the first threads of the block meet
    pg_registers_*     a warp group gives registers back, or takes them
    pg_products_begin, pg_products_end (until they are done)
    pg_multiply_group* 64 x n sums += 64 x 16 of left * 16 x n of right, for a warp group

A factor in shared memory has lines of 128 bytes, swizzled: 64 k of one line (row or column), eight
lines in a pattern; or, turned, 64 lines of one k, eight k in a pattern, and the next 64 lines 8 KiB
later. Sums are as those of tiles: warp w of the group has rows 16 w to 16 w + 15.

>>> "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16" in GROUPS
True
"""

from __future__ import annotations


def _multiply(wide: int, name: str, kind: str) -> str:
    """One product of a warp group, whose sums are `wide` / 2 registers of each thread."""
    count = wide // 2
    places = ", ".join(f"%{number}" for number in range(count))
    sums = ", ".join(f'"+f"(sums[{number}])' for number in range(count))
    return f"""
template <int turn_left, int turn_right> __device__ inline void
pg_multiply_group{wide}_{name}(float* sums, const void* left, const void* right) {{
    asm volatile("{{\\n.reg .pred p;\\nsetp.ne.b32 p, 1, 0;\\n"
        "wgmma.mma_async.sync.aligned.m64n{wide}k16.f32.{kind}.{kind} "
        "{{{places}}}, %{count}, %{count + 1}, p, 1, 1, %{count + 2}, %{count + 3};\\n}}"
        : {sums}
        : "l"(pg_matrix<turn_left>(left)), "l"(pg_matrix<turn_right>(right)),
          "n"(turn_left), "n"(turn_right));
}}"""


_PRODUCTS = "".join(
    _multiply(wide, name, kind)
    for wide in (128, 256)
    for name, kind in (("bfloat", "bf16"), ("half", "f16"))
)

GROUPS = (
    r"""
struct pg_map { unsigned long long words[16]; };
#ifdef __CUDACC__
__device__ inline char* pg_aligned(void* shared) {
    return (char*)shared + (-pg_shared_address(shared) & 1023);
}
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
__device__ inline void pg_map_publish(unsigned long long* to, const pg_map& map) {
#pragma unroll
    for (int word = 0; word < 16; word++) to[word] = map.words[word];
    asm volatile("fence.proxy.tensormap::generic.release.gpu;" ::: "memory");
}
__device__ inline void pg_map_acquire(const unsigned long long* map) {
    asm volatile("fence.proxy.tensormap::generic.acquire.gpu [%0], 128;" :: "l"(map) : "memory");
}
__device__ inline void pg_fetch_tile(
    void* to, const unsigned long long* map, int x, int y, int z, unsigned long long* meet
) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%2, %3, %4}], [%5];" :: "r"(pg_shared_address(to)), "l"(map), "r"(x), "r"(y),
        "r"(z), "r"(pg_shared_address(meet)) : "memory");
}
__device__ inline void pg_meet_begin(unsigned long long* meet, int threads) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::
                 "r"(pg_shared_address(meet)), "r"(threads) : "memory");
}
__device__ inline void pg_meets_begun() {
    asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async;" ::: "memory");
}
__device__ inline void pg_meet_expect(unsigned long long* meet, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::
                 "r"(pg_shared_address(meet)), "r"(bytes) : "memory");
}
__device__ inline void pg_meet_arrive(unsigned long long* meet) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::
                 "r"(pg_shared_address(meet)) : "memory");
}
__device__ inline void pg_meet_wait(unsigned long long* meet, int parity) {
    asm volatile("{\n.reg .pred done;\nagain:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again;\n}" :: "r"(pg_shared_address(meet)), "r"(parity) : "memory");
}
template <int threads> __device__ inline void pg_meet_threads() {
    asm volatile("bar.sync 1, %0;" :: "n"(threads) : "memory");
}
template <int count> __device__ inline void pg_registers_less() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(count));
}
template <int count> __device__ inline void pg_registers_more() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(count));
}
__device__ inline void pg_products_begin() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void pg_products_end() {
    asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
}
// Where a factor begins; from 64 lines to the next (turned only) and from 8 lines (turned: k) to
// the next, in 16 bytes; the swizzle of 128 bytes.
template <int turned> __device__ inline unsigned long long pg_matrix(const void* place) {
    const unsigned long long start = (pg_shared_address(place) & 0x3ffff) >> 4;
    return start | (turned ? 512ull : 1ull) << 16 | 64ull << 32 | 1ull << 62;
}"""
    + _PRODUCTS
    + """
#endif
#endif
"""
)
