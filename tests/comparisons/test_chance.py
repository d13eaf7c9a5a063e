# SPDX-License-Identifier: Apache-2.0
"""Values of unrelated networks, and the warning that biased CKA is near them, against all permutations."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from comparison_data import METHODS, gram, indefinite, method_name
from scipy.stats import kstest

import simplugins
from simplugins.comparisons.cka import cka, expected_cka
from simplugins.comparisons.rsa import rsa_cosine

BY_CHANCE = "expected by chance"
UNBIASED = [method for method in METHODS if method.name.startswith("rsa") and method.name != "rsa-cosine"]


def mean_over_all_orders(method, a, b):
    orders = itertools.permutations(range(len(a)))
    return np.mean([method(a, b[np.ix_(order, order)]) for order in orders])


def embedded(*matrices):
    return [cka.embed(np.asarray(matrix, float), np.ones(len(matrix)))[None] for matrix in matrices]


def unrelated(seed=0, inputs=60, channels=512):
    rng = np.random.default_rng(seed)
    return [gram(np.maximum(rng.normal(size=(inputs, channels)), 0)) for _ in range(2)]


def mixed(share, seed=0, inputs=60, channels=512):
    """Return RSMs of features of which a share of the variance is common."""
    rng = np.random.default_rng(seed)
    common, *own = rng.normal(size=(3, inputs, channels))
    return [gram(np.maximum(np.sqrt(share) * common + np.sqrt(1 - share) * x, 0)) for x in own]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("inputs", [3, 5, 6])
def test_expected_cka_is_the_mean_over_all_permutations(seed, inputs):
    features = np.random.default_rng(seed).normal(size=(2, inputs, 4))
    for a, b in (tuple(map(gram, features)), (indefinite(seed, inputs), indefinite(seed + 5, inputs))):
        assert expected_cka(*embedded(a, b)).item() == pytest.approx(mean_over_all_orders(cka, a, b), abs=1e-12)


@pytest.mark.parametrize("method", [*UNBIASED, METHODS[1]], ids=method_name)
def test_other_methods_are_zero_on_average_over_all_permutations(method):
    assert mean_over_all_orders(method, indefinite(0, 6), indefinite(5, 6)) == pytest.approx(0, abs=1e-12)


def test_the_cosine_depends_on_the_means_of_both_matrices():
    a, b = indefinite(0, 6), indefinite(5, 6)
    pairs = [matrix[np.triu_indices(6, 1)] for matrix in (a, b)]
    expected = np.prod([pair.mean() / np.sqrt(np.mean(pair**2)) for pair in pairs])
    assert mean_over_all_orders(rsa_cosine, a, b) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("method", "values", "tolerance"),  # at 8, 64 and 512 channels, as the guide has them
    [
        ("cka", [0.70, 0.982, 0.999], [0.03, 0.003, 0.001]),
        ("cka-debiased", [0, 0, 0], [0.06] * 3),
        ("angular-cka", [0.80, 0.19, 0.05], [0.04, 0.01, 0.005]),
        ("rsa-pearson", [0, 0, 0], [0.1] * 3),
        ("rsa-spearman", [0, 0, 0], [0.1] * 3),
        ("rsa-kendall", [0, 0, 0], [0.1] * 3),
        ("rsa-cosine", [0.998, 0.999, 1.0], [0.002, 0.001, 0.001]),
        ("norm-difference", [0.05, 0.03, 0.01], [0.01, 0.005, 0.005]),
    ],
)
def test_independent_activations_have_the_values_of_the_guide(method, values, tolerance):
    for channels, value, within in zip((8, 64, 512), values, tolerance, strict=True):
        rng = np.random.default_rng(1)
        networks = (np.maximum(rng.normal(size=(60, channels, 5, 5)), 0).astype(np.float32) for _ in range(2))
        rsms = [simplugins.compute_rsm(maps, "semantic-cosine") for maps in networks]
        assert simplugins.compare(*rsms, method) == pytest.approx(value, abs=within)


@pytest.mark.parametrize("method", ["cka", "angular-cka"])
def test_biased_cka_near_chance_raises_one_warning(method):
    a, b = unrelated()
    expected = expected_cka(*embedded(a, b)).item()
    shown = expected if method == "cka" else np.arccos(expected)
    with pytest.warns(RuntimeWarning, match=BY_CHANCE) as caught:
        simplugins.compare(a, b, method)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith(f"{method} of rsm_a and rsm_b")
    assert f"{shown:.4g}" in message
    assert "cka-debiased" in message
    assert "calibrate" in message
    assert caught[0].filename == __file__
    layers = {name: simplugins.RSM.from_similarities(rsm) for name, rsm in (("a", a), ("b", b), ("c", unrelated(1)[0]))}
    with pytest.warns(RuntimeWarning, match=r"a\['a'\] and a\['b'\].*5 more pairs") as caught:
        simplugins.compare_layers(layers, method=method)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_nothing_warns_where_chance_is_accounted_for():
    a, b = unrelated()
    rsm, other = map(simplugins.RSM.from_similarities, (a, b))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simplugins.calibrate(a, b, "cka", permutations=19)
        simplugins.permutation_test(a, b, "cka", permutations=19)
        simplugins.compare_layers({"x": rsm}, {"x": other}, "cka", calibrate="max", permutations=19)
        simplugins.compare_layers({"x": rsm}, {"x": rsm}, "cka", yardsticks={"untrained": {"x": other}})
        simplugins.compare(a, b, "cka-debiased")


def warns(a, b):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        simplugins.compare(a, b, "cka")
    return any(BY_CHANCE in str(warning.message) for warning in caught)


def test_related_networks_raise_no_warning():
    assert sum(warns(*mixed(0.7, seed)) for seed in range(20)) == 0
    assert sum(warns(*mixed(0.7, seed, inputs=20)) for seed in range(20)) == 0


def test_unrelated_networks_raise_the_warning_where_chance_is_most_of_the_value():
    assert sum(warns(*unrelated(seed)) for seed in range(20)) == 20
    assert sum(warns(*unrelated(seed, channels=16)) for seed in range(20)) == 0  # the value, about 0.2, misleads nobody


# p-values and scores of unrelated networks


def random_rsms(rng, inputs):
    """Return RSMs of two unrelated networks of random widths, one of them with few directions that matter."""
    scales = np.exp(rng.normal(size=20))
    return gram(rng.normal(size=(inputs, 20)) * scales), gram(rng.normal(size=(inputs, rng.integers(5, 60))))


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [30, 300])
@pytest.mark.parametrize("method", ["cka", "cka-debiased", "rsa-spearman"])
def test_p_values_are_uniform_and_scores_zero_under_independence(method, inputs):
    rng = np.random.default_rng(inputs)
    results = [
        simplugins.calibrate(*random_rsms(rng, inputs), method, permutations=99, seed=draw) for draw in range(500)
    ]
    p_values = np.array([result.p_value for result in results])
    # a p-value is one of 100 equally likely values: spread evenly within its step, it is uniform
    spread = p_values - rng.random(500) / 100
    assert kstest(spread, "uniform").pvalue > 0.001
    above = np.array([result.score > 0 for result in results])
    assert 0.02 < above.mean() < 0.085  # 0.05, within four standard deviations of 500 draws
    assert np.median([result.score for result in results]) == 0


@pytest.mark.slow
def test_families_of_unrelated_layers_are_rarely_significant():
    """Of unrelated networks, at most 5 % have a significant cell under "max", but most under "each"."""
    any_significant = {"each": 0, "max": 0}
    for draw in range(200):
        rng = np.random.default_rng(draw)
        a, b = (
            {k: simplugins.RSM.from_similarities(gram(rng.normal(size=(30, 8)))) for k in range(6)} for _ in range(2)
        )
        for mode in any_significant:
            table = simplugins.compare_layers(a, b, calibrate=mode, permutations=99, seed=draw)
            any_significant[mode] += bool(table.calibration.significant.any())
    assert any_significant["max"] < 200 * (0.05 + 4 * np.sqrt(0.05 * 0.95 / 200))
    assert any_significant["each"] > 100
