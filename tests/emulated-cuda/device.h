// The part of CUDA C++ that CubeCL writes, for a host compiler. Threads of a block are fibers of one host thread: each
// runs until a barrier. Their order changes from meeting to meeting, so that a missing barrier shows.

#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__
#define __restrict__
#define __grid_constant__
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))

// Vectors.

#define EMULATED_VECTORS(T, name)                                                                                       \
    struct __align__(2 * sizeof(T)) name##2 { T x, y; };                                                                \
    struct name##3 { T x, y, z; };                                                                                      \
    struct __align__(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) name##4 { T x, y, z, w; };
EMULATED_VECTORS(float, float)
EMULATED_VECTORS(double, double)
EMULATED_VECTORS(int, int)
EMULATED_VECTORS(unsigned, uint)
EMULATED_VECTORS(short, short)
EMULATED_VECTORS(unsigned short, ushort)
EMULATED_VECTORS(char, char)
EMULATED_VECTORS(unsigned char, uchar)
EMULATED_VECTORS(long long, longlong)
EMULATED_VECTORS(unsigned long long, ulonglong)

using dim3 = uint3;
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
static thread_local uint3 threadIdx, blockIdx, blockDim, gridDim;
static const unsigned warpSize = 32;

namespace emulated {

constexpr size_t STACK = 512 * 1024;
enum State : char { READY, AT_WARP, AT_BLOCK, DONE };

struct Fiber {
    void* stack = nullptr;
    void* top = nullptr;
    State state = DONE;
};

// A block, reused from block to block by the host thread that runs it.
struct Block {
    Fiber fibers[1024];
    void* scheduler = nullptr;
    unsigned threads = 0, running = 0, meetings = 0;
    uint64_t lanes[1024];  // what shuffles exchange
    uint8_t* shared = nullptr;
    size_t shared_bytes = 0;
    void (*body)(void*) = nullptr;
    void* params = nullptr;
};
static thread_local Block* block = nullptr;

__attribute__((naked, noinline)) static void change(void** from, void* to) {
    asm("push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov %rsp, (%rdi)\n mov %rsi, %rsp\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret");
}

__attribute__((noinline)) static void leave(State state) {
    Block* b = block;
    Fiber& own = b->fibers[b->running];
    own.state = state;
    change(&own.top, b->scheduler);
}

static void enter() {
    block->body(block->params);
    leave(DONE);
    abort();
}

static void prepare(Fiber& fiber) {
    if (!fiber.stack) fiber.stack = aligned_alloc(64, STACK);
    void** top = reinterpret_cast<void**>(static_cast<char*>(fiber.stack) + STACK) - 3;  // a function begins 8 bytes off a multiple of 16
    *--top = reinterpret_cast<void*>(&enter);
    for (int saved = 0; saved < 6; saved++) *--top = nullptr;
    fiber.top = top;
    fiber.state = READY;
}

static void resume(Block* b, unsigned thread) {
    b->running = thread;
    threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y)};
    change(&b->scheduler, b->fibers[thread].top);
}

// Wakes the threads from `from` to `to` if all that still run wait in `state`.
static bool wake(Block* b, unsigned from, unsigned to, State state) {
    unsigned waiting = 0, done = 0;
    for (unsigned t = from; t < to; t++) {
        waiting += b->fibers[t].state == state;
        done += b->fibers[t].state == DONE;
    }
    if (!waiting || waiting + done < to - from) return false;
    for (unsigned t = from; t < to; t++)
        if (b->fibers[t].state == state) b->fibers[t].state = READY;
    return true;
}

static void run_fibers(Block* b) {
    for (unsigned t = 0; t < b->threads; t++) prepare(b->fibers[t]);
    for (bool awake = true; awake;) {
        unsigned start = ++b->meetings * 7919 % b->threads;
        for (unsigned i = 0; i < b->threads; i++) {
            unsigned t = b->meetings % 2 ? (start + i) % b->threads : (start + b->threads - i) % b->threads;
            if (b->fibers[t].state == READY) resume(b, t);
        }
        awake = wake(b, 0, b->threads, AT_BLOCK);
        for (unsigned w = 0; w < b->threads; w += 32)
            awake |= wake(b, w, w + 32 < b->threads ? w + 32 : b->threads, AT_WARP);
    }
    for (unsigned t = 0; t < b->threads; t++)
        if (b->fibers[t].state != DONE) {
            fprintf(stderr, "emulated CUDA: threads of one block wait at different barriers\n");
            abort();
        }
}

