# SPDX-License-Identifier: Apache-2.0
"""Similarity matrices as arrays: checks and common operations."""

from __future__ import annotations

from math import isqrt
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from simplugins._common import arrays
from simplugins._common.data_frames import is_frame
from simplugins._common.validation import error_prefix
from simplugins.rsm.labelled_matrices import matrix_labels

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

Missing = Literal["raise", "omit"]
"""What happens to pairs that are NaN: an error, or they are left out."""

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
    if len(shape) == 1 and (inputs := condensed_inputs(shape[0])):
        raise ValueError(
            f"expected a square matrix of N x N inputs, got shape {shape}: if these are the condensed distances of "
            f"{inputs} inputs, pass them to RSM.from_distances"
        )
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"expected a square matrix of N x N inputs, got shape {shape}")


def is_of_pairs(array: Any) -> bool:
    """Return whether an array is a symmetric matrix, as of pairs of inputs; False for a constant or diagonal one.

    Examples
    --------
    >>> is_of_pairs(np.array([[5.0, 1.0, 2.0], [1.0, 9.0, 3.0], [2.0, 3.0, 9.0]])), is_of_pairs(np.eye(3))
    (True, False)
    """
    is_list = isinstance(array, list | tuple) and {np.ndim(row) for row in array} == {1}
    shape = (len(array), *{len(row) for row in array}) if is_list else tuple(getattr(array, "shape", ()))
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 3:
        return False
    array = arrays.as_array(array) if is_list or is_frame(array) else array
    row, column = (np.asarray(arrays.small_numpy(arrays.loaded(array[index]))) for index in (0, np.s_[:, 0]))
    if row.dtype.kind not in "fiu" or not np.array_equal(row, column):
        return False
    matrix = arrays.small_numpy(arrays.loaded(array[:]))
    pairs = off_diagonal(np.asarray(matrix, np.float64))
    return np.array_equal(matrix, matrix.T) and bool((pairs != pairs[0]).any())


def condensed_inputs(length: int) -> int | None:
    """Return the number of inputs, N, of which there are `length` pairs; None if there is none.

    Examples
    --------
    >>> condensed_inputs(6), condensed_inputs(7)
    (4, None)
    """
    inputs = (1 + isqrt(1 + 8 * length)) // 2
    return inputs if length and inputs * (inputs - 1) // 2 == length else None


def check_missing(missing: Missing) -> None:
    """Check that an option is one of `Missing`.

    Raises
    ------
    ValueError
        If it is not.
    """
    if missing not in get_args(Missing):
        raise ValueError(f"missing must be one of {', '.join(get_args(Missing))}, got {missing!r}")


def matrix_of(name: str, values: Any, *, missing: Missing | None = None) -> Matrix:
    """Return a matrix as a float64 array, copied only if necessary.

    Parameters
    ----------
    name : str
        The argument that errors name.
    values : (N, M) array
    missing : {"raise", "omit"} or None
        Whether values may be NaN ("omit"); None if this is not an option where the matrix comes from.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If they are infinite, or NaN where they may not be.
    """
    with error_prefix(name):
        matrix = arrays.to_numpy(arrays.as_array(values), np.dtype(np.float64))
    valid = ~np.isinf(matrix) if missing == "omit" else np.isfinite(matrix)
    if not valid.all():
        kind = "infinite" if missing == "omit" else "NaN or infinite"
        place = zip(("row", "column"), np.argwhere(~valid)[0], strict=False)
        hint = "; missing='omit' allows NaN" if missing == "raise" and np.isnan(matrix).any() else ""
        raise ValueError(
            f"{name} holds {valid.size - np.count_nonzero(valid)} {kind} values, the first at "
            f"{', '.join(f'{axis} {index}' for axis, index in place)}{hint}"
        )
    return matrix  # type: ignore[return-value]


def symmetric_matrix_of(name: str, values: Any, *, missing: Missing | None = None) -> Matrix:
    """Return a matrix as an exactly symmetric float64 array: the mean of both halves, if they differ by rounding.

    Parameters
    ----------
    name, values, missing
        As for `matrix_of`.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the matrix is not square, values are infinite, or NaN where they may not be, or the halves differ by more
        than the rounding of float32, or in what is NaN.
    """
    matrix = matrix_of(name, values, missing=missing)
    with error_prefix(name):
        check_square(matrix)
        if not arrays.is_plain(values):
            matrix_labels(values)  # raises an error if rows and columns are different inputs
    if np.array_equal(matrix, matrix.T, equal_nan=missing == "omit"):
        return matrix
    mirrored = matrix / 2 + matrix.T / 2
    differences = np.abs(matrix - mirrored)
    if missing == "omit":
        differences = np.where(np.isnan(matrix) == np.isnan(matrix.T), np.nan_to_num(differences), np.inf)
    i, j = np.unravel_index(differences.argmax(), differences.shape)
    if differences[i, j] > _ASYMMETRY / 2 * np.fmax.reduce(np.abs(matrix), axis=None):
        raise ValueError(
            f"{name} is not symmetric: at row {i}, column {j} it is {matrix[i, j]:.6g}, at row {j}, column {i} it is "
            f"{matrix[j, i]:.6g}; pass the mean of it and its transpose or, if the measure has a direction, the RSM of "
            f"both directions"
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
