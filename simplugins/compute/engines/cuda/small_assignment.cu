// SPDX-License-Identifier: Apache-2.0
// Optimal assignment of problems of at most 64 rows and columns in float, one warp per problem. Appended to block.cu.
//
// The stages are those of assignment.cu. Lane l has the columns 2 l and 2 l + 1. In auctions, profits (affinities minus
// prices) are rounded to a grid and packed with the column into one unsigned integer, so that one reduction finds the
// largest profit and its column, and another the second largest. The grid consists of the floats with the exponent of
// `middle`, which is 24 to 48 times the range of the affinities: prices may rise by 8 times the range. Shifted left by 7
// bits, profits differ by their mantissas; the low bits hold whether the column is free, and 63 minus its number.

#define SAMPLED 4             // starting prices are computed from every fourth row
#define SPAN_OF_TYPICAL 4     // as in simplugins/matching/starting_prices.py
#define STEPS 5               // per span, over sqrt(rows): the bid increment
#define BIDS_PER_ROW 4        // maximum, in the auction with increment
#define EXACT_BIDS_PER_ROW 2  // maximum, at increment zero
#define NO_ROW 255u
#define CODE_BITS 7
#define MIDDLE_EXPONENT 5     // of `middle`, minus that of the range
#define LARGEST_RANGE 1e36f   // beyond, `middle` would overflow
#define HALF_ULP 5.9604644775390625e-8
#define FLUSHED 1.1754943508222875e-38  // smaller floats may be flushed to zero

__device__ __forceinline__ float warp_total(float value) {
    for (int step = 16; step; step >>= 1) value += __shfl_xor_sync(EVERY_LANE, value, step);
    return value;
}

struct SmallAssignment {
    int rows, columns, stride;  // the stride is twice an odd number, so that lanes with a row each access all banks
    float least, most;          // of the affinities
    float middle, base;         // on the grid, a price is represented by `base` minus the price
    float2 worth;               // `base` minus the prices of the lane's columns
    unsigned code[2];           // low bits of the keys of the lane's columns
    const float *staged;        // this and the following arrays are in shared memory
    const float2 *mine;         // the lane's columns of row 0
    float *prices, *duals;      // of the columns (and two that do not exist), of the rows
    unsigned char *holders;     // row of each column, in reverse order
    unsigned char *column_of, *queue, *predecessors;

    __device__ __forceinline__ bool exists(int k) const { return 2 * lane() + k < columns; }

    __device__ __forceinline__ float2 entries_of(int i) const {
        return *reinterpret_cast<const float2 *>(reinterpret_cast<const char *>(mine) + i * (stride * 4));
    }

    __device__ __forceinline__ float profit_of(unsigned key) const {
        return __uint_as_float(__funnelshift_r(key, __float_as_uint(middle) >> (32 - CODE_BITS), CODE_BITS));
    }

    // Copy the affinities to shared memory. Here, the lane's columns are l and l + 32.
    __device__ __forceinline__ void stage(const AFFINITY *first, int64 pitch, float *target) {
        most = -INFINITE, least = INFINITE;
        bool has[2] = {lane() < columns, lane() + 32 < columns};
        const AFFINITY *source = first + (has[0] ? lane() : 0);
        float *place = target + lane();
#pragma unroll 7
        for (int i = 0; i < rows; i++) {
            COUNT(staged_row);
            float a = (float)source[0], b = has[1] ? (float)source[32] : a;
            most = fmaxf(most, fmaxf(a, b)), least = fminf(least, fminf(a, b));
            if (has[0]) place[0] = a;
            if (has[1]) place[32] = b;
            source += pitch, place += stride;
        }
#pragma unroll 1
        for (int j = columns; j < stride; j++)
#pragma unroll 1
            for (int i = lane(); i < rows; i += 32) target[i * stride + j] = 0;
        most = warp_max(most), least = -warp_max(-least);
        staged = target;
        int last = (columns - 1) / 2;
        mine = reinterpret_cast<const float2 *>(staged) + (lane() < last ? lane() : last);
        __syncwarp();
    }

    __device__ __forceinline__ float range() const { return most - least; }

