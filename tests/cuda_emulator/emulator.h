// Runs CUDA C on the CPU. g++ includes this file before a source that was written for NVRTC.
//
// In: the kernels of one source, and launches from driver.cpp. Out: their effect on memory.
// Blocks run one after another. A kernel that synchronises threads runs each of its threads as a
// fiber (a stack of its own, switched by hand); others are plain calls. EMULATOR_ORDER chooses the
// order of the threads: 0 forward, 1 backward, 2 shuffled. A missing barrier shows in one of them.
// What CUDA leaves undefined is an error here: a barrier that not all threads reach, or that they
// reach at different lines; a shuffle with lanes that have left; parameters of another size.
#pragma once
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__ static
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

struct uint3 {
    unsigned x, y, z;
};
#define EMULATOR_VECTOR(name, type)                                                    \
    struct alignas(2 * sizeof(type)) name##2 {                                         \
        type x, y;                                                                     \
    };                                                                                 \
    struct alignas(4 * sizeof(type) > 16 ? 16 : 4 * sizeof(type)) name##4 {            \
        type x, y, z, w;                                                               \
    };                                                                                 \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }            \
    static inline name##4 make_##name##4(type x, type y, type z, type w) {             \
        return {x, y, z, w};                                                           \
    }
EMULATOR_VECTOR(float, float)
EMULATOR_VECTOR(double, double)
EMULATOR_VECTOR(int, int)
EMULATOR_VECTOR(uint, unsigned)
EMULATOR_VECTOR(ushort, unsigned short)

extern "C" void emulator_switch(void** save, void* to);
// Callee-saved registers only: everything else is dead across a call.
#if defined(__x86_64__)
asm(".text\n.local emulator_switch\nemulator_switch:\n"
    " push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
    " mov %rsp, (%rdi)\n mov %rsi, %rsp\n"
    " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");
constexpr int EMULATOR_SAVED = 6;
#else
#error "emulator.h: write the context switch of this processor"
#endif

