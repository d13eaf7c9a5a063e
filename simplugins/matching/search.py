# SPDX-License-Identifier: Apache-2.0
"""The assignment kernel: which column each row takes, so that the affinities add up to the most.

A problem goes through three stages, all on one array of column prices. Between equal sides it starts from what would
be right if affinities were products of a number for each row and one for each column (as they nearly are where concept
vectors share a direction, after a rectifier above all). Where sides differ it starts from zero, and without stage 1
unless a share of the optimum may be missing:

1. *auctions* with falling bid increments (below `LARGE_ROWS` one auction, with one increment), which bring the prices
   near their optimum fast;
2. an auction with increment zero, which assigns most rows to a column that is exactly the best at these prices;
3. *shortest augmenting paths* (Dijkstra on reduced costs) for the few rows that are still free.

Stages 1 and 2 stop at a budget of bids, so no input can hold them up; stage 3 ends after as many searches as there
are free rows, each of at most one scan a row. The search runs on integers: affinities become costs of
`HEADROOM_BITS` fewer bits than their own width (26 bits for float32, 58 for float64), counted from the largest
affinity of the problem. In integers the optimum is reached without rounding, whatever the order of operations,
so the value lies within ``rows * range / 2**26`` (``2**51`` for float64, whose own rounding comes first) of the
optimum of the affinities as given: about the rounding of float32 itself, unless a few affinities dwarf those that are
matched. `simplugins.matching.solver` finds such problems and solves them again, more finely.

Where a share of the optimum may be missing, the search ends as soon as it has proven that no more is: after each
auction of stage 1, bids at increment zero, which can only lower the dual bound, and a comparison of that bound with
what the auction's own assignment is worth.

Background: Bertsekas, "A distributed algorithm for the assignment problem" (1979), for the auction, and
"The auction algorithm" (Annals of Operations Research 14, 1988) for falling increments;
Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems"
(Computing 38, 1987).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins._common.compiled import kernel
from simplugins.matching.scans import CLOSED_PRICE_BITS, LANES, relax, two_smallest

HEADROOM_BITS = 6
"""Costs lie in 0 .. R with R = 2**(width - HEADROOM_BITS); the bits above hold prices and path lengths.

Between equal sides, every auction and the later stages start from prices of at most 2 R (`_settle_prices` sees to it);
where sides differ there are always free columns, at price 0. While a column is free it keeps the price it started
from, and no bid goes further above it than the range. So bids and searches raise prices to 6 R at most (3 R is the most
that hostile trials reached), and keys to 7 R. A key of 8 R (`UNREACHED_BITS`) is one not reached yet, a price of 16 R
closes a column, and their sum with a cost and a dual stays below 20 R < 2**(width - 1).
"""

UNREACHED_BITS = 3

SMALL = np.array([(12.0, 7)])
LARGE = np.array([(1.5, 2), (5, 4), (20, 4), (60, 4)])
RECTANGULAR = np.array([(6.0, 7)])
"""Stage 1 of problems of less than `LARGE_ROWS`, of more, and of unequal sides: (steps, bids a row at most) of each
auction. Its increment is the span of costs (see `_start`) over ``steps * sqrt(rows)``, since larger problems need finer
ones; they fall until `ENOUGH_STEPS` of ``sqrt(rows)`` are reached. The numbers are those that took least time on
activations of 49 to 3,136 positions. Where sides differ, columns that end up free must have kept price zero: so there
is one auction, for a tolerance only.
"""

LARGE_ROWS = 400
START_ROWS = 100
"""From so many rows on it pays to look for prices to start from."""

ENOUGH_STEPS = 0.7
EXACT_BUDGET = 2
"""Bids a row, at most, at increment zero."""

SPAN_OF_TYPICAL = 4
"""The span of costs is the whole range, or so many times what a column's best is typically better than its mean."""

_ROUNDING = 1e-12
"""More than the sums of a proof round, relative to their terms."""

GAP_OF_INCREMENT = 0.15
"""A gap below this share of ``rows * increment`` is not to be hoped for, and not looked for."""


