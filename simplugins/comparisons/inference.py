# SPDX-License-Identifier: Apache-2.0
"""How sure a comparison of two RSMs is: a permutation test, and intervals from the bootstrap."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simplugins._common.progress import progress_bar
from simplugins._common.validation import check_between, check_count
from simplugins.comparisons.comparing import Comparing, call, compare_all, name_of, resolve_method
from simplugins.comparisons.inputs import aligned
from simplugins.comparisons.method import Method
from simplugins.comparisons.permuting import permuter
from simplugins.rsm.matrices import matrix_of, symmetric_matrix_of

Alternative = Literal["greater", "less", "two-sided"]

CHUNK_BYTES = 16 * 2**20
"""The most memory that permuted matrices take at a time, unless one needs more."""

_TIE = 1e-9
"""How near two results are to be to count as equal, but for rounding."""


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """Whether two RSMs are more alike than by chance.

    Attributes
    ----------
    statistic : float
        What the method gives for the RSMs as they are.
    p_value : float
        The share of permutations that give a result as extreme or more, the RSMs as they are counted as one. NaN if
        any result is.
    null_distribution : (P,) float64 array
        What it gives with the inputs of the second RSM permuted.
    """

    statistic: float
    p_value: float
    null_distribution: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BootstrapInterval:
    """How much a comparison may vary with the inputs that were drawn.

    Attributes
    ----------
    estimate : float
        What the method gives for the RSMs as they are.
    low, high : float
        The interval's ends.
    distribution : (R,) float64 array
        What it gives for each resample.
    """

    estimate: float
    low: float
    high: float
    distribution: NDArray[np.float64]


def permutation_test(
    rsm_a: Any,
    rsm_b: Any,
    method: str | Comparing = "cka",
    *,
    permutations: int = 999,
    seed: int | np.random.Generator = 0,
    alternative: Alternative = "greater",
    align: bool = False,
    progress: bool | str = False,
) -> PermutationTest:
    """Test whether two RSMs are more alike than they would be if inputs had nothing to do with each other.

    The null hypothesis is that the inputs of one RSM can be exchanged without those of the other. So rows and columns
    of the second one are permuted together, at random.

    Parameters
    ----------
    rsm_a, rsm_b : RSMs or (N, N) arrays
        As for `compare`.
    method : str or callable, default "cka"
        As for `compare`.
    permutations : int, default 999
        How many; the p-value is at least ``1 / (permutations + 1)``.
    seed : int or Generator, default 0
    alternative : {"greater", "less", "two-sided"}
        Whether the similarity is greater than by chance, less, or either. Under a distance, which a method's
        `larger_is_more_similar` tells, a greater similarity is a smaller result.
    align : bool, default False
        Whether to put the inputs of the second RSM in the order of the first one's labels.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    PermutationTest

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if an option has an impossible value.

    Notes
    -----
    Under a `Method`, both RSMs are embedded once, and a permutation costs O(N^2), or O(N^2 log N) under Kendall's;
    16 MiB hold some permuted vectors at a time. A plain callable is called for each permutation.

    References
    ----------
    Kriegeskorte et al. 2008, "Representational similarity analysis"; Phipson and Smyth 2010, "Permutation p-values
    should never be zero".

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(20, 3))
    >>> tested = permutation_test(features @ features.T, features[:, :2] @ features[:, :2].T, permutations=99)
    >>> tested.p_value  # none of the permutations comes near
    0.01
    """
    compared = resolve_method(method)
    check_count("permutations", permutations)
    if alternative not in get_args(Alternative):
        raise ValueError(f"alternative must be one of {', '.join(get_args(Alternative))}, got {alternative!r}")
    a, b, statistic = _prepare(rsm_a, rsm_b, compared, align=align)
    null_of = _null_of(compared, a, b)
    rng = np.random.default_rng(seed)
    null = np.empty(permutations)
    chunk = max(1, CHUNK_BYTES // (4 * a.size))
    with progress_bar(range(0, permutations, chunk), progress, title="permuting") as starts:
        for start in starts:
            stop = min(start + chunk, permutations)
            null[start:stop] = null_of(np.array([rng.permutation(len(a)) for _ in range(start, stop)]))
    sign = 1 if getattr(compared, "larger_is_more_similar", True) else -1
    return PermutationTest(statistic, _p_value(sign * statistic, sign * null, alternative), null)


def bootstrap_interval(
    rsm_a: Any,
    rsm_b: Any,
    method: str | Comparing = "cka",
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int | np.random.Generator = 0,
    align: bool = False,
    progress: bool | str = False,
) -> BootstrapInterval:
    """Estimate how much a comparison of two RSMs varies with the inputs, by drawing inputs with replacement.

    Parameters
    ----------
    rsm_a, rsm_b : RSMs or (N, N) arrays
        As for `compare`.
    method : str or callable, default "cka"
        As for `compare`.
    resamples : int, default 1000
        How many times N of the N inputs are drawn. A draw of fewer different inputs than the method needs is repeated.
    confidence : float, default 0.95
        The share of resamples within the interval; as many are below as above.
    seed : int or Generator, default 0
    align : bool, default False
        Whether to put the inputs of the second RSM in the order of the first one's labels.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    BootstrapInterval
        NaN are left out of the interval, with a RuntimeWarning, where a resample is constant.

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if an option has an impossible value.

    Notes
    -----
    An input that is drawn twice makes a pair with itself, whose similarity is one of the diagonal. Methods that leave
    the diagonal out, "cka-debiased" and those of RSA, leave out such pairs too (as rsatoolbox does). Those that count
    it, "cka", "angular-cka" and "norm-difference", count both: they are functions of the empirical distribution of
    inputs, and a resample is another one. But such pairs are alike in both RSMs, so resamples are more alike than the
    inputs were, and the fewer these are, the more the interval is off to that side: "cka-debiased" has none of this. A
    plain callable is given whole matrices, with a RuntimeWarning.

    Inputs are what varies; features and layers are not. O(N^2) a resample, O(N^2 log N) under ranks.

    References
    ----------
    Efron and Tibshirani 1993, "An introduction to the bootstrap"; Nili et al. 2014, "A toolbox for representational
    similarity analysis".

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(50, 9))
    >>> found = bootstrap_interval(features @ features.T, features[:, :6] @ features[:, :6].T, "cka-debiased")
    >>> found.low < found.estimate < found.high
    True
    """
    compared = resolve_method(method)
    check_count("resamples", resamples)
    check_between("confidence", confidence, 0, 1)
    a, b, estimate = _prepare(rsm_a, rsm_b, compared, align=align)
    if not isinstance(compared, Method):
        warnings.warn(
            f"{name_of(compared)} is a plain function: resamples come to it with pairs of an input with itself, which "
            f"only a Method can leave out",
            RuntimeWarning,
            stacklevel=2,
        )
    rng = np.random.default_rng(seed)
    distribution = np.empty(resamples)
    with progress_bar(range(resamples), progress, title="resampling") as numbers:
        for k in numbers:
            counts = _draw(rng, len(a), getattr(compared, "least_inputs", 2))
            distribution[k] = _of_resample(compared, a, b, counts)
    low, high = interval(distribution, confidence)
    return BootstrapInterval(estimate, low, high, distribution)


def interval(distribution: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Return the two quantiles with so much between them, of the results that are defined; a warning tells of others.

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


def _prepare(
    rsm_a: Any, rsm_b: Any, method: Comparing, *, align: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return both matrices, checked, and what the method gives for them."""
    other = aligned(rsm_a, rsm_b) if align else rsm_b
    given = {"rsm_a": rsm_a}, {"rsm_b": other}
    value = float(compare_all(method, *given)[0, 0])
    checked = symmetric_matrix_of if isinstance(method, Method) else matrix_of
    return checked("rsm_a", rsm_a), checked("rsm_b", other), value


