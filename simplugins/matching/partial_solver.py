# SPDX-License-Identifier: Apache-2.0
"""Solves batches of partial assignment problems exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins.matching import integer_costs, objective, partial_assignment
from simplugins.matching.assignment_problems import whole_problems
from simplugins.matching.matcher import Assignments
from simplugins.matching.solver import EXACT, MAX_REFINEMENTS
from simplugins.matching.vector_scans import LANES


def solve_partially(
    affinities: NDArray[np.floating], offsets: NDArray[np.int64], counts: NDArray[np.int64], threshold: float = -np.inf
) -> Assignments:
    """Match `counts` pairs of each problem, or those pairs that exceed a threshold, at the largest possible sum.

    Parameters
    ----------
    affinities, offsets
        As for `Matcher.match_batch`.
    counts : (B,) int64 array
        The number of pairs of each problem; with a threshold, their largest number.
    threshold : float, default -inf
        If finite, the sum is that of the affinities minus the threshold, over as many pairs as are worth it.

    Returns
    -------
    Assignments
        With prices that are not negative, and the threshold as multiplier.
    """
    problems = whole_problems(offsets, affinities.shape[1])
    columns, prices, shortfall = _assign(affinities, problems, counts, threshold)
    magnitudes = np.empty(len(counts))
    objective.assignment_magnitudes(affinities, offsets, columns, magnitudes)
    for problem in np.flatnonzero(np.isinf(shortfall) | (shortfall > EXACT[affinities.dtype] * magnitudes)):
        block = affinities[offsets[problem] : offsets[problem + 1]].astype(np.float64, order="C")
        refined = _solve_finely(block, counts[problem : problem + 1], threshold)
        columns[offsets[problem] : offsets[problem + 1]] = refined.columns
        prices[problem, : max(block.shape)] = refined.prices
    multipliers = None if threshold == -np.inf else np.full(len(counts), threshold)
    return Assignments(columns, prices, multipliers)


def _assign(
    affinities: NDArray[np.floating], problems: NDArray[np.int64], counts: NDArray[np.int64], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    rows, cols = (problems[:, 1::2] - problems[:, ::2]).max(0).tolist()
    work = integer_costs.make_workspace(rows, cols, affinities.dtype)
    levels = np.zeros((3, -(-max(rows, cols) // LANES) * LANES), work.costs.dtype)
    columns = np.full(len(affinities), -1)
    prices = np.zeros((len(problems), max(rows, cols)))
    shortfall = np.empty(len(problems))
    partial_assignment.assign_pairs(affinities, problems, counts, threshold, work, levels, columns, prices, shortfall)
    return columns, prices, shortfall


def _solve_finely(affinity: NDArray[np.float64], count: NDArray[np.int64], threshold: float) -> Assignments:
    """Solve one problem with a very wide range of affinities, as `solver.solve` does.

    The largest sum of `count` row maxima (of the smaller side), or the sum of what row maxima exceed the threshold by,
    bounds every value. Let d be its distance to the value of some assignment. An affinity more than 2 d below the
    largest of its row, or below the least maximum that counts, cannot be part of a better assignment, and can be raised
    to that level.
    """
    exponent = np.frexp(np.abs(affinity).max())[1]
    affinity, threshold = np.ldexp(affinity, -exponent), float(np.ldexp(threshold, -exponent))
    problem = whole_problems(np.array([0, len(affinity)]), affinity.shape[1])
    smaller = 1 if affinity.shape[0] <= affinity.shape[1] else 0
    largest = affinity.max(smaller, keepdims=True)
    least = threshold if threshold > -np.inf else float(np.sort(largest, axis=None)[-count[0]])
    attainable = np.sort(np.maximum(largest - least, 0), axis=None)
    best, least_difference, narrowed = np.full(len(affinity), -1), np.inf, affinity
    for _ in range(MAX_REFINEMENTS):
        columns, prices, shortfall = _assign(narrowed, problem, count, threshold)
        rows = np.flatnonzero(columns >= 0)
        if threshold > -np.inf:
            rows = rows[affinity[rows, columns[rows]] > threshold]
        values = affinity[rows, columns[rows]]
        difference = float(attainable.sum() - (values - least).sum())
        if difference <= least_difference:
            best, least_difference = np.full(len(affinity), -1), difference
            best[rows] = columns[rows]
        if difference <= 0:
            return Assignments(best, np.zeros_like(prices[0]))
        if shortfall[0] <= EXACT[affinity.dtype] * np.abs(values).sum():
            break
        floor = np.maximum(largest, least) - 2 * least_difference
        narrowed = np.maximum(affinity, np.maximum(floor, threshold))
    return Assignments(best, np.ldexp(prices[0], exponent))