class Workspace(NamedTuple):
    """Scratch arrays for problems up to a given size. Column arrays are padded (see `scans`)."""

    costs: NDArray[np.signedinteger]
    prices: NDArray[np.signedinteger]
    open_prices: NDArray[np.signedinteger]
    keys: NDArray[np.signedinteger]
    predecessors: NDArray[np.signedinteger]
    distances: NDArray[np.signedinteger]
    row_duals: NDArray[np.signedinteger]
    row_of: NDArray[np.int64]
    column_of: NDArray[np.int64]
    assigned: NDArray[np.int64]
    queue: NDArray[np.int64]
    closed: NDArray[np.int64]
    free_columns: NDArray[np.int64]
    row_sums: NDArray[np.int64]
    column_sums: NDArray[np.int64]
    largest: NDArray[np.floating]
    smallest: NDArray[np.floating]


def make_workspace(rows: int, columns: int, dtype: np.dtype[np.floating]) -> Workspace:
    """Allocate scratch for problems of up to `rows` × `columns` affinities of `dtype` (float32 or float64)."""
    small, large = sorted((rows, columns))
    padded = -(-large // LANES) * LANES
    integer = np.int32 if dtype == np.float32 else np.int64

    def integers(size: int) -> NDArray[np.signedinteger]:
        return np.empty(size, integer)

    return Workspace(
        costs=integers(small * padded),
        prices=integers(padded),
        open_prices=integers(padded),
        keys=integers(padded),
        predecessors=integers(padded),
        distances=integers(padded),
        row_duals=integers(small),
        row_of=np.empty(padded, np.int64),
        column_of=np.empty(small, np.int64),
        assigned=np.empty(small, np.int64),
        queue=np.empty(small, np.int64),
        closed=np.empty(padded, np.int64),
        free_columns=np.empty(padded, np.int64),
        row_sums=np.empty(small, np.int64),
        column_sums=np.empty(padded, np.int64),
        largest=np.empty(columns, dtype),
        smallest=np.empty(columns, dtype),
    )


@kernel
def search_batch(affinities, problems, work, tolerance, columns, prices, missing):  # type: ignore[no-untyped-def]
    """Solve assignment problems, each a block of a matrix of affinities.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous
    problems : (B, 4) int64 array
        First row, end of rows, first column and end of columns of each; no row is in two.
    work : Workspace
        For at least the largest problem; of the affinities' dtype.
    tolerance : float
        The share of the optimum that may be missing; 0 for none.
    columns : (T,) int64 array, written
        The column that each row takes, of all columns, or -1 where rows outnumber columns; rows of no problem are
        left as they are.
    prices : (B, P) float64 array, written
        Dual prices of the columns, or of the rows in problems where these outnumber the columns, in units of
        affinity: `simplugins.matching.values.certify` makes a bound of them.
    missing : (B,) float64 array, written
        How far below the optimum the value may lie, at most; infinite where costs could not be made, because the
        range of the affinities is beyond float64.
    """
    for problem in range(len(problems)):
        start, stop, first, end = problems[problem]
        block = affinities[start:stop]
        transposed = stop - start > end - first
        rows = min(stop - start, end - first)
        cols = max(stop - start, end - first)
        padded = (cols + LANES - 1) // LANES * LANES
        costs = work.costs[: rows * padded].reshape(rows, padded)
        top, unit = _make_costs(block, first, end, transposed, costs, work)
        searched = 0 < unit < np.inf  # equal affinities have nothing to search for
        top_units = top / unit if searched else 0.0
        span = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS)
        _reset_prices(costs, cols, work)
        if searched and _looks_for_start(rows, cols):
            span = _start(costs, top_units, unit, work)
        missing[problem] = unit * _assign(costs, cols, tolerance if searched else 0.0, rows * top_units, span, work)
        _report(transposed, rows, cols, first, unit if searched else 0.0, work, columns[start:stop], prices[problem])


