// SPDX-License-Identifier: Apache-2.0
// CUDA kernels that test the emulator.

#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

#define EVERY_LANE 0xffffffffu
#define THREAD (blockIdx.x * blockDim.x + threadIdx.x)

// ---- Reductions ----------------------------------------------------------------------------------------------------

#ifndef FIRST_BARRIER
#define FIRST_BARRIER __syncthreads()
#endif
#ifndef SECOND_BARRIER
#define SECOND_BARRIER __syncthreads()
#endif

__device__ __forceinline__ float block_sum(float value, float *partial) {
    for (int step = 16; step; step >>= 1) value += __shfl_xor_sync(EVERY_LANE, value, step);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
    FIRST_BARRIER;
    float sum = 0;
    for (int warp = 0; warp < blockDim.x / 32; warp++) sum += partial[warp];
    SECOND_BARRIER;
    return sum;
}

// The sum and the sum of squares of each block's values, which every thread writes.
extern "C" __global__ void __launch_bounds__(256)
    block_sums(const float *__restrict__ values, float *__restrict__ sums, float *__restrict__ squares) {
    DYNAMIC_SHARED(shared);
    float *partial = reinterpret_cast<float *>(shared);
    float value = __ldg(values + THREAD);
    sums[THREAD] = block_sum(value, partial);
    squares[THREAD] = block_sum(value * value, partial);
}

template <class T>
__device__ __forceinline__ T last_of_block(T value) {
    __shared__ T last;
    if (threadIdx.x == blockDim.x - 1) last = value;
    __syncthreads();
    return last;
}

extern "C" __global__ void lasts(const int *values, int *as_int, double *as_double) {
    as_int[THREAD] = last_of_block(values[THREAD]);
    as_double[THREAD] = last_of_block((double)values[THREAD]);
}

extern "C" __global__ void block_votes(const int *values, int *any, int *all, int *count) {
    any[THREAD] = __syncthreads_or(values[THREAD]);
    all[THREAD] = __syncthreads_and(values[THREAD]);
    count[THREAD] = __syncthreads_count(values[THREAD]);
}

// ---- Warp operations -----------------------------------------------------------------------------------------------

#define SHUFFLES(type)                                                                                               \
    extern "C" __global__ void shuffles_##type(const type *values, const int *sources, int distance, int width,      \
                                               type *chosen, type *up, type *down, type *crossed) {                  \
        type value = values[threadIdx.x];                                                                            \
        chosen[threadIdx.x] = __shfl_sync(EVERY_LANE, value, sources[threadIdx.x], width);                           \
        up[threadIdx.x] = __shfl_up_sync(EVERY_LANE, value, distance, width);                                        \
        down[threadIdx.x] = __shfl_down_sync(EVERY_LANE, value, distance, width);                                    \
        crossed[threadIdx.x] = __shfl_xor_sync(EVERY_LANE, value, distance, width);                                  \
    }

typedef unsigned uint32;
typedef long long int64;
typedef unsigned long long uint64;
SHUFFLES(int)
SHUFFLES(uint32)
SHUFFLES(int64)
SHUFFLES(uint64)
SHUFFLES(float)
SHUFFLES(double)

// Lanes in the mask vote together, and the others vote together.
extern "C" __global__ void votes(const int *values, unsigned mask, unsigned *ballots, int *any, int *all) {
    int lane = threadIdx.x;
    if (!(mask >> lane & 1)) mask = ~mask;
    ballots[lane] = __ballot_sync(mask, values[lane]);
    any[lane] = __any_sync(mask, values[lane]);
    all[lane] = __all_sync(mask, values[lane]);
}

#if __CUDA_ARCH__ >= 800
#define REDUCTIONS(type)                                                                                             \
    extern "C" __global__ void reductions_##type(const type *values, unsigned mask, type *least, type *most,         \
                                                 type *sum) {                                                        \
        int lane = threadIdx.x;                                                                                      \
        if (!(mask >> lane & 1)) mask = ~mask;                                                                       \
        least[lane] = __reduce_min_sync(mask, values[lane]);                                                         \
        most[lane] = __reduce_max_sync(mask, values[lane]);                                                          \
        sum[lane] = __reduce_add_sync(mask, values[lane]);                                                           \
    }

