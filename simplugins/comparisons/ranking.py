# SPDX-License-Identifier: Apache-2.0
"""Ranking models by their similarity to one or several targets, with inference."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from simplugins import __version__
from simplugins._common.validation import check_between, check_count, check_names
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.dual_bootstrap import Over, variances
from simplugins.comparisons.groups import group_count, least_groups
from simplugins.comparisons.inference import groups_of, warn_of_repeated_inputs
from simplugins.comparisons.inputs import all_aligned, one_or_several
from simplugins.comparisons.method import ComparisonMethod
from simplugins.comparisons.model_ranking import ModelRanking
from simplugins.comparisons.multiple_tests import family_p_values, holm
from simplugins.comparisons.noise_ceilings import ceiling_of, jointly_present
from simplugins.comparisons.resampling import (
    TIE,
    draw,
    drawn_orders,
    draws_all,
    enough_units,
    p_value,
)
from simplugins.rsm.matrices import Matrix, Missing, Vector, check_missing


@dataclass(frozen=True)
class _Sides:
    """The matrices to compare, best candidate first, without pairs that are missing in any, and their comparisons."""

    candidates: dict[str, Matrix]
    targets: dict[str, Matrix]
    values: Matrix
    groups: NDArray[np.int64] | None

    @property
    def inputs(self) -> int:
        return len(next(iter(self.targets.values())))

    @property
    def units(self) -> int:
        """The number of inputs, or of groups, that are permuted and drawn."""
        return group_count(self.groups, self.inputs)


def rank_models(
    target: Any,
    candidates: Mapping[str, Any],
    method: AnyMethod = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    over: Over | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    permutations: int = 999,
    groups: Any = None,
    seed: int | np.random.Generator = 0,
    align: bool = False,
    missing: Missing = "raise",
    progress: bool | str = False,
) -> ModelRanking:
    """Rank models by the similarity of their RSMs to a target, with intervals, tests and a noise ceiling.

    Parameters
    ----------
    target : RSM or (N, N) array, or a sequence or mapping of these
        One target, or several that are to be explained alike: subjects, seeds, split halves. Estimates are means over
        the targets.
    candidates : mapping of str to RSM or (N, N) array
        The models by name: their RSMs of the same inputs.
    method : str or callable, default "cka-debiased"
        As for `compare`.
    method_options : mapping, optional
        As for `compare`.
    over : {"inputs", "targets", "both"}, optional
        What intervals and differences are to hold for: other inputs with these targets, other targets with these
        inputs, or both. By default "both" if there are several targets, else "inputs". Two targets leave one degree of
        freedom, and intervals that are very wide: with few targets, prefer "inputs", and restrict conclusions to these.
    resamples : int, default 1000
        The number of resamples, in each of which all candidates are compared for the same inputs and targets.
    confidence : float, default 0.95
        Probability with which an interval covers the value of the population. Two candidates are clearly different if
        the test that they differ, corrected for the number of pairs, rejects at the level ``1 - confidence``.
    permutations : int, default 999
        As for `permutation_test`: the inputs of all targets are permuted alike, and for all candidates alike.
    groups : sequence or "labels", optional
        As for `permutation_test` and `bootstrap_interval`: inputs with equal entries, such as the crops of one
        photograph, are permuted and drawn together. Groups must be of equal size.
    seed : int or Generator, default 0
        Seed of permutations and resamples.
    align : bool, default False
        Whether to reorder the inputs of all RSMs by the labels of the first target.
    missing : {"raise", "omit"}, default "raise"
        With "omit", pairs of inputs that are NaN in any RSM are left out of all comparisons, so that all candidates are
        compared for the same pairs.
    progress : bool or str, default False
        Show progress bars on standard error; a string is their title.

    Returns
    -------
    ModelRanking
        Most similar candidates first; candidates whose value is NaN (a constant RSM) last. Candidates that are not
        clearly different share a letter, and a rank unless a third candidate is clearly better than only one of them.
        Intervals and tests of differences are NaN, with a RuntimeWarning, if there are too few inputs: see
        `bootstrap_interval`.

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if candidates are not a mapping, or an option has an impossible value.

    Notes
    -----
    Intervals and tests of differences use Student's t, with variances from the bootstrap: N - 1 degrees of freedom over
    N inputs (or groups), S - 1 over S targets, and the smaller of both over both. Over both, three bootstraps with the
    same draws are combined as in rsatoolbox's dual bootstrap, since drawing both counts their variances repeatedly.
    (The interval of `bootstrap_interval` is made of percentiles instead, so it is not the same.) Tests of differences
    are corrected by Holm's procedure, which is valid under any dependence.

    The p-values of candidates are those of a permutation test, whose hypothesis is that a candidate is unrelated to all
    targets, not those of the bootstrap. `family_p_values` are corrected for the number of candidates: each statistic is
    compared with the largest of all candidates' statistics under the same permutations, after standardising each by its
    mean and standard deviation under them.

    Time: (K + S) embeddings per resample, and K S comparisons; O((K + S) N^2) for most methods.

    References
    ----------
    Schütt et al. 2023, "Statistical inference on representational geometries", eLife 12:e82566; Nili et al. 2014, "A
    toolbox for representational similarity analysis"; Westfall and Young 1993, "Resampling-based multiple testing".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(40, 6))
    >>> noisy = {f"noise {level}": truth + level * rng.normal(size=(40, 6)) for level in (0.3, 1, 3)}
    >>> subjects = [truth + 0.5 * rng.normal(size=(40, 6)) for _ in range(5)]
    >>> ranking = rank_models([x @ x.T for x in subjects], {name: x @ x.T for name, x in noisy.items()}, resamples=200)
    >>> ranking.candidates, ranking.ranks.tolist()
    (('noise 0.3', 'noise 1', 'noise 3'), [1, 2, 3])
    """
    resolved = resolve_method(method, method_options)
    check_count("resamples", resamples)
    check_count("permutations", permutations)
    check_between("confidence", confidence, 0, 1)
    sides = _prepared(target, candidates, resolved, groups=groups, align=align, missing=missing)
    over = _resolved_over(over, len(sides.targets))
    p_values, family = _permutation_p_values(sides, resolved, permutations, seed, progress)
    spread, degrees = _bootstrap(sides, resolved, over, resamples, confidence, seed, progress)
    values = sides.values.mean(1)
    radii = stdtrit(degrees, (1 + confidence) / 2) * np.sqrt(spread)
    differences = np.subtract.outer(values, values)
    low, high = (_with_zero_diagonal(differences + sign * radii) for sign in (-1, 1))
    return ModelRanking(
        candidates=tuple(sides.candidates),
        targets=tuple(sides.targets),
        per_target=sides.values,
        low=values - radii.diagonal(),
        high=values + radii.diagonal(),
        p_values=p_values,
        family_p_values=family,
        difference_low=low,
        difference_high=high,
        difference_p_values=_difference_p_values(values, spread, degrees),
        noise_ceiling=ceiling_of(resolved, list(sides.targets.values())),
        metadata={
            "method": resolved.name,
            "method_options": dict(resolved.options),
            "larger_is_more_similar": resolved.larger_is_more_similar,
            "inputs": sides.inputs,
            "over": over,
            "confidence": confidence,
            "resamples": resamples,
            "permutations": permutations,
            "exact": draws_all(sides.units, permutations),
            "simplugins": __version__,
        },
    )


def _prepared(
    target: Any, candidates: Mapping[str, Any], method: ComparisonMethod, *, groups: Any, align: bool, missing: Missing
) -> _Sides:
    """Return checked matrices, candidates in the order of their values, and the comparisons."""
    check_missing(missing)
    if not isinstance(candidates, Mapping):
        raise TypeError(f"candidates: expected a mapping of names to RSMs, got {type(candidates).__name__}")
    if not candidates:
        raise ValueError("candidates: expected at least one RSM, got none")
    check_names("candidates", candidates)
    models = {str(name): rsm for name, rsm in candidates.items()}
    targets = one_or_several(target, "target")
    if align:
        first = next(iter(targets.values()))
        models, targets = all_aligned(first, models), all_aligned(first, targets)
    rows = {f"candidates[{name!r}]": rsm for name, rsm in models.items()}
    columns = {(f"target[{name!r}]" if len(targets) > 1 else "target"): rsm for name, rsm in targets.items()}
    values = method.compare_all(rows, columns, missing=missing)
    matrices = [method.matrix(name, rsm, missing=missing) for name, rsm in (*rows.items(), *columns.items())]
    present = jointly_present(matrices)
    sides = dict(zip(models, present, strict=False)), dict(zip(targets, present[len(models) :], strict=True))
    if any(matrix is not original for matrix, original in zip(present, matrices, strict=True)):
        evaluate = method.resampled_all(list(sides[0].values()), list(sides[1].values()))
        values = evaluate(np.ones(len(present[0]), np.int64))
    sign = -1 if method.larger_is_more_similar is False else 1
    order = np.argsort(-sign * values.mean(1), kind="stable")  # NaN last
    names = list(models)
    numbers = groups_of([*targets.values(), *models.values()], groups, len(present[0]))
    return _Sides({names[i]: sides[0][names[i]] for i in order}, sides[1], values[order], numbers)


def _resolved_over(over: Over | None, targets: int) -> Over:
    if over is None:
        return "both" if targets > 1 else "inputs"
    if over not in get_args(Over):
        raise ValueError(f"over must be one of {', '.join(get_args(Over))}, got {over!r}")
    if targets == 1 and over != "inputs":
        raise ValueError(f"over={over!r} draws targets with replacement, which needs at least 2, got 1")
    return over


def _permutation_p_values(
    sides: _Sides,
    method: ComparisonMethod,
    permutations: int,
    seed: int | np.random.Generator,
    progress: bool | str,
) -> tuple[Vector, Vector]:
    """Return the p-values of each candidate, and those corrected for the number of candidates."""
    matrices = list(sides.candidates.values()), list(sides.targets.values())
    sign = -1 if method.larger_is_more_similar is False else 1
    orders = drawn_orders(sides.inputs, permutations, np.random.default_rng(seed), sides.groups)
    null = sign * method.permuted_all(*matrices, orders, progress=progress).mean(2)
    statistics = sign * sides.values.mean(1)
    single = [p_value(statistic, column, "greater") for statistic, column in zip(statistics, null.T, strict=True)]
    return np.array(single), family_p_values(statistics, null)


def _bootstrap(
    sides: _Sides,
    method: ComparisonMethod,
    over: Over,
    resamples: int,
    confidence: float,
    seed: int | np.random.Generator,
    progress: bool | str,
) -> tuple[Matrix, int]:
    """Return the (K, K) variances of estimates and differences, NaN if they are unknown, and the degrees of freedom."""
    units, targets = sides.units, len(sides.targets)
    degrees = {"inputs": units - 1, "targets": targets - 1, "both": min(units, targets) - 1}[over]
    spread = np.full(2 * (len(sides.candidates),), np.nan)
    if over != "targets":
        least = least_groups(sides.groups, method.least_different)
        if not enough_units(units, least, confidence, method.name, "inputs" if sides.groups is None else "groups"):
            return spread, degrees
        warn_of_repeated_inputs(method)
    rng = np.random.default_rng(seed)
    defined = np.flatnonzero(~np.isnan(sides.values).any(1))
    if not defined.size:
        return spread, degrees
    candidates = list(sides.candidates.values())
    spread[np.ix_(defined, defined)], undefined = variances(
        sides.values[defined],
        method.resampled_all([candidates[i] for i in defined], list(sides.targets.values()), sides.groups),
        lambda: draw(rng, sides.inputs, method.least_different, sides.groups),
        over=over,
        units=units,
        resamples=resamples,
        rng=rng,
        progress=progress,
    )
    if undefined:
        warnings.warn(f"{undefined} of {resamples} resamples are NaN", RuntimeWarning, stacklevel=3)
    return spread, degrees


def _with_zero_diagonal(matrix: Matrix) -> Matrix:
    np.fill_diagonal(matrix, 0)
    return matrix


def _difference_p_values(values: Vector, spread: Matrix, degrees: int) -> Matrix:
    """Return the p-values of t-tests of all differences, corrected for the number of pairs."""
    differences = np.abs(values[:, None] - values)
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2 * stdtr(degrees, -differences / np.sqrt(spread))
    p_values[(differences <= TIE * np.abs(np.nan_to_num(values)).max()) & ~np.isnan(spread)] = 1
    pairs = _pairs(len(values))
    result = np.where(np.eye(len(values), dtype=bool), 1.0, 0.0)
    result[pairs] = holm(p_values[pairs])
    return np.maximum(result, result.T)


def _pairs(count: int) -> Sequence[Any]:
    return np.triu_indices(count, 1)