namespace emulator {

constexpr size_t STACK = 64 << 10;
constexpr int MOST_THREADS = 1024, WARP = 32;

struct Thread {
    void* stack_pointer;
    uint3 index;
    int number;
    bool done;
    int lane() const { return number % WARP; }
    int warp() const { return number / WARP; }
};
struct Barrier {
    int arrived = 0;
    unsigned generation = 0;
    int line = 0;
};

static Thread threads[MOST_THREADS];
static Thread* current;
static void* scheduler;
static char* stacks;
static uint3 block_index, grid_size, block_size;
static int count, alive;
static bool progress;
static const char* failure;
static Barrier block_barrier, named_barrier, warp_barriers[WARP];
static uint64_t published[WARP][2][WARP];  // by warp, parity of the exchange, lane
static unsigned parity[MOST_THREADS];
static char* dynamic_memory;
static size_t dynamic_capacity;

static void yield() { emulator_switch(&current->stack_pointer, scheduler); }

// Give up the launch: no thread runs any more.
[[noreturn]] static void fail(const char* reason) {
    failure = reason;
    for (;;) yield();
}

// `expected` is asked again and again, because threads may leave while others wait.
template <class Expected>
static void wait(Barrier& barrier, int line, Expected expected) {
    if (barrier.arrived && barrier.line != line)
        fail("threads wait at barriers of different lines");
    barrier.line = line;
    const unsigned generation = barrier.generation;
    barrier.arrived++;
    progress = true;
    while (barrier.generation == generation) {
        if (barrier.arrived >= expected()) {
            barrier.arrived = 0;
            barrier.generation++;
            progress = true;
            return;
        }
        yield();
    }
}

static void synchronise_block(int line) {
    if (alive != count) fail("a thread left before a barrier that others reach");
    wait(block_barrier, line, [] {
        if (alive != count) fail("a thread left before a barrier that others reach");
        return count;
    });
}

static void synchronise_warp(unsigned mask, int line) {
    const int warp = current->warp();
    if (!(mask >> current->lane() & 1)) fail("a thread is not in the mask that it names");
    wait(warp_barriers[warp], line, [=] {
        int expected = 0;
        for (int lane = 0; lane < WARP; lane++) {
            const int number = warp * WARP + lane;
            if (!(mask >> lane & 1) || number >= count) continue;
            if (threads[number].done) fail("a mask names a lane that has left");
            expected++;
        }
        return expected;
    });
}

// Every lane publishes a value, then reads that of lane `source(own lane)`.
template <class T, class Source>
static T exchange(unsigned mask, T value, int line, Source source) {
    static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
    auto& slots = published[current->warp()][parity[current->number] ^= 1];
    std::memcpy(&slots[current->lane()], &value, sizeof(T));
    synchronise_warp(mask, line);
    T result;
    std::memcpy(&result, &slots[source(current->lane())], sizeof(T));
    return result;
}

static unsigned ballot(unsigned mask, bool vote, int line) {
    auto& slots = published[current->warp()][parity[current->number] ^= 1];
    slots[current->lane()] = vote;
    synchronise_warp(mask, line);
    unsigned votes = 0;
    for (int lane = 0; lane < WARP; lane++)
        if (mask >> lane & 1) votes |= (unsigned)(slots[lane] & 1) << lane;
    return votes;
}

// A copy to shared memory happens when its thread waits for it; until then there is poison.
struct Copy {
    char* to;
    const char* from;
    int bytes;
};
struct Copies {
    std::deque<std::vector<Copy>> groups;
    std::vector<Copy> open;
};
static Copies copies[MOST_THREADS];

static void begin_copy(void* to, const void* from, int bytes, bool read) {
    if ((uintptr_t)to % bytes) fail("a copy to shared memory is not aligned");
    if (read && (uintptr_t)from % bytes) fail("a copy from global memory is not aligned");
    std::memset(to, 0xff, bytes);
    copies[current->number].open.push_back({(char*)to, read ? (const char*)from : nullptr, bytes});
}
static void wait_for_copies(size_t pending) {
    auto& groups = copies[current->number].groups;
    for (; groups.size() > pending; groups.pop_front())
        for (const Copy& copy : groups.front())
            copy.from ? (void)std::memcpy(copy.to, copy.from, copy.bytes)
                      : (void)std::memset(copy.to, 0, copy.bytes);
}

// What driver.cpp makes of cuTensorMapEncodeTiled.
struct Map {
    uint64_t magic, address, sizes[3], strides[2];  // strides in bytes
    uint32_t box[3], itemsize;
};
constexpr uint64_t MAP = 0x70674d6170;

// An mbarrier: who is still to arrive, which bytes are, and the parity of the current phase.
struct Meeting {
    short needed, left;
    int bytes : 31;
    unsigned parity : 1;
    void arrive() {
        if (left <= 0) fail("more threads arrive than a meeting was begun for");
        left--;
        settle();
    }
    void settle() {
        progress = true;
        if (left || bytes) return;
        left = needed;
        parity ^= 1;
    }
};
static_assert(sizeof(Meeting) == 8);

// A box comes when somebody waits at its meeting; until then there is poison.
struct Fetch {
    Map map;
    char* to;
    int x, y, z;
    Meeting* meeting;
};
static std::vector<Fetch> fetches;

// A product of a warp group is computed when its thread waits for it, from what is in shared memory
// then.
struct Product {
    void (*run)(float*, const void*, const void*);
    float* sums;
    const void *left, *right;
};
struct Products {
    bool begun = false;
    std::vector<Product> open;
};
static Products products[MOST_THREADS];

static int order() {
    const char* text = std::getenv("EMULATOR_ORDER");
    return text ? std::atoi(text) : 0;
}
static int position(int step, int chosen, unsigned shift) {
    if (chosen == 1) return count - 1 - step;
    if (chosen == 2) return (int)((step * 2654435761u + shift) % (unsigned)count);
    return step;
}

static void (*body)(const void*);
static const void* body_argument;

static void enter() {
    body(body_argument);
    if (products[current->number].begun) fail("a thread leaves, and did not wait for its products");
    current->done = true;
    alive--;
    progress = true;
    for (;;) yield();
}

static void prepare(Thread& thread, int number) {
    thread.number = number;
    thread.done = false;
    thread.index = {number % block_size.x, number / block_size.x % block_size.y,
                    number / (block_size.x * block_size.y)};
}

static void prepare_stack(Thread& thread) {
    // Not all at one distance: equal addresses modulo 4096 would fight for one cache set.
    char* top = stacks + STACK * (thread.number + 1) - 16 - 64 * (thread.number & 15);
    void** stack = (void**)top;
    *--stack = nullptr;
    *--stack = (void*)enter;
    for (int saved = 0; saved < EMULATOR_SAVED; saved++) *--stack = nullptr;
    thread.stack_pointer = stack;
}

static void run_fibers() {
    if (!stacks)
        stacks = (char*)mmap(nullptr, STACK * MOST_THREADS, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    block_barrier = named_barrier = Barrier();
    for (auto& barrier : warp_barriers) barrier = Barrier();
    for (int number = 0; number < count; number++) {
        copies[number] = {};
        products[number] = {};
        prepare(threads[number], number);
        prepare_stack(threads[number]);
    }
    fetches.clear();
    const int chosen = order();
    unsigned random = 12345;
    while (alive && !failure) {
        progress = false;
        random = random * 1664525u + 1013904223u;
        // An odd factor modulo a power of two is a permutation; other counts go forward.
        const bool permutes = (count & (count - 1)) == 0;
        for (int step = 0; step < count && !failure; step++) {
            Thread& thread =
                threads[position(step, chosen == 2 && !permutes ? 1 : chosen, random >> 8)];
            if (thread.done) continue;
            current = &thread;
            emulator_switch(&scheduler, thread.stack_pointer);
        }
        if (!progress && alive && !failure) failure = "threads wait for each other for ever";
    }
    if (!failure && !fetches.empty()) failure = "a block ends before what it fetches has come";
}

static void run_calls() {
    const int chosen = order() == 0 ? 0 : 1;
    for (int step = 0; step < count; step++) {
        Thread& thread = threads[0];
        prepare(thread, position(step, chosen, 0));
        current = &thread;
        body(body_argument);
    }
}

// --- parameters -----------------------------------------------------------------------------

template <class... A>
constexpr size_t packed_size() {
    size_t end = 0;
    ((end = (end + alignof(A) - 1) / alignof(A) * alignof(A) + sizeof(A)), ...);
    return end;
}

template <class T>
static T parameter(const char* packed, void* const* pointers, size_t& offset, size_t& number) {
    offset = (offset + alignof(T) - 1) / alignof(T) * alignof(T);
    T value;
    std::memcpy((void*)&value, pointers ? pointers[number] : packed + offset, sizeof(T));
    offset += sizeof(T);
    number++;
    return value;
}

struct Parameters {  // one packed buffer of `size` bytes, or one pointer for each parameter
    const char* packed;
    size_t size;
    void* const* pointers;
};

template <class... A>
static const char* launch(void (*kernel)(A...), bool synchronises, const unsigned* grid,
                          const unsigned* block, unsigned dynamic, const Parameters& given) {
    if (!given.pointers && given.size != packed_size<A...>())
        return "the parameters have another size than the kernel's";
    struct Call {
        void (*kernel)(A...);
        Parameters given;
    };
    const Call call = {kernel, given};
    grid_size = {grid[0], grid[1], grid[2]};
    block_size = {block[0], block[1], block[2]};
    body_argument = &call;
    body = [](const void* argument) {
        const Call& call = *(const Call*)argument;
        size_t offset = 0, number = 0;
        // Braces order the evaluation.
        std::tuple<std::remove_cv_t<A>...> values{parameter<std::remove_cv_t<A>>(
            call.given.packed, call.given.pointers, offset, number)...};
        std::apply(call.kernel, values);
    };
    if (dynamic > dynamic_capacity) {
        std::free(dynamic_memory);
        dynamic_memory = (char*)std::aligned_alloc(1024, (dynamic + 1023) / 1024 * 1024);
        dynamic_capacity = dynamic;
    }
    failure = nullptr;
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0]; x++) {
                block_index = {x, y, z};
                count = alive = block[0] * block[1] * block[2];
                if (dynamic) std::memset(dynamic_memory, 0xff, dynamic);  // NaN: not written yet
                synchronises ? run_fibers() : run_calls();
                if (failure) return failure;
            }
    return nullptr;
}

}  // namespace emulator

