# SPDX-License-Identifier: Apache-2.0
"""Yardsticks of a table of layers: values of other layers, or from elsewhere, to read each cell against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.validation import check_names, error_prefix
from simplugins.comparisons.inputs import all_aligned, named
from simplugins.comparisons.layer_comparison import COLUMNS
from simplugins.comparisons.layer_rsms import layer_rsms
from simplugins.comparisons.method import ComparisonMethod, without_chance_warning
from simplugins.comparisons.rsm_options import RsmOptions
from simplugins.rsm.matrices import Missing
from simplugins.rsm.rsm import RSM

Yardsticks = dict[str, dict[str, RSM] | NDArray[np.float64]]
"""The layers of each yardstick, or its values."""


def read_yardsticks(yardsticks: Mapping[str, Any], columns: Sequence[str], options: RsmOptions) -> Yardsticks:
    """Return yardsticks as RSMs, in the order of the columns, or as arrays.

    Raises
    ------
    TypeError, ValueError
        If yardsticks are not a mapping, a name is taken, or layers are not those of the columns.
    """
    if not isinstance(yardsticks, Mapping):
        raise TypeError(f"yardsticks: expected a mapping of names to layers or arrays, got {type(yardsticks).__name__}")
    check_names("yardsticks", yardsticks)
    if taken := sorted(COLUMNS & set(map(str, yardsticks))):
        raise ValueError(f"yardsticks: {taken[0]!r} is a column of the table of results: choose another name")
    return {str(name): _read(f"yardsticks[{name!r}]", values, columns, options) for name, values in yardsticks.items()}


def _read(
    parameter: str, layers: Any, columns: Sequence[str], options: RsmOptions
) -> dict[str, RSM] | NDArray[np.float64]:
    if not isinstance(layers, Mapping):
        with error_prefix(parameter):
            return np.asarray(layers, np.float64)
    rsms = layer_rsms(parameter, layers, options)
    if set(rsms) != set(columns):
        raise ValueError(
            f"{parameter}: expected layers with the names of the columns, {', '.join(columns)}, got {', '.join(rsms)}"
        )
    return {column: rsms[column] for column in columns}


def aligned_yardsticks(first: RSM, yardsticks: Yardsticks) -> Yardsticks:
    """Return yardsticks with the inputs of all RSMs in the order of the first."""
    return {name: all_aligned(first, of) if isinstance(of, dict) else of for name, of in yardsticks.items()}


def yardstick_values(
    method: ComparisonMethod,
    rows: Mapping[str, Any],
    yardsticks: Yardsticks,
    shape: tuple[int, ...],
    *,
    missing: Missing,
) -> dict[str, NDArray[np.float64]]:
    """Compare the rows with the layers of each yardstick, and repeat values from elsewhere up to the shape.

    Raises
    ------
    ValueError
        If an array does not broadcast to the shape, or inputs are not the same.
    """
    values = {}
    for name, of in yardsticks.items():
        if isinstance(of, dict):
            columns = named(of, f"yardsticks[{name!r}]")
            values[name] = without_chance_warning(method).compare_all(rows, columns, missing=missing)
        else:
            with error_prefix(f"yardsticks[{name!r}]: expected values that broadcast to {shape}"):
                values[name] = np.broadcast_to(of, shape).copy()
    return values
