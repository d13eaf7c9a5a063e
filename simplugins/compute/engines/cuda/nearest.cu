// SPDX-License-Identifier: Apache-2.0
// Exact search: which pairs of a tile can be among a query's best, and the best so far. Rows of a tile are inputs of the
// gallery, its columns are queries; pairs are numbered row by row.

#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

#define SUM_ROUNDING (1.0 / (1ll << 40))  // of sums of float64 numbers, relative to those of their sizes

typedef long long int64;

enum { LINEAR, COSINE, RBF };  // in the order of `KERNELS` in nearest_engine.py

__device__ __forceinline__ int64 thread_number() { return blockIdx.x * (int64)blockDim.x + threadIdx.x; }

// What orders the candidates of a query: larger is better. As `squared_distances` in simplugins/rsm/kernels.py for RBF.
__device__ __forceinline__ double score(int kernel, double product, int64 power, double a, double b, double rounding,
                                        double equal) {
    product = ldexp(product, (int)power);
    if (kernel == LINEAR) return product;
    if (kernel == COSINE) {
        double length = sqrt(a) * sqrt(b), value = length > 0 ? product / length : 0;
        return value < -1 ? -1 : value > 1 ? 1 : value;
    }
    double sum = a + b, distance = sum - 2 * product;
    if (!(distance <= rounding * sum)) return -distance;
    if (fabs(a - b) <= equal * sum) return 0;
    double difference = sqrt(a) - sqrt(b);
    return -difference * difference;
}

