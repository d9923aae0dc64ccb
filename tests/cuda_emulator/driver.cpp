// A libcuda.so.1 whose GPU is the CPU: unmodified pycuda, ctypes and cuda-bindings run on it.
//
// In: calls of the driver API, and modules made by nvrtc.cpp. Out: what a GPU would have done, and
// errors where a program breaks the API's rules.
// - Work on a stream is only queued. It runs when somebody waits for it, so that a program that
//   does not wait reads poison, as it may on a GPU.
// - Fresh memory is poison (0xff: NaN, -1) and ends at an unmapped page: reading or writing beyond
//   it ends the process with the name of the kernel.
// - Copies must lie within one allocation; launches within the device's limits.
// EMULATOR_FAIL=cuInit=100 makes the calls of this name fail with this code, EMULATOR_FAULT=name
// the kernels with this name in theirs. EMULATOR_MEMORY is the size of the device's memory in bytes
// (2 GiB), EMULATOR_DEVICES the number of devices (1).
#include <dlfcn.h>
#include <elf.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using Result = int;
using Pointer = unsigned long long;
using Work = std::function<Result()>;

enum : Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
    DRIVER_MISMATCH = 803,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_WRONG_THREAD = 908,
    CAPTURED_EVENT = 907,
};

struct Parameters {  // as in emulator.h
    const char* packed;
    size_t size;
    void* const* pointers;
};
using Entry = const char* (*)(const unsigned*, const unsigned*, unsigned, const Parameters*);

constexpr unsigned MOST_THREADS = 1024, STATIC_SHARED = 48 << 10, DYNAMIC_SHARED = 227 << 10;

struct Context {
    int device = 0;
    int references = 0;
};
struct Function {
    Entry entry;
    std::string name;
    unsigned shared;  // bytes of the arrays that its text declares
    unsigned most_dynamic = STATIC_SHARED;
};
struct Module {
    void* library;
    int file;  // open as long as the library: dlopen knows libraries by their path
    std::map<std::string, std::unique_ptr<Function>> functions;
};
struct Launch {
    Function* function = nullptr;
    unsigned grid[3], block[3], dynamic;
    std::shared_ptr<std::string> parameters;
};
struct Node {
    bool kernel;
    Launch launch;  // of a kernel node
    Work work;      // of any other
};
struct Graph {
    std::vector<std::unique_ptr<Node>> nodes;
};
struct GraphExecutable {
    std::vector<std::pair<const Node*, Node>> nodes;  // of the graph, and as they will run
};
struct KernelNode {  // CUDA_KERNEL_NODE_PARAMS_v2
    Function* function;
    unsigned grid[3], block[3], dynamic;
    void* const* pointers;
    void* const* extra;
    void *kernel, *context;
};
enum CaptureMode { GLOBAL = 0, THREAD_LOCAL = 1, RELAXED = 2 };
struct Stream {
    bool blocking = true;  // waits for the legacy stream, and is waited for by it
    std::deque<Work> queue;
    unsigned long long queued = 0, done = 0;
    Graph* capture = nullptr;
    Node* last_captured = nullptr;
    bool broken_capture = false;
    CaptureMode mode = GLOBAL;
    std::thread::id recorder;
};
struct Event {
    Stream* stream = nullptr;
    unsigned long long after = 0;  // the record is the stream's work of this number
    double milliseconds = 0;
    bool captured = false;  // its last record is a node of a graph
};
struct Allocation {
    size_t size;
    char* mapping;
    size_t mapped;
};

std::recursive_mutex mutex;
#define LOCKED std::lock_guard<std::recursive_mutex> lock(mutex)

bool initialized;
Context primary;
thread_local std::vector<Context*> contexts;
Stream legacy;
std::vector<Stream*> streams = {&legacy};
std::map<Pointer, Allocation> allocations;
std::map<char*, size_t> pinned;
std::set<Graph*> graphs;
std::set<GraphExecutable*> graph_executables;
size_t allocated;
Result sticky = SUCCESS;  // after a kernel failed, every call says so
const char* running = "no kernel";

