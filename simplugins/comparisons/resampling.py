# SPDX-License-Identifier: Apache-2.0
"""Null distributions and p-values of permutation tests, draws of the bootstrap, and percentile intervals."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simplugins._common.progress import progress_bar
from simplugins.comparisons.method import ComparisonMethod
from simplugins.rsm.matrices import Matrix, Vector

Alternative = Literal["greater", "less", "two-sided"]

_TIE = 1e-9
"""Two results within this distance of each other are attributed to rounding, and count as equal."""


CHUNK_BYTES = 16 * 2**20
"""Memory of the permuted matrices that are held at a time, unless one needs more."""


def null_distribution(
    method: ComparisonMethod,
    a: Matrix,
    b: Matrix,
    permutations: int,
    rng: np.random.Generator,
    *,
    progress: bool | str = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> Vector:
    """Compare a matrix with another one whose inputs are permuted at random, (N, N) and (N, N) to (permutations,)."""
    compare_permuted = method.permuted(a, b)
    null = np.empty(permutations)
    chunk = max(1, chunk_bytes // (4 * a.size))
    with progress_bar(range(0, permutations, chunk), progress, title="permuting") as starts:
        for start in starts:
            stop = min(start + chunk, permutations)
            null[start:stop] = compare_permuted(np.array([rng.permutation(len(a)) for _ in range(start, stop)]))
    return null


def p_value(statistic: float, null: NDArray[np.float64], alternative: Alternative) -> float:
    """Return the share of results at least as extreme as the statistic, which itself counts as one of them.

    Examples
    --------
    >>> p_value(3.0, np.array([0.0, 1.0, 4.0]), "greater")
    0.5
    """
    if np.isnan(statistic) or np.isnan(null).any():
        return float("nan")
    tie = _TIE * max(1.0, abs(statistic))
    greater = (1 + np.count_nonzero(null >= statistic - tie)) / (1 + null.size)
    less = (1 + np.count_nonzero(null <= statistic + tie)) / (1 + null.size)
    return float({"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[alternative])


def draw(rng: np.random.Generator, inputs: int, least: int) -> NDArray[np.int64]:
    """Draw inputs with replacement, and return the count of each; draws of too few different inputs are repeated."""
    while True:
        counts = np.bincount(rng.integers(inputs, size=inputs), minlength=inputs)
        if np.count_nonzero(counts) >= least:
            return counts


def interval(distribution: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Return the two quantiles that enclose the given share of the results; results that are NaN raise a warning.

    Examples
    --------
    >>> interval(np.arange(101.0), 0.5)
    (25.0, 75.0)
    """
    defined = distribution[~np.isnan(distribution)]
    if missing := distribution.size - defined.size:
        warnings.warn(f"{missing} of {distribution.size} resamples are NaN", RuntimeWarning, stacklevel=3)
    if not defined.size:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
