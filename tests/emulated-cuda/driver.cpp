// NVIDIA's driver, NVRTC and NCCL as far as CubeCL calls them, on the CPU: memory is the host's, a kernel's source is compiled
// with the host's C++ compiler against device.h, and a launch runs it. Everything is done by the time a call returns.
//
// Fresh memory is filled with NaN, so that a kernel that reads what nobody wrote shows. EMULATED_CUDA is the folder of
// device.h and the compiled kernels; EMULATED_CUDA_ARCH the compute capability to report (80), EMULATED_CUDA_DEVICES how
// many devices (2). With NVRTC, a folder that has NVIDIA's lib/libnvrtc.so.13 and include/, every kernel must also pass
// NVIDIA's compiler for sm_90a; its PTX is left beside the kernel.

#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

using Launch = void (*)(void** params, const unsigned* grid, const unsigned* block, size_t shared);

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500, NOT_SUPPORTED = 801 };

namespace {

std::string folder() {
    const char* path = getenv("EMULATED_CUDA");
    return path ? path : ".";
}

int arch() {
    const char* version = getenv("EMULATED_CUDA_ARCH");
    return version ? atoi(version) : 80;
}

void* allocate(size_t bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 512, bytes ? bytes : 1)) return nullptr;
    memset(memory, 0xff, bytes);
    return memory;
}

// The part of `source` a host compiler does not take, in terms of device.h.
std::string for_the_host(std::string source) {
    for (size_t at; (at = source.find("#include <")) != std::string::npos;)
        source.erase(at, source.find('\n', at) - at);
    const std::string shared = "extern __shared__";
    if (size_t at = source.find(shared); at != std::string::npos)
        source.replace(at, source.find(';', at) - at, "uint8* const dynamic_shared_mem = emulated::shared_memory()");
    size_t name = source.find(')', source.find("__launch_bounds__(")) + 1;
    std::string kernel = source.substr(name, source.find('(', name) - name);
    bool meets = source.find("sync") != std::string::npos;  // barriers, shuffles, votes and matrices all say so
    source = std::string("#define EMULATED_MEETS ") + (meets ? "1" : "0") + "\n#include \"device.h\"\n" + source;
    return source + "\nEMULATED_ENTRY(" + kernel + ")\n";
}

struct Program {
    std::string source, library, log;
};

std::mutex compiling;

void write(const std::string& path, const std::string& text) {
    if (FILE* out = fopen(path.c_str(), "w")) {
        fwrite(text.data(), 1, text.size(), out);
        fclose(out);
    }
}

// Compiles with NVIDIA's compiler in `root`; what it says where it refuses.
std::string refused_by_nvidia(const std::string& root, const std::string& source, const std::string& ptx) {
    if (access(ptx.c_str(), R_OK) == 0) return "";
    static void* library = dlopen((root + "/lib/libnvrtc.so.13").c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return "no lib/libnvrtc.so.13 in " + root;
    using Handle = void*;
    auto create = reinterpret_cast<int (*)(Handle*, const char*, const char*, int, const char**, const char**)>(
        dlsym(library, "nvrtcCreateProgram"));
    auto compile = reinterpret_cast<int (*)(Handle, int, const char**)>(dlsym(library, "nvrtcCompileProgram"));
    auto destroy = reinterpret_cast<int (*)(Handle*)>(dlsym(library, "nvrtcDestroyProgram"));
    auto text = [&](Handle program, const char* size_of, const char* get) {
        size_t size = 0;
        reinterpret_cast<int (*)(Handle, size_t*)>(dlsym(library, size_of))(program, &size);
        std::string text(size, ' ');
        reinterpret_cast<int (*)(Handle, char*)>(dlsym(library, get))(program, &text[0]);
        return text;
    };
    Handle program = nullptr;
    create(&program, source.c_str(), nullptr, 0, nullptr, nullptr);
    const std::string include = "--include-path=" + root + "/include", cccl = include + "/cccl";
    const char* options[] = {"--gpu-architecture=sm_90a", include.c_str(), cccl.c_str()};
    const bool done = compile(program, 3, options) == 0;
    if (done) write(ptx, text(program, "nvrtcGetPTXSize", "nvrtcGetPTX").c_str());
    std::string log = done ? "" : text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
    destroy(&program);
    return log;
}

bool compile(Program& program) {
    std::string source = for_the_host(program.source);
    std::string stem = folder() + "/kernels/" + std::to_string(std::hash<std::string>{}(source));
    program.library = stem + ".so";
    std::lock_guard<std::mutex> lock(compiling);
    if (const char* nvidia = getenv("NVRTC")) {
        program.log = refused_by_nvidia(nvidia, program.source, stem + ".ptx");
        if (!program.log.empty()) return false;
    }
    if (access(program.library.c_str(), R_OK) == 0) return true;
    std::string file = stem + "." + std::to_string(getpid());
    write(stem + ".cu", program.source);
    write(file + ".cpp", source);
    const char* compiler = getenv("CXX");
    std::string command = std::string(compiler ? compiler : "c++") +
        " -std=c++17 -O2 -march=native -w -fPIC -shared -fopenmp -fno-strict-aliasing -I" + folder() + " -o " + file + ".so " +
        file + ".cpp > " + file + ".log 2>&1";
    bool done = system(command.c_str()) == 0;
    if (done) {
        rename((file + ".so").c_str(), program.library.c_str());
    } else if (FILE* in = fopen((file + ".log").c_str(), "r")) {
        char line[512];
        while (fgets(line, sizeof line, in)) program.log += line;
        fclose(in);
    }
    return done;
}

}  // namespace

