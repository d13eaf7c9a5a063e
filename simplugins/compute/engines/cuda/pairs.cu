// SPDX-License-Identifier: Apache-2.0
// The problems of a tile of pairs, computed from block indices, and their results, added to a matrix of all pairs.
// One thread per pair; the host passes the shape of the tile and nothing per pair.

typedef long long int64;

// Which part of a pair's affinities a problem covers; the order is that of `Rule` in pair_problems.py.
enum { WHOLE, WINDOW, TOP, REST, UNLESS_WINDOW, UNLESS_TOP };

struct Tile {
    const int64 *row_offsets, *column_offsets;  // null if all inputs have `row_size` and `column_size` positions
    int64 row_size, column_size;
    int rows, columns;
    int triangle;  // 0 for all pairs, 1 for those above the diagonal, 2 to include the diagonal

    __device__ int64 row(int i) const { return row_offsets ? row_offsets[i] : i * row_size; }
    __device__ int64 column(int j) const { return column_offsets ? column_offsets[j] : j * column_size; }

    // The inputs of a pair, row by row.
    __device__ void locate(int64 pair, int *i, int *j) const {
        if (!triangle) {
            *i = (int)(pair / columns), *j = (int)(pair % columns);
            return;
        }
        // From the end, rows have 1, 2, 3 ... pairs.
        int skipped = triangle == 1;
        int64 count = (int64)rows * (rows + 1) / 2 - (skipped ? rows : 0), back = count - 1 - pair;
        int64 k = (int64)((sqrt(8.0 * (double)back + 1) - 1) / 2);
        while (k * (k + 1) / 2 > back) k--;
        while ((k + 1) * (k + 2) / 2 <= back) k++;
        *i = rows - 1 - skipped - (int)k;
        *j = rows - 1 - (int)(back - k * (k + 1) / 2);
    }
};

struct Part {
    int first_row, last_row, first_column, last_column;

    __device__ int height() const { return last_row - first_row; }
    __device__ int width() const { return last_column - first_column; }
};

// The part of a pair with some numbers of rows and columns; an empty one if it has no such part. `size` is the size of
// windows, or the number of positions that are matched optimally.
__device__ __forceinline__ Part part_of(int rule, int size, int number, int rows, int columns) {
    Part part = {0, rows, 0, columns};
    int total = max(rows, columns);
    if ((rule == UNLESS_WINDOW || rule == UNLESS_TOP) && total <= size) part.last_row = 0;
    if (rule == WINDOW) {
        int start = number * size, stop = min(start + size, total);
        part.first_row = max(0, start - total + rows), part.last_row = max(0, stop - total + rows);
        part.first_column = max(0, start - total + columns), part.last_column = max(0, stop - total + columns);
    }
    if (rule == TOP) part.first_row = max(0, rows - size), part.first_column = max(0, columns - size);
    if (rule == REST) part.last_row = max(0, rows - size), part.last_column = max(0, columns - size);
    return part;
}

// Whether a launch for one orientation covers a part: those with at most as many rows as columns (0), those with more,
// whose rows are columns of the problem (1), or all of them as they are (2).
__device__ __forceinline__ bool covers(int orientation, Part part) {
    if (part.height() <= 0 || part.width() <= 0) return false;
    return orientation == 2 || (part.height() > part.width()) == (orientation == 1);
}

__device__ __forceinline__ int64 thread_number() { return blockIdx.x * (int64)blockDim.x + threadIdx.x; }

__device__ __forceinline__ void write_problem(int64 *problem, int64 a, int64 b, int64 c, int64 d) {
    problem[0] = a, problem[1] = b, problem[2] = c, problem[3] = d;
}

// First row, end of rows, first column and end of columns of each pair's problem; a single entry if it has none.
extern "C" __global__ void __launch_bounds__(THREADS)
    make_problems(const int64 *__restrict__ row_offsets, const int64 *__restrict__ column_offsets, int64 row_size,
                  int64 column_size, int rows, int columns, int triangle, int rule, int size, int number,
                  int orientation, int64 count, int64 *__restrict__ problems) {
    int64 pair = thread_number();
    if (pair >= count) return;
    Tile tile = {row_offsets, column_offsets, row_size, column_size, rows, columns, triangle};
    int i, j;
    tile.locate(pair, &i, &j);
    int64 row = tile.row(i), column = tile.column(j);
    Part part = part_of(rule, size, number, (int)(tile.row(i + 1) - row), (int)(tile.column(j + 1) - column));
    int64 *problem = problems + 4 * pair;
    int64 top = row + part.first_row, bottom = row + part.last_row;
    int64 left = column + part.first_column, right = column + part.last_column;
    if (!covers(orientation, part)) write_problem(problem, 0, 1, 0, 1);
    else if (orientation == 1) write_problem(problem, left, right, top, bottom);
    else write_problem(problem, top, bottom, left, right);
}

