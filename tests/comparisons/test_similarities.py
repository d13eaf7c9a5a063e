# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest

import simplugins
from simplugins import plugins
from simplugins.comparisons.networks import GROUP, NetworkSimilarity, similarity
from simplugins.matching.optimal import Optimal

MEASURES = [f"{kind}-{kernel}" for kind in ("semantic", "spatio-semantic") for kernel in ("linear", "cosine", "rbf")]
METHODS = ["cka", "rsa-spearman", "norm-difference", "rsa-cosine"]


@pytest.fixture
def networks():
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 5, 3, 3)) + 1, rng.normal(size=(8, 7, 3, 3))


def changed(maps, what):
    """Apply a map of channels, the same for all inputs and positions; or permute the positions of each input."""
    rng = np.random.default_rng(1)
    channels = maps.shape[1]
    if what == "position":
        order = np.array([rng.permutation(maps[0, 0].size) for _ in maps])
        flat = np.take_along_axis(maps.reshape(*maps.shape[:2], -1), order[:, None], axis=2)
        return flat.reshape(maps.shape)
    linear = {
        "ortho": np.linalg.qr(rng.normal(size=(channels, channels)))[0],
        "permutation": np.eye(channels)[rng.permutation(channels)],
        "isotropic_scaling": 3.7 * np.eye(channels),
        "translation": np.eye(channels),
        "invertible_linear": rng.normal(size=(channels, channels)),
        "affine": rng.normal(size=(channels, channels)),
    }[what]
    shift = rng.normal(size=channels) if what in ("translation", "affine") else np.zeros(channels)
    return np.einsum("nchw,cd->ndhw", maps, linear) + shift[:, None, None]


INVARIANCES = ["ortho", "permutation", "isotropic_scaling", "translation", "invertible_linear", "affine", "position"]


@pytest.mark.parametrize(("measure", "method"), list(itertools.product(MEASURES, METHODS)))
def test_invariances_are_stated_truthfully(networks, measure, method):
    one, other = networks
    compared = similarity(measure, method)
    before = compared(one, other)
    for what in INVARIANCES:
        stated = getattr(compared, f"invariant_to_{what}")
        assert stated == (abs(compared(changed(one, what), other) - before) < 1e-6), what


def test_rbf_of_a_given_sigma_depends_on_the_scale(networks):
    one, other = networks
    compared = similarity("semantic-rbf", "cka", sigma=5.0)
    assert compared.invariant_to_isotropic_scaling is False
    assert abs(compared(3 * one, other) - compared(one, other)) > 1e-3


@pytest.mark.parametrize("matching", ["identity", "optimal", "auction", "batch-optimal", "greedy", "topk-greedy"])
@pytest.mark.parametrize("measure", ["semantic-linear", "semantic-cosine", "semantic-rbf"])
def test_invariances_are_those_of_the_matching_that_was_asked_for(networks, measure, matching):
    one, other = networks
    options = {"batch-optimal": {"window": 4}, "topk-greedy": {"k": 3}}.get(matching, {})
    compared = similarity(measure, "cka", matching=matching, **options)
    before = compared(one, other)
    for what in INVARIANCES:
        stated = getattr(compared, f"invariant_to_{what}")
        tolerance = 0.02 if matching == "auction" else 1e-6
        holds = abs(compared(changed(one, what), other) - before) < tolerance
        assert stated is None or stated == holds or (matching == "auction" and not stated), what
    assert compared.invariant_to_position == (matching != "identity")
    assert (compared.invariant_to_translation is None) == (
        measure != "semantic-cosine" and matching not in ("optimal", "identity")
    )


def test_the_matching_of_others_does_not_tell():
    class Own(Optimal):
        name = "own"

    compared = similarity("semantic-linear", "cka", matching=Own())
    assert compared.invariant_to_position is None
    assert compared.invariant_to_translation is None
    assert compared.invariant_to_ortho is True


@pytest.mark.parametrize("name", [plugin.name for plugin in plugins.available(GROUP)])
def test_registered_similarities_have_the_name_they_are_registered_by(networks, name):
    compared = plugins.load(GROUP, name)
    assert isinstance(compared, NetworkSimilarity)
    assert compared.name == name
    one, other = networks
    rsms = [simplugins.compute_rsm(maps, compared.measure) for maps in networks]
    assert compared(one, other, "nchw") == pytest.approx(simplugins.compare(*rsms, compared.method))
    assert compared(one, other) == pytest.approx(compared(other, one))
    assert compared.is_symmetric
    assert compared.larger_is_more_similar
    assert not compared.is_metric


def test_every_measure_has_cka_and_spearman():
    assert sorted(plugin.name for plugin in plugins.available(GROUP)) == sorted(
        f"{measure}-{method}" for measure in MEASURES for method in ("cka", "rsa-spearman")
    )


def test_networks_may_differ_in_channels_and_positions(networks):
    one, _ = networks
    tokens = np.random.default_rng(3).normal(size=(8, 11, 4))
    assert 0 <= similarity()(one, tokens) <= 1
    assert similarity(method="angular-cka").larger_is_more_similar is False
    assert similarity(method="angular-cka").is_metric


def test_errors_say_which_network(networks):
    one, other = networks
    with pytest.raises(ValueError, match=r"second network: .*\b8 NaN"):
        similarity()(one, np.full((8, 1), np.nan))
    with pytest.raises(ValueError, match="same inputs"):
        similarity()(one, other[:5])
    with pytest.raises(ValueError, match="semantic-cosin"):
        similarity("semantic-cosin")
    with pytest.raises(ValueError, match="ckka"):
        similarity(method="ckka")


def test_plugins_of_others_may_tell_nothing():
    compared = NetworkSimilarity("semantic-linear", "cka")
    object.__setattr__(compared, "method", lambda a, b: 0.0)
    assert compared.larger_is_more_similar is None
    assert compared.is_symmetric is None
    assert compared.invariant_to_translation is None
    assert compared.invariant_to_ortho is True


def test_a_similarity_can_be_pickled_and_copied():
    found = simplugins.similarity("semantic-rbf", "rsa-spearman", sigma=3.0)
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert again.name == found.name
        assert dict(again.options) == {"sigma": 3.0}
    with pytest.raises(TypeError, match="does not support item assignment"):
        found.options["sigma"] = 2.0