static uint8_t* shared_memory() { return block->shared; }
static unsigned thread_index() { return block->running; }
static void warp_barrier() { leave(AT_WARP); }

static void run_block(unsigned index, const uint3& grid, const uint3& size, size_t shared,
                      void (*body)(void*), void* params) {
    static thread_local Block* own = nullptr;
    if (!own) own = new Block;
    Block* b = block = own;
    gridDim = grid;
    blockDim = size;
    blockIdx = {index % grid.x, index / grid.x % grid.y, index / (grid.x * grid.y)};
    b->threads = size.x * size.y * size.z;
    b->body = body;
    b->params = params;
    if (b->shared_bytes < shared) {
        free(b->shared);
        b->shared = static_cast<uint8_t*>(aligned_alloc(512, (shared + 511) / 512 * 512));
        b->shared_bytes = shared;
    }
    if (shared) memset(b->shared, 0xff, shared);
#if EMULATED_MEETS
    run_fibers(b);
#else
    for (unsigned t = 0; t < b->threads; t++) {
        b->running = t;
        threadIdx = {t % size.x, t / size.x % size.y, t / (size.x * size.y)};
        body(params);
    }
#endif
}

template <class... A, size_t... I>
static void call(void (*kernel)(A...), void** params, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<std::remove_reference_t<A>>*>(params[I])...);
}
template <class... A>
static void call(void (*kernel)(A...), void** params) {
    call(kernel, params, std::index_sequence_for<A...>{});
}

}  // namespace emulated

#define EMULATED_ENTRY(kernel)                                                                                          \
    extern "C" void emulated_launch(void** params, const unsigned* grid, const unsigned* block, size_t shared) {        \
        const uint3 cubes = {grid[0], grid[1], grid[2]}, size = {block[0], block[1], block[2]};                \
        const unsigned count = cubes.x * cubes.y * cubes.z;                                                             \
        auto body = [](void* params) { emulated::call(&kernel, static_cast<void**>(params)); };                         \
        _Pragma("omp parallel for schedule(dynamic)") for (unsigned index = 0; index < count; index++)                  \
            emulated::run_block(index, cubes, size, shared, body, params);                                              \
    }

// Barriers, shuffles, votes.

static void __syncthreads() { emulated::leave(emulated::AT_BLOCK); }
static void __syncwarp(unsigned = 0) { emulated::warp_barrier(); }
static void __threadfence() { __sync_synchronize(); }

namespace emulated {
template <class T>
static T exchange(T value, unsigned lane) {
    static_assert(sizeof(T) <= 8, "wider than a register pair");
    const unsigned own = block->running, warp = own / 32 * 32;
    memcpy(&block->lanes[own], &value, sizeof(T));
    warp_barrier();
    T other;
    memcpy(&other, &block->lanes[warp + lane], sizeof(T));
    warp_barrier();
    return other;
}
static unsigned lane() { return block->running % 32; }
}  // namespace emulated

template <class T>
static T __shfl_sync(unsigned, T value, int lane, int = 32) { return emulated::exchange(value, lane % 32); }
template <class T>
static T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
    return emulated::exchange(value, (emulated::lane() ^ mask) % 32);
}
template <class T>
static T __shfl_up_sync(unsigned, T value, unsigned by, int = 32) {
    const unsigned lane = emulated::lane();
    return emulated::exchange(value, lane < by ? lane : lane - by);
}
template <class T>
static T __shfl_down_sync(unsigned, T value, unsigned by, int = 32) {
    const unsigned lane = emulated::lane();
    return emulated::exchange(value, lane + by > 31 ? lane : lane + by);
}
static unsigned __ballot_sync(unsigned, int vote) {
    const unsigned own = emulated::block->running, warp = own / 32 * 32;
    emulated::block->lanes[own] = vote != 0;
    emulated::warp_barrier();
    unsigned votes = 0;
    for (unsigned l = 0; l < 32 && warp + l < emulated::block->threads; l++)
        votes |= unsigned(emulated::block->lanes[warp + l]) << l;
    emulated::warp_barrier();
    return votes;
}
static bool __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote); }
static bool __all_sync(unsigned mask, int vote) { return !__ballot_sync(mask, !vote); }

