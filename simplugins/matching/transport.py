# SPDX-License-Identifier: Apache-2.0
"""Exact optimal transport between the uniform distributions over the positions of two inputs.

Each of the R rows has K / g units of mass and each of the K columns takes R / g, where g is the greatest common divisor
of R and K, so flows are integers. Successive shortest paths (Dijkstra's algorithm on reduced costs, which stay
nonnegative) send the mass of one row after the other; each path moves as much as it can. At the end, the dual prices
prove that no plan is better.

Source: J. Edmonds and R. M. Karp, "Theoretical improvements in algorithmic efficiency for network flow problems"
(Journal of the ACM 19, 1972).
"""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins._common.compiled import compiled, compiled_inner

EPSILON = float(np.finfo(np.float64).eps)


class Transported(NamedTuple):
    """The optimal transport of a batch of B problems.

    Attributes
    ----------
    values : (B,) float64 array
        Sums of the affinities, weighted by plans of total mass 1.
    upper : (B,) float64 array
        Upper bounds on the value of any plan, by the dual prices, in float64 with a margin for its rounding.
    gap : (B,) float64 array
        Relative optimality gaps ``(upper - value) / |upper|``, 0 within rounding.
    """

    values: NDArray[np.float64]
    upper: NDArray[np.float64]
    gap: NDArray[np.float64]


def transport(affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Transported:
    """Solve a batch of transport problems that maximise the sum of affinities, weighted by the plan.

    Parameters
    ----------
    affinities : (T, K) float32 or float64 array
    offsets : (B + 1,) int64 array
        Problem b consists of the rows ``offsets[b]:offsets[b + 1]``, each of equal mass, and all K columns likewise.

    Returns
    -------
    Transported

    Examples
    --------
    >>> result = transport(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([0, 2]))
    >>> result.values  # a third from each row to its best column; both rows share the middle column
    array([0.66666667])
    """
    values, upper, gap = np.empty((3, len(offsets) - 1))
    for problem, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        block = affinities[start:stop]
        # Searches start from the larger side, whose positions have the smaller mass.
        costs = np.ascontiguousarray(-(block if len(block) >= block.shape[1] else block.T), np.float64)
        rows, columns = costs.shape
        common = gcd(rows, columns)
        cost, bound, margin = minimum_cost(costs, columns // common, rows // common)
        mass = rows * columns // common
        values[problem], upper[problem] = -cost / mass, (margin - bound) / mass
        shortfall = upper[problem] - values[problem]
        within = shortfall <= 2 * margin / mass
        gap[problem] = 0.0 if within else shortfall / abs(upper[problem]) if upper[problem] else np.inf
    return Transported(values, upper, gap)


@compiled
def minimum_cost(costs, supply, demand):  # type: ignore[no-untyped-def]
    """Return the cost of an optimal flow, a lower bound on that of any flow, and the rounding of both.

    Parameters
    ----------
    costs : (R, K) float64 array, C-contiguous
    supply, demand : int
        Units of each row and of each column; R times `supply` is K times `demand`.
    """
    rows, columns = costs.shape
    flow = np.empty((columns, rows), np.int64)
    left, capacity = np.empty(rows, np.int64), np.empty(columns, np.int64)
    row_prices, column_prices = np.empty(rows), np.empty(columns)
    for k in range(columns):
        capacity[k] = demand
        column_prices[k] = 0.0
        for i in range(rows):
            flow[k, i] = 0
    for i in range(rows):  # to its best column, as far as its capacity allows
        j = 0
        for k in range(1, columns):
            if costs[i, k] < costs[i, j]:
                j = k
        row_prices[i] = costs[i, j]
        left[i] = supply
        amount = min(left[i], capacity[j])
        flow[j, i] += amount
        left[i] -= amount
        capacity[j] -= amount
    distances, row_distances = np.empty(columns), np.empty(rows)
    row_before, column_before = np.empty(columns, np.int64), np.empty(rows, np.int64)
    flags = np.empty(columns, np.bool_), np.empty(rows, np.bool_)
    state = (flow, capacity, row_prices, column_prices, distances, row_distances, row_before, column_before, *flags)
    for i in range(rows):
        while left[i] > 0:
            sink = _nearest_free(costs, i, state)
            left[i] -= _send(i, sink, left[i], state)
    return _totals(costs, supply, demand, state)


@compiled_inner
def _nearest_free(costs, source, state):  # type: ignore[no-untyped-def]
    """Return the nearest column with free capacity, and update the prices."""
    flow, capacity, row_prices, column_prices, distances, row_distances, _, column_before, closed, reached = state
    rows, columns = costs.shape
    distances[:] = np.inf
    closed[:] = False
    reached[:] = False
    reached[source] = True
    row_distances[source] = 0.0
    _relax(costs, source, state)
    while True:
        j = -1
        nearest = np.inf
        for k in range(columns):
            if not closed[k] and (distances[k] < nearest or (distances[k] == nearest and capacity[k] > 0)):
                nearest = distances[k]
                j = k
        if capacity[j] > 0:
            break
        closed[j] = True
        for i in range(rows):
            if flow[j, i] > 0 and not reached[i]:
                reached[i] = True
                row_distances[i] = nearest
                column_before[i] = j
                _relax(costs, i, state)
    for i in range(rows):
        if reached[i]:
            row_prices[i] += nearest - row_distances[i]
    for k in range(columns):
        if closed[k]:
            column_prices[k] -= nearest - distances[k]
    return j


@compiled_inner
def _relax(costs, i, state):  # type: ignore[no-untyped-def]
    """Shorten the distances of columns by way of a row."""
    row_prices, column_prices, distances, row_distances, row_before, closed = (
        state[2], state[3], state[4], state[5], state[6], state[8],
    )  # fmt: skip
    base = row_distances[i] - row_prices[i]
    for k in range(costs.shape[1]):
        distance = max(base + costs[i, k] - column_prices[k], row_distances[i])  # rounding may make it shorter
        if not closed[k] and distance < distances[k]:
            distances[k] = distance
            row_before[k] = i


@compiled_inner
def _send(source, sink, most, state):  # type: ignore[no-untyped-def]
    """Send as many units as the path to a column admits, and return their number."""
    flow, capacity, row_before, column_before = state[0], state[1], state[6], state[7]
    amount = min(most, capacity[sink])
    i = row_before[sink]
    while i != source:
        amount = min(amount, flow[column_before[i], i])
        i = row_before[column_before[i]]
    capacity[sink] -= amount
    j = sink
    while True:
        i = row_before[j]
        flow[j, i] += amount
        if i == source:
            return amount
        j = column_before[i]
        flow[j, i] -= amount


@compiled_inner
def _totals(costs, supply, demand, state):  # type: ignore[no-untyped-def]
    """Return the cost of the flow, the dual bound, and a bound on the rounding errors of both."""
    flow, column_prices = state[0], state[3]
    rows, columns = costs.shape
    cost, bound, magnitude = 0.0, 0.0, 0.0
    for k in range(columns):
        bound += demand * column_prices[k]
        magnitude += demand * abs(column_prices[k])
    for i in range(rows):
        least = np.inf
        for k in range(columns):
            least = min(least, costs[i, k] - column_prices[k])
            if flow[k, i] > 0:
                cost += flow[k, i] * costs[i, k]
        bound += supply * least
        magnitude += supply * abs(least)
    return cost, bound, magnitude * (rows + columns) * EPSILON