@kernel
def _make_costs(affinities, first, end, transposed, costs, work):  # type: ignore[no-untyped-def]
    """Write some columns' affinities as integer costs below the largest; return that, and what a unit is worth.

    Where `_start` needs them, `row_sums` and `column_sums` are filled with sums of costs.
    """
    rows, cols = len(affinities), end - first
    largest, smallest = work.largest, work.smallest
    largest[:cols] = affinities[0, first:end]
    smallest[:cols] = affinities[0, first:end]
    for i in range(1, rows):
        row = affinities[i, first:end]
        for j in range(cols):
            value = row[j]
            largest[j] = value if value > largest[j] else largest[j]
            smallest[j] = value if value < smallest[j] else smallest[j]
    top = np.float64(largest[:cols].max())
    spread = top - np.float64(smallest[:cols].min())
    scale = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS) / spread if spread > 0 else 0.0
    beyond = spread > 0 and not 0 < scale < np.inf
    if beyond:
        scale = 0.0
    padded = costs.shape[1]
    if transposed:
        for i in range(rows):
            row = affinities[i, first:end]
            for j in range(cols):
                costs[j, i] = costs.dtype.type((top - row[j]) * scale)
        costs[:, rows:padded] = 0
    else:
        work.column_sums[:cols] = 0
        for i in range(rows):
            row = affinities[i, first:end]
            for j in range(cols):
                costs[i, j] = costs.dtype.type((top - row[j]) * scale)
            if _looks_for_start(rows, cols):
                work.row_sums[i] = _add_up(costs, i, cols, work.column_sums)
        costs[:, cols:padded] = 0
    return top, np.inf if beyond else 1 / scale if scale > 0 else 0.0


@kernel
def _assign(costs, cols, tolerance, highest, span, work):  # type: ignore[no-untyped-def]
    """Assign every row to a column of its own at the least total cost, or until proven near enough to it.

    The value of an assignment is `highest` less its cost; bid increments are shares of the `span` of costs. Fills
    `column_of` and `prices`, and returns how much may be missing from the assignment's value, in units.
    """
    rows = costs.shape[0]
    if rows == cols or tolerance > 0:
        auctions = RECTANGULAR if rows < cols else SMALL if rows < LARGE_ROWS else LARGE
        for k in range(len(auctions)):
            steps, budget = auctions[k, 0], int(auctions[k, 1]) * rows
            increment = int(span / (steps * np.sqrt(rows)))
            _auction(costs, cols, increment, budget, work)
            if tolerance > 0:
                proven, missing = _prove(costs, cols, increment, tolerance, highest, work)
                if proven:
                    return missing
            if rows == cols:
                _settle_prices(costs, cols, work)
            if steps >= ENOUGH_STEPS * np.sqrt(rows):
                break
    if rows < cols:
        _reset_prices(costs, cols, work)
    _auction(costs, cols, 0, EXACT_BUDGET * rows, work)
    _augment_free_rows(costs, cols, work)
    return _cost_error(costs)


@kernel
def _looks_for_start(rows, cols):  # type: ignore[no-untyped-def]
    """Tell whether `_start` applies: it needs equal sides, and small problems are solved as fast without."""
    return rows == cols and rows >= START_ROWS


@kernel
def _start(costs, top, unit, work):  # type: ignore[no-untyped-def]
    """Set the prices that a square problem starts from, and return the span of its costs.

    Reads what `_make_costs` left in `row_sums`, `column_sums` and `largest`.
    The mean affinity of row i be r[i], of column j c[j], of all m; a unit of cost takes one off `top`. If affinities
    were r[i] c[j] / m, the optimum would match rows and columns by rank, and with r spread like c, but k times as
    wide, the price of a column would be c + k (c - m)^2 / 2 m. Where the means differ too much for that to be near,
    prices stay zero.
    """
    rows = costs.shape[0]
    bits = 8 * costs.itemsize - HEADROOM_BITS
    of_rows = top - work.row_sums[:rows] * (_coarse(costs) / rows)
    of_columns = top - work.column_sums[:rows] * (_coarse(costs) / rows)
    mean, spread = of_columns.mean(), of_columns.std()
    if mean >= spread > 0:
        deviations = of_columns - mean
        start = deviations + of_rows.std() / spread * deviations**2 / (2 * mean)
        start -= start.min()
        for j in range(rows):
            work.prices[j] = int(min(start[j], 2.0 ** (bits + 1)))
    typical = (work.largest[:rows] / unit - of_columns).mean()
    return min(2.0**bits, max(0.0, SPAN_OF_TYPICAL * typical))  # sums of costs are cut, so equal rows may seem better


