# SPDX-License-Identifier: Apache-2.0
"""Representational similarity analysis: correlations of the similarities of all pairs of different inputs.

Only the upper triangle is used, without the diagonal. Two RSMs have the same correlation as two RDMs whose entries are
a decreasing function of theirs (a linear one, for Pearson's correlation); the sign flips if an RSM is compared with an
RDM. Under rank correlations, cosine and RBF RSMs therefore agree with their distances; linear RSMs do not, because
their distances also depend on the diagonal. The cosine is not centred, and differs between RSMs and RDMs.

By chance, the correlations are 0, exactly so on average over all permutations of the inputs. The cosine is not: if
similarities vary little about their mean, it is close to 1 for any two RSMs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.method import Method
from simplugins.comparisons.vectors import cosines, pair_counts, scaled, unit, weighted
from simplugins.rsm.matrices import Matrix, Vector, off_diagonal

_COUNTED = 4
"""Whole numbers up to this multiple of their number are counted rather than sorted."""


def ranks(values: Vector, counts: Vector | None = None) -> Vector:
    """Return the ranks of values, from 1; ties share their average rank.

    Parameters
    ----------
    values : (P,) array
    counts : (P,) array, optional
        Number of occurrences of each value; by default 1.

    Returns
    -------
    (P,) float64 array

    Examples
    --------
    >>> ranks(np.array([5.0, 2.0, 2.0]))
    array([3. , 1.5, 1.5])
    >>> ranks(np.array([5.0, 2.0]), np.array([1.0, 3.0]))  # the values 5, 2, 2, 2
    array([4., 2.])
    """
    dense = _dense(values)
    ties = np.bincount(dense, counts)
    return (ties.cumsum() - (ties - 1) / 2)[dense]


def _dense(values: Vector) -> NDArray[np.int64]:
    """Return whole numbers from 0 in the order of the values; small whole numbers are returned as they are."""
    if values.min() >= 0 and values.max() < _COUNTED * values.size:
        whole = values.astype(np.int64)
        if (whole == values).all():
            return whole
    return np.unique(values, return_inverse=True)[1]


def _correlated(values: Vector, weights: Vector | None) -> Vector:
    """Return the unit vector whose inner products are Pearson correlations."""
    deviations = values - np.average(values, weights=weights)
    return unit(weighted(deviations, weights), values)


def _values_of_pairs(values: Vector, weights: Vector | None) -> Vector:
    return _correlated(scaled(values), weights)


def _ranks_of_pairs(values: Vector, weights: Vector | None) -> Vector:
    return _correlated(ranks(values, weights), weights)


def _directions_of_pairs(values: Vector, weights: Vector | None) -> Vector:
    values = scaled(values)
    return unit(weighted(values, weights), values)


def _embed_values(matrix: Matrix, counts: Vector) -> Vector:
    return _values_of_pairs(off_diagonal(matrix), pair_counts(counts))


def _embed_ranks(matrix: Matrix, counts: Vector) -> Vector:
    return _ranks_of_pairs(off_diagonal(matrix), pair_counts(counts))


def _embed_directions(matrix: Matrix, counts: Vector) -> Vector:
    return _directions_of_pairs(off_diagonal(matrix), pair_counts(counts))


rsa_pearson = Method(
    name="rsa-pearson",
    embed=_embed_values,
    embed_pairs=_values_of_pairs,
    relate=cosines,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=frozenset({"scaling", "constant", "diagonal"}),
    reference="Kriegeskorte et al. 2008",
    least_inputs=3,
)
"""Pearson's correlation of the similarities."""

rsa_spearman = Method(
    name="rsa-spearman",
    embed=_embed_ranks,
    embed_pairs=_ranks_of_pairs,
    relate=cosines,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=frozenset({"scaling", "constant", "diagonal", "monotone"}),
    reference="Kriegeskorte et al. 2008",
    least_inputs=3,
)
"""Spearman's correlation of the similarities; ties share their average rank. O(N^2 log N) per matrix."""

rsa_cosine = Method(
    name="rsa-cosine",
    embed=_embed_directions,
    embed_pairs=_directions_of_pairs,
    relate=cosines,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=frozenset({"scaling", "diagonal"}),
    reference="Walther et al. 2016; Diedrichsen et al. 2020, arXiv:2007.02789",
    least_inputs=3,
)
"""Cosine of the similarities: a correlation without centring. For the single pair of 2 inputs it is 1 or -1.

By chance: ``mean(K) mean(L) / (rms(K) rms(L))`` of the entries off the diagonal. For semantic cosine RSMs of
independent random activations that are positive, as after a ReLU, 0.998 at 8 channels and 1.000 at 512.
"""
