# SPDX-License-Identifier: Apache-2.0
"""Labels of inputs from coordinates of named dimensions and from the index of data frames."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.refusals import libraries
from simplugins._common.validation import error_prefix
from simplugins.activations.labels import check_labels

IDENTIFIERS = ("stimulus_id", "image_id", "stimulus", "image", "filename", "label", "id")
"""Coordinates that identify inputs, in order of precedence, for dimensions with several coordinates."""
_INDEX = re.compile(r"Unnamed: \d+|index|level_\d+|__index_level_\d+__")
"""Columns that were the index of a table, before a file or `reset_index`."""
_POSITIONS = ("channel_x", "channel_y", "channel_temporal")


def labels_along(array: Any, axis: int, name: str) -> NDArray[Any] | None:
    """Return the labels of inputs from the coordinates of their dimension; None if there are none.

    Parameters
    ----------
    array : DataArray of xarray, netCDF4 variable, or another array with named dimensions
    axis : int
        The axis of inputs.
    name : str
        The name of this axis.

    Raises
    ------
    ValueError
        If the dimension has several coordinates and none is known to identify inputs, or if labels are missing.
    """
    count = int(array.shape[axis])
    if "netCDF4" in libraries(array):
        variable = array.group().variables.get(name)
        values = None if variable is None or variable.shape != (count,) else variable[:]
    elif hasattr(array, "coords"):
        values = _of_data_array(array, array.dims[axis])
    else:
        values = None
    with error_prefix(f"labels, from the coordinate of {name!r}"):
        return check_labels(values, count)


def _of_data_array(array: Any, dimension: Any) -> Any:
    along = {str(key): each.values for key, each in array.coords.items() if each.dims == (dimension,)}
    index = array.indexes.get(dimension)
    if index is not None:
        return labels_of_index(index)
    return next((along[key] for key in IDENTIFIERS if key in along), None)


def labels_of_index(index: Any) -> Any:
    """Return the labels of a pandas index; None for default numbers.

    Raises
    ------
    ValueError
        If it has several levels, none is known to identify inputs, and not exactly one has unique values.
    """
    if index.nlevels == 1:
        numbered = sys.modules["pandas"].RangeIndex
        is_default = isinstance(index, numbered) and index.equals(numbered(len(index)))
        return None if is_default else index.to_numpy()
    levels = {
        f"level {level}" if name is None else str(name): index.get_level_values(level).to_numpy()
        for level, name in enumerate(index.names)
    }
    return _identifying(levels)


def _identifying(levels: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    if known := next((name for name in IDENTIFIERS if name in levels), None):
        return levels[known]
    distinct = [name for name, values in levels.items() if len(set(values.tolist())) == len(values)]
    if len(distinct) != 1:
        raise ValueError(
            f"each input has several names ({', '.join(levels)}), and it is not known which are the labels: pass "
            f"labels=, for example one of these, or numbers, range({len(next(iter(levels.values())))})"
        )
    return levels[distinct[0]]


def check_columns(table: Any) -> None:
    """Check that no column of a table of pandas, Polars or Arrow identifies its inputs, by its name.

    Raises
    ------
    ValueError
        If the name of a column is one of `IDENTIFIERS`, or that of an index which a file held.
    """
    if not {"pandas", "polars", "pyarrow"} & libraries(table):
        return
    names = getattr(table, "column_names", getattr(table, "columns", ())) if hasattr(table, "shape") else ()
    known = (name for name in names if isinstance(name, str) and (name in IDENTIFIERS or _INDEX.fullmatch(name)))
    if (name := next(known, None)) is not None:
        raise ValueError(
            f"the column {name!r} of the table names the inputs, but all columns are read as channels: drop it, and "
            f"pass it as labels= (a table of pandas: frame.set_index({name!r})); if it is a channel, rename it"
        )


def check_one_position(array: Any, axis: int, layout: str) -> None:
    """Check that channels have no coordinates of positions, unless a layout was stated.

    Raises
    ------
    ValueError
        If channels have the coordinates of positions in Brain-Score's assemblies.
    """
    if layout != "auto" or not hasattr(array, "coords"):
        return
    dimension = array.dims[axis]
    placed = [
        name
        for name in _POSITIONS
        if name in array.coords and array[name].dims == (dimension,) and _has_values(array[name])
    ]
    if placed:
        raise ValueError(
            f"{dimension!r} has coordinates of positions ({', '.join(placed)}), so its channels are spread over "
            f"positions: reshape the array to (inputs, channels, height, width), or pass a layout to treat all as "
            f"channels of one position"
        )


def _has_values(coordinate: Any) -> bool:
    return not bool(coordinate.isnull().all()) and len(np.unique(coordinate.values)) > 1