double now() {
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

Result provoked(const char* call) {
    static const char* text = std::getenv("EMULATOR_FAIL");
    const size_t length = std::strlen(call);
    if (!text || std::strncmp(text, call, length) || text[length] != '=') return SUCCESS;
    return std::atoi(text + length + 1);
}

int devices() {
    const char* text = std::getenv("EMULATOR_DEVICES");
    return text ? std::atoi(text) : 1;
}

size_t capacity() {
    const char* text = std::getenv("EMULATOR_MEMORY");
    return text ? std::strtoull(text, nullptr, 10) : (size_t)2 << 30;
}

// --- streams ----------------------------------------------------------------------------------

Result run_to(Stream& stream, unsigned long long number) {
    while (stream.done < number && !stream.queue.empty()) {
        Work work = std::move(stream.queue.front());
        stream.queue.pop_front();
        stream.done++;
        const Result result = work();
        if (result && !sticky) sticky = result;
    }
    return sticky;
}
Result run_all(Stream& stream) { return run_to(stream, stream.queued); }
Result run_everything() {
    for (Stream* stream : streams) run_all(*stream);
    return sticky;
}

Stream& stream_of(void* handle) {
    // 0 is the legacy stream, 1 its name; 2 is the thread's own, here the same.
    return (size_t)handle <= 2 ? legacy : *(Stream*)handle;
}

void capture(Stream& stream, Node node) {
    stream.capture->nodes.emplace_back(new Node(std::move(node)));
    stream.last_captured = stream.capture->nodes.back().get();
}

Result append(void* handle, Work work) {
    Stream& stream = stream_of(handle);
    if (&stream == &legacy)  // the legacy stream and the blocking ones wait for each other
        for (Stream* other : streams)
            if (other->blocking) run_all(*other);
    if (stream.blocking && &stream != &legacy) run_all(legacy);
    stream.queue.push_back(std::move(work));
    stream.queued++;
    return sticky;
}
Result enqueue(void* handle, Work work) {
    Stream& stream = stream_of(handle);
    if (!stream.capture) return append(handle, std::move(work));
    capture(stream, {false, {}, std::move(work)});
    return SUCCESS;
}

// What may not happen while a stream records: waiting, and, unless the mode is relaxed,
// allocating and work on the legacy stream.
bool recording(bool unsafe_only) {
    bool any = false;
    for (Stream* stream : streams) {
        if (!stream->capture) continue;
        if (unsafe_only && stream->mode == RELAXED) continue;
        if (unsafe_only && stream->mode == THREAD_LOCAL &&
            stream->recorder != std::this_thread::get_id())
            continue;
        any = stream->broken_capture = true;
    }
    return any;
}

#define READY                                                     \
    LOCKED;                                                       \
    if (!initialized) return NOT_INITIALIZED;                     \
    if (contexts.empty()) return INVALID_CONTEXT;                 \
    if (sticky) return sticky;                                    \
    if (Result wanted = provoked(__func__)) return wanted

#define READY_NOT_RECORDING                                       \
    READY;                                                        \
    if (recording(true)) return CAPTURE_UNSUPPORTED

// --- memory -----------------------------------------------------------------------------------

bool inside(Pointer pointer, size_t size) {
    auto next = allocations.upper_bound(pointer);
    if (next == allocations.begin()) return false;
    auto& [start, allocation] = *std::prev(next);
    return pointer + size <= start + allocation.size;
}

bool is_pinned(const void* pointer, size_t size) {
    auto next = pinned.upper_bound((char*)pointer);
    if (next == pinned.begin()) return false;
    auto& [start, length] = *std::prev(next);
    return (char*)pointer + size <= start + length;
}

// Address space that nobody may touch, on either side of an allocation.
const size_t GUARD = 16 << 20;

// A mapping whose last bytes lie just before the guard behind it. The guards are part of it:
// behind a single page the system may have put something that a kernel can read.
char* guarded(size_t size, Allocation& made) {
    const size_t page = sysconf(_SC_PAGESIZE);
    const size_t rounded = (size + 255) / 256 * 256;  // addresses are multiples of 256
    const size_t body = (rounded + page - 1) / page * page;
    const size_t mapped = GUARD + body + GUARD;
    char* mapping = (char*)mmap(nullptr, mapped, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    char* start = mapping + GUARD;
    if (mprotect(start, body, PROT_READ | PROT_WRITE)) {
        munmap(mapping, mapped);
        return nullptr;
    }
    made = {size, mapping, mapped};
    std::memset(start, 0xff, body);
    return start + body - rounded;
}

void report_fault(int number) {
    char text[256];
    const int length = std::snprintf(text, sizeof text,
                                     "cuda emulator: access outside of memory in %s\n", running);
    if (write(2, text, length) < 0) _exit(1);
    signal(number, SIG_DFL);
    raise(number);
}

Result run(const Launch& made) {
    Function* function = made.function;
    if (const char* fault = std::getenv("EMULATOR_FAULT"))
        if (function->name.find(fault) != std::string::npos) return ILLEGAL_ADDRESS;
    const Parameters given = {made.parameters->data(), made.parameters->size(), nullptr};
    running = function->name.c_str();
    auto before_segv = signal(SIGSEGV, report_fault);
    auto before_bus = signal(SIGBUS, report_fault);
    const char* failure = function->entry(made.grid, made.block, made.dynamic, &given);
    signal(SIGSEGV, before_segv);
    signal(SIGBUS, before_bus);
    running = "no kernel";
    if (!failure) return SUCCESS;
    std::fprintf(stderr, "cuda emulator: %s: %s\n", function->name.c_str(), failure);
    return LAUNCH_FAILED;
}

// Whether a launch is one that the device can do.
Result check(const Launch& made) {
    const unsigned *grid = made.grid, *block = made.block;
    if (!grid[0] || !grid[1] || !grid[2] || grid[1] > 65535 || grid[2] > 65535) return INVALID_VALUE;
    if (grid[0] > 2147483647u || !block[0] || !block[1] || !block[2]) return INVALID_VALUE;
    if (block[2] > 64 || (size_t)block[0] * block[1] * block[2] > MOST_THREADS)
        return INVALID_VALUE;
    return made.dynamic > made.function->most_dynamic ? INVALID_VALUE : SUCCESS;
}

// The packed parameters of a launch. One pointer a parameter is not supported: without the
// kernel's types their sizes are not known here, and they must be read before the call returns.
Result unpack(Launch& made, void* const* pointers, void* const* extra) {
    const char* packed = nullptr;
    size_t size = 0;
    for (void* const* item = extra; item && *item; item += 2) {
        if (*item == (void*)1) packed = (const char*)item[1];
        if (*item == (void*)2) size = *(size_t*)item[1];
    }
    if (pointers && extra) return INVALID_VALUE;
    if (pointers || (!packed && size)) return NOT_SUPPORTED;
    made.parameters = std::make_shared<std::string>(packed ? packed : "", size);
    return SUCCESS;
}

}  // namespace

// --- process, device, context -------------------------------------------------------------------

EXPORT Result cuInit(unsigned flags) {
    if (Result wanted = provoked("cuInit")) return wanted;
    initialized = true;
    return flags ? INVALID_VALUE : SUCCESS;
}
EXPORT Result cuDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}
EXPORT Result cuGetErrorString(Result code, const char** text) {
    static std::map<Result, const char*> texts = {
        {SUCCESS, "no error"},
        {INVALID_VALUE, "invalid argument"},
        {OUT_OF_MEMORY, "out of memory"},
        {NOT_INITIALIZED, "initialization error"},
        {NO_DEVICE, "no CUDA-capable device is detected"},
        {INVALID_DEVICE, "invalid device ordinal"},
        {INVALID_IMAGE, "device kernel image is invalid"},
        {INVALID_CONTEXT, "invalid device context"},
        {NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"},
        {INVALID_HANDLE, "invalid resource handle"},
        {NOT_FOUND, "named symbol not found"},
        {NOT_READY, "device not ready"},
        {ILLEGAL_ADDRESS, "an illegal memory access was encountered"},
        {OUT_OF_RESOURCES, "too many resources requested for launch"},
        {DRIVER_MISMATCH, "system has unsupported display driver / cuda driver combination"},
        {LAUNCH_FAILED, "unspecified launch failure"},
        {NOT_SUPPORTED, "operation not supported by the emulated driver"},
        {CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"},
        {CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream"},
        {CAPTURE_WRONG_THREAD, "attempt to terminate a thread-local capture from another thread"},
        {CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"},
    };
    auto found = texts.find(code);
    *text = found == texts.end() ? "unknown error" : found->second;
    return SUCCESS;
}
EXPORT Result cuGetErrorName(Result code, const char** text) {
    *text = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR";
    return SUCCESS;
}
EXPORT Result cuDeviceGetCount(int* count) {
    *count = devices();
    return initialized ? SUCCESS : NOT_INITIALIZED;
}
EXPORT Result cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return ordinal < 0 || ordinal >= devices() ? INVALID_DEVICE : initialized ? SUCCESS : NOT_INITIALIZED;
}
EXPORT Result cuDeviceGetName(char* name, int length, int) {
    std::snprintf(name, length, "CPU emulating CUDA");
    return SUCCESS;
}
EXPORT Result cuDeviceComputeCapability(int* major, int* minor, int) {
    *major = 9, *minor = 0;
    return SUCCESS;
}
EXPORT Result cuDeviceTotalMem_v2(size_t* size, int) {
    *size = capacity();
    return SUCCESS;
}
EXPORT Result cuDeviceGetPCIBusId(char* text, int length, int) {
    std::snprintf(text, length, "0000:00:00.0");
    return SUCCESS;
}
EXPORT Result cuDeviceGetAttribute(int* value, int attribute, int) {
    static std::map<int, int> values = {
        {1, MOST_THREADS}, {2, 1024},   {3, 1024},  {4, 64},        {5, 2147483647},
        {6, 65535},        {7, 65535},  {8, (int)STATIC_SHARED},    {9, 64 << 10},
        {10, 32},          {12, 65536}, {13, 1980000},              {16, 132},
        {36, 2619000},     {37, 5120},  {38, 1 << 20},              {39, 2048},
        {75, 9},           {76, 0},     {81, 228 << 10},            {82, 65536},
        {97, (int)DYNAMIC_SHARED},      {106, 32},                  {111, 1 << 10},
    };  // as an H100 has them, but for the L2 cache: what is to be larger than it stays small
    auto found = values.find(attribute);
    *value = found == values.end() ? 1 : found->second;
    return SUCCESS;
}
EXPORT Result cuDevicePrimaryCtxRetain(Context** context, int) {
    LOCKED;
    if (!initialized) return NOT_INITIALIZED;
    if (Result wanted = provoked(__func__)) return wanted;
    primary.references++;
    *context = &primary;
    return SUCCESS;
}
EXPORT Result cuDevicePrimaryCtxRelease_v2(int) {
    LOCKED;
    if (!primary.references) return INVALID_CONTEXT;
    primary.references--;
    return SUCCESS;
}
EXPORT Result cuCtxCreate_v4(Context** context, void*, unsigned, int) {
    *context = new Context;
    contexts.push_back(*context);
    return SUCCESS;
}
EXPORT Result cuCtxAttach(Context** context, unsigned) {
    if (contexts.empty()) return INVALID_CONTEXT;
    *context = contexts.back();
    return SUCCESS;
}
EXPORT Result cuCtxDetach(Context*) { return SUCCESS; }
EXPORT Result cuCtxDestroy_v2(Context*) { return SUCCESS; }
EXPORT Result cuCtxPushCurrent_v2(Context* context) {
    contexts.push_back(context);
    return SUCCESS;
}
EXPORT Result cuCtxPopCurrent_v2(Context** context) {
    if (contexts.empty()) return INVALID_CONTEXT;
    if (context) *context = contexts.back();
    contexts.pop_back();
    return SUCCESS;
}
EXPORT Result cuCtxGetCurrent(Context** context) {
    *context = contexts.empty() ? nullptr : contexts.back();
    return SUCCESS;
}
EXPORT Result cuCtxSetCurrent(Context* context) {
    if (!contexts.empty()) contexts.pop_back();
    if (context) contexts.push_back(context);
    return SUCCESS;
}
EXPORT Result cuCtxGetDevice(int* device) {
    if (contexts.empty()) return INVALID_CONTEXT;
    *device = 0;
    return SUCCESS;
}
EXPORT Result cuCtxGetApiVersion(Context*, unsigned* version) {
    *version = 13000;
    return SUCCESS;
}
EXPORT Result cuCtxSynchronize() {
    READY;
    if (recording(false)) return CAPTURE_UNSUPPORTED;
    return run_everything();
}

// --- memory -------------------------------------------------------------------------------------

EXPORT Result cuMemAlloc_v2(Pointer* pointer, size_t size) {
    READY_NOT_RECORDING;
    if (!size) return INVALID_VALUE;
    if (allocated + size > capacity()) return OUT_OF_MEMORY;
    Allocation made;
    char* start = guarded(size, made);
    if (!start) return OUT_OF_MEMORY;
    allocated += size;
    *pointer = (Pointer)start;
    allocations[*pointer] = made;
    return SUCCESS;
}
EXPORT Result cuMemFree_v2(Pointer pointer) {
    READY_NOT_RECORDING;
    auto found = allocations.find(pointer);
    if (found == allocations.end()) return INVALID_VALUE;
    run_everything();
    allocated -= found->second.size;
    munmap(found->second.mapping, found->second.mapped);
    allocations.erase(found);
    return sticky;
}
EXPORT Result cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
    READY;
    *total = capacity();
    *free_bytes = *total - allocated;
    return SUCCESS;
}
EXPORT Result cuMemGetAddressRange_v2(Pointer* start, size_t* size, Pointer pointer) {
    READY;
    auto next = allocations.upper_bound(pointer);
    if (next == allocations.begin() || !inside(pointer, 0)) return INVALID_VALUE;
    *start = std::prev(next)->first;
    *size = std::prev(next)->second.size;
    return SUCCESS;
}
EXPORT Result cuMemHostAlloc(void** pointer, size_t size, unsigned) {
    READY_NOT_RECORDING;
    *pointer = std::aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    if (!*pointer) return OUT_OF_MEMORY;
    std::memset(*pointer, 0xff, size);
    pinned[(char*)*pointer] = size;
    return SUCCESS;
}
EXPORT Result cuMemHostGetDevicePointer_v2(Pointer* pointer, void* host, unsigned) {
    READY;
    if (!is_pinned(host, 1)) return INVALID_VALUE;
    *pointer = (Pointer)host;
    return SUCCESS;
}
EXPORT Result cuPointerGetAttribute(void* value, int attribute, Pointer pointer) {
    READY;
    constexpr int MEMORY_TYPE = 2, HOST = 1, DEVICE = 2;
    if (attribute != MEMORY_TYPE) return NOT_SUPPORTED;
    if (!is_pinned((void*)pointer, 1) && !inside(pointer, 1)) return INVALID_VALUE;
    *(unsigned*)value = is_pinned((void*)pointer, 1) ? HOST : DEVICE;
    return SUCCESS;
}
EXPORT Result cuMemFreeHost(void* pointer) {
    READY_NOT_RECORDING;
    if (!pinned.erase((char*)pointer)) return INVALID_VALUE;
    run_everything();
    std::free(pointer);
    return sticky;
}

static Result copy(void* to, const void* from, size_t size) {
    std::memmove(to, from, size);
    return SUCCESS;
}
static Result copy_now(void* to, const void* from, size_t size) {
    enqueue(nullptr, [=] { return copy(to, from, size); });
    return run_all(legacy);
}
EXPORT Result cuMemcpyHtoD_v2(Pointer to, const void* from, size_t size) {
    READY_NOT_RECORDING;
    return inside(to, size) ? copy_now((void*)to, from, size) : INVALID_VALUE;
}
EXPORT Result cuMemcpyDtoH_v2(void* to, Pointer from, size_t size) {
    READY_NOT_RECORDING;
    return inside(from, size) ? copy_now(to, (void*)from, size) : INVALID_VALUE;
}
EXPORT Result cuMemcpyDtoD_v2(Pointer to, Pointer from, size_t size) {
    READY_NOT_RECORDING;
    if (!inside(from, size) || !inside(to, size)) return INVALID_VALUE;
    return enqueue(nullptr, [=] { return copy((void*)to, (void*)from, size); });
}
EXPORT Result cuMemcpyHtoDAsync_v2(Pointer to, const void* from, size_t size, void* stream) {
    READY;
    if (!inside(to, size)) return INVALID_VALUE;
    if (is_pinned(from, size) || stream_of(stream).capture)
        return enqueue(stream, [=] { return copy((void*)to, from, size); });
    // The driver has read pageable memory before it returns.
    auto staged = std::make_shared<std::string>((const char*)from, size);
    return enqueue(stream, [=] { return copy((void*)to, staged->data(), size); });
}
EXPORT Result cuMemcpyDtoHAsync_v2(void* to, Pointer from, size_t size, void* stream) {
    READY;
    if (!inside(from, size)) return INVALID_VALUE;
    const Result result = enqueue(stream, [=] { return copy(to, (void*)from, size); });
    // To pageable memory the copy has ended before the call returns.
    const bool waits = !is_pinned(to, size) && !stream_of(stream).capture;
    return result || !waits ? result : run_all(stream_of(stream));
}
EXPORT Result cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t size, void* stream) {
    READY;
    if (!inside(from, size) || !inside(to, size)) return INVALID_VALUE;
    return enqueue(stream, [=] { return copy((void*)to, (void*)from, size); });
}
// One side of CUDA_MEMCPY3D: a box in linear memory, whose rows lie `pitch` bytes apart and whose
// slices `height` rows.
struct Corner {
    size_t x, y, z, level;
    int memory;
    void* host;
    Pointer device;
    void *array, *reserved;
    size_t pitch, height;
    size_t offset(size_t row, size_t slice) const {
        return x + pitch * (y + row + height * (z + slice));
    }
};
struct BoxCopy {
    Corner from, to;
    size_t width, height, depth;
};
EXPORT Result cuMemcpy3DAsync_v2(const BoxCopy* given, void* stream) {
    READY;
    const BoxCopy box = *given;
    const int device = 2;
    if (box.from.memory != device || box.to.memory != device) return NOT_SUPPORTED;
    if (!box.width || !box.height || !box.depth) return SUCCESS;
    for (const Corner* corner : {&box.from, &box.to}) {
        const bool overlaps = corner->x + box.width > corner->pitch ||
                              (box.depth > 1 && corner->y + box.height > corner->height);
        const size_t end = corner->offset(box.height - 1, box.depth - 1) + box.width;
        if (overlaps || !inside(corner->device, end)) return INVALID_VALUE;
    }
    return enqueue(stream, [=] {
        for (size_t slice = 0; slice < box.depth; slice++)
            for (size_t row = 0; row < box.height; row++)
                std::memmove((char*)box.to.device + box.to.offset(row, slice),
                             (char*)box.from.device + box.from.offset(row, slice), box.width);
        return (Result)SUCCESS;
    });
}
template <class T>
static Result fill(Pointer to, T value, size_t count, void* stream) {
    if (!inside(to, count * sizeof(T))) return INVALID_VALUE;
    return enqueue(stream, [=] {
        for (size_t n = 0; n < count; n++) std::memcpy((T*)to + n, &value, sizeof(T));
        return (Result)SUCCESS;
    });
}
EXPORT Result cuMemsetD8Async(Pointer to, unsigned char value, size_t count, void* stream) {
    READY;
    return fill(to, value, count, stream);
}
EXPORT Result cuMemsetD32Async(Pointer to, unsigned value, size_t count, void* stream) {
    READY;
    return fill(to, value, count, stream);
}
EXPORT Result cuMemsetD8_v2(Pointer to, unsigned char value, size_t count) {
    READY_NOT_RECORDING;
    return fill(to, value, count, nullptr);
}
EXPORT Result cuMemsetD32_v2(Pointer to, unsigned value, size_t count) {
    READY_NOT_RECORDING;
    return fill(to, value, count, nullptr);
}

// --- modules and launches -----------------------------------------------------------------------

EXPORT Result cuModuleLoadDataEx(Module** module, const void* image, unsigned, void*, void**) {
    READY_NOT_RECORDING;
    const Elf64_Ehdr* head = (const Elf64_Ehdr*)image;
    constexpr int GPU = 190;
    if (std::memcmp(head, ELFMAG, SELFMAG)) return INVALID_IMAGE;
    if (head->e_machine == GPU) return NO_BINARY_FOR_GPU;
    const size_t size = head->e_shoff + (size_t)head->e_shentsize * head->e_shnum;
    const int file = memfd_create("module", 0);
    if (write(file, image, size) != (ssize_t)size) return OUT_OF_MEMORY;
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        std::fprintf(stderr, "cuda emulator: %s\n", dlerror());
        return INVALID_IMAGE;
    }
    *module = new Module{library, file, {}};
    return SUCCESS;
}
EXPORT Result cuModuleLoadData(Module** module, const void* image) {
    return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}