    // Start at prices of zero. Columns that do not exist have a worth that never wins.
    __device__ __forceinline__ void set_grid() {
        unsigned exponent = (__float_as_uint(range()) & 0x7f800000u) + (MIDDLE_EXPONENT << 23);
        middle = __uint_as_float(exponent | 0x400000u);
        base = middle - least;
        float never = middle * 0.6875f - least;
        worth.x = exists(0) ? base : never;
        worth.y = exists(1) ? base : never;
    }

    // 0 if all affinities are equal, so that prices are too.
    __device__ __forceinline__ float grid_step() const { return range() > 0 ? middle * 7.94728597e-08f : 0; }

    // As `set_starting_prices` in assignment.cu. Returns the span of affinities, of which bid increments are shares.
    __device__ __forceinline__ float set_starting_prices() {
        float2 mean = make_float2(0, 0), top = make_float2(-INFINITE, -INFINITE);
        int sampled = (rows + SAMPLED - 1) / SAMPLED;
        float share = 1.0f / sampled, part = 1.0f / columns;
#pragma unroll 4
        for (int i = 0; i < rows; i += SAMPLED) {
            COUNT(sampled_row);
            float2 entries = entries_of(i);
            mean.x += entries.x, mean.y += entries.y;
            top.x = fmaxf(top.x, entries.x), top.y = fmaxf(top.y, entries.y);
        }
        mean.x *= share, mean.y *= share;
        float row_mean = sampled_row_mean(sampled) * part;
        float rows_mean = warp_total(row_mean) * share, rows_square = warp_total(row_mean * row_mean) * share;
        bool has[2] = {exists(0), exists(1)};
        float centre = warp_total((has[0] ? mean.x : 0.0f) + (has[1] ? mean.y : 0.0f)) * part;
        float2 off = make_float2(has[0] ? mean.x - centre : 0.0f, has[1] ? mean.y - centre : 0.0f);
        float spread = sqrtf(warp_total(off.x * off.x + off.y * off.y) * part);
        float rows_spread = sqrtf(fmaxf(0.0f, rows_square - rows_mean * rows_mean));
        bool near = centre >= spread && spread > 0 && rows_spread < centre;  // false in case of overflow
        float slope = near ? rows_spread / (spread * 2 * centre) : 0.0f;
        float2 price = make_float2(near ? off.x + slope * off.x * off.x : 0.0f, near ? off.y + slope * off.y * off.y : 0.0f);
        float lowest = -warp_max(-fminf(has[0] ? price.x : INFINITE, has[1] ? price.y : INFINITE));
        if (has[0]) worth.x = base - (price.x - lowest);
        if (has[1]) worth.y = base - (price.y - lowest);
        float above = warp_total((has[0] ? top.x - mean.x : 0.0f) + (has[1] ? top.y - mean.y : 0.0f)) * part;
        return fminf(range(), SPAN_OF_TYPICAL * above);
    }

    // The sum of the lane's row, among those sampled, or 0.
    __device__ __forceinline__ float sampled_row_mean(int sampled) const {
        float sum = 0;
        int row = lane() < sampled ? lane() : sampled - 1;
        const float2 *entries = reinterpret_cast<const float2 *>(staged + row * SAMPLED * stride);
#pragma unroll 5
        for (int j = 0; j < stride / 2; j++) {
            COUNT(summed_pair);
            sum += entries[j].x + entries[j].y;  // padding is 0
        }
        return lane() < sampled ? sum : 0.0f;
    }

    // Subtract the lowest price from all, which has no effect if sides are equal.
    __device__ __forceinline__ void settle() {
        float most = warp_max(fmaxf(exists(0) ? worth.x : -INFINITE, exists(1) ? worth.y : -INFINITE));
        float shift = base - most;
        if (exists(0)) worth.x += shift;
        if (exists(1)) worth.y += shift;
    }

    // Let all rows wait, and no column be assigned. The rest of the queue is zero, because the next row is read before it
    // is known whether one waits.
    __device__ __forceinline__ void reset() {
        for (int i = lane(); i < 64; i += 32) queue[i] = (unsigned char)(i < rows ? i : 0);
        for (int i = lane(); i < 64; i += 32) reinterpret_cast<unsigned *>(queue + 64)[i] = 0;
        reinterpret_cast<unsigned short *>(holders)[lane()] = NO_ROW << 8 | NO_ROW;
        __syncwarp();
    }

