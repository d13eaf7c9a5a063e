# SPDX-License-Identifier: Apache-2.0
"""Solving a batch of assignment problems to a tolerance, or exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins.matching import search, values
from simplugins.matching.matcher import Assignments
from simplugins.matching.problems import whole_problems

_FINE_ENOUGH = {np.dtype(np.float32): 2.0**-20, np.dtype(np.float64): 2.0**-44}
"""An exact value may miss this share of the matched affinities' magnitude; more, and it is solved more finely."""

_MOST_REFINEMENTS = 8


def solve(affinities: NDArray[np.floating], problems: NDArray[np.int64], *, tolerance: float = 0.0) -> Assignments:
    """Assign the rows of each problem so that its affinities add up to the most, or to nearly that.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous, float32 or float64
    problems : (B, 4) int64 array
        First row, end of rows, first column and end of columns of each, in the order of rows, of which none is in two.
    tolerance : float, default 0
        The share of the optimum that may be missing from a value.

    Returns
    -------
    Assignments
        With the columns among all K, and for each problem the prices that prove it.
    """
    columns, prices, missing = _search(affinities, problems, tolerance)
    allowed = _allowed(affinities, problems, columns, missing, tolerance)
    for problem in np.flatnonzero(np.isinf(missing) | (missing > allowed)):
        start, stop, first, end = problems[problem]
        block = affinities[start:stop, first:end].astype(np.float64, order="C")
        found = _solve_finely(block, tolerance)
        columns[start:stop] = np.where(found.columns < 0, -1, found.columns + first)
        prices[problem, : max(block.shape)] = found.prices
    return Assignments(columns, prices)


def _solve_finely(affinity: NDArray[np.float64], tolerance: float) -> Assignments:
    """Solve one problem whose affinities are far apart: leave out those that are too low to be matched, and repeat.

    Each row (of the smaller side) adds its largest affinity at most. So whatever is lower than that by twice what an
    assignment lacks of all of these belongs to no better assignment, and may as well be just so low: that narrows the
    range of affinities, and with it the steps of the costs. (Twice, so that none so raised ties with the assignment.)
    Two or three rounds are what the worst of hundreds of thousands of hostile problems took.
    """
    exponent = np.frexp(np.abs(affinity).max())[1]
    affinity = np.ldexp(affinity, -exponent)
    problem = whole_problems(np.array([0, len(affinity)]), affinity.shape[1])
    smaller = 1 if affinity.shape[0] <= affinity.shape[1] else 0
    largest = affinity.max(smaller, keepdims=True)
    best, least_lacking, narrowed = np.full(len(affinity), -1), np.inf, affinity
    for _ in range(_MOST_REFINEMENTS):
        columns, prices, missing = _search(narrowed, problem, tolerance)
        lacking = _lacking(affinity, largest, columns)
        if lacking <= least_lacking:
            best, least_lacking = columns, lacking
        if lacking == 0:
            return Assignments(best, np.zeros_like(prices[0]))
        if missing <= _allowed(affinity, problem, columns, missing, tolerance):
            break
        narrowed = np.maximum(affinity, largest - 2 * least_lacking)
    return Assignments(best, np.ldexp(prices[0], exponent))


def _lacking(affinity: NDArray[np.float64], largest: NDArray[np.float64], columns: NDArray[np.int64]) -> float:
    """Return what an assignment is worth less than the largest affinities of the smaller side together."""
    rows = np.flatnonzero(columns >= 0)
    of_matched = np.broadcast_to(largest, affinity.shape)[rows, columns[rows]]
    return float((of_matched - affinity[rows, columns[rows]]).sum())


def _search(
    affinities: NDArray[np.floating], problems: NDArray[np.int64], tolerance: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    rows, cols = (problems[:, 1::2] - problems[:, ::2]).max(0).tolist()
    work = search.make_workspace(rows, cols, affinities.dtype)
    columns = np.full(len(affinities), -1)
    prices = np.zeros((len(problems), max(rows, cols)))
    missing = np.empty(len(problems))
    search.search_batch(affinities, problems, work, tolerance, columns, prices, missing)
    return columns, prices, missing


def _allowed(
    affinities: NDArray[np.floating],
    problems: NDArray[np.int64],
    columns: NDArray[np.int64],
    missing: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.float64]:
    """Return how much may be missing from each value."""
    offsets = np.append(problems[:, 0], len(affinities))  # rows of no problem have no column
    found = np.empty(len(missing))
    if tolerance:
        values.aligned_values(affinities, offsets, columns, found)
        return tolerance * np.abs(found + missing)
    values.aligned_magnitudes(affinities, offsets, columns, found)
    return _FINE_ENOUGH[affinities.dtype] * found