__device__ __forceinline__ double warp_total(double value) {
    for (int step = 16; step; step >>= 1) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

// Write the norms of a set's vectors, less `mean` unless it is null: largest first, then zeros. `lengths` is shared.
__device__ __forceinline__ void write_norms(const REAL *set, const double *mean, int count, int64 channels, int64 width,
                                            double *lengths, double *norms) {
    int lane = threadIdx.x & 31;
    for (int p = threadIdx.x >> 5; p < count; p += THREADS / 32) {
        double square = 0;
        for (int64 c = lane; c < channels; c += 32) {
            double entry = (double)set[p * channels + c] - (mean ? mean[c] : 0);
            square += entry * entry;
        }
        square = warp_total(square);
        if (!lane) lengths[p] = sqrt(square);
    }
    __syncthreads();
    for (int64 p = threadIdx.x; p < width; p += THREADS) {
        double mine = p < count ? lengths[p] : 0;
        int64 place = p < count ? 0 : p;
        for (int q = 0; p < count && q < count; q++) place += lengths[q] > mine || (lengths[q] == mine && q < p);
        norms[place] = mine;
    }
    __syncthreads();
}

// Summarise inputs for their bounds, one per block of threads: the mean vector, and norms, `width` per input. If `norms`
// is null, all inputs have equal size, and a row of `means` is such that an inner product of two is the whole bound: the
// mean vector times the root of the size, then the norms of the centred vectors. Dynamic shared memory has `width` numbers.
extern "C" __global__ void __launch_bounds__(THREADS)
    summarise(const REAL *__restrict__ vectors, const int64 *__restrict__ offsets, int64 size, int64 channels,
              int64 width, double *means, double *__restrict__ norms, double *centred_norms) {
    DYNAMIC_SHARED(shared);
    double *lengths = (double *)shared;
    int64 input = blockIdx.x, start = offsets ? offsets[input] : input * size;
    int count = (int)(offsets ? offsets[input + 1] - start : size);
    const REAL *set = vectors + start * channels;
    double *mean = means + input * (norms ? channels : channels + width);
    for (int64 c = threadIdx.x; c < channels; c += THREADS) {
        double sum = 0;
        for (int p = 0; p < count; p++) sum += set[p * channels + c];
        mean[c] = sum / count;
    }
    __syncthreads();
    write_norms(set, mean, count, channels, width, lengths, norms ? centred_norms + input * width : mean + channels);
    if (norms) write_norms(set, 0, count, channels, width, lengths, norms + input * width);
    else
        for (int64 c = threadIdx.x; c < channels; c += THREADS) mean[c] *= sqrt((double)count);
}

// Mark the pairs whose upper bound from norms reaches the query's `least` score, and count them. `means` has the inner
// products of the mean vectors; the others those of sorted norms, by which input has more positions. For inputs of equal
// size, `means` is the whole bound, and the others are null. The pair `skipped` numbers apart is an input and itself.
extern "C" __global__ void __launch_bounds__(THREADS)
    mark_reachable(const double *__restrict__ means, const double *__restrict__ of_equal,
                   const double *__restrict__ of_smaller, const double *__restrict__ of_larger,
                   const int64 *__restrict__ row_sizes, const int64 *__restrict__ column_sizes,
                   const int64 *__restrict__ row_powers, const int64 *__restrict__ column_powers,
                   const double *__restrict__ row_norms, const double *__restrict__ column_norms, int64 rows,
                   int64 columns, int kernel, double rounding, double equal, const double *__restrict__ least,
                   int64 skipped, int *__restrict__ wanted, int *__restrict__ counts) {
    int64 pair = thread_number();
    if (pair >= rows * columns) return;
    int64 i = pair / columns, j = pair % columns;
    double bound = means[pair];
    if (of_equal) {
        int64 n = row_sizes[i], m = column_sizes[j];
        bound = (double)min(n, m) * bound + (n == m ? of_equal : n < m ? of_smaller : of_larger)[pair];
    }
    int64 power = row_powers[i] + column_powers[j];
    bound += ldexp(2 * rounding * sqrt(row_norms[i]) * sqrt(column_norms[j]), (int)-power);
    double best = score(kernel, bound, power, row_norms[i], column_norms[j], rounding, equal);
    int reachable = best >= least[j] && i - j != skipped;
    wanted[pair] = reachable;
    if (reachable) atomicAdd(&counts[0], 1);
}

// Unmark the pairs whose dual bound from their affinities is below the query's least score, and count the others. One
// block per pair. Prices of the larger side are the means of its affinities, from which the least is taken if sizes
// differ. They are in dynamic shared memory.
extern "C" __global__ void __launch_bounds__(THREADS)
    mark_promising(const REAL *__restrict__ affinities, int64 row_stride, int64 column_stride, const int64 *__restrict__ row_offsets,
                   const int64 *__restrict__ column_offsets, int64 row_size, int64 column_size,
                   const int64 *__restrict__ row_powers, const int64 *__restrict__ column_powers,
                   const double *__restrict__ row_norms, const double *__restrict__ column_norms, int64 columns,
                   int kernel, double rounding, double equal, const double *__restrict__ least,
                   int *__restrict__ wanted, int *__restrict__ counts) {
    DYNAMIC_SHARED(shared);
    double *prices = (double *)shared;
    __shared__ double sums[THREADS], sizes[THREADS];
    int64 pair = blockIdx.x, i = pair / columns, j = pair % columns;
    if (!wanted[pair]) return;
    int64 top = row_offsets ? row_offsets[i] : i * row_size, left = column_offsets ? column_offsets[j] : j * column_size;
    int height = (int)(row_offsets ? row_offsets[i + 1] - top : row_size), lines = height;
    int width = (int)(column_offsets ? column_offsets[j + 1] - left : column_size), priced = width;
    int64 along = column_stride, across = row_stride;
    if (height > width) along = row_stride, across = column_stride, lines = width, priced = height;
    const REAL *block = affinities + top * row_stride + left * column_stride;
    double least_price = 1e300;
    for (int p = threadIdx.x; p < priced; p += THREADS) {
        double sum = 0;
        for (int line = 0; line < lines; line++) sum += block[line * across + p * along];
        prices[p] = sum / (double)lines;
        least_price = fmin(least_price, prices[p]);
    }
    sums[threadIdx.x] = least_price;
    __syncthreads();
    double shift = 0;
    if (lines != priced) {
        shift = sums[0];
#pragma unroll 1
        for (int thread = 1; thread < THREADS; thread++) shift = fmin(shift, sums[thread]);
    }
    __syncthreads();
    double sum = 0, size = 0;
    for (int p = threadIdx.x; p < priced; p += THREADS) sum += prices[p] - shift, size += fabs(prices[p] - shift);
    for (int line = threadIdx.x; line < lines; line += THREADS) {
        double most = -1e300;
        for (int p = 0; p < priced; p++) most = fmax(most, block[line * across + p * along] - (prices[p] - shift));
        sum += most, size += fabs(most);
    }
    sums[threadIdx.x] = sum, sizes[threadIdx.x] = size;
    __syncthreads();
    if (threadIdx.x) return;
    double bound = 0;
#pragma unroll 1
    for (int thread = 0; thread < THREADS; thread++) bound += sums[thread] + sizes[thread] * SUM_ROUNDING;
    double best = score(kernel, bound, row_powers[i] + column_powers[j], row_norms[i], column_norms[j], rounding, equal);
    if (best >= least[j]) atomicAdd(&counts[1], 1);
    else wanted[pair] = 0;
}

// Replace the problems of pairs that are not wanted by a single entry, which takes no time.
extern "C" __global__ void __launch_bounds__(THREADS)
    drop_problems(const int *__restrict__ wanted, int64 count, int64 *__restrict__ problems) {
    int64 pair = thread_number();
    if (pair >= count || wanted[pair]) return;
    int64 *problem = problems + 4 * pair;
    problem[0] = 0, problem[1] = 1, problem[2] = 0, problem[3] = 1;
}

__device__ __forceinline__ bool precedes(double a, int64 number, double b, int64 other) {
    return a > b || (a == b && number < other);
}

// Score the wanted pairs of a tile.
extern "C" __global__ void __launch_bounds__(THREADS)
    score_pairs(const double *__restrict__ values, const int *__restrict__ wanted, int64 rows, int64 columns,
                const int64 *__restrict__ row_powers, const int64 *__restrict__ column_powers,
                const double *__restrict__ row_norms, const double *__restrict__ column_norms, int kernel,
                double rounding, double equal, double *__restrict__ scores) {
    int64 pair = thread_number();
    if (pair >= rows * columns || !wanted[pair]) return;
    int64 i = pair / columns, j = pair % columns;
    scores[pair] =
        score(kernel, values[pair], row_powers[i] + column_powers[j], row_norms[i], column_norms[j], rounding, equal);
}

// Merge a query's best candidates with those of a tile that are wanted: the next in order, k times. One block per query;
// lists are padded by the number -1. `least` becomes the score of the k-th.
extern "C" __global__ void __launch_bounds__(THREADS)
    merge_best(const double *__restrict__ values, const double *__restrict__ tile_scores,
               const int *__restrict__ wanted, int64 rows, int64 columns, int64 first_row, int64 k,
               const int64 *__restrict__ numbers, const double *__restrict__ products,
               const double *__restrict__ scores, int64 *__restrict__ new_numbers, double *__restrict__ new_products,
               double *__restrict__ new_scores, double *__restrict__ least) {
    __shared__ double score_of[THREADS], product_of[THREADS];
    __shared__ int64 number_of[THREADS];
    int64 j = blockIdx.x, last = -1;
    double last_score = 0;
    for (int64 place = 0; place < k; place++) {
        int64 number = -1;
        double best = 0, product = 0;
#pragma unroll 1
        for (int64 candidate = threadIdx.x; candidate < rows + k; candidate += THREADS) {
            bool is_old = candidate >= rows;
            int64 entry = is_old ? j * k + candidate - rows : candidate * columns + j;
            if (is_old ? numbers[entry] < 0 : !wanted[entry]) continue;
            int64 other = is_old ? numbers[entry] : first_row + candidate;
            double reached = (is_old ? scores : tile_scores)[entry];
            if (last >= 0 && !precedes(last_score, last, reached, other)) continue;
            if (number >= 0 && !precedes(reached, other, best, number)) continue;
            number = other, best = reached, product = (is_old ? products : values)[entry];
        }
        score_of[threadIdx.x] = best, product_of[threadIdx.x] = product, number_of[threadIdx.x] = number;
        __syncthreads();
        for (int half = THREADS / 2; half; half /= 2) {
            int mine = threadIdx.x, its = mine + half;
            if (mine < half && number_of[its] >= 0 &&
                (number_of[mine] < 0 || precedes(score_of[its], number_of[its], score_of[mine], number_of[mine])))
                score_of[mine] = score_of[its], product_of[mine] = product_of[its], number_of[mine] = number_of[its];
            __syncthreads();
        }
        last = number_of[0], last_score = score_of[0];
        if (!threadIdx.x) {
            new_numbers[j * k + place] = last, new_products[j * k + place] = product_of[0];
            new_scores[j * k + place] = last_score;
            if (place == k - 1 && last >= 0) least[j] = last_score;
        }
        __syncthreads();
        if (last < 0) {
            for (int64 rest = place + threadIdx.x; rest < k; rest += THREADS) {
                new_numbers[j * k + rest] = -1;
                new_products[j * k + rest] = new_scores[j * k + rest] = 0;
            }
            return;
        }
    }
}
