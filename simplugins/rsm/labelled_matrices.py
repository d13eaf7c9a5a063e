# SPDX-License-Identifier: Apache-2.0
"""Labels of square matrices in pandas DataFrames and xarray DataArrays."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import refusals
from simplugins._common.data_frames import is_default_index, is_frame
from simplugins._common.validation import error_prefix
from simplugins.activations.labels import as_labels, comparable
from simplugins.activations.named_orders import check_labels_order, index_along


def matrix_labels(matrix: Any) -> NDArray[Any] | None:
    """Return the labels of the inputs of a square matrix; None if it has none.

    Parameters
    ----------
    matrix : array
        Labels are read from the index and columns of a pandas DataFrame, and from the coordinates of an xarray
        DataArray; those of one axis are enough. The default numbers of pandas are no labels. Labels of several levels
        are joined as by `index_labels`.

    Raises
    ------
    ValueError
        If rows and columns have different labels, or the same in another order; or a label is missing.
    """
    rows, columns = axis_labels(matrix)
    if rows is not None and columns is not None:
        _check_equal(*comparable(rows, columns))
    return columns if rows is None else rows


def axis_labels(matrix: Any) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Return the labels of rows and of columns, which may be different inputs; None for those that have none."""
    if is_frame(matrix):
        axes = [matrix.index, matrix.columns]
    elif "xarray" in refusals.libraries(matrix) and getattr(matrix, "ndim", 0) == 2 and hasattr(matrix, "indexes"):
        axes = [matrix.indexes.get(dimension) for dimension in matrix.dims]
    else:
        return None, None
    with error_prefix("labels"):
        rows, columns = (
            None if axis is None or is_default_index(axis) else as_labels(index_labels(axis)) for axis in axes
        )
    return rows, columns


def with_own_labels(matrix: Any, labels: Any) -> Any:
    """Return the labels that were passed with a square matrix, or else its own.

    Raises
    ------
    ValueError
        If they are the matrix's own in another order; or as for `matrix_labels`.
    """
    own = matrix_labels(matrix)
    if labels is None or own is None:
        return own if labels is None else labels
    check_labels_order(index_along(matrix, 0), own, labels)
    return labels


def index_labels(index: Any) -> NDArray[Any]:
    """Return the labels of a pandas index.

    Parameters
    ----------
    index : pandas.Index
        Several levels are joined by blanks; texts that contain blanks or quotes are quoted first, so that different
        labels stay different. A label lacks if one of its levels does.

    Returns
    -------
    (N,) array

    Examples
    --------
    >>> import pandas as pd
    >>> index_labels(pd.MultiIndex.from_tuples([("cat", 1), ("big cat", 1)])).tolist()
    ['cat 1', '"big cat" 1']
    """
    if index.nlevels == 1:
        return np.asarray(index)
    missing = index.to_frame().isna().any(axis=1)
    joined = [None if lacks else " ".join(map(_quoted, label)) for label, lacks in zip(index, missing, strict=True)]
    return np.array(joined, dtype=object)


def _quoted(level: Any) -> str:
    text = str(level)
    return json.dumps(text, ensure_ascii=False) if '"' in text or len(text.split()) != 1 else text


def _check_equal(rows: NDArray[Any], columns: NDArray[Any]) -> None:
    if rows.tolist() == columns.tolist():
        return
    if len(rows) != len(columns):
        raise ValueError(f"expected a square matrix, got {len(rows)} rows and {len(columns)} columns")
    row, column = next(
        (row, column) for row, column in zip(rows.tolist(), columns.tolist(), strict=True) if row != column
    )
    if sorted(rows) == sorted(columns):
        raise ValueError(
            f"columns are in another order than rows ({column!r} where rows have {row!r}): read the matrix with "
            f"simplugins.from_tool, or order its columns as its rows"
        )
    raise ValueError(f"rows and columns are not the same inputs: {row!r} in rows is {column!r} in columns")
