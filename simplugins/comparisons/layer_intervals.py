# SPDX-License-Identifier: Apache-2.0
"""Intervals of a table of layers by layers: the same resamples of the inputs for all pairs of layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.threads import check_threads, in_threads
from simplugins.comparisons.all_pairs import threads_for
from simplugins.comparisons.groups import group_count, least_groups
from simplugins.comparisons.inference import groups_of, warn_of_repeated_inputs
from simplugins.comparisons.inference_options import InferenceOptions
from simplugins.comparisons.method import ComparisonMethod
from simplugins.comparisons.resampling import draw, enough_units, least_resamples
from simplugins.rsm.matrices import Matrix, Missing


@dataclass(frozen=True, eq=False, repr=False)
class LayerIntervals:
    """How much each value in a table of layers varies with the sample of inputs; see `compare_layers`.

    Attributes
    ----------
    low, high : (A, B) float64 arrays
        The ends of the interval of each value; NaN where there are too few inputs or groups, or defined resamples.
    distribution : (R, A, B) float64 array
        All values in each resample. All cells have the same resamples, so the differences of two cells are those of a
        paired bootstrap: see `Comparison.difference`.
    confidence : float
        The share of resamples within each interval.
    groups : int or None
        The number of groups of inputs, if whole groups were drawn.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    distribution: NDArray[np.float64]
    confidence: float
    groups: int | None = None

    @property
    def resamples(self) -> int:
        """The number of resamples."""
        return len(self.distribution)

    def __repr__(self) -> str:
        units = "" if self.groups is None else f" of {self.groups} groups"
        width = self.high - self.low
        widest = "" if np.isnan(width).all() else f", at most {np.nanmax(width):.2g} wide"
        return f"intervals at {100 * self.confidence:g} % from {self.resamples} resamples{units}{widest}"


def layer_intervals(
    options: InferenceOptions,
    method: ComparisonMethod,
    rows: Mapping[str, Any],
    columns: Mapping[str, Any] | None,
    *,
    missing: Missing,
) -> LayerIntervals | None:
    """Resample the inputs of all layers alike, if asked to.

    Parameters
    ----------
    options : InferenceOptions
    method : ComparisonMethod
    rows : mapping of str to RSM
    columns : mapping of str to RSM, or None
        None for `rows` again.
    missing : {"raise", "omit"}
    """
    if not options.intervals:
        return None
    a = [method.matrix(name, rsm, missing=missing) for name, rsm in rows.items()]
    b = None if columns is None else [method.matrix(name, rsm, missing=missing) for name, rsm in columns.items()]
    groups = groups_of([*rows.values(), *(columns or {}).values()], options.groups, len(a[0]))
    warn_of_repeated_inputs(method, stacklevel=4)
    compare = method.resampled_all(a, b, groups)
    shape = (len(a), len(a if b is None else b))
    embedded = sum(shape) if b is not None else shape[0]
    rng = np.random.default_rng(options.seed)
    counts = (draw(rng, len(a[0]), method.least_different, groups) for _ in range(options.resamples))
    distribution = _distribution(options, compare, counts, shape, bytes_each=4 * embedded * len(a[0]) ** 2)
    units = group_count(groups, len(a[0]))
    kind = "inputs" if groups is None else "groups"
    if enough_units(units, least_groups(groups, method.least_different), options.confidence, method.name, kind):
        low, high = _ends(distribution, options.confidence)
    else:
        low, high = np.full((2, *shape), np.nan)
    return LayerIntervals(low, high, distribution, options.confidence, None if groups is None else units)


def _distribution(
    options: InferenceOptions,
    compare: Callable[[NDArray[np.int64]], Matrix],
    counts: Iterator[NDArray[np.int64]],
    shape: tuple[int, int],
    *,
    bytes_each: int,
) -> NDArray[np.float64]:
    """Return the (R, A, B) values of all resamples; these are drawn in order, and do not depend on the threads."""
    distribution = np.empty((options.resamples, *shape))

    def work(task: _Task) -> None:
        distribution[task.number] = compare(task.counts)

    pairs = shape[0] * shape[1]
    in_threads(
        work,
        (_Task(number, drawn, pairs) for number, drawn in enumerate(counts)),
        pairs=pairs * options.resamples,
        threads=min(check_threads(options.threads), threads_for(bytes_each), options.resamples),
        progress=options.progress,
        title="resampling",
    )
    return distribution


@dataclass(frozen=True)
class _Task:
    """A resample, and the number of pairs of layers that are compared in it."""

    number: int
    counts: NDArray[np.int64]
    pairs: int


def _ends(distribution: NDArray[np.float64], confidence: float) -> tuple[Matrix, Matrix]:
    """Return the quantiles of each cell; cells with too few defined resamples are NaN, with one warning for all."""
    undefined = np.isnan(distribution).sum(0)
    needed = least_resamples(confidence)
    few = len(distribution) - undefined < needed
    if undefined.any() or few.any():
        values = f"up to {undefined.max()} of {len(distribution)} resamples are NaN in a cell"
        count = values if undefined.any() else f"{len(distribution)} resamples"
        too_few = f"; intervals at {100 * confidence:g} % need at least {needed}" if few.any() else ""
        warnings.warn(count + too_few, RuntimeWarning, stacklevel=4)
    ends = np.full((2, *undefined.shape), np.nan)
    shares = [(1 - confidence) / 2, (1 + confidence) / 2]
    ends[:, ~few] = np.nanquantile(distribution[:, ~few], shares, axis=0)
    return ends[0], ends[1]
