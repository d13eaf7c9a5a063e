// SPDX-License-Identifier: Apache-2.0
// Auctions of a problem's columns among its rows, for assignment.cu. Appended to block.cu.
//
// Each thread keeps the prices of its columns in registers. One row bids at a time, and the block evaluates its bid.

#define AUCTIONS 3             // maximum number of auctions
#define BIDS_PER_ROW 4         // maximum, in each of them
#define EXACT_BIDS_PER_ROW 2   // maximum, at increment zero
#define ENOUGH_STEPS 0.7       // times sqrt(rows): finer increments do not pay off

#define PACKED (sizeof(REAL) == 4)  // auctions use integer keys

// Keys contain profits, in the higher bits, and columns: the slot, and the thread. No bit of the exponent is left.
#define BITS_OF(count) (32 - count_leading_zeros((count)-1))
#define THREAD_BITS BITS_OF(THREADS)
#define SLOT_BITS BITS_OF(SLOTS + LISTED)  // with lists, no column has the code 0
#define THREAD_MASK ((1u << THREAD_BITS) - 1)
#define SLOT_MASK ((1u << SLOT_BITS) - 1)
#define CODE_BITS (THREAD_BITS + SLOT_BITS > 9 ? THREAD_BITS + SLOT_BITS : 9)
#define MIDDLE_EXPONENT 4  // of `middle`, minus that of the range

__device__ __forceinline__ REAL steps_of_auction(int auction) { return auction == 0 ? 5 : auction == 1 ? 20 : 60; }

constexpr int count_leading_zeros(unsigned value) { return value ? count_leading_zeros(value >> 1) - 1 : 32; }

__device__ __forceinline__ void prefetch_line(const void *address) {
#ifdef __CUDACC_RTC__
    asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
#endif
}

// The rows that wait to bid, as a list: of each, the next; in shared memory. All threads write the same, so that none
// reads what another has yet to write.
struct Queue {
    unsigned short *after;
    int last;

    // All rows wait, beginning with the first. Read after a barrier.
    __device__ __forceinline__ void fill(int rows) {
        for (int i = threadIdx.x; i < rows; i += THREADS) after[i] = (unsigned short)(i + 1);
        last = rows - 1;
    }

    // The row after i, where `next` is that before `evicted` (-1: none) is appended; -1 if there is none.
    __device__ __forceinline__ int advance(int i, int next, int evicted) {
        int previous = last;
        if (evicted >= 0) after[last] = (unsigned short)evicted, last = evicted;
        return i == previous ? evicted : next;
    }
};

// The rows that columns are assigned to. With several warps, one may write what another has yet to read: so the latest
// assignment is written after the barrier of the next bid. All threads write the same.
struct Assignments {
    short *row_of;
    int column, row;

    __device__ __forceinline__ void write() {
        if (WARPS > 1 && row >= 0) row_of[column] = (short)row;
    }

    __device__ __forceinline__ void set(int j, int i) {
        column = j, row = i;
        if (WARPS == 1) row_of[j] = (short)i;
    }

    // Assign column j to row i; returns the row that it was assigned to before, or -1.
    __device__ __forceinline__ int replace(int j, int i) {
        int before = WARPS > 1 && j == column && row >= 0 ? row : row_of[j];
        if (WARPS == 1) __syncwarp();
        write();
        set(j, i);
        return before;
    }
};

struct Auction {
    Problem problem;
    Block block;
    const char *mine;   // the thread's first entry of row 0
    unsigned pitch;     // bytes between rows
    unsigned present;   // bit k: the column of slot k exists
    REAL price[SLOTS];  // infinite if there is no column
    REAL least, range;  // of the affinities in some of the rows
    unsigned assigned;  // bit k: the column of slot k is assigned
    Queue queue;
    short *row_of;      // in shared memory

    __device__ __forceinline__ int column(int k) const { return k * THREADS + (int)threadIdx.x; }
    __device__ __forceinline__ bool exists(int k) const { return column(k) < problem.columns; }
    __device__ __forceinline__ bool owns(int j) const { return j % THREADS == (int)threadIdx.x; }