EXPORT Result cuModuleUnload(Module* module) {
    READY;
    run_everything();
    dlclose(module->library);
    close(module->file);
    delete module;
    return sticky;
}
EXPORT Result cuModuleGetFunction(Function** function, Module* module, const char* name) {
    READY;
    auto& known = module->functions[name];
    if (!known) {
        const std::string symbol = std::string(name) + "_emulated";
        const Entry entry = (Entry)dlsym(module->library, symbol.c_str());
        const auto* shared =
            (const unsigned*)dlsym(module->library, (std::string(name) + "_shared").c_str());
        if (!entry || !shared) return NOT_FOUND;
        known.reset(new Function{entry, name, *shared});
    }
    *function = known.get();
    return SUCCESS;
}
EXPORT Result cuFuncGetAttribute(int* value, int attribute, Function* function) {
    const std::map<int, unsigned> values = {{0, MOST_THREADS}, {1, function->shared}, {4, 32}};
    auto found = values.find(attribute);
    *value = found == values.end() ? 0 : found->second;
    return SUCCESS;
}
EXPORT Result cuFuncSetAttribute(Function* function, int attribute, int value) {
    READY;
    constexpr int MAX_DYNAMIC_SHARED_SIZE_BYTES = 8;
    if (attribute != MAX_DYNAMIC_SHARED_SIZE_BYTES) return SUCCESS;
    if (value < 0 || (unsigned)value > DYNAMIC_SHARED) return INVALID_VALUE;
    function->most_dynamic = value;
    return SUCCESS;
}
EXPORT Result cuFuncSetCacheConfig(Function*, int) { return SUCCESS; }
EXPORT Result cuFuncSetBlockShape(Function*, int, int, int) { return SUCCESS; }
EXPORT Result cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                             unsigned by, unsigned bz, unsigned dynamic, void* stream,
                             void** pointers, void** extra) {
    READY;
    Launch made = {function, {gx, gy, gz}, {bx, by, bz}, dynamic, nullptr};
    Result result = check(made);
    if (!result) result = unpack(made, pointers, extra);
    if (result) return result;
    if (Stream& recorded = stream_of(stream); recorded.capture) {
        capture(recorded, {true, made, {}});
        return SUCCESS;
    }
    return append(stream, [=] { return run(made); });
}