    // Let unassigned rows bid for their best column until all are assigned or the budget of bids is spent. A bid raises
    // the column's price to the point where the row would be indifferent to its second best, plus the increment. All
    // lanes write the same to shared memory, so that none reads what another has yet to write.
    //
    // An EXACT auction has an increment of minus one step of the grid: rows keep the column that is best for them, also
    // without rounding. Free columns have precedence. Rows to which several columns are equal on the grid, but not
    // without rounding, are left unassigned if they would get another than the best.
    template <bool EXACT>
    __device__ __forceinline__ void run_auction(float increment, int budget) {
        reset();
        code[0] = 63 - 2 * lane() + 64 * EXACT, code[1] = code[0] - 1;
        const unsigned char *head = queue + 1, *last = queue + budget;
        unsigned char *tail = queue + rows;
        int i = 0;
        float2 entries = entries_of(0);
        while (true) {
            COUNT(bid + EXACT);
            int next = *head;
            float2 next_entries = entries_of(next);
            unsigned key0 = (__float_as_uint(entries.x + worth.x) << CODE_BITS) + code[0];
            unsigned key1 = (__float_as_uint(entries.y + worth.y) << CODE_BITS) + code[1];
            unsigned highest = max(key0, key1);
            unsigned first = warp_max(highest);
            unsigned holder = holders[first & 63];
            unsigned second = warp_max(highest == first ? min(key0, key1) : highest);
            float lead = profit_of(first) - profit_of(second);
            bool accepted = true;
            if (EXACT && lead == 0) {
                COUNT(tie);
                accepted = is_best(entries, key0 == first, key1 == first);
                lead = -increment;
                if (!accepted) holder = NO_ROW;
            }
            float raise = lead + increment;
            if (accepted && key0 == first) {
                worth.x -= raise;
                if (EXACT) code[0] = 63 - 2 * lane();
            }
            if (accepted && key1 == first) {
                worth.y -= raise;
                if (EXACT) code[1] = 62 - 2 * lane();
            }
            if (accepted) holders[first & 63] = (unsigned char)i;
            if (holder != NO_ROW) *tail = (unsigned char)holder;
            if (head == tail) {
                if (holder == NO_ROW) break;
                next = holder, next_entries = entries_of(next);
            }
            if (holder != NO_ROW) tail++;
            i = next, entries = next_entries;
            if (head++ == last) break;
        }
        __syncwarp();
    }

    // Whether a column has the largest profit without rounding to the grid; the lane that has it knows.
    __device__ __forceinline__ bool is_best(float2 entries, bool x_chosen, bool y_chosen) const {
        float x = exists(0) ? entries.x - (base - worth.x) : -INFINITE;
        float y = exists(1) ? entries.y - (base - worth.y) : -INFINITE;
        float best = warp_max(fmaxf(x, y));
        return __ballot_sync(EVERY_LANE, (x_chosen && x == best) || (y_chosen && y == best)) != 0;
    }

    // Assign each unassigned row along a shortest augmenting path.
    __device__ __forceinline__ void augment_free_rows() {
        column_of[lane()] = column_of[lane() + 32] = NO_ROW;
        float2 price = make_float2(exists(0) ? base - worth.x : INFINITE, exists(1) ? base - worth.y : INFINITE);
        __syncwarp();
        for (int k = 0; k < 2; k++) {
            unsigned holder = holders[63 - 2 * lane() - k];
            if (exists(k) && holder != NO_ROW) column_of[holder] = (unsigned char)(2 * lane() + k);
        }
        __syncwarp();
        bool low = lane() < rows && column_of[lane()] == NO_ROW;
        bool high = lane() + 32 < rows && column_of[lane() + 32] == NO_ROW;
        unsigned free[2] = {__ballot_sync(EVERY_LANE, low), __ballot_sync(EVERY_LANE, high)};
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll 1
            for (unsigned left = free[half]; left; left &= left - 1) augment(32 * half + __ffs(left) - 1, price);
        reinterpret_cast<float2 *>(prices)[lane()] = price;
        if (lane() == 0) prices[64] = prices[65] = INFINITE;
        __syncwarp();
    }

