# SPDX-License-Identifier: Apache-2.0
"""Comparisons of the similarities of nearest neighbours: CKNNA, and the second-order cosine."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt
from typing import Literal, get_args

import numpy as np

from simplugins._common.compiled import compiled
from simplugins.comparisons.neighbourhoods.neighbour_lists import Neighbourhoods
from simplugins.comparisons.neighbourhoods.neighbour_method import NeighbourMethod, mean_score
from simplugins.comparisons.vectors import scaled
from simplugins.rsm.matrices import Matrix

Entries = Literal["similarities", "distances"]


@dataclass(frozen=True, kw_only=True)
class Cknna(NeighbourMethod):
    """CKA of the similarities of shared neighbours: centred kernel nearest-neighbour alignment.

    Both RSMs are set to 0 except where j is among the k neighbours of i in both of them. The unbiased HSIC of Song et
    al. (2012) of the results is divided by the geometric mean of those of each RSM with itself, each set to 0 except
    at its own neighbours. With ``k = N - 1``, this is "cka-debiased" of the RSMs.

    It follows the authors' code (with ``unbiased=True``), without the 1e-6 that it adds to the denominator; the
    equation in the article centres the RSMs first. Entries that are set to 0 are not symmetric, so the order of the
    RSMs matters slightly, and values are not confined to -1 to 1. Adding a constant to an RSM has an effect, so compare
    RSMs whose 0 means unrelated. NaN if the HSIC of an RSM with itself is not positive. k is at least 2, and missing
    pairs are an error. In a resample, N is the number of draws.

    For independent normal activations with 512 channels, as cosines, 0.148 with 60 and 0.008 with 1,000 inputs and
    k = 10 (means of 60 and of 10 simulations): selecting shared neighbours selects large similarities in both RSMs.
    """

    name = "cknna"
    range = (-inf, inf)
    is_symmetric = False
    invariances = frozenset({"scaling", "diagonal"})
    omits_missing = False
    uses_similarities = True
    reference = "Huh et al. 2024, arXiv:2405.07987; cknna of minyoungg/platonic-rep"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 2:
            raise ValueError(f"cknna needs k of at least 2, got {self.k}")

    @property
    def least_inputs(self) -> int:  # type: ignore[override]
        """One more than k, but at least 4, as for "cka-debiased"."""
        return max(4, self.k + 1)

    @property
    def _undefined(self) -> str:
        return "where an RSM is constant, or its HSIC with itself is not positive"

    def score(self, x: Neighbourhoods, y: Neighbourhoods) -> float:
        """Return the ratio of HSICs."""
        (u, own_x), (v, own_y) = _with_hsic(x), _with_hsic(y)
        if own_x <= 0 or own_y <= 0:
            return float("nan")
        return float(_hsic(x.lists, u, y.lists, v) / sqrt(own_x) / sqrt(own_y))


def _with_hsic(x: Neighbourhoods) -> tuple[Matrix, float]:
    """Return similarities of neighbours, scaled to a range that can be squared, and their HSIC with themselves."""
    if "cknna" not in x.memo:
        similarities = scaled(x.similarities)
        x.memo["cknna"] = similarities, _hsic(x.lists, similarities, x.lists, similarities)
    similarities, own = x.memo["cknna"]
    return similarities, own


@dataclass(frozen=True, kw_only=True)
class SecondOrderKnn(NeighbourMethod):
    """The cosine of an input's similarities in both RSMs to its neighbours in either, averaged over inputs.

    An input contributes 1 if all these similarities are 0 in both RSMs, and 0 if they are in one. Values depend on what
    0 means in the RSMs: where all similarities are positive, unrelated RSMs have values near 1. For independent normal
    activations with 512 channels, as cosines, -0.12 with 60 and -0.006 with 1,000 inputs and k = 10.

    Attributes
    ----------
    k : int, default 10
        The number of neighbours.
    entries : {"similarities", "distances"}
        The cosine of the similarities, as in the articles, or of ``1 - similarity``, as in ReSi's code (for RSMs whose
        largest similarity is 1, such as those of cosines).
    """

    entries: Entries = "similarities"

    name = "second-order-knn"
    range = (-1.0, 1.0)
    uses_similarities = True
    reference = "Hamilton et al. 2016, arXiv:1606.02821; second_order_cosine_similarity of ReSi"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.entries not in get_args(Entries):
            raise ValueError(f"entries must be one of {', '.join(get_args(Entries))}, got {self.entries!r}")

    @property
    def least_inputs(self) -> int:  # type: ignore[override]
        """One more than k."""
        return self.k + 1

    @property
    def invariances(self) -> frozenset[str]:  # type: ignore[override]
        """Changes of one RSM that have no effect."""
        return frozenset({"scaling", "diagonal"} if self.entries == "similarities" else {"diagonal"})

    def score(self, x: Neighbourhoods, y: Neighbourhoods) -> float:
        """Return the mean cosine."""
        sign, shift = (1.0, 0.0) if self.entries == "similarities" else (-1.0, 1.0)
        sides = [(side.lists, side.matrix, side.origin, side.similarities) for side in (x, y)]
        return mean_score(_cosines(*sides[0], *sides[1], sign, shift), x, y)


@compiled
def _hsic(x, u, y, v):  # type: ignore[no-untyped-def]
    """Return the unbiased HSIC, up to a factor, of two RSMs that are 0 except for neighbours in both.

    Similarities `u` and `v` belong to the lists `x` and `y`. An entry of the first RSM meets its mirror image in the
    second one, which is not 0 only if neighbours are mutual.
    """
    count, k = x.shape
    owner, place = np.empty(count, np.int64), np.zeros(count, np.int64)
    owner[:] = -1
    shared, sizes, products = np.empty((count, k), np.int64), np.zeros(count, np.int64), np.empty((count, k))
    columns, rows = np.zeros(count), np.zeros(count)
    for i in range(count):
        for p in range(k):
            if x[i, p] >= 0:
                owner[x[i, p]], place[x[i, p]] = i, p
        for q in range(k):
            j = y[i, q]
            if j >= 0 and owner[j] == i:
                first, second = u[i, place[j]], v[i, q]
                columns[j] += first
                rows[i] += second
                shared[i, sizes[i]], products[i, sizes[i]] = j, first * second
                sizes[i] += 1
    mutual = 0.0
    for i in range(count):
        for p in range(sizes[i]):
            j = shared[i, p]
            for q in range(sizes[j]):
                if shared[j, q] == i:
                    mutual += products[i, p]
                    break
    column_sum, row_sum, product_sum = 0.0, 0.0, 0.0
    for i in range(count):
        column_sum += columns[i]
        row_sum += rows[i]
        product_sum += columns[i] * rows[i]
    return mutual + column_sum * row_sum / ((count - 1) * (count - 2)) - 2 * product_sum / (count - 2)


@compiled
def _cosines(x, a, origin_a, own_a, y, b, origin_b, own_b, sign, shift):  # type: ignore[no-untyped-def]
    """Return the cosine for each input; entries are ``sign * similarity + shift``.

    Similarities `own_a` and `own_b` belong to the lists `x` and `y`; others are looked up in the matrices.
    """
    count, k = x.shape
    owner, place = np.empty(count, np.int64), np.zeros(count, np.int64)
    owner[:] = -1
    u, v = np.empty(2 * k), np.empty(2 * k)
    result = np.empty(count)
    for i in range(count):
        size = 0
        for p in range(k):
            j = x[i, p]
            if j >= 0:
                owner[j], place[j] = i, p
                u[p], v[p] = own_a[i, p], np.nan
                size = p + 1
        for q in range(k):
            j = y[i, q]
            if j < 0:
                continue
            if owner[j] == i:
                v[place[j]] = own_b[i, q]
            else:
                u[size], v[size] = a[origin_a[i], origin_a[j]], own_b[i, q]
                size += 1
        largest_u, largest_v = 0.0, 0.0
        for p in range(size):
            if np.isnan(v[p]):
                v[p] = b[origin_b[i], origin_b[x[i, p]]]
            u[p], v[p] = sign * u[p] + shift, sign * v[p] + shift
            largest_u, largest_v = max(largest_u, abs(u[p])), max(largest_v, abs(v[p]))
        if largest_u == 0 or largest_v == 0:
            result[i] = 1.0 if largest_u == largest_v else 0.0
            continue
        uu, vv, uv = 0.0, 0.0, 0.0
        for p in range(size):
            first, second = u[p] / largest_u, v[p] / largest_v
            uu += first * first
            vv += second * second
            uv += first * second
        result[i] = uv / np.sqrt(uu * vv)
    return result
