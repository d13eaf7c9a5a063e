# SPDX-License-Identifier: Apache-2.0
"""Calibration of a table of layers by layers: the same permutations of the inputs for all pairs of layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.groups import group_count
from simplugins.comparisons.inference import groups_of
from simplugins.comparisons.inference_options import CalibrationMode, InferenceOptions, check_mode
from simplugins.comparisons.method import ComparisonMethod
from simplugins.comparisons.null_calibration import (
    Calibration,
    calibrated,
    check_calibration,
    direction,
    warn_of_few,
)
from simplugins.comparisons.resampling import drawn_orders, draws_all
from simplugins.rsm.matrices import Matrix, Missing


@dataclass(frozen=True, eq=False, repr=False)
class LayerCalibration:
    """How much of each value in a table of layers is above chance; see `compare_layers`.

    Attributes
    ----------
    mode : {"each", "max", "mean"}
        What cells are compared with. "each" and "mean": their own values after permuting. "max": the most similar pair
        of layers after permuting, so that the probability that any cell of unrelated networks is significant is at most
        `alpha` (family-wise).
    scores : (A, B) float64 array, or None
        The calibrated values: 0 where the value does not exceed its threshold, 1 for the best possible value; see
        `Calibration`. None if the method does not declare a best value, or it is infinite.
    p_values : (A, B) float64 array
        At most `alpha` exactly where the value exceeds its threshold; for "max", adjusted for all pairs of layers.
    thresholds : (A, B) float64 array
        In the units of the values; for "max", all the same.
    null_distribution : (P, A, B) float64 array
        All values after permuting the inputs of the second network, in the same order for all pairs of layers.
    aggregate : Calibration or None
        That of the most similar pair of layers ("max") or the mean ("mean"). If rows and columns are the same layers,
        of pairs of different layers.
    alpha : float
        The level of significance.
    exact : bool
        Whether these are all permutations rather than random ones.
    groups : int or None
        The number of groups of inputs, if whole groups were exchanged.
    """

    mode: CalibrationMode
    scores: NDArray[np.float64] | None
    p_values: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    null_distribution: NDArray[np.float64]
    aggregate: Calibration | None
    alpha: float
    exact: bool = False
    groups: int | None = None

    def __post_init__(self) -> None:
        check_mode(self.mode)
        check_calibration(self.permutations, self.alpha)
        shape = self.p_values.shape
        tables = {"thresholds": self.thresholds, "scores": self.scores, "null_distribution": self.null_distribution}
        for name, table in tables.items():
            if table is not None and table.shape[-2:] != shape:
                raise ValueError(f"{name}: expected values of {shape} pairs of layers, got shape {table.shape}")

    @property
    def permutations(self) -> int:
        """The number of permutations."""
        return len(self.null_distribution)

    @property
    def chance(self) -> NDArray[np.float64]:
        """The values by chance, (A, B): the means of the null distributions."""
        return np.asarray(self.null_distribution.mean(0))

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Whether each value exceeds its threshold, (A, B)."""
        return np.asarray(self.p_values <= self.alpha)

    def __repr__(self) -> str:
        count = f"{np.count_nonzero(self.significant)} of {self.p_values.size} significant"
        units = "" if self.groups is None else f" of {self.groups} groups"
        summary = f"calibrate={self.mode!r}: {count} at {self.alpha:g} ({self.permutations} permutations{units})"
        if self.aggregate is None:
            return summary
        value = "" if self.aggregate.score is None else f" score {self.aggregate.score:.4g},"
        return f"{summary}, {self.mode}{value} p = {self.aggregate.p_value:.4g}"


