# SPDX-License-Identifier: Apache-2.0
"""Calibration of a comparison by permutation: a scale on which chance is 0, and the best possible value 1."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simplugins._common.validation import check_between, check_count
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.groups import group_count
from simplugins.comparisons.inference import groups_of, prepared
from simplugins.comparisons.method import ComparisonMethod, Orders, method_label, without_chance_warning
from simplugins.comparisons.resampling import drawn_orders, draws_all, p_value, tie_of
from simplugins.rsm.matrices import Missing

_ROUNDING = 1e-9
"""Numbers of results within this distance of a whole number are that number."""

_LEAST_DISTANCE = 1e-12
"""Distance of the threshold from the best value that is attributed to rounding, as in calibrated-similarity."""


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """Result of `calibrate`: a comparison on a scale on which chance is 0.

    Attributes
    ----------
    value : float
        The comparison of the RSMs.
    threshold : float
        The value that a comparison of unrelated RSMs exceeds with a probability of at most `alpha`.
    score : float or None
        The share of the way from the threshold to the best possible value, 0 if the value does not exceed the
        threshold, at most 1. None if the method does not declare a best value, or it is infinite.
    p_value : float
        The share of permutations with a result at least as similar, counting the unpermuted RSMs as one of them. At
        most `alpha` exactly where the value exceeds the threshold.
    null_distribution : (P,) float64 array
        The comparisons after permuting the inputs of the second RSM; their mean is `chance`.
    method : str
        Name of the method.
    alpha : float
        The level of significance.
    exact : bool
        Whether these are all permutations rather than random ones.
    method_options : mapping
        Options of the method.
    """

    value: float
    threshold: float
    score: float | None
    p_value: float
    null_distribution: NDArray[np.float64]
    method: str
    alpha: float
    exact: bool = False
    method_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def permutations(self) -> int:
        """The number of permutations."""
        return self.null_distribution.size

    @property
    def chance(self) -> float:
        """The value by chance: the mean of the null distribution."""
        return float(self.null_distribution.mean())

    def __repr__(self) -> str:
        score = "no score, for want of a best value" if self.score is None else f"score {self.score:.4g}"
        label = method_label(self.method, self.method_options)
        return (
            f"Calibration {label} {self.value:.4g}: {score}, p = {self.p_value:.4g} (threshold "
            f"{self.threshold:.4g}, by chance {self.chance:.4g}; {'all ' if self.exact else ''}{self.permutations} "
            f"permutations, alpha = {self.alpha:g})"
        )


def calibrate(
    rsm_a: Any,
    rsm_b: Any,
    method: AnyMethod = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    permutations: int = 200,
    alpha: float = 0.05,
    groups: Any = None,
    orders: ArrayLike | None = None,
    seed: int | np.random.Generator = 0,
    align: bool = False,
    missing: Missing = "raise",
    progress: bool | str = False,
) -> Calibration:
    """Calibrate a comparison of two RSMs by permuting the inputs of the second.

    The permutations show which values are due to chance, however biased the method is. The threshold is the
    ``ceil((1 - alpha) (K + 1))``-th smallest of the value and the K permuted values, and the score
    ``max(0, (value - threshold) / (best - threshold))``. Values of unrelated RSMs thus have a score of 0, with a
    probability of at least ``1 - alpha``, and RSMs that are equal up to the method's invariances have a score of 1
    (except under "cycle-knn", whose value for equal RSMs is below 1 unless all neighbours are mutual).

    Parameters
    ----------
    rsm_a, rsm_b : RSMs or (N, N) arrays
        As for `compare`.
    method : str or callable, default "cka-debiased"
        As for `compare`. The best value is the end of its range: the upper one of a similarity, the lower one of a
        distance (a method that declares ``larger_is_more_similar = False``), for which smaller values exceed the
        threshold. A function that does not declare the direction counts as a similarity.
    method_options : mapping, optional
        As for `compare`.
    permutations : int, default 200
        The number of random permutations: enough for a threshold at ``alpha``, while the smallest p-values of a
        `permutation_test` need its 999. If N inputs (or groups) have at most this many orders other than their own,
        all of these are used.
    alpha : float, default 0.05
        The level of significance, between 0 and 1.
    groups : sequence or "labels", optional
        As for `permutation_test`: whole groups of inputs are exchanged, such as all crops of a photograph, which must
        be of equal size. If inputs of one group resemble each other in both RSMs, permutations of single inputs make
        the value by chance too low, and scores and significance too high.
    orders : (K, N) int array, optional
        The permutations to use, one order of the inputs per row, in place of `permutations` random ones: for inputs
        that are not all exchangeable, in other ways than `groups`.
    seed : int or Generator, default 0
        Seed of the random permutations, ``rng.permutation(N)`` for each.
    align : bool, default False
        Whether to reorder the inputs of the second RSM by the labels of the first.
    missing : {"raise", "omit"}, default "raise"
        As for `compare`.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    Calibration
        With NaN if any result is NaN. With a RuntimeWarning, and a score of 0 at best, if there are fewer than
        ``1 / alpha - 1`` permutations.

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if an option has an impossible value.

    Notes
    -----
    Permuting the inputs of an RSM only reorders its entries, so nothing is matched again. The cost is that of
    `permutation_test`. `compare_layers` calibrates all pairs of layers of two networks.

    References
    ----------
    Gröger et al. 2026; their package calibrated-similarity 0.1.1 has the same definitions, for features.

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(2, 30, 100))  # of unrelated networks
    >>> unrelated = [x @ x.T for x in features]
    >>> calibrate(*unrelated, "cka").score, calibrate(unrelated[0], unrelated[0], "cka").score
    (0.0, 1.0)
    """
    resolved = without_chance_warning(resolve_method(method, method_options))
    check_calibration(permutations, alpha)
    a, b, value = prepared(rsm_a, rsm_b, resolved, align=align, missing=missing)
    if orders is not None and groups is not None:
        raise ValueError("groups say how to draw orders: pass either groups or orders")
    numbers = groups_of((rsm_a, rsm_b), groups, len(a))
    exact = orders is None and draws_all(group_count(numbers, len(a)), permutations)
    if orders is None:
        orders = drawn_orders(len(a), permutations, np.random.default_rng(seed), numbers)
    orders = _checked_orders(orders, len(a))
    warn_of_few(len(orders), alpha, exact=exact)
    null = resolved.permuted_all([a], [b], orders, progress=progress)[:, 0, 0]
    return calibrated(value, null, resolved, alpha, exact=exact)


def calibrated(
    value: float,
    null: NDArray[np.float64],
    method: ComparisonMethod,
    alpha: float,
    *,
    exact: bool,
    threshold: float | None = None,
) -> Calibration:
    """Return the calibration of a value by its null distribution, from which the threshold follows by default."""
    sign, best = direction(method), best_value(method)
    critical = critical_value(sign * value, sign * null, alpha) if threshold is None else sign * threshold
    return Calibration(
        value=float(value),
        threshold=sign * critical,
        score=None if best is None else score(sign * value, critical, sign * best, tie=tie_of(value, null)),
        p_value=p_value(sign * value, sign * null, "greater"),
        null_distribution=null,
        method=method.name,
        alpha=float(alpha),
        exact=exact,
        method_options=dict(method.options),
    )


def direction(method: ComparisonMethod) -> int:
    """Return the sign that makes larger values more similar."""
    return -1 if method.larger_is_more_similar is False else 1


def best_value(method: ComparisonMethod) -> float | None:
    """Return the value of the most similar RSMs; None if the method declares none, or it is infinite."""
    best = None if method.range is None else float(method.range[0 if direction(method) < 0 else 1])
    return best if best is not None and isfinite(best) else None


def critical_value(value: float, null: NDArray[np.float64], alpha: float) -> float:
    """Return the order statistic of all values that those above it exceed with a probability of at most `alpha`.

    Examples
    --------
    >>> critical_value(9.0, np.arange(9.0), 0.2)  # the eighth smallest of ten
    7.0
    """
    values = np.sort(np.append(null, value))
    if np.isnan(values[-1]):
        return float("nan")
    return float(values[ceil((1 - alpha) * values.size - _ROUNDING) - 1])


def score(value: float, threshold: float, best: float, *, tie: float = 0.0) -> float:
    """Return the share of the way from the threshold to the best value, from 0 to 1; 0 up to `tie` above the threshold.

    Examples
    --------
    >>> score(0.75, 0.5, 1.0), score(0.25, 0.5, 1.0)
    (0.5, 0.0)
    """
    excess = value - threshold
    if np.isnan(excess):
        return float("nan")
    if excess <= tie:
        return 0.0
    return min(1.0, excess / max(best - threshold, _LEAST_DISTANCE))


def check_calibration(permutations: int, alpha: float) -> None:
    """Raise a ValueError if the number of permutations or the level of significance is impossible."""
    check_count("permutations", permutations)
    check_between("alpha", alpha, 0, 1)


def warn_of_few(permutations: int, alpha: float, *, exact: bool, stacklevel: int = 3) -> None:
    """Warn if there are so few permutations that no value can exceed the threshold; `exact` if these are all."""
    if (permutations + 1) * alpha < 1 - _ROUNDING:
        needed = f"at least {ceil(1 / alpha - _ROUNDING) - 1} are needed"
        warnings.warn(
            f"with {permutations} permutation{'' if permutations == 1 else 's'}, no score is above 0, and no p-value "
            f"at most {alpha:g}: {needed}{', but so few inputs or groups have no others' if exact else ''}",
            RuntimeWarning,
            stacklevel=stacklevel,
        )


def _checked_orders(orders: Any, inputs: int) -> Orders:
    array = np.asarray(orders)
    if array.ndim != 2 or array.shape[1] != inputs or not len(array) or array.dtype.kind not in "iu":
        raise ValueError(
            f"orders: expected whole numbers of shape (K, {inputs}), one order of the inputs per row, got "
            f"{array.dtype} of shape {array.shape}"
        )
    wrong = (np.sort(array, axis=1) != np.arange(inputs)).any(1)
    if wrong.any():
        raise ValueError(f"orders[{int(np.argmax(wrong))}]: expected each input, 0 to {inputs - 1}, once")
    return np.ascontiguousarray(array, dtype=np.int64)
