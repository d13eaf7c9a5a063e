# SPDX-License-Identifier: Apache-2.0
"""Noise ceilings: how similar any RSM can be to targets that differ from each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import squareform

from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.inputs import named
from simplugins.comparisons.method import ComparisonMethod, Method
from simplugins.comparisons.rsa import ranks
from simplugins.rsm.matrices import Matrix, Missing, Vector, check_missing, off_diagonal
from simplugins.rsm.rsm import RSM

_UNIT = 1e-9
"""Distance from 1 of the lengths of vectors that count as unit vectors."""


class NoiseCeiling(NamedTuple):
    """What the true model could reach; see `noise_ceiling`."""

    lower: float
    upper: float


def noise_ceiling(
    targets: Any,
    method: AnyMethod = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    missing: Missing = "raise",
) -> NoiseCeiling:
    """Bound how similar the true model would be to several targets, such as subjects, seeds or split halves.

    Parameters
    ----------
    targets : sequence or mapping of RSMs or (N, N) arrays
        At least two, of the same inputs.
    method : str or callable, default "cka-debiased"
        As for `compare`.
    method_options : mapping, optional
        As for `compare`.
    missing : {"raise", "omit"}, default "raise"
        With "omit", pairs of inputs that are NaN in any target are left out.

    Returns
    -------
    NoiseCeiling
        `upper`: the mean similarity of the pooled targets to each target. The pool is the RSM most similar to the
        targets, so no model can exceed this bound, except where the Notes say that the pool is approximate. `lower`:
        the same, but each target is compared with the pool of the others; the true model is expected to reach it. For a
        method that is a distance, both are distances, and `upper` is the smaller one.

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if there is only one target, or targets cannot be pooled for this method.

    Notes
    -----
    Pools maximise the mean similarity, as in rsatoolbox. For methods that do not change under increasing functions of
    the similarities (Spearman's and Kendall's correlations), the pool is the mean of the ranks; that is the maximum for
    Spearman's correlation, if no mean ranks tie, and an approximation for Kendall's. For any other `Method`, it is the
    mean of the vectors that the method compares, scaled to length 1 if these have length 1, which is the maximum for
    cosines of vectors: CKA, debiased CKA, Pearson's correlation and the cosine. For angles and distances it is an
    approximation. So are mean ranks for comparisons of nearest neighbours, which a model that copies one of a few
    targets can exceed. A plain function that does not declare the invariance "monotone" has no pool.

    References
    ----------
    Nili et al. 2014, "A toolbox for representational similarity analysis".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(30, 5))
    >>> subjects = [truth + 0.5 * rng.normal(size=(30, 5)) for _ in range(4)]
    >>> lower, upper = noise_ceiling([subject @ subject.T for subject in subjects])
    >>> lower < upper < 1
    True
    """
    check_missing(missing)
    resolved = resolve_method(method, method_options)
    single = isinstance(targets, RSM) or getattr(targets, "ndim", None) == 2
    items = {"targets": targets} if single else named(targets, "targets")
    if len(items) < 2:
        raise ValueError("a noise ceiling needs at least 2 targets, got 1: one target does not show its own noise")
    resolved.compare_all(items, None, missing=missing)
    matrices = jointly_present([resolved.matrix(name, rsm, missing=missing) for name, rsm in items.items()])
    result = ceiling_of(resolved, matrices)
    if result is None:
        raise ValueError(
            f"targets cannot be pooled for the function {resolved.name!r}, which does not declare that it is invariant "
            f"to increasing functions of the similarities (invariances = ('monotone',))"
        )
    return result


def jointly_present(matrices: Sequence[Matrix]) -> list[Matrix]:
    """Return matrices with NaN in all where any is NaN."""
    missing = np.logical_or.reduce([np.isnan(matrix) for matrix in matrices])
    return [np.where(missing, np.nan, matrix) for matrix in matrices] if missing.any() else list(matrices)


def ceiling_of(method: ComparisonMethod, targets: Sequence[Matrix]) -> NoiseCeiling | None:
    """Return the noise ceiling of S targets with the same missing pairs; None if they cannot be pooled."""
    if len(targets) < 2:
        return None
    if "monotone" in (method.invariances or ()):
        pool, compare = _ranks(targets), _rank_comparison(method, targets)
    elif isinstance(method, Method):
        pool = _vectors(method, targets)
        compare = _vector_comparison(method, pool)
    else:
        return None
    numbers = range(len(targets))
    lower = [compare(pool[[other for other in numbers if other != k]].mean(0), k) for k in numbers]
    upper = [compare(pool.mean(0), k) for k in numbers]
    return NoiseCeiling(float(np.mean(lower)), float(np.mean(upper)))


def _ranks(targets: Sequence[Matrix]) -> Matrix:
    """Return the (S, P) ranks of the similarities of pairs; NaN where they are missing."""
    pairs = np.array([off_diagonal(target) for target in targets])
    present = ~np.isnan(pairs[0])
    pairs[:, present] = [ranks(row[present]) for row in pairs]
    return pairs


def _rank_comparison(method: ComparisonMethod, targets: Sequence[Matrix]) -> Callable[[Vector, int], float]:
    once = np.ones(len(targets[0]), np.int64)

    def compare(pooled: Vector, k: int) -> float:
        matrix = squareform(pooled, checks=False)
        np.fill_diagonal(matrix, pooled.size + 1)
        return method.resampled(matrix, targets[k])(once)

    return compare


def _vectors(method: Method, targets: Sequence[Matrix]) -> Matrix:
    """Return the (S, D) vectors that the method compares, without missing pairs."""
    if method.embed_pairs is None:
        return np.array([method.embed(target, np.ones(len(target))) for target in targets])
    pairs = [off_diagonal(target) for target in targets]
    return np.array([method.embed_pairs(values[~np.isnan(values)], None) for values in pairs])


def _vector_comparison(method: Method, vectors: Matrix) -> Callable[[Vector, int], float]:
    are_unit = bool((np.abs(np.linalg.norm(vectors, axis=1) - 1) < _UNIT).all())

    def compare(pooled: Vector, k: int) -> float:
        length = np.linalg.norm(pooled) if are_unit else 1.0
        return float(method.relate(pooled[None] / length, vectors[k][None])[0, 0])

    return compare
