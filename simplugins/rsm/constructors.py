# SPDX-License-Identifier: Apache-2.0
"""RSMs made of matrices that were computed elsewhere: similarities or distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.rsm.dissimilarity import check_similarities
from simplugins.rsm.labelled_matrices import axis_labels, with_own_labels
from simplugins.rsm.matrices import (
    Matrix,
    Missing,
    centred,
    check_missing,
    condensed_inputs,
    matrix_of,
    symmetric_matrix_of,
)

_DISTANCE_ROUNDING = 1e-6
"""Distance that counts as 0, of an input to itself or if it is the most negative, relative to the largest distance."""

NEGATIVE = "negative_distances"
"""The key of the metadata that holds the number of pairs with a negative squared distance, if there are any."""


class Constructors:
    """The methods of an `RSM` that make one of a matrix."""

    @classmethod
    def _from_matrix(cls, matrix: Matrix, gap: NDArray[np.float64] | None, **parts: Any) -> Self:
        """Return an RSM of values in memory, without checking them."""
        raise NotImplementedError

    @classmethod
    def from_similarities(
        cls,
        values: Any,
        *,
        labels: Any = None,
        other_labels: Any = None,
        measure: str = "precomputed",
        squared_norms: Any = None,
        other_squared_norms: Any = None,
        gap: Any = None,
        kernel: str | None = None,
        matching: str | None = None,
        sigma: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        missing: Missing = "raise",
    ) -> Self:
        """Make an RSM from similarities computed elsewhere, for example by another tool.

        Parameters
        ----------
        values : (N, N) array, or (N, M) with `other_squared_norms`
            Larger is more similar. An (N, N) matrix must be symmetric up to the rounding of float32. Copied.
        labels, other_labels : sequences of str or int, optional
            Labels of rows and columns; by default those of the index and columns of a pandas DataFrame, or of the
            coordinates of an xarray DataArray.
        measure : str, default "precomputed"
            Name of the measure.
        squared_norms : (N,) array, optional
            Squared norms of the inputs; by default the diagonal.
        other_squared_norms : (M,) array, optional
            Squared norms of the inputs in columns, if these are not the inputs in rows.
        gap, kernel, matching, sigma, metadata
            See the attributes of `RSM`.
        missing : {"raise", "omit"}, default "raise"
            With "omit", values may be NaN where a pair was not measured. Comparisons of such an RSM need
            ``missing="omit"`` as well.

        Returns
        -------
        RSM

        Raises
        ------
        TypeError
            If `values` is not an array of real numbers.
        ValueError
            If values are not finite, not square and symmetric where they should be, or labels do not fit; or if the
            values of inputs with themselves show that they are dissimilarities.

        Examples
        --------
        >>> from simplugins import RSM
        >>> RSM.from_similarities([[1.0, 0.5], [0.5, 1.0]], labels=["cat", "dog"], measure="rated by people")
        RSM rated by people: 2 x 2, values 0.5 to 0.5 off the diagonal
        """
        check_missing(missing)
        check = symmetric_matrix_of if other_squared_norms is None else matrix_of
        matrix = check("values", values, missing=missing).copy()
        if not arrays.is_plain(values):
            labels, other_labels = _labels(values, labels, other_labels, square=other_squared_norms is None)
        description = dict(metadata or {})
        if other_squared_norms is None and NEGATIVE not in description:
            check_similarities("values", matrix)
        return cls._from_matrix(
            matrix,
            None if gap is None else np.array(gap, np.float64),
            measure=measure,
            squared_norms=matrix.diagonal().copy() if squared_norms is None else squared_norms,
            other_squared_norms=other_squared_norms,
            labels=labels,
            other_labels=other_labels,
            kernel=kernel,
            matching=matching,
            sigma=sigma,
            metadata=description,
        )

    @classmethod
    def from_distances(
        cls,
        distances: Any,
        *,
        squared: bool = False,
        labels: Any = None,
        measure: str = "precomputed",
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make an RSM from distances: the inner products of centred points that have these distances.

        Parameters
        ----------
        distances : (N, N) array, or (N (N - 1) / 2,) array
            Symmetric, with a diagonal of 0, up to the rounding of float32; or condensed, as SciPy's `pdist` returns
            them. At least 0, except for cross-validated estimates of squared distances, as of rsatoolbox's crossnobis.
        squared : bool, default False
            Whether these are squared distances.
        labels, measure, metadata
            As for `from_similarities`.

        Returns
        -------
        RSM
            ``-H D H / 2`` for squared distances D, where ``H = I - 1 / N``. `rdm` returns the distances again, and CKA
            equals that of the RSM from which the distances came; distances do not determine the origin. If some squared
            distances are negative, ``metadata["negative_distances"]`` is their number, and ``rdm(squared=True)``
            returns them as they are.

        Raises
        ------
        TypeError
            If `distances` is not an array of real numbers.
        ValueError
            If distances are not square, symmetric, finite and 0 on the diagonal, or labels do not fit; or if they are
            negative and not squared.

        References
        ----------
        Gower 1966, "Some distance properties of latent root and vector methods used in multivariate analysis"; Walther
        et al. 2016, "Reliability of dissimilarity measures for multi-voxel pattern analysis", on cross-validation.

        Examples
        --------
        >>> from simplugins import RSM
        >>> rsm = RSM.from_distances([[0.0, 2.0], [2.0, 0.0]])  # points at -1 and 1
        >>> rsm.values
        array([[ 1., -1.],
               [-1.,  1.]])
        """
        matrix = _distance_matrix(distances)
        if not arrays.is_plain(distances):
            labels = with_own_labels(distances, labels)
        negative = matrix < 0
        if not squared and negative.any():
            i, j = np.argwhere(negative)[0]
            raise ValueError(
                f"distances must be at least 0; row {i}, column {j} holds {matrix[i, j]:.6g} (for cross-validated "
                f"estimates of squared distances, which may be negative, pass squared=True; for similarities, use "
                f"RSM.from_similarities)"
            )
        products = centred(matrix if squared else matrix**2, np.ones(len(matrix))) / -2
        count = {NEGATIVE: int(negative.sum()) // 2} if negative.any() else {}
        return cls._from_matrix(
            products,
            None,
            measure=measure,
            squared_norms=products.diagonal().copy(),
            labels=labels,
            metadata={**(metadata or {}), **count},
        )


def _labels(values: Any, labels: Any, other_labels: Any, *, square: bool) -> tuple[Any, Any]:
    """Return the labels of rows and columns: those that were passed, or else those of the matrix."""
    if square:
        return with_own_labels(values, labels), other_labels
    rows, columns = axis_labels(values)
    return rows if labels is None else labels, columns if other_labels is None else other_labels


def _distance_matrix(distances: Any) -> Matrix:
    """Return distances as a symmetric matrix with a diagonal of 0."""
    with error_prefix("distances"):
        array = arrays.as_array(distances)
    if array.ndim == 1 and condensed_inputs(len(array)):
        array = squareform(matrix_of("distances", array))
    if (missing := int(np.isnan(arrays.to_numpy(array, np.dtype(np.float64))).sum())) > 0:
        raise ValueError(
            f"distances: {missing} values are missing (NaN), but centring distances needs all pairs: select inputs "
            f"without missing pairs; for RSA, pass complements, which have the same correlations: "
            f"RSM.from_similarities(1 - distances, missing='omit'), or dissimilarity='complement' in from_tool"
        )
    matrix = symmetric_matrix_of("distances", array).copy()
    rounding = _DISTANCE_ROUNDING * np.abs(matrix).max(initial=0)
    if np.abs(matrix.diagonal()).max(initial=0) <= rounding:
        np.fill_diagonal(matrix, 0)
    if matrix.min(initial=0) >= -rounding:
        np.maximum(matrix, 0, out=matrix)
    if (nonzero := np.flatnonzero(matrix.diagonal())).size:
        i = nonzero[0]
        raise ValueError(
            f"distances must be 0 on the diagonal; row {i}, column {i} holds {matrix[i, i]:.6g} (for similarities use "
            f"RSM.from_similarities)"
        )
    return matrix
