# SPDX-License-Identifier: Apache-2.0
"""Comparisons of several candidates with several targets under common orders and common resamples of the inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.progress import progress_bar
from simplugins.comparisons.method import CHUNK_BYTES, ComparisonMethod, Method, Orders
from simplugins.comparisons.resampling import other_orders
from simplugins.rsm.matrices import Matrix


def resampled_values(
    method: ComparisonMethod, candidates: Sequence[Matrix], targets: Sequence[Matrix]
) -> Callable[[NDArray[np.int64]], Matrix]:
    """Return a function that compares all candidates with all targets in a resample of the inputs.

    Returns
    -------
    callable
        Maps the (N,) number of occurrences of each input to (K, S) values. A `Method` embeds each matrix once per
        resample; others are called for each pair.
    """
    if isinstance(method, Method) and not _incomplete([*candidates, *targets]):
        return lambda counts: _related(method, candidates, targets, counts)
    pairs = [[method.resampled(candidate, target) for target in targets] for candidate in candidates]
    return lambda counts: np.array([[compare(counts) for compare in row] for row in pairs])


def _related(
    method: Method, candidates: Sequence[Matrix], targets: Sequence[Matrix], counts: NDArray[np.int64]
) -> Matrix:
    distinct = np.flatnonzero(counts)
    index, occurrences = np.ix_(distinct, distinct), counts[distinct].astype(float)
    u, v = (
        np.array([method.embed(matrix[index], occurrences) for matrix in matrices])
        for matrices in (candidates, targets)
    )
    return method.relate(u, v)


def null_means(
    method: ComparisonMethod,
    candidates: Sequence[Matrix],
    targets: Sequence[Matrix],
    permutations: int,
    rng: np.random.Generator,
    *,
    progress: bool | str = False,
) -> Matrix:
    """Compare candidates with targets whose inputs are permuted, all targets and for all candidates alike.

    Returns
    -------
    (P, K) float64 array
        The mean over the targets per order of the inputs. The orders are those of `null_distribution`.
    """
    compare = _permuted_means(method, candidates, targets)
    return under_permutations(compare, len(targets[0]), permutations, rng, progress=progress)


def under_permutations(
    statistics: Callable[[Orders], NDArray[np.float64]],
    inputs: int,
    permutations: int,
    rng: np.random.Generator,
    *,
    progress: bool | str = False,
) -> NDArray[np.float64]:
    """Return statistics under P orders of the inputs, those of `null_distribution`, one row per order.

    Parameters
    ----------
    statistics : callable
        Maps (C, N) orders of the inputs to (C, ...) statistics.
    inputs, permutations, rng, progress
        As for `null_distribution`.
    """
    count = min(permutations, other_orders(inputs, permutations))
    chunk = max(1, CHUNK_BYTES // (4 * inputs**2))
    orders = _orders(inputs, count, permutations, rng)
    with progress_bar(range(0, count, chunk), progress, title="permuting") as starts:
        parts = [statistics(np.array(list(itertools.islice(orders, min(chunk, count - start))))) for start in starts]
    return np.concatenate(parts)


def _orders(inputs: int, count: int, permutations: int, rng: np.random.Generator) -> Iterator[Any]:
    """Yield `count` orders: all except the first one if these are fewer than `permutations`, else random ones."""
    if count < permutations:
        yield from itertools.islice(itertools.permutations(range(inputs)), 1, None)
    else:
        yield from (rng.permutation(inputs) for _ in range(count))


def _permuted_means(
    method: ComparisonMethod, candidates: Sequence[Matrix], targets: Sequence[Matrix]
) -> Callable[[Orders], Matrix]:
    if isinstance(method, Method) and not _incomplete([*candidates, *targets]):
        return _permuted_vectors(method, candidates, targets)
    pairs = [[method.permuted(candidate, target) for target in targets] for candidate in candidates]
    return lambda orders: np.mean([[compare(orders) for compare in row] for row in pairs], axis=1).T


def _permuted_vectors(
    method: Method, candidates: Sequence[Matrix], targets: Sequence[Matrix]
) -> Callable[[Orders], Matrix]:
    from simplugins.comparisons.permuting import permuter  # imports Numba

    once = np.ones(len(targets[0]))
    vectors = np.array([method.embed(candidate, once) for candidate in candidates])
    permuters = [permuter(method.embed(target, once), len(target)) for target in targets]
    return lambda orders: np.mean([method.relate(permute(orders), vectors) for permute in permuters], axis=0)


def _incomplete(matrices: Sequence[Matrix]) -> bool:
    return any(bool(np.isnan(matrix).any()) for matrix in matrices)
