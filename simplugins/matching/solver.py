# SPDX-License-Identifier: Apache-2.0
"""Solving a batch of assignment problems to a tolerance, or exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins.matching import search, values
from simplugins.matching.contract import Assignments

_FINE_ENOUGH = 2.0**-20
"""An exact value may miss this share of the matched affinities' magnitude; more, and float64 solves the problem."""


def solve(affinities: NDArray[np.floating], problems: NDArray[np.int64], *, tolerance: float = 0.0) -> Assignments:
    """Assign the rows of each problem so that its affinities add up to the most, or to nearly that.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous, float32 or float64
    problems : (B, 4) int64 array
        First row, end of rows, first column and end of columns of each, in the order of rows, of which none is in two.
    tolerance : float, default 0
        The share of the optimum that may be missing from a value, beside float64's rounding of the largest affinity.

    Returns
    -------
    Assignments
        With the columns among all K, and for each problem the prices that prove it.
    """
    columns, prices, missing = _search(affinities, problems, tolerance)
    for problem in np.flatnonzero(missing > _allowed(affinities, problems, columns, missing, tolerance)):
        start, stop, first, end = problems[problem]
        block = affinities[start:stop, first:end].astype(np.float64, order="C")
        own_columns, own_prices, _ = _search(block, whole_problems(np.array([0, len(block)]), end - first), tolerance)
        columns[start:stop] = np.where(own_columns < 0, -1, own_columns + first)
        prices[problem, : max(block.shape)] = own_prices[0]
    return Assignments(columns, prices)


def whole_problems(offsets: NDArray[np.int64], cols: int) -> NDArray[np.int64]:
    """Return the problems that slices of rows make with all columns, as `solve` takes them."""
    problems = np.zeros((len(offsets) - 1, 4), np.int64)
    problems[:, 0], problems[:, 1], problems[:, 3] = offsets[:-1], offsets[1:], cols
    return problems


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
    return _FINE_ENOUGH * found
