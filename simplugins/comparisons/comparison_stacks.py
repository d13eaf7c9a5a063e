# SPDX-License-Identifier: Apache-2.0
"""Tables of layers put together from tables of one row or one column, whose inputs were resampled alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.layer_calibration import LayerCalibration
from simplugins.comparisons.layer_comparison import Comparison
from simplugins.comparisons.layer_intervals import LayerIntervals

Direction = Literal["rows", "columns"]


def stack(comparisons: Sequence[Comparison], direction: Direction) -> Comparison:
    """Put tables that share their columns below each other, or tables that share their rows side by side.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Computed by the same call but for their layers, so that all have the same resamples and permutations.
    direction : {"rows", "columns"}
        What the tables add to each other.

    Returns
    -------
    Comparison
        With intervals and a calibration of each cell if all tables have them. A table that is calibrated by its
        maximum or mean is a family of its own, so such calibrations are left out. So are yardsticks.

    Raises
    ------
    ValueError
        If there are no tables, or they differ in the names that they should share.

    Examples
    --------
    >>> facts = {"method": "cka", "inputs": 8, "symmetric": False}
    >>> early = Comparison([[0.9], [0.7]], ("step 0", "step 1"), ("conv1",), facts)
    >>> late = Comparison([[0.8], [0.2]], ("step 0", "step 1"), ("conv2",), facts)
    >>> result = stack([early, late], "columns")
    >>> result.columns, result.values.tolist()
    (('conv1', 'conv2'), [[0.9, 0.8], [0.7, 0.2]])
    """
    if not comparisons:
        raise ValueError("comparisons: expected at least one, got none")
    first, shared = comparisons[0], "columns" if direction == "rows" else "rows"
    for comparison in comparisons:
        if getattr(comparison, shared) != getattr(first, shared):
            raise ValueError(
                f"comparisons: expected the {shared} {', '.join(getattr(first, shared))} in all, got "
                f"{', '.join(getattr(comparison, shared))}"
            )
    axis = -2 if direction == "rows" else -1

    def joined(array: Callable[[Comparison], NDArray[Any]]) -> NDArray[np.float64]:
        return np.concatenate([array(comparison) for comparison in comparisons], axis)

    names = tuple(name for comparison in comparisons for name in getattr(comparison, direction))
    return Comparison(
        values=joined(lambda comparison: comparison.values),
        rows=names if direction == "rows" else first.rows,
        columns=names if direction == "columns" else first.columns,
        metadata={**first.metadata, "symmetric": False},
        calibration=_calibration(comparisons, axis),
        intervals=_intervals(comparisons, axis),
    )


def _intervals(comparisons: Sequence[Comparison], axis: int) -> LayerIntervals | None:
    parts = [comparison.intervals for comparison in comparisons if comparison.intervals is not None]
    if len(parts) < len(comparisons):
        return None
    ends = {name: np.concatenate([getattr(part, name) for part in parts], axis) for name in ("low", "high")}
    distribution = np.concatenate([part.distribution for part in parts], axis)
    return LayerIntervals(**ends, distribution=distribution, confidence=parts[0].confidence, groups=parts[0].groups)


def _calibration(comparisons: Sequence[Comparison], axis: int) -> LayerCalibration | None:
    parts = [comparison.calibration for comparison in comparisons if comparison.calibration is not None]
    if len(parts) < len(comparisons) or any(part.mode != "each" for part in parts):
        return None
    tables = {
        name: np.concatenate([getattr(part, name) for part in parts], axis)
        for name in ("p_values", "thresholds", "null_distribution")
    }
    scores = [part.scores for part in parts if part.scores is not None]
    return LayerCalibration(
        mode="each",
        scores=np.concatenate(scores, axis) if len(scores) == len(parts) else None,
        aggregate=None,
        alpha=parts[0].alpha,
        exact=parts[0].exact,
        groups=parts[0].groups,
        **tables,
    )
