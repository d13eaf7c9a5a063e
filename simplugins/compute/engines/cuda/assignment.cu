// SPDX-License-Identifier: Apache-2.0
// Optimal assignment of each problem's rows to columns, with an upper bound. Appended to block.cu and auctions.cu.
//
// The stages are those of the CPU's solver (simplugins/matching/linear_assignment.py): starting prices from row and
// column means, auctions with falling bid increments, an auction without increment, shortest augmenting paths. Here
// they run on floats. A final pass over the affinities bounds the optimum by the dual prices, which also covers
// rounding.

#define SAMPLED 4              // starting prices are computed from every fourth row
#define SPAN_OF_TYPICAL 4      // as in simplugins/matching/starting_prices.py
#define HALF_ULP (sizeof(REAL) == 4 ? 5.9604644775390625e-8 : 1.1102230246251565e-16)
#define FLUSHED (sizeof(REAL) == 4 ? 1.1754943508222875e-38 : 0)  // smaller floats may be flushed to zero

#if LISTED
typedef ListedAuction Auctions;
#else
typedef Auction Auctions;
#endif

struct Assignment : Auctions {
    REAL *prices;  // this and the following arrays are in shared memory
    short *column_of, *predecessors;

    __device__ __forceinline__ bool square() const { return problem.rows == problem.columns; }

    // Set starting prices, which would be optimal if each affinity were the product of one number per row and one per
    // column; estimated from a sample of rows. Returns the span of affinities, of which bid increments are shares.
    __device__ __forceinline__ REAL set_starting_prices() {
        REAL mean[SLOTS], top[SLOTS], lowest = INFINITE;
        REAL share = (REAL)1 / ((problem.rows + SAMPLED - 1) / SAMPLED);
        double part = 1.0 / problem.columns;
        double rows_mean = 0, rows_square = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) mean[k] = 0, top[k] = -INFINITE;
        for (int i = 0; i < problem.rows; i += SAMPLED) {
            COUNT(sampled_row);
            const ENTRY *row = row_of_thread(i);
            REAL sum = 0;
#pragma unroll
            for (int k = 0; k < SLOTS; k++)
                if (present >> k & 1) {
                    REAL entry = (REAL)row[k * THREADS];
                    sum += entry;
                    mean[k] += entry * share;
                    top[k] = fmax(top[k], entry);
                    lowest = fmin(lowest, entry);
                }
            double row_mean = block.sum(sum) * part;
            rows_mean += row_mean * share;
            rows_square += row_mean * row_mean * share;
        }
        REAL highest = -INFINITE;
        double total = 0, above = 0, squares = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) total += mean[k], above += top[k] - mean[k], highest = fmax(highest, top[k]);
        double centre = block.sum(total) / problem.columns;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) squares += (mean[k] - centre) * (mean[k] - centre);
        double spread = sqrt(block.sum(squares) / problem.columns);
        double rows_spread = sqrt(fmax(0.0, rows_square - rows_mean * rows_mean));
        bool near = centre >= spread && spread > 0 && rows_spread < centre;  // false in case of overflow
        double slope = near ? rows_spread / spread / (2 * centre) : 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            double deviation = mean[k] - centre;
            price[k] = !exists(k) ? INFINITE : near ? (REAL)(deviation + slope * deviation * deviation) : 0;
        }
        settle();
        least = -block.max(-lowest);
        range = block.max(highest) - least;
        REAL typical = (REAL)(block.sum(above) / problem.columns);
        return fmin(range, SPAN_OF_TYPICAL * typical);
    }

    // Subtract the lowest price from all, which has no effect if sides are equal.
    __device__ __forceinline__ void settle() {
        REAL lowest = INFINITE;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) lowest = fmin(lowest, price[k]);
        lowest = -block.max(-lowest);
