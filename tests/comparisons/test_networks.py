# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
from comparison_data import Closeness
from comparison_measures import Scaled, pooled, standardised

import simplugins
from simplugins import plugins
from simplugins.comparisons.networks import GROUP, NetworkSimilarity, resolve_similarity, similarity

KINDS = ("semantic", "spatio-semantic", "shift", "max-sim", "second-order", "max-pooled", "mean-pooled")
MEASURES = [f"{kind}-{kernel}" for kind in KINDS for kernel in ("linear", "cosine", "rbf")]
METHODS = ["cka", "rsa-spearman", "norm-difference", "rsa-cosine"]


@pytest.fixture
def networks():
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 5, 3, 3)) + 1, rng.normal(size=(8, 7, 3, 3))


def changed(maps, change):
    """Apply a map of the channels, the same for all inputs and positions; or permute the positions of each input."""
    rng = np.random.default_rng(1)
    channels = maps.shape[1]
    if change == "position":
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
    }[change]
    shift = rng.normal(size=channels) if change in ("translation", "affine") else np.zeros(channels)
    return np.einsum("nchw,cd->ndhw", maps, linear) + shift[:, None, None]


INVARIANCES = ["ortho", "permutation", "isotropic_scaling", "translation", "invertible_linear", "affine", "position"]


@pytest.mark.parametrize(("measure", "method"), list(itertools.product(MEASURES, METHODS)))
def test_exactly_the_declared_invariances_hold(networks, measure, method):
    a, b = networks
    semantic = similarity(measure, method)
    before = semantic(a, b)
    for change in INVARIANCES:
        declared = getattr(semantic, f"invariant_to_{change}")
        assert declared == (abs(semantic(changed(a, change), b) - before) < 1e-6), change


def test_rbf_with_a_fixed_sigma_depends_on_the_scale(networks):
    a, b = networks
    fixed = similarity("semantic-rbf", "cka", sigma=5.0)
    assert fixed.invariant_to_isotropic_scaling is False
    assert abs(fixed(3 * a, b) - fixed(a, b)) > 1e-3


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_shifts_padded_with_zeros_depend_on_a_common_vector(networks, kernel):
    a, b = networks
    shifted = similarity(f"shift-{kernel}", "cka", measure_options={"padding": "zeros"})
    assert shifted.invariant_to_translation is False
    assert abs(shifted(changed(a, "translation"), b) - shifted(a, b)) > 1e-3


@pytest.mark.parametrize("matching", ["identity", "optimal", "auction", "batch-optimal", "greedy", "topk-greedy"])
@pytest.mark.parametrize("measure", ["semantic-linear", "semantic-cosine", "semantic-rbf"])
def test_invariances_depend_on_the_matching(networks, measure, matching):
    a, b = networks
    options = {"batch-optimal": {"window": 4}, "topk-greedy": {"k": 3}}.get(matching)
    semantic = similarity(measure, "cka", matching=matching, matching_options=options)
    before = semantic(a, b)
    for change in INVARIANCES:
        declared = getattr(semantic, f"invariant_to_{change}")
        tolerance = 0.02 if matching == "auction" else 1e-6
        holds = abs(semantic(changed(a, change), b) - before) < tolerance
        assert declared == holds or (matching == "auction" and not declared), change
    assert semantic.invariant_to_position == (matching != "identity")
    if measure == "semantic-cosine":
        assert semantic.invariant_to_translation is False


def test_a_matcher_that_declares_nothing_leaves_invariances_unknown():
    class Reversed(simplugins.Matcher):
        name = "reversed"

        def match(self, affinity):
            return np.arange(len(affinity))[::-1]

    semantic = similarity("semantic-linear", "cka", matching=Reversed())
    assert semantic.invariant_to_position is None
    assert semantic.invariant_to_translation is None
    assert semantic.invariant_to_ortho is True


def test_invariances_follow_from_the_effects_that_a_measure_declares(networks):
    by_cka, by_cosine = similarity(pooled, "cka"), similarity(pooled, "rsa-cosine")
    facts = [[getattr(mean, f"invariant_to_{change}") for change in INVARIANCES] for mean in (by_cka, by_cosine)]
    assert facts[0] == [True, True, True, True, None, None, True]
    assert facts[1] == [True, True, True, False, None, False, True]
    a, b = networks
    for change in ("ortho", "permutation", "isotropic_scaling", "translation", "position"):
        assert by_cka(changed(a, change), b) == pytest.approx(by_cka(a, b))
    assert by_cosine(changed(a, "translation"), b) != pytest.approx(by_cosine(a, b))


def test_measures_and_methods_that_declare_nothing_leave_invariances_unknown():
    for silent in (similarity(Scaled, "cka"), similarity(pooled, lambda a, b: 0.0)):
        assert silent.invariant_to_translation is None
        assert silent.invariant_to_isotropic_scaling is None
    silent = similarity(pooled, lambda a, b: 0.0)
    assert (silent.larger_is_more_similar, silent.is_symmetric, silent.is_metric) == (None, None, None)
    assert silent.invariant_to_ortho is True


