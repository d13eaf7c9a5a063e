# SPDX-License-Identifier: Apache-2.0
"""Comparisons of networks whose activations are centred and normalised first."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from comparison_measures import Scaled, pooled
from test_networks import INVARIANCES, changed

import simplugins
from simplugins.comparisons.networks import NetworkSimilarity, similarity

CENTERS = [None, "channel", "input", "position", ("channel", "position"), ("input", "position")]
KERNELS = ["linear", "cosine", "rbf"]


@pytest.fixture(scope="module")
def networks():
    rng = np.random.default_rng(0)
    return rng.normal(size=(9, 5, 3, 3)) + rng.normal(size=(5, 1, 1)), rng.normal(size=(9, 7, 3, 3))


@pytest.mark.parametrize(("center", "normalize"), list(itertools.product(CENTERS, [None, "position"])))
@pytest.mark.parametrize(
    "measure", [f"{kind}-{kernel}" for kind in ("semantic", "spatio-semantic") for kernel in KERNELS]
)
@pytest.mark.parametrize("method", ["cka", "rsa-cosine"])
def test_exactly_the_declared_invariances_hold(networks, measure, method, center, normalize):
    a, b = networks
    prepared = similarity(measure, method, center=center, normalize=normalize)
    before = prepared(a, b)
    for change in INVARIANCES:
        declared = getattr(prepared, f"invariant_to_{change}")
        assert declared == (abs(prepared(changed(a, change), b) - before) < 1e-6), change


def test_normalised_positions_ignore_a_factor_per_position(networks):
    a, b = networks
    factors = np.random.default_rng(1).uniform(0.1, 9, size=(9, 1, 3, 3))
    plain, unit = similarity("semantic-linear", "cka"), similarity("semantic-linear", "cka", normalize="position")
    assert unit(factors * a, b) == pytest.approx(unit(a, b))
    assert plain(factors * a, b) != pytest.approx(plain(a, b), abs=0.01)


def test_preparation_that_removes_a_change_makes_any_measure_invariant(networks):
    silent = similarity(Scaled, "cka", center="channel", normalize="position")
    assert silent.invariant_to_translation is True
    assert silent.invariant_to_isotropic_scaling is True
    assert silent.invariant_to_ortho is None
    assert silent(changed(networks[0], "translation"), networks[1]) == pytest.approx(silent(*networks))
    declared = similarity(pooled, "cka", center="position")
    assert (declared.invariant_to_ortho, declared.invariant_to_permutation) == (False, True)


def test_similarities_prepare_each_network_on_its_own(networks):
    prepared = similarity("semantic-cosine", "cka", center="channel", normalize="position", subset=[0, 2, 3, 4, 7, 8])
    assert dict(prepared.options)["center"] == "channel"
    rsms = [
        simplugins.compute_rsm(maps[[0, 2, 3, 4, 7, 8]], center="channel", normalize="position") for maps in networks
    ]
    assert prepared(*networks) == pytest.approx(simplugins.compare(*rsms, "cka"))
    assert NetworkSimilarity(options={"center": "position"})(*networks) != pytest.approx(prepared(*networks))
    with pytest.raises(ValueError, match="center"):
        similarity(center="rows")


def test_layers_are_prepared_one_by_one(networks):
    options = {"center": "channel", "normalize": "position"}
    table = simplugins.compare_layers(dict(zip("ab", networks, strict=True)), method="cka-debiased", **options)
    rsms = {name: simplugins.compute_rsm(maps, **options) for name, maps in zip("ab", networks, strict=True)}
    np.testing.assert_allclose(table.values, simplugins.compare_layers(rsms, method="cka-debiased").values)


def test_batches_are_centred_by_the_mean_of_all_inputs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(2, 1, size=(24, 6, 3)), rng.normal(-1, 1, size=(24, 4, 5))
    options = {"batch_size": 6, "batches": 4, "measure": "semantic-cosine"}
    centred = [side - side.mean((0, 1)) for side in (a, b)]
    expected = simplugins.estimate_cka(*centred, **options)
    estimate = simplugins.estimate_cka(a, b, center="channel", **options)
    assert (estimate.value, estimate.low) == pytest.approx((expected.value, expected.low))
    assert estimate.metadata["a"]["center"] == "channel"


def test_curves_of_translation_are_of_prepared_activations():
    rng = np.random.default_rng(0)
    maps, places = rng.normal(1, 1, size=(4, 3, 4, 4)), rng.uniform(size=(4, 2))
    centred = maps - maps.mean((0, 2, 3))[:, None, None]
    expected = simplugins.evaluation.translation({"layer": centred}, places)
    result = simplugins.evaluation.translation({"layer": maps}, places, center="channel")
    for key, values in expected.similarities.items():
        np.testing.assert_allclose(result.similarities[key], values, rtol=1e-9)