// What the stand-in for NVRTC adds for each kernel.
#define EMULATOR_EXPORT(name, synchronises, shared)                                             \
    static_assert((shared) <= (48 << 10), "too much shared memory in " #name);                  \
    extern "C" const unsigned name##_shared = (shared);                                         \
    extern "C" const char* name##_emulated(const unsigned* grid, const unsigned* block,         \
                                           unsigned dynamic, const emulator::Parameters* given) \
    {                                                                                           \
        return emulator::launch(name, synchronises, grid, block, dynamic, *given);              \
    }
#define EMULATOR_DYNAMIC(type, name) type* name = (type*)emulator::dynamic_memory

#define threadIdx (emulator::current->index)
#define blockIdx emulator::block_index
#define blockDim emulator::block_size
#define gridDim emulator::grid_size
#define warpSize 32
#define __syncthreads() emulator::synchronise_block(__LINE__)
#define EMULATOR_MASK(...) emulator::synchronise_warp(__VA_ARGS__, __LINE__)
#define __syncwarp(...) EMULATOR_MASK(0xffffffffu __VA_OPT__(&(__VA_ARGS__)))
#define __threadfence() ((void)0)
#define __threadfence_block() ((void)0)
#define __ldg(pointer) (*(pointer))
#define __trap() emulator::fail("a thread trapped")
#define EMULATOR_SHUFFLE(mask, value, source) \
    emulator::exchange(mask, value, __LINE__, [=](int lane) -> int { return source; })
