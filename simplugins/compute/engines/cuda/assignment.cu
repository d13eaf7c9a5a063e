// SPDX-License-Identifier: Apache-2.0
// The exact assignment of each problem's rows to columns, with the proof: follows block.cu.
//
// The stages are those of the CPU's search (simplugins/matching/search.py): prices from row and column means, auctions
// with falling bid increments, an auction without increment, shortest augmenting paths. Here they run on floats, and
// a last pass over the affinities bounds the optimum by the prices: what rounding did is seen there.
//
// Each thread keeps the prices of its own columns in registers, and it alone touches their entries of `row_of` while
// an auction runs: so a bid takes one barrier.

#define SAMPLED 4              // the start looks at every fourth row
#define SPAN_OF_TYPICAL 4      // as in the CPU's search
#define AUCTIONS 3             // of so many at most
#define BIDS_A_ROW 4           // each
#define EXACT_BIDS_A_ROW 2     // at increment zero
#define FINEST 0.7             // share of sqrt(rows) beyond which finer increments do not pay
#define HALF_ULP (sizeof(REAL) == 4 ? 5.9604644775390625e-8 : 1.1102230246251565e-16)
#define FLUSHED (sizeof(REAL) == 4 ? 1.1754943508222875e-38 : 0)  // smaller floats may count as zero

__device__ __forceinline__ REAL steps_of_auction(int auction) { return auction == 0 ? 5 : auction == 1 ? 20 : 60; }

struct Search {
    Problem problem;
    Block block;
    REAL price[SLOTS];
    unsigned taken;  // bit k: column of slot k is assigned
    REAL *prices;    // the rest is in shared memory
    short *row_of, *column_of, *queue, *predecessors;

    __device__ __forceinline__ int column(int k) const { return k * THREADS + (int)threadIdx.x; }
    __device__ __forceinline__ bool exists(int k) const { return column(k) < problem.columns; }
    __device__ __forceinline__ bool owns(int j) const { return j % THREADS == (int)threadIdx.x; }
    __device__ __forceinline__ bool square() const { return problem.rows == problem.columns; }

    // The ticket of the best of the slots that tie, given as bits.
    __device__ __forceinline__ unsigned own_ticket(unsigned ties) const {
        if (!ties) return NO_TICKET;
        unsigned open = ties & ~taken;
        int j = column(__ffs(open ? open : ties) - 1);
        return ticket(j, open ? -1 : row_of[j]);
    }

    // Of a row's affinities less the prices, the best two of the thread's own.
    __device__ __forceinline__ Best own_best(int i) const {
        const ENTRY *row = problem.row(i);
        REAL worth[SLOTS];
        Best best = no_best();
#pragma unroll
        for (int k = 0; k < SLOTS; k++) worth[k] = exists(k) ? (REAL)row[column(k)] - price[k] : -INFINITE;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            best.second = fmax(best.second, fmin(best.first, worth[k]));
            best.first = fmax(best.first, worth[k]);
        }
        unsigned ties = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) ties |= (unsigned)(exists(k) && worth[k] == best.first) << k;
        best.ticket = own_ticket(ties);
        return best;
    }

    // Prices that would be right if affinities were products of a number for each row and one for each column, guessed
    // from a sample of rows; returns the span of affinities that bid increments are shares of.
    __device__ __forceinline__ REAL start() {
        REAL mean[SLOTS], top[SLOTS], least = INFINITE;
        REAL share = (REAL)1 / ((problem.rows + SAMPLED - 1) / SAMPLED);
        double part = 1.0 / problem.columns;
        double rows_mean = 0, rows_square = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) mean[k] = 0, top[k] = -INFINITE;
        for (int i = 0; i < problem.rows; i += SAMPLED) {
            const ENTRY *row = problem.row(i);
            REAL sum = 0;
#pragma unroll
            for (int k = 0; k < SLOTS; k++)
                if (exists(k)) {
                    REAL entry = (REAL)row[column(k)];
                    sum += entry;
                    mean[k] += entry * share;
                    top[k] = fmax(top[k], entry);
                    least = fmin(least, entry);
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
        bool near = centre >= spread && spread > 0 && rows_spread < centre;  // false where something overflowed
        double slope = near ? rows_spread / spread / (2 * centre) : 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            double deviation = mean[k] - centre;
            price[k] = near && exists(k) ? (REAL)(deviation + slope * deviation * deviation) : 0;
        }
        settle();
        REAL range = block.max(highest) + block.max(-least);
        REAL typical = (REAL)(block.sum(above) / problem.columns);
        return fmin(range, SPAN_OF_TYPICAL * typical);
    }

    // Count prices from the lowest, which changes nothing between equal sides.
    __device__ __forceinline__ void settle() {
        REAL lowest = INFINITE;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) lowest = fmin(lowest, price[k]);
        lowest = -block.max(-lowest);
