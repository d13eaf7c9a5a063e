# SPDX-License-Identifier: Apache-2.0
"""Means of metrics over queries, with intervals from the bootstrap over queries or groups of queries."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.groups import group_count, renumbered
from simplugins.comparisons.resampling import inputs_for_interval, interval, resampled_means


@dataclass(frozen=True)
class Metric:
    """The mean of a metric over queries, with a bootstrap interval.

    Attributes
    ----------
    value : float
        The mean; NaN if the metric is defined for no query.
    low, high : float
        Ends of the interval; NaN if there are too few queries for one.
    queries : int
        Number of queries for which the metric is defined.
    """

    value: float
    low: float
    high: float
    queries: int

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def mean_metrics(
    per_query: Mapping[str, NDArray[np.float64]],
    groups: NDArray[np.int64] | None,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Metric]:
    """Return the means of metrics with their intervals; that of AP is called "mAP".

    Parameters
    ----------
    per_query : mapping of str to (Q,) float64 array
        NaN where a metric is not defined.
    groups : (Q,) int64 array or None
        The group of each query.
    resamples : int
    confidence : float
    rng : Generator
    """
    needed = inputs_for_interval(1, confidence)
    metrics, few = {}, []
    for name, values in per_query.items():
        defined = ~np.isnan(values)
        units = None if groups is None else renumbered(groups[defined])
        metrics[metric_name(name)] = _metric(values[defined], units, resamples, confidence, rng)
        count = group_count(units, metrics[metric_name(name)].queries) if defined.any() else 0
        if 0 < count < needed:
            few.append(f"{metric_name(name)} ({count})")
    if few:
        kind = "queries" if groups is None else "groups of queries"
        warnings.warn(
            f"an interval at {100 * confidence:g} % needs at least {needed} {kind} with a value, so it is NaN for "
            f"{', '.join(few)}",
            RuntimeWarning,
            stacklevel=3,
        )
    return metrics


def metric_name(name: str) -> str:
    """Return the name of the mean of a metric over queries.

    Examples
    --------
    >>> metric_name("AP"), metric_name("F1@1")
    ('mAP', 'F1@1')
    """
    return "mAP" if name == "AP" else name


def _metric(
    values: NDArray[np.float64],
    groups: NDArray[np.int64] | None,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Metric:
    if not values.size:
        return Metric(np.nan, np.nan, np.nan, 0)
    low, high = _ends(values, groups, resamples, confidence, rng)
    return Metric(float(values.mean()), low, high, len(values))


def _ends(
    values: NDArray[np.float64],
    groups: NDArray[np.int64] | None,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the ends of an interval of the mean of values from 0 to 1.

    The bootstrap cannot vary equal values. What can be said of these is how many other queries or groups may differ:
    the exact bound of Clopper and Pearson for an event that was never seen, and values of 0 or 1 for them.
    """
    units = group_count(groups, len(values))
    if units < inputs_for_interval(1, confidence):
        return np.nan, np.nan
    if (values == values[0]).all():
        equal = ((1 - confidence) / 2) ** (1 / units)
        return float(values[0] * equal), float(values[0] * equal + 1 - equal)
    return interval(resampled_means(values, resamples, rng, groups), confidence)
