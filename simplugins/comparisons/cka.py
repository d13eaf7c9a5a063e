# SPDX-License-Identifier: Apache-2.0
"""Centred kernel alignment: the cosine of two RSMs after centring, biased, debiased, and as an angle.

The estimators differ in how they treat the diagonal, and therefore in their chance levels. The biased estimator
centres the whole matrix; for N random inputs with many features it approaches 1. The debiased estimator excludes the
diagonal, and is 0 on average if features are independent. A third estimator, which excludes the diagonal after centring
(Lange et al. 2023), is not implemented.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.method import Method
from simplugins.comparisons.vectors import cosines, pair_counts, scaled, unit, weighted, with_diagonal
from simplugins.rsm.matrices import Matrix, Vector, centred, off_diagonal, row_sums

_SINGULAR = 1e-9
"""Size of a denominator that is attributed to rounding."""
_MUCH, _LITTLE = 0.5, 0.1
"""Biased CKA is near chance if chance explains this much of it, and it exceeds chance by this share of the rest.

That share is about the debiased CKA."""


def u_centred(matrix: Matrix, counts: Vector) -> Vector:
    """Return the entries off the diagonal minus their least-squares fit by ``r_i + r_j``.

    If every input occurs once, this is U-centring (Székely and Rizzo 2014), and inner products of the results are the
    unbiased HSIC of Song et al. (2012), times ``N (N - 3) / 2``. In a resample, pairs of different inputs are weighted
    by their number of occurrences, and pairs of an input with itself are excluded, so that the inner product is still 0
    on average if features are independent.

    Parameters
    ----------
    matrix : (N, N) array
        Symmetric; its diagonal is ignored.
    counts : (N,) array
        Number of occurrences of each input.

    Returns
    -------
    (N (N - 1) / 2,) float64 array
        Multiplied by the square roots of the pairs' numbers of occurrences.

    Examples
    --------
    >>> u_centred(np.add.outer(np.arange(4.0), np.arange(4.0)), np.ones(4)).round(12)
    array([0., 0., 0., 0., 0., 0.])
    """
    sums = row_sums(matrix, counts) - matrix.diagonal() * counts
    free = counts.sum() - 2 * counts
    if free.all():
        total = (counts @ (sums / free)) / (1 + counts @ (1 / free))
        fit = (sums - total) / free
    else:  # one input is half of the resample
        fit = np.linalg.solve(np.diag(free) + counts, sums)
    residuals = matrix - fit[:, None]
    residuals -= fit
    return weighted(off_diagonal(residuals), pair_counts(counts))


def u_centred_groups(matrix: Matrix, counts: Vector, groups: NDArray[np.int64]) -> Vector:
    """Return what `u_centred` does if whole groups were drawn: pairs of different copies of a group are excluded.

    Parameters
    ----------
    matrix : (N, N) array
        Symmetric; its diagonal is ignored.
    counts : (N,) array
        Number of occurrences of each input, equal within a group.
    groups : (N,) int64 array
        The group of each input.

    Returns
    -------
    (N (N - 1) / 2,) float64 array
        Multiplied by the square roots of the pairs' numbers of occurrences.
    """
    weights = np.where(groups[:, None] == groups, counts, np.outer(counts, counts))
    np.fill_diagonal(weights, 0)
    sums = np.einsum("ij,ij->i", weights, matrix)
    fit = _additive_fit(sums, counts, groups)
    if fit is None:
        fit = np.linalg.lstsq(np.diag(weights.sum(1)) + weights, sums, rcond=None)[0]
    residuals = matrix - fit[:, None]
    residuals -= fit
    return weighted(off_diagonal(residuals), off_diagonal(weights))


def _additive_fit(sums: Vector, counts: Vector, groups: NDArray[np.int64]) -> Vector | None:
    """Return the r of the weighted least-squares fit by ``r_i + r_j``, given the weighted sums of rows.

    The normal equations are solved for the sums of r within groups, and these for r. None where that would divide by
    0, as if a group is half of the resample.
    """
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    copies = np.empty(len(sizes))
    copies[number] = counts
    means = sums / counts
    divisors = counts.sum() - 2 * sizes * copies + 2 * sizes - 2
    free = divisors + sizes * (copies - 1)
    if not (divisors.all() and free.all()) or abs(spread := 1 + copies @ (sizes / divisors)) < _SINGULAR:
        return None
    group_means = np.bincount(number, means)
    total = copies @ (group_means / divisors) / spread
    inner = (group_means - sizes * total) / divisors
    return np.asarray((means - total + ((copies - 1) * inner)[number]) / free[number])


def angles(u: Vector, v: Vector) -> Matrix:
    """Return the angles between unit vectors, in radians, (A, D) and (B, D) to (A, B)."""
    return np.arccos(cosines(u, v))


def expected_cka(u: Vector, v: Vector) -> Matrix:
    """Return the mean of biased CKA over all permutations of the inputs of one RSM, (A, D) and (B, D) to (A, B).

    ``tr(HKH) tr(HLH) / ((N - 1) |HKH| |HLH|)``, exactly: a permutation takes each diagonal entry to all places of the
    diagonal equally often, and each other entry to all other places.

    Parameters
    ----------
    u, v : arrays of vectors
        As embedded for `cka`: the diagonal comes first.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(2, 60, 512))
    >>> u, v = (cka.embed(x @ x.T, np.ones(60))[None] for x in features)
    >>> expected_cka(u, v).round(3)
    array([[0.894]])
    """
    inputs = (isqrt(8 * u.shape[1] + 1) - 1) // 2
    traces: Matrix = np.outer(u[:, :inputs].sum(1), v[:, :inputs].sum(1))
    return traces / (inputs - 1)


def _cka_near_chance(u: Matrix, v: Matrix, values: Matrix) -> Matrix:
    """Return expected values above 1/2, where CKA exceeds them by less than a tenth of the way to 1."""
    expected = expected_cka(u, v)
    near = (expected > _MUCH) & (values - expected < _LITTLE * (1 - expected))
    return np.where(near, expected, np.nan)


def _angle_near_chance(u: Matrix, v: Matrix, values: Matrix) -> Matrix:
    return np.arccos(_cka_near_chance(u, v, np.cos(values)))


def _embed_centred(matrix: Matrix, counts: Vector) -> Vector:
    values = scaled(matrix)
    return unit(with_diagonal(centred(values, counts), counts), values)


def _hollow(matrix: Matrix) -> Matrix:
    hollow = matrix.copy()
    np.fill_diagonal(hollow, 0)
    return scaled(hollow)


def _embed_u_centred(matrix: Matrix, counts: Vector) -> Vector:
    values = _hollow(matrix)
    return unit(u_centred(values, counts), values)


def _embed_u_centred_groups(matrix: Matrix, counts: Vector, groups: NDArray[np.int64]) -> Vector:
    values = _hollow(matrix)
    return unit(u_centred_groups(values, counts, groups), values)


cka = Method(
    name="cka",
    embed=_embed_centred,
    relate=cosines,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=frozenset({"scaling", "constant", "translation"}),
    reference="Kornblith et al. 2019, arXiv:1905.00414; Cortes et al. 2012",
    least_inputs=3,
    near_chance=_cka_near_chance,
)
"""CKA with the biased HSIC of Gretton et al. (2005): ``<HKH, HLH> / (|HKH| |HLH|)``.

