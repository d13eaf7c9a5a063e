# SPDX-License-Identifier: Apache-2.0
"""Comparisons of the results of two searches equal those of the RSMs."""

from __future__ import annotations

import numpy as np
import pytest

import simplugins
from simplugins import compare_neighbours, search
from simplugins.comparisons.neighbourhoods.shared_neighbours import MutualKnn
from simplugins.data import load_photos

OF_LISTS = ["mutual-knn", "cycle-knn", "lcs-knn", "jaccard-knn", "rank-knn"]


@pytest.fixture(scope="module")
def layers():
    """Two layers, with exact ties: two inputs occur twice."""
    photos = load_photos()
    order = [*range(24), 3, 7]
    return photos["block10"][order].astype(np.float64), photos["block15"][order].astype(np.float64)


@pytest.mark.parametrize("method", OF_LISTS)
@pytest.mark.parametrize("k", [2, 9])
def test_searches_and_rsms_have_the_same_value(layers, method, k):
    rsms = [simplugins.compute_rsm(layer) for layer in layers]
    expected = simplugins.compare(*rsms, method, method_options={"k": k})
    assert compare_neighbours(*(search(layer, k=k) for layer in layers), method) == expected
    assert compare_neighbours(*(search(layer, k=k + 3) for layer in layers), method, k=k) == expected


def test_a_comparison_given_as_an_object_keeps_its_k(layers):
    results = [search(layer, k=8) for layer in layers]
    assert compare_neighbours(*results, MutualKnn(k=3)) == compare_neighbours(*results, k=3)
    assert compare_neighbours(*results, MutualKnn(k=3), k=8) == compare_neighbours(*results)


def test_what_cannot_be_compared_is_refused(layers):
    first, second = layers
    a, b = search(first, k=4), search(second, k=6)
    with pytest.raises(ValueError, match=r"a has 4 neighbours.*b has 6.*k=4"):
        compare_neighbours(a, b)
    with pytest.raises(ValueError, match=r"k=5\b.*found 4 and 6"):
        compare_neighbours(a, b, k=5)
    with pytest.raises(ValueError, match="k must be a whole number"):
        compare_neighbours(a, b, k=0)
    with pytest.raises(ValueError, match="a has 26 inputs, b has 25"):
        compare_neighbours(a, search(second[1:], k=4))
    with pytest.raises(ValueError, match="labels differ"):
        compare_neighbours(search(first, k=4, labels=range(26)), search(second, k=4, labels=range(1, 27)))
    with pytest.raises(ValueError, match=r"b: .*gallery"):
        compare_neighbours(a, search(second, other=second[1:], k=4))
    with pytest.raises(TypeError, match=r"b: expected a result of simplugins\.search, got ndarray"):
        compare_neighbours(a, b.indices)
    with pytest.raises(ValueError, match="needs at least 27 inputs, got 26"):
        compare_neighbours(search(first, k=25), search(second, k=25))
    for method in ("cknna", "second-order-knn", "cka"):
        with pytest.raises(ValueError, match=f"'{method}' needs more than lists"):
            compare_neighbours(a, b, method)