def calibrate_layers(
    options: InferenceOptions,
    method: ComparisonMethod,
    values: Matrix,
    rows: Mapping[str, Any],
    columns: Mapping[str, Any] | None,
    *,
    missing: Missing,
) -> LayerCalibration | None:
    """Calibrate a table of values by permuting the inputs of all layers of the columns alike, if asked to.

    Parameters
    ----------
    options : InferenceOptions
    method : ComparisonMethod
    values : (A, B) array
        The comparisons of `rows` with `columns`.
    rows : mapping of str to RSM
    columns : mapping of str to RSM, or None
        None for `rows` again.
    missing : {"raise", "omit"}
    """
    if options.calibrate is None:
        return None
    rsms = [*rows.values(), *(columns or {}).values()]
    groups = groups_of(rsms, options.groups, len(rsms[0]))
    null, exact = _null(options, method, rows, columns, groups, missing=missing)
    aggregate = None
    if options.calibrate != "each":
        family = np.isfinite(values) & np.isfinite(null).all(0)
        if columns is None and len(values) > 1:
            family &= _different_layers(method, len(values))
        aggregate = _aggregate(method, values, null, family, options.calibrate, options.alpha, exact=exact)
    result = _layer_calibration(method, values, null, options.calibrate, aggregate, options.alpha, exact=exact)
    return result if groups is None else replace(result, groups=group_count(groups, len(groups)))


def _null(
    options: InferenceOptions,
    method: ComparisonMethod,
    rows: Mapping[str, Any],
    columns: Mapping[str, Any] | None,
    groups: NDArray[np.int64] | None,
    *,
    missing: Missing,
) -> tuple[NDArray[np.float64], bool]:
    """Return the permuted values, and whether those are all; symmetric if rows and columns are the same layers."""
    a = [method.matrix(name, rsm, missing=missing) for name, rsm in rows.items()]
    b = a if columns is None else [method.matrix(name, rsm, missing=missing) for name, rsm in columns.items()]
    orders = drawn_orders(len(a[0]), options.permutations, np.random.default_rng(options.seed), groups)
    exact = draws_all(group_count(groups, len(a[0])), options.permutations)
    warn_of_few(len(orders), options.alpha, exact=exact, stacklevel=5)
    null = method.permuted_all(a, b, orders, progress=options.progress)
    if columns is None and method.is_symmetric:
        lower = np.tril_indices(len(a), -1)
        null[:, lower[0], lower[1]] = null[:, lower[1], lower[0]]
    return null, exact


def _layer_calibration(
    method: ComparisonMethod,
    values: Matrix,
    null: NDArray[np.float64],
    mode: CalibrationMode,
    aggregate: Calibration | None,
    alpha: float,
    *,
    exact: bool,
) -> LayerCalibration:
    """Calibrate each cell by its own null distribution, or by that of the maximum."""

    def cell(i: int, j: int) -> Calibration:
        value = float(values[i, j])
        if aggregate is None or mode == "mean":
            return calibrated(value, null[:, i, j], method, alpha, exact=exact)
        null_distribution, threshold = aggregate.null_distribution, aggregate.threshold
        return calibrated(value, null_distribution, method, alpha, exact=exact, threshold=threshold)

    rows, columns = values.shape
    cells = [[cell(i, j) for j in range(columns)] for i in range(rows)]

    def array(name: str) -> Matrix:
        return np.array([[getattr(cell, name) for cell in row] for row in cells], dtype=np.float64)

    return LayerCalibration(
        mode=mode,
        scores=None if cells[0][0].score is None else array("score"),
        p_values=array("p_value"),
        thresholds=array("threshold"),
        null_distribution=null,
        aggregate=aggregate,
        alpha=float(alpha),
        exact=exact,
    )


def _different_layers(method: ComparisonMethod, count: int) -> NDArray[np.bool_]:
    """Return the pairs of different layers of one network, each pair once if the method is symmetric."""
    different = ~np.eye(count, dtype=bool)
    return np.triu(different) if method.is_symmetric else different


def _aggregate(
    method: ComparisonMethod,
    values: Matrix,
    null: NDArray[np.float64],
    family: NDArray[np.bool_],
    mode: CalibrationMode,
    alpha: float,
    *,
    exact: bool,
) -> Calibration:
    """Calibrate the most similar or the mean value; NaN if there is none."""
    combine: Any = np.mean if mode == "mean" else np.max if direction(method) > 0 else np.min
    value, permuted = float("nan"), np.full(len(null), np.nan)
    if family.any():
        value, permuted = float(combine(values[family])), combine(null[:, family], axis=1)
    return calibrated(value, permuted, method, alpha, exact=exact)