    // A column, preceded by whether it is assigned, and the row that it is assigned to.
    __device__ __forceinline__ unsigned small_ticket(int k) const {
        int j = 2 * lane() + k;
        unsigned holder = holders[63 - j];
        if (!exists(k)) return NO_TICKET;
        return j << 8 | (holder == NO_ROW ? 0 : 1 << 14 | holder);
    }

    // Dijkstra's algorithm on reduced costs: each step closes the nearest open column and continues from its row.
    // Closed columns, and those that do not exist, have a distance of minus infinity: nothing is nearer, and its bits are
    // larger than those of any distance.
    __device__ __forceinline__ void augment(int source, float2 &price) {
        COUNT(search);
        float2 entries = entries_of(source);
        float dual = warp_max(fmaxf(entries.x - price.x, entries.y - price.y)), nearest = 0;
        unsigned ticket0 = small_ticket(0), ticket1 = small_ticket(1), ticket;
        if (ticket0 >> 14 == 1) duals[ticket0 & 255] = staged[(ticket0 & 255) * stride + 2 * lane()] - price.x;
        if (ticket1 >> 14 == 1) duals[ticket1 & 255] = staged[(ticket1 & 255) * stride + 2 * lane() + 1] - price.y;
        __syncwarp();
        float2 closed = make_float2(INFINITE, INFINITE);
        float2 distance = make_float2(exists(0) ? INFINITE : -INFINITE, exists(1) ? INFINITE : -INFINITE);
        unsigned before0 = source, before1 = source;
        int i = source;
        while (true) {
            COUNT(step);
            float2 through = make_float2(nearest + fmaxf(dual - (entries.x - price.x), 0.0f),
                                         nearest + fmaxf(dual - (entries.y - price.y), 0.0f));
            if (through.x < distance.x) distance.x = through.x, before0 = i;
            if (through.y < distance.y) distance.y = through.y, before1 = i;
            nearest = __uint_as_float(warp_min(min(__float_as_uint(distance.x), __float_as_uint(distance.y))));
            ticket = warp_min(min(distance.x == nearest ? ticket0 : NO_TICKET, distance.y == nearest ? ticket1 : NO_TICKET));
            if (!(ticket >> 14)) break;
            i = ticket & 255;
            dual = duals[i];
            entries = entries_of(i);
            if (ticket == ticket0) closed.x = nearest, distance.x = -INFINITE;
            if (ticket == ticket1) closed.y = nearest, distance.y = -INFINITE;
        }
        price.x += fmaxf(nearest - closed.x, 0.0f), price.y += fmaxf(nearest - closed.y, 0.0f);
        reinterpret_cast<unsigned short *>(predecessors)[lane()] = (unsigned short)(before0 | before1 << 8);
        __syncwarp();
        if (lane() == 0) flip(source, ticket >> 8);
        __syncwarp();
    }

    // Assign each column of the path from `source` to `sink` to the row that precedes it.
    __device__ __forceinline__ void flip(int source, int sink) {
        int i, j = sink;
        do {
            COUNT(flip);
            i = predecessors[j];
            int following = column_of[i];
            holders[63 - j] = (unsigned char)i, column_of[i] = (unsigned char)j;
            j = following;
        } while (i != source);
    }

    __device__ __forceinline__ void solve() {
        set_grid();
        if (rows == columns && columns > 1) {
            float increment = set_starting_prices() / (STEPS * sqrtf((float)rows));
            increment = (increment + middle) - middle;
            run_auction<false>(fmaxf(increment, grid_step()), BIDS_PER_ROW * rows);
            settle();
        }
        if (columns > 1) run_auction<true>(-grid_step(), EXACT_BIDS_PER_ROW * rows);
        else reset();  // there is no second best
        augment_free_rows();
    }
};

// The sums of a problem: the matched affinities, their absolute values, those at or below the floor, the bound, and the
// absolute values of the terms of the bound.
struct Sums {
    double value, magnitude, unmatched, bound, terms;
};

