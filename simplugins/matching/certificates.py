# SPDX-License-Identifier: Apache-2.0
"""What a matching found, and a proof of how far that may be from the best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.auction import Auction
from simplugins.matching.matcher import Assignments, Matcher, match_batch


@dataclass(frozen=True)
class Certified:
    """The assignments of a batch of B problems, and what is proven of them.

    Attributes
    ----------
    columns : (T,) int64 array
        As in `contract.Assignments`.
    values : (B,) float64 array
        Sums of the matched affinities.
    upper : (B,) float64 array
        What no assignment can exceed.
    gap : (B,) float64 array
        ``(upper - value) / |upper|``; see `values.certify`.
    """

    columns: NDArray[np.int64]
    values: NDArray[np.float64]
    upper: NDArray[np.float64]
    gap: NDArray[np.float64]


def match_and_certify(matcher: Matcher, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Certified:
    """Match a batch of pairs, and bound the optimum of each by the matcher's prices, or else by those of an auction.

    Parameters
    ----------
    matcher : Matcher
    affinities : (T, K) array, C-contiguous, float32 or float64
    offsets : (B + 1,) int64 array
        Both as for `Matcher.match_batch`.

    Returns
    -------
    Certified

    Raises
    ------
    ValueError
        If a matcher returns what cannot be dual prices.
    """
    from simplugins.matching import values

    assignments = match_batch(matcher, affinities, offsets)
    prices = _prices(matcher, assignments, affinities, offsets)
    found, upper, gap = np.empty((3, len(offsets) - 1))
    values.aligned_values(affinities, offsets, assignments.columns, found)
    values.certify(affinities, offsets, prices, found, upper, gap)
    return Certified(assignments.columns, found, upper, gap)


def _prices(
    matcher: Matcher, assignments: Assignments, affinities: NDArray[np.floating], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    if assignments.prices is None:
        assignments = Auction().match_batch(affinities, offsets)
    prices = np.asarray(assignments.prices)
    rows, cols = np.diff(offsets), affinities.shape[1]
    least = len(rows), int(max(rows.max(), cols))
    if prices.dtype != np.float64 or prices.ndim != 2 or len(prices) != least[0] or prices.shape[1] < least[1]:
        raise ValueError(
            f"matching {matcher.name!r}: expected float64 prices of at least shape {least}, got {prices.dtype} of "
            f"shape {prices.shape}"
        )
    unequal = rows != cols
    if not np.isfinite(prices).all() or (prices[unequal] < 0).any():
        raise ValueError(f"matching {matcher.name!r}: prices must be finite, and where sides differ at least 0")
    return prices
