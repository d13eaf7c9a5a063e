// SPDX-License-Identifier: Apache-2.0
// The sums of the largest entries of each row and of each column of a problem. Appended to block.cu.
//
// An entry is scale * affinity - price, with the prices of the columns for the largest of a row, and with that of the
// row for the largest of a column. Panels of 32 SLOTS columns are read once: a warp takes every WARPS-th row, and each
// of its lanes keeps the largest entries of SLOTS columns in registers.

#define PANEL (32 * SLOTS)

struct Maxima {
    Problem problem;
    REAL scale, row_scale, column_scale;
    const REAL *row_prices, *column_prices;  // null for zeros
    REAL *of_rows, *of_columns;              // in shared memory: per row, and per warp and column of a panel

    // Raise the maxima of the rows by a panel; return this thread's share of the sum of the maxima of its columns.
    __device__ __forceinline__ double reduce_panel(int first) {
        REAL column_price[SLOTS], highest[SLOTS];
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            int j = first + lane() + 32 * k;
            column_price[k] = column_prices && j < problem.columns ? column_scale * column_prices[j] : (REAL)0;
            highest[k] = -INFINITE;
        }
        for (int i = warp(); i < problem.rows; i += WARPS) {
            const ENTRY *row = problem.row(i);
            REAL row_price = row_prices ? row_scale * row_prices[i] : (REAL)0, best = -INFINITE;
#pragma unroll
            for (int k = 0; k < SLOTS; k++) {
                int j = first + lane() + 32 * k;
                if (j < problem.columns) {
                    REAL entry = scale * (REAL)row[j];
                    best = fmax(best, entry - column_price[k]);
                    highest[k] = fmax(highest[k], entry - row_price);
                }
            }
            best = warp_max(best);
            if (lane() == 0) of_rows[i] = first ? fmax(of_rows[i], best) : best;
        }
#pragma unroll
        for (int k = 0; k < SLOTS; k++) of_columns[warp() * PANEL + lane() + 32 * k] = highest[k];
        barrier();
        double total = 0;
        for (int j = threadIdx.x; j < PANEL && first + j < problem.columns; j += THREADS) {
            REAL most = of_columns[j];
            for (int w = 1; w < WARPS; w++) most = fmax(most, of_columns[w * PANEL + j]);
            total += most;
        }
        barrier();  // before the next panel overwrites the maxima
        return total;
    }
};

// Dynamic shared memory: the maxima of the rows (`capacity` of them), and those of a panel by warp, as counted by
// `shared_bytes` in reductions.py. `scales` has three factors per problem, or is null for ones; prices may be null.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    sum_maxima(const AFFINITY *__restrict__ affinities, int64 stride, const int64 *__restrict__ problems, int capacity,
               const REAL *__restrict__ row_prices, const REAL *__restrict__ column_prices,
               const REAL *__restrict__ scales, double *__restrict__ rows, double *__restrict__ columns) {
    __shared__ Exchange exchanges[2];
    DYNAMIC_SHARED(shared);
    const int64 *bounds = problems + 4 * (int64)blockIdx.x;
    Maxima maxima;
    maxima.of_rows = reinterpret_cast<REAL *>(shared);
    maxima.of_columns = maxima.of_rows + capacity;
    maxima.problem = read_problem(affinities, stride, problems, nullptr);
    maxima.row_prices = row_prices ? row_prices + bounds[0] : nullptr;
    maxima.column_prices = column_prices ? column_prices + bounds[2] : nullptr;
    const REAL *factors = scales ? scales + 3 * (int64)blockIdx.x : nullptr;
    maxima.scale = factors ? factors[0] : (REAL)1;
    maxima.row_scale = factors ? factors[1] : (REAL)1;
    maxima.column_scale = factors ? factors[2] : (REAL)1;
    Block block = {exchanges, 0};
    double of_columns = 0, of_rows = 0;
    for (int first = 0; first < maxima.problem.columns; first += PANEL) of_columns += maxima.reduce_panel(first);
    for (int i = threadIdx.x; i < maxima.problem.rows; i += THREADS) of_rows += maxima.of_rows[i];
    of_rows = block.sum(of_rows);
    of_columns = block.sum(of_columns);
    if (threadIdx.x == 0) rows[blockIdx.x] = of_rows, columns[blockIdx.x] = of_columns;
}
