// SPDX-License-Identifier: Apache-2.0
// The paper's greedy matching: rows in descending order of their best affinity take the best column still free.
// Appended to block.cu.

struct Greedy {
    Problem problem;
    Block block;
    REAL *highest;  // best affinity of each row; this and the following arrays are in shared memory
    short *favourite, *order;
    unsigned char *assigned;

    // The best free column of a row, among every `step`-th from `first`: for a reduction by one warp or by the block.
    __device__ __forceinline__ Best thread_best(int i, int first, int step) const {
        const ENTRY *row = problem.row(i);
        Best best = no_best();
        best.first -= best.first;  // NaN: any entry is better, also an infinite one
        for (int j = first; j < problem.columns; j += step)
            if (!assigned[j] && !((REAL)row[j] <= best.first)) best.first = (REAL)row[j], best.ticket = ticket(j, -1);
        best.first = fmax(best.first, -INFINITE);
        return best;
    }

    __device__ __forceinline__ void rank_rows() {
        for (int i = warp(); i < problem.rows; i += WARPS) {
            Best best = warp_best<false>(thread_best(i, lane(), 32));
            if (lane() == 0) highest[i] = best.first, favourite[i] = (short)column_of_ticket(best.ticket);
        }
        barrier();
        for (int i = threadIdx.x; i < problem.rows; i += THREADS) {
            int rank = 0;
            for (int k = 0; k < problem.rows; k++)
                rank += highest[k] > highest[i] || (highest[k] == highest[i] && k < i);
            order[rank] = (short)i;
        }
        barrier();
    }

    // Assign rows in order, and return the sum of the matched affinities.
    __device__ __forceinline__ double assign_rows(int *columns) {
        double value = 0;
        for (int turn = 0; turn < problem.rows && turn < problem.columns; turn++) {
            int i = order[turn], j = favourite[i];
            if (assigned[j]) j = column_of_ticket(block.best<false>(thread_best(i, threadIdx.x, THREADS)).ticket);
            value += problem.at(i, j);
            barrier();  // all threads have read `assigned`
            if (threadIdx.x == 0) {
                assigned[j] = 1;
                if (columns) columns[i] = j;
            }
            barrier();
        }
        return value;
    }
};

// Dynamic shared memory: `highest`, three arrays of shorts (the last of which holds `assigned`), and the staged
// affinities, as counted by `shared_bytes` in programs.py.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    match_greedily(const AFFINITY *__restrict__ affinities, int64 stride, const int64 *__restrict__ problems,
                   int capacity, double *__restrict__ values, int *__restrict__ columns, int64 columns_stride) {
    __shared__ Exchange exchanges[2];
    DYNAMIC_SHARED(shared);
    Greedy greedy;
    greedy.highest = reinterpret_cast<REAL *>(shared);
    greedy.favourite = reinterpret_cast<short *>(greedy.highest + capacity);
    greedy.order = greedy.favourite + capacity;
    greedy.assigned = reinterpret_cast<unsigned char *>(greedy.order + capacity);
    greedy.block.exchanges = exchanges;
    greedy.block.turn = 0;
    REAL *staged = reinterpret_cast<REAL *>(greedy.order + 2 * capacity);
    greedy.problem = read_problem(affinities, stride, problems, staged);
    int *problem_columns = columns ? columns + blockIdx.x * columns_stride : nullptr;
    for (int j = threadIdx.x; j < greedy.problem.columns; j += THREADS) greedy.assigned[j] = 0;
    if (problem_columns)
        for (int i = threadIdx.x; i < greedy.problem.rows; i += THREADS) problem_columns[i] = -1;
    barrier();
    greedy.rank_rows();
    double value = greedy.assign_rows(problem_columns);
    if (threadIdx.x == 0) values[blockIdx.x] = value;
}