@pytest.mark.parametrize("measure", [pooled, Scaled, Scaled(2.0), standardised])
def test_measures_of_third_parties_are_accepted_with_all_options(networks, measure):
    options = {"subset": [0, 2, 3, 5, 7], "dtype": np.float32, "threads": 1, "seed": 2}
    value = similarity(measure, Closeness(power=2), progress=True, **options)(*networks)
    rsms = [simplugins.compute_rsm(maps, measure, **options) for maps in networks]
    assert value == pytest.approx(simplugins.compare(*rsms, Closeness(power=2)))
    with pytest.raises(ValueError, match="matching='greedy'"):
        similarity(measure, matching="greedy")


def test_options_of_measures_apply_to_both_networks(networks):
    scaled = similarity(Scaled, Closeness, measure_options={"scale": 2.0})
    assert scaled(*networks) == pytest.approx(2 * similarity(pooled, Closeness)(*networks))
    assert scaled.name == "scaled-closeness"
    with pytest.raises(TypeError, match=r"'scael'.*'scale'"):
        similarity(Scaled, measure_options={"scael": 2.0})


@pytest.mark.parametrize("name", [plugin.name for plugin in plugins.available(GROUP)])
def test_registered_similarities_have_the_name_of_their_entry_point(name):
    registered = resolve_similarity(name)
    assert isinstance(registered, NetworkSimilarity)
    assert registered.name == name
    assert repr(registered).startswith(f"NetworkSimilarity {name}")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(14, 5, 3, 3)), rng.normal(size=(14, 7, 3, 3))
    rsms = [simplugins.compute_rsm(maps, registered.measure) for maps in (a, b)]
    assert registered(a, b, "nchw") == pytest.approx(simplugins.compare(*rsms, registered.method))
    assert registered(a, b, layout="nchw") == pytest.approx(registered(b, a))
    assert registered.is_symmetric
    assert registered.larger_is_more_similar
    assert not registered.is_metric


def test_similarities_are_resolved_by_name_class_or_object():
    class Constant:
        def __call__(self, a, b, layout="auto"):
            return 0.5

    assert resolve_similarity(len) is len
    assert resolve_similarity(Constant)(None, None) == 0.5
    with pytest.raises(ValueError, match=r"'semantic-cosine-cka-debiase'.*semantic-cosine-cka-debiased\b"):
        resolve_similarity("semantic-cosine-cka-debiase")
    with pytest.raises(TypeError, match=r"similarity\b.*\bint\b"):
        resolve_similarity(3)


def test_measures_are_registered_with_unbiased_methods():
    measures = [f"{kind}-cosine" for kind in ("semantic", "spatio-semantic", "second-order", "mean-pooled")]
    names = {f"{measure}-{method}" for measure in measures for method in ("cka-debiased", "rsa-spearman", "mutual-knn")}
    assert {plugin.name for plugin in plugins.available(GROUP)} == names
    for name in names:
        assert plugins.load(GROUP, name).name == name


def test_networks_may_differ_in_channels_and_positions(networks):
    a, _ = networks
    tokens = np.random.default_rng(3).normal(size=(8, 11, 4))
    assert 0 <= similarity()(a, tokens) <= 1
    assert similarity(method="angular-cka").larger_is_more_similar is False
    assert similarity(method="angular-cka").is_metric


def test_errors_name_the_network(networks):
    a, b = networks
    with pytest.raises(ValueError, match=r"second network \(b\).* 8 NaN"):
        similarity()(a, np.full((8, 1), np.nan))
    with pytest.raises(ValueError, match=r"\ba has 8\b.*\bb has 5"):
        similarity()(a, b[:5])
    with pytest.raises(ValueError, match="semantic-cosin"):
        similarity("semantic-cosin")
    with pytest.raises(ValueError, match="ckka"):
        similarity(method="ckka")


@pytest.mark.parametrize("options", [{"windw": 3}, {"layot": "nchw"}, {"layout": "nchw"}])
def test_unknown_options_are_refused_at_once(options):
    with pytest.raises(TypeError, match=next(iter(options))):
        similarity("semantic-cosine", "cka", **options)
    with pytest.raises(TypeError, match=next(iter(options))):
        NetworkSimilarity("semantic-cosine", "cka", options)


def test_impossible_options_are_refused_at_once():
    with pytest.raises(ValueError, match=r"sigma\b.*-1"):
        similarity("semantic-rbf", sigma=-1)
    with pytest.raises(TypeError, match="windw"):
        similarity(matching="batch-optimal", matching_options={"windw": 3})
    with pytest.raises(ValueError, match=r"spatio-semantic-cosine.*greedy"):
        similarity("spatio-semantic-cosine", matching="greedy")


def test_options_that_differ_from_the_defaults_are_shown():
    semantic = similarity("semantic-rbf", "cka", sigma=5.0, dtype="float32")
    assert dict(semantic.options) == {"sigma": 5.0, "dtype": "float32"}
    assert repr(semantic) == "NetworkSimilarity semantic-rbf-cka (dtype='float32', sigma=5.0)"


def test_a_similarity_can_be_pickled_and_copied():
    original = simplugins.similarity("semantic-rbf", Closeness(power=2), sigma=3.0)
    for again in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert again.name == original.name == "semantic-rbf-closeness"
        assert dict(again.options) == {"sigma": 3.0}
    with pytest.raises(TypeError):
        original.options["sigma"] = 2.0
    with pytest.raises(TypeError, match="scheduler's address"):
        pickle.dumps(simplugins.similarity(scheduler=object()))