#pragma unroll
        for (int k = 0; k < SLOTS; k++) price[k] -= lowest;
    }

    // Share the result of the last auction, and assign each unassigned row along a shortest augmenting path.
    __device__ __forceinline__ void augment_free_rows() {
        for (int i = threadIdx.x; i < problem.rows; i += THREADS) column_of[i] = -1;
        barrier();
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) {
                int j = column(k);
                prices[j] = price[k];
                if (row_of[j] >= 0) column_of[row_of[j]] = (short)j;
            }
        barrier();
        for (int i = 0; i < problem.rows; i++)
            if (column_of[i] < 0) augment(i);
    }

    // Dijkstra's algorithm on reduced costs: each step closes the nearest open column and continues from its row.
    __device__ __forceinline__ void augment(int source) {
        REAL distance[SLOTS];
        int predecessor[SLOTS];
        unsigned closed = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) distance[k] = INFINITE, predecessor[k] = source;
        COUNT(search);
        REAL dual = highest_profit(source), nearest = 0;
        int i = source, sink;
        while (true) {
            COUNT(step);
            Nearest best = block.nearest(thread_nearest(i, dual, nearest, closed, distance, predecessor));
            nearest = best.distance;
            sink = column_of_ticket(best.ticket);
            if (owns(sink)) closed |= 1u << sink / THREADS;
            i = holder_of_ticket(best.ticket);
            if (i < 0) break;
            dual = problem.at(i, sink) - prices[sink];
        }
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) {
                predecessors[column(k)] = (short)predecessor[k];
                if (closed >> k & 1) prices[column(k)] = price[k] += nearest - distance[k];
            }
        if (owns(sink)) assigned |= 1u << sink / THREADS;
        barrier();
        if (threadIdx.x == 0) flip(source, sink);
        barrier();
    }

    __device__ __forceinline__ REAL highest_profit(int i) {
        const ENTRY *row = row_of_thread(i);
        REAL highest = -INFINITE;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) highest = fmax(highest, (REAL)entry_of(row, k) - price[k]);
        return block.max(highest);
    }

    // Relax the thread's open columns from row i at distance `nearest`, and return the nearest of them.
    __device__ __forceinline__ Nearest thread_nearest(int i, REAL dual, REAL nearest, unsigned closed, REAL *distance,
                                                      int *predecessor) const {
        const ENTRY *row = row_of_thread(i);
        REAL least_open = INFINITE;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            REAL slack = dual - ((REAL)entry_of(row, k) - price[k]);
            REAL through = nearest + fmax(slack, (REAL)0);
            bool is_open = !(closed >> k & 1);
            if (is_open && through < distance[k]) distance[k] = through, predecessor[k] = i;
            if (is_open) least_open = fmin(least_open, distance[k]);
        }
        unsigned ties = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) ties |= (unsigned)(distance[k] == least_open) << k;
        Nearest result = {least_open, thread_ticket(ties & present & ~closed)};
        return result;
    }

    // Assign each column of the path from `source` to `sink` to the row that precedes it.
    __device__ __forceinline__ void flip(int source, int sink) {
        int i, j = sink;
        do {
            i = predecessors[j];
            row_of[j] = (short)i;
            int following = column_of[i];
            column_of[i] = (short)j;
            j = following;
        } while (i != source);
    }

    __device__ __forceinline__ void solve() {
        bool packed = false;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) price[k] = exists(k) ? 0 : INFINITE;
        if (square()) {
            REAL span = set_starting_prices(), size = sqrt((REAL)problem.rows);
#if LISTED
            packed = range > 0 && problem.columns > ENTRIES && run_listed((float)span, (float)size);
            settle();
#else
            for (int a = 0; a < AUCTIONS; a++) {
                REAL increment = span / (steps_of_auction(a) * size);
                packed = PACKED && range > 0;
                if (packed) run_packed<false>((float)increment, BIDS_PER_ROW * problem.rows);
                else run(increment, BIDS_PER_ROW * problem.rows);
                settle();
                if (steps_of_auction(a) >= (REAL)ENOUGH_STEPS * size) break;
            }
            packed = packed && run_packed<true>(0, EXACT_BIDS_PER_ROW * problem.rows);
#endif
        }
        if (!packed) run(0, EXACT_BIDS_PER_ROW * problem.rows);
        augment_free_rows();
    }

    // The largest affinity.
    __device__ __forceinline__ REAL largest() {
        REAL most = -INFINITE;
        for (int i = warp(); i < problem.rows; i += WARPS)
            for (int j = lane(); j < problem.columns; j += 32) most = fmax(most, problem.at(i, j));
        return block.max(most);
    }

    // Upper bound on the value of any assignment: the sum of the prices and of the largest affinity minus price of each
    // row. Rounding differences to nearest preserves their order, so the largest is off by at most half a unit in the
    // last place, or by less than the smallest float that is not flushed to zero.
    __device__ __forceinline__ double upper_bound() {
        double bound = 0, magnitude = 0;
        for (int i = warp(); i < problem.rows; i += WARPS) {
            const ENTRY *row = problem.row(i);
            COUNT(bounded_row);
            REAL most = -INFINITE;
#if WARPS * SLOTS <= 8
#pragma unroll
            for (int k = 0; k < WARPS * SLOTS; k++) {
                int j = lane() + 32 * k;
                if (j < problem.columns) most = fmax(most, (REAL)row[j] - prices[j]);
            }
#else
#pragma unroll 8
            for (int j = lane(); j < problem.columns; j += 32) most = fmax(most, (REAL)row[j] - prices[j]);
#endif
            most = warp_max(most);
            if (lane() == 0) bound += most, magnitude += fabs((double)most);
        }
        bound += magnitude * HALF_ULP;
        for (int j = threadIdx.x; j < problem.columns; j += THREADS) bound += prices[j], magnitude += fabs(prices[j]);
        magnitude = block.sum(magnitude);
        if (magnitude > 0) magnitude += 2 * FLUSHED / 2.220446049250313e-16;
        return block.sum(bound) + magnitude * (problem.rows + problem.columns) * 2.220446049250313e-16;
    }
};