REDUCTIONS(int)
REDUCTIONS(uint32)
#endif

// Some lanes of a warp diverge for several operations before all reconverge.
extern "C" __global__ void parts_of_warp(int *sums) {
    int lane = threadIdx.x, value = lane;
    if (lane < 16) {
        for (int step = 8; step; step >>= 1) value += __shfl_xor_sync(0x0000ffff, value, step);
    } else if (lane < 24) {
        for (int step = 4; step; step >>= 1) value += __shfl_xor_sync(0x00ff0000, value, step);
    }
    __syncwarp();
    sums[lane] = value + __shfl_down_sync(EVERY_LANE, value, 16);
}

extern "C" __global__ void absent_lane(float *values) {
    if (threadIdx.x >= 16) return;
    values[threadIdx.x] = __shfl_down_sync(EVERY_LANE, 1.0f, 1);
}

// ---- Scalars -------------------------------------------------------------------------------------------------------

extern "C" __global__ void bits(const unsigned *narrow, const uint64 *wide, int *results) {
    int n = blockDim.x, i = threadIdx.x;
    results[i] = __ffs(narrow[i]);
    results[n + i] = __popc(narrow[i]);
    results[2 * n + i] = __clz(narrow[i]);
    results[3 * n + i] = __ffsll(wide[i]);
    results[4 * n + i] = __popcll(wide[i]);
    results[5 * n + i] = __clzll(wide[i]);
}

extern "C" __global__ void casts(const float *narrow, const double *wide, unsigned *as_unsigned, int *as_int,
                                 int64 *as_wide, int *agree) {
    int i = threadIdx.x;
    as_unsigned[i] = __float_as_uint(narrow[i]);
    as_int[i] = __float_as_int(narrow[i]);
    as_wide[i] = __double_as_longlong(wide[i]);
    agree[i] = __uint_as_float(as_unsigned[i]) == narrow[i] && __int_as_float(as_int[i]) == narrow[i] &&
               __longlong_as_double(as_wide[i]) == wide[i];
}

#define ROUNDINGS(type, add, sub, mul)                                                                               \
    extern "C" __global__ void roundings_##type(const type *a, const type *b, type *results) {                       \
        int n = blockDim.x, i = threadIdx.x;                                                                         \
        type x = a[i], y = b[i];                                                                                     \
        type all[12] = {add##_rn(x, y), add##_ru(x, y), add##_rd(x, y), add##_rz(x, y),                              \
                        sub##_rn(x, y), sub##_ru(x, y), sub##_rd(x, y), sub##_rz(x, y),                              \
                        mul##_rn(x, y), mul##_ru(x, y), mul##_rd(x, y), mul##_rz(x, y)};                             \
        for (int k = 0; k < 12; k++) results[k * n + i] = all[k];                                                    \
    }

ROUNDINGS(float, __fadd, __fsub, __fmul)
ROUNDINGS(double, __dadd, __dsub, __dmul)

extern "C" __global__ void vectors(const float4 *quads, float2 *pairs, double2 *wide, int4 *counts, uint2 *threads) {
    float4 quad = __ldg(quads + threadIdx.x);
    pairs[threadIdx.x] = make_float2(min(quad.x, quad.y), max(quad.z, quad.w));
    wide[threadIdx.x] = make_double2(fminf(quad.x, quad.y), fmaxf(quad.z, quad.w));
    counts[threadIdx.x] = make_int4(min(-1, 1), max(-1, 1), min(1u, 2u), (int)max(1LL, 2LL));
    threads[threadIdx.x] = make_uint2(blockDim.x, gridDim.x);
}

// ---- Atomics -------------------------------------------------------------------------------------------------------

#define ATOMICS(type)                                                                                                \
    extern "C" __global__ void atomics_##type(const type *values, type *sum, type *least, type *most, type *last,    \
                                              type *swapped) {                                                       \
        type value = values[THREAD];                                                                                 \
        atomicAdd(sum, value);                                                                                       \
        atomicMin(least, value);                                                                                     \
        atomicMax(most, value);                                                                                      \
        atomicExch(last, value);                                                                                     \
        for (type before = *swapped, seen; (seen = atomicCAS(swapped, before, before + 1)) != before;)               \
            before = seen;                                                                                           \
    }

