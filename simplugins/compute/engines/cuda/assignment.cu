// SPDX-License-Identifier: Apache-2.0
// Optimal assignment of each problem's rows to columns, with an upper bound. Appended to block.cu.
//
// The stages are those of the CPU's solver (simplugins/matching/linear_assignment.py): starting prices from row and
// column means, auctions with falling bid increments, an auction without increment, shortest augmenting paths. Here
// they run on floats. A final pass over the affinities bounds the optimum by the dual prices, which also covers
// rounding.
//
// Each thread keeps the prices of its columns in registers. During an auction without increment no other thread accesses
// their entries of `row_of`, so one barrier per bid suffices.

#define SAMPLED 4              // starting prices are computed from every fourth row
#define SPAN_OF_TYPICAL 4      // as in simplugins/matching/starting_prices.py
#define AUCTIONS 3             // maximum number of auctions
#define BIDS_PER_ROW 4         // maximum, in each of them
#define EXACT_BIDS_PER_ROW 2   // maximum, at increment zero
#define PACKED (sizeof(REAL) == 4)  // auctions with increment use integer keys
#define ENOUGH_STEPS 0.7       // times sqrt(rows): finer increments do not pay off
#define HALF_ULP (sizeof(REAL) == 4 ? 5.9604644775390625e-8 : 1.1102230246251565e-16)
#define FLUSHED (sizeof(REAL) == 4 ? 1.1754943508222875e-38 : 0)  // smaller floats may be flushed to zero

#define BITS_OF(count) ((count) > 256 ? 9 + ((count) > 512) : 4 + ((count) > 16) + ((count) > 32) + ((count) > 64) + ((count) > 128))
#define THREAD_BITS BITS_OF(THREADS)
#define SLOT_BITS ((SLOTS) > 8 ? 4 : 3)
#define THREAD_MASK ((1u << THREAD_BITS) - 1)
#define SLOT_MASK ((1 << SLOT_BITS) - 1)
#define CODE_BITS (THREAD_BITS + SLOT_BITS > 9 ? THREAD_BITS + SLOT_BITS : 9)  // no exponent is left in the keys
#define MIDDLE_EXPONENT 4      // of `middle`, minus that of the range

__device__ __forceinline__ void prefetch_line(const void *address) {
#ifdef __CUDACC_RTC__
    asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
#endif
}

__device__ __forceinline__ REAL steps_of_auction(int auction) { return auction == 0 ? 5 : auction == 1 ? 20 : 60; }

struct Assignment {
    Problem problem;
    Block block;
    const char *mine;    // the thread's first entry of row 0
    int pitch;           // bytes between rows
    unsigned present;    // bit k: the column of slot k exists
    REAL price[SLOTS];   // infinite if there is no column
    REAL least, range;   // of the affinities in the sampled rows
    unsigned assigned;  // bit k: the column of slot k is assigned
    REAL *prices;       // this and the following arrays are in shared memory
    short *row_of, *column_of, *queue, *predecessors;

    __device__ __forceinline__ int column(int k) const { return k * THREADS + (int)threadIdx.x; }
    __device__ __forceinline__ bool exists(int k) const { return column(k) < problem.columns; }
    __device__ __forceinline__ bool owns(int j) const { return j % THREADS == (int)threadIdx.x; }
    __device__ __forceinline__ bool square() const { return problem.rows == problem.columns; }

    // The ticket of the best of the thread's slots that tie, given as bits.
    __device__ __forceinline__ unsigned thread_ticket(unsigned ties) const {
        if (!ties) return NO_TICKET;
        unsigned open = ties & ~assigned;
        int j = column(__ffs(open ? open : ties) - 1);
        return ticket(j, open ? -1 : row_of[j]);
    }

    __device__ __forceinline__ void set_problem(const Problem &given) {
        problem = given;
        mine = reinterpret_cast<const char *>(given.entries + threadIdx.x);
        pitch = (int)(given.stride * sizeof(ENTRY));
        present = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) present |= (unsigned)exists(k) << k;
    }

    // The thread's entries of a row; 0 where there is no column.
    __device__ __forceinline__ void read(int i, ENTRY *entries) const {
        const ENTRY *row = reinterpret_cast<const ENTRY *>(mine + (int64)i * pitch);
#pragma unroll
        for (int k = 0; k < SLOTS; k++) entries[k] = present >> k & 1 ? row[k * THREADS] : (ENTRY)0;
    }

    // Have a waiting row on its way to the cache: one line of it per thread.
    __device__ __forceinline__ void prefetch(int head, int waiting) const {
#if AHEAD && !STAGED
        int lines = (problem.columns * (int)sizeof(ENTRY) + 127) / 128;
        if (waiting <= AHEAD || (int)threadIdx.x >= lines) return;
        int place = head + AHEAD - 1;
        place -= place >= problem.rows ? problem.rows : 0;
        prefetch_line(reinterpret_cast<const char *>(problem.row(queue[place])) + 128 * threadIdx.x);
#endif
    }

    // The best two affinities minus prices of a row, among the thread's columns.
    __device__ __forceinline__ Best thread_best(const ENTRY *entries) const {
        REAL profit[SLOTS];
        Best best = no_best();
#pragma unroll
        for (int k = 0; k < SLOTS; k++) profit[k] = (REAL)entries[k] - price[k];
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            best.second = fmax(best.second, fmin(best.first, profit[k]));
            best.first = fmax(best.first, profit[k]);
        }
        unsigned ties = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) ties |= (unsigned)(profit[k] == best.first) << k;
        best.ticket = thread_ticket(ties & present);
        return best;
    }

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
            ENTRY entries[SLOTS];
            read(i, entries);
            REAL sum = 0;
