# SPDX-License-Identifier: Apache-2.0
"""Comparisons of RSMs with missing pairs (NaN), without the pairs that are missing in either RSM."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.inputs import check_same_inputs
from simplugins.rsm.matrices import Matrix, Vector, off_diagonal

if TYPE_CHECKING:
    from simplugins.comparisons.method import ComparisonMethod, Method


def any_missing(items: Sequence[tuple[str, Any]], method: ComparisonMethod) -> bool:
    """Return whether any matrix holds NaN.

    Raises
    ------
    TypeError, ValueError
        If the method does not accept a matrix, or a matrix holds NaN and the method cannot leave out pairs.
    """
    check_same_inputs(items, method.least_inputs, method.name)
    for name, rsm in items:
        if count := np.count_nonzero(np.isnan(method.matrix(name, rsm, missing="omit"))):
            if not method.omits_missing:
                raise ValueError(
                    f"{method.name} needs whole matrices and cannot leave pairs out, but {name} has {count} missing "
                    f"values (NaN). Use a method of RSA, such as 'rsa-spearman', or select inputs without missing pairs"
                )
            return True
    return False


def relate_present(method: Method, a: Mapping[str, Any], b: Mapping[str, Any] | None) -> NDArray[np.float64]:
    """Compare each matrix of `a` with each of `b`, or of `a` again if `b` is None, by the pairs present in both.

    Returns
    -------
    (A, B) float64 array
        NaN, with one RuntimeWarning, where too few pairs are present, or those of a matrix are equal.
    """
    rows = {name: method.matrix(name, rsm, missing="omit") for name, rsm in a.items()}
    columns = rows if b is None else {name: method.matrix(name, rsm, missing="omit") for name, rsm in b.items()}
    values = np.array([[relate_pairs(method, row, column) for column in columns.values()] for row in rows.values()])
    if (undefined := np.argwhere(np.isnan(values))).size:
        i, j = undefined[0]
        warnings.warn(
            f"{method.name} is NaN where fewer than {least_pairs(method)} pairs are present in both RSMs, or an RSM is "
            f"constant: {list(rows)[i]} with {list(columns)[j]}"
            + (f", and {len(undefined) - 1} more" if len(undefined) > 1 else ""),
            RuntimeWarning,
            stacklevel=4,
        )
    return values


def least_pairs(method: ComparisonMethod) -> int:
    """Return the number of pairs that a method needs: all those of the least number of inputs."""
    return method.least_inputs * (method.least_inputs - 1) // 2


def relate_pairs(method: Method, a: Matrix, b: Matrix, weights: Vector | None = None) -> float:
    """Compare two matrices by the pairs of different inputs that are present in both; NaN if these are too few.

    Parameters
    ----------
    method : Method
        With `embed_pairs`.
    a, b : (N, N) arrays
    weights : (N (N - 1) / 2,) array, optional
        Number of occurrences of each pair of different inputs; by default 1.
    """
    assert method.embed_pairs is not None
    u, v = off_diagonal(a), off_diagonal(b)
    present = ~(np.isnan(u) | np.isnan(v))
    if np.count_nonzero(present) < least_pairs(method):
        return float("nan")
    weights = None if weights is None else weights[present]
    vectors = (method.embed_pairs(values[present], weights)[None] for values in (u, v))
    return float(method.relate(*vectors)[0, 0])


def jointly_missing(a: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    """Return two matrices with NaN in both where either is NaN."""
    missing = np.isnan(a) | np.isnan(b)
    return np.where(missing, np.nan, a), np.where(missing, np.nan, b)