@kernel
def _coarse(costs):  # type: ignore[no-untyped-def]
    """Return the step in which costs are added up: one so large that sums fit into 64 bits."""
    return 2.0 ** (8 * costs.itemsize - 32)


@kernel
def _add_up(costs, i, cols, column_sums):  # type: ignore[no-untyped-def]
    """Add a row of costs to the sums of the columns, and return its own sum, both in coarse steps."""
    cut = 8 * costs.itemsize - 32
    total = 0
    for j in range(cols):
        cost = np.int64(costs[i, j]) >> cut
        total += cost
        column_sums[j] += cost
    return total


@kernel
def _prove(costs, cols, increment, tolerance, highest, work):  # type: ignore[no-untyped-def]
    """Prove that an auction's assignment misses no more than a share of the optimum.

    The value of an assignment is `highest` less its cost. Returns whether that was proven, and how much it may miss,
    in units. The prices change.
    """
    rows = costs.shape[0]
    _complete(rows, cols, work)
    work.assigned[:rows] = work.column_of[:rows]
    cost = 0.0
    for i in range(rows):
        cost += costs[i, work.assigned[i]]
    if GAP_OF_INCREMENT * rows * increment > tolerance * abs(highest - cost):
        return False, np.inf
    if rows == cols:
        _settle_prices(costs, cols, work)
    _auction(costs, cols, 0, rows, work)
    least = _least_cost(costs, cols, work)
    missing = cost - least + _cost_error(costs)
    if missing > tolerance * (abs(highest - least) - _cost_error(costs)) - _ROUNDING * (abs(highest) + abs(least)):
        return False, missing
    work.column_of[:rows] = work.assigned[:rows]
    return True, missing


@kernel
def _cost_error(costs):  # type: ignore[no-untyped-def]
    """Return how far an assignment's cost may be from its affinities' own, in units: what cutting and rounding took."""
    units = 1.01 if costs.itemsize == 4 else 2.0**7  # the steps of float64 are coarser than those of 64-bit costs
    return units * len(costs)


@kernel
def _least_cost(costs, cols, work):  # type: ignore[no-untyped-def]
    """Return what the prices prove that every assignment costs, at least."""
    prices = work.prices[: costs.shape[1]]
    least = 0.0
    for i in range(costs.shape[0]):
        least += two_smallest(costs, i, prices)[1]
    for j in range(cols):
        least -= prices[j]
    return least


@kernel
def _complete(rows, cols, work):  # type: ignore[no-untyped-def]
    """Give each row that an auction left free one of the columns that it left free."""
    j = 0
    for i in range(rows):
        if work.column_of[i] < 0:
            while work.row_of[j] >= 0:
                j += 1
            work.column_of[i] = j
            work.row_of[j] = i


@kernel
def _reset_prices(costs, cols, work):  # type: ignore[no-untyped-def]
    """Let the columns cost nothing, and close those that are padding."""
    work.prices[:cols] = 0
    work.prices[cols : costs.shape[1]] = 1 << (8 * costs.itemsize - CLOSED_PRICE_BITS)


@kernel
def _settle_prices(costs, cols, work):  # type: ignore[no-untyped-def]
    """Count prices from the lowest, which changes nothing between equal sides, and cut them to twice the range."""
    lowest = work.prices[:cols].min()
    highest = 2 << (8 * costs.itemsize - HEADROOM_BITS)
    for j in range(cols):
        work.prices[j] = min(work.prices[j] - lowest, highest)


@kernel
def _auction(costs, cols, increment, budget, work):  # type: ignore[no-untyped-def]
    """Let free rows bid for their best column until all are assigned or the budget of bids is spent.

    A bid raises the column's price to where the row would as soon take its second best, plus the increment.
    """
    prices, row_of, column_of, queue = work.prices, work.row_of, work.column_of, work.queue
    rows = costs.shape[0]
    row_of[:cols] = -1
    column_of[:rows] = -1
    for i in range(rows):
        queue[i] = i
    waiting, head, tail = rows, 0, 0
    for _ in range(budget):
        if waiting == 0:
            break
        i = queue[head]
        head = head + 1 if head + 1 < rows else 0
        waiting -= 1
        j, smallest, second = two_smallest(costs, i, prices[: costs.shape[1]])
        if cols == 1:
            second = smallest
        if second == smallest and row_of[j] >= 0:
            j = _free_among_best(costs, i, smallest, cols, work, j)
        prices[j] += second - smallest + increment
        previous = row_of[j]
        row_of[j] = i
        column_of[i] = j
        if previous >= 0:
            column_of[previous] = -1
            queue[tail] = previous
            tail = tail + 1 if tail + 1 < rows else 0
            waiting += 1


