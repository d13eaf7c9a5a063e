# SPDX-License-Identifier: Apache-2.0
"""Upper bounds on the aligned inner product of two inputs: from norms alone, and from their affinities.

If both inputs have S positions, the part of the affinities that depends on a single position is the same for all
matchings. The product is therefore that of the mean concept vectors, ``S <mean x, mean y>``, plus that of the centred
vectors, which is at most the inner product of their sorted norms (Cauchy-Schwarz and rearrangement inequalities).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.blocks import Block


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """Statistics of inputs from which bounds follow; small compared with their concept vectors.

    Attributes
    ----------
    positions : (N,) int64 array
    means : (N, C) float64 array
        Mean concept vectors.
    norms : (N, P) float64 array
        Norms of the concept vectors, largest first, padded with zeros.
    centred_norms : (N, P) float64 array
        Norms of the concept vectors minus their mean, likewise.
    squares : (N,) float64 array
        Squared Frobenius norms.
    """

    positions: NDArray[np.int64]
    means: NDArray[np.float64]
    norms: NDArray[np.float64]
    centred_norms: NDArray[np.float64]
    squares: NDArray[np.float64]

    @staticmethod
    def from_block(block: Block, width: int) -> Summary:
        """Summarise inputs; norms are padded to `width` columns, the largest number of positions."""
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

    def __repr__(self) -> str:
        return f"Summary of {len(self.positions)} inputs"


def upper_bounds(x: Summary, y: Summary) -> NDArray[np.float64]:
    """Return upper bounds on the aligned inner products of all pairs, (N, M) float64.

    If one input has fewer positions, all of them are matched: its vectors are used as they are, and only those of the
    larger input are centred. Norms are sorted, so leftover positions meet zeros.

    Examples
    --------
    >>> block = Block(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 2]))  # one input with two positions
    >>> x = Summary.from_block(block, width=2)
    >>> upper_bounds(x, x).round(6)  # equals its squared norm
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
    """Return upper bounds on the aligned inner products of a batch of problems, from all their affinities, (B,).

    Each bound is the objective of a feasible dual solution; see `simplugins.matching.objective.dual_bounds`.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous
    offsets : (B + 1,) int64 array
        Problem b has the rows ``offsets[b]:offsets[b + 1]``.
    prices : (B, P) float64 array
        Dual prices of the positions of the larger side; see `mean_prices`.
    """
    from simplugins.matching.objective import dual_bounds

    count = len(offsets) - 1
    upper = np.empty(count)
    dual_bounds(affinities, offsets, prices, np.zeros(count), upper, np.empty(count))
    return upper


def mean_prices(
    vectors: NDArray[np.floating], offsets: NDArray[np.int64], means: NDArray[np.float64], query: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return dual prices for a batch of problems: the mean affinity of each position with those of the other input.

    Parameters
    ----------
    vectors : (T, C) array
        Concept vectors of the candidates, which are the rows of the problems.
    offsets : (B + 1,) int64 array
        Candidate b has the rows ``offsets[b]:offsets[b + 1]``.
    means : (B, C) float64 array
        Mean concept vectors of the candidates.
    query : (K, C) array
        Concept vectors of the query, which are the columns of all problems.

    Returns
    -------
    (B, P) float64 array
        Prices of the columns where a candidate has no more positions than the query, else of its rows. Non-negative
        where the numbers of positions differ.
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
