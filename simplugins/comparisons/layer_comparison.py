# SPDX-License-Identifier: Apache-2.0
"""Comparisons of the layers of two networks: tables of numbers with the names of the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from simplugins import plugins
from simplugins.comparisons.layer_calibration import LayerCalibration
from simplugins.comparisons.layer_intervals import LayerIntervals
from simplugins.comparisons.method import method_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simplugins.comparisons.differences import PairedDifference

COLUMNS = frozenset({"row", "column", "value", "low", "high", "score", "p_value", "threshold", "chance"})
"""Names in `Comparison.table` that yardsticks may not have."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """How the layers of one network compare with those of another; `compare_layers` computes it.

    Attributes
    ----------
    values : (A, B) float64 array
        One value per layer of the first network and layer of the second; NaN where the method is not defined.
    rows, columns : tuple of str
        Names of the layers.
    metadata : mapping
        "method", "method_options", "larger_is_more_similar" and "range" (None if unknown), "symmetric" (whether rows
        and columns are the same layers), "measure" (of the RSMs; a list if they differ), "inputs" (their number),
        "simplugins" (the version).
    calibration : LayerCalibration or None
        Calibrated values, p-values and thresholds of the same cells, if they were asked for.
    yardsticks : mapping of str to (A, B) float64 array
        Values to read the table against, cell by cell, such as those of an untrained network.
    intervals : LayerIntervals or None
        The ends of an interval of each value, if they were asked for.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> rng = np.random.default_rng(0)
    >>> early, late = rng.normal(size=(6, 8, 5, 5)), rng.normal(size=(6, 16, 3, 3))  # two layers, 6 inputs
    >>> comparison = simplugins.compare_layers({"early": early, "late": late})
    >>> comparison
    Comparison cka-debiased: 2 x 2 layers, 6 inputs
    >>> comparison.values.diagonal()
    array([1., 1.])
    """

    values: NDArray[np.float64]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    metadata: Mapping[str, Any]
    calibration: LayerCalibration | None = None
    yardsticks: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    intervals: LayerIntervals | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, np.float64))
        object.__setattr__(self, "rows", tuple(map(str, self.rows)))
        object.__setattr__(self, "columns", tuple(map(str, self.columns)))
        object.__setattr__(self, "yardsticks", {str(k): np.asarray(v, np.float64) for k, v in self.yardsticks.items()})
        tables = {"values": self.values} | {f"yardsticks[{name!r}]": table for name, table in self.yardsticks.items()}
        if self.calibration is not None:
            tables |= {"calibration": self.calibration.p_values}
        if self.intervals is not None:
            tables |= {"intervals.low": self.intervals.low, "intervals.high": self.intervals.high}
        expected = len(self.rows), len(self.columns)
        for name, table in tables.items():
            if table.shape != expected:
                raise ValueError(f"{name}: expected shape {expected}, one value per pair of layers, got {table.shape}")

    @property
    def method(self) -> str:
        """Name of the comparison method."""
        return str(self.metadata["method"])

    @property
    def label(self) -> str:
        """Name of the comparison method, followed by its options if it has some."""
        return method_label(self.method, self.metadata.get("method_options", {}))

    @property
    def symmetric(self) -> bool:
        """Whether rows and columns are the same layers."""
        return bool(self.metadata["symmetric"])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is None:  # NumPy 1 has no such mode
            return np.asarray(self.values, dtype)
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        rows, columns = self.values.shape
        parts = [f"Comparison {self.label}: {rows} x {columns} layers, {self.metadata['inputs']} inputs"]
        if self.intervals is not None:
            parts.append(repr(self.intervals))
        if self.calibration is not None:
            parts.append(repr(self.calibration))
        parts += [f"{name}: {_span(table)}" for name, table in self.yardsticks.items()]
        return "; ".join(parts)

    def __str__(self) -> str:
        from simplugins.comparisons.layer_texts import layer_text

        return layer_text(self)

    def best_match(self) -> dict[str, str]:
        """Return the most similar column for each layer of the rows; ties go to the first column.

        With a calibration, the column with the best score (or the best value, if the method has no scores) among the
        significant ones; layers without any are left out.

        Raises
        ------
        ValueError
            If the method does not declare whether larger values are more similar, or a row contains only NaN.
        """
        larger = self.metadata.get("larger_is_more_similar")
        if larger is None:
            raise ValueError(
                f"method {self.method!r} does not declare larger_is_more_similar, so the best match is unknown"
            )
        if (undefined := np.isnan(self.values).all(axis=1)).any():
            raise ValueError(f"layer {self.rows[int(np.argmax(undefined))]!r} has no value under {self.method!r}")
        scores: NDArray[np.float64] = self.values if larger else -self.values
        if self.calibration is not None:
            calibrated = scores if self.calibration.scores is None else self.calibration.scores
            scores = np.where(self.calibration.significant, calibrated, np.nan)
        pairs = zip(self.rows, scores, strict=True)
        return {name: self.columns[int(np.nanargmax(row))] for name, row in pairs if not np.isnan(row).all()}

    def table(self) -> list[dict[str, Any]]:
        """Return one dict per pair of layers, for data frames.

        Returns
        -------
        list of dict
            "row", "column" and "value"; with intervals also "low" and "high"; with a calibration also "score" (unless
            the method has none), "p_value", "threshold" and "chance" (the mean of the null distribution); and each
            yardstick by its name.

        Examples
        --------
        >>> Comparison([[0.5]], ("conv1",), ("conv2",), {"method": "cka"}, yardsticks={"untrained": [[0.4]]}).table()
        [{'row': 'conv1', 'column': 'conv2', 'value': 0.5, 'untrained': 0.4}]
        """
        tables: dict[str, NDArray[np.float64]] = {"value": self.values}
        if self.intervals is not None:
            tables |= {"low": self.intervals.low, "high": self.intervals.high}
        if self.calibration is not None:
            if self.calibration.scores is not None:
                tables["score"] = self.calibration.scores
            tables |= {"p_value": self.calibration.p_values, "threshold": self.calibration.thresholds}
            tables["chance"] = self.calibration.chance
        tables |= self.yardsticks
        return [
            {"row": row, "column": column, **{name: float(table[i, j]) for name, table in tables.items()}}
            for i, row in enumerate(self.rows)
            for j, column in enumerate(self.columns)
        ]

    def difference(self, first: tuple[str, str], second: tuple[str, str]) -> PairedDifference:
        """Test whether two cells of the table differ, by the resamples that all cells have in common.

        Parameters
        ----------
        first, second : (str, str)
            The names of a row and of a column.

        Returns
        -------
        PairedDifference
            The first cell minus the second one. Not corrected for the number of pairs of cells that one might test.

        Raises
        ------
        ValueError
            If the comparison has no intervals, or no such layer.

        Examples
        --------
        >>> import simplugins
        >>> x = np.random.default_rng(0).normal(size=(3, 30, 4, 3, 3))
        >>> layers = {"input": x[0], "near": x[0] + 0.3 * x[1], "far": x[0] + 3 * x[2]}
        >>> comparison = simplugins.compare_layers(layers, intervals=True)
        >>> comparison.difference(("input", "near"), ("input", "far")).low > 0
        True
        """
        from simplugins.comparisons.differences import difference_of
        from simplugins.comparisons.resampling import interval

        if self.intervals is None:
            raise ValueError("the comparison has no resamples: compute it with compare_layers(..., intervals=True)")
        (i, j), (k, m) = self._place("first", first), self._place("second", second)
        distribution = self.intervals.distribution[:, i, j] - self.intervals.distribution[:, k, m]
        ends = float("nan"), float("nan")
        if not np.isnan([self.intervals.low[i, j], self.intervals.low[k, m]]).any():
            ends = interval(distribution, self.intervals.confidence)
        names = [" x ".join(cell) for cell in (first, second)]
        values = [float(self.values[i, j]), float(self.values[k, m])]
        return difference_of(names, values, distribution, ends, self.label, self.intervals.confidence)

    def _place(self, parameter: str, cell: tuple[str, str]) -> tuple[int, int]:
        if isinstance(cell, str) or len(cell) != 2:
            raise ValueError(f"{parameter}: expected the names of a row and a column, got {cell!r}")
        for name, names, side in zip(cell, (self.rows, self.columns), ("row", "column"), strict=True):
            if name not in names:
                raise ValueError(f"{parameter}: there is no {side} {name!r}, only {', '.join(names)}")
        return self.rows.index(cell[0]), self.columns.index(cell[1])

    def plot(
        self,
        axes: Axes | None = None,
        *,
        title: str | None = None,
        cmap: str = "viridis",
        vmin: float | None = None,
        vmax: float | None = None,
    ) -> Axes:
        """Draw the values, or the scores of a calibration; see `simplugins.plotting.layer_heatmaps.plot_comparison`."""
        from simplugins.plotting.layer_heatmaps import plot_comparison

        return plot_comparison(self, axes, title=title, cmap=cmap, vmin=vmin, vmax=vmax)

    def trend(
        self,
        axes: Axes | None = None,
        *,
        columns: Sequence[str] | Literal["matching"] | None = None,
        title: str | None = None,
        limits: tuple[float, float] | None = None,
        colors: Sequence[Any] | None = None,
    ) -> Axes:
        """Draw curves over the rows, such as steps or layers; see `simplugins.plotting.trend_figures.plot_trend`."""
        from simplugins.plotting.trend_figures import plot_trend

        return plot_trend(self, axes, columns=columns, title=title, limits=limits, colors=colors)

    def to(self, tool: Any, **options: Any) -> Any:
        """Return the comparison as an object of another tool; see `simplugins.to_tool`."""
        return plugins.adapter(tool).to(self, **options)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the comparison to a file, atomically.

        Parameters
        ----------
        path : path
            Ends in .npz (which `load_comparison` reads), .csv (a table with the names of the layers) or .json.
        overwrite : bool, default False
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and may not be replaced.
        ValueError
            If the path has another ending.
        """
        from simplugins.comparisons.comparison_files import save_comparison

        save_comparison(self, path, overwrite=overwrite)


def _span(table: NDArray[np.float64]) -> str:
    if np.isnan(table).all():
        return "no values"
    low, high = float(np.nanmin(table)), float(np.nanmax(table))
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
