// SPDX-License-Identifier: Apache-2.0
// The part of CUDA C++ that the CUDA kernels use, on the CPU. The threads of a block are fibres, which switch at
// barriers, warp operations, atomics and fences, in turn or, with a seed, at random. Blocks run one after another.
#pragma once

#include <stdio.h>
#include <string.h>

#include "arithmetic.h"
#include "block.h"

// ---- Language ------------------------------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ EMULATED_SHARED
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

#define DYNAMIC_SHARED(name) unsigned char* const name = emulation::shared_memory.start()

#define threadIdx (emulation::block.thread->index)
#define blockIdx (emulation::block.index)
#define blockDim (emulation::block.size)
#define gridDim (emulation::block.grid)

// Checked here, whereas a GPU's compiler relies on it.
#define __builtin_assume(condition)                                                                                  \
    ((condition) ? void() : emulation::fail({"__builtin_assume", __LINE__, 0}, "%s is false", #condition))
#define __assume(condition) __builtin_assume(condition)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define VECTORS(type, name)                                                                                          \
    struct alignas(2 * sizeof(type)) name##2 {                                                                       \
        type x, y;                                                                                                   \
    };                                                                                                               \
    struct alignas(16) name##4 {                                                                                     \
        type x, y, z, w;                                                                                             \
    };                                                                                                               \
    EMULATOR inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                                 \
    EMULATOR inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

VECTORS(int, int)
VECTORS(unsigned, uint)
VECTORS(float, float)
VECTORS(double, double)
#undef VECTORS

EMULATOR inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return static_cast<unsigned>((static_cast<unsigned long long>(high) << 32 | low) >> (shift & 31));
}

// ---- Memory --------------------------------------------------------------------------------------------------------

template <class T>
EMULATOR inline T __ldg(const T* address)
{
    emulation::check_own_access(address, sizeof(T), false);
    return *address;
}

EMULATOR inline void __threadfence() { emulation::yield(); }
EMULATOR inline void __threadfence_block() { emulation::yield(); }

namespace emulation {

template <class T>
struct Same {
    using Type = T;
};

template <class T, class... Types>
constexpr bool is_one_of = (__is_same(T, Types) || ...);

template <class T>
constexpr bool is_atomic_integer = is_one_of<T, int, unsigned, unsigned long long>;

template <class T, class Update>
EMULATOR inline T update(T* address, Update update)
{
    yield();
    check_own_access(address, sizeof(T), false);
    check_own_access(address, sizeof(T), true);
    const T before = *address;
    *address = update(before);
    return before;
}

}  // namespace emulation

template <class T>
EMULATOR inline T atomicAdd(T* address, typename emulation::Same<T>::Type value)
{
    static_assert(emulation::is_atomic_integer<T> || emulation::is_one_of<T, float, double>, "no such atomicAdd");
    return emulation::update(address, [=](T before) { return before + value; });
}

