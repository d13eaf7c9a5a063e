// SPDX-License-Identifier: Apache-2.0
// Auctions in which most rows bid without being read, for assignment.cu. Appended to block.cu and auctions.cu.
//
// A list in shared memory has the best columns of a row, and a threshold: the largest profit of all others when the list
// was made. It bounds their profits from above from then on, since prices only rise. So if the best entry exceeds the
// threshold, it is the best column, and the larger of threshold and next entry bounds the second best. The first warp
// evaluates lists alone, until it meets a row whose list has become useless. Then each warp reads a row, if it needs to be
// read: this row, and those that bid after it. Rows bid one after the other all the same, so that no bid is in vain.
//
// Profits are on the grid of auctions.cu, but rounded down, which makes them sums of a number for the affinity and one
// for the price. Entries are keys less the latter: adding the present one gives the present key.

#define ENTRIES 4           // columns in a list
#define LIST (ENTRIES + 1)  // with the threshold
#define LISTED_BIDS_PER_ROW (WARPS > 4 ? 6 : 4)  // maximum, in each auction
#define CODE_MASK ((1u << (THREAD_BITS + SLOT_BITS)) - 1)
#define DROPPED (CODE_BITS - 9)          // lowest bits of profits that keys do not contain
#define NO_LIST (~0u << CODE_BITS)       // a threshold above all profits; the code 0 stands for no column
#define FIRST_CODE (SLOT_MASK << THREAD_BITS | THREAD_MASK)
#define TIE (1 << TICKET_BITS)           // added to rows

struct ListedAuction : Auction {
    float *worth;        // `middle` minus the price of each column; this and the following are in shared memory
    unsigned *lists;     // entry k of row i is at k * capacity + i
    int *exchange;       // a row for each warp
    int capacity;
    float middle, step;  // of the grid
    float increment;
    int budget;          // of bids

