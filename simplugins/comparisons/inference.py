# SPDX-License-Identifier: Apache-2.0
"""Inference on a comparison of two RSMs: the permutation (Mantel) test, and bootstrap intervals."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from simplugins._common.progress import progress_bar
from simplugins._common.validation import check_between, check_count
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.function_method import FunctionMethod
from simplugins.comparisons.groups import first_labels, group_count, read_groups
from simplugins.comparisons.inputs import aligned, labels_of
from simplugins.comparisons.method import ComparisonMethod, method_label, without_chance_warning
from simplugins.comparisons.resampling import (
    Alternative,
    draw,
    draws_all,
    interval_over_inputs,
    null_distribution,
    other_orders,
    p_value,
)
from simplugins.rsm.matrices import Matrix, Missing, check_missing

_MEANINGFUL = 0.05
"""The largest usual level of significance."""


@dataclass(frozen=True, eq=False, repr=False)
class PermutationTest:
    """Result of `permutation_test`: whether two RSMs are more similar than expected by chance.

    Attributes
    ----------
    value : float
        The comparison of the RSMs.
    p_value : float
        The share of permutations with a result at least as extreme, counting the unpermuted RSMs as one of them. NaN
        if any result is NaN.
    null_distribution : (P,) float64 array
        The comparisons after permuting the inputs of the second RSM.
    method : str
        Name of the method.
    alternative : {"greater", "less", "two-sided"}
        The alternative hypothesis on the similarity.
    exact : bool
        Whether these are all permutations rather than random ones.
    method_options : mapping
        Options of the method.
    """

    value: float
    p_value: float
    null_distribution: NDArray[np.float64]
    method: str
    alternative: Alternative
    exact: bool = False
    method_options: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        label = method_label(self.method, self.method_options)
        return (
            f"PermutationTest {label} {self.value:.4g}: p = {self.p_value:.4g} ({self.alternative}, "
            f"{'all ' if self.exact else ''}{self.null_distribution.size} permutations)"
        )


@dataclass(frozen=True, eq=False, repr=False)
class BootstrapInterval:
    """Result of `bootstrap_interval`: how much a comparison varies with the sample of inputs.

    Attributes
    ----------
    value : float
        The comparison of the RSMs.
    low, high : float
        The ends of the interval.
    distribution : (R,) float64 array
        The comparisons of the resamples.
    method : str
        Name of the method.
    confidence : float
        The share of resamples within the interval.
    method_options : mapping
        Options of the method.
    """

    value: float
    low: float
    high: float
    distribution: NDArray[np.float64]
    method: str
    confidence: float
    method_options: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"BootstrapInterval {method_label(self.method, self.method_options)} {self.value:.4g} "
            f"[{self.low:.4g}, {self.high:.4g}] at {100 * self.confidence:g} %, {self.distribution.size} resamples"
        )


def permutation_test(
    rsm_a: Any,
    rsm_b: Any,
    method: AnyMethod = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    permutations: int = 999,
    groups: Any = None,
    seed: int | np.random.Generator = 0,
    alternative: Alternative = "greater",
    align: bool = False,
    missing: Missing = "raise",
    progress: bool | str = False,
) -> PermutationTest:
    """Test whether two RSMs are more similar than expected if their inputs were unrelated (the Mantel test).

    Under the null hypothesis, the inputs of one RSM are exchangeable independently of those of the other. The rows and
    columns of the second RSM are therefore permuted together, at random.

    Parameters
    ----------
    rsm_a, rsm_b : RSMs or (N, N) arrays
        As for `compare`.
    method : str or callable, default "cka-debiased"
        As for `compare`.
    method_options : mapping, optional
        As for `compare`.
    permutations : int, default 999
        The number of random permutations; if N inputs have at most this many orders other than their own, all
        ``N! - 1`` are used. The p-value is at least ``1 / (permutations + 1)`` or ``1 / N!``.
    groups : sequence or "labels", optional
        One label per input, equal for inputs that are not exchangeable one by one, such as the crops of one photograph
        or the frames of one video; "labels" stands for the labels of the RSM. Whole groups are exchanged, which must
        be of equal size: the first input of a group takes the place of the first of another, and so on.
    seed : int or Generator, default 0
        Seed of the random permutations.
    alternative : {"greater", "less", "two-sided"}
        Whether the similarity is greater than by chance, less, or either. Under a distance (a method that declares
        ``larger_is_more_similar = False``), a greater similarity is a smaller value. A function that does not declare
        the direction counts as a similarity.
    align : bool, default False
        Whether to reorder the inputs of the second RSM by the labels of the first.
    missing : {"raise", "omit"}, default "raise"
        As for `compare`.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    PermutationTest
        With a RuntimeWarning if there are so few inputs that p-values are never below 0.05.

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if an option has an impossible value.

    Notes
    -----
    A `Method` embeds both RSMs once, and a permutation costs O(N^2), or O(N^2 log N) for Kendall's correlations;
    in threads, whose permuted vectors take 16 MiB together. Any other callable is called for each permutation.

    References
    ----------
    Mantel 1967, "The detection of disease clustering and a generalized regression approach"; Kriegeskorte et al. 2008,
    "Representational similarity analysis"; Phipson and Smyth 2010, "Permutation p-values should never be zero".

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(20, 3))
    >>> permutation_test(features @ features.T, features[:, :2] @ features[:, :2].T, permutations=99)
    PermutationTest cka-debiased 0.9336: p = 0.01 (greater, 99 permutations)
    """
    resolved = without_chance_warning(resolve_method(method, method_options))
    check_count("permutations", permutations)
    if alternative not in get_args(Alternative):
        raise ValueError(f"alternative must be one of {', '.join(get_args(Alternative))}, got {alternative!r}")
    a, b, statistic = prepared(rsm_a, rsm_b, resolved, align=align, missing=missing)
    numbers = groups_of((rsm_a, rsm_b), groups, len(a))
    units = group_count(numbers, len(a))
    exact = draws_all(units, permutations)
    orders = 1 + other_orders(units, permutations)
    if exact and orders * _MEANINGFUL < 1:
        warnings.warn(
            f"{units} {'inputs' if numbers is None else 'groups'} have only {orders} orders, so p-values are at least "
            f"{1 / orders:.2g}",
            RuntimeWarning,
            stacklevel=2,
        )
    rng = np.random.default_rng(seed)
    null = null_distribution(resolved, a, b, permutations, rng, groups=numbers, progress=progress)
    sign = -1 if resolved.larger_is_more_similar is False else 1
    return PermutationTest(
        statistic,
        p_value(sign * statistic, sign * null, alternative),
        null,
        resolved.name,
        alternative,
        exact,
        resolved.options,
    )


def bootstrap_interval(
    rsm_a: Any,
    rsm_b: Any,
    method: AnyMethod = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    groups: Any = None,
    seed: int | np.random.Generator = 0,
    align: bool = False,
    missing: Missing = "raise",
    progress: bool | str = False,
) -> BootstrapInterval:
    """Estimate how much a comparison of two RSMs varies with the inputs, by drawing inputs or groups with replacement.

    Parameters
    ----------
    rsm_a, rsm_b : RSMs or (N, N) arrays
        As for `compare`.
    method : str or callable, default "cka-debiased"
        As for `compare`.
    method_options : mapping, optional
        As for `compare`.
    resamples : int, default 1000
        The number of resamples, each of N draws from the N inputs. A draw with fewer different inputs than the method
        needs is repeated.
    confidence : float, default 0.95
        The share of resamples within the interval; equally many lie below and above it.
    groups : sequence or "labels", optional
        One label per input, equal for inputs that are not independent, such as the crops of one photograph or the
        frames of one video; "labels" stands for the labels of the RSM. As many whole groups are drawn as there are.
    seed : int or Generator, default 0
        Seed of the random draws.
    align : bool, default False
        Whether to reorder the inputs of the second RSM by the labels of the first.
    missing : {"raise", "omit"}, default "raise"
        As for `compare`.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    BootstrapInterval
        Resamples in which an RSM is constant are NaN; they are excluded from the interval, with a RuntimeWarning. The
        ends are NaN, with a RuntimeWarning, if there are fewer than ``2 / (1 - confidence)`` different resamples. At
        95 %, "cka-debiased" needs 6 inputs, and the other methods 5; with groups of several inputs, 5 groups.

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if an option has an impossible value.

    Notes
    -----
    An input that is drawn twice forms a pair with itself, whose similarity lies on the diagonal. Methods that ignore
    the diagonal ("cka-debiased" and those of RSA) ignore such pairs as well, as rsatoolbox does. Methods that use the
    diagonal ("cka", "angular-cka" and "norm-difference") use such pairs: they are functions of the empirical
    distribution of inputs, and a resample is another such distribution. But pairs of an input with itself are alike in
    both RSMs, which makes resamples more similar than the sample. The fewer inputs, the more this biases the interval;
    "cka-debiased" does not have this bias. A plain function receives whole matrices, with a RuntimeWarning.

    If whole groups are drawn, copies of a group are such repetitions as well: methods that ignore the diagonal use the
    pairs within each copy of a group, but not those of an input of one copy with an input of another. (rsatoolbox uses
    these, as if they were pairs of different groups. In simulations with 30 groups of 4, its resamples were more
    similar than the samples by half a standard deviation, ours by less than a tenth.) The estimate itself is of all
    pairs, including those within groups, whose share decreases with the number of groups.

    Coverage of 95 % intervals and level of the paired test: see `difference_test`.

    The interval accounts for the sample of inputs, not of features or layers. O(N^2) per resample, O(N^2 log N) for
    rank correlations.

    References
    ----------
    Efron and Tibshirani 1993, "An introduction to the bootstrap"; Nili et al. 2014, "A toolbox for representational
    similarity analysis".

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(50, 9))
    >>> result = bootstrap_interval(features @ features.T, features[:, :6] @ features[:, :6].T, "cka-debiased")
    >>> result.low < result.value < result.high
    True
    """
    resolved = resolve_method(method, method_options)
    check_count("resamples", resamples)
    check_between("confidence", confidence, 0, 1)
    a, b, estimate = prepared(rsm_a, rsm_b, resolved, align=align, missing=missing)
    numbers = groups_of((rsm_a, rsm_b), groups, len(a))
    warn_of_repeated_inputs(resolved)
    rng, compare_resample = np.random.default_rng(seed), resolved.resampled(a, b, numbers)
    distribution = np.empty(resamples)
    with progress_bar(range(resamples), progress, title="resampling") as steps:
        for k in steps:
            distribution[k] = compare_resample(draw(rng, len(a), resolved.least_different, numbers))
    low, high = interval_over_inputs(distribution, confidence, resolved, len(a), numbers)
    return BootstrapInterval(estimate, low, high, distribution, resolved.name, confidence, resolved.options)


def prepared(
    rsm_a: Any,
    rsm_b: Any,
    method: ComparisonMethod,
    *,
    align: bool,
    missing: Missing,
    names: tuple[str, str] = ("rsm_a", "rsm_b"),
) -> tuple[Matrix, Matrix, float]:
    """Return both matrices, checked, and their comparison."""
    check_missing(missing)
    second = aligned(rsm_a, rsm_b) if align else rsm_b
    value = float(method.compare_all({names[0]: rsm_a}, {names[1]: second}, missing=missing)[0, 0])
    return method.matrix(names[0], rsm_a, missing=missing), method.matrix(names[1], second, missing=missing), value


def groups_of(rsms: Sequence[Any], groups: Any, count: int) -> NDArray[np.int64] | None:
    """Return the numbers of the groups of the inputs of several RSMs, whose labels are those of the first that has any.

    Raises
    ------
    TypeError, ValueError
        As `read_groups`.
    """
    return None if groups is None else read_groups(groups, first_labels([labels_of("rsm", rsm) for rsm in rsms]), count)


def warn_of_repeated_inputs(method: ComparisonMethod, *, stacklevel: int = 3) -> None:
    """Warn if a method cannot leave out the pairs of an input with itself."""
    if isinstance(method, FunctionMethod):
        warnings.warn(
            f"{method.name} is a plain function: its resamples include pairs of an input with itself, which only a "
            f"Method can ignore",
            RuntimeWarning,
            stacklevel=stacklevel,
        )
