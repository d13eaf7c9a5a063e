# SPDX-License-Identifier: Apache-2.0
"""Variances of estimates and of their differences, by drawing inputs, targets, or both with replacement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simplugins._common.progress import progress_bar
from simplugins.rsm.matrices import Matrix

Over = Literal["inputs", "targets", "both"]
"""What conclusions are to hold for: other inputs, other targets, or both."""


def variances(
    values: Matrix,
    evaluate: Callable[[NDArray[np.int64]], Matrix],
    draw_inputs: Callable[[], NDArray[np.int64]],
    *,
    over: Over,
    units: int,
    resamples: int,
    rng: np.random.Generator,
    progress: bool | str = False,
) -> tuple[Matrix, int]:
    """Return the variances of the estimates, and of their differences.

    Parameters
    ----------
    values : (K, S) array
        The comparison of each candidate with each target.
    evaluate : callable
        Maps the (N,) number of occurrences of each input to the (K, S) values of the resample.
    draw_inputs : callable
        Returns the (N,) number of occurrences of each input.
    over : {"inputs", "targets", "both"}
    units : int
        The number of inputs that are drawn, or of groups of inputs.
    resamples : int
    rng : Generator
        Draws the targets.
    progress : bool or str, default False

    Returns
    -------
    variances : (K, K) float64 array
        Of each estimate on the diagonal; of the difference of two estimates elsewhere.
    undefined : int
        The number of resamples that were left out because a value was NaN.
    """
    targets = values.shape[1]
    samples = np.empty((3, resamples, len(values)))
    with progress_bar(range(resamples), progress, title="resampling") as numbers:
        for k in numbers:
            drawn = values if over == "targets" else evaluate(draw_inputs())
            chosen = np.arange(targets) if over == "inputs" else rng.integers(targets, size=targets)
            samples[:, k] = drawn[:, chosen].mean(1), values[:, chosen].mean(1), drawn.mean(1)
    defined = samples[:, ~np.isnan(samples).any((0, 2))]
    undefined = resamples - defined.shape[1]
    if defined.shape[1] < 2:
        return np.full(2 * (len(values),), np.nan), undefined
    both, of_targets, of_inputs = map(_spread, defined)
    if over == "inputs":
        return of_inputs * units / (units - 1), undefined
    if over == "targets":
        return of_targets * targets / (targets - 1), undefined
    return combined(both, of_targets, of_inputs, targets=targets, inputs=units), undefined


def _spread(samples: Matrix) -> Matrix:
    """Return the variances of K columns on the diagonal, and of the differences of two columns elsewhere."""
    covariance = np.atleast_2d(np.cov(samples, rowvar=False))
    variance = covariance.diagonal()
    spread = np.maximum(variance[:, None] + variance - 2 * covariance, 0)
    np.fill_diagonal(spread, variance)
    return spread


def combined(both: Matrix, of_targets: Matrix, of_inputs: Matrix, *, targets: int, inputs: int) -> Matrix:
    """Return the variance due to inputs and targets, from three bootstraps with the same draws.

    Drawing both counts the variance within inputs and targets repeatedly, so that the variance of such resamples is too
    large: with unbiased variances I of inputs, T of targets and E of the rest, the three bootstraps estimate
    ``I + T + 3 E``, ``T + E`` and ``I + E`` (for large samples). The result is at least the variance over targets and
    over inputs, and at most that of drawing both.

    References
    ----------
    Schütt et al. 2023, "Statistical inference on representational geometries", equations 8 to 12.

    Examples
    --------
    >>> float(combined(np.array(6.0), np.array(3.0), np.array(2.0), targets=10**9, inputs=10**9).round(6))  # I 1, T 2
    4.0
    """
    a, b = targets / (targets - 1), inputs / (inputs - 1)
    least = np.maximum(a * of_targets, b * of_inputs)
    total = a * of_targets + b * of_inputs - a * b * (both - of_targets - of_inputs)
    return np.minimum(np.maximum(total, least), both)
