// SPDX-License-Identifier: Apache-2.0
// The matrix of all pairs: cleared, filled by products, completed, and turned into similarities. One thread per entry.

typedef long long int64;

__device__ __forceinline__ int64 thread_number() { return blockIdx.x * (int64)blockDim.x + threadIdx.x; }

// Set a block of the matrix, and of the bounds if there are any, to zeros; set `counts` to zeros.
extern "C" __global__ void __launch_bounds__(THREADS)
    clear_block(double *__restrict__ matrix, double *__restrict__ bounds, int64 stride, int64 first_row,
                int64 first_column, int64 rows, int64 columns, int *__restrict__ counts, int counted) {
    int64 number = thread_number();
    if (number < counted) counts[number] = 0;
    if (number >= rows * columns) return;
    int64 entry = (first_row + number / columns) * stride + first_column + number % columns;
    matrix[entry] = 0;
    if (bounds) bounds[entry] = 0;
}

// Add a (rows, columns) array to a block of the matrix.
extern "C" __global__ void __launch_bounds__(THREADS)
    add_block(const double *__restrict__ block, double *__restrict__ matrix, int64 stride, int64 first_row,
              int64 first_column, int64 rows, int64 columns) {
    int64 number = thread_number();
    if (number >= rows * columns) return;
    matrix[(first_row + number / columns) * stride + first_column + number % columns] += block[number];
}

__device__ __forceinline__ double relative_gap(double value, double upper) {
    double shortfall = upper - value;
    return shortfall > 0 ? shortfall / fabs(upper) : 0;
}

// Multiply entry (i, j) by two to the power row_powers[i] + column_powers[j], if there are any, and turn bounds into
// gaps. With `mirrored`, entries below the diagonal become those above; with `diagonal`, it replaces the diagonal.
extern "C" __global__ void __launch_bounds__(THREADS)
    complete(double *__restrict__ matrix, double *__restrict__ bounds, int64 rows, int64 columns,
             const int64 *__restrict__ row_powers, const int64 *__restrict__ column_powers, int mirrored,
             const double *__restrict__ diagonal) {
    int64 number = thread_number();
    if (number >= rows * columns) return;
    int64 i = number / columns, j = number % columns;
    if (mirrored && j < i) return;
    double value = matrix[number], gap = bounds ? relative_gap(value, bounds[number]) : 0;
    if (row_powers) value = ldexp(value, (int)(row_powers[i] + column_powers[j]));
    if (diagonal && i == j) value = diagonal[i], gap = 0;
    matrix[number] = value;
    if (bounds) bounds[number] = gap;
    if (mirrored && j > i) {
        matrix[j * columns + i] = value;
        if (bounds) bounds[j * columns + i] = gap;
    }
}

// The cosines of `rows` rows of the matrix from `first` on; zero where a norm is zero.
extern "C" __global__ void __launch_bounds__(THREADS)
    cosines(const double *__restrict__ matrix, int64 columns, int64 first, int64 rows,
            const double *__restrict__ row_norms, const double *__restrict__ column_norms, double *__restrict__ out) {
    int64 number = thread_number();
    if (number >= rows * columns) return;
    int64 i = first + number / columns, j = number % columns;
    double length = sqrt(row_norms[i]) * sqrt(column_norms[j]);
    double value = length > 0 ? matrix[i * columns + j] / length : 0;
    out[number] = value < -1 ? -1 : value > 1 ? 1 : value;
}

// As `squared_distances` in simplugins/rsm/kernels.py.
__device__ __forceinline__ double squared_distance(double product, double a, double b, double rounding, double equal) {
    double sum = a + b, distance = sum - 2 * product;
    if (!(distance <= rounding * sum)) return distance;
    if (fabs(a - b) <= equal * sum) return 0;
    double difference = sqrt(a) - sqrt(b);
    return difference * difference;
}

// The RBF similarities of `rows` rows of the matrix from `first` on; ones if sigma is zero.
extern "C" __global__ void __launch_bounds__(THREADS)
    rbf(const double *__restrict__ matrix, int64 columns, int64 first, int64 rows,
        const double *__restrict__ row_norms, const double *__restrict__ column_norms, double rounding, double equal,
        double sigma, double *__restrict__ out) {
    int64 number = thread_number();
    if (number >= rows * columns) return;
    int64 i = first + number / columns, j = number % columns;
    double distance = squared_distance(matrix[i * columns + j], row_norms[i], column_norms[j], rounding, equal);
    out[number] = sigma == 0 ? 1 : exp(distance / sigma / sigma / -2);
}

// ---- Median of the positive squared distances ----------------------------------------------------------------------
// The bits of positive numbers sort as the numbers do. Each pass counts a digit of those that share the digits known so
// far, and `select_digit` chooses the one that contains the median.

#define DIGIT_BITS 11
#define DIGITS (1 << DIGIT_BITS)

typedef unsigned long long uint64;

// `state` has the known leading bits of the median, its rank among the numbers that share them, and 0 before the first
// digit, then 1, or 2 if no number is positive.
extern "C" __global__ void __launch_bounds__(THREADS)
    count_digits(const double *__restrict__ matrix, int64 rows, int64 columns, const double *__restrict__ row_norms,
                 const double *__restrict__ column_norms, double rounding, double equal, int mirrored, int shift,
                 int known_from, const uint64 *__restrict__ state, uint64 *__restrict__ counts) {
    __shared__ unsigned counted[DIGITS];
    for (int digit = threadIdx.x; digit < DIGITS; digit += THREADS) counted[digit] = 0;
    __syncthreads();
    uint64 prefix = state[0];
    for (int64 number = thread_number(); number < rows * columns; number += (int64)gridDim.x * THREADS) {
        int64 i = number / columns, j = number % columns;
        if (mirrored && j <= i) continue;
        double distance = squared_distance(matrix[number], row_norms[i], column_norms[j], rounding, equal);
        uint64 bits = (uint64)__double_as_longlong(distance);
        if (distance > 0 && bits >> known_from == prefix) atomicAdd(&counted[bits >> shift & (DIGITS - 1)], 1u);
    }
    __syncthreads();
    for (int digit = threadIdx.x; digit < DIGITS; digit += THREADS)
        if (counted[digit]) atomicAdd(&counts[digit], (uint64)counted[digit]);
}

// Append the digit that contains the median to the prefix, and set the counts to zeros. One block.
extern "C" __global__ void __launch_bounds__(THREADS)
    select_digit(uint64 *__restrict__ counts, uint64 *__restrict__ state, int bits) {
    __shared__ uint64 counted[DIGITS];
    for (int digit = threadIdx.x; digit < DIGITS; digit += THREADS) counted[digit] = counts[digit], counts[digit] = 0;
    __syncthreads();
    if (threadIdx.x) return;
    uint64 rank = state[1], below = 0;
    if (!state[2]) {
        uint64 total = 0;
        for (int digit = 0; digit < DIGITS; digit++) total += counted[digit];
        rank = total ? (total - 1) / 2 : 0;
        state[2] = total ? 1 : 2;
    }
    if (state[2] == 2) return;
    int digit = 0;
    while (digit < DIGITS - 1 && below + counted[digit] <= rank) below += counted[digit++];
    state[0] = state[0] << bits | (uint64)digit;
    state[1] = rank - below;
}
