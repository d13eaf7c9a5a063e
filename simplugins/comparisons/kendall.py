# SPDX-License-Identifier: Apache-2.0
"""Kendall's rank correlations of the similarities of all pairs of different inputs.

For P pairs of inputs, both count how many of the ``n = P (P - 1) / 2`` pairs of these are ordered alike in both RSMs,
minus how many otherwise. Tau-a divides by n; so it stays below 1 where similarities are equal. Tau-b divides by the
geometric mean of how many are not equal in each. What is called Kendall's tau without a letter, by SciPy, pandas and
rsatoolbox, is tau-b, and here too. Tau-a is what Nili et al. (2014) advise where models predict equal dissimilarities.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.all_pairs import threads
from simplugins.comparisons.concordance import concordance
from simplugins.comparisons.method import Method
from simplugins.comparisons.vectors import pair_counts
from simplugins.rsm.matrices import Matrix, Vector, off_diagonal

_BYTES_AN_ENTRY = 32
"""What a thread needs for each entry of a vector."""


def _embed_order(matrix: Matrix, counts: Vector) -> Vector:
    """Return dense ranks from 0, of each pair as often as it occurs."""
    places = np.unique(off_diagonal(matrix), return_inverse=True)[1].astype(np.float64)
    weights = pair_counts(counts)
    return places if weights is None else np.repeat(places, weights.astype(np.int64))


def _embed_varying_order(matrix: Matrix, counts: Vector) -> Vector:
    places = _embed_order(matrix, counts)
    return places if (places != places[0]).any() else np.full_like(places, np.nan)


def _tau_a(u: Vector, v: Vector) -> Matrix:
    return _balances(u, v) / _pairs(u.shape[1])


def _tau_b(u: Vector, v: Vector) -> Matrix:
    ordered = np.outer(_ordered(u), _ordered(v))
    undefined = np.full(ordered.shape, np.nan)
    return np.divide(_balances(u, v), np.sqrt(ordered), out=undefined, where=ordered > 0)  # type: ignore[no-any-return]


def _balances(u: Vector, v: Vector) -> Matrix:
    """Return how many pairs of entries two vectors order alike minus how many otherwise, for each of two vectors."""
    return np.array([_balances_of(places, v) for places in map(_places, u)])


def _balances_of(places: NDArray[np.int64], v: Vector) -> Vector:
    order = np.argsort(places)
    ascending = places[order]

    def balance(other: Vector) -> float:
        return float(concordance(ascending, _places(other)[order]))

    with ThreadPoolExecutor(threads(_BYTES_AN_ENTRY * order.size)) as pool:
        return np.array(list(pool.map(balance, v)))


def _ordered(vectors: Vector) -> Vector:
    """Return how many pairs of a vector's entries are not equal."""
    equals = [np.bincount(places).astype(float) for places in map(_places, vectors)]
    return np.array([_pairs(vectors.shape[1]) - (equal * (equal - 1) / 2).sum() for equal in equals])


def _places(vector: Vector) -> NDArray[np.int64]:
    """Return dense ranks as integers; if they are undefined, all are equal."""
    return np.nan_to_num(vector).astype(np.int64)


def _pairs(count: int) -> float:
    return count * (count - 1) / 2


tau_a = Method(
    name="rsa-kendall-tau-a",
    embed=_embed_order,
    relate=_tau_a,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=frozenset({"scaling", "constant", "diagonal", "monotone"}),
    reference="Kendall 1938; Nili et al. 2014",
    least_inputs=3,
)
"""Kendall's tau-a of the similarities; 0 if those of one RSM are all equal. O(N^2 log N) for two matrices."""

tau_b = Method(
    name="rsa-kendall-tau-b",
    embed=_embed_varying_order,
    relate=_tau_b,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=tau_a.invariances,
    reference="Kendall 1945",
    least_inputs=3,
)
"""Kendall's tau-b of the similarities. O(N^2 log N) for two matrices."""
