# SPDX-License-Identifier: Apache-2.0
"""Symmetric matrices as vectors of pairs of inputs, and operations that most methods share.

Each pair of different inputs counts once, in the order of the rows of the upper triangle. Counts are the numbers of
occurrences of the inputs: 1, or more in a resample, in which the pair of inputs i and j occurs ``counts[i] counts[j]``
times.
"""

from __future__ import annotations

from math import frexp, ldexp, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from simplugins.rsm.matrices import Matrix, Vector, off_diagonal

_CONSTANT = 1e-12
"""Length of centred values, relative to the values, that is attributed to the rounding of long sums."""

_PLAIN_EXPONENT = 400
"""Numbers with binary exponents of at most this size can be squared and summed."""

_ONE = 1e-13
"""Distance from 1 that is attributed to rounding."""


def pair_counts(counts: Vector, groups: NDArray[np.int64] | None = None) -> Vector | None:
    """Return the occurrences of each pair of different inputs, (N,) to (N (N - 1) / 2,); None if all are 1.

    If whole groups were drawn, a pair within a group occurs once in each copy of the group: pairs of different copies
    of a group are left out, like pairs of an input with itself.

    Parameters
    ----------
    counts : (N,) array
        Number of occurrences of each input.
    groups : (N,) int64 array, optional
        The group of each input; inputs of a group have equal counts.

    Examples
    --------
    >>> pair_counts(np.array([2.0, 2.0, 3.0]), np.array([0, 0, 1]))  # the pairs 0-1, 0-2 and 1-2
    array([2., 6., 6.])
    """
    if (counts == 1).all():
        return None
    occurrences = np.outer(counts, counts)
    if groups is not None:
        occurrences = np.where(groups[:, None] == groups, counts, occurrences)
    return off_diagonal(occurrences)


def order_of_pairs(matrix: Matrix) -> Matrix:
    """Return a matrix with the order of its entries off the diagonal, from 0, instead of the entries; ties are equal.

    Examples
    --------
    >>> order_of_pairs(np.array([[9.0, 0.2, 0.7], [0.2, 9.0, 0.2], [0.7, 0.2, 9.0]]))
    array([[0., 0., 1.],
           [0., 0., 0.],
           [1., 0., 0.]])
    """
    order = np.unique(off_diagonal(matrix), return_inverse=True)[1]
    return np.asarray(squareform(order.astype(np.float64), checks=False))


def weighted(values: Vector, weights: Vector | None) -> Vector:
    """Return values whose inner products weight each pair by its number of occurrences."""
    return values if weights is None else values * np.sqrt(weights)


def with_diagonal(matrix: Matrix, counts: Vector) -> Vector:
    """Return a vector whose inner products equal those of whole matrices, (N, N) to (N (N + 1) / 2,).

    The diagonal comes first. A pair of different inputs represents two entries, and an input that occurs c times
    represents its c^2 pairs with itself.

    Examples
    --------
    >>> vector = with_diagonal(np.array([[1.0, 2.0], [2.0, 3.0]]), np.ones(2))
    >>> round(float(vector @ vector), 9)  # 1 + 4 + 4 + 9
    18.0
    """
    pairs = weighted(off_diagonal(matrix), pair_counts(counts))
    return np.concatenate([matrix.diagonal() * counts, np.sqrt(2) * pairs])


def scaled(values: Matrix) -> Matrix:
    """Return values, multiplied by a power of two if their squares would overflow or vanish.

    Examples
    --------
    >>> scaled(np.array([2.0**600, 0.0]))
    array([0.5, 0. ])
    """
    exponent = frexp(max(float(values.max()), -float(values.min())))[1]
    return values if abs(exponent) < _PLAIN_EXPONENT else values * ldexp(1.0, min(-exponent, 1000))


def unit(vector: Vector, source: Matrix) -> Vector:
    """Return a vector divided by its length; NaN throughout if it is only the rounding error of its source values.

    Examples
    --------
    >>> unit(np.array([3.0, 4.0]), np.array([3.0, 4.0]))
    array([0.6, 0.8])
    """
    length = _length(vector)
    if length <= _CONSTANT * _length(source):
        return np.full_like(vector, np.nan)
    return vector / length


def _length(values: Matrix) -> float:
    """Return the Euclidean norm, without BLAS, whose threads cost more than they save here if cores are busy."""
    return sqrt(np.square(values).sum())


def cosines(u: Matrix, v: Matrix) -> Matrix:
    """Return the inner products of unit vectors, (A, D) and (B, D) to (A, B)."""
    with np.errstate(invalid="ignore"):
        return snapped(u @ v.T)


def snapped(correlations: Matrix) -> Matrix:
    """Return correlations, with those within rounding of 1 and -1 set to 1 and -1."""
    return np.where(np.abs(correlations) > 1 - _ONE, np.sign(correlations), correlations)
