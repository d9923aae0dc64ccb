// A libnvrtc.so that "compiles for the GPU" by g++ with emulator.h: the cubin is a shared library
// which driver.cpp loads. Compiled sources are kept in EMULATOR_CACHE, named by their hash.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <regex>
#include <sstream>
#include <string>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {
constexpr int SUCCESS = 0, INVALID = 3, FAILED = 6;

struct Program {
    std::string source, log, image;
};

std::string home() { return EMULATOR_HOME; }  // the folder of emulator.h, from the build

std::string environment(const char* name, const std::string& otherwise) {
    const char* text = std::getenv(name);
    return text && *text ? text : otherwise;
}

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// A launch entry for each kernel; it runs as fibers if its text synchronises threads. Its arrays in
// shared memory are counted: more than 48 KiB of them do not compile.
std::string with_exports(std::string source) {
    static const std::regex dynamic(R"(extern __shared__ (\w+(?: \w+)*) (\w+)\[\];)");
    static const std::regex head(
        R"(extern "C" __global__ void (?:__launch_bounds__\([^)]*\) ?)?(\w+)\()");
    static const std::regex array(
        R"(__shared__ (?:__align__\(\d+\) )?(\w+(?: \w+)*) \w+\[([^\]]+)\];)");
    static const std::regex synchronising("__sync|__shfl|__ballot|pg_warp_|pg_block_|pg_multiply_");
    source = std::regex_replace(source, dynamic, "EMULATOR_DYNAMIC($1, $2);");
    std::ostringstream exports;
    for (std::sregex_iterator kernel(source.begin(), source.end(), head), end; kernel != end;) {
        const std::string name = (*kernel)[1];
        const size_t from = kernel->position();
        const size_t to = ++kernel == end ? source.size() : kernel->position();
        const bool fibers = std::regex_search(source.begin() + from, source.begin() + to,
                                              synchronising);
        exports << "EMULATOR_EXPORT(" << name << ", " << (fibers ? "true" : "false") << ", 0";
        const auto begin = source.cbegin() + from, finish = source.cbegin() + to;
        for (std::sregex_iterator one(begin, finish, array), last; one != last; ++one)
            exports << " + sizeof(" << (*one)[1] << ") * (" << (*one)[2] << ")";
        exports << ")\n";
    }
    return source + "\n" + exports.str();
}

int compile(Program& program) {
    const std::string folder = environment("EMULATOR_CACHE", "/tmp");
    const std::string flags = environment("EMULATOR_FLAGS", "");
    const std::string text = with_exports(program.source);
    const size_t key = std::hash<std::string>()(text + flags + read(home() + "/emulator.h"));
    const std::string stem = folder + "/k" + std::to_string(key);
    const std::string library = stem + ".so";
    if (access(library.c_str(), R_OK) != 0) {
        const std::string own = stem + "." + std::to_string(getpid());
        std::ofstream(own + ".cpp") << text;
        const std::string command = std::string(EMULATOR_COMPILER) + " " + flags + " -include " +
                                    home() + "/emulator.h -o " + own + ".so " + own +
                                    ".cpp > " + own + ".log 2>&1";
        const int code = std::system(command.c_str());
        program.log = read(own + ".log");
        std::remove((own + ".log").c_str());
        if (code) return FAILED;
        std::rename((own + ".cpp").c_str(), (stem + ".cpp").c_str());
        std::rename((own + ".so").c_str(), library.c_str());
    }
    program.image = read(library);
    return SUCCESS;
}
}  // namespace

EXPORT int nvrtcVersion(int* major, int* minor) {
    // Of its own: what it compiles must not be taken for NVIDIA's, nor an older emulator's.
    *major = 13;
    *minor = 1000 + std::hash<std::string>()(read(home() + "/emulator.h") + EMULATOR_COMPILER +
                                             environment("EMULATOR_FLAGS", "")) % 1000000;
    return SUCCESS;
}
EXPORT int nvrtcCreateProgram(void** program, const char* source, const char*, int count,
                              const char* const*, const char* const*) {
    if (count) return INVALID;
    *program = new Program{source, "", ""};
    return SUCCESS;
}
EXPORT int nvrtcDestroyProgram(void** program) {
    delete (Program*)*program;
    *program = nullptr;
    return SUCCESS;
}
EXPORT int nvrtcCompileProgram(void* program, int, const char* const*) {
    return compile(*(Program*)program);
}
EXPORT int nvrtcGetProgramLogSize(void* program, size_t* size) {
    *size = ((Program*)program)->log.size() + 1;
    return SUCCESS;
}
EXPORT int nvrtcGetProgramLog(void* program, char* log) {
    const std::string& text = ((Program*)program)->log;
    text.copy(log, text.size());
    log[text.size()] = 0;
    return SUCCESS;
}
// What stands for PTX is the source that g++ compiled.
EXPORT int nvrtcGetPTXSize(void* program, size_t* size) {
    *size = ((Program*)program)->source.size() + 1;
    return SUCCESS;
}
EXPORT int nvrtcGetPTX(void* program, char* ptx) {
    const std::string& text = ((Program*)program)->source;
    text.copy(ptx, text.size());
    ptx[text.size()] = 0;
    return SUCCESS;
}
EXPORT int nvrtcGetCUBINSize(void* program, size_t* size) {
    *size = ((Program*)program)->image.size();
    return SUCCESS;
}
EXPORT int nvrtcGetCUBIN(void* program, char* image) {
    const std::string& bytes = ((Program*)program)->image;
    bytes.copy(image, bytes.size());
    return SUCCESS;
}
EXPORT const char* nvrtcGetErrorString(int code) {
    return code == SUCCESS ? "success" : code == FAILED ? "compilation failed" : "invalid input";
}