// Numbers of 16 bits: arithmetic in f32, rounded to nearest even after every operation.

namespace emulated {
static uint32_t bits_of(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }
static float float_of(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }

struct Bf16 {
    static uint16_t pack(float x) {
        uint32_t bits = bits_of(x);
        if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t(bits >> 16 | 0x40);
        return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
    static float unpack(uint16_t bits) { return float_of(uint32_t(bits) << 16); }
};

struct F16 {
    static uint16_t pack(float x) {
        const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000;
        const float magnitude = fabsf(x);
        if (!(magnitude == magnitude)) return uint16_t(sign | 0x7e00);
        if (magnitude >= 65520.f) return uint16_t(sign | 0x7c00);
        if (magnitude < 6.103515625e-5f) return uint16_t(sign | uint32_t(lrintf(magnitude * 16777216.f)));
        const uint32_t rounded = bits_of(magnitude) + 0xfff + (bits_of(magnitude) >> 13 & 1);
        return uint16_t(sign | ((rounded - 0x38000000) >> 13));
    }
    static float unpack(uint16_t bits) {
        const float sign = bits & 0x8000 ? -1.f : 1.f;
        const uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
        if (exponent == 0) return sign * float(fraction) * 5.9604644775390625e-8f;
        if (exponent == 31) return sign * (fraction ? NAN : INFINITY);
        return sign * float_of((exponent + 112) << 23 | fraction << 13);
    }
};

template <class Format>
struct Short {
    uint16_t bits;
    Short() = default;
    template <class T, class = std::enable_if_t<std::is_arithmetic<T>::value>>
    Short(T value) : bits(Format::pack(float(value))) {}
    template <class Other>
    explicit Short(Short<Other> value) : bits(Format::pack(float(value))) {}
    operator float() const { return Format::unpack(bits); }
    Short& operator+=(Short other) { return *this = *this + other; }
    Short& operator-=(Short other) { return *this = *this - other; }
    Short& operator*=(Short other) { return *this = *this * other; }
    Short& operator/=(Short other) { return *this = *this / other; }
    Short operator-() const { return Short(-float(*this)); }
    friend Short operator+(Short a, Short b) { return Short(float(a) + float(b)); }
    friend Short operator-(Short a, Short b) { return Short(float(a) - float(b)); }
    friend Short operator*(Short a, Short b) { return Short(float(a) * float(b)); }
    friend Short operator/(Short a, Short b) { return Short(float(a) / float(b)); }
    friend bool operator==(Short a, Short b) { return float(a) == float(b); }
    friend bool operator!=(Short a, Short b) { return float(a) != float(b); }
    friend bool operator<(Short a, Short b) { return float(a) < float(b); }
    friend bool operator>(Short a, Short b) { return float(a) > float(b); }
    friend bool operator<=(Short a, Short b) { return float(a) <= float(b); }
    friend bool operator>=(Short a, Short b) { return float(a) >= float(b); }
};
template <class Format>
struct Pair { Short<Format> x, y; };
}  // namespace emulated

using __nv_bfloat16 = emulated::Short<emulated::Bf16>;
using __nv_bfloat162 = emulated::Pair<emulated::Bf16>;
using __half = emulated::Short<emulated::F16>;
using __half2 = emulated::Pair<emulated::F16>;

#define EMULATED_SHORT(name, value)                                                                                     \
    template <class F> static emulated::Short<F> name(emulated::Short<F> x) { const float v = x; return {value}; }
EMULATED_SHORT(hexp, expf(v))
EMULATED_SHORT(hlog, logf(v))
EMULATED_SHORT(hsqrt, sqrtf(v))
EMULATED_SHORT(hrsqrt, 1.f / sqrtf(v))
EMULATED_SHORT(htanh, tanhf(v))
EMULATED_SHORT(hsin, sinf(v))
EMULATED_SHORT(hcos, cosf(v))
EMULATED_SHORT(hfloor, floorf(v))
EMULATED_SHORT(hceil, ceilf(v))
EMULATED_SHORT(htrunc, truncf(v))
EMULATED_SHORT(hrint, rintf(v))
EMULATED_SHORT(hrcp, 1.f / v)
EMULATED_SHORT(__habs, fabsf(v))
template <class F> static emulated::Short<F> __hmax(emulated::Short<F> a, emulated::Short<F> b) { return a > b ? a : b; }
template <class F> static emulated::Short<F> __hmin(emulated::Short<F> a, emulated::Short<F> b) { return a < b ? a : b; }
template <class F> static emulated::Short<F> __hfma(emulated::Short<F> a, emulated::Short<F> b, emulated::Short<F> c) {
    return {fmaf(a, b, c)};
}
template <class F> static bool __hisnan(emulated::Short<F> x) { return float(x) != float(x); }
template <class F> static bool __hisinf(emulated::Short<F> x) { return std::isinf(float(x)); }

template <class F> static emulated::Pair<F> operator+(emulated::Pair<F> a, emulated::Pair<F> b) { return {a.x + b.x, a.y + b.y}; }
template <class F> static emulated::Pair<F> operator-(emulated::Pair<F> a, emulated::Pair<F> b) { return {a.x - b.x, a.y - b.y}; }
template <class F> static emulated::Pair<F> operator*(emulated::Pair<F> a, emulated::Pair<F> b) { return {a.x * b.x, a.y * b.y}; }
template <class F> static emulated::Pair<F> operator/(emulated::Pair<F> a, emulated::Pair<F> b) { return {a.x / b.x, a.y / b.y}; }
template <class F> static emulated::Pair<F> __hfma2(emulated::Pair<F> a, emulated::Pair<F> b, emulated::Pair<F> c) {
    return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}

// Mathematics.

#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __powf(x, y) powf(x, y)
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frsqrt_rn(float x) { return 1.f / sqrtf(x); }
static inline float __frcp_rn(float x) { return 1.f / x; }
#define __tanhf(x) tanhf(x)
static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
static inline double rsqrt(double x) { return 1. / sqrt(x); }
static inline float rsqrt(float x) { return 1.f / sqrtf(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; i++) y |= (x >> i & 1) << (31 - i);
    return y;
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
static inline int __mulhi(int a, int b) { return int(int64_t(a) * b >> 32); }

template <class A, class B> static auto max(A a, B b) -> std::common_type_t<A, B> { return a > b || a != a ? a : b; }
template <class A, class B> static auto min(A a, B b) -> std::common_type_t<A, B> { return a < b || a != a ? a : b; }

// Atomics.

template <class T>
static T emulated_atomic(T* at, T value, T (*change)(T, T)) {
    using Word = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    static_assert(sizeof(T) == sizeof(Word), "atomics have 32 or 64 bits");
    Word* word = reinterpret_cast<Word*>(at);
    Word old = __atomic_load_n(word, __ATOMIC_SEQ_CST), next;
    T was;
    do {
        memcpy(&was, &old, sizeof(T));
        T is = change(was, value);
        memcpy(&next, &is, sizeof(T));
    } while (!__atomic_compare_exchange_n(word, &old, next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return was;
}
#define EMULATED_ATOMIC(name, value)                                                                                    \
    template <class T, class V> static T name(T* at, V by) {                                                            \
        return emulated_atomic<T>(at, T(by), [](T a, T b) -> T { return value; });                                      \
    }
EMULATED_ATOMIC(atomicAdd, a + b)
EMULATED_ATOMIC(atomicSub, a - b)
EMULATED_ATOMIC(atomicMax, a > b ? a : b)
EMULATED_ATOMIC(atomicMin, a < b ? a : b)
EMULATED_ATOMIC(atomicExch, b)
EMULATED_ATOMIC(atomicAnd, a & b)
EMULATED_ATOMIC(atomicOr, a | b)
EMULATED_ATOMIC(atomicXor, a ^ b)

// Tensor cores. A lane holds whole operands and its share of an accumulator. A warp stores a matrix as one instruction:
// its lanes see it without a barrier, which Burn's products rely on.

namespace nvcuda { namespace wmma {
struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };
namespace precision { struct tf32; }

// What a fragment of T holds.
template <class T> struct element { using type = T; };
template <> struct element<precision::tf32> { using type = float; };
template <class T> using element_t = typename element<T>::type;

// 10 bits of fraction, ties away from zero.
static float __float_to_tf32(float x) { return emulated::float_of((emulated::bits_of(x) + 0x1000) & 0xffffe000); }

template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment;
template <int M, int N, int K, class T, class Layout>
struct fragment<matrix_a, M, N, K, T, Layout> {
    enum { rows = M, columns = K, num_elements = M * K };
    element_t<T> x[M * K];
};
template <int M, int N, int K, class T, class Layout>
struct fragment<matrix_b, M, N, K, T, Layout> {
    enum { rows = K, columns = N, num_elements = K * N };
    element_t<T> x[K * N];
};
template <int M, int N, int K, class T, class Layout>
struct fragment<accumulator, M, N, K, T, Layout> {
    enum { num_elements = M * N / 32 };
    T x[M * N / 32];
};

template <class Use, int M, int N, int K, class T, class Layout, class V>
static void fill_fragment(fragment<Use, M, N, K, T, Layout>& to, V value) {
    for (auto& x : to.x) x = element_t<T>(value);
}
template <class Use, int M, int N, int K, class T, class Layout, class P>
static void load_matrix_sync(fragment<Use, M, N, K, T, Layout>& to, const P* from, unsigned stride) {
    static_assert(sizeof(P) == sizeof(element_t<T>), "other elements");
    emulated::warp_barrier();
    const auto* at = reinterpret_cast<const element_t<T>*>(from);
    for (int r = 0; r < to.rows; r++)
        for (int c = 0; c < to.columns; c++)
            to.x[r * to.columns + c] = std::is_same<Layout, row_major>::value ? at[r * stride + c] : at[c * stride + r];
}
template <int M, int N, int K, class T, class Layout>
static void load_matrix_sync(fragment<accumulator, M, N, K, T, Layout>& to, const T* from, unsigned stride, layout_t layout) {
    emulated::warp_barrier();
    for (int e = 0; e < M * N / 32; e++) {
        const int at = e * 32 + emulated::lane(), r = at / N, c = at % N;
        to.x[e] = layout == mem_row_major ? from[r * stride + c] : from[c * stride + r];
    }
}
template <int M, int N, int K, class T, class Layout>
static void store_matrix_sync(T* to, const fragment<accumulator, M, N, K, T, Layout>& from, unsigned stride, layout_t layout) {
    emulated::warp_barrier();
    for (int e = 0; e < M * N / 32; e++) {
        const int at = e * 32 + emulated::lane(), r = at / N, c = at % N;
        to[layout == mem_row_major ? r * stride + c : c * stride + r] = from.x[e];
    }
    emulated::warp_barrier();
}
template <int M, int N, int K, class A, class B, class C, class LA, class LB, class LC>
static void mma_sync(fragment<accumulator, M, N, K, C, LC>& to, const fragment<matrix_a, M, N, K, A, LA>& a,
                     const fragment<matrix_b, M, N, K, B, LB>& b, const fragment<accumulator, M, N, K, C, LC>& c) {
    emulated::warp_barrier();
    for (int e = 0; e < M * N / 32; e++) {
        const int at = e * 32 + emulated::lane(), row = at / N, column = at % N;
        float sum = c.x[e];
        for (int k = 0; k < K; k++) sum += float(a.x[row * K + k]) * float(b.x[k * N + column]);
        to.x[e] = C(sum);
    }
}
}}  // namespace nvcuda::wmma