def _null_of(
    method: Comparing, a: NDArray[np.float64], b: NDArray[np.float64]
) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Return a function from (P, N) orders of the inputs of the second matrix to the method's results."""
    if not isinstance(method, Method):
        return lambda orders: np.array([call(method, a, b[np.ix_(order, order)]) for order in orders])
    once = np.ones(len(a))
    fixed, permuted = method.embed(a, once)[None], permuter(method.embed(b, once), len(b))
    return lambda orders: method.relate(fixed, permuted(orders))[0]


def _p_value(statistic: float, null: NDArray[np.float64], alternative: Alternative) -> float:
    """Return the share of results that are as extreme as the statistic, or more, itself being one of them."""
    if np.isnan(statistic) or np.isnan(null).any():
        return float("nan")
    tie = _TIE * max(1.0, abs(statistic))
    greater = (1 + np.count_nonzero(null >= statistic - tie)) / (1 + null.size)
    less = (1 + np.count_nonzero(null <= statistic + tie)) / (1 + null.size)
    return float({"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[alternative])


def _draw(rng: np.random.Generator, inputs: int, least: int) -> NDArray[np.int64]:
    """Draw inputs with replacement until enough are different; return how often each was drawn."""
    while True:
        counts = np.bincount(rng.integers(inputs, size=inputs), minlength=inputs)
        if np.count_nonzero(counts) >= least:
            return counts


def _of_resample(method: Comparing, a: NDArray[np.float64], b: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Compare two matrices whose inputs occur so often."""
    if not isinstance(method, Method):
        drawn = np.repeat(np.arange(len(a)), counts)
        return call(method, *(matrix[np.ix_(drawn, drawn)] for matrix in (a, b)))
    distinct = np.flatnonzero(counts)
    kept = np.ix_(distinct, distinct)
    u, v = (method.embed(matrix[kept], counts[distinct].astype(float))[None] for matrix in (a, b))
    return float(method.relate(u, v)[0, 0])
