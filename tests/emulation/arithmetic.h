// SPDX-License-Identifier: Apache-2.0
// Arithmetic functions of CUDA C++.
#pragma once

#include <fenv.h>
#include <math.h>
#include <string.h>

namespace emulation {

template <class To, class From>
inline To bits_as(From value)
{
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}

// Volatile operands and result keep the compiler from computing before the mode is set or after it is reset.
template <int mode, class T, class Operation>
inline T rounded(T left, T right, Operation operation)
{
    volatile T a = left, b = right;
    fesetround(mode);
    volatile T result = operation(a, b);
    fesetround(FE_TONEAREST);
    return result;
}

}  // namespace emulation

inline unsigned __float_as_uint(float value) { return emulation::bits_as<unsigned>(value); }
inline int __float_as_int(float value) { return emulation::bits_as<int>(value); }
inline float __uint_as_float(unsigned value) { return emulation::bits_as<float>(value); }
inline float __int_as_float(int value) { return emulation::bits_as<float>(value); }
inline long long __double_as_longlong(double value) { return emulation::bits_as<long long>(value); }
inline double __longlong_as_double(long long value) { return emulation::bits_as<double>(value); }

#define ROUNDED(name, type, mode, operation)                                                                         \
    inline type name(type a, type b)                                                                                 \
    {                                                                                                                \
        return emulation::rounded<mode>(a, b, [](type x, type y) { return x operation y; });                         \
    }
#define ROUNDED_ALL_WAYS(name, type, operation)                                                                      \
    inline type name##_rn(type a, type b) { return a operation b; }                                                  \
    ROUNDED(name##_ru, type, FE_UPWARD, operation)                                                                   \
    ROUNDED(name##_rd, type, FE_DOWNWARD, operation)                                                                 \
    ROUNDED(name##_rz, type, FE_TOWARDZERO, operation)

ROUNDED_ALL_WAYS(__fadd, float, +)
ROUNDED_ALL_WAYS(__fsub, float, -)
ROUNDED_ALL_WAYS(__fmul, float, *)
ROUNDED_ALL_WAYS(__dadd, double, +)
ROUNDED_ALL_WAYS(__dsub, double, -)
ROUNDED_ALL_WAYS(__dmul, double, *)
#undef ROUNDED_ALL_WAYS
#undef ROUNDED

inline int __ffs(int value) { return __builtin_ffs(value); }
inline int __ffsll(long long value) { return __builtin_ffsll(value); }
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __popcll(unsigned long long value) { return __builtin_popcountll(value); }
inline int __clz(int value) { return value ? __builtin_clz(value) : 32; }
inline int __clzll(long long value) { return value ? __builtin_clzll(value) : 64; }

// Arguments of two types do not compile, though CUDA converts them.
#define MIN_MAX(type)                                                                                                \
    inline type min(type a, type b) { return b < a ? b : a; }                                                        \
    inline type max(type a, type b) { return a < b ? b : a; }

MIN_MAX(int)
MIN_MAX(unsigned)
MIN_MAX(long)
MIN_MAX(unsigned long)
MIN_MAX(long long)
MIN_MAX(unsigned long long)
#undef MIN_MAX

inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
