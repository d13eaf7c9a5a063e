# SPDX-License-Identifier: Apache-2.0
"""Integer costs of an assignment problem, and the workspace of its solver.

Affinities become even numbers of `HEADROOM_BITS` fewer bits than their own width (26 bits for float32, 58 for
float64), measured downwards from the largest affinity of the problem. On integers, the solver reaches the optimum
without rounding, regardless of the order of operations. The value of its assignment is therefore within
``rows * range / 2**25`` of the optimum for the original affinities (``2**51`` for float64, where the rounding of the
affinities themselves dominates). That is comparable to float32 rounding, unless a few affinities dwarf the matched
ones; `simplugins.matching.assignment_refinement` solves such problems again on a finer scale.

Costs, prices and all sums of them are even, which leaves the lowest bit of a price to mark its column as *taken*. If
columns are otherwise equally good, scans therefore find one that is free.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins._common.compiled import compiled_inner
from simplugins.matching.cost_scans import WIDE, convert_row, convert_transposed, least_cost, widen_extremes
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

EXACT_BITS = 20, 44
"""A value counts as exact if it falls short by at most 2**-20 (float32) or 2**-44 (float64) of the magnitude of the
matched affinities."""

COMPETITION, SAMPLED_ROWS = 8.0, 8
"""See `likely_floor`."""

_LEAST_SPREAD = 2.0**-900
"""Smallest range of affinities above a likely floor: the scale of costs would overflow below 2**-966."""

_RELATIVE = 2.0**-48
"""Bound on the relative error of a few operations in float64."""

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
    row_sums: NDArray[np.float64]
    column_sums: NDArray[np.float64]
    means: NDArray[np.float64]
    order: NDArray[np.int64]
    waiting: NDArray[np.int64]
    counts: NDArray[np.int64]
    extremes: NDArray[np.floating]


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
        row_sums=np.empty(padded),
        column_sums=np.empty(padded),
        means=np.empty((3, padded)),
        order=np.empty(padded, np.int64),
        waiting=np.zeros(2, np.int64),
        counts=np.zeros(len(COUNTS), np.int64),
        extremes=np.empty((2, WIDE), dtype),
    )


@compiled_inner
def make_costs(affinities, first, end, transposed, top, floor, costs):  # type: ignore[no-untyped-def]
    """Write the affinities of some columns as integer costs; return the value of one unit.

    Affinities below `floor` have the cost of it; `top` is the largest one (see `extremes`).
    """
    spread = np.float64(top) - np.float64(floor)
    scale = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS - 1) / spread if spread > 0 else 0.0
    beyond = spread > 0 and not 0 < scale < np.inf
    origin = 0.0 if beyond else np.float64(top)  # the difference could be infinite, and its product with zero no number
    if beyond:
        scale = 0.0
    if transposed:
        _convert_transposed(affinities, first, end, origin, floor, scale, costs)
    else:
        _convert(affinities, first, end, origin, floor, scale, costs)
    return np.inf if beyond else 0.5 / scale if scale > 0 else 0.0


@compiled_inner
def extremes(affinities, first, end, work):  # type: ignore[no-untyped-def]
    """Return the largest and the smallest affinity of some columns."""
    rows, stride = affinities.shape
    by_lane = work.extremes
    lanes = 4 * WIDE // affinities.itemsize
    for lane in range(lanes):
        by_lane[0, lane] = by_lane[1, lane] = affinities[0, first]
    if first == 0 and end == stride:
        rows, end = 1, rows * stride  # rows are consecutive
    if end - first >= lanes:
        for i in range(rows):
            widen_extremes(affinities, i * stride + first, end - first, by_lane)
    else:
        for i in range(rows):
            for j in range(first, end):
                value = affinities[i, j] if rows > 1 else affinities[j // stride, j % stride]
                by_lane[0, 0] = value if value > by_lane[0, 0] else by_lane[0, 0]
                by_lane[1, 0] = value if value < by_lane[1, 0] else by_lane[1, 0]
    top, bottom = by_lane[0, 0], by_lane[1, 0]
    for lane in range(1, lanes):
        top = by_lane[0, lane] if by_lane[0, lane] > top else top
        bottom = by_lane[1, lane] if by_lane[1, lane] < bottom else bottom
    return top, bottom


@compiled_inner
def likely_floor(costs, cols, top, bottom, unit):  # type: ignore[no-untyped-def]
    """Return an affinity that is unlikely to be above any in an optimal assignment of all rows to more columns.

    Its distance to the largest affinity is as long as the rounding of exact values permits, estimated by the best
    affinities of a sample of rows, and at least `COMPETITION` times the largest of all rows' least costs. If the
    assignment has an affinity below the floor nevertheless, the bound of `rounding_of_matched` includes the difference.
    """
    rows = costs.shape[0]
    step = max(1, rows // SAMPLED_ROWS)
    best, rounding, sampled = 0.0, 0.0, 0
    for i in range(0, rows, step):
        least = least_cost(costs, i, cols)
        best += abs(np.float64(top) - least * unit)
        rounding += unit if least > 0 else 0.0
        sampled += 1
    permitted = 0.5 * 2.0 ** -EXACT_BITS[costs.itemsize // 8] * best
    if rounding <= permitted:
        return bottom
    spread = max(permitted / sampled * 2.0 ** (8 * costs.itemsize - HEADROOM_BITS), _LEAST_SPREAD)
    for i in range(rows):
        spread = max(spread, COMPETITION * least_cost(costs, i, cols) * unit)
        if spread > np.float64(top) - np.float64(bottom):
            return bottom
    likely = type(bottom)(np.float64(top) - spread)
    return likely if bottom < likely < top else bottom


@compiled_inner
def _convert(affinities, first, end, origin, floor, scale, costs):  # type: ignore[no-untyped-def]
    rows, stride = affinities.shape
    cols, padded = end - first, costs.shape[1]
    for i in range(rows):
        start = i * stride + first
        if start + padded <= rows * stride:
            convert_row(affinities, start, cols, origin, floor, scale, costs, i)
            continue
        for j in range(cols):
            costs[i, j] = _cost(costs, affinities[i, first + j], origin, floor, scale)
        for j in range(cols, padded):
            costs[i, j] = 0


@compiled_inner
def _convert_transposed(affinities, first, end, origin, floor, scale, costs):  # type: ignore[no-untyped-def]
    """Write costs with rows and columns exchanged, block by block; the last blocks overlap the ones before."""
    cols, stride = affinities.shape
    rows, padded = end - first, costs.shape[1]
    lanes = 64 // affinities.itemsize
    for i in range(rows):
        for j in range(cols, padded):
            costs[i, j] = 0
    if rows < lanes or cols < lanes:
        for j in range(cols):
            for i in range(rows):
                costs[i, j] = _cost(costs, affinities[j, first + i], origin, floor, scale)
        return
    for place in range(0, rows, lanes):
        i = min(place, rows - lanes)
        for other_place in range(0, cols, lanes):
            j = min(other_place, cols - lanes)
            convert_transposed(affinities, j * stride + first + i, origin, floor, scale, costs, i, j)


@compiled_inner
def _cost(costs, affinity, origin, floor, scale):  # type: ignore[no-untyped-def]
    return costs.dtype.type((origin - (affinity if affinity > floor else floor)) * scale) * 2


@compiled_inner
def cost_error(costs):  # type: ignore[no-untyped-def]
    """Return a bound on the quantisation and rounding error of an assignment's cost, in units."""
    units = 2.02 if costs.itemsize == 4 else 2.0**7  # float64 is coarser than 64-bit costs
    return units * len(costs)


@compiled_inner
def rounding_of_matched(affinities, first, transposed, top, unit, costs, work):  # type: ignore[no-untyped-def]
    """Return a bound on how much the true costs of the matched pairs exceed their integer costs, in units.

    Costs are rounded towards zero, so no other assignment is cheaper than its costs, but for a relative error of
    `_RELATIVE`. If the costs of the matched pairs are minimal, their rounding bounds their shortfall.
    """
    scale, lost, total = 0.5 / unit, 0.0, 0.0
    for i in range(len(costs)):
        j = work.column_of[i]
        affinity = affinities[j, first + i] if transposed else affinities[i, first + j]
        cost = np.float64(costs[i, j])
        lost += 2 * (top - np.float64(affinity)) * scale - cost
        total += cost
    return lost + _RELATIVE * total


@compiled_inner
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