At least 0 for positive semi-definite matrices, which RSMs of matched positions need not be. CKA of squared distances
``K_ii + K_jj - 2 K_ij`` equals CKA of the RSMs. It needs 3 inputs: the CKA of 2 is always 1 or -1.

By chance: `expected_cka`, which approaches 1 as channels grow. Semantic cosine RSMs of independent random activations
of 60 inputs and 25 positions have 0.70 at 8 channels, 0.982 at 64 and 0.999 at 512. A RuntimeWarning says so where
chance explains more than half of the value, and the value exceeds chance by less than a tenth of the way to 1.
"""

cka_debiased = Method(
    name="cka-debiased",
    embed=_embed_u_centred,
    embed_groups=_embed_u_centred_groups,
    relate=cosines,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=frozenset({"scaling", "constant", "translation", "diagonal"}),
    reference="Nguyen et al. 2021, arXiv:2010.15327; Song et al. 2012",
    least_inputs=4,
)
"""CKA with the unbiased HSIC of Song et al. (2012), which applies to RSMs as to any kernel; it may be negative.

By chance: 0, exactly so on average over all permutations of the inputs.
"""

angular_cka = Method(
    name="angular-cka",
    embed=_embed_centred,
    relate=angles,
    larger_is_more_similar=False,
    is_metric=True,
    range=(0.0, float(np.pi)),
    invariances=cka.invariances,
    reference="Williams et al. 2021, arXiv:2110.14739",
    least_inputs=3,
    near_chance=_angle_near_chance,
)
"""The arc cosine of (biased) CKA, in radians: the angle between centred matrices.

A metric on all symmetric matrices, like any angle between vectors; at most pi / 2 for positive semi-definite matrices,
and at most pi for others. CKA within 1e-13 of 1 counts as 1, so angles below 4.5e-7 are 0.

By chance: the arc cosine of what `cka` has, such as 0.80, 0.19 and 0.05, with the same warning.
"""
