# SPDX-License-Identifier: Apache-2.0
"""How large the aligned inner product of two inputs can be at most: from their norms, and from their affinities.

Of S positions matched to as many, the part of affinities that depends on one position only is the same for all
matchings. So the product is that of the mean concept vectors, ``S <mean x, mean y>``, plus that of the centred vectors;
and the latter is at most the inner product of their sorted norms (Cauchy, Schwarz, and the rearrangement inequality).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.blocks import Block


@dataclass(frozen=True)
class Summary:
    """What bounds need of inputs: little beside their concept vectors.

    Attributes
    ----------
    positions : (N,) int64 array
    means : (N, C) float64 array
        Mean concept vectors.
    norms : (N, P) float64 array
        Norms of the concept vectors, largest first, then zeros.
    centred_norms : (N, P) float64 array
        Those of the concept vectors minus their mean.
    squares : (N,) float64 array
        Squared norms of all of an input's vectors.
    """

    positions: NDArray[np.int64]
    means: NDArray[np.float64]
    norms: NDArray[np.float64]
    centred_norms: NDArray[np.float64]
    squares: NDArray[np.float64]

    @staticmethod
    def of(block: Block, width: int) -> Summary:
        """Summarise inputs; norms are padded to so many columns, the most positions there are."""
        positions = np.diff(block.offsets)
        means = np.empty((len(positions), block.vectors.shape[1]))
        norms, centred = np.zeros((2, len(positions), width))
        for i, (start, stop) in enumerate(zip(block.offsets[:-1], block.offsets[1:], strict=True)):
            vectors = block.vectors[start:stop].astype(np.float64)
            means[i] = vectors.mean(0)
            norms[i, : stop - start] = _sorted_norms(vectors)
            centred[i, : stop - start] = _sorted_norms(vectors - means[i])
        return Summary(positions, means, norms, centred, np.square(norms).sum(1))

    def rows(self, start: int, stop: int) -> Summary:
        """Return the inputs from `start` to `stop`, without a copy."""
        part = slice(start, stop)
        return Summary(
            self.positions[part], self.means[part], self.norms[part], self.centred_norms[part], self.squares[part]
        )


def upper_bounds(x: Summary, y: Summary) -> NDArray[np.float64]:
    """Return how large the aligned inner products of all pairs can be, (N, M) float64.

    Where one input has fewer positions, all of these are matched: its vectors are taken as they are, and only those of
    the other are centred. Positions that are left over then add nothing, as norms are sorted.

    Examples
    --------
    >>> block = Block(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 2]))  # one input with two positions
    >>> x = Summary.of(block, width=2)
    >>> upper_bounds(x, x).round(6)  # and its squared norm
    array([[8.]])
    """
    fewer = np.minimum(x.positions[:, None], y.positions[None, :])
    products = fewer * (x.means @ y.means.T)
    equal = x.positions[:, None] == y.positions[None, :]
    if equal.all():
        return products + x.centred_norms @ y.centred_norms.T
    smaller = x.positions[:, None] < y.positions[None, :]
    spread = np.where(smaller, x.norms @ y.centred_norms.T, x.centred_norms @ y.norms.T)
    return products + np.where(equal, x.centred_norms @ y.centred_norms.T, spread)


def bounds_of_affinities(
    affinities: NDArray[np.floating], offsets: NDArray[np.int64], prices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how large the aligned inner products of a batch of problems can be, from all their affinities, (B,).

    A feasible solution of the dual problem (see `simplugins.matching.objective.dual_bounds`), for prices that nothing
    was spent on.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous
    offsets : (B + 1,) int64 array
        Problem b has the rows ``offsets[b]:offsets[b + 1]``.
    prices : (B, P) float64 array
        A price for each position of the larger side.
    """
    from simplugins.matching.objective import dual_bounds

    count = len(offsets) - 1
    upper = np.empty(count)
    dual_bounds(affinities, offsets, prices, np.zeros(count), upper, np.empty(count))
    return upper


def mean_prices(
    vectors: NDArray[np.floating], offsets: NDArray[np.int64], means: NDArray[np.float64], query: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return prices for a batch of problems: of each position, its mean affinity with the other input's positions.

    Parameters
    ----------
    vectors : (T, C) array
        Concept vectors of the candidates, one after the other: the rows of the problems.
    offsets : (B + 1,) int64 array
        Where each candidate's begin.
    means : (B, C) float64 array
        Their mean concept vectors.
    query : (K, C) array
        The concept vectors of the query: the columns of all problems.

    Returns
    -------
    (B, P) float64 array
        Of the columns, where a candidate has no more positions than the query; of its rows, where it has more. At least
        0 where sides are unequal.
    """
    rows, columns = np.diff(offsets), len(query)
    prices = np.zeros((len(rows), max(columns, int(rows.max()))))
    prices[:, :columns] = means @ query.T.astype(np.float64)
    for i in np.flatnonzero(rows > columns):
        prices[i] = 0
        prices[i, : rows[i]] = vectors[offsets[i] : offsets[i + 1]].astype(np.float64) @ query.mean(0, np.float64)
    for i in np.flatnonzero(rows != columns):
        used = slice(max(rows[i], columns))
        prices[i, used] -= prices[i, used].min()
    return prices


def _sorted_norms(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the norms of vectors, largest first."""
    return -np.sort(-np.sqrt(np.square(vectors).sum(1)))