// Add the results of problems to the matrix of all pairs, of which the tile starts at `first_row` and `first_column`.
// Problems whose bound is too loose are listed instead, up to `capacity` of them, and counted. With `chosen`, the
// results are those of the listed problems, solved again.
extern "C" __global__ void __launch_bounds__(THREADS)
    add_results(const int64 *__restrict__ row_offsets, const int64 *__restrict__ column_offsets, int64 row_size,
                int64 column_size, int rows, int columns, int triangle, int rule, int size, int number,
                int orientation, int64 count, const double *__restrict__ values,
                const double *__restrict__ magnitudes, const double *__restrict__ uppers, double *__restrict__ matrix,
                double *__restrict__ bounds, int64 stride, int64 first_row, int64 first_column, double fine_enough,
                int *__restrict__ listed, int *__restrict__ coarse, int capacity, int chosen) {
    int64 result = thread_number(), pair = result;
    if (chosen) {
        if (result >= min(capacity, *coarse)) return;
        pair = listed[result];
    }
    if (pair >= count) return;
    Tile tile = {row_offsets, column_offsets, row_size, column_size, rows, columns, triangle};
    int i, j;
    tile.locate(pair, &i, &j);
    int height = (int)(tile.row(i + 1) - tile.row(i)), width = (int)(tile.column(j + 1) - tile.column(j));
    Part part = part_of(rule, size, number, height, width);
    if (!covers(orientation, part)) return;
    if (listed && !chosen && uppers[result] - values[result] > fine_enough * magnitudes[result]) {
        int place = atomicAdd(coarse, 1);
        if (place < capacity) {
            listed[place] = (int)pair;
            return;
        }
    }
    int64 entry = (first_row + i) * stride + first_column + j;
    if (matrix) matrix[entry] += values[result];
    if (bounds && uppers && part.height() == height && part.width() == width) bounds[entry] = uppers[result];
}

// The problems that `add_results` listed; a single entry for each missing one.
extern "C" __global__ void __launch_bounds__(THREADS)
    choose_problems(const int64 *__restrict__ problems, const int *__restrict__ listed,
                    const int *__restrict__ coarse, int capacity, int64 *__restrict__ chosen) {
    int place = (int)thread_number();
    if (place >= capacity) return;
    const int64 *from = problems + 4 * (int64)(place < *coarse ? listed[place] : 0);
    if (place < *coarse) write_problem(chosen + 4 * (int64)place, from[0], from[1], from[2], from[3]);
    else write_problem(chosen + 4 * (int64)place, 0, 1, 0, 1);
}

// A pair of which `counts[n]` positions are matched, where n is the size of the smaller set. The columns of each input
// are followed by `dummies` others, of which a problem needs one for each row that is left.
struct PartialPair {
    int64 row, column;
    int height, width, left, i, j;
};

__device__ __forceinline__ PartialPair partial_pair(const Tile &tile, int64 pair, int64 dummies,
                                                    const int *__restrict__ counts) {
    PartialPair partial;
    tile.locate(pair, &partial.i, &partial.j);
    partial.row = tile.row(partial.i), partial.column = tile.column(partial.j);
    partial.height = (int)(tile.row(partial.i + 1) - partial.row);
    partial.width = (int)(tile.column(partial.j + 1) - partial.column - dummies);
    partial.left = partial.height - counts[min(partial.height, partial.width)];
    return partial;
}

// As `make_problems`.
extern "C" __global__ void __launch_bounds__(THREADS)
    make_partial_problems(const int64 *__restrict__ row_offsets, const int64 *__restrict__ column_offsets,
                          int64 row_size, int64 column_size, int rows, int columns, int triangle, int64 count,
                          int64 dummies, const int *__restrict__ counts, int64 *__restrict__ problems) {
    int64 pair = thread_number();
    if (pair >= count) return;
    Tile tile = {row_offsets, column_offsets, row_size, column_size, rows, columns, triangle};
    PartialPair partial = partial_pair(tile, pair, dummies, counts);
    int64 end = partial.column + partial.width + partial.left;
    write_problem(problems + 4 * pair, partial.row, partial.row + partial.height, partial.column, end);
}