#define __shfl_sync(mask, value, from) EMULATOR_SHUFFLE(mask, value, (from) & 31)
#define __shfl_xor_sync(mask, value, bits) EMULATOR_SHUFFLE(mask, value, lane ^ (bits))
#define __shfl_down_sync(mask, value, by) \
    EMULATOR_SHUFFLE(mask, value, lane + (int)(by) < 32 ? lane + (int)(by) : lane)
#define __shfl_up_sync(mask, value, by) \
    EMULATOR_SHUFFLE(mask, value, lane >= (int)(by) ? lane - (int)(by) : lane)
#define __ballot_sync(mask, vote) emulator::ballot(mask, vote, __LINE__)

// Fibers are never interrupted, so these are atomic.
template <class T> static T atomicAdd(T* place, T value) {
    return std::exchange(*place, (T)(*place + value));
}
template <class T> static T atomicMax(T* place, T value) {
    return std::exchange(*place, std::max(*place, value));
}
template <class T> static T atomicMin(T* place, T value) {
    return std::exchange(*place, std::min(*place, value));
}
template <class T> static T atomicExch(T* place, T value) { return std::exchange(*place, value); }
template <class T> static T atomicCAS(T* place, T expected, T value) {
    return *place == expected ? std::exchange(*place, value) : *place;
}

