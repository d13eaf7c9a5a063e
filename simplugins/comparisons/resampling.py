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

from simplugins.comparisons.groups import group_count, least_groups, members
from simplugins.comparisons.method import CHUNK_BYTES, ComparisonMethod, Orders
from simplugins.rsm.matrices import Matrix, Vector

Alternative = Literal["greater", "less", "two-sided"]

TIE = 1e-9
"""Two results whose difference is at most this share of their size are attributed to rounding, and count as equal."""

_MOST_ENUMERATED = 12
"""Largest number of inputs whose orders are ever enumerated."""


def null_distribution(
    method: ComparisonMethod,
    a: Matrix,
    b: Matrix,
    permutations: int,
    rng: np.random.Generator,
    *,
    groups: NDArray[np.int64] | None = None,
    progress: bool | str = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> Vector:
    """Compare a matrix with another one whose inputs, or groups of inputs of equal size, are permuted.

    Returns
    -------
    (P,) float64 array
        One result per order of `drawn_orders`.
    """
    orders = drawn_orders(len(a), permutations, rng, groups)
    return method.permuted_all([a], [b], orders, progress=progress, chunk_bytes=chunk_bytes)[:, 0, 0]


def drawn_orders(
    inputs: int, permutations: int, rng: np.random.Generator, groups: NDArray[np.int64] | None = None
) -> Orders:
    """Draw random orders of the inputs, (P, N); if they have no more than `permutations` other orders, all of these.

    With `groups`, whole groups are exchanged.

    Raises
    ------
    ValueError
        If the sizes of groups differ.

    Examples
    --------
    >>> drawn_orders(3, 99, np.random.default_rng(0)).tolist()
    [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    """
    units = group_count(groups, inputs)
    if draws_all(units, permutations):
        orders = np.array([*_all_other_orders(units)], dtype=np.int64).reshape(-1, units)
    else:
        orders = np.array([rng.permutation(units) for _ in range(permutations)], dtype=np.int64)
    return orders if groups is None else orders_of_members(orders, groups)


def draws_all(inputs: int, permutations: int) -> bool:
    """Return whether `drawn_orders` returns all other orders of the inputs, or of the groups.

    Examples
    --------
    >>> draws_all(4, 23), draws_all(4, 22)
    (True, False)
    """
    return other_orders(inputs, permutations + 1) <= permutations


def orders_of_members(orders: Orders, groups: NDArray[np.int64]) -> Orders:
    """Return the (P, N) orders of inputs that follow from (P, G) orders of groups, which are of equal size.

    Raises
    ------
    ValueError
        If the sizes of groups differ.

    Examples
    --------
    >>> orders_of_members(np.array([[1, 0, 2]]), np.array([0, 1, 1, 0, 2, 2]))
    array([[1, 0, 3, 2, 4, 5]])
    """
    inputs = members(groups)
    result = np.empty((len(orders), inputs.size), np.int64)
    result[:, inputs.ravel()] = inputs[orders].reshape(len(orders), -1)
    return result


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


def tie_of(statistic: float, null: NDArray[np.float64]) -> float:
    """Return the largest difference of results that is attributed to rounding, in any unit.

    Examples
    --------
    >>> tie_of(2e-6, np.array([0.0, -4e-6, 5e-6]))
    4e-15
    """
    sizes = np.abs(null[np.isfinite(null)])
    return TIE * max(abs(statistic), float(np.median(sizes)) if sizes.size else 0.0)


def p_value(statistic: float, null: NDArray[np.float64], alternative: Alternative) -> float:
    """Return the share of results at least as extreme as the statistic, which itself counts as one of them.

    Examples
    --------
    >>> p_value(3.0, np.array([0.0, 1.0, 4.0]), "greater")
    0.5
    """
    if np.isnan(statistic) or np.isnan(null).any():
        return float("nan")
    tie = tie_of(statistic, null)
    greater = (1 + np.count_nonzero(null >= statistic - tie)) / (1 + null.size)
    less = (1 + np.count_nonzero(null <= statistic + tie)) / (1 + null.size)
    return float({"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[alternative])


def draw(
    rng: np.random.Generator, inputs: int, least: int, groups: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Draw inputs with replacement, or whole groups, and return the count of each input.

    Parameters
    ----------
    rng : Generator
    inputs : int
        The number of inputs, N.
    least : int
        Draws of fewer different inputs, or of a single group, are repeated.
    groups : (N,) int64 array, optional
        The group of each input, from 0. As many groups are drawn as there are, so the number of inputs varies if
        groups differ in size.

    Returns
    -------
    (N,) int64 array

    Examples
    --------
    >>> draw(np.random.default_rng(0), 5, 2, np.array([0, 0, 1, 2, 2]))
    array([0, 0, 2, 1, 1])
    """
    units = group_count(groups, inputs)
    while True:
        counts = np.bincount(rng.integers(units, size=units), minlength=units)
        if groups is not None:
            if np.count_nonzero(counts) < 2:
                continue
            counts = counts[groups]
        if np.count_nonzero(counts) >= least:
            return counts


def resampled_means(
    values: NDArray[np.float64],
    resamples: int,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Return the (R,) means of resamples of values, or of whole groups of them.

    Examples
    --------
    >>> resampled_means(np.array([0.0, 1.0, 1.0]), 4, np.random.default_rng(0), np.array([0, 1, 1]))
    array([1.        , 0.66666667, 0.        , 0.        ])
    """
    units = group_count(groups, len(values))
    numbers = np.arange(units) if groups is None else groups
    sizes = np.bincount(numbers)
    sums = np.bincount(numbers, values)
    means = np.empty(resamples)
    for k in range(resamples):
        counts = np.bincount(rng.integers(units, size=units), minlength=units)
        means[k] = (counts @ sums) / (counts @ sizes)
    return means


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


def interval(distribution: NDArray[np.float64], confidence: float, *, stacklevel: int = 3) -> tuple[float, float]:
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
        warnings.warn(count + too_few, RuntimeWarning, stacklevel=stacklevel)
    if too_few:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def interval_over_inputs(
    distribution: NDArray[np.float64],
    confidence: float,
    method: ComparisonMethod,
    inputs: int,
    groups: NDArray[np.int64] | None,
) -> tuple[float, float]:
    """Return an interval of a method's results; NaN, with a warning, if there are too few inputs or groups."""
    units, least = group_count(groups, inputs), least_groups(groups, method.least_different)
    if enough_units(units, least, confidence, method.name, "inputs" if groups is None else "groups"):
        return interval(distribution, confidence, stacklevel=4)
    return float("nan"), float("nan")


def enough_units(units: int, least: int, confidence: float, subject: str, kind: str) -> bool:
    """Return whether an interval can be estimated from `units` inputs or groups; warn if it cannot."""
    needed = inputs_for_interval(least, confidence)
    if units < needed:
        warnings.warn(
            f"an interval of {subject} at {100 * confidence:g} % needs at least {needed} {kind}: {units} {kind} have "
            f"too few different resamples",
            RuntimeWarning,
            stacklevel=4,
        )
    return units >= needed


def difference_p_value(distribution: NDArray[np.float64], size: float = 1.0) -> float:
    """Return the two-sided p-value of resampled differences: twice the smaller share of those on one side of 0.

    The sample itself counts as one more on either side, and 0 as on both; NaN are left out. Differences that are
    rounding of numbers of the given size are 0.

    Examples
    --------
    >>> difference_p_value(np.array([0.1, 0.2, -0.1, 0.3])), difference_p_value(np.zeros(9))
    (0.8, 1.0)
    """
    defined, tie = distribution[~np.isnan(distribution)], TIE * size
    smaller = min(np.count_nonzero(defined <= tie), np.count_nonzero(defined >= -tie))
    return float(min(1.0, 2 * (1 + smaller) / (1 + defined.size)))
