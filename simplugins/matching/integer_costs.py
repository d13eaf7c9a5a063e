# SPDX-License-Identifier: Apache-2.0
"""Integer costs of an assignment problem, and the workspace of its solver.

Affinities become even numbers of `HEADROOM_BITS` fewer bits than their own width (26 bits for float32, 58 for
float64), measured downwards from the largest affinity of the problem. On integers, the solver reaches the optimum
without rounding, regardless of the order of operations. The value of its assignment is therefore within
``rows * range / 2**25`` of the optimum for the original affinities (``2**51`` for float64, where the rounding of the
affinities themselves dominates). That is comparable to float32 rounding, unless a few affinities dwarf the matched
ones; `simplugins.matching.solver` detects such problems and solves them again on a finer scale.

Costs, prices and all sums of them are even, which leaves the lowest bit of a price to mark its column as *taken*. If
columns are otherwise equally good, scans therefore find one that is free.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins._common.compiled import compiled, compiled_inner
from simplugins.matching.vector_scans import CLOSED_PRICE_BITS, LANES

HEADROOM_BITS = 6
"""Costs lie in 0 .. R with R = 2**(width - HEADROOM_BITS); the bits above are for prices and path lengths.

Every auction of `linear_assignment` starts from prices of at most 2 R (ensured by `set_starting_prices` and
`settle_prices`), and a column keeps its price as long as it is free. If a column other than the best one is free, the
second best costs a row at most 3 R, and the bid, whose increment is at most R, raises a price to at most 4 R. A bid for
the last free column raises its price to at most 6 R. Augmenting paths end at free columns, and raise prices to at most
3 R. Keys, which are at most a cost above a price, reach 7 R. A key of 8 R (`UNREACHED_BITS`) marks an unreached column,
and a price of 16 R a closed one. With a cost and the base of a path, between -7 R and 3 R, that is at least 9 R and at
most 20 R < 2**(width - 1).
"""

UNREACHED_BITS = 3

TAKEN, EVEN = 1, -2
"""The bit of a price that says that its column is taken, and the mask of all others."""

COUNTS = ("bids", "paths", "scans")
"""What the solver counts in `Workspace.counts`: bids, augmenting paths, and scans of rows (bids included)."""


class Workspace(NamedTuple):
    """Scratch arrays for problems up to a given size. Column arrays are padded (see `vector_scans`)."""

    costs: NDArray[np.signedinteger]
    prices: NDArray[np.signedinteger]
    open_prices: NDArray[np.signedinteger]
    keys: NDArray[np.signedinteger]
    predecessors: NDArray[np.signedinteger]
    distances: NDArray[np.signedinteger]
    row_of: NDArray[np.int64]
    column_of: NDArray[np.int64]
    assigned: NDArray[np.int64]
    queue: NDArray[np.int64]
    closed: NDArray[np.int64]
    free_columns: NDArray[np.int64]
    row_sums: NDArray[np.int64]
    column_sums: NDArray[np.int64]
    means: NDArray[np.float64]
    order: NDArray[np.int64]
    waiting: NDArray[np.int64]
    counts: NDArray[np.int64]
    largest: NDArray[np.floating]
    smallest: NDArray[np.floating]


def make_workspace(rows: int, columns: int, dtype: np.dtype[np.floating]) -> Workspace:
    """Allocate scratch arrays for problems of up to `rows` × `columns` affinities of `dtype` (float32 or float64)."""
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
        row_of=np.empty(padded, np.int64),
        column_of=np.empty(small, np.int64),
        assigned=np.empty(small, np.int64),
        queue=np.empty(small, np.int64),
        closed=np.empty(padded, np.int64),
        free_columns=np.empty(padded, np.int64),
        row_sums=np.empty(small, np.int64),
        column_sums=np.empty(padded, np.int64),
        means=np.empty((3, padded)),
        order=np.empty(padded, np.int64),
        waiting=np.zeros(2, np.int64),
        counts=np.zeros(len(COUNTS), np.int64),
        largest=np.empty(columns, dtype),
        smallest=np.empty(columns, dtype),
    )


@compiled
def make_costs(affinities, first, end, transposed, costs, work):  # type: ignore[no-untyped-def]
    """Write the affinities of some columns as integer costs; return the largest affinity and the value of one unit.

    Fills `row_sums` and `column_sums` with sums of costs in units of `sum_step`, for starting prices.
    """
    cols = end - first
    top, spread = _largest_and_range(affinities, first, end, work)
    scale = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS - 1) / spread if spread > 0 else 0.0
    beyond = spread > 0 and not 0 < scale < np.inf
    origin = 0.0 if beyond else top  # the difference could be infinite, and its product with zero is no number
    if beyond:
        scale = 0.0
    for j in range(costs.shape[1]):
        work.column_sums[j] = 0
    if transposed:
        for i in range(len(affinities)):
            row = affinities[i, first:end]
            for j in range(cols):
                costs[j, i] = costs.dtype.type((origin - row[j]) * scale) * 2
        _pad_rows(costs, len(affinities))
        for j in range(cols):
            work.row_sums[j] = _add_row(costs, j, len(affinities), work.column_sums)
    else:
        for i in range(len(affinities)):
            row = affinities[i, first:end]
            for j in range(cols):
                costs[i, j] = costs.dtype.type((origin - row[j]) * scale) * 2
            work.row_sums[i] = _add_row(costs, i, cols, work.column_sums)
        _pad_rows(costs, cols)
    return top, np.inf if beyond else 0.5 / scale if scale > 0 else 0.0


@compiled_inner
def _largest_and_range(affinities, first, end, work):  # type: ignore[no-untyped-def]
    cols = end - first
    largest, smallest = work.largest, work.smallest
    row = affinities[0, first:end]
    for j in range(cols):
        largest[j] = row[j]
        smallest[j] = row[j]
    for i in range(1, len(affinities)):
        row = affinities[i, first:end]
        for j in range(cols):
            value = row[j]
            largest[j] = value if value > largest[j] else largest[j]
            smallest[j] = value if value < smallest[j] else smallest[j]
    top, bottom = largest[0], smallest[0]
    for j in range(1, cols):
        top = largest[j] if largest[j] > top else top
        bottom = smallest[j] if smallest[j] < bottom else bottom
    return np.float64(top), np.float64(top) - np.float64(bottom)


@compiled_inner
def _pad_rows(costs, cols):  # type: ignore[no-untyped-def]
    for i in range(len(costs)):
        for j in range(cols, costs.shape[1]):
            costs[i, j] = 0


@compiled_inner
def sum_step(costs):  # type: ignore[no-untyped-def]
    """Return the unit of `row_sums` and `column_sums`, coarse enough for them to fit into 64 bits."""
    return 2.0 ** (8 * costs.itemsize - 32)


@compiled_inner
def _add_row(costs, i, cols, column_sums):  # type: ignore[no-untyped-def]
    """Add a row of costs to the column sums, and return the sum of the row, both in units of `sum_step`."""
    cut = 8 * costs.itemsize - 32
    row = costs[i]
    total = 0
    for j in range(cols):
        cost = np.int64(row[j]) >> cut
        total += cost
        column_sums[j] += cost
    return total


@compiled_inner
def cost_error(costs):  # type: ignore[no-untyped-def]
    """Return a bound on the quantisation and rounding error of an assignment's cost, in units."""
    units = 2.02 if costs.itemsize == 4 else 2.0**7  # float64 is coarser than 64-bit costs
    return units * len(costs)


@compiled
def reset_prices(costs, cols, work):  # type: ignore[no-untyped-def]
    """Set the prices of all columns to zero, and close the padding columns."""
    closed = costs.dtype.type(1 << (8 * costs.itemsize - CLOSED_PRICE_BITS))
    for j in range(cols):
        work.prices[j] = 0
    for j in range(cols, costs.shape[1]):
        work.prices[j] = closed


@compiled_inner
def settle_prices(costs, cols, work):  # type: ignore[no-untyped-def]
    """Shift prices to a minimum of zero (equivalent if sides are equal), and clip them to twice the range of costs."""
    prices = work.prices
    highest = 2 << (8 * costs.itemsize - HEADROOM_BITS)
    lowest = prices[0]
    for j in range(1, cols):
        lowest = prices[j] if prices[j] < lowest else lowest
    lowest &= EVEN
    for j in range(cols):
        price = prices[j] - lowest
        prices[j] = price if price < highest else highest
