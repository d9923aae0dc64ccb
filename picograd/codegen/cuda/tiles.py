"""The helpers that tiles in shared memory call: copies ahead of use, and tensor cores.

In: nothing. Out: `TILES`, CUDA C that ends the prelude. `contraction.staging` and
`contraction.tensor_cores` make the calls (`loops.Call`); `tests/cuda_emulator/emulator.h` has the
same helpers for the CPU, since these are PTX.

    pg_copy4, 8, 16    begin to copy so many bytes from global to shared memory, or to zero them
    pg_copies_end      what was begun since the last call is one group
    pg_copies_wait     until all but the last `pending` groups are there
    pg_load_matrix     four 8 x 8 matrices of 16-bit elements (8 x 4 of 32 bits), a row from each
                       lane's address: lane l gets row l / 4, elements 2 (l % 4) and the next
    pg_load_turned     the same, each matrix transposed
    pg_to_tf32         round a word, in place, to what tensor cores take of a float32
    pg_power           two to the power of a number, within 2 ULP; 0 for what is below 2 ** -126
    pg_inverse         one divided by a number, within 1 ULP; 0 for what is above 2 ** 126
    pg_pack_*          two float32 rounded to 16 bits, as one word: the first in the low half
    pg_multiply_*      16 x 8 sums += 16 x k of left * k x 8 of right, for a warp

With g = lane / 4, t = lane % 4, a lane's sums are [g, 2t], [g, 2t + 1], [g + 8, 2t] and
[g + 8, 2t + 1]; its words of the left factor [g, t], [g + 8, t], [g, t + 4], [g + 8, t + 4], of
the right one [t, g], [t + 4, g]. A word is two neighbours in k of 16 bits (k = 16), or one of 32
(k = 8).

>>> "mma.sync" in TILES, "ldmatrix" in TILES
(True, True)
"""

TILES = r"""
#ifdef __CUDACC__
__device__ inline unsigned pg_shared_address(const void* place) {
    return (unsigned)__cvta_generic_to_shared(place);
}
#if __CUDA_ARCH__ >= 800
#define PG_COPY(bytes, kind)                                                                   \
    __device__ inline void pg_copy##bytes(void* to, const void* from, bool read) {             \
        asm volatile("cp.async." kind ".shared.global [%0], [%1], " #bytes ", %2;" ::          \
                     "r"(pg_shared_address(to)), "l"(from), "r"(read ? bytes : 0) : "memory"); \
    }
PG_COPY(4, "ca")
PG_COPY(8, "ca")
PG_COPY(16, "cg")
__device__ inline void pg_copies_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending> __device__ inline void pg_copies_wait() {
    asm volatile("cp.async.wait_group %0;" :: "n"(pending) : "memory");
}
#else  // at once
#define PG_COPY(bytes, type, ...)                                                         \
    __device__ inline void pg_copy##bytes(void* to, const void* from, bool read) {        \
        *(type*)to = read ? *(const type*)from : type{__VA_ARGS__};                       \
    }
PG_COPY(4, unsigned, 0)
PG_COPY(8, uint2, 0, 0)
PG_COPY(16, uint4, 0, 0, 0, 0)
__device__ inline void pg_copies_end() {}
template <int pending> __device__ inline void pg_copies_wait() {}
#endif
#define PG_LOAD(name, turned)                                                             \
    __device__ inline void name(unsigned* words, const void* row) {                       \
        asm volatile("ldmatrix.sync.aligned.m8n8.x4" turned ".shared.b16 "                \
                     "{%0, %1, %2, %3}, [%4];"                                            \
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])     \
                     : "r"(pg_shared_address(row)) : "memory");                           \
    }
PG_LOAD(pg_load_matrix, "")
PG_LOAD(pg_load_turned, ".trans")
#if __CUDA_ARCH__ >= 800
#define PG_MULTIPLY(name, shape, type)                                                    \
    __device__ inline void name(float* sums, const unsigned* left, const unsigned* right) \
    {                                                                                     \
        asm("mma.sync.aligned." shape ".row.col.f32." type "." type ".f32 "               \
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"             \
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                  \
            : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]),                     \
              "r"(right[0]), "r"(right[1]));                                              \
    }
__device__ inline void pg_power(float* to, float exponent) {
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(*to) : "f"(exponent));
}
__device__ inline void pg_inverse(float* to, float value) {
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(*to) : "f"(value));
}
#define PG_PACK(name, type)                                                               \
    __device__ inline void name(unsigned* word, float low, float high) {                  \
        asm("cvt.rn." type ".f32 %0, %1, %2;" : "=r"(*word) : "f"(high), "f"(low));       \
    }
PG_PACK(pg_pack_bfloat, "bf16x2")
PG_PACK(pg_pack_half, "f16x2")
PG_MULTIPLY(pg_multiply_bfloat, "m16n8k16", "bf16")
PG_MULTIPLY(pg_multiply_half, "m16n8k16", "f16")
PG_MULTIPLY(pg_multiply_tf32, "m16n8k8", "tf32")
// float32 to the nearest number of ten bits after the point; halves away from zero.
__device__ inline void pg_to_tf32(unsigned* word) {
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(*word) : "f"(__uint_as_float(*word)));
}
#endif
#endif
"""