#define ATOMIC(name, result)                                                                                         \
    template <class T>                                                                                               \
    EMULATOR inline T name(T* address, typename emulation::Same<T>::Type value)                                               \
    {                                                                                                                \
        static_assert(emulation::is_atomic_integer<T>, "no such " #name);                                            \
        return emulation::update(address, [=]([[maybe_unused]] T before) { return result; });                        \
    }

ATOMIC(atomicMin, min(before, value))
ATOMIC(atomicMax, max(before, value))
ATOMIC(atomicExch, value)
#undef ATOMIC

template <class T>
EMULATOR inline T atomicCAS(T* address, typename emulation::Same<T>::Type expected, typename emulation::Same<T>::Type value)
{
    static_assert(emulation::is_atomic_integer<T>, "no such atomicCAS");
    return emulation::update(address, [=](T before) { return before == expected ? value : before; });
}

// ---- Barriers ------------------------------------------------------------------------------------------------------
// Calls are distinguished by the line of the caller, from a default argument.

EMULATOR inline void __syncthreads(int line = __builtin_LINE())
{
    emulation::meet_block("__syncthreads", false, line);
}

EMULATOR inline int __syncthreads_or(int predicate, int line = __builtin_LINE())
{
    return emulation::meet_block("__syncthreads_or", predicate, line) > 0;
}

EMULATOR inline int __syncthreads_and(int predicate, int line = __builtin_LINE())
{
    return emulation::meet_block("__syncthreads_and", !predicate, line) == 0;
}

EMULATOR inline int __syncthreads_count(int predicate, int line = __builtin_LINE())
{
    return emulation::meet_block("__syncthreads_count", predicate, line);
}

// ---- Warp operations -----------------------------------------------------------------------------------------------

namespace emulation {

// Combines the values of the lanes in the order of the lanes; every lane gets the result.
template <class T, class Combine>
EMULATOR inline void fold(Thread* threads, unsigned lanes, Combine combine)
{
    T total = static_cast<T>(threads[lowest(lanes)].value);
    for (unsigned rest = lanes & (lanes - 1); rest; rest &= rest - 1) {
        total = combine(total, static_cast<T>(threads[lowest(rest)].value));
    }
    for (unsigned rest = lanes; rest; rest &= rest - 1) threads[lowest(rest)].result = static_cast<Word>(total);
}

// A lane that has exited provides NaN.
EMULATOR inline void gather(Thread* threads, unsigned lanes)
{
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        Thread& thread = threads[lowest(rest)];
        thread.result = lanes >> thread.source & 1 ? threads[thread.source].value : ~Word(0);
    }
}

template <class T>
EMULATOR inline T shuffle(Call call, T value, unsigned source, int width)
{
    static_assert(is_one_of<T, int, unsigned, long, unsigned long, long long, unsigned long long, float, double>,
                  "no shuffle of this type");
    if (width < 1 || width > 32 || (width & (width - 1))) fail(call, "width %d", width);
    Word word = 0;
    memcpy(&word, &value, sizeof value);
    word = meet_warp(call, word, source, gather);
    memcpy(&value, &word, sizeof value);
    return value;
}

// The lanes in whose calls the predicate holds.
EMULATOR inline unsigned vote(Call call, bool predicate)
{
    const Word bit = Word(predicate) << block.thread->lane;
    return static_cast<unsigned>(meet_warp(call, bit, 0, [](Thread* threads, unsigned lanes) {
        fold<unsigned>(threads, lanes, [](unsigned a, unsigned b) { return a | b; });
    }));
}

}  // namespace emulation

EMULATOR inline void __syncwarp(unsigned mask = 0xffffffff, int line = __builtin_LINE())
{
    emulation::meet_warp({"__syncwarp", line, mask}, 0, 0, [](emulation::Thread*, unsigned) {});
}

template <class T>
EMULATOR inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, int line = __builtin_LINE())
{
    const int first = emulation::block.thread->lane & -width;
    return emulation::shuffle({"__shfl_sync", line, mask}, value, first | (source & (width - 1)), width);
}

template <class T>
EMULATOR inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, int line = __builtin_LINE())
{
    const unsigned lane = emulation::block.thread->lane, first = lane & -width;
    const unsigned source = delta <= lane - first ? lane - delta : lane;
    return emulation::shuffle({"__shfl_up_sync", line, mask}, value, source, width);
}

template <class T>
EMULATOR inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, int line = __builtin_LINE())
{
    const unsigned lane = emulation::block.thread->lane, last = lane | (width - 1);
    const unsigned source = delta <= last - lane ? lane + delta : lane;
    return emulation::shuffle({"__shfl_down_sync", line, mask}, value, source, width);
}

template <class T>
EMULATOR inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, int line = __builtin_LINE())
{
    const unsigned lane = emulation::block.thread->lane, last = lane | (width - 1), other = lane ^ bits;
    const unsigned source = other <= last ? other : lane;
    return emulation::shuffle({"__shfl_xor_sync", line, mask}, value, source, width);
}

