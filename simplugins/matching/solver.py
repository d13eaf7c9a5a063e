# SPDX-License-Identifier: Apache-2.0
"""Solving a batch of assignment problems to a tolerance, or exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins.matching import search, values
from simplugins.matching.contract import Assignments

_FINE_ENOUGH = 2.0**-20
"""An exact value may miss this share of the matched affinities' magnitude; more, and float64 solves the problem."""


def solve(affinities: NDArray[np.floating], offsets: NDArray[np.int64], *, tolerance: float = 0.0) -> Assignments:
    """Assign the rows of each problem so that its affinities add up to the most, or to nearly that.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous, float32 or float64
        Problem b has the rows ``offsets[b]:offsets[b + 1]``.
    offsets : (B + 1,) int64 array
    tolerance : float, default 0
        The share of the optimum that may be missing from a value.

    Returns
    -------
    Assignments
        With the prices that prove it.

    Raises
    ------
    ValueError
        If even float64 cannot tell affinities so far apart from each other, so that the tolerance cannot be proven.
    """
    columns, prices, missing = _search(affinities, offsets, tolerance)
    for problem in np.flatnonzero(missing > _allowed(affinities, offsets, columns, missing, tolerance)):
        rows = slice(offsets[problem], offsets[problem + 1])
        block = affinities[rows].astype(np.float64)
        own_columns, own_prices, _ = _search(block, np.array([0, len(block)]), tolerance)
        if tolerance:
            _check_gap(block, own_columns, own_prices, tolerance)
        columns[rows] = own_columns
        prices[problem, : max(block.shape)] = own_prices[0]
    return Assignments(columns, prices)


def _search(
    affinities: NDArray[np.floating], offsets: NDArray[np.int64], tolerance: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    rows, cols = int(np.diff(offsets).max()), affinities.shape[1]
    work = search.make_workspace(rows, cols, affinities.dtype)
    columns = np.empty(len(affinities), np.int64)
    prices = np.zeros((len(offsets) - 1, max(rows, cols)))
    missing = np.empty(len(offsets) - 1)
    search.search_batch(affinities, offsets, work, tolerance, columns, prices, missing)
    return columns, prices, missing


def _allowed(
    affinities: NDArray[np.floating],
    offsets: NDArray[np.int64],
    columns: NDArray[np.int64],
    missing: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.float64]:
    """Return how much may be missing from each value."""
    found = np.empty(len(missing))
    if tolerance:
        values.aligned_values(affinities, offsets, columns, found)
        return tolerance * np.abs(found + missing)
    values.aligned_magnitudes(affinities, offsets, columns, found)
    return _FINE_ENOUGH * found


def _check_gap(
    affinity: NDArray[np.float64], columns: NDArray[np.int64], prices: NDArray[np.float64], tolerance: float
) -> None:
    offsets = np.array([0, len(affinity)])
    value, upper, gap = np.empty((3, 1))
    values.aligned_values(affinity, offsets, columns, value)
    values.certify(affinity, offsets, columns, prices, upper, gap)
    if gap[0] > tolerance:
        raise ValueError(
            f"affinities from {affinity.min():.3g} to {affinity.max():.3g} are too far apart to match to a tolerance "
            f"of {tolerance:g}: a gap of {gap[0]:.3g} is all that float64 can prove"
        )