@kernel
def _free_among_best(costs, i, smallest, cols, work, otherwise):  # type: ignore[no-untyped-def]
    """Return a free column among those that tie for the row's best: taking it evicts nobody."""
    for j in range(cols):
        if work.row_of[j] < 0 and costs[i, j] + work.prices[j] == smallest:
            return j
    return otherwise


@kernel
def _augment_free_rows(costs, cols, work):  # type: ignore[no-untyped-def]
    """Assign each row that is still free along a shortest augmenting path."""
    rows, padded = costs.shape
    prices = work.prices[:padded]
    n_free = 0
    for j in range(cols):
        if work.row_of[j] < 0:
            work.free_columns[n_free] = j
            n_free += 1
    if n_free == cols - rows:
        return
    for i in range(rows):
        if work.column_of[i] < 0:
            work.row_duals[i] = two_smallest(costs, i, prices)[1]
        else:
            work.row_duals[i] = costs[i, work.column_of[i]] + prices[work.column_of[i]]
    for i in range(rows):
        if work.column_of[i] < 0:
            n_free = _augment(costs, i, n_free, work)


@kernel
def _augment(costs, source, n_free, work):  # type: ignore[no-untyped-def]
    """Find the shortest path from a free row to a free column, and flip it.

    Every step closes the nearest open column and goes on from the row that holds it; a free column that is as
    near is taken first. Returns the number of columns that are still free.
    """
    padded = costs.shape[1]
    width = 8 * costs.itemsize
    prices, row_duals, row_of = work.prices, work.row_duals, work.row_of
    keys, open_prices, predecessors = work.keys[:padded], work.open_prices[:padded], work.predecessors[:padded]
    distances, closed, free_columns = work.distances, work.closed, work.free_columns
    unreached = 1 << (width - UNREACHED_BITS)
    never = 1 << (width - CLOSED_PRICE_BITS)
    keys[:] = unreached
    open_prices[:] = prices[:padded]
    n_closed = 0
    i = source
    nearest = costs.dtype.type(0)
    while True:
        base = costs.dtype.type(nearest - row_duals[i])
        sink, nearest = relax(costs, i, base, open_prices, keys, predecessors)
        if row_of[sink] >= 0:
            for k in range(n_free):
                if keys[free_columns[k]] == nearest:
                    sink = free_columns[k]
                    break
        if row_of[sink] < 0:
            break
        distances[sink] = nearest
        keys[sink] = unreached
        open_prices[sink] = never
        closed[n_closed] = sink
        n_closed += 1
        i = row_of[sink]
    row_duals[source] += nearest
    for k in range(n_closed):
        j = closed[k]
        prices[j] += nearest - distances[j]
        row_duals[row_of[j]] += nearest - distances[j]
    _flip(source, sink, work)
    for k in range(n_free):
        if free_columns[k] == sink:
            free_columns[k] = free_columns[n_free - 1]
            break
    return n_free - 1


@kernel
def _flip(source, sink, work):  # type: ignore[no-untyped-def]
    """Assign the columns of the path from `source` to `sink` to the rows before them."""
    j = sink
    while True:
        i = work.predecessors[j]
        work.row_of[j] = i
        following = work.column_of[i]
        work.column_of[i] = j
        if i == source:
            break
        j = following


@kernel
def _report(transposed, rows, cols, first, unit, work, columns, prices):  # type: ignore[no-untyped-def]
    """Write the assignment by row of the affinities, and the prices in their unit."""
    if transposed:
        columns[:] = -1
        for i in range(rows):
            columns[work.column_of[i]] = first + i
    else:
        columns[:] = first + work.column_of[:rows]
    # Between equal sides only differences count; small prices round least.
    lowest = work.prices[:cols].min() if rows == cols else 0
    for j in range(cols):
        prices[j] = (work.prices[j] - lowest) * unit
