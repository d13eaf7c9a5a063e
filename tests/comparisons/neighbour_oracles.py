# SPDX-License-Identifier: Apache-2.0
"""Comparisons of nearest neighbours, by plain loops over lists and sets."""

from __future__ import annotations

import numpy as np


def neighbour_lists(matrix, k):
    """Return a list of neighbours for each input: by similarity, then by index; NaN is never a neighbour."""
    lists = []
    for i, row in enumerate(np.asarray(matrix).tolist()):
        others = [j for j in range(len(row)) if j != i and row[j] == row[j]]
        lists.append(sorted(others, key=lambda j: (-row[j], j))[:k])
    return lists


def mutual_knn(a, b, k):
    return _mean(a, b, k, lambda u, v, i: len(set(u[i]) & set(v[i])) / k)


def jaccard_knn(a, b, k):
    return _mean(a, b, k, lambda u, v, i: len(set(u[i]) & set(v[i])) / len(set(u[i]) | set(v[i])))


def cycle_knn(a, b, k):
    return _mean(a, b, k, lambda u, v, i: any(i in u[j] for j in v[i]))


def lcs_knn(a, b, k):
    return _mean(a, b, k, lambda u, v, i: _longest(tuple(u[i]), tuple(v[i])) / k)


def rank_knn(a, b, k):
    def score(u, v, i):
        shared = set(u[i]) & set(v[i])
        ranks = [(1 + u[i].index(j), 1 + v[i].index(j)) for j in shared]
        total = sum(2 / ((1 + abs(r - s)) * (r + s)) for r, s in ranks)
        return total / sum(1 / m for m in range(1, len(shared) + 1)) if shared else 0

    return _mean(a, b, k, score)


def second_order_knn(a, b, k):
    def score(u, v, i):
        either = sorted({*u[i], *v[i]})
        x, y = a[i, either], b[i, either]
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    return _mean(a, b, k, score)


def cknna(a, b, k):
    def hsic(x, y):
        m = len(x)
        centred = x.sum() * y.sum() / (m - 1) / (m - 2) - 2 * (x @ y).sum() / (m - 2)
        return (np.trace(x @ y) + centred) / m / (m - 3)

    def mask(lists):
        return np.array([[j in row for j in range(len(lists))] for row in lists])

    x, y = mask(neighbour_lists(a, k)), mask(neighbour_lists(b, k))
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    return hsic(x * y * a, x * y * b) / np.sqrt(hsic(x * a, x * a) * hsic(y * b, y * b))


ORACLES = {
    "mutual-knn": mutual_knn,
    "cycle-knn": cycle_knn,
    "lcs-knn": lcs_knn,
    "jaccard-knn": jaccard_knn,
    "rank-knn": rank_knn,
    "cknna": cknna,
    "second-order-knn": second_order_knn,
}


def _mean(a, b, k, score):
    """Return the mean score of the inputs that have k neighbours in both matrices, without pairs missing from one."""
    missing = np.isnan(a) | np.isnan(b)
    u, v = (neighbour_lists(np.where(missing, np.nan, matrix), k) for matrix in (a, b))
    scores = [score(u, v, i) for i in range(len(a)) if len(u[i]) == len(v[i]) == k]
    return np.mean(scores) if scores else np.nan


def _longest(u, v):
    """Return the length of the longest common subsequence."""
    if not u or not v:
        return 0
    if u[-1] == v[-1]:
        return 1 + _longest(u[:-1], v[:-1])
    lengths = np.zeros((len(u) + 1, len(v) + 1), int)
    for p, x in enumerate(u):
        for q, y in enumerate(v):
            lengths[p + 1, q + 1] = lengths[p, q] + 1 if x == y else max(lengths[p, q + 1], lengths[p + 1, q])
    return lengths[-1, -1]
