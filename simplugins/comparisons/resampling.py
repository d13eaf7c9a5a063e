# SPDX-License-Identifier: Apache-2.0
"""Null distributions and p-values of permutation tests, draws of the bootstrap, and percentile intervals."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from math import ceil, comb, factorial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.method import CHUNK_BYTES, ComparisonMethod, Orders
from simplugins.rsm.matrices import Matrix, Vector

Alternative = Literal["greater", "less", "two-sided"]

TIE = 1e-9
"""Two results within this distance of each other are attributed to rounding, and count as equal."""

_MOST_ENUMERATED = 12
"""Largest number of inputs whose orders are ever enumerated."""


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
    """Compare a matrix with another one whose inputs are permuted.

    Returns
    -------
    (P,) float64 array
        One result per order of `drawn_orders`.
    """
    orders = drawn_orders(len(a), permutations, rng)
    return method.permuted_all([a], [b], orders, progress=progress, chunk_bytes=chunk_bytes)[:, 0, 0]


def drawn_orders(inputs: int, permutations: int, rng: np.random.Generator) -> Orders:
    """Draw random orders of the inputs, (P, N); if they have no more than `permutations` other orders, all of these.

    Examples
    --------
    >>> drawn_orders(3, 99, np.random.default_rng(0)).tolist()
    [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    """
    if draws_all(inputs, permutations):
        return np.array([*_all_other_orders(inputs)], dtype=np.int64).reshape(-1, inputs)
    return np.array([rng.permutation(inputs) for _ in range(permutations)], dtype=np.int64)


def draws_all(inputs: int, permutations: int) -> bool:
    """Return whether `drawn_orders` returns all other orders of the inputs.

    Examples
    --------
    >>> draws_all(4, 23), draws_all(4, 22)
    (True, False)
    """
    return other_orders(inputs, permutations + 1) <= permutations


def other_orders(inputs: int, most: int) -> int:
    """Return the number of orders of the inputs except the first one, or `most` if there are more.

    Examples
    --------
    >>> other_orders(4, 999), other_orders(100, 999)
    (23, 999)
    """
    return most if inputs > _MOST_ENUMERATED else min(most, factorial(inputs) - 1)


def _all_other_orders(inputs: int) -> Iterator[tuple[int, ...]]:
    return itertools.islice(itertools.permutations(range(inputs)), 1, None)


def p_value(statistic: float, null: NDArray[np.float64], alternative: Alternative) -> float:
    """Return the share of results at least as extreme as the statistic, which itself counts as one of them.

    Examples
    --------
    >>> p_value(3.0, np.array([0.0, 1.0, 4.0]), "greater")
    0.5
    """
    if np.isnan(statistic) or np.isnan(null).any():
        return float("nan")
    tie = TIE * max(1.0, abs(statistic))
    greater = (1 + np.count_nonzero(null >= statistic - tie)) / (1 + null.size)
    less = (1 + np.count_nonzero(null <= statistic + tie)) / (1 + null.size)
    return float({"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[alternative])


def draw(rng: np.random.Generator, inputs: int, least: int) -> NDArray[np.int64]:
    """Draw inputs with replacement, and return the count of each; draws of too few different inputs are repeated."""
    while True:
        counts = np.bincount(rng.integers(inputs, size=inputs), minlength=inputs)
        if np.count_nonzero(counts) >= least:
            return counts


def least_resamples(confidence: float) -> int:
    """Return the number of resamples of which at least one lies beyond each end of an interval.

    Examples
    --------
    >>> least_resamples(0.95)
    40
    """
    return ceil(2 / (1 - confidence) - 1e-6)


def different_resamples(inputs: int, least: int, most: int) -> int:
    """Return the number of different resamples with at least `least` different inputs, or `most` if there are more.

    Examples
    --------
    >>> different_resamples(3, 3, 40), different_resamples(4, 3, 40), different_resamples(5, 3, 40)
    (1, 13, 40)
    """
    count = 0
    for distinct in range(inputs, least - 1, -1):
        count += comb(inputs, distinct) * comb(inputs - 1, distinct - 1)
        if count >= most:
            return most
    return count


def inputs_for_interval(least: int, confidence: float) -> int:
    """Return the number of inputs from which an interval can be estimated, if resamples need `least` different ones.

    Examples
    --------
    >>> inputs_for_interval(3, 0.95), inputs_for_interval(4, 0.95)
    (5, 6)
    """
    most = least_resamples(confidence)
    return next(inputs for inputs in itertools.count(least) if different_resamples(inputs, least, most) == most)


def interval(distribution: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Return the two quantiles that enclose the given share of the results; results that are NaN raise a warning.

    NaN, with a warning, if there are too few results for the quantiles.

    Examples
    --------
    >>> interval(np.arange(101.0), 0.5)
    (25.0, 75.0)
    """
    defined = distribution[~np.isnan(distribution)]
    needed = least_resamples(confidence)
    undefined = distribution.size - defined.size
    too_few = f"; an interval at {100 * confidence:g} % needs at least {needed}" if defined.size < needed else ""
    if undefined or too_few:
        count = f"{undefined} of {distribution.size} resamples are NaN" if undefined else f"{defined.size} resamples"
        warnings.warn(count + too_few, RuntimeWarning, stacklevel=3)
    if too_few:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