    // Returns whether all profits were on the grid: affinities may exceed the range.
    __device__ __forceinline__ bool run_listed(float span, float size) {
        middle = middle_of_grid();
        step = middle * (float)((1 << DROPPED) / 12582912.0);
        for (int k = threadIdx.x; k < ENTRIES * capacity; k += THREADS) lists[k] = FIRST_CODE;
        for (int i = threadIdx.x; i < capacity; i += THREADS) lists[ENTRIES * capacity + i] = NO_LIST;
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) worth[column(k)] = middle - (float)price[k];
        unsigned outside = 0;
        run_auctions(span, size, outside);
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            if (exists(k)) {
                float mine = worth[column(k)];
                outside |= __float_as_uint(mine) ^ __float_as_uint(middle);
                price[k] = (REAL)(middle - mine);
            }
        note_assigned();
        return block.max((REAL)(int)(outside >> 23)) == 0;
    }

    // An auction with an increment of minus one step follows those with positive ones: rows keep the column that is best
    // for them, also without rounding. Lists remain valid from one auction to the next.
    __device__ __forceinline__ void run_auctions(float span, float size, unsigned &outside) {
        float coarse = middle * (1 << DROPPED);  // adding it rounds to multiples of `step`
        bool last = false;
        for (int a = 0; !last; a++) {
            last = a == AUCTIONS || (a > 0 && steps_of_auction(a - 1) >= (float)ENOUGH_STEPS * size);
            increment = last ? -step : span / ((float)steps_of_auction(a) * size) + coarse - coarse;
            budget = (last ? EXACT_BIDS_PER_ROW : LISTED_BIDS_PER_ROW) * problem.rows;
            free_columns();
            queue.fill(problem.rows);
            barrier();
            int i = 0;
            while (true) {
                COUNT(turn);
                if (warp() == 0) choose_rows(i = bid_from_lists(i));
                barrier();
                i = exchange[0];
                if (i < 0) break;
                if (i >= TIE) {
                    i = settle_tie(i - TIE);
                    continue;
                }
                int mine = exchange[warp()];
                if (warp() == 0 || (mine >= 0 && is_useless(mine))) {
                    if (is_full()) read_row<true>(mine, outside);
                    else read_row<false>(mine, outside);
                }
                barrier();
            }
            barrier();
        }
    }

    // Give each warp a row, or -1: the first warp row i, the others those that bid after it.
    __device__ __forceinline__ void choose_rows(int i) {
        int row = i, mine = i;
#pragma unroll
        for (int w = 1; w < WARPS; w++) {
            row = i < 0 || i >= TIE || row < 0 || row == queue.last ? -1 : queue.after[row];
            if (lane() == w) mine = row;
        }
        if (lane() < WARPS) exchange[lane()] = mine;
    }

    __device__ __forceinline__ static unsigned key_of(float profit) {
        return __float_as_uint(profit) >> DROPPED << CODE_BITS;
    }

    __device__ __forceinline__ static int column_of_key(unsigned key) {
        int code = ~key & CODE_MASK;
        return THREAD_MASK + 1 == THREADS ? code : (code >> THREAD_BITS) * THREADS + (code & THREAD_MASK);
    }

    // The lane's key in the list of row i, at present prices; the threshold has the code 0.
    __device__ __forceinline__ unsigned listed_key(int i) const {
        unsigned key = lane() < LIST ? lists[lane() * capacity + i] : 0;
        return lane() < ENTRIES ? key + key_of(worth[column_of_key(key)]) : key;
    }

    // Let row i and its successors bid. Returns a row that must be read first, plus TIE if several of its columns may be
    // equal on the grid, or -1 when the auction is over.
    __device__ __forceinline__ int bid_from_lists(int i) {
        while (i >= 0 && i < TIE && budget > 0) {
            COUNT(look);
            Keys keys = {listed_key(i), 0};
            keys = warp_keys(keys);
            if (!(keys.first & CODE_MASK) || (increment < 0 && !(keys.second & CODE_MASK))) return i;
            i = accept(i, keys);
        }
        return budget > 0 ? i : -1;
    }

    // Assign the column of the larger key to row i, and raise its price. Returns the row that bids next.
    __device__ __forceinline__ int accept(int i, Keys keys) {
        COUNT(listed_bid);
        float raise = (float)(int)((keys.first >> CODE_BITS) - (keys.second >> CODE_BITS)) * step + increment;
        if (raise < 0) return i + TIE;
        int j = column_of_key(keys.first), evicted = row_of[j], next = queue.after[i];
        float lower = worth[j] - raise;
        __syncwarp();
        row_of[j] = (short)i;
        worth[j] = lower;
        budget--;
        return queue.advance(i, next, evicted);
    }

    // Whether the list of a row does not have its best column.
    __device__ __forceinline__ bool is_useless(int i) const {
        COUNT_WARP(checked_list);
        return !(warp_max(listed_key(i)) & CODE_MASK);
    }

    // Read row i, by one warp, and make its list. Its first two entries are the best two columns.
    template <bool FULL>
    __device__ __forceinline__ void read_row(int i, unsigned &outside) {
        COUNT_WARP(list);
        unsigned first = 0, second = 0, rest = 0, entry = 0;
        const ENTRY *row = problem.row(i);
#pragma unroll 1
        for (int k = 128 * lane(); k < problem.columns * (int)sizeof(ENTRY); k += 128 * 32)
            prefetch_line(reinterpret_cast<const char *>(row) + k);
#pragma unroll 1  // more loads at once would take too many registers
        for (int start = lane(); start < THREADS; start += 32) {
            Keys keys = scan<FULL>(row + start, start, outside);
            unsigned lower = min(first, keys.first), larger = max(second, keys.second);
            first = max(first, keys.first);
            rest = max(rest, max(min(second, keys.second), min(lower, larger)));
            second = max(lower, larger);
        }
#pragma unroll
        for (int k = 0; k < ENTRIES; k++) {
            unsigned best = warp_max(first);
            if (lane() == k) entry = best;
            if (first == best) first = second, second = 0;
        }
        unsigned threshold = warp_max(max(first, rest)) >> CODE_BITS << CODE_BITS;
        if (lane() < ENTRIES) entry -= key_of(worth[column_of_key(entry)]);
        if (lane() < LIST) lists[lane() * capacity + i] = lane() < ENTRIES ? entry : threshold;
    }

    // The two largest keys of a row among columns `start`, `start` + THREADS ...; 0 if there are fewer.
    template <bool FULL>
    __device__ __forceinline__ Keys scan(const ENTRY *row, int start, unsigned &outside) const {
        COUNT_WARP(scanned_part);
        ENTRY entries[SLOTS];
#pragma unroll
        for (int k = 0; k < SLOTS; k++)
            entries[k] = (FULL && k < SLOTS - 1) || start + k * THREADS < problem.columns ? row[k * THREADS] : (ENTRY)0;
        Keys keys = {0, 0};
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            bool is_column = (FULL && k < SLOTS - 1) || start + k * THREADS < problem.columns;
            float profit = __fadd_rd((float)entries[k] - (float)least, is_column ? worth[start + k * THREADS] : middle);
            outside |= is_column ? __float_as_uint(profit) ^ __float_as_uint(middle) : 0;
            unsigned key = is_column ? key_of(profit) + ((SLOT_MASK - k) << THREAD_BITS) : 0;
            keys.second = max(keys.second, min(keys.first, key));
            keys.first = max(keys.first, key);
        }
        unsigned code = THREAD_MASK - start;
        if ((FULL && SLOTS > 1) || keys.first) keys.first += code;
        if ((FULL && SLOTS > 2) || keys.second) keys.second += code;
        return keys;
    }

    // Assign row i to its best column without rounding to the grid. Returns the row that bids next.
    __device__ __forceinline__ int settle_tie(int i) {
        COUNT(tie);
        REAL prices[SLOTS];
#pragma unroll
        for (int k = 0; k < SLOTS; k++) prices[k] = exists(k) ? (REAL)(middle - worth[column(k)]) : INFINITE;
        note_assigned();
        Best best = block.best<false>(thread_best(i, prices));
        if (warp() > 0) return i;
        int next = queue.after[i];
        __syncwarp();
        row_of[column_of_ticket(best.ticket)] = (short)i;
        budget--;
        return queue.advance(i, next, holder_of_ticket(best.ticket));
    }
};
