# SPDX-License-Identifier: Apache-2.0
"""Parity with RSMs computed by the code of the paper's authors from the same activations."""

from __future__ import annotations

import numpy as np
import pytest

import simplugins
from simplugins.cli.tour import neighbour_hits


@pytest.fixture(scope="module", params=["block4", "block10", "block15"])
def layer(request):
    return request.param


@pytest.fixture(scope="module", params=["semantic", "spatio-semantic"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def rsms(layers, layer, kind):
    return simplugins.compute_rsms(layers[layer], [f"{kind}-{kernel}" for kernel in ("linear", "cosine", "rbf")])


@pytest.mark.parametrize("kernel", ["linear", "cosine"])
def test_linear_and_cosine_match_the_authors(rsms, authors_rsms, layer, kind, kernel):
    reference = authors_rsms[f"{layer}/{kind}/{kernel}"]
    values = rsms[f"{kind}-{kernel}"].values
    # Relative to the product of the norms (1 for cosine): similarities near 0 are differences of large numbers, for
    # which the authors' float32 values themselves differ from float64 by up to 7e-5.
    norms = np.sqrt(np.outer(reference.diagonal(), reference.diagonal()))
    assert np.abs(values - reference).max() <= 1e-5 * norms.min()
    far_from_zero = np.abs(reference) > 0.05 * norms
    np.testing.assert_allclose(values[far_from_zero], reference[far_from_zero], rtol=1e-5, atol=0)


def test_rbf_matches_the_authors(rsms, authors_rsms, layer, kind):
    np.testing.assert_allclose(rsms[f"{kind}-rbf"].values, authors_rsms[f"{layer}/{kind}/rbf"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("kernel", "spatio_semantic_hits"), [("linear", 24), ("cosine", 24), ("rbf", 15)])
def test_nearest_neighbours_at_block10_show_the_same_photograph(photos, kernel, spatio_semantic_hits):
    labels = photos["photo_names"][photos["photo"]]
    hits = {
        kind: neighbour_hits(simplugins.compute_rsm(photos["block10"], f"{kind}-{kernel}", labels=labels), k=1)
        for kind in ("semantic", "spatio-semantic")
    }
    assert hits == {"semantic": 24, "spatio-semantic": spatio_semantic_hits}