extern "C" {

// The driver.

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int* version) { *version = 13000; return SUCCESS; }
int cuDeviceGetCount(int* count) {
    const char* devices = getenv("EMULATED_CUDA_DEVICES");
    *count = devices ? atoi(devices) : 2;
    return SUCCESS;
}
int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return SUCCESS; }
int cuDeviceGetName(char* name, int length, int) { snprintf(name, length, "a CPU that plays a GPU"); return SUCCESS; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { *bytes = size_t(16) << 30; return SUCCESS; }
int cuMemGetInfo_v2(size_t* free, size_t* total) { *free = *total = size_t(16) << 30; return SUCCESS; }

int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 1: *value = 1024; break;                            // threads per block
        case 2: case 3: *value = 1024; break;                    // block x, y
        case 4: *value = 64; break;                              // block z
        case 5: *value = 2147483647; break;                      // grid x
        case 6: case 7: *value = 65535; break;                   // grid y, z
        case 10: *value = 32; break;                             // warp
        case 16: *value = 2; break;                              // multiprocessors
        case 75: *value = arch() / 10; break;
        case 76: *value = arch() % 10; break;
        case 97: *value = 163 * 1024; break;                     // shared memory per block
        default: *value = 0;
    }
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
    *context = reinterpret_cast<void*>(intptr_t(device) + 1);
    return SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void*) { return SUCCESS; }
int cuCtxGetCurrent(void** context) { *context = reinterpret_cast<void*>(1); return SUCCESS; }
int cuCtxSynchronize() { return SUCCESS; }
int cuCtxEnablePeerAccess(void*, unsigned) { return SUCCESS; }
int cuDeviceCanAccessPeer(int* can, int, int) { *can = 0; return SUCCESS; }
int cuGetErrorName(int, const char** text) { *text = "an error of the emulated driver"; return SUCCESS; }
int cuGetErrorString(int, const char** text) { *text = "an error of the emulated driver"; return SUCCESS; }

int cuMemAlloc_v2(void** memory, size_t bytes) { return (*memory = allocate(bytes)) ? SUCCESS : OUT_OF_MEMORY; }
int cuMemAllocAsync(void** memory, size_t bytes, void*) { return cuMemAlloc_v2(memory, bytes); }
int cuMemAllocHost_v2(void** memory, size_t bytes) { return cuMemAlloc_v2(memory, bytes); }
int cuMemHostAlloc(void** memory, size_t bytes, unsigned) { return cuMemAlloc_v2(memory, bytes); }
int cuMemFree_v2(void* memory) { free(memory); return SUCCESS; }
int cuMemFreeAsync(void* memory, void*) { free(memory); return SUCCESS; }
int cuMemFreeHost(void* memory) { free(memory); return SUCCESS; }
int cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t bytes, void*) { memcpy(to, from, bytes); return SUCCESS; }
int cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t bytes, void*) { memcpy(to, from, bytes); return SUCCESS; }
int cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t bytes, void*) { memcpy(to, from, bytes); return SUCCESS; }
int cuMemcpyPeerAsync(void* to, void*, const void* from, void*, size_t bytes, void*) {
    memcpy(to, from, bytes);
    return SUCCESS;
}
int cuMemsetD8Async(void* to, unsigned char value, size_t bytes, void*) { memset(to, value, bytes); return SUCCESS; }

struct Copy2D {
    size_t from_x, from_y;
    int from_kind;
    const char* from_host;
    const char* from_device;
    void* from_array;
    size_t from_pitch;
    size_t to_x, to_y;
    int to_kind;
    char* to_host;
    char* to_device;
    void* to_array;
    size_t to_pitch;
    size_t width, height;
};

int cuMemcpy2DAsync_v2(const Copy2D* copy, void*) {
    const char* from = copy->from_kind == 1 ? copy->from_host : copy->from_device;
    char* to = copy->to_kind == 1 ? copy->to_host : copy->to_device;
    for (size_t row = 0; row < copy->height; row++)
        memcpy(to + (copy->to_y + row) * copy->to_pitch + copy->to_x,
               from + (copy->from_y + row) * copy->from_pitch + copy->from_x, copy->width);
    return SUCCESS;
}

