// SPDX-License-Identifier: Apache-2.0
// What a block of threads does together. One block works on one problem; the sources of the kernels follow this one.
//
// The host defines, ahead of this text:
//   REAL      float or double: what is computed in
//   AFFINITY  float or double: what affinities are stored as
//   WARPS     warps in a block
//   SLOTS     columns of each thread: thread t has the columns t, t + 32 WARPS, t + 64 WARPS ...
//   STAGED    1 to copy a problem's affinities to shared memory first, 0 to read them where they are
//   RESIDENT  blocks that a multiprocessor should have room for (a bound on registers)

#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

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

// Threads see each other's writes to shared memory after this.
__device__ __forceinline__ void barrier() {
#if WARPS == 1
    __syncwarp();
#else
    __syncthreads();
#endif
}

__device__ __forceinline__ int lane() { return threadIdx.x & 31; }
__device__ __forceinline__ int warp() { return threadIdx.x >> 5; }

__device__ __forceinline__ unsigned warp_min(unsigned value) {
#if __CUDA_ARCH__ >= 800
    return __reduce_min_sync(EVERY_LANE, value);
#else
    for (int step = 16; step; step >>= 1) {
        unsigned other = __shfl_xor_sync(EVERY_LANE, value, step);
        value = other < value ? other : value;
    }
    return value;
#endif
}

// Of float bits, an unsigned integer that is in the same order.
__device__ __forceinline__ unsigned ordered(float value) {
    unsigned bits = __float_as_uint(value);
    return bits ^ ((unsigned)((int)bits >> 31) | 0x80000000u);
}
__device__ __forceinline__ float unordered(unsigned key) {
    return __uint_as_float(key & 0x80000000u ? key ^ 0x80000000u : ~key);
}

__device__ __forceinline__ float warp_max(float value) { return unordered(~warp_min(~ordered(value))); }
__device__ __forceinline__ double warp_max(double value) {
    for (int step = 16; step; step >>= 1) value = fmax(value, __shfl_xor_sync(EVERY_LANE, value, step));
    return value;
}
__device__ __forceinline__ double warp_sum(double value) {
    for (int step = 16; step; step >>= 1) value += __shfl_xor_sync(EVERY_LANE, value, step);
    return value;
}

// A column in the order in which ties go: free ones first, then the lowest; with it, the row that holds it.
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

// The largest of a row's values, the column where it is, and the largest of all the others.
struct Best {
    REAL first, second;
    unsigned ticket;
};

__device__ __forceinline__ Best no_best() {
    Best best = {-INFINITE, -INFINITE, NO_TICKET};
    return best;
}

template <bool WITH_SECOND>
__device__ __forceinline__ Best warp_best(Best own) {
    Best best = own;
    best.first = warp_max(own.first);
    best.ticket = warp_min(own.first == best.first ? own.ticket : NO_TICKET);
    if (WITH_SECOND) best.second = warp_max(own.ticket == best.ticket ? own.second : own.first);
    return best;
}

// Memory in which the warps of a block tell each other what they found: of two turns, since with one barrier
// a turn the fastest warp may write for the next while the slowest still reads.
struct Exchange {
    Best best[2][WARPS];
    double sum[2][WARPS];
};

struct Block {
    Exchange *exchange;
    int turn;

    // What all threads find together; every thread gets it.
    template <bool WITH_SECOND>
    __device__ __forceinline__ Best best(Best own) {
        Best found = warp_best<WITH_SECOND>(own);
#if WARPS > 1
        Best *told = exchange->best[turn];
        turn ^= 1;
        if (lane() == 0) told[warp()] = found;
        __syncthreads();
        found = warp_best<WITH_SECOND>(lane() < WARPS ? told[lane()] : no_best());
#else
        __syncwarp();
#endif
        return found;
    }

    __device__ __forceinline__ REAL max(REAL value) {
        Best own = {value, value, NO_TICKET};
        return best<false>(own).first;
    }

    // The sum over all threads, in an order that is always the same.
    __device__ __forceinline__ double sum(double value) {
        double total = warp_sum(value);
#if WARPS > 1
        double *told = exchange->sum[turn];
        turn ^= 1;
        if (lane() == 0) told[warp()] = total;
        __syncthreads();
        total = warp_sum(lane() < WARPS ? told[lane()] : 0.0);
#endif
        return total;
    }
};

// A problem: a block of a matrix of affinities.
struct Problem {
    const ENTRY *entries;
    int64 stride;
    int rows, columns;

    __device__ __forceinline__ const ENTRY *row(int i) const { return entries + i * stride; }
    __device__ __forceinline__ REAL at(int i, int j) const { return (REAL)row(i)[j]; }
};

// `problems` has for each: first row, end of rows, first column, end of columns.
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
