// SPDX-License-Identifier: Apache-2.0
// Cooperative operations of a block of threads. One block works on one problem; the source of a CUDA kernel is appended
// to this file.
//
// The host prepends definitions of:
//   REAL      float or double: the type of computations
//   AFFINITY  float or double: the type of the stored affinities
//   WARPS     warps per block
//   SLOTS     columns per thread: thread t has the columns t, t + 32 WARPS, t + 64 WARPS ...
//   STAGED    1 to copy a problem's affinities to shared memory first, 0 to read them in place
//   RESIDENT  blocks that must fit a multiprocessor (a limit on registers)

#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

#ifndef COUNT
#define COUNT(event)       // benchmarks count events by this, those of the first warp,
#define COUNT_WARP(event)  // or those of all warps
#endif

// The most blocks that a multiprocessor can hold, and a limit on registers such that RESIDENT fit if possible.
#if __CUDA_ARCH__ < 800 || __CUDA_ARCH__ == 860
#define MOST_BLOCKS 16
#elif __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200
#define MOST_BLOCKS 24
#else
#define MOST_BLOCKS 32
#endif
#if STAGED || (__CUDA_ARCH__ >= 900 && __CUDA_ARCH__ < 1000)
#define FITTING RESIDENT
#elif __CUDA_ARCH__ >= 1000 && WARPS > 1
#define FITTING (WARPS < 8 ? RESIDENT * 3 / 4 : (RESIDENT + 1) / 2)  // the compiler needs more registers there
#else
#define FITTING (RESIDENT * 7 / 8 > 0 ? RESIDENT * 7 / 8 : 1)
#endif
#define BLOCKS (FITTING < MOST_BLOCKS ? FITTING : MOST_BLOCKS)

#define THREADS (32 * WARPS)
#define EVERY_LANE 0xffffffffu

typedef long long int64;
typedef unsigned long long uint64;

__device__ __forceinline__ float infinity(float) { return __int_as_float(0x7f800000); }
__device__ __forceinline__ double infinity(double) { return __longlong_as_double(0x7ff0000000000000LL); }
#define INFINITE infinity(REAL())

#if STAGED
typedef REAL ENTRY;
#else
typedef AFFINITY ENTRY;
#endif

// After this, threads see each other's writes to shared memory.
__device__ __forceinline__ void barrier() {
#if WARPS == 1
    __syncwarp();
#else
    __syncthreads();
#endif
}

__device__ __forceinline__ int lane() { return threadIdx.x & 31; }
__device__ __forceinline__ int warp() { return threadIdx.x >> 5; }

#if __CUDA_ARCH__ >= 800
__device__ __forceinline__ unsigned warp_min(unsigned value) { return __reduce_min_sync(EVERY_LANE, value); }
__device__ __forceinline__ unsigned warp_max(unsigned value) { return __reduce_max_sync(EVERY_LANE, value); }
__device__ __forceinline__ int warp_max(int value) { return __reduce_max_sync(EVERY_LANE, value); }
#else
__device__ __forceinline__ unsigned warp_min(unsigned value) {
    for (int step = 16; step; step >>= 1) value = min(value, __shfl_xor_sync(EVERY_LANE, value, step));
    return value;
}
__device__ __forceinline__ unsigned warp_max(unsigned value) {
    for (int step = 16; step; step >>= 1) value = max(value, __shfl_xor_sync(EVERY_LANE, value, step));
    return value;
}
__device__ __forceinline__ int warp_max(int value) {
    for (int step = 16; step; step >>= 1) value = max(value, __shfl_xor_sync(EVERY_LANE, value, step));
    return value;
}
#endif

// The bits of a float as an integer that sorts alike; its own inverse.
__device__ __forceinline__ int ordered(int bits) { return bits ^ (bits >> 31 & 0x7fffffff); }

__device__ __forceinline__ float warp_max(float value) {
    return __int_as_float(ordered(warp_max(ordered(__float_as_int(value)))));
}
// Of numbers that are not negative.
__device__ __forceinline__ float warp_least(float value) { return __uint_as_float(warp_min(__float_as_uint(value))); }
__device__ __forceinline__ double warp_least(double value) {
    for (int step = 16; step; step >>= 1) value = fmin(value, __shfl_xor_sync(EVERY_LANE, value, step));
    return value;
}

__device__ __forceinline__ double warp_max(double value) {
    for (int step = 16; step; step >>= 1) value = fmax(value, __shfl_xor_sync(EVERY_LANE, value, step));
    return value;
}
__device__ __forceinline__ double warp_sum(double value) {
    for (int step = 16; step; step >>= 1) value += __shfl_xor_sync(EVERY_LANE, value, step);
    return value;
}

