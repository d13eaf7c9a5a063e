// SPDX-License-Identifier: Apache-2.0
// The paper's greedy matching: rows by their best affinity, highest first, take the best column left. Follows block.cu.

struct Greedy {
    Problem problem;
    Block block;
    REAL *highest;  // of each row, in shared memory
    short *favourite, *order;
    unsigned char *taken;

    // The best of a row's columns that are left, as one warp finds it or as all do.
    __device__ __forceinline__ Best own_best(int i, int first, int step) const {
        const ENTRY *row = problem.row(i);
        Best best = no_best();
        for (int j = first; j < problem.columns; j += step)
            if (!taken[j] && (REAL)row[j] > best.first) best.first = (REAL)row[j], best.ticket = ticket(j, -1);
        return best;
    }

    __device__ __forceinline__ void rank_rows() {
        for (int i = warp(); i < problem.rows; i += WARPS) {
            Best best = warp_best<false>(own_best(i, lane(), 32));
            if (lane() == 0) highest[i] = best.first, favourite[i] = (short)column_of_ticket(best.ticket);
        }
        barrier();
        for (int i = threadIdx.x; i < problem.rows; i += THREADS) {
            int rank = 0;
            for (int other = 0; other < problem.rows; other++)
                rank += highest[other] > highest[i] || (highest[other] == highest[i] && other < i);
            order[rank] = (short)i;
        }
        barrier();
    }

    // Returns the sum of what is taken.
    __device__ __forceinline__ double take_in_turn(int *columns) {
        double value = 0;
        for (int turn = 0; turn < problem.rows && turn < problem.columns; turn++) {
            int i = order[turn], j = favourite[i];
            if (taken[j]) j = column_of_ticket(block.best<false>(own_best(i, threadIdx.x, THREADS)).ticket);
            value += problem.at(i, j);
            barrier();  // all have looked at `taken`
            if (threadIdx.x == 0) {
                taken[j] = 1;
                if (columns) columns[i] = j;
            }
            barrier();
        }
        return value;
    }
};

// Bytes of dynamic shared memory: see `Layout` in launcher.py, which lays it out alike.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
    take(const AFFINITY *__restrict__ affinities, int64 stride, const int64 *__restrict__ problems, int capacity,
         double *__restrict__ values, int *__restrict__ columns, int64 columns_stride) {
    __shared__ Exchange exchange;
    DYNAMIC_SHARED(shared);
    Greedy greedy;
    greedy.highest = reinterpret_cast<REAL *>(shared);
    greedy.favourite = reinterpret_cast<short *>(greedy.highest + capacity);
    greedy.order = greedy.favourite + capacity;
    greedy.taken = reinterpret_cast<unsigned char *>(greedy.order + capacity);
    greedy.block.exchange = &exchange;
    greedy.block.turn = 0;
    REAL *staged = reinterpret_cast<REAL *>(greedy.order + 2 * capacity);
    greedy.problem = read_problem(affinities, stride, problems, staged);
    int *own_columns = columns ? columns + blockIdx.x * columns_stride : nullptr;
    for (int j = threadIdx.x; j < greedy.problem.columns; j += THREADS) greedy.taken[j] = 0;
    if (own_columns)
        for (int i = threadIdx.x; i < greedy.problem.rows; i += THREADS) own_columns[i] = -1;
    barrier();
    greedy.rank_rows();
    double value = greedy.take_in_turn(own_columns);
    if (threadIdx.x == 0) values[blockIdx.x] = value;
}