    __device__ __forceinline__ void set_problem(const Problem &given) {
        problem = given;
        mine = reinterpret_cast<const char *>(given.entries + threadIdx.x);
        pitch = (unsigned)(given.stride * sizeof(ENTRY));
        present = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) present |= (unsigned)exists(k) << k;
    }

    // Whether only columns of the last slot may not exist.
    __device__ __forceinline__ bool is_full() const { return problem.columns > (SLOTS - 1) * THREADS; }

    // The thread's entry of the first slot, in a row.
    __device__ __forceinline__ const ENTRY *row_of_thread(int i) const {
        return reinterpret_cast<const ENTRY *>(mine + (uint64)(unsigned)i * pitch);
    }

    // The thread's entry of slot k in a row; 0 if there is no column.
    __device__ __forceinline__ ENTRY entry_of(const ENTRY *row, int k) const {
        return present >> k & 1 ? row[k * THREADS] : (ENTRY)0;
    }

    // Have the row that bids next on its way to the cache, one line of it per thread.
    __device__ __forceinline__ void prefetch(int i, int next) const {
        int lines = (problem.columns * (int)sizeof(ENTRY) + 127) / 128;
        if (STAGED || i == queue.last || (int)threadIdx.x >= lines) return;
        const char *row = reinterpret_cast<const char *>(problem.entries) + 128 * threadIdx.x;
        prefetch_line(row + (uint64)(unsigned)next * pitch);
    }

    // The ticket of the best of the thread's slots that tie, given as bits.
    __device__ __forceinline__ unsigned thread_ticket(unsigned ties) const {
        if (!ties) return NO_TICKET;
        unsigned open = ties & ~assigned;
        int j = column(__ffs(open ? open : ties) - 1);
        return ticket(j, open ? -1 : row_of[j]);
    }

    // The best two affinities minus prices of a row, among the thread's columns.
    __device__ __forceinline__ Best thread_best(int i, const REAL *prices) const {
        const ENTRY *row = row_of_thread(i);
        REAL profit[SLOTS];
        Best best = no_best();
#pragma unroll
        for (int k = 0; k < SLOTS; k++) profit[k] = (REAL)entry_of(row, k) - prices[k];
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            best.second = fmax(best.second, fmin(best.first, profit[k]));
            best.first = fmax(best.first, profit[k]);
        }
        unsigned ties = 0;  // not of `==`, so that a row of NaN has a best column, too
