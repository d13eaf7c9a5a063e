# SPDX-License-Identifier: Apache-2.0
"""Which pairs of inputs have their matched positions in the file: those requested, then nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_pairs(pairs: Iterable[Any], count: int) -> NDArray[np.int64]:
    """Return pairs of inputs as (P, 2), the smaller number first.

    Raises
    ------
    ValueError
        If they are not pairs of different inputs.
    """
    if not isinstance(pairs, Iterable):
        raise TypeError(f"pairs: expected pairs of numbers of inputs, such as [(0, 3), (5, 2)], got {pairs!r}")
    values = np.asarray(list(pairs))
    if values.size == 0:
        return np.empty((0, 2), np.int64)
    if values.ndim != 2 or values.shape[1] != 2 or values.dtype.kind not in "iu":
        raise ValueError("pairs: expected pairs of numbers of inputs, such as [(0, 3), (5, 2)]")
    if values.min() < 0 or values.max() >= count:
        raise ValueError(f"pairs: expected numbers from 0 to {count - 1}, got {values.min()} to {values.max()}")
    if (values[:, 0] == values[:, 1]).any():
        raise ValueError("pairs: expected different inputs; an input is matched with itself position by position")
    return np.unique(np.sort(values, 1), axis=0).astype(np.int64)


def ranked_pairs(lists: Sequence[NDArray[np.int64]], count: int) -> NDArray[np.int64]:
    """Return pairs of neighbours, the most important first.

    Parameters
    ----------
    lists : sequence of (N, k) arrays
        Neighbours of each input, nearest first, in each layer and measure.
    count : int
        Number of inputs, N.

    Returns
    -------
    (P, 2) int64 array
        Sorted by the best rank that the pair has in any list; pairs of equal rank by the number of lists that rank
        them so, then by their numbers.
    """
    keys, ranks = [], []
    for neighbours in lists:
        rows = np.repeat(np.arange(count), neighbours.shape[1])
        columns = neighbours.ravel()
        keys.append(np.minimum(rows, columns) * count + np.maximum(rows, columns))
        ranks.append(np.tile(np.arange(neighbours.shape[1]), count))
    if not keys:
        return np.empty((0, 2), np.int64)
    pairs, places = np.unique(np.concatenate(keys), return_inverse=True)
    all_ranks = np.concatenate(ranks)
    best = np.full(len(pairs), np.iinfo(np.int64).max)
    np.minimum.at(best, places, all_ranks)
    votes = np.bincount(places[all_ranks == best[places]], minlength=len(pairs))
    order = np.lexsort((pairs, -votes, best))
    return np.stack([pairs[order] // count, pairs[order] % count], 1)


def nearest(values: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Return the (N, k) nearest neighbours of each input by an RSM, without itself; ties go to the smaller number.

    Missing values count as the least similar ones.
    """
    similarities = np.array(values)
    np.fill_diagonal(similarities, np.nan)
    order = nearest_columns(similarities, len(values))
    others: NDArray[np.int64] = order[order != np.arange(len(values))[:, None]].reshape(len(values), -1)
    return others[:, :k]


def nearest_columns(similarities: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Return the (R, k) columns of the largest values per row; ties go to the smaller number, NaN comes last."""
    return np.argsort(np.where(np.isnan(similarities), np.inf, -similarities), axis=1, kind="stable")[:, :k]
