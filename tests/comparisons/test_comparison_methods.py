# SPDX-License-Identifier: Apache-2.0
"""All methods: values by hand and by other tools, declared facts, extreme and constant matrices."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from math import acos, pi, sqrt

import numpy as np
import pytest
import torch
from ckatorch import cka_base
from comparison_data import (
    METHODS,
    gram,
    indefinite,
    method_name,
    related_features,
    related_grams,
    squared_distances,
    unchecked,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import compare as compare_rdms
from scipy.stats import kendalltau, rankdata

import simplugins
from simplugins.comparisons import compare
from simplugins.comparisons.cka import angular_cka, cka, cka_debiased
from simplugins.comparisons.kendall import tau_a, tau_b
from simplugins.comparisons.norm_difference import norm_difference
from simplugins.comparisons.rsa import ranks, rsa_cosine, rsa_pearson, rsa_spearman

RSATOOLBOX = {
    "rsa-pearson": "corr",
    "rsa-spearman": "spearman",
    "rsa-kendall-tau-a": "tau-a",
    "rsa-kendall-tau-b": "tau-b",
    "rsa-cosine": "cosine",
}
# Derived once by hand from `related_features`, and confirmed with several tools for CKA and RSA.
BY_HAND = {
    "cka": 0.806586650962,
    "cka-debiased": 0.696740713107,
    "angular-cka": 0.632441590607,
}
BY_HAND_OF_SQUARED_DISTANCES = {
    "cka": 0.806586650962,
    "rsa-spearman": 0.618787182966,
    "rsa-pearson": 0.625171330293,
    "rsa-cosine": 0.938040444144,
    "rsa-kendall-tau-a": 0.457343,
    "rsa-kendall": 0.457343,
}

every_method = pytest.mark.parametrize("method", METHODS, ids=method_name)


def rdms(matrix):
    return RDMs(matrix[None])


def matched_rsms(photos):
    """RSMs of matched positions, which are indefinite in general."""
    layers = (photos["block10"], photos["block15"])
    return [simplugins.compute_rsm(layer[:12], "semantic-linear").values for layer in layers]


PAIRS = {
    "features": related_grams,
    "indefinite": lambda: (indefinite(1), indefinite(2)),
    "ties": lambda: (np.round(indefinite(3)), np.round(indefinite(4))),
    "many-ties": lambda: (np.sign(indefinite(3, 30)), np.round(indefinite(4, 30) / 2)),
}


@pytest.fixture(params=[*PAIRS, "matched"])
def two(request):
    if request.param == "matched":
        return matched_rsms(request.getfixturevalue("photos"))
    return PAIRS[request.param]()


# Values by other tools and by hand


@pytest.mark.parametrize("name", RSATOOLBOX)
def test_rsa_agrees_with_rsatoolbox(two, name):
    expected = compare_rdms(*map(rdms, two), method=RSATOOLBOX[name]).item()
    assert compare(*two, name) == pytest.approx(expected, abs=1e-9)


def test_cka_is_the_whitened_cosine_of_squared_distances_in_rsatoolbox(two):
    expected = compare_rdms(*(rdms(squared_distances(matrix)) for matrix in two), method="cosine_cov").item()
    assert compare(*two, "cka") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("inputs", [5, 64])
def test_cka_agrees_with_ckatorch_on_features(unbiased, inputs):
    rng = np.random.default_rng(inputs)
    x, y = rng.normal(size=(inputs, 6)), rng.normal(size=(inputs, 3)) + 1
    expected = cka_base(torch.from_numpy(x), torch.from_numpy(y), unbiased=unbiased, method="fro_norm").item()
    assert compare(gram(x), gram(y), "cka-debiased" if unbiased else "cka") == pytest.approx(expected, abs=1e-9)


def test_debiased_cka_is_the_ratio_of_unbiased_hsics(two):
    def hsic(k, m):
        n = len(k)
        k, m = k - np.diag(k.diagonal()), m - np.diag(m.diagonal())
        cross = k.sum() * m.sum() / (n - 1) / (n - 2) - 2 * (k @ m).sum() / (n - 2)
        return (np.trace(k @ m) + cross) / (n * (n - 3))

    a, b = two
    expected = hsic(a, b) / sqrt(hsic(a, a) * hsic(b, b))
    assert compare(a, b, "cka-debiased") == pytest.approx(expected, abs=1e-9)


def test_angular_cka_is_the_arc_cosine_of_cka(two):
    assert compare(*two, "angular-cka") == pytest.approx(acos(compare(*two, "cka")), abs=1e-12)


def test_norm_difference_follows_its_formula(two):
    a, b = (matrix / np.linalg.norm(matrix) for matrix in two)
    assert compare(*two, "norm-difference") == pytest.approx(np.linalg.norm(a - b), abs=1e-12)


def test_kendall_is_tau_b_of_scipy(two):
    expected = kendalltau(*(matrix[np.triu_indices(len(matrix), 1)] for matrix in two)).statistic
    assert compare(*two, "rsa-kendall") == pytest.approx(expected, abs=1e-12)


def test_kendall_tau_a_counts_concordant_minus_discordant_pairs(two):
    a, b = (matrix[np.triu_indices(len(matrix), 1)] for matrix in two)
    first, second = np.triu_indices(len(a), 1)
    balance = (np.sign(a[first] - a[second]) * np.sign(b[first] - b[second])).sum()
    assert compare(*two, "rsa-kendall-tau-a") == pytest.approx(balance / len(first), abs=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_ranks_agree_with_scipy(values):
    np.testing.assert_array_equal(ranks(np.array(values, float)), rankdata(values))


@pytest.mark.parametrize("name", BY_HAND)
def test_inner_products_match_values_by_hand(name):
    assert compare(*related_grams(), name) == pytest.approx(BY_HAND[name], abs=1e-12)


@pytest.mark.parametrize("name", BY_HAND_OF_SQUARED_DISTANCES)
def test_squared_distances_match_values_by_hand(name):
    expected = BY_HAND_OF_SQUARED_DISTANCES[name]
    value = compare(*(unchecked(squared_distances(matrix)) for matrix in related_grams()), name)
    assert value == pytest.approx(expected, abs=1e-6 if expected < 0.5 else 1e-12)


# Declared facts


def transformed(invariance, matrix, rng):
    shifts = rng.normal(size=len(matrix))
    if invariance == "monotone":
        result = np.exp(matrix / np.abs(matrix).max())
        np.fill_diagonal(result, matrix.diagonal())
        return result
    return {
        "scaling": lambda: 3.7 * matrix,
        "constant": lambda: matrix + 2.5,
        "translation": lambda: matrix + shifts[:, None] + shifts,
        "diagonal": lambda: matrix + np.diag(3 * shifts),
    }[invariance]()


INVARIANCES = ["scaling", "constant", "translation", "diagonal", "monotone"]


@every_method
@pytest.mark.parametrize("invariance", INVARIANCES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_exactly_the_declared_invariances_hold(method, invariance, seed):
    rng = np.random.default_rng(seed)
    a, b = (gram(rng.normal(size=(12, 5))) + 0.3 * indefinite(seed + k, 12) for k in range(2))
    expected = method(a, b)
    changes = [
        method(transformed(invariance, a, rng), b) - expected,
        method(a, transformed(invariance, b, rng)) - expected,
    ]
    if invariance in method.invariances:
        assert changes == pytest.approx([0, 0], abs=1e-10)
    else:
        assert np.abs(changes).max() > 1e-4


def test_every_declared_invariance_is_tested():
    assert set(INVARIANCES) == set().union(*(method.invariances for method in METHODS))


@every_method
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), inputs=st.integers(4, 9))
def test_order_of_inputs_and_of_matrices_has_no_effect(method, seed, inputs):
    a, b = indefinite(seed, inputs), indefinite(seed + 1, inputs)
    order = np.random.default_rng(seed).permutation(inputs)
    index = np.ix_(order, order)
    assert method.is_symmetric
    assert method(b, a) == pytest.approx(method(a, b), abs=1e-12)
    assert method(a[index], b[index]) == pytest.approx(method(a, b), abs=1e-10)


@every_method
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), inputs=st.integers(4, 9))
def test_values_lie_in_the_declared_range_and_reach_its_ends(method, seed, inputs):
    low, high = method.range
    a = indefinite(seed, inputs)
    assert low <= method(a, indefinite(seed + 1, inputs)) <= high
    assert method(a, a) == (high if method.larger_is_more_similar else low)
    assert method(a, unchecked(-a)) == pytest.approx(low if method.larger_is_more_similar else high, abs=1e-7)


@pytest.mark.parametrize("method", [m for m in METHODS if m.is_metric], ids=method_name)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), nearness=st.floats(1e-4, 10))
def test_metrics_obey_the_triangle_inequality_on_indefinite_matrices(method, seed, nearness):
    a, c = indefinite(seed, 5), indefinite(seed + 1, 5)
    b = a + nearness * indefinite(seed + 2, 5)
    for first, second, between in itertools.permutations((a, b, c)):
        assert method(first, second) <= method(first, between) + method(between, second) + 1e-9


def test_only_distances_declare_that_they_are_metrics():
    distances = {"angular-cka", "norm-difference"}
    assert {method.name for method in METHODS if method.is_metric} == distances
    assert {method.name for method in METHODS if not method.larger_is_more_similar} == distances


def test_positive_semidefinite_matrices_have_narrower_ranges():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, b = (gram(rng.normal(size=(8, 2))) for _ in range(2))
        assert 0 <= cka(a, b) <= 1
        assert angular_cka(a, b) <= pi / 2
        assert norm_difference(a, b) <= sqrt(2)


def test_methods_are_frozen_and_their_repr_shows_their_facts():
    with pytest.raises(dataclasses.FrozenInstanceError):
        cka.name = "other"
    assert repr(cka).startswith("Method(name='cka', larger_is_more_similar=True")


# Extreme and constant matrices


@every_method
@pytest.mark.parametrize("scale", [1e-160, 1e-200, 1e150, 1e300])
def test_extreme_values_neither_overflow_nor_vanish(method, scale):
    a, b = (matrix / np.abs(matrix).max() for matrix in related_grams())
    assert method(scale * a, b / scale) == pytest.approx(method(a, b), abs=1e-9)


def test_debiased_cka_ignores_a_huge_diagonal():
    a, b = related_grams()
    assert cka_debiased(a + 1e200 * np.eye(12), b) == pytest.approx(cka_debiased(a, b), abs=1e-12)


def test_independent_features_have_debiased_cka_near_zero_and_high_biased_cka():
    rng = np.random.default_rng(0)
    a, b = (gram(rng.normal(size=(64, 512))) for _ in range(2))
    assert cka(a, b) > 0.8
    assert abs(cka_debiased(a, b)) < 0.1


def test_correlations_flip_between_similarities_and_dissimilarities():
    a, b = (np.corrcoef(features) for features in related_features())
    for method in (rsa_pearson, rsa_spearman, tau_a, tau_b):
        assert method(unchecked(1 - a), unchecked(1 - b)) == pytest.approx(method(a, b), abs=1e-12)
        assert method(unchecked(1 - a), b) == pytest.approx(-method(a, b), abs=1e-12)
    assert abs(rsa_cosine(unchecked(1 - a), unchecked(1 - b)) - rsa_cosine(a, b)) > 0.1


def test_asymmetry_from_rounding_has_no_effect():
    a, b = related_grams()
    rounded = (gram(features.astype(np.float32)).astype(float) for features in related_features())
    skewed = a * (1 + 1e-6 * np.triu(np.random.default_rng(0).normal(size=a.shape)))
    assert cka(*rounded) == pytest.approx(cka(a, b), abs=1e-6)
    assert cka(skewed, b) == pytest.approx(cka(a, b), abs=1e-6)
    assert cka(skewed, b) == cka(skewed.T.copy(), b)


def test_small_variation_is_not_mistaken_for_rounding():
    a, b = related_grams()
    assert rsa_pearson(1 + 1e-9 * a, b) == pytest.approx(rsa_pearson(a, b), abs=1e-5)


DEFINED_FOR_CONSTANTS = {"rsa-kendall-tau-a", "rsa-cosine", "norm-difference"}
CONSTANTS = [np.full((5, 5), 0.1), np.full((200, 200), 1 / 3), np.zeros((5, 5))]


@pytest.mark.parametrize("method", [m for m in METHODS if m.name not in DEFINED_FOR_CONSTANTS], ids=method_name)
@pytest.mark.parametrize("constant", CONSTANTS, ids=["tenths", "thirds", "zeros"])
def test_a_constant_rsm_yields_nan_with_one_warning(method, constant):
    varying = indefinite(0, len(constant))
    with pytest.warns(RuntimeWarning, match=f"{method.name}.*NaN.*constant.*: rsm_b$") as caught:
        assert np.isnan(compare(varying, constant, method))
    assert len(caught) == 1
    with pytest.warns(RuntimeWarning, match=r": matrices_a\[1\], matrices_b\['c'\]$") as caught:
        values = method.pairwise([varying, constant], {"b": varying, "c": constant, "d": varying})
    np.testing.assert_array_equal(np.isnan(values), [[False, True, False], [True, True, True]])
    assert len(caught) == 1


@pytest.mark.parametrize("method", [rsa_cosine, norm_difference], ids=method_name)
def test_a_zero_rsm_has_no_direction(method):
    with pytest.warns(RuntimeWarning, match=f"{method.name}.*NaN.*: a$"):
        assert np.isnan(method(np.zeros((4, 4)), np.eye(4) + 1))
    assert np.isfinite(method(np.ones((4, 4)), np.eye(4) + 1))


def test_tau_a_of_a_constant_rsm_is_zero():
    assert tau_a(np.ones((4, 4)), indefinite(0, 4)) == 0


@pytest.mark.parametrize("method", [cka, cka_debiased, angular_cka], ids=method_name)
def test_additive_rsms_are_constant_to_cka(method):
    additive = np.add.outer(np.arange(6.0), np.arange(6.0)) / 3
    with pytest.warns(RuntimeWarning, match=r"NaN.*: a$"):
        assert np.isnan(method(additive, indefinite(0, 6)))


def test_ordinary_matrices_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS:
            method.pairwise([indefinite(0), indefinite(1)], [indefinite(2)])
