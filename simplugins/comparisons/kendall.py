# SPDX-License-Identifier: Apache-2.0
"""Kendall's rank correlations of the similarities of all pairs of different inputs.

Both variants take all ``n = P (P - 1) / 2`` pairs among the P similarities, and subtract the number of pairs that the
two RSMs order differently from the number that they order alike. Tau-a divides the difference by n, so it stays below
1 if there are ties. Tau-b divides it by the geometric mean of the numbers of untied pairs in each RSM; SciPy, pandas,
rsatoolbox and simplugins mean tau-b if no letter is given. Nili et al. (2014) recommend tau-a where models predict
tied dissimilarities. By chance, both are 0, exactly so on average over all permutations of the inputs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.stats import kendalltau

from simplugins.comparisons.all_pairs import threads_for
from simplugins.comparisons.method import Method
from simplugins.comparisons.vectors import pair_counts, snapped
from simplugins.rsm.matrices import Matrix, Vector, off_diagonal

_ENTRY_BYTES = 64
"""Working memory of a thread per entry of a vector."""


def _order_of_pairs(values: Vector, weights: Vector | None) -> Vector:
    """Return dense ranks from 0, each repeated as often as its pair occurs."""
    ranks = np.unique(values, return_inverse=True)[1].astype(np.float64)
    return ranks if weights is None else np.repeat(ranks, weights.astype(np.int64))


def _varying_order_of_pairs(values: Vector, weights: Vector | None) -> Vector:
    ranks = _order_of_pairs(values, weights)
    return ranks if (ranks != ranks[0]).any() else np.full_like(ranks, np.nan)


def _embed_order(matrix: Matrix, counts: Vector) -> Vector:
    return _order_of_pairs(off_diagonal(matrix), pair_counts(counts))


def _embed_varying_order(matrix: Matrix, counts: Vector) -> Vector:
    return _varying_order_of_pairs(off_diagonal(matrix), pair_counts(counts))


def _tau_b(u: Matrix, v: Matrix) -> Matrix:
    def correlate(pair: tuple[Vector, Vector]) -> float:
        return float(kendalltau(*pair, method="asymptotic").statistic)  # exact p-values, unused, take long

    pairs = [(row, column) for row in u for column in v]
    with ThreadPoolExecutor(threads_for(_ENTRY_BYTES * u.shape[1])) as pool:
        return snapped(np.array(list(pool.map(correlate, pairs))).reshape(len(u), len(v)))


def _tau_a(u: Matrix, v: Matrix) -> Matrix:
    untied = np.sqrt(np.outer(_untied_share(u), _untied_share(v)))
    return np.where(untied > 0, _tau_b(u, v) * untied, 0.0)


def _untied_share(vectors: Matrix) -> Vector:
    """Return the share of pairs of entries that are not tied, for each vector of dense ranks."""
    ties = [np.bincount(vector.astype(np.int64)).astype(float) for vector in vectors]
    pairs = vectors.shape[1] * (vectors.shape[1] - 1)
    return np.array([1 - (tie * (tie - 1)).sum() / pairs for tie in ties])


tau_a = Method(
    name="rsa-kendall-tau-a",
    embed=_embed_order,
    embed_pairs=_order_of_pairs,
    relate=_tau_a,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=frozenset({"scaling", "constant", "diagonal", "monotone"}),
    reference="Kendall 1938; Nili et al. 2014",
    least_inputs=3,
)
"""Kendall's tau-a of the similarities; 0 if all similarities of an RSM are tied. O(N^2 log N) per pair of RSMs."""

tau_b = Method(
    name="rsa-kendall-tau-b",
    embed=_embed_varying_order,
    embed_pairs=_varying_order_of_pairs,
    relate=_tau_b,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=tau_a.invariances,
    reference="Kendall 1945",
    least_inputs=3,
)
"""Kendall's tau-b of the similarities, by SciPy's `kendalltau`. O(N^2 log N) per pair of RSMs."""