#pragma unroll
        for (int k = 0; k < SLOTS; k++) price[k] -= lowest;
    }

    // Let free rows bid for their best column until all are assigned or the budget of bids is spent. A bid raises the
    // column's price to where the row would as soon take its second best, plus the increment.
    __device__ __forceinline__ void auction(REAL increment, int budget) {
        taken = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) row_of[column(k)] = -1;
        for (int i = threadIdx.x; i < problem.rows; i += THREADS) queue[i] = (short)i;  // read after a barrier
        int waiting = problem.rows - 1, head = 1, tail = 0, i = 0;
        for (; budget > 0; budget--) {
            Best best = block.best<true>(own_best(i));
            int j = column_of_ticket(best.ticket), evicted = holder_of_ticket(best.ticket);
            if (owns(j)) take(j, i, problem.columns > 1 ? best.first - best.second + increment : increment);
            if (waiting == 0) {
                if (evicted < 0) return;
                i = evicted;
                continue;
            }
            i = queue[head];  // written before the last bid's barrier
            head = head + 1 < problem.rows ? head + 1 : 0;
            if (evicted < 0) {
                waiting--;
            } else {
                if (threadIdx.x == 0) queue[tail] = (short)evicted;
                tail = tail + 1 < problem.rows ? tail + 1 : 0;
            }
        }
    }

    __device__ __forceinline__ void take(int j, int i, REAL raise) {
        row_of[j] = (short)i;
        taken |= 1u << j / THREADS;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (k == j / THREADS) price[k] += raise;
    }

    // Write down what the last auction left, and assign each row that is still free along a shortest augmenting path.
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

    // Dijkstra on reduced costs: every step closes the nearest open column and goes on from the row that holds it.
    __device__ __forceinline__ void augment(int source) {
        REAL distance[SLOTS];
        int predecessor[SLOTS];
        unsigned closed = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) distance[k] = INFINITE, predecessor[k] = source;
        REAL dual = block.max(own_best(source).first), nearest = 0;
        int i = source, sink;
        while (true) {
            Best best = block.best<false>(own_nearest(i, dual, nearest, closed, distance, predecessor));
            nearest = -best.first;
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
        if (owns(sink)) taken |= 1u << sink / THREADS;
        barrier();
        if (threadIdx.x == 0) flip(source, sink);
        barrier();
    }

    // Go on from a row at distance `nearest`, and return the nearest of the thread's own open columns (as the largest
    // of negative distances).
    __device__ __forceinline__ Best own_nearest(int i, REAL dual, REAL nearest, unsigned closed, REAL *distance,
                                                int *predecessor) const {
        const ENTRY *row = problem.row(i);
        REAL least = INFINITE;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k) && !(closed >> k & 1)) {
                REAL slack = dual - ((REAL)row[column(k)] - price[k]);
                REAL through = nearest + fmax(slack, (REAL)0);
                if (through < distance[k]) distance[k] = through, predecessor[k] = i;
                least = fmin(least, distance[k]);
            }
        unsigned ties = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            ties |= (unsigned)(exists(k) && !(closed >> k & 1) && distance[k] == least) << k;
        Best best = {-least, -least, own_ticket(ties)};
        return best;
    }

    // Assign the columns of the path from `source` to `sink` to the rows before them.
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
        for (int k = 0; k < SLOTS; k++) price[k] = 0;
        if (square()) {
            REAL span = start(), size = sqrt((REAL)problem.rows);
            for (int a = 0; a < AUCTIONS; a++) {
                auction(span / (steps_of_auction(a) * size), BIDS_A_ROW * problem.rows);
                settle();
                if (steps_of_auction(a) >= (REAL)FINEST * size) break;
            }
        }
        auction(0, EXACT_BIDS_A_ROW * problem.rows);
        augment_free_rows();
    }

    // What no assignment exceeds: the prices, and for each row the most that an affinity is above them. Differences
    // are rounded to nearest, which keeps their order: so the largest is off by half a unit in its last place, or less
    // than the smallest float that is not flushed to zero.
    __device__ __forceinline__ double upper_bound() {
        double bound = 0, magnitude = 0;
        for (int i = warp(); i < problem.rows; i += WARPS) {
            const ENTRY *row = problem.row(i);
            REAL most = -INFINITE;
            for (int j = lane(); j < problem.columns; j += 32) most = fmax(most, (REAL)row[j] - prices[j]);
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

// Bytes of dynamic shared memory: see `Layout` in launcher.py, which lays it out alike.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
    assign(const AFFINITY *__restrict__ affinities, int64 stride, const int64 *__restrict__ problems, int capacity,
           double *__restrict__ values, double *__restrict__ magnitudes, double *__restrict__ uppers,
           int *__restrict__ columns, int64 columns_stride) {
    __shared__ Exchange exchange;
    DYNAMIC_SHARED(shared);
    Search search;
    search.prices = reinterpret_cast<REAL *>(shared);
    search.row_of = reinterpret_cast<short *>(search.prices + capacity);
    search.column_of = search.row_of + capacity;
    search.queue = search.predecessors = search.column_of + capacity;
    search.block.exchange = &exchange;
    search.block.turn = 0;
    REAL *staged = reinterpret_cast<REAL *>(search.queue + capacity);
    search.problem = read_problem(affinities, stride, problems, staged);
    search.solve();

    double value = 0, magnitude = 0;
    for (int i = threadIdx.x; i < search.problem.rows; i += THREADS) {
        int j = search.column_of[i];
        value += search.problem.at(i, j);
        magnitude += fabs((double)search.problem.at(i, j));
        if (columns) columns[blockIdx.x * columns_stride + i] = j;
    }
    value = search.block.sum(value);
    magnitude = search.block.sum(magnitude);
    double upper = search.upper_bound();
    if (threadIdx.x == 0) {
        values[blockIdx.x] = value;
        magnitudes[blockIdx.x] = magnitude;
        uppers[blockIdx.x] = upper;
    }
}
