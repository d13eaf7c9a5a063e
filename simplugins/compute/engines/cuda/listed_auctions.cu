// SPDX-License-Identifier: Apache-2.0
// Auctions in which most rows bid without being read, for assignment.cu. Appended to block.cu and auctions.cu.
//
// A list in shared memory has the best columns of a row, and a threshold: the largest profit of all others when the list
// was made. It bounds their profits from above from then on, since prices only rise. So if the best entry exceeds the
// threshold, it is the best column, and the larger of threshold and next entry bounds the second best. The first warp
// evaluates lists alone; all warps read the row of which a list has become useless.
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
    unsigned *exchange;  // the largest key of each thread, the second largest of each warp, and a row
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
                if (warp() == 0) i = bid_from_lists(i);
                i = from_first_warp(i);
                if (i < 0) break;
                if (i >= TIE) i = settle_tie(i - TIE);
                else if (is_full()) i = bid_from_row(i, scan<true>(i, outside));
                else i = bid_from_row(i, scan<false>(i, outside));
            }
            barrier();
        }
    }

    __device__ __forceinline__ int from_first_warp(int i) {
        if (threadIdx.x == 0) exchange[THREADS + WARPS] = (unsigned)i;
        barrier();
        return (int)exchange[THREADS + WARPS];
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

    // The two largest keys of a row among the thread's columns; 0 if there are fewer.
    template <bool FULL>
    __device__ __forceinline__ Keys scan(int i, unsigned &outside) const {
        COUNT(scanned_row);
        const ENTRY *row = row_of_thread(i);
        ENTRY entries[SLOTS];
#pragma unroll
        for (int k = 0; k < SLOTS; k++) entries[k] = FULL && k < SLOTS - 1 ? row[k * THREADS] : entry_of(row, k);
        Keys keys = {0, 0};
#pragma unroll
        for (int k = 0; k < SLOTS; k++) {
            bool is_column = (FULL && k < SLOTS - 1) || present >> k & 1;
            float profit = __fadd_rd((float)entries[k] - (float)least, is_column ? worth[column(k)] : middle);
            outside |= is_column ? __float_as_uint(profit) ^ __float_as_uint(middle) : 0;
            unsigned key = is_column ? key_of(profit) + ((SLOT_MASK - k) << THREAD_BITS) : 0;
            keys.second = max(keys.second, min(keys.first, key));
            keys.first = max(keys.first, key);
        }
        if (warp() == WARPS - 1) prefetch_next(i);
        unsigned code = THREAD_MASK - threadIdx.x;
        if ((FULL && SLOTS > 1) || keys.first) keys.first += code;
        if ((FULL && SLOTS > 2) || keys.second) keys.second += code;
        return keys;
    }

    // If the row after row i must be read too, have it on its way to the cache. What follows the last row is not a row, or
    // one that need not be read: then this is in vain.
    __device__ __forceinline__ void prefetch_next(int i) const {
        COUNT(prefetch);
        int next = queue.after[i];
        if (next >= problem.rows || warp_max(listed_key(next)) & CODE_MASK) return;
        const char *row = reinterpret_cast<const char *>(problem.entries) + (uint64)(unsigned)next * pitch;
        for (int k = 128 * lane(); k < problem.columns * (int)sizeof(ENTRY); k += 128 * 32) prefetch_line(row + k);
    }

    // Have the first warp make the list of row i, from the largest keys of each thread, and let it bid.
    __device__ __forceinline__ int bid_from_row(int i, Keys mine) {
        COUNT(read_bid);
        unsigned second = warp_max(mine.second);
        exchange[threadIdx.x] = mine.first;
        if (lane() == 0) exchange[THREADS + warp()] = second;
        barrier();
        return warp() == 0 ? accept(i, make_list(i)) : i;
    }

    // Returns the two largest keys, of which the second may have the code 0.
    __device__ __forceinline__ Keys make_list(int i) {
        COUNT(list);
        unsigned first = exchange[lane()], second = 0, rest = lane() < WARPS ? exchange[THREADS + lane()] : 0, entry = 0;
#pragma unroll
        for (int w = 1; w < WARPS; w++) {
            unsigned key = exchange[32 * w + lane()], lower = min(first, key);
            first = max(first, key);
            rest = max(rest, min(second, lower));
            second = max(second, lower);
        }
        Keys keys;
#pragma unroll
        for (int k = 0; k < ENTRIES; k++) {
            unsigned best = warp_max(first);
            if (k == 0) keys.first = best;
            if (k == 1) keys.second = best;
            if (lane() == k) entry = best;
            if (first == best) first = second, second = 0;
        }
        unsigned threshold = warp_max(max(first, rest)) >> CODE_BITS << CODE_BITS;
        keys.second = max(keys.second, threshold);
        if (lane() < ENTRIES) entry -= key_of(worth[column_of_key(entry)]);
        if (lane() < LIST) lists[lane() * capacity + i] = lane() < ENTRIES ? entry : threshold;
        __syncwarp();
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