int cuStreamCreate(void** stream, unsigned) { *stream = malloc(1); return SUCCESS; }
int cuStreamDestroy_v2(void* stream) { free(stream); return SUCCESS; }
int cuStreamSynchronize(void*) { return SUCCESS; }
int cuStreamWaitEvent(void*, void*, unsigned) { return SUCCESS; }
int cuEventCreate(void** event, unsigned) { *event = malloc(1); return SUCCESS; }
int cuEventRecord(void*, void*) { return SUCCESS; }
int cuEventSynchronize(void*) { return SUCCESS; }
int cuEventQuery(void*) { return SUCCESS; }
int cuEventDestroy_v2(void* event) { free(event); return SUCCESS; }

int cuTensorMapEncodeTiled(...) { return NOT_SUPPORTED; }
int cuTensorMapEncodeIm2col(...) { return NOT_SUPPORTED; }

int cuModuleLoadData(void** module, const void* image) {
    *module = dlopen(static_cast<const char*>(image), RTLD_NOW | RTLD_LOCAL);
    if (!*module) fprintf(stderr, "emulated CUDA: %s\n", dlerror());
    return *module ? SUCCESS : INVALID_VALUE;
}
int cuModuleUnload(void*) { return SUCCESS; }
int cuModuleGetFunction(void** function, void* module, const char*) {
    return (*function = dlsym(module, "emulated_launch")) ? SUCCESS : NOT_FOUND;
}
int cuFuncSetAttribute(void*, int, int) { return SUCCESS; }
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void*, void** params, void**) {
    unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
    reinterpret_cast<Launch>(function)(params, grid, block, shared);
    return SUCCESS;
}

// NVRTC. The "PTX" of a program is the path of its library.

int nvrtcVersion(int* major, int* minor) { *major = 13; *minor = 0; return SUCCESS; }
const char* nvrtcGetErrorString(int) { return "the host's compiler refused the kernel"; }
int nvrtcCreateProgram(Program** program, const char* source, const char*, int, const char* const*, const char* const*) {
    *program = new Program{source, "", ""};
    return SUCCESS;
}
int nvrtcCompileProgram(Program* program, int, const char* const*) { return compile(*program) ? SUCCESS : 6; }
int nvrtcGetPTXSize(Program* program, size_t* size) { *size = program->library.size() + 1; return SUCCESS; }
int nvrtcGetPTX(Program* program, char* ptx) { strcpy(ptx, program->library.c_str()); return SUCCESS; }
int nvrtcGetProgramLogSize(Program* program, size_t* size) { *size = program->log.size() + 1; return SUCCESS; }
int nvrtcGetProgramLog(Program* program, char* log) { strcpy(log, program->log.c_str()); return SUCCESS; }
int nvrtcDestroyProgram(Program** program) { delete *program; *program = nullptr; return SUCCESS; }

// NCCL. Devices of a communicator meet in every call.

struct UniqueId { char bytes[128]; };

struct Group {
    std::mutex lock;
    std::condition_variable changed;
    std::vector<const float*> parts;
    int arrived = 0, round = 0;

    void meet() {
        std::unique_lock<std::mutex> guard(lock);
        const int mine = round;
        if (++arrived == int(parts.size())) {
            arrived = 0;
            round++;
            changed.notify_all();
        }
        changed.wait(guard, [&] { return round != mine; });
    }
};

struct Communicator {
    Group* group;
    int rank;
};

const char* ncclGetErrorString(int) { return "an error of the emulated NCCL"; }
int ncclGetUniqueId(UniqueId* id) {
    static int count = 0;
    snprintf(id->bytes, sizeof id->bytes, "communicator %d", count++);
    return SUCCESS;
}
int ncclCommInitRank(Communicator** communicator, int ranks, UniqueId id, int rank) {
    static std::mutex lock;
    static std::map<std::string, Group*> groups;
    std::lock_guard<std::mutex> guard(lock);
    Group*& group = groups[id.bytes];
    if (!group) group = new Group;
    group->parts.resize(ranks);
    *communicator = new Communicator{group, rank};
    return SUCCESS;
}
int ncclCommDestroy(Communicator* communicator) { delete communicator; return SUCCESS; }
int ncclAllReduce(const void* from, void* to, size_t count, int type, int op, Communicator* own, void*) {
    const int F32 = 7, SUM = 0, MEAN = 4;
    if (type != F32 || (op != SUM && op != MEAN)) return 4;
    Group& group = *own->group;
    group.parts[own->rank] = static_cast<const float*>(from);
    group.meet();
    std::vector<float> sums(count);
    for (const float* part : group.parts)
        for (size_t i = 0; i < count; i++) sums[i] += part[i];
    if (op == MEAN)
        for (float& sum : sums) sum /= group.parts.size();
    group.meet();
    memcpy(to, sums.data(), count * sizeof(float));
    return SUCCESS;
}

}  // extern "C"
