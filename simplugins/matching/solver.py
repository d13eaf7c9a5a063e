# SPDX-License-Identifier: Apache-2.0
"""Solves batches of assignment problems, exactly or to a tolerance."""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from simplugins.matching import integer_costs, linear_assignment, objective
from simplugins.matching.assignment_problems import whole_problems
from simplugins.matching.assignment_refinement import refine_batch
from simplugins.matching.integer_costs import EXACT_BITS
from simplugins.matching.matcher import Assignments

EXACT = {np.dtype(np.float32): 2.0 ** -EXACT_BITS[0], np.dtype(np.float64): 2.0 ** -EXACT_BITS[1]}
"""Shortfall up to which a value counts as exact, relative to the magnitude of the matched affinities, for float32 and
float64. Problems with a larger bound, by quantisation and by the dual prices, are refined (see
`assignment_refinement`)."""

MAX_REFINEMENTS = 8
"""Maximum number of rounds in which row maxima narrow the range of a partial problem."""

KEPT_ENTRIES = 2**14
"""Largest number of affinities of a problem whose workspace a thread keeps."""

_NONE = np.empty(0, np.int64)

_HIGHEST = float(np.finfo(np.float64).max)


def solve(affinities: NDArray[np.floating], problems: NDArray[np.int64], *, tolerance: float = 0.0) -> Assignments:
    """Assign the rows of each problem such that the sum of the matched affinities is maximal, up to the tolerance.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous, float32 or float64
    problems : (B, 4) int64 array
        First row, end of rows, first column and end of columns of each problem, sorted by rows. Problems must not share
        rows.
    tolerance : float, default 0
        The share of the optimum that a value may fall short of.

    Returns
    -------
    Assignments
        Columns, counted from the first of all K columns, and dual prices of each problem.
    """
    exact = EXACT[affinities.dtype]
    columns, prices, unproven = _solve(affinities, problems, tolerance, exact)
    for problem in unproven:
        start, stop, first, end = problems[problem]
        block, columns_of = affinities[start:stop, first:end], columns[start:stop]
        found = np.where(columns_of < 0, -1, columns_of - first)
        scaled = _solve_scaled(block, Assignments(found, prices[problem, : max(block.shape)]), tolerance, exact)
        columns_of[:] = np.where(scaled.columns < 0, -1, scaled.columns + first)
        prices[problem, : max(block.shape)] = scaled.prices
    return Assignments(columns, prices)


def _solve_scaled(affinity: NDArray[np.floating], found: Assignments, tolerance: float, exact: float) -> Assignments:
    """Solve one problem in float64, on a scale on which no sum overflows, unless what was found is better."""
    exponent = int(np.frexp(np.abs(affinity).max())[1])
    scaled = np.ldexp(affinity.astype(np.float64), -exponent)
    columns, prices, _ = _solve(
        scaled, whole_problems(np.array([0, len(affinity)]), affinity.shape[1]), tolerance, exact
    )

    def value(columns: NDArray[np.int64]) -> float:
        rows = np.flatnonzero(columns >= 0)
        return math.fsum(scaled[rows, columns[rows]].tolist())

    if value(found.columns) > value(columns):
        return found
    with np.errstate(over="ignore"):
        prices = np.ldexp(prices[0], exponent)
    return Assignments(columns, np.clip(prices, -_HIGHEST, _HIGHEST))


def _solve(
    affinities: NDArray[np.floating], problems: NDArray[np.int64], tolerance: float, exact: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return columns, prices, and the problems whose values are not proven to be acceptable."""
    columns, prices, shortfall = _assign(affinities, problems, tolerance)
    unproven = np.empty(len(problems), np.bool_)
    if not objective.find_unproven(affinities, problems, columns, shortfall, tolerance, exact, unproven):
        return columns, prices, _NONE
    sizes = problems[:, 1::2] - problems[:, ::2]
    rows, cols = sizes.max(0).tolist()
    work = _workspaces.get(rows, cols, affinities.dtype)
    copied = rows > cols or sizes[:, 1].min() < affinities.shape[1]
    spare = np.empty(rows * cols if copied else 0, affinities.dtype)
    levels = np.empty((5, max(rows, cols)))
    refine_batch(affinities, problems, unproven, tolerance, exact, work, spare, levels, columns, prices)
    return columns, prices, np.flatnonzero(unproven)


def _assign(
    affinities: NDArray[np.floating], problems: NDArray[np.int64], tolerance: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    rows, cols = (problems[:, 1::2] - problems[:, ::2]).max(0).tolist()
    columns = np.full(len(affinities), -1)
    prices = np.zeros((len(problems), max(rows, cols)))
    shortfall = np.empty(len(problems))
    work = _workspaces.get(rows, cols, affinities.dtype)
    linear_assignment.assign_batch(affinities, problems, work, tolerance or None, columns, prices, shortfall)
    return columns, prices, shortfall


class _Workspaces(threading.local):
    """Keeps each thread's most recent workspace if it is small, since small problems are solved in little time."""

    size: tuple[int, int, np.dtype[np.floating]] | None = None
    latest: integer_costs.Workspace

    def get(self, rows: int, cols: int, dtype: np.dtype[np.floating]) -> integer_costs.Workspace:
        """Return a workspace for problems of a size."""
        if self.size == (rows, cols, dtype):
            return self.latest
        work = integer_costs.make_workspace(rows, cols, dtype)
        if rows * cols <= KEPT_ENTRIES:
            self.size, self.latest = (rows, cols, dtype), work
        return work


_workspaces = _Workspaces()
