# SPDX-License-Identifier: Apache-2.0
"""The normalised Frobenius distance between two RSMs."""

from __future__ import annotations

import numpy as np

from simplugins.comparisons.method import Method
from simplugins.comparisons.vectors import cosines, scaled, unit, with_diagonal
from simplugins.rsm.matrices import Matrix, Vector


def chords(u: Vector, v: Vector) -> Matrix:
    """Return the distances between unit vectors, (A, D) and (B, D) to (A, B)."""
    return np.sqrt(2 - 2 * cosines(u, v))


def _embed(matrix: Matrix, counts: Vector) -> Vector:
    vector = with_diagonal(scaled(matrix), counts)
    return unit(vector, vector)


norm_difference = Method(
    name="norm-difference",
    embed=_embed,
    relate=chords,
    larger_is_more_similar=False,
    is_metric=True,
    range=(0.0, 2.0),
    invariances=frozenset({"scaling"}),
    reference="Klabunde et al. 2025, arXiv:2305.06329, with RSMs scaled to norm 1",
)
"""The Frobenius norm of the difference of two RSMs, each divided by its own norm: ``|K / |K| - L / |L||``.

The diagonal is included, and nothing is centred. At most the square root of 2 for positive semi-definite matrices.
Cosines within 1e-13 of 1 count as 1, so distances below 4.5e-7 are 0.

By chance: small, as nothing is centred. For semantic cosine RSMs of independent random activations that are positive,
as after a ReLU, 0.05 at 8 channels and 0.01 at 512.
"""