template <class To, class From> static To emulator_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}
static inline float __int_as_float(int bits) { return emulator_bits<float>(bits); }
static inline float __uint_as_float(unsigned bits) { return emulator_bits<float>(bits); }
static inline int __float_as_int(float value) { return emulator_bits<int>(value); }
static inline unsigned __float_as_uint(float value) { return emulator_bits<unsigned>(value); }
static inline double __longlong_as_double(long long bits) { return emulator_bits<double>(bits); }
static inline long long __double_as_longlong(double value) {
    return emulator_bits<long long>(value);
}
static inline unsigned __umulhi(unsigned x, unsigned y) {
    return (unsigned)((unsigned long long)x * y >> 32);
}
static inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
static inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

// What generated code says in PTX where a CUDA compiler reads it.
static inline float pg_from_half(unsigned short bits) {
    _Float16 value;
    std::memcpy(&value, &bits, 2);
    return (float)value;
}
static inline unsigned short pg_to_half(float value) {
    return emulator_bits<unsigned short>((_Float16)value);
}

// --- helpers of codegen/cuda/tiles.py ---------------------------------------------------------

static inline void pg_copy4(void* to, const void* from, bool read) {
    emulator::begin_copy(to, from, 4, read);
}
static inline void pg_copy8(void* to, const void* from, bool read) {
    emulator::begin_copy(to, from, 8, read);
}
static inline void pg_copy16(void* to, const void* from, bool read) {
    emulator::begin_copy(to, from, 16, read);
}
static inline void pg_copies_end() {
    auto& own = emulator::copies[emulator::current->number];
    own.groups.push_back(std::move(own.open));
    own.open.clear();
}
template <int pending> static void pg_copies_wait() { emulator::wait_for_copies(pending); }

// ldmatrix: the lanes publish their addresses; matrix m has its rows at those of lanes 8m to 8m+7.
static void emulator_load(unsigned* words, const void* row, bool turned) {
    static const unsigned short* rows[emulator::WARP][emulator::WARP];
    const int warp = emulator::current->warp(), lane = emulator::current->lane();
    if ((uintptr_t)row % 16) emulator::fail("a row of a matrix is not aligned");
    rows[warp][lane] = (const unsigned short*)row;
    emulator::synchronise_warp(0xffffffffu, __LINE__);
    for (int matrix = 0; matrix < 4; matrix++) {
        unsigned halves[2];
        for (int half = 0; half < 2; half++) {
            const int own = lane / 4, other = lane % 4 * 2 + half;
            halves[half] = rows[warp][matrix * 8 + (turned ? other : own)][turned ? own : other];
        }
        words[matrix] = halves[0] | halves[1] << 16;
    }
    emulator::synchronise_warp(0xffffffffu, __LINE__);
}
static inline void pg_load_matrix(unsigned* words, const void* row) {
    emulator_load(words, row, false);
}
static inline void pg_load_turned(unsigned* words, const void* row) {
    emulator_load(words, row, true);
}

