# SPDX-License-Identifier: Apache-2.0
"""Partial correlations of RSMs: what one explains of another beyond others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import orth

from simplugins._common.progress import progress_bar
from simplugins._common.validation import check_between, check_count
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.groups import group_count, least_groups
from simplugins.comparisons.inference import groups_of
from simplugins.comparisons.inputs import aligned, all_aligned, one_or_several
from simplugins.comparisons.method import CHUNK_BYTES, ComparisonMethod, Method, Orders, without_chance_warning
from simplugins.comparisons.resamples import Resample
from simplugins.comparisons.resampling import (
    Alternative,
    draw,
    drawn_orders,
    draws_all,
    enough_units,
    interval,
    p_value,
)
from simplugins.comparisons.vectors import cosines, unit
from simplugins.rsm.matrices import Matrix, Vector


@dataclass(frozen=True, eq=False, repr=False)
class PartialCorrelation:
    """Result of `partial_correlation`: how alike two RSMs are beyond what they share with others.

    Attributes
    ----------
    value : float
        The partial correlation.
    low, high : float
        The ends of its interval.
    p_value : float
        Of the permutation test that it is 0.
    correlation : float
        The comparison of both RSMs, without `given`.
    semipartial : float
        The correlation of the first RSM with what is left of the second one. Its square is the share of the variance of
        the first that the second explains in addition to `given`.
    null_distribution : (P,) float64 array
        The partial correlations under permutations.
    distribution : (R,) float64 array
        The partial correlations of the resamples.
    given : tuple of str
        Names of the RSMs that are partialled out.
    method : str
        Name of the method.
    confidence : float
        The share of resamples within the interval.
    alternative : {"greater", "less", "two-sided"}
        The alternative hypothesis.
    exact : bool
        Whether the test used all permutations rather than random ones.
    """

    value: float
    low: float
    high: float
    p_value: float
    correlation: float
    semipartial: float
    null_distribution: NDArray[np.float64]
    distribution: NDArray[np.float64]
    given: tuple[str, ...]
    method: str
    confidence: float
    alternative: Alternative
    exact: bool

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return (
            f"PartialCorrelation {self.method} {self.value:.4g} [{self.low:.4g}, {self.high:.4g}] at "
            f"{100 * self.confidence:g} %, p = {self.p_value:.4g} ({self.alternative}); "
            f"{self.correlation:.4g} without {', '.join(self.given)}"
        )


def partial_correlation(
    rsm_a: Any,
    rsm_b: Any,
    *,
    given: Any,
    method: AnyMethod = "cka-debiased",
    method_options: Mapping[str, Any] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    permutations: int = 999,
    alternative: Alternative = "greater",
    groups: Any = None,
    seed: int | np.random.Generator = 0,
    align: bool = False,
    progress: bool | str = False,
) -> PartialCorrelation:
    """Compare two RSMs by what they do not share with others, such as the semantic beyond the spatio-semantic RSM.

    All RSMs become the vectors that the method compares; those of `given` are subtracted from the vectors of
    `rsm_a` and `rsm_b` by least squares, and the result is the cosine of what is left.

    Parameters
    ----------
    rsm_a, rsm_b : RSMs or (N, N) arrays
        As for `compare`.
    given : RSM or (N, N) array, or a sequence or mapping of these
        What is partialled out of both.
    method : str or callable, default "cka-debiased"
        A method that is a cosine of vectors. "rsa-pearson" and "rsa-spearman" yield the usual partial correlations of
        the similarities and of their ranks, over pairs of different inputs; "cka-debiased" and "cka" those of centred
        matrices, and "rsa-cosine" one without centring. "cka-debiased" of negative distances yields the partial
        distance correlation of Székely and Rizzo.
    method_options : mapping, optional
        As for `compare`.
    resamples, confidence
        As for `bootstrap_interval`: inputs are drawn with replacement, and the interval is made of percentiles.
    permutations : int, default 999
        As for `permutation_test`.
    alternative : {"greater", "less", "two-sided"}
        Whether the partial correlation is above 0, below, or either.
    groups : sequence or "labels", optional
        As for `permutation_test` and `bootstrap_interval`: inputs with equal entries, such as the crops of one
        photograph, are permuted and drawn together. Groups must be of equal size.
    seed : int or Generator, default 0
        Seed of permutations and resamples.
    align : bool, default False
        Whether to reorder the inputs of all RSMs by the labels of `rsm_a`.
    progress : bool or str, default False
        Show progress bars on standard error; a string is their title.

    Returns
    -------
    PartialCorrelation
        NaN, with a RuntimeWarning, if an RSM is constant, or `given` determines one of the two. The ends of the
        interval are NaN where those of `bootstrap_interval` are, with one more input needed per given RSM.

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if the method is not a cosine of vectors, or an option has an impossible value.

    Notes
    -----
    The test permutes the inputs of what is left of the first RSM after subtracting its fit by `given` (Freedman and
    Lane; method 2 of Legendre for partial Mantel tests), so that it may depend on `given` under the null hypothesis.
    Permuting the inputs of the RSM itself would also break that dependence, which is not what is tested. The test
    assumes that what is left has exchangeable inputs; partial Mantel tests reject too often if inputs are
    autocorrelated, as frames of a video are (Guillot and Rousset).

    What both share with `given` is subtracted by least squares, so it is only removed as far as the relation is linear.
    That of ranks rarely is: in simulations of RSMs that are independent given a third one, on which both depend, tests
    at 5 % rejected in 4 to 6 % of cases with "cka-debiased" and "rsa-pearson", but in 8 to 16 % with "rsa-spearman".

    O(N^2) per given RSM, per permutation and per resample.

    References
    ----------
    Freedman and Lane 1983, "A nonstochastic interpretation of reported significance levels"; Legendre 2000, "Comparison
    of permutation methods for the partial correlation and partial Mantel tests"; Guillot and Rousset 2013, "Dismantling
    the Mantel tests"; Székely and Rizzo 2014, "Partial distance correlation with methods for dissimilarities".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> layout, content = rng.normal(size=(2, 40, 4))
    >>> target, semantic = (np.hstack([layout, content + rng.normal(size=(40, 4))]) for _ in range(2))
    >>> result = partial_correlation(target @ target.T, semantic @ semantic.T, given=layout @ layout.T, resamples=200)
    >>> result.value < result.correlation, result.p_value
    (True, 0.001)
    """
    resolved = _cosine_method(resolve_method(method, method_options))
    check_count("resamples", resamples)
    check_count("permutations", permutations)
    check_between("confidence", confidence, 0, 1)
    if alternative not in get_args(Alternative):
        raise ValueError(f"alternative must be one of {', '.join(get_args(Alternative))}, got {alternative!r}")
    covariates = one_or_several(given, "given")
    matrices, correlation = _prepared(rsm_a, rsm_b, covariates, resolved, align=align)
    inputs = len(matrices[0])
    numbers = groups_of([rsm_a, rsm_b, *covariates.values()], groups, inputs)
    units = group_count(numbers, inputs)
    value, semipartial, permuted = _residual_statistics(resolved, matrices)
    orders = drawn_orders(inputs, permutations, np.random.default_rng(seed), numbers)
    null = _under(permuted, orders, progress)
    distribution = np.full(resamples, np.nan)
    low = high = float("nan")
    least = resolved.least_inputs + len(covariates)
    if not np.isnan(value) and enough_units(
        units,
        least_groups(numbers, least),
        confidence,
        f"this partial correlation by {resolved.name}",
        "inputs" if numbers is None else "groups",
    ):
        distribution = _resampled(resolved, matrices, numbers, least, resamples, np.random.default_rng(seed), progress)
        low, high = interval(distribution, confidence)
    return PartialCorrelation(
        value=value,
        low=low,
        high=high,
        p_value=p_value(value, null, alternative),
        correlation=correlation,
        semipartial=semipartial,
        null_distribution=null,
        distribution=distribution,
        given=tuple(covariates),
        method=resolved.name,
        confidence=confidence,
        alternative=alternative,
        exact=draws_all(units, permutations),
    )


def _cosine_method(method: ComparisonMethod) -> Method:
    """Return a method, if it is one that compares RSMs by the cosine of vectors.

    Raises
    ------
    ValueError
        If the method is another one.
    """
    resolved = without_chance_warning(method)
    if not isinstance(resolved, Method) or resolved.relate is not cosines:
        raise ValueError(
            f"{resolved.name} is not a cosine of vectors, from which others can be subtracted: expected cka-debiased, "
            f"cka, rsa-pearson, rsa-spearman or rsa-cosine"
        )
    return resolved


def _prepared(
    a: Any, b: Any, covariates: Mapping[str, Any], method: Method, *, align: bool
) -> tuple[list[Matrix], float]:
    """Return the checked matrices of both and the others, and the comparison of the first two."""
    if align:
        b, covariates = aligned(a, b), all_aligned(a, covariates)
    given = {
        ("given" if list(covariates) == ["given"] else f"given[{name!r}]"): rsm for name, rsm in covariates.items()
    }
    items = {"a": a, "b": b, **given}
    values = method.compare_all({"a": a}, {"b": b, **given})
    least = method.least_inputs + len(given)
    matrices = [method.matrix(name, rsm) for name, rsm in items.items()]
    if len(matrices[0]) < least:
        count = f"{len(given)} RSM{'' if len(given) == 1 else 's'}"
        raise ValueError(
            f"a partial correlation by {method.name} given {count} needs at least {least} inputs, got "
            f"{len(matrices[0])}"
        )
    return matrices, float(values[0, 0])


def _residual_statistics(method: Method, matrices: list[Matrix]) -> tuple[float, float, Callable[[Orders], Vector]]:
    """Return the partial and the semipartial correlation, and a function from orders to partial correlations."""
    from simplugins.comparisons.permuting import permuter  # imports Numba

    inputs = len(matrices[0])
    everything = Resample.of(np.ones(inputs, np.int64), None)
    a, b, basis = _vectors(method, matrices, everything)
    rest_a, rest_b = residual(a, basis), residual(b, basis)
    partial = float(cosines(rest_a[None], rest_b[None])[0, 0])
    if np.isnan(partial) and not np.isnan([a @ b, basis.sum()]).any():
        name = "rsm_a" if np.isnan(rest_a).any() else "rsm_b"
        warnings.warn(f"the partial correlation is NaN because given determines {name}", RuntimeWarning, stacklevel=3)
    permute = permuter(rest_a, inputs)

    def permuted(orders: Orders) -> Vector:
        vectors = permute(orders)
        with np.errstate(invalid="ignore", divide="ignore"):
            lengths = np.sqrt(1 - np.square(vectors @ basis).sum(1))
            return np.asarray(vectors @ rest_b / lengths)

    return partial, float(a @ rest_b), permuted


def _under(statistics: Callable[[Orders], Vector], orders: Orders, progress: bool | str) -> Vector:
    """Return the statistics under orders of the inputs, which are computed in chunks of limited memory."""
    chunk = max(1, CHUNK_BYTES // (4 * orders.shape[1] ** 2))
    with progress_bar(range(0, len(orders), chunk), progress, title="permuting") as starts:
        return np.concatenate([statistics(orders[start : start + chunk]) for start in starts])


def _vectors(method: Method, matrices: list[Matrix], resample: Resample) -> tuple[Vector, Vector, Matrix]:
    """Return the unit vectors of both, and a (D, R) orthonormal basis of those of the covariates."""
    a, b, *covariates = (resample.embedded(method, matrix) for matrix in matrices)
    stacked = np.array(covariates).T
    return a, b, np.full_like(stacked, np.nan) if np.isnan(stacked).any() else orth(stacked)


def residual(vector: Vector, basis: Matrix) -> Vector:
    """Return what is left of a vector without its projection, scaled to length 1; NaN if only rounding is left.

    Examples
    --------
    >>> residual(np.array([3.0, 4.0]), np.array([[1.0], [0.0]]))
    array([0., 1.])
    """
    return unit(vector - basis @ (vector @ basis), vector)


def _resampled(
    method: Method,
    matrices: list[Matrix],
    groups: NDArray[np.int64] | None,
    least: int,
    resamples: int,
    rng: np.random.Generator,
    progress: bool | str,
) -> Vector:
    distribution = np.empty(resamples)
    with progress_bar(range(resamples), progress, title="resampling") as numbers:
        for k in numbers:
            resample = Resample.of(draw(rng, len(matrices[0]), least, groups), groups)
            a, b, basis = _vectors(method, matrices, resample)
            distribution[k] = cosines(residual(a, basis)[None], residual(b, basis)[None])[0, 0]
    return distribution
