# SPDX-License-Identifier: Apache-2.0
"""Certificates of optimality: assignments with an upper bound on the optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.auction import Auction
from simplugins.matching.matcher import Assignments, Matcher, match_batch


@dataclass(frozen=True, repr=False)
class Certified:
    """The assignments of a batch of B problems, and bounds on their optima.

    Attributes
    ----------
    columns : (T,) int64 array
        See `matcher.Assignments`.
    values : (B,) float64 array
        Sums of the matched affinities.
    upper : (B,) float64 array
        Upper bounds on the value of any assignment; for partial matchers, of those with the same number of pairs.
    gap : (B,) float64 array
        Relative optimality gaps ``(upper - value) / |upper|``; see `objective.dual_bounds`.
    """

    columns: NDArray[np.int64]
    values: NDArray[np.float64]
    upper: NDArray[np.float64]
    gap: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"Certified({len(self.values)} problems, gap <= {self.gap.max(initial=0):.2g})"


def match_and_certify(matcher: Matcher, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Certified:
    """Match a batch of pairs and bound the optimum of each, by the matcher's dual prices or else those of an auction.

    For a partial matcher, the optimum is that of assignments with the same number of pairs; if the matcher has
    multipliers, that of the sum of affinities minus multiplier, over any number of pairs.

    Parameters
    ----------
    matcher : Matcher
    affinities, offsets
        As for `Matcher.match_batch`.

    Returns
    -------
    Certified

    Raises
    ------
    ValueError
        If the matcher returns invalid dual prices.
    """
    from simplugins.matching import objective

    assignments = match_batch(matcher, affinities, offsets)
    values, upper, gap = np.empty((3, len(offsets) - 1))
    objective.assignment_values(affinities, offsets, assignments.columns, values)
    if matcher.partial:
        _bound_partially(matcher, assignments, affinities, offsets, (values, upper, gap))
    else:
        duals = Auction().match_batch(affinities, offsets) if assignments.prices is None else assignments
        prices = _checked_prices(matcher, duals, affinities, offsets)
        objective.dual_bounds(affinities, offsets, prices, values, upper, gap)
    return Certified(assignments.columns, values, upper, gap)


def _bound_partially(
    matcher: Matcher,
    assignments: Assignments,
    affinities: NDArray[np.floating],
    offsets: NDArray[np.int64],
    results: tuple[NDArray[np.float64], ...],
) -> None:
    """Bound the values of partial assignments; without dual prices, by the best ones with the same number of pairs."""
    from simplugins.matching.partial_bounds import bound_partially
    from simplugins.matching.partial_solver import solve_partially

    counts = np.add.reduceat(assignments.columns >= 0, offsets[:-1])
    duals = assignments
    if assignments.prices is None:
        duals = solve_partially(affinities, offsets, np.maximum(counts, 1))
    prices = _checked_prices(matcher, duals, affinities, offsets)
    multipliers = np.full(len(counts), np.nan) if duals.multipliers is None else np.asarray(duals.multipliers)
    if multipliers.dtype != np.float64 or multipliers.shape != counts.shape or np.isinf(multipliers).any():
        raise ValueError(
            f"matching {matcher.name!r}: expected finite float64 multipliers of shape {counts.shape}, got "
            f"{multipliers.dtype} of shape {multipliers.shape}"
        )
    bound_partially(affinities, offsets, prices, multipliers, counts, *results)


def _checked_prices(
    matcher: Matcher, assignments: Assignments, affinities: NDArray[np.floating], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    prices = np.asarray(assignments.prices)
    rows, cols = np.diff(offsets), affinities.shape[1]
    shape = len(rows), int(max(rows.max(), cols))
    if prices.dtype != np.float64 or prices.ndim != 2 or len(prices) != shape[0] or prices.shape[1] < shape[1]:
        raise ValueError(
            f"matching {matcher.name!r}: expected float64 prices of at least shape {shape}, got {prices.dtype} of "
            f"shape {prices.shape}"
        )
    signed = (rows == cols) & (not matcher.partial)
    if not np.isfinite(prices).all() or (prices[~signed] < 0).any():
        raise ValueError(
            f"matching {matcher.name!r}: dual prices must be finite, and at least 0 if the sides differ in size or the "
            f"matching is partial"
        )
    return prices