#pragma unroll
            for (int k = 0; k < SLOTS; k++) {
                REAL entry = (REAL)entries[k];
                sum += entry;
                mean[k] += entry * share;
                top[k] = fmax(top[k], entry);
                if (present >> k & 1) lowest = fmin(lowest, entry);
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

    // Let unassigned rows bid for their best column until all are assigned or the budget of bids is spent. A bid raises
    // the column's price to the point where the row would be indifferent to its second best, plus the increment.
    __device__ __forceinline__ void run_auction(REAL increment, int budget) {
        assigned = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) row_of[column(k)] = -1;
        for (int i = threadIdx.x; i < problem.rows; i += THREADS) queue[i] = (short)i;  // read after a barrier
        int waiting = problem.rows - 1, head = 1, tail = 0, i = 0;
        ENTRY entries[SLOTS];
        barrier();
        for (; budget > 0; budget--) {
            COUNT(exact_bid);
            read(i, entries);
            prefetch(head, waiting);
            Best best = block.best<true>(thread_best(entries));
            int j = column_of_ticket(best.ticket), evicted = holder_of_ticket(best.ticket);
            if (owns(j)) accept_bid(j, i, problem.columns > 1 ? best.first - best.second + increment : increment);
            if (waiting == 0) {
                if (evicted < 0) return;
                i = evicted;
                continue;
            }
            i = queue[head];  // written before the barrier of the previous bid
            head = head + 1 < problem.rows ? head + 1 : 0;
            if (evicted < 0) {
                waiting--;
            } else {
                if (threadIdx.x == 0) queue[tail] = (short)evicted;
                tail = tail + 1 < problem.rows ? tail + 1 : 0;
            }
        }
    }

    // The same with profits rounded to a grid, and the column packed into the low bits of the same integer. The grid
    // consists of the floats with the exponent of `middle`, 12 to 24 times the range: profits differ by their mantissas.
    // Where entries outside of the sample exceed the range many times, bids may be wrong, but prices remain prices.
    __device__ __forceinline__ void run_packed_auction(float increment, int budget) {
        const int value_bits = 32 - CODE_BITS, dropped = 23 - value_bits;
        float middle = __uint_as_float(((__float_as_uint((float)range) & 0x7f800000u) + (MIDDLE_EXPONENT << 23)) | 0x400000u);
        float base = middle - (float)least, worth[SLOTS];  // `base` minus the prices
        increment = increment + middle - middle;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            if (exists(k)) row_of[column(k)] = -1;
            worth[k] = exists(k) ? base - (float)price[k] : -infinity(float());  // its mantissa is 0: no key is lower
        }
        for (int i = threadIdx.x; i < problem.rows; i += THREADS) queue[i] = (short)i;
        int waiting = problem.rows - 1, head = 1, tail = 0, i = 0;
        ENTRY entries[SLOTS];
        barrier();
        for (; budget > 0; budget--) {
            COUNT(bid);
            read(i, entries);
            prefetch(head, waiting);
            unsigned key[SLOTS], lowest_code = THREAD_MASK - threadIdx.x;
            Keys keys = {0, 0};
#pragma unroll
            for (int k = 0; k < SLOTS; k++) {
                unsigned value = __float_as_uint((float)entries[k] + worth[k]) >> dropped;
                key[k] = (value << CODE_BITS) + ((SLOT_MASK - k) << THREAD_BITS);
                keys.second = max(keys.second, min(keys.first, key[k]));
                keys.first = max(keys.first, key[k]);
            }
            keys.first += lowest_code, keys.second += lowest_code;
            Keys best = block.keys(keys);
            int slot = SLOT_MASK - (best.first >> THREAD_BITS & SLOT_MASK);
            int j = slot * THREADS + (THREAD_MASK - (best.first & THREAD_MASK));
            int evicted = row_of[j];
            float raise = (float)(int)((best.first >> CODE_BITS) - (best.second >> CODE_BITS));
            raise = raise * (middle * (float)(1 / 1.5 / (1 << value_bits))) + increment;
            unsigned chosen = keys.first == best.first ? 1u << slot : 0;
#pragma unroll
            for (int k = 0; k < SLOTS; k++)
                if (chosen >> k & 1) worth[k] -= raise;
            barrier();
            if (threadIdx.x == 0) row_of[j] = (short)i;
            if (waiting == 0) {
                if (evicted < 0) break;
                i = evicted;
                continue;
            }
            i = queue[head];
            head = head + 1 < problem.rows ? head + 1 : 0;
            if (evicted < 0) {
                waiting--;
            } else {
                if (threadIdx.x == 0) queue[tail] = (short)evicted;
                tail = tail + 1 < problem.rows ? tail + 1 : 0;
            }
        }
