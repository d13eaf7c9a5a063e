# SPDX-License-Identifier: Apache-2.0
"""Symmetric matrices as vectors of pairs of inputs, and what most methods do with them.

Each pair of different inputs counts once, in the order of the rows of the upper triangle. Counts say how often each
input occurs: once, or more often in a resample, where the pair of inputs i and j then occurs ``counts[i] counts[j]``
times.
"""

from __future__ import annotations

from math import frexp, ldexp, sqrt

import numpy as np

from simplugins.rsm.matrices import Matrix, Vector, off_diagonal

_CONSTANT = 1e-12
"""What centring leaves of equal values, relative to them: the rounding of long sums, and no variation."""

_PLAIN_EXPONENT = 400
"""Numbers whose binary exponents are below this, either way, can be squared and added up."""

_ONE = 1e-13
"""How far from 1 the product of a unit vector with itself may be."""


def pair_counts(counts: Vector) -> Vector | None:
    """Return how often each pair of different inputs occurs, (N,) to (N (N - 1) / 2,); None if each occurs once."""
    return None if (counts == 1).all() else off_diagonal(np.outer(counts, counts))


def weighted(values: Vector, weights: Vector | None) -> Vector:
    """Return values whose inner products count each pair as often as it occurs."""
    return values if weights is None else values * np.sqrt(weights)


def with_diagonal(matrix: Matrix, counts: Vector) -> Vector:
    """Return a vector whose inner products are those of whole matrices, (N, N) to (N (N + 1) / 2,).

    The diagonal comes first; a pair of different inputs stands for its two entries, and an input that occurs c times
    for the c^2 pairs of it with itself.

    Examples
    --------
    >>> vector = with_diagonal(np.array([[1.0, 2.0], [2.0, 3.0]]), np.ones(2))
    >>> round(float(vector @ vector), 9)  # 1 + 4 + 4 + 9
    18.0
    """
    pairs = weighted(off_diagonal(matrix), pair_counts(counts))
    return np.concatenate([matrix.diagonal() * counts, np.sqrt(2) * pairs])


def scaled(values: Matrix) -> Matrix:
    """Return values, times a power of two where their squares would overflow or vanish.

    Examples
    --------
    >>> scaled(np.array([2.0**600, 0.0]))
    array([0.5, 0. ])
    """
    exponent = frexp(max(float(values.max()), -float(values.min())))[1]
    return values if abs(exponent) < _PLAIN_EXPONENT else values * ldexp(1.0, min(-exponent, 1000))


def unit(vector: Vector, of: Matrix) -> Vector:
    """Return a vector divided by its length, or NaN throughout if that is no more than rounding of what it is made of.

    Examples
    --------
    >>> unit(np.array([3.0, 4.0]), of=np.array([3.0, 4.0]))
    array([0.6, 0.8])
    """
    length = _length(vector)
    if length <= _CONSTANT * _length(of):
        return np.full_like(vector, np.nan)
    return vector / length


def _length(values: Matrix) -> float:
    """Return the Euclidean norm, without BLAS: its threads cost more than they save here, if cores are busy."""
    return sqrt(np.square(values).sum())


def cosines(u: Vector, v: Vector) -> Matrix:
    """Return the inner products of unit vectors, (A, D) and (B, D) to (A, B); those within rounding of 1 are 1."""
    with np.errstate(invalid="ignore"):
        found = u @ v.T
    return np.where(np.abs(found) > 1 - _ONE, np.sign(found), found)
