# SPDX-License-Identifier: Apache-2.0
"""Comparisons of layers in files: .npz archives, .csv tables and .json texts."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from simplugins._common import filesystem
from simplugins._common.texts import spreadsheet_cell
from simplugins.comparisons.layer_calibration import LayerCalibration
from simplugins.comparisons.layer_comparison import Comparison
from simplugins.comparisons.layer_intervals import LayerIntervals
from simplugins.comparisons.null_calibration import Calibration

_FORMAT = "simplugins comparison of layers"
_FORMAT_VERSION = 2

_ARRAYS = ("scores", "p_values", "thresholds", "null_distribution")
"""The arrays of a calibration, in archives with this prefix before their names:"""
_CALIBRATION, _AGGREGATE, _YARDSTICK, _INTERVALS = "calibration/", "aggregate/", "yardsticks/", "intervals/"

_INTERVAL_ARRAYS = ("low", "high", "distribution")


def save_comparison(comparison: Comparison, path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Write a comparison to a file; see `Comparison.save`."""
    suffix = Path(path).suffix
    if suffix == ".npz":
        filesystem.write_npz(path, _arrays(comparison), _header(comparison), overwrite=overwrite)
    elif suffix in _TEXTS:
        filesystem.write_text(path, _TEXTS[suffix](comparison), overwrite=overwrite)
    else:
        raise ValueError(f"{path}: expected a name that ends in one of {', '.join(TABLES)}")


def load_comparison(path: str | PathLike[str]) -> Comparison:
    """Read a comparison that `Comparison.save` wrote to a .npz file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a comparison, is damaged, or has a later version of the format.
    """
    arrays, header = filesystem.read_npz(path)
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path} is not a comparison of layers saved by simplugins")
    try:
        filesystem.check_version(header["format_version"], _FORMAT_VERSION)
        return _from_archive(arrays, header)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a comparison of layers: {error}") from error


def _arrays(comparison: Comparison) -> dict[str, NDArray[Any]]:
    arrays = {"values": comparison.values}
    arrays |= {f"{_YARDSTICK}{k}": values for k, values in enumerate(comparison.yardsticks.values())}
    if comparison.intervals is not None:
        arrays |= {f"{_INTERVALS}{name}": getattr(comparison.intervals, name) for name in _INTERVAL_ARRAYS}
    calibration = comparison.calibration
    if calibration is not None:
        present = {name: getattr(calibration, name) for name in _ARRAYS}
        arrays |= {f"{_CALIBRATION}{name}": array for name, array in present.items() if array is not None}
        if calibration.aggregate is not None:
            arrays[f"{_AGGREGATE}null_distribution"] = calibration.aggregate.null_distribution
    return arrays


def _header(comparison: Comparison) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "rows": comparison.rows,
        "columns": comparison.columns,
        "metadata": dict(comparison.metadata),
        "yardsticks": [*comparison.yardsticks],
        "calibration": None if comparison.calibration is None else _facts(comparison.calibration),
        "intervals": None if comparison.intervals is None else _interval_facts(comparison.intervals),
    }


def _facts(result: LayerCalibration | Calibration) -> dict[str, Any]:
    """Return the fields of a calibration that are not arrays, by name."""
    values = {field.name: getattr(result, field.name) for field in fields(result) if field.name not in _ARRAYS}
    if isinstance(result, LayerCalibration) and result.aggregate is not None:
        values["aggregate"] = _facts(result.aggregate)
    return values


def _interval_facts(intervals: LayerIntervals) -> dict[str, Any]:
    return {"confidence": intervals.confidence, "groups": intervals.groups}


def _from_archive(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> Comparison:
    rows, columns, metadata = header["rows"], header["columns"], header["metadata"]
    yardsticks = header.get("yardsticks", [])
    lists = (rows, columns, yardsticks)
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        raise ValueError("rows, columns and yardsticks: expected lists of names")
    if not isinstance(metadata, dict) or not {"method", "symmetric", "inputs"} <= set(metadata):
        raise ValueError("metadata: expected entries by name, among them method, symmetric and inputs")
    for name, array in arrays.items():
        if array.dtype.kind not in "iuf":
            raise ValueError(f"{name}: expected numbers, got {array.dtype}")
    return Comparison(
        arrays["values"],
        tuple(rows),
        tuple(columns),
        metadata,
        calibration=_calibration(arrays, header.get("calibration")),
        yardsticks={name: arrays[f"{_YARDSTICK}{k}"] for k, name in enumerate(yardsticks)},
        intervals=_intervals(arrays, header.get("intervals")),
    )


def _intervals(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any] | None) -> LayerIntervals | None:
    if facts is None:
        return None
    present = {name: arrays[f"{_INTERVALS}{name}"] for name in _INTERVAL_ARRAYS}
    return LayerIntervals(**{**present, **facts})


def _calibration(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any] | None) -> LayerCalibration | None:
    if facts is None:
        return None
    aggregate = facts["aggregate"]
    if aggregate is not None:
        aggregate = Calibration(null_distribution=arrays[f"{_AGGREGATE}null_distribution"], **aggregate)
    present = {name: arrays.get(f"{_CALIBRATION}{name}") for name in _ARRAYS}
    return LayerCalibration(**{**present, **facts, "aggregate": aggregate})


def _as_csv(comparison: Comparison) -> str:
    """Return a table with a row per layer, or per pair of layers if there is more than one number for each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if comparison.calibration is None and comparison.intervals is None and not comparison.yardsticks:
        writer.writerow(map(spreadsheet_cell, [comparison.method, *comparison.columns]))
        for name, row in zip(comparison.rows, comparison.values.tolist(), strict=True):
            writer.writerow([spreadsheet_cell(name), *map(repr, row)])
        return text.getvalue()
    cells = comparison.table()
    writer.writerow(map(spreadsheet_cell, cells[0]))
    for cell in cells:
        writer.writerow(spreadsheet_cell(value) if isinstance(value, str) else repr(value) for value in cell.values())
    return text.getvalue()


def _as_json(comparison: Comparison) -> str:
    values: dict[str, Any] = {
        **comparison.metadata,
        "rows": comparison.rows,
        "columns": comparison.columns,
        "values": comparison.values.tolist(),
    }
    if comparison.yardsticks:
        values["yardsticks"] = {name: array.tolist() for name, array in comparison.yardsticks.items()}
    if (intervals := comparison.intervals) is not None:
        ends = {"low": intervals.low.tolist(), "high": intervals.high.tolist()}
        values["intervals"] = {**_interval_facts(intervals), "resamples": intervals.resamples, **ends}
    calibration = comparison.calibration
    if calibration is not None:
        arrays = {name: getattr(calibration, name) for name in ("scores", "p_values", "thresholds", "chance")}
        lists = {name: None if array is None else array.tolist() for name, array in arrays.items()}
        values["calibration"] = {**_facts(calibration), "permutations": calibration.permutations, **lists}
    return filesystem.json_text(values)


_TEXTS = {".csv": _as_csv, ".json": _as_json}

TABLES = (".npz", *_TEXTS)
"""Endings of the files that `save_comparison` writes."""
