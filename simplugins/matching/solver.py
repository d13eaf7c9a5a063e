# SPDX-License-Identifier: Apache-2.0
"""Solves batches of assignment problems, exactly or to a tolerance."""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from simplugins.matching import integer_costs, linear_assignment, objective
from simplugins.matching.assignment_problems import whole_problems
from simplugins.matching.matcher import Assignments

EXACT = {np.dtype(np.float32): 2.0**-20, np.dtype(np.float64): 2.0**-44}
"""Shortfall up to which a value counts as exact, relative to the magnitude of the matched affinities. Problems with a
larger bound, by quantisation and by the dual prices, are solved again on a finer scale."""

MAX_NARROWINGS, MAX_REFINEMENTS = 3, 8
"""Maximum number of rounds in which dual prices narrow the range of a problem, and in which row maxima do so."""

KEPT_ENTRIES = 2**14
"""Largest number of affinities of a problem whose workspace a thread keeps."""

_NONE = np.empty(0, np.int64)


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
    columns, prices, shortfall = _assign(affinities, problems, tolerance)
    exact = EXACT[affinities.dtype]
    for problem in _unproven(affinities, problems, columns, shortfall, tolerance, exact):
        start, stop, first, end = problems[problem]
        block = np.ascontiguousarray(affinities[start:stop, first:end])
        found = np.where(columns[start:stop] < 0, -1, columns[start:stop] - first)
        refined = _refine(block, found, prices[problem, : max(block.shape)], tolerance, exact)
        columns[start:stop] = np.where(refined.columns < 0, -1, refined.columns + first)
        prices[problem, : max(block.shape)] = refined.prices
    return Assignments(columns, prices)


def _refine(
    affinity: NDArray[np.floating],
    columns: NDArray[np.int64],
    prices: NDArray[np.float64],
    tolerance: float,
    exact: float,
) -> Assignments:
    """Prove that an assignment is acceptable, or solve what its dual prices leave open, on a scale that suits it."""
    shortfall, allowed = objective.prove(affinity, columns, prices, tolerance, exact)
    for _ in range(MAX_NARROWINGS):
        if shortfall <= allowed < np.inf:
            return Assignments(columns, prices)
        if not np.isfinite(2 * shortfall):
            break
        columns, prices = _narrow(affinity, prices, 2 * shortfall)
        before, (shortfall, allowed) = shortfall, objective.prove(affinity, columns, prices, tolerance, exact)
        if shortfall > before / 2:
            break
    if shortfall <= allowed < np.inf:
        return Assignments(columns, prices)
    refined = _solve_finely(affinity.astype(np.float64), tolerance, exact)
    return _better(affinity, refined, Assignments(columns, prices))


def _better(affinity: NDArray[np.floating], first: Assignments, second: Assignments) -> Assignments:
    """Return the better of two assignments, with the prices that bound the optimum more tightly."""
    exponent = np.frexp(np.abs(affinity).max())[1]

    def value(columns: NDArray[np.int64]) -> float:
        rows = np.flatnonzero(columns >= 0)
        return math.fsum(np.ldexp(affinity[rows, columns[rows]].astype(np.float64), -exponent).tolist())

    columns = max(first.columns, second.columns, key=value)
    prices = min(
        first.prices, second.prices, key=lambda prices: objective.prove(affinity, columns, prices, 0.0, 0.0)[0]
    )
    return Assignments(columns, prices)


def _narrow(
    affinity: NDArray[np.floating], prices: NDArray[np.float64], limit: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Solve one problem anew, on reduced costs and prices up to a limit; see `objective.narrow`."""
    transposed = affinity.shape[0] > affinity.shape[1]
    block = np.ascontiguousarray(affinity.T) if transposed else affinity
    narrowed = np.empty_like(block)
    objective.narrow(block, prices, limit, narrowed)
    columns, changes, _ = _assign(narrowed, whole_problems(np.array([0, len(block)]), block.shape[1]), 0.0)
    kept = np.minimum(prices, limit) if len(block) < block.shape[1] else 0.0
    prices = prices - kept + limit * changes[0]
    if not transposed:
        return columns, prices
    rows = np.full(block.shape[1], -1)
    rows[columns] = np.arange(len(block))
    return rows, prices


def _solve_finely(affinity: NDArray[np.float64], tolerance: float, exact: float) -> Assignments:
    """Solve one problem with a very wide range of affinities: narrow the range from below, and repeat.

    Each row (of the smaller side) contributes at most its largest affinity. Let d be the difference between the sum of
    these and the value of some assignment. An affinity more than 2 d below the largest of its row cannot be part of a
    better assignment, and can be raised to that level. This narrows the range of affinities, and with it the unit of
    the integer costs. (With 2 d rather than d, no assignment with a raised affinity ties with the current one.) Among
    hundreds of thousands of adversarial problems, none needed more than three rounds.
    """
    exponent = np.frexp(np.abs(affinity).max())[1]
    affinity = np.ldexp(affinity, -exponent)
    problem = whole_problems(np.array([0, len(affinity)]), affinity.shape[1])
    smaller = 1 if affinity.shape[0] <= affinity.shape[1] else 0
    largest = affinity.max(smaller, keepdims=True)
    best, least_difference, narrowed = np.full(len(affinity), -1), np.inf, affinity
    for _ in range(MAX_REFINEMENTS):
        columns, prices, shortfall = _assign(narrowed, problem, tolerance)
        difference = _difference(affinity, largest, columns)
        narrower = difference < least_difference
        if difference <= least_difference:
            best, least_difference = columns, difference
        if difference == 0:
            return Assignments(best, np.zeros_like(prices[0]))
        if not narrower or not _unproven(affinity, problem, columns, shortfall, tolerance, exact).size:
            break
        narrowed = np.maximum(affinity, largest - 2 * least_difference)
    return Assignments(best, np.ldexp(prices[0], exponent))


def _difference(affinity: NDArray[np.float64], largest: NDArray[np.float64], columns: NDArray[np.int64]) -> float:
    """Return the difference between the sum of the smaller side's largest affinities and an assignment's value."""
    rows = np.flatnonzero(columns >= 0)
    attainable = np.broadcast_to(largest, affinity.shape)[rows, columns[rows]]
    return float((attainable - affinity[rows, columns[rows]]).sum())


def _assign(
    affinities: NDArray[np.floating], problems: NDArray[np.int64], tolerance: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    rows, cols = (problems[:, 1::2] - problems[:, ::2]).max(0).tolist()
    columns = np.full(len(affinities), -1)
    prices = np.zeros((len(problems), max(rows, cols)))
    shortfall = np.empty(len(problems))
    work = _workspaces.get(rows, cols, affinities.dtype)
    linear_assignment.assign_batch(affinities, problems, work, tolerance, columns, prices, shortfall)
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


def _unproven(
    affinities: NDArray[np.floating],
    problems: NDArray[np.int64],
    columns: NDArray[np.int64],
    shortfall: NDArray[np.float64],
    tolerance: float,
    exact: float,
) -> NDArray[np.int64]:
    """Return the problems whose values may fall short of the optimum by more than is acceptable."""
    unproven = np.empty(len(problems), np.bool_)
    if objective.find_unproven(affinities, problems, columns, shortfall, tolerance, exact, unproven):
        return np.flatnonzero(unproven)
    return _NONE