// A column with the row it is assigned to, as an integer that sorts in the order of tie-breaking: free columns first,
// then the lowest.
#define TICKET_BITS 15
#define NO_TICKET 0xffffffffu
__device__ __forceinline__ unsigned ticket(int column, int holder) {
    unsigned place = (unsigned)column << TICKET_BITS;
    return holder < 0 ? place : place | (unsigned)holder | 1u << (2 * TICKET_BITS);
}
__device__ __forceinline__ int column_of_ticket(unsigned ticket) {
    return ticket >> TICKET_BITS & ((1 << TICKET_BITS) - 1);
}
__device__ __forceinline__ int holder_of_ticket(unsigned ticket) {
    return ticket >> (2 * TICKET_BITS) ? (int)(ticket & ((1 << TICKET_BITS) - 1)) : -1;
}

// The largest value of a row, its column, and the largest of the other values.
struct Best {
    REAL first, second;
    unsigned ticket;
};

__device__ __forceinline__ Best no_best() {
    Best best = {-INFINITE, -INFINITE, NO_TICKET};
    return best;
}

template <bool WITH_SECOND>
__device__ __forceinline__ Best warp_best(Best mine) {
    Best best = mine;
    best.first = warp_max(mine.first);
    best.ticket = warp_min(mine.first == best.first ? mine.ticket : NO_TICKET);
    if (WITH_SECOND) best.second = warp_max(mine.ticket == best.ticket ? mine.second : mine.first);
    return best;
}

// The smallest distance, which is not negative, and the ticket of its column.
struct Nearest {
    REAL distance;
    unsigned ticket;
};

__device__ __forceinline__ Nearest warp_nearest(Nearest mine) {
    Nearest nearest;
    nearest.distance = warp_least(mine.distance);
    nearest.ticket = warp_min(mine.distance == nearest.distance ? mine.ticket : NO_TICKET);
    return nearest;
}

// The largest two of keys that are all different.
struct Keys {
    unsigned first, second;
};

__device__ __forceinline__ Keys warp_keys(Keys mine) {
    Keys keys;
    keys.first = warp_max(mine.first);
    keys.second = warp_max(mine.first == keys.first ? mine.second : mine.first);
    return keys;
}

// Shared memory by which warps exchange results. There are two of it, used by turns, because with one barrier per
// exchange the fastest warp may already write for the next exchange while the slowest still reads.
union Exchange {
    Best best[WARPS];
    Nearest nearest[WARPS];
    Keys keys[WARPS];
    double sum[WARPS];
};

struct Block {
    Exchange *exchanges;
    int turn;

    // What `combine` makes of the results of all threads, returned to every thread. Those of warps are exchanged in
    // `by_warp`, a part of the exchange whose turn it is; `none` stands for missing ones.
    template <class T, T combine(T)>
    __device__ __forceinline__ T over_threads(T mine, T *by_warp, T none) {
        T result = combine(mine);
#if WARPS > 1
        turn ^= 1;
        if (lane() == 0) by_warp[warp()] = result;
        __syncthreads();
        result = combine(lane() < WARPS ? by_warp[lane()] : none);
#else
        __syncwarp();
#endif
        return result;
    }

    template <bool WITH_SECOND>
    __device__ __forceinline__ Best best(Best mine) {
        return over_threads<Best, warp_best<WITH_SECOND>>(mine, exchanges[turn].best, no_best());
    }

    __device__ __forceinline__ Nearest nearest(Nearest mine) {
        Nearest none = {INFINITE, NO_TICKET};
        return over_threads<Nearest, warp_nearest>(mine, exchanges[turn].nearest, none);
    }

    __device__ __forceinline__ Keys keys(Keys mine) {
        Keys none = {0, 0};
        return over_threads<Keys, warp_keys>(mine, exchanges[turn].keys, none);
    }

    __device__ __forceinline__ REAL max(REAL value) {
        Best mine = {value, value, NO_TICKET};
        return best<false>(mine).first;
    }

    // The sum over all threads, in a fixed order.
    __device__ __forceinline__ double sum(double value) {
        return over_threads<double, warp_sum>(value, exchanges[turn].sum, 0.0);
    }
};

// A problem: a submatrix of a matrix of affinities.
struct Problem {
    const ENTRY *entries;
    int64 stride;
    int rows, columns;

    __device__ __forceinline__ const ENTRY *row(int i) const { return entries + i * stride; }
    __device__ __forceinline__ REAL at(int i, int j) const { return (REAL)row(i)[j]; }
};

// `problems` contains first row, end of rows, first column and end of columns of each.
__device__ __forceinline__ Problem read_problem(const AFFINITY *affinities, int64 stride, const int64 *problems,
                                                REAL *staged) {
    const int64 *bounds = problems + 4 * (int64)blockIdx.x;
    const AFFINITY *first = affinities + bounds[0] * stride + bounds[2];
    Problem problem;
    problem.rows = (int)(bounds[1] - bounds[0]);
    problem.columns = (int)(bounds[3] - bounds[2]);
#if STAGED
#pragma unroll 4
    for (int i = 0; i < problem.rows; i++)
        for (int j = threadIdx.x; j < problem.columns; j += THREADS)
            staged[i * problem.columns + j] = (REAL)first[i * stride + j];
    barrier();
    problem.entries = staged;
    problem.stride = problem.columns;
#else
    problem.entries = first;
    problem.stride = stride;
#endif
    return problem;
}