EMULATOR inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE())
{
    return emulation::vote({"__ballot_sync", line, mask}, predicate);
}

EMULATOR inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE())
{
    return emulation::vote({"__any_sync", line, mask}, predicate) != 0;
}

EMULATOR inline int __all_sync(unsigned mask, int predicate, int line = __builtin_LINE())
{
    return emulation::vote({"__all_sync", line, mask}, !predicate) == 0;
}

#if __CUDA_ARCH__ >= 800
#define REDUCE(name, type, combined)                                                                                 \
    EMULATOR inline type name(unsigned mask, type value, int line = __builtin_LINE())                                         \
    {                                                                                                                \
        const auto reduce = [](emulation::Thread* threads, unsigned lanes) {                                         \
            emulation::fold<type>(threads, lanes, [](type a, type b) { return combined; });                          \
        };                                                                                                           \
        return static_cast<type>(emulation::meet_warp({#name, line, mask}, value, 0, reduce));                       \
    }

REDUCE(__reduce_min_sync, int, min(a, b))
REDUCE(__reduce_min_sync, unsigned, min(a, b))
REDUCE(__reduce_max_sync, int, max(a, b))
REDUCE(__reduce_max_sync, unsigned, max(a, b))
REDUCE(__reduce_add_sync, int, static_cast<int>(static_cast<unsigned>(a) + static_cast<unsigned>(b)))
REDUCE(__reduce_add_sync, unsigned, a + b)
#undef REDUCE
#endif

// ---- Export --------------------------------------------------------------------------------------------------------

namespace emulation {

struct Arguments {
    void** next;

    template <class T>
    EMULATOR T take()
    {
        return *static_cast<T*>(*next++);
    }
};

// Braced initialisers evaluate from left to right, unlike the arguments of a call.
struct Invocation {
    template <class... Parameters>
    Invocation(void (*kernel)(Parameters...), Parameters... values)
    {
        kernel(values...);
    }
};

template <class... Parameters>
EMULATOR inline void invoke(void (*kernel)(Parameters...), [[maybe_unused]] Arguments arguments)
{
    Invocation{kernel, arguments.take<Parameters>()...};
}

// Parameter types as NumPy's type characters.
constexpr char letter(int*) { return 'i'; }
constexpr char letter(unsigned*) { return 'I'; }
constexpr char letter(long long*) { return 'q'; }
constexpr char letter(unsigned long long*) { return 'Q'; }
constexpr char letter(float*) { return 'f'; }
constexpr char letter(double*) { return 'd'; }

template <class T>
constexpr char letter(T**)
{
    return 'P';
}

template <class... Parameters>
EMULATOR inline const char* signature(void (*)(Parameters...))
{
    static const char letters[] = {letter(static_cast<Parameters*>(nullptr))..., '\0'};
    return letters;
}

}  // namespace emulation

#define EXPORTED extern "C" __attribute__((visibility("default")))

// The message of the last launch that returned a value other than 0.
EXPORTED EMULATOR const char* emulation_error()
{
    return emulation::message.text;
}

// The arrays that the next launch may access, if accesses are checked.
EXPORTED EMULATOR void emulation_arrays(const emulation::Array* arrays, unsigned count)
{
    emulation::global_memory = {arrays, count, 0};
}

#define EXPORT_KERNEL(name)                                                                                          \
    EXPORTED const char* signature_##name()                                                                          \
    {                                                                                                                \
        return emulation::signature(name);                                                                           \
    }                                                                                                                \
    EXPORTED int launch_##name(unsigned grid, unsigned block, unsigned long long shared_bytes, void** arguments,     \
                               unsigned long long seed)                                                              \
    {                                                                                                                \
        const auto kernel = [](void** values) { emulation::invoke(name, {values}); };                                \
        return emulation::launch(kernel, grid, block, shared_bytes, arguments, seed);                                \
    }
