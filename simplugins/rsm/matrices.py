# SPDX-License-Identifier: Apache-2.0
"""Matrices of inputs by inputs: whether they can be computed with, and what is often made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from simplugins._common import arrays
from simplugins._common.validation import error_prefix

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_ASYMMETRY = 1e-5
"""How far two entries that should be equal may be apart, relative to the largest: the rounding of float32 sums."""


def check_square(array: Any) -> None:
    """Check that an array is a square matrix.

    Raises
    ------
    ValueError
        If it is not.
    """
    shape = tuple(array.shape)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"expected a square matrix, inputs x inputs, got shape {shape}")


def matrix_of(name: str, given: Any) -> Matrix:
    """Return a matrix as a float64 array; a copy only where one is needed.

    Raises
    ------
    ValueError
        If values are NaN or infinite.
    """
    with error_prefix(name):
        array = arrays.as_array(given)
        matrix = arrays.to_numpy(array, np.dtype(np.float64))
    finite = np.isfinite(matrix)
    if not finite.all():
        row, column = np.unravel_index(finite.argmin(), finite.shape)
        raise ValueError(
            f"{name} holds {finite.size - np.count_nonzero(finite)} NaN or infinite values, the first at row {row}, "
            f"column {column}"
        )
    return matrix  # type: ignore[return-value]


def symmetric_matrix_of(name: str, given: Any) -> Matrix:
    """Return a matrix as a float64 array that is exactly symmetric: the mean of both halves, if these were rounded.

    Raises
    ------
    ValueError
        If it is not square, values are NaN or infinite, or halves differ by more than the rounding of float32.
    """
    matrix = matrix_of(name, given)
    with error_prefix(name):
        check_square(matrix)
    if np.array_equal(matrix, matrix.T):
        return matrix
    mirrored = matrix / 2 + matrix.T / 2
    apart = np.abs(matrix - mirrored)
    i, j = np.unravel_index(apart.argmax(), apart.shape)
    if apart[i, j] > _ASYMMETRY / 2 * np.abs(matrix).max():
        raise ValueError(
            f"{name} is not symmetric: at row {i}, column {j} it is {matrix[i, j]:.6g}, at row {j}, column {i} it is "
            f"{matrix[j, i]:.6g}"
        )
    return mirrored


def off_diagonal(matrix: Matrix) -> Vector:
    """Return the entries of the upper triangle, (N, N) to (N (N - 1) / 2,).

    Examples
    --------
    >>> off_diagonal(np.array([[9.0, 1.0, 2.0], [1.0, 9.0, 3.0], [2.0, 3.0, 9.0]]))
    array([1., 2., 3.])
    """
    return squareform(matrix, checks=False)  # type: ignore[no-any-return]


def row_sums(matrix: Matrix, counts: Vector) -> Vector:
    """Return the sum of each row, (N, N) to (N,), each column as often as its input occurs.

    Without BLAS: its threads cost more than they save here, if cores are busy.
    """
    return np.einsum("ij,j", matrix, counts)  # type: ignore[no-any-return]


def centred(matrix: Matrix, counts: Vector) -> Matrix:
    """Return a symmetric matrix minus the means of rows and columns: ``H K H``, where ``H = I - 1 / N``.

    Examples
    --------
    >>> centred(np.array([[2.0, 0.0], [0.0, 2.0]]), np.ones(2))
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    means = row_sums(matrix, counts) / counts.sum()
    shifts: Matrix = means[:, None] + means
    shifts -= means @ counts / counts.sum()
    return np.subtract(matrix, shifts, out=shifts)