// Subtract the affinities of dummies, products of two powers of two, from the results of all pairs or of those listed.
extern "C" __global__ void __launch_bounds__(THREADS)
    remove_dummies(const int64 *__restrict__ row_offsets, const int64 *__restrict__ column_offsets, int64 row_size,
                   int64 column_size, int rows, int columns, int triangle, int64 count, int64 dummies,
                   const int *__restrict__ counts, const int64 *__restrict__ row_powers,
                   const int64 *__restrict__ column_powers, const int *__restrict__ listed,
                   const int *__restrict__ coarse, int capacity, double *__restrict__ values,
                   double *__restrict__ magnitudes, double *__restrict__ uppers) {
    int64 result = thread_number(), pair = result;
    if (result >= capacity || (listed && result >= *coarse)) return;
    if (listed) pair = listed[result];
    Tile tile = {row_offsets, column_offsets, row_size, column_size, rows, columns, triangle};
    PartialPair partial = partial_pair(tile, pair, dummies, counts);
    double total = partial.left * ldexp(1.0, (int)(row_powers[partial.i] + column_powers[partial.j]));
    values[result] -= total;
    magnitudes[result] = max(magnitudes[result] - total, 0.0);
    uppers[result] = max(uppers[result] - total, values[result]);
}

// The factors of each pair's affinities, of the prices of its rows and of those of its columns, for inputs divided by
// powers of two; see `BestAffinities.scales`.
#define SCALE_PAIRS(name, type)                                                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                            \
        name(int rows, int columns, int triangle, int64 count, const int64 *__restrict__ row_powers,                 \
             const int64 *__restrict__ column_powers, type *__restrict__ scales) {                                   \
        int64 pair = thread_number();                                                                                \
        if (pair >= count) return;                                                                                   \
        Tile tile = {nullptr, nullptr, 0, 0, rows, columns, triangle};                                               \
        int i, j;                                                                                                    \
        tile.locate(pair, &i, &j);                                                                                   \
        int row = (int)row_powers[i], column = (int)column_powers[j], twice = 2 * max(row, column);                  \
        scales[3 * pair] = (type)ldexp(1.0, row + column - twice);                                                   \
        scales[3 * pair + 1] = (type)ldexp(1.0, 2 * row - twice);                                                    \
        scales[3 * pair + 2] = (type)ldexp(1.0, 2 * column - twice);                                                 \
    }
SCALE_PAIRS(scale_pairs_float32, float)
SCALE_PAIRS(scale_pairs_float64, double)

// Combine the sums of the largest entries of each pair's rows and columns, and write the values to the matrix. Means
// divide by the sizes; `both` takes the mean of both directions; `largest` scales by the larger power, twice.
extern "C" __global__ void __launch_bounds__(THREADS)
    write_maxima(const int64 *__restrict__ row_offsets, const int64 *__restrict__ column_offsets, int64 row_size,
                 int64 column_size, int rows, int columns, int triangle, int64 count,
                 const double *__restrict__ of_rows, const double *__restrict__ of_columns, int means, int both,
                 int largest, const int64 *__restrict__ row_powers, const int64 *__restrict__ column_powers,
                 double *__restrict__ matrix, int64 stride, int64 first_row, int64 first_column) {
    int64 pair = thread_number();
    if (pair >= count) return;
    Tile tile = {row_offsets, column_offsets, row_size, column_size, rows, columns, triangle};
    int i, j;
    tile.locate(pair, &i, &j);
    double row = of_rows[pair], column = of_columns[pair];
    if (means) row /= (double)(tile.row(i + 1) - tile.row(i)), column /= (double)(tile.column(j + 1) - tile.column(j));
    double value = both ? (row + column) / 2 : row;
    if (row_powers) {
        int power = (int)row_powers[i], other = (int)column_powers[j];
        value = ldexp(value, largest ? 2 * max(power, other) : power + other);
    }
    matrix[(first_row + i) * stride + first_column + j] = value;
}