#pragma unroll
        for (int k = 0; k < SLOTS; k++) price[k] = exists(k) ? (REAL)(base - worth[k]) : INFINITE;
        barrier();
    }

    // Assign the thread's column j to row i, and raise its price.
    __device__ __forceinline__ void accept_bid(int j, int i, REAL raise) {
        row_of[j] = (short)i;
        assigned |= 1u << j / THREADS;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (k == j / THREADS) price[k] += raise;
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
        ENTRY entries[SLOTS];
        read(source, entries);
        REAL dual = highest_profit(entries), nearest = 0;
        int i = source, sink;
        while (true) {
            COUNT(step);
            Nearest best = block.nearest(thread_nearest(entries, i, dual, nearest, closed, distance, predecessor));
            nearest = best.distance;
            sink = column_of_ticket(best.ticket);
            if (owns(sink)) closed |= 1u << sink / THREADS;
            i = holder_of_ticket(best.ticket);
            if (i < 0) break;
            dual = problem.at(i, sink) - prices[sink];
            read(i, entries);
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

    __device__ __forceinline__ REAL highest_profit(const ENTRY *entries) {
        REAL highest = -INFINITE;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) highest = fmax(highest, (REAL)entries[k] - price[k]);
        return block.max(highest);
    }

    // Relax the thread's open columns from row i at distance `nearest`, and return the nearest of them.
    __device__ __forceinline__ Nearest thread_nearest(const ENTRY *entries, int i, REAL dual, REAL nearest,
                                                      unsigned closed, REAL *distance, int *predecessor) const {
        REAL least_open = INFINITE, open[SLOTS];
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            REAL slack = dual - ((REAL)entries[k] - price[k]);
            REAL through = nearest + fmax(slack, (REAL)0);
            bool is_open = !(closed >> k & 1);
            if (is_open && through < distance[k]) distance[k] = through, predecessor[k] = i;
            open[k] = is_open ? distance[k] : INFINITE;
            least_open = fmin(least_open, open[k]);
        }
        unsigned ties = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) ties |= (unsigned)(open[k] == least_open) << k;
        Nearest result = {least_open, thread_ticket(ties & present)};
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
#pragma unroll
        for (int k = 0; k < SLOTS; k++) price[k] = exists(k) ? 0 : INFINITE;
        if (square()) {
            REAL span = set_starting_prices(), size = sqrt((REAL)problem.rows);
            for (int a = 0; a < AUCTIONS; a++) {
                REAL increment = span / (steps_of_auction(a) * size);
                if (PACKED) run_packed_auction((float)increment, BIDS_PER_ROW * problem.rows);
                else run_auction(increment, BIDS_PER_ROW * problem.rows);
                settle();
                if (steps_of_auction(a) >= (REAL)ENOUGH_STEPS * size) break;
            }
        }
        run_auction(0, EXACT_BIDS_PER_ROW * problem.rows);
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
#endif
            for (int k = 0; k < WARPS * SLOTS; k++) {
                int j = lane() + 32 * k;
                if (j < problem.columns) most = fmax(most, (REAL)row[j] - prices[j]);
            }
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
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
    assign(const AFFINITY *__restrict__ affinities, int64 stride, const int64 *__restrict__ problems, int capacity,
           double *__restrict__ values, double *__restrict__ magnitudes, double *__restrict__ uppers,
           int *__restrict__ columns, int64 columns_stride, double floor) {
    __shared__ Exchange exchanges[2];
    DYNAMIC_SHARED(shared);
    Assignment solver;
    solver.prices = reinterpret_cast<REAL *>(shared);
    solver.row_of = reinterpret_cast<short *>(solver.prices + capacity);
    solver.column_of = solver.row_of + capacity;
    solver.queue = solver.predecessors = solver.column_of + capacity;
    solver.block.exchanges = exchanges;
    solver.block.turn = 0;
    REAL *staged = reinterpret_cast<REAL *>(solver.queue + capacity);
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