// --- streams, events, graphs --------------------------------------------------------------------

EXPORT Result cuStreamCreate(Stream** stream, unsigned flags) {
    READY_NOT_RECORDING;
    *stream = new Stream;
    (*stream)->blocking = !(flags & 1);
    streams.push_back(*stream);
    return SUCCESS;
}
EXPORT Result cuStreamDestroy_v2(Stream* stream) {
    READY;
    run_all(*stream);
    std::erase(streams, stream);
    delete stream;
    return sticky;
}
// Nobody can wait for a stream that records: nothing runs there.
#define READY_NOT_RECORDED(handle)                                \
    READY;                                                        \
    if (Stream& asked = stream_of(handle); asked.capture) {       \
        asked.broken_capture = true;                              \
        return CAPTURE_UNSUPPORTED;                               \
    }
EXPORT Result cuStreamSynchronize(void* handle) {
    READY_NOT_RECORDED(handle);
    return run_all(stream_of(handle));
}
EXPORT Result cuStreamQuery(void* handle) {
    READY_NOT_RECORDED(handle);
    return stream_of(handle).queue.empty() ? SUCCESS : NOT_READY;
}
EXPORT Result cuEventCreate(Event** event, unsigned) {
    READY;
    *event = new Event;
    return SUCCESS;
}
EXPORT Result cuEventDestroy_v2(Event* event) {
    READY;
    if (event->stream) run_to(*event->stream, event->after);
    delete event;
    return sticky;
}
EXPORT Result cuEventRecord(Event* event, void* handle) {
    READY;
    const Result result = enqueue(handle, [=] {
        event->milliseconds = now();
        return (Result)SUCCESS;
    });
    event->stream = &stream_of(handle);
    event->captured = event->stream->capture;
    event->after = event->stream->queued;
    return result;
}
EXPORT Result cuEventSynchronize(Event* event) {
    READY;
    if (event->captured) return CAPTURED_EVENT;
    return event->stream ? run_to(*event->stream, event->after) : SUCCESS;
}
EXPORT Result cuEventQuery(Event* event) {
    READY;
    if (event->captured) return CAPTURED_EVENT;
    return event->stream && event->stream->done < event->after ? NOT_READY : SUCCESS;
}
EXPORT Result cuEventElapsedTime_v2(float* milliseconds, Event* from, Event* to) {
    READY;
    for (Event* event : {from, to}) {
        if (!event->stream || event->captured) return INVALID_HANDLE;
        if (event->stream->done < event->after) return NOT_READY;
    }
    *milliseconds = (float)(to->milliseconds - from->milliseconds);
    return SUCCESS;
}
EXPORT Result cuStreamWaitEvent(void* handle, Event* event, unsigned) {
    READY;
    Stream* other = event->stream;
    const unsigned long long after = event->after;
    if (!other) return SUCCESS;
    if (event->captured || stream_of(handle).capture) return NOT_SUPPORTED;  // recording two streams
    return append(handle, [=] { return run_to(*other, after); });
}
EXPORT Result cuStreamBeginCapture_v2(Stream* stream, int mode) {
    READY;
    if ((size_t)stream <= 2) return CAPTURE_UNSUPPORTED;
    if (stream->capture) return INVALID_VALUE;
    stream->capture = new Graph;
    stream->last_captured = nullptr;
    stream->broken_capture = false;
    stream->mode = (CaptureMode)mode;
    stream->recorder = std::this_thread::get_id();
    return SUCCESS;
}
EXPORT Result cuStreamEndCapture(Stream* stream, Graph** graph) {
    READY;
    *graph = nullptr;
    if (!stream->capture) return INVALID_VALUE;
    if (stream->mode != RELAXED && stream->recorder != std::this_thread::get_id())
        return CAPTURE_WRONG_THREAD;
    if (stream->broken_capture) {
        delete stream->capture;
    } else {
        *graph = stream->capture;
        graphs.insert(*graph);
    }
    stream->capture = nullptr;
    return *graph ? SUCCESS : CAPTURE_INVALIDATED;
}
EXPORT Result cuStreamGetCaptureInfo_v2(Stream* stream, int* status, unsigned long long* number,
                                        Graph** graph, Node* const** nodes, size_t* count) {
    READY;
    *status = !stream->capture ? 0 : stream->broken_capture ? 2 : 1;
    if (number) *number = 1;
    if (graph) *graph = stream->capture;
    if (nodes) *nodes = &stream->last_captured;
    if (count) *count = stream->capture && stream->last_captured;
    return SUCCESS;
}
EXPORT Result cuGraphKernelNodeGetParams_v2(const Node* node, KernelNode* found) {
    READY;
    if (!node->kernel) return INVALID_VALUE;
    const Launch& made = node->launch;
    static void* theirs[1];  // the driver's own copy: whoever gives `extra` must clear it
    *found = {made.function, {}, {}, made.dynamic, theirs, nullptr, nullptr, nullptr};
    std::memcpy(found->grid, made.grid, sizeof made.grid);
    std::memcpy(found->block, made.block, sizeof made.block);
    return SUCCESS;
}
EXPORT Result cuGraphInstantiateWithFlags(GraphExecutable** executable, Graph* graph,
                                          unsigned long long) {
    READY;
    if (!graphs.count(graph)) return INVALID_VALUE;
    *executable = new GraphExecutable;
    for (auto& node : graph->nodes) (*executable)->nodes.emplace_back(node.get(), *node);
    graph_executables.insert(*executable);
    return SUCCESS;
}
EXPORT Result cuGraphExecKernelNodeSetParams_v2(GraphExecutable* executable, const Node* which,
                                                const KernelNode* given) {
    READY;
    if (!graph_executables.count(executable)) return INVALID_VALUE;
    for (auto& [node, copy] : executable->nodes) {
        if (node != which) continue;
        if (!copy.kernel || !given->function) return INVALID_VALUE;
        Launch made = {given->function, {}, {}, given->dynamic, nullptr};
        std::memcpy(made.grid, given->grid, sizeof made.grid);
        std::memcpy(made.block, given->block, sizeof made.block);
        Result result = check(made);
        if (!result) result = unpack(made, given->pointers, given->extra);
        if (!result) copy.launch = made;
        return result;
    }
    return INVALID_VALUE;
}
EXPORT Result cuGraphLaunch(GraphExecutable* executable, void* stream) {
    READY;
    if (!graph_executables.count(executable)) return INVALID_VALUE;
    if (stream_of(stream).capture) return NOT_SUPPORTED;
    for (auto& [node, copy] : executable->nodes) {
        Result result = copy.kernel ? append(stream, [made = copy.launch] { return run(made); })
                                    : append(stream, copy.work);
        if (result) return result;
    }
    return SUCCESS;
}
EXPORT Result cuGraphExecDestroy(GraphExecutable* executable) {
    READY;
    if (!graph_executables.erase(executable)) return INVALID_VALUE;
    delete executable;
    return SUCCESS;
}
EXPORT Result cuGraphDestroy(Graph* graph) {
    READY;
    if (!graphs.erase(graph)) return INVALID_VALUE;
    delete graph;
    return SUCCESS;
}
// A descriptor as emulator.h reads it; what the driver would refuse is refused.
EXPORT Result cuTensorMapEncodeTiled(void* map, int type, unsigned rank, void* address,
                                     const uint64_t* sizes, const uint64_t* strides,
                                     const unsigned* box, const unsigned* steps, int interleave,
                                     int swizzle, int, int) {
    struct Map {
        uint64_t magic, address, sizes[3], strides[2];
        uint32_t box[3], itemsize;
    } made = {0x70674d6170, (uint64_t)address, {}, {}, {}, 2};
    constexpr int HALF = 6, BFLOAT = 9, SWIZZLE_128 = 3;
    if (rank != 3 || (type != HALF && type != BFLOAT)) return INVALID_VALUE;
    if (interleave || swizzle != SWIZZLE_128) return INVALID_VALUE;
    if ((uintptr_t)map % 64 || (uintptr_t)address % 16) return INVALID_VALUE;
    for (int axis = 0; axis < 3; axis++) {
        if (!box[axis] || box[axis] > 256 || steps[axis] != 1) return INVALID_VALUE;
        if (!sizes[axis] || sizes[axis] > 1ull << 32) return INVALID_VALUE;
        made.sizes[axis] = sizes[axis], made.box[axis] = box[axis];
        if (axis == 2) break;
        if (!strides[axis] || strides[axis] % 16 || strides[axis] >> 40) return INVALID_VALUE;
        made.strides[axis] = strides[axis];
    }
    if (box[0] * 2 > 128) return INVALID_VALUE;
    std::memcpy(map, &made, sizeof made);
    return SUCCESS;
}

EXPORT Result cuProfilerStart() { return SUCCESS; }
EXPORT Result cuProfilerStop() { return SUCCESS; }
EXPORT Result cuGetProcAddress_v2(const char* name, void** function, int, unsigned long long, int*) {
    void* self = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    *function = nullptr;
    for (const char* version : {"_v4", "_v3", "_v2", ""})
        if (!*function) *function = dlsym(self, (std::string(name) + version).c_str());
    return *function ? SUCCESS : NOT_FOUND;
}