// mma.sync: the lanes publish their words; each computes its own four sums. A word has `each` k.
template <int each, class Convert>
static void emulator_multiply(float* sums, const unsigned* left, const unsigned* right,
                              Convert convert) {
    static unsigned lefts[emulator::WARP][emulator::WARP][4];
    static unsigned rights[emulator::WARP][emulator::WARP][2];
    const int warp = emulator::current->warp(), lane = emulator::current->lane();
    std::memcpy(lefts[warp][lane], left, 4 * sizeof *left);
    std::memcpy(rights[warp][lane], right, 2 * sizeof *right);
    emulator::synchronise_warp(0xffffffffu, __LINE__);
    for (int own = 0; own < 4; own++) {
        const int row = lane / 4 + own / 2 * 8, column = lane % 4 * 2 + own % 2;
        for (int word = 0; word < 8; word++)
            for (int part = 0; part < each; part++) {
                const unsigned x = lefts[warp][row % 8 * 4 + word % 4][row / 8 + word / 4 * 2];
                const unsigned y = rights[warp][column * 4 + word % 4][word / 4];
                sums[own] += convert(x >> 16 * part) * convert(y >> 16 * part);
            }
    }
    emulator::synchronise_warp(0xffffffffu, __LINE__);
}
static inline float emulator_bfloat(unsigned bits) { return __uint_as_float(bits << 16); }
static inline float emulator_half(unsigned bits) { return pg_from_half((unsigned short)bits); }
static inline float emulator_tf32(unsigned bits) { return __uint_as_float(bits & ~0x1fffu); }
static inline void pg_multiply_bfloat(float* sums, const unsigned* left, const unsigned* right) {
    emulator_multiply<2>(sums, left, right, emulator_bfloat);
}
static inline void pg_multiply_half(float* sums, const unsigned* left, const unsigned* right) {
    emulator_multiply<2>(sums, left, right, emulator_half);
}
static inline void pg_multiply_tf32(float* sums, const unsigned* left, const unsigned* right) {
    emulator_multiply<1>(sums, left, right, emulator_tf32);
}
static inline void pg_power(float* to, float exponent) { *to = std::exp2(exponent); }
static inline void pg_inverse(float* to, float value) { *to = 1 / value; }
static unsigned short pg_to_bfloat(float value);
static inline void pg_pack_half(unsigned* word, float low, float high) {
    *word = pg_to_half(low) | (unsigned)pg_to_half(high) << 16;
}
static inline void pg_pack_bfloat(unsigned* word, float low, float high) {
    *word = pg_to_bfloat(low) | (unsigned)pg_to_bfloat(high) << 16;
}
static inline void pg_to_tf32(unsigned* word) {
    const unsigned exponent = *word >> 23 & 0xff;
    if (exponent != 0xff) *word += 0x1000;  // infinities and NaN stay
    *word &= ~0x1fffu;
}

// --- helpers of codegen/cuda/groups.py --------------------------------------------------------

static inline char* pg_aligned(void* shared) {
    return (char*)(((uintptr_t)shared + 1023) & ~(uintptr_t)1023);
}
template <class Map> static void pg_map_publish(unsigned long long* to, const Map& map) {
    std::memcpy(to, &map, sizeof map);
}
static inline void pg_map_acquire(const unsigned long long* map) {
    if ((uintptr_t)map % 64) emulator::fail("a descriptor is not aligned");
    if (((const emulator::Map*)map)->magic != emulator::MAP)
        emulator::fail("this is no descriptor");
}
static inline void pg_meet_begin(unsigned long long* meet, int threads) {
    *(emulator::Meeting*)meet = {(short)threads, (short)threads, 0, 0};
}
static inline void pg_meets_begun() {}
static inline void pg_meet_expect(unsigned long long* meet, int bytes) {
    auto& meeting = *(emulator::Meeting*)meet;
    meeting.bytes += bytes;
    meeting.arrive();
}
static inline void pg_meet_arrive(unsigned long long* meet) {
    ((emulator::Meeting*)meet)->arrive();
}
template <int threads> static void pg_meet_threads() {
    emulator::wait(emulator::named_barrier, 0, [] { return threads; });
}
template <int count> static void pg_registers_less() {}
template <int count> static void pg_registers_more() {}
static inline void pg_products_begin() {
    emulator::products[emulator::current->number].begun = true;
}
static inline void pg_products_end() {
    auto& own = emulator::products[emulator::current->number];
    for (const auto& product : own.open) product.run(product.sums, product.left, product.right);
    own = {};
}

