# SPDX-License-Identifier: Apache-2.0
"""Comparisons of the lists of nearest neighbours alone: which they share, and in which order.

Expected values for unrelated RSMs are averages over all permutations of the inputs of one of them, without ties. The
neighbours of an input in one RSM are then k of the N - 1 others, drawn in random order, independently of the other
RSM: the number m that the lists share has the hypergeometric distribution with mean ``k^2 / (N - 1)``. Numbers in
parentheses are these values for k = 10 with 60 and with 1,000 inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simplugins._common.compiled import compiled
from simplugins.comparisons.neighbourhoods.neighbour_lists import Neighbourhoods
from simplugins.comparisons.neighbourhoods.neighbour_method import NeighbourMethod, mean_score


@dataclass(frozen=True, kw_only=True)
class MutualKnn(NeighbourMethod):
    """The share of an input's neighbours that are its neighbours in both RSMs, averaged over inputs.

    For unrelated RSMs, ``k / (N - 1)`` on average: each of k neighbours in one RSM is among the k of N - 1 in the other
    with that probability (0.1695 and 0.0100).
    """

    name = "mutual-knn"
    reference = "Huh et al. 2024, arXiv:2405.07987; mutual_knn of minyoungg/platonic-rep"

    def score(self, x: Neighbourhoods, y: Neighbourhoods) -> float:
        """Return the mean share of neighbours that the lists have in common."""
        return mean_score(_shared(x.lists, y.lists) / x.lists.shape[1], x, y)


@dataclass(frozen=True, kw_only=True)
class JaccardKnn(NeighbourMethod):
    """The number of shared neighbours over the number of all neighbours in either RSM, averaged over inputs.

    For unrelated RSMs, the mean of ``m / (2 k - m)`` over the hypergeometric distribution of m, about
    ``k / (2 (N - 1))`` for large N (0.0966 and 0.0053).
    """

    name = "jaccard-knn"
    reference = "Wang et al. 2020; Klabunde et al. 2025, arXiv:2305.06329; jaccard_similarity of ReSi"

    def score(self, x: Neighbourhoods, y: Neighbourhoods) -> float:
        """Return the mean Jaccard index of the lists."""
        shared = _shared(x.lists, y.lists)
        return mean_score(shared / (2 * x.lists.shape[1] - shared), x, y)


@dataclass(frozen=True, kw_only=True)
class RankKnn(NeighbourMethod):
    """How close the ranks of the shared neighbours are in both lists, averaged over inputs.

    A neighbour of ranks r and s contributes ``2 / ((1 + |r - s|) (r + s))``, and the sum over the m shared neighbours
    is divided by ``1 + 1/2 + … + 1/m``; 0 if no neighbour is shared.

    For unrelated RSMs, the mean of ``m / (1 + 1/2 + … + 1/m)`` over the hypergeometric distribution of m, times the
    mean contribution over all k^2 pairs of ranks (0.0959 and 0.0082).
    """

    name = "rank-knn"
    reference = "Wang et al. 2020; Klabunde et al. 2025, arXiv:2305.06329; rank_similarity of ReSi"

    def score(self, x: Neighbourhoods, y: Neighbourhoods) -> float:
        """Return the mean similarity of ranks."""
        return mean_score(_rank_scores(x.lists, y.lists), x, y)


@dataclass(frozen=True, kw_only=True)
class LcsKnn(NeighbourMethod):
    """The length of the longest common subsequence of both lists, divided by k, averaged over inputs.

    platonic-rep reports the length itself, which is k times this value.

    For unrelated RSMs, at most ``k / (N - 1)``, the value of "mutual-knn", and close to it if lists rarely share more
    than one neighbour (0.128 and 0.0099, by simulation). Copies of an input are in the same order in both lists, so
    resamples have larger values, by a fifth if the RSMs are related: the bootstrap warns.
    """

    name = "lcs-knn"
    bias_of_resamples = "larger"
    reference = "Huh et al. 2024, arXiv:2405.07987; lcs_knn of minyoungg/platonic-rep, divided by k"

    def score(self, x: Neighbourhoods, y: Neighbourhoods) -> float:
        """Return the mean length of the longest common subsequence, relative to k."""
        return mean_score(_longest_common(x.lists, y.lists) / x.lists.shape[1], x, y)


@dataclass(frozen=True, kw_only=True)
class CycleKnn(NeighbourMethod):
    """The share of inputs to which one can return: from their neighbours in the second RSM by neighbours in the first.

    An input counts if it is a neighbour, in the first RSM, of at least one of its neighbours in the second one. The
    order of the RSMs matters, and equal RSMs have values below 1 if neighbours are not mutual.

    For unrelated RSMs, the mean over inputs of ``1 - C(N - 1 - h, k) / C(N - 1, k)``, where h is the number of inputs
    of which an input is a neighbour in the first RSM; close to ``1 - (1 - k / (N - 1))^k``, and less if
    some inputs are neighbours of many others (0.845 and 0.096 at most). In a resample, few ways lead to one of several
    copies, so values are smaller, by up to a quarter: the bootstrap warns.
    """

    name = "cycle-knn"
    bias_of_resamples = "smaller"
    is_symmetric = False
    reference = "Huh et al. 2024, arXiv:2405.07987; cycle_knn of minyoungg/platonic-rep"

    def score(self, x: Neighbourhoods, y: Neighbourhoods) -> float:
        """Return the share of inputs to which a neighbour leads back."""
        return mean_score(_returning(x.lists, y.lists), x, y)


@compiled
def _shared(x, y):  # type: ignore[no-untyped-def]
    """Return the number of neighbours in both lists of each input."""
    counts, owner = np.zeros(len(x), np.int64), np.empty(len(x), np.int64)
    owner[:] = -1
    for i in range(len(x)):
        for j in x[i]:
            if j >= 0:
                owner[j] = i
        for j in y[i]:
            if j >= 0 and owner[j] == i:
                counts[i] += 1
    return counts


@compiled
def _rank_scores(x, y):  # type: ignore[no-untyped-def]
    scores = np.zeros(len(x))
    owner, rank = np.empty(len(x), np.int64), np.zeros(len(x), np.int64)
    owner[:] = -1
    for i in range(len(x)):
        for p in range(x.shape[1]):
            if x[i, p] >= 0:
                owner[x[i, p]], rank[x[i, p]] = i, p + 1
        total, shared = 0.0, 0
        for q in range(y.shape[1]):
            if y[i, q] >= 0 and owner[y[i, q]] == i:
                r, s = rank[y[i, q]], q + 1
                total += 2.0 / ((1 + abs(r - s)) * (r + s))
                shared += 1
        harmonic = 0.0
        for m in range(1, shared + 1):
            harmonic += 1.0 / m
        if shared:
            scores[i] = total / harmonic
    return scores


@compiled
def _longest_common(x, y):  # type: ignore[no-untyped-def]
    k = x.shape[1]
    lengths = np.zeros(len(x), np.int64)
    best = np.zeros(k + 1, np.int64)
    for i in range(len(x)):
        best[:] = 0
        for p in range(k):
            diagonal = 0
            for q in range(k):
                above = best[q + 1]
                if x[i, p] >= 0 and x[i, p] == y[i, q]:
                    best[q + 1] = diagonal + 1
                else:
                    best[q + 1] = max(above, best[q])
                diagonal = above
        lengths[i] = best[k]
    return lengths


@compiled
def _returning(x, y):  # type: ignore[no-untyped-def]
    returns = np.zeros(len(x))
    for i in range(len(x)):
        for j in y[i]:
            if j >= 0:
                for other in x[j]:
                    if other == i:
                        returns[i] = 1.0
    return returns
