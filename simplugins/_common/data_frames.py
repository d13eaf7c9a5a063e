# SPDX-License-Identifier: Apache-2.0
"""DataFrames of pandas as arrays of numbers, recognised without importing pandas."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.refusals import libraries
from simplugins._common.texts import listed

_MOST_NAMES = 4


def is_frame(value: Any) -> bool:
    """Return whether an object is a DataFrame of pandas.

    Examples
    --------
    >>> is_frame(np.ones((2, 2)))
    False
    """
    return "pandas" in libraries(value) and hasattr(value, "columns")


def is_default_index(index: Any) -> bool:
    """Return whether an index of pandas is the default one, the numbers 0, 1, 2 and so on."""
    return type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1)


def frame_values(frame: Any) -> NDArray[Any]:
    """Return the values of a table as an array of real numbers.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns of floats and integers; nullable types (``Float32``, ``Int64``, Arrow) become NumPy types, and missing
        values NaN.

    Raises
    ------
    TypeError
        If a column is not of real numbers.
    """
    types = sys.modules["pandas"].api.types
    real = [
        types.is_numeric_dtype(t) and not types.is_bool_dtype(t) and not types.is_complex_dtype(t) for t in frame.dtypes
    ]
    if not all(real):
        others = [(name, t) for name, t, is_real in zip(frame.columns, frame.dtypes, real, strict=True) if not is_real]
        columns = listed([f"{name!r} ({t})" for name, t in others], most=_MOST_NAMES)
        raise TypeError(
            f"expected a table of real numbers, but {len(others)} of its {len(real)} columns are not: {columns}. Names "
            f"of inputs belong into the index, frame.set_index(...); frame.select_dtypes('number') drops other columns"
        )
    plain = [getattr(t, "numpy_dtype", getattr(t, "subtype", t)) for t in frame.dtypes]
    common = np.result_type(*plain) if plain else np.dtype(float)
    if common.kind != "f" and frame.isna().to_numpy().any():
        common = np.dtype(float)
    options = {"na_value": np.nan} if common.kind == "f" else {}
    return frame.to_numpy(dtype=common, **options)  # type: ignore[no-any-return]


def check_complete(frame: Any) -> None:
    """Check that no value of a table is missing (NaN or NA).

    Raises
    ------
    ValueError
        If a value is missing; the error names its row and column.
    """
    missing = frame.isna().to_numpy()
    if missing.any():
        row, column = (int(axis[0]) for axis in np.nonzero(missing))
        raise ValueError(
            f"the table has {int(missing.sum())} missing values (NaN or NA), the first in row {frame.index[row]!r}, "
            f"column {frame.columns[column]!r}: drop or fill them"
        )
