# SPDX-License-Identifier: Apache-2.0
"""Corrections of p-values for several tests, and letters that show which estimates differ."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.resampling import TIE
from simplugins.rsm.matrices import Matrix, Vector


def holm(p_values: Vector) -> Vector:
    """Return p-values corrected for the number of tests: the probability of any false rejection is at most the level.

    Valid under any dependence of the tests. NaN are not counted as tests, and remain NaN.

    References
    ----------
    Holm 1979, "A simple sequentially rejective multiple test procedure".

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    corrected = np.full(p_values.shape, np.nan)
    order = [i for i in np.argsort(p_values, kind="stable") if not np.isnan(p_values[i])]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return corrected


def family_p_values(statistics: Vector, null: Matrix) -> Vector:
    """Return p-values of several statistics by the permutation test of their maximum.

    Each statistic is first divided by its standard deviation over the permutations, after subtracting their mean, so
    that statistics with wide null distributions do not decide the maximum. The statistics themselves count as one of
    the permutations.

    Parameters
    ----------
    statistics : (K,) array
        Larger is more extreme. NaN are not counted as tests.
    null : (P, K) array
        The statistics under the same P permutations.

    Returns
    -------
    (K,) float64 array
        The share of permutations whose largest standardised statistic is at least that of the candidate; NaN where the
        statistic, or any of its permutations, is NaN.

    References
    ----------
    Westfall and Young 1993, "Resampling-based multiple testing"; Nichols and Holmes 2002, "Nonparametric permutation
    tests for functional neuroimaging".

    Examples
    --------
    >>> family_p_values(np.array([5.0, 0.2]), np.array([[1.0, 1.0], [0.0, 0.0], [-1.0, -1.0]]))
    array([0.25, 0.5 ])
    """
    table = np.vstack([statistics, null])
    tests = ~np.isnan(table).any(0)
    result = np.full(len(statistics), np.nan)
    if not tests.any():
        return result
    table = table[:, tests] - table[:, tests].mean(0)
    deviations = table.std(0)
    table = np.divide(table, deviations, out=np.zeros_like(table), where=deviations > 0)
    result[tests] = (table.max(1)[:, None] >= table[0] - TIE).mean(0)
    return result


def letters(different: NDArray[np.bool_]) -> list[str]:
    """Return letters for K estimates such that two of them share a letter unless they differ.

    Parameters
    ----------
    different : (K, K) bool array
        Symmetric.

    References
    ----------
    Piepho 2004, "An algorithm for a letter-based representation of all-pairwise comparisons".

    Examples
    --------
    >>> letters(np.array([[False, False, True], [False, False, False], [True, False, False]]))
    ['a', 'ab', 'b']
    """
    groups: list[frozenset[int]] = [frozenset(range(len(different)))]
    for i, j in np.argwhere(np.triu(different, 1)).tolist():
        split = {part for group in groups for part in ([group - {i}, group - {j}] if {i, j} <= group else [group])}
        groups = [group for group in split if not any(group < other for other in split)]
    groups.sort(key=sorted)
    return ["".join(_letter(k) for k, group in enumerate(groups) if i in group) for i in range(len(different))]


def _letter(k: int) -> str:
    return ascii_lowercase[k] if k < len(ascii_lowercase) else f"({k + 1})"


def tied_ranks(better: NDArray[np.bool_]) -> Sequence[int]:
    """Return 1 + the number of estimates that are clearly better, for each of K; (K, K), row better than column."""
    return (1 + better.sum(0)).tolist()  # type: ignore[no-any-return]