#pragma unroll
        for (int k = 0; k < SLOTS; k++) ties |= (unsigned)!(profit[k] < best.first) << k;
        best.ticket = thread_ticket(ties & present);
        return best;
    }

    __device__ __forceinline__ void free_columns() {
        assigned = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) row_of[column(k)] = -1;
    }

    // Set which of the thread's columns are assigned.
    __device__ __forceinline__ void note_assigned() {
        assigned = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) assigned |= (unsigned)(row_of[column(k)] >= 0) << k;
    }

    // Let unassigned rows bid for their best column until all are assigned or the budget of bids is spent. A bid raises
    // the column's price to the point where the row would be indifferent to its second best, plus the increment. No
    // other thread accesses the entries of `row_of` for a thread's columns, so one barrier per bid suffices.
    __device__ __forceinline__ void run(REAL increment, int budget) {
        free_columns();
        queue.fill(problem.rows);
        barrier();
        for (int i = 0; i >= 0 && budget > 0; budget--) {
            COUNT(slow_bid);
            int next = queue.after[i];
            if (!PACKED || WARPS == 1) prefetch(i, next);  // NVRTC 12.9 crashes otherwise for sm_120
            Best best = block.best<true>(thread_best(i, price));
            int j = column_of_ticket(best.ticket), evicted = holder_of_ticket(best.ticket);
            if (owns(j)) accept_bid(j, i, problem.columns > 1 ? best.first - best.second + increment : increment);
            i = queue.advance(i, next, evicted);
        }
    }

    // Assign the thread's column j to row i, and raise its price.
    __device__ __forceinline__ void accept_bid(int j, int i, REAL raise) {
        row_of[j] = (short)i;
        assigned |= 1u << j / THREADS;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (k == j / THREADS) price[k] += raise;
    }

    // The same with profits rounded to a grid, and the column packed into the low bits of the same integer. The grid
    // consists of the floats with the exponent of `middle`, 12 to 24 times the range; profits differ by their mantissas.
    // Returns whether this holds for all profits: affinities may exceed the range. Columns that do not exist have the
    // lowest mantissa and the lowest code, so that they never win.
    //
    // An EXACT auction has an increment of minus one step of the grid: rows keep the column that is best for them, also
    // without rounding. If several columns are equal on the grid, bids are evaluated without.
    template <bool EXACT>
    __device__ __forceinline__ bool run_packed(float increment, int budget) {
        if (is_full()) return run_on_grid<EXACT, true>(increment, budget);
        return run_on_grid<EXACT, false>(increment, budget);
    }

    __device__ __forceinline__ float middle_of_grid() const {
        return __uint_as_float(((__float_as_uint((float)range) & 0x7f800000u) + (MIDDLE_EXPONENT << 23)) | 0x400000u);
    }

    template <bool EXACT, bool FULL>
    __device__ __forceinline__ bool run_on_grid(float increment, int budget) {
        const int dropped = CODE_BITS - 9;
        float middle = middle_of_grid();
        float base = middle - (float)least, step = middle * (float)((1 << dropped) / 12582912.0), worth[SLOTS];
        increment = EXACT ? -step : increment + middle - middle;
        unsigned outside = 0;
#pragma unroll
        for (int k = 0; k < SLOTS; k++) worth[k] = exists(k) ? base - (float)price[k] : -infinity(float());
        free_columns();
        queue.fill(problem.rows);
        barrier();
        Assignments assignments = {row_of, 0, -1};
        for (int i = 0; i >= 0 && budget > 0; budget--) {
            COUNT(bid + EXACT);
            int next = queue.after[i];
            const ENTRY *row = row_of_thread(i);
            ENTRY entries[SLOTS];
#pragma unroll
            for (int k = 0; k < SLOTS; k++)
                entries[k] = FULL && k < SLOTS - 1 ? row[k * THREADS] : entry_of(row, k);
            if (SLOTS <= 8) prefetch(i, next);  // with more, registers would spill
            unsigned key[SLOTS];
            Keys keys = {0, 0};
#pragma unroll
            for (int k = 0; k < SLOTS; k++) {
                unsigned profit = __float_as_uint((float)entries[k] + worth[k]);
                if (EXACT && ((FULL && k < SLOTS - 1) || present >> k & 1)) outside |= profit ^ __float_as_uint(middle);
                key[k] = (profit >> dropped << CODE_BITS) + ((SLOT_MASK - k) << THREAD_BITS);
                keys.second = max(keys.second, min(keys.first, key[k]));
                keys.first = max(keys.first, key[k]);
            }
            keys.first += THREAD_MASK - threadIdx.x, keys.second += THREAD_MASK - threadIdx.x;
            Keys best = block.keys(keys);
            int code = ~best.first & ((1u << (THREAD_BITS + SLOT_BITS)) - 1), slot = code >> THREAD_BITS;
            int j = THREAD_MASK + 1 == THREADS ? code : slot * THREADS + (code & THREAD_MASK);
            int steps = (int)((best.first >> CODE_BITS) - (best.second >> CODE_BITS)), evicted;
            if (EXACT && steps == 0) {
                COUNT(tie);
                assignments.write();
                barrier();
                Best chosen = exact_best(i, base, worth);
                j = column_of_ticket(chosen.ticket), evicted = holder_of_ticket(chosen.ticket);
                barrier();
                assignments.set(j, i);
            } else {
                float raise = steps * step + increment;
                unsigned chosen = keys.first == best.first ? 1u << slot : 0;
#pragma unroll
                for (int k = 0; k < SLOTS; k++)
                    if (chosen >> k & 1) worth[k] -= raise;
                evicted = assignments.replace(j, i);
            }
            i = queue.advance(i, next, evicted);
        }
        barrier();
        assignments.write();
#pragma unroll
        for (int k = 0; k < SLOTS; k++) price[k] = exists(k) ? (REAL)(base - worth[k]) : INFINITE;
        barrier();
        if (EXACT) note_assigned();
        return !EXACT || block.max((REAL)(int)(outside >> 23)) == 0;
    }

    // The best affinity minus price without rounding to the grid.
    __device__ __forceinline__ Best exact_best(int i, float base, const float *worth) {
        REAL prices[SLOTS];
#pragma unroll
        for (int k = 0; k < SLOTS; k++) prices[k] = (REAL)(base - worth[k]);
        note_assigned();
        return block.best<false>(thread_best(i, prices));
    }
};