// The lane's rows: lane and lane + 32.
__device__ __forceinline__ void add_rows(const SmallAssignment &solver, double floor, int *columns, Sums &sums) {
    const float2 *prices = reinterpret_cast<const float2 *>(solver.prices), *entries[2];
    float best[2] = {-INFINITE, -INFINITE};
    for (int k = 0; k < 2; k++)
        entries[k] = reinterpret_cast<const float2 *>(solver.staged + min(lane() + 32 * k, solver.rows - 1) * solver.stride);
#pragma unroll 5
    for (int j = 0; j < solver.stride / 2; j++) {
        COUNT(bounded_pair);
        float2 price = prices[j], a = entries[0][j], b = entries[1][j];
        best[0] = fmaxf(best[0], fmaxf(a.x - price.x, a.y - price.y));
        best[1] = fmaxf(best[1], fmaxf(b.x - price.x, b.y - price.y));
    }
    for (int k = 0; k < 2; k++)
        if (lane() + 32 * k < solver.rows) {
            int j = solver.column_of[lane() + 32 * k];
            double entry = reinterpret_cast<const float *>(entries[k])[j];
            bool matched = entry > floor;
            if (matched) sums.value += entry, sums.magnitude += fabs(entry);
            else sums.unmatched += entry;
            sums.bound += best[k], sums.terms += fabsf(best[k]);
            if (columns) columns[lane() + 32 * k] = matched ? j : -1;
        }
}

// Dynamic shared memory is laid out here, and counted by `shared_bytes` in programs.py. Arguments are those of `assign`
// in assignment.cu. Without a bound, because the range of the affinities is too large, the bound is infinite.
extern "C" __global__ void __launch_bounds__(32, BLOCKS)
    assign(const AFFINITY *__restrict__ affinities, int64 stride, const int64 *__restrict__ problems, int capacity,
           double *__restrict__ values, double *__restrict__ magnitudes, double *__restrict__ uppers,
           int *__restrict__ columns, int64 columns_stride, double floor) {
    DYNAMIC_SHARED(shared);
    SmallAssignment solver;
    solver.prices = reinterpret_cast<float *>(shared);
    solver.duals = solver.prices + 66;
    solver.queue = reinterpret_cast<unsigned char *>(solver.duals);  // 320 bytes, before there are duals
    solver.predecessors = solver.queue + 256;
    solver.holders = solver.predecessors + 64;
    solver.column_of = solver.holders + 64;
    const int64 *bounds = problems + 4 * (int64)blockIdx.x;
    solver.rows = (int)(bounds[1] - bounds[0]);
    solver.columns = (int)(bounds[3] - bounds[2]);
    solver.stride = 2 * ((solver.columns + 1) / 2 | 1);
    float *staged = reinterpret_cast<float *>(solver.column_of + 64);
    solver.stage(affinities + bounds[0] * stride + bounds[2], stride, staged);
    solver.solve();

    Sums sums = {0, 0, 0, 0, 0};
    add_rows(solver, floor, columns ? columns + blockIdx.x * columns_stride : nullptr, sums);
    sums.bound += sums.terms * HALF_ULP;
    float2 price = reinterpret_cast<const float2 *>(solver.prices)[lane()];
    if (solver.exists(0)) sums.bound += price.x, sums.terms += fabsf(price.x);
    if (solver.exists(1)) sums.bound += price.y, sums.terms += fabsf(price.y);
    double value = warp_sum(sums.value), magnitude = warp_sum(sums.magnitude), terms = warp_sum(sums.terms);
    if (terms > 0) terms += 2 * FLUSHED / 2.220446049250313e-16;
    double upper = warp_sum(sums.bound) + terms * (solver.rows + solver.columns) * 2.220446049250313e-16;
    if (floor > -infinity(double())) {
        upper -= warp_sum(sums.unmatched);
        if (magnitude == 0 && (double)solver.least + (double)solver.range() <= floor) upper = 0;
    }
    if (lane() == 0) {
        values[blockIdx.x] = value;
        magnitudes[blockIdx.x] = magnitude;
        uppers[blockIdx.x] = solver.range() <= LARGEST_RANGE ? upper : infinity(double());
    }
}
