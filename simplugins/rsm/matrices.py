# SPDX-License-Identifier: Apache-2.0
"""Similarity matrices as arrays: checks and common operations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.rsm.labelled_matrices import matrix_labels

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_ASYMMETRY = 1e-5
"""Largest difference of two entries that should be equal, relative to the largest entry: the rounding of float32."""


def check_square(array: Any) -> None:
    """Check that an array is a square matrix.

    Raises
    ------
    ValueError
        If it is not.
    """
    shape = tuple(array.shape)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"expected a square matrix of N x N inputs, got shape {shape}")


def matrix_of(name: str, values: Any) -> Matrix:
    """Return a matrix as a float64 array, copied only if necessary.

    Parameters
    ----------
    name : str
        The argument that errors name.
    values : (N, M) array

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If they are NaN or infinite.
    """
    with error_prefix(name):
        matrix = arrays.to_numpy(arrays.as_array(values), np.dtype(np.float64))
    finite = np.isfinite(matrix)
    if not finite.all():
        row, column = np.unravel_index(finite.argmin(), finite.shape)
        raise ValueError(
            f"{name} holds {finite.size - np.count_nonzero(finite)} NaN or infinite values, the first at row {row}, "
            f"column {column}"
        )
    return matrix  # type: ignore[return-value]


def symmetric_matrix_of(name: str, values: Any) -> Matrix:
    """Return a matrix as an exactly symmetric float64 array: the mean of both halves, if they differ by rounding.

    Parameters
    ----------
    name, values
        As for `matrix_of`.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the matrix is not square, values are NaN or infinite, or the halves differ by more than the rounding of
        float32.
    """
    matrix = matrix_of(name, values)
    with error_prefix(name):
        check_square(matrix)
        if not arrays.is_plain(values):
            matrix_labels(values)  # raises an error if rows and columns are different inputs
    if np.array_equal(matrix, matrix.T):
        return matrix
    mirrored = matrix / 2 + matrix.T / 2
    differences = np.abs(matrix - mirrored)
    i, j = np.unravel_index(differences.argmax(), differences.shape)
    if differences[i, j] > _ASYMMETRY / 2 * np.abs(matrix).max():
        raise ValueError(
            f"{name} is not symmetric: at row {i}, column {j} it is {matrix[i, j]:.6g}, at row {j}, column {i} it is "
            f"{matrix[j, i]:.6g}"
        )
    return mirrored


def off_diagonal(matrix: Matrix) -> Vector:
    """Return the N (N - 1) / 2 entries above the diagonal of an (N, N) matrix, row by row.

    Examples
    --------
    >>> off_diagonal(np.array([[9.0, 1.0, 2.0], [1.0, 9.0, 3.0], [2.0, 3.0, 9.0]]))
    array([1., 2., 3.])
    """
    return squareform(matrix, checks=False)  # type: ignore[no-any-return]


def row_sums(matrix: Matrix, counts: Vector) -> Vector:
    """Return the (N,) sums of the rows, with each column counted as often as its input occurs.

    BLAS is not used, because starting its threads costs more than it saves on busy cores.
    """
    return np.einsum("ij,j", matrix, counts)  # type: ignore[no-any-return]


def centred(matrix: Matrix, counts: Vector) -> Matrix:
    """Return a symmetric matrix, doubly centred: ``H K H``, where ``H = I - 1 / N``, and inputs occur `counts` times.

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