// 16 bytes of a line of 128 change places with the number of the line modulo eight.
static inline char* emulator_swizzled(uintptr_t address) {
    return (char*)(address ^ (address >> 7 & 7) << 4);
}
static inline void pg_fetch_tile(void* to, const unsigned long long* words, int x, int y, int z,
                                 unsigned long long* meet) {
    const auto& map = *(const emulator::Map*)words;
    if ((uintptr_t)to % 1024) emulator::fail("a box does not begin where its swizzle does");
    std::memset(to, 0xff, map.box[1] * 128);
    emulator::fetches.push_back({map, (char*)to, x, y, z, (emulator::Meeting*)meet});
}
static void emulator_arrives(const emulator::Fetch& fetch) {
    const auto& map = fetch.map;
    for (uint32_t line = 0; line < map.box[1]; line++)
        for (uint32_t at = 0; at < map.box[0]; at++) {
            const uint64_t place[3] = {(uint64_t)(fetch.x + (int)at),
                                       (uint64_t)(fetch.y + (int)line), (uint64_t)fetch.z};
            char* target = emulator_swizzled((uintptr_t)fetch.to + line * 128 + at * map.itemsize);
            bool inside = true;
            for (int axis = 0; axis < 3; axis++) inside &= place[axis] < map.sizes[axis];
            const char* source = (const char*)map.address + place[0] * map.itemsize +
                                 place[1] * map.strides[0] + place[2] * map.strides[1];
            inside ? (void)std::memcpy(target, source, map.itemsize)
                   : (void)std::memset(target, 0, map.itemsize);
        }
    fetch.meeting->bytes -= map.box[0] * map.box[1] * map.itemsize;
    fetch.meeting->settle();
}
static inline void pg_meet_wait(unsigned long long* meet, int parity) {
    auto& meeting = *(emulator::Meeting*)meet;
    while (meeting.parity == (unsigned)parity) {
        std::vector<emulator::Fetch> here, others;
        for (const auto& fetch : emulator::fetches)
            (fetch.meeting == &meeting ? here : others).push_back(fetch);
        emulator::fetches = std::move(others);
        for (const auto& fetch : here) emulator_arrives(fetch);
        if (here.empty()) emulator::yield();
    }
}

template <int turned> static unsigned short emulator_element(const void* base, int line, int k) {
    const uintptr_t start = (uintptr_t)base;
    const uintptr_t place = turned ? line / 64 * 8192 + k / 8 * 1024 + k % 8 * 128 + line % 64 * 2
                                   : line / 8 * 1024 + line % 8 * 128 + k * 2;
    unsigned short bits;
    std::memcpy(&bits, emulator_swizzled(start + place), 2);
    return bits;
}
template <int wide, int turn_left, int turn_right, float (*convert)(unsigned)>
static void emulator_multiply_group(float* sums, const void* left, const void* right) {
    const int warp = emulator::current->warp() % 4, lane = emulator::current->lane();
    for (int half = 0; half < 2; half++) {
        const int row = warp * 16 + half * 8 + lane / 4;
        float x[16];
        for (int k = 0; k < 16; k++) x[k] = convert(emulator_element<turn_left>(left, row, k));
        for (int pair = 0; pair < wide / 4; pair++) {
            const int column = pair / 2 * 8 + lane % 4 * 2 + pair % 2;
            float& sum = sums[pair / 2 * 4 + half * 2 + pair % 2];
            for (int k = 0; k < 16; k++)
                sum += x[k] * convert(emulator_element<turn_right>(right, column, k));
        }
    }
}
#define EMULATOR_PRODUCT(wide, kind)                                                           \
    template <int turn_left, int turn_right>                                                   \
    static void pg_multiply_group##wide##_##kind(float* sums, const void* left,                \
                                                 const void* right) {                          \
        auto& own = emulator::products[emulator::current->number];                             \
        if (!own.begun) emulator::fail("a product, and none was begun");                       \
        own.open.push_back(                                                                    \
            {emulator_multiply_group<wide, turn_left, turn_right, emulator_##kind>, sums,      \
             left, right});                                                                    \
    }
EMULATOR_PRODUCT(128, bfloat)
EMULATOR_PRODUCT(256, bfloat)
EMULATOR_PRODUCT(128, half)
EMULATOR_PRODUCT(256, half)