ATOMICS(int)
ATOMICS(uint32)
ATOMICS(uint64)

extern "C" __global__ void atomic_sums(const float *values, float *narrow, double *wide) {
    atomicAdd(narrow, values[THREAD]);
    atomicAdd(wide, values[THREAD]);
}

// The place of each thread in the order of execution.
extern "C" __global__ void arrivals(int *count, int *places) { places[THREAD] = atomicAdd(count, 1); }

// The first thread spins until the last one has written.
extern "C" __global__ void spin(int *flag, int *value, int *seen) {
    if (threadIdx.x == blockDim.x - 1) {
        *value = 42;
        __threadfence();
        atomicExch(flag, 1);
    }
    if (threadIdx.x == 0) {
        while (!atomicAdd(flag, 0)) {}
        *seen = *value;
    }
}

// ---- Exits and errors ----------------------------------------------------------------------------------------------

// Threads leave one after another; those that stay count themselves.
extern "C" __global__ void leavers(int *counts, unsigned *lanes) {
    for (int turn = 0; turn <= threadIdx.x; turn++) {
        int count = __syncthreads_count(1);
        unsigned ballot = __ballot_sync(EVERY_LANE, 1);
        if (turn == threadIdx.x) counts[turn] = count, lanes[turn] = ballot;
    }
}

extern "C" __global__ void deadlock(int *out) {
    if (threadIdx.x == 40) return;
    if (threadIdx.x == 31) *out = __shfl_sync(EVERY_LANE, 1, 0);
    __syncthreads();  // all others
}

extern "C" __global__ void divergent_warp(unsigned *out) {
    if (threadIdx.x < 5) *out = __shfl_sync(EVERY_LANE, 1u, 0);
    else *out = __ballot_sync(EVERY_LANE, 1);
}

extern "C" __global__ void divergent_masks(int *out) {
    *out = __shfl_sync(threadIdx.x < 5 ? EVERY_LANE : EVERY_LANE << 1, 1, 31);
}

extern "C" __global__ void divergent_barriers() {
    if (threadIdx.x < 32) {
        __syncthreads();  // of the first warp
    } else {
        __syncthreads();
    }
}

extern "C" __global__ void lane_not_in_mask() { __syncwarp(0x00000007); }

extern "C" __global__ void odd_width(int *out) { *out = __shfl_sync(EVERY_LANE, 1, 0, 12); }

extern "C" __global__ void assumption(const int *values) { __builtin_assume(values[threadIdx.x] > 0); }

// ---- Memory --------------------------------------------------------------------------------------------------------

extern "C" __global__ void write_shared(int position) {
    DYNAMIC_SHARED(shared);
    shared[position] = 1;
}

// The block writes a number per thread, and one thread reads another byte.
extern "C" __global__ void read_shared(int position, int *value) {
    DYNAMIC_SHARED(shared);
    reinterpret_cast<int *>(shared)[threadIdx.x] = threadIdx.x;
    __syncthreads();
    if (threadIdx.x == 7) *value = shared[position];
}

extern "C" __global__ void read_static(int position, int *value) {
    __shared__ int fixed[64];
    if (threadIdx.x < 32) fixed[threadIdx.x] = threadIdx.x;
    __syncthreads();
    if (threadIdx.x == 7) *value = fixed[position];
}

extern "C" __global__ void copy_global(int *values, int64 offset, int count, int through_cache, int *copies) {
    if ((int)threadIdx.x >= count) return;
    const int *from = values + offset + threadIdx.x;
    copies[threadIdx.x] = through_cache ? __ldg(from) : *from;
}

extern "C" __global__ void write_global(float *values, int position) { values[position] = -1; }

// The contents of shared memory before a block writes to it.
extern "C" __global__ void find_in_shared(float *in_static, float *in_dynamic) {
    __shared__ float fixed[32];
    DYNAMIC_SHARED(shared);
    float *variable = reinterpret_cast<float *>(shared);
    in_static[THREAD] = fixed[threadIdx.x];
    in_dynamic[THREAD] = variable[threadIdx.x];
    fixed[threadIdx.x] = variable[threadIdx.x] = 1;
}
