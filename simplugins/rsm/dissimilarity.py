# SPDX-License-Identifier: Apache-2.0
"""Detects matrices of dissimilarities where similarities are expected."""

from __future__ import annotations

import numpy as np

from simplugins.rsm.matrices import Matrix

_HOLLOW = 1e-3
"""Largest entry of a diagonal that counts as 0, relative to the largest entry: distances computed in float32."""


def check_similarities(name: str, matrix: Matrix) -> None:
    """Check that a matrix does not hold dissimilarities, as far as its diagonal shows.

    Similarities with ``|k(i, j)| <= sqrt(k(i, i) k(j, j))``, such as kernels and aligned inner products, pass unless
    they are constant. So does a matrix whose diagonal is NaN.

    Parameters
    ----------
    name : str
        The argument that errors name.
    matrix : (N, N) array
        May hold NaN. The check takes O(N) for most similarities, O(N^2) otherwise.

    Raises
    ------
    ValueError
        If the diagonal is 0 and some other values are positive (distances, squared or cross-validated, or 1 minus
        similarities); if every input has the smallest value of its row with itself; or if the diagonal is negative, and
        smaller than the other values on average (negated kernels).

    Examples
    --------
    >>> check_similarities("values", np.array([[0.0, 2.0], [2.0, 0.0]]))
    Traceback (most recent call last):
    ValueError: values holds dissimilarities rather than similarities: ...
    """
    diagonal = matrix.diagonal()
    if len(diagonal) < 2 or _is_kernel_like(matrix, diagonal):
        return
    if reason := _reason(matrix, diagonal):
        raise ValueError(
            f"{name} holds dissimilarities rather than similarities: {reason}. Pass distances to RSM.from_distances, "
            f"squared ones with squared=True, and complements as 1 - values, which also keeps the rank correlations of "
            f"any dissimilarities; from_tool takes dissimilarity='distance', 'squared-distance' or 'complement'. "
            f"Similarities hold the similarity of each input to itself on the diagonal"
        )


def _is_kernel_like(matrix: Matrix, diagonal: Matrix) -> bool:
    """Return whether the row with the largest diagonal entry rules out dissimilarities."""
    row = matrix[int(diagonal.argmax())]
    return bool(diagonal.max() > max(row.min(), 4 * _HOLLOW * np.abs(row).max()))


def _reason(matrix: Matrix, diagonal: Matrix) -> str | None:
    """Return why a matrix must hold dissimilarities; None if nothing shows it."""
    known = ~np.isnan(diagonal)
    if not known.any():
        return None
    hollow = matrix.copy()
    np.fill_diagonal(hollow, np.nan)
    others, itself = hollow[~np.isnan(hollow)], diagonal[known]
    if not others.size:
        return None
    largest = np.abs(others).max()
    if np.abs(itself).max() <= _HOLLOW * largest:
        return "the diagonal is 0, and other values are positive" if others.max() > _HOLLOW * largest else None
    least = np.fmin.reduce(hollow, axis=1)[known]
    if not (itself > least).any():
        return "every input has the smallest value of its row with itself" if (itself < least).any() else None
    if itself.max() <= 0 and itself.mean() < others.mean():
        return "the diagonal is negative, and smaller than the other values on average"
    return None