// Dynamic shared memory: `prices`, three arrays of shorts, and the staged affinities, as counted by `shared_bytes` in
// programs.py. Rows assigned to an affinity at or below `floor` are unmatched (column -1): with affinities raised to the
// floor, the others are the best partial assignment above it. Its bound is that of all rows, less the unmatched ones.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    assign(const AFFINITY *__restrict__ affinities, int64 stride, const int64 *__restrict__ problems, int capacity,
           double *__restrict__ values, double *__restrict__ magnitudes, double *__restrict__ uppers,
           int *__restrict__ columns, int64 columns_stride, double floor) {
    __shared__ Exchange exchanges[2];
    DYNAMIC_SHARED(shared);
    Assignment solver;
    solver.prices = reinterpret_cast<REAL *>(shared);
    solver.row_of = reinterpret_cast<short *>(solver.prices + capacity);
    solver.column_of = solver.row_of + capacity;
    solver.predecessors = solver.column_of + capacity;
    solver.queue.after = reinterpret_cast<unsigned short *>(solver.predecessors);
    solver.block.exchanges = exchanges;
    solver.block.turn = 0;
#if LISTED
    solver.capacity = capacity;
    solver.worth = solver.prices;
    solver.exchange = reinterpret_cast<int *>(solver.column_of);
    solver.lists = reinterpret_cast<unsigned *>(solver.predecessors + capacity);
#endif
    REAL *staged = reinterpret_cast<REAL *>(solver.predecessors + capacity);
    solver.set_problem(read_problem(affinities, stride, problems, staged));
    solver.solve();

    double value = 0, magnitude = 0, unmatched = 0;
    for (int i = threadIdx.x; i < solver.problem.rows; i += THREADS) {
        int j = solver.column_of[i];
        double entry = solver.problem.at(i, j);
        bool matched = entry > floor;
        value += matched ? entry : 0;
        magnitude += matched ? fabs(entry) : 0;
        unmatched += matched ? 0 : entry;
        if (columns) columns[blockIdx.x * columns_stride + i] = matched ? j : -1;
    }
    value = solver.block.sum(value);
    magnitude = solver.block.sum(magnitude);
    double upper = solver.upper_bound();
    if (floor > -infinity(double())) {
        upper -= solver.block.sum(unmatched);
        if (magnitude == 0 && solver.largest() <= floor) upper = 0;
    }
    if (threadIdx.x == 0) {
        values[blockIdx.x] = value;
        magnitudes[blockIdx.x] = magnitude;
        uppers[blockIdx.x] = upper;
    }
}
