# SPDX-License-Identifier: Apache-2.0
"""Few inputs: intervals that cannot be estimated are NaN, and p-values are exact and say how small they can be."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from comparison_data import METHODS, Closeness, gram, method_name

import simplugins
from simplugins.comparisons.resampling import different_resamples, inputs_for_interval, least_resamples
from simplugins.evaluation import output_correlation


def grams(inputs, seed=0):
    rng = np.random.default_rng(seed)
    return [gram(rng.normal(size=(inputs, 6))) for _ in range(2)]


# Intervals


@pytest.mark.parametrize(("inputs", "least"), [(2, 1), (3, 2), (4, 3), (5, 3), (5, 5), (6, 4)])
def test_different_resamples_are_counted(inputs, least):
    drawn = itertools.combinations_with_replacement(range(inputs), inputs)
    expected = sum(len(set(sample)) >= least for sample in drawn)
    assert different_resamples(inputs, least, 10**6) == expected
    assert different_resamples(inputs, least, 3) == min(3, expected)


@pytest.mark.parametrize("method", [*METHODS, Closeness()], ids=method_name)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.filterwarnings("ignore:closeness is a plain function")
def test_intervals_of_too_few_inputs_are_nan_with_a_warning(method, confidence):
    needed = inputs_for_interval(method.least_inputs, confidence)
    for inputs in range(method.least_inputs, needed):
        with pytest.warns(RuntimeWarning, match=rf"{method.name}.* needs at least {needed} inputs") as caught:
            result = simplugins.bootstrap_interval(*grams(inputs), method, confidence=confidence, resamples=60)
        assert sum("needs at least" in str(warning.message) for warning in caught) == 1
        assert np.isfinite(result.value)
        assert np.isnan([result.low, result.high]).all()
    result = simplugins.bootstrap_interval(*grams(needed), method, confidence=confidence, resamples=60)
    assert result.low < result.high


@pytest.mark.parametrize(("confidence", "needed"), [(0.95, 40), (0.9, 20), (0.99, 200), (0.5, 4)])
def test_intervals_of_too_few_resamples_are_nan_with_a_warning(confidence, needed):
    assert least_resamples(confidence) == needed
    with pytest.warns(RuntimeWarning, match=rf"{needed - 1} resamples.*at least {needed}$"):
        result = simplugins.bootstrap_interval(*grams(9), resamples=needed - 1, confidence=confidence)
    assert np.isnan([result.low, result.high]).all()
    assert result.distribution.size == needed - 1
    result = simplugins.bootstrap_interval(*grams(9), resamples=needed, confidence=confidence)
    assert result.low < result.high


def test_correlations_with_predictions_have_no_interval_for_few_inputs():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), size=4)
    with pytest.warns(RuntimeWarning, match="at least 5 inputs"):
        result = output_correlation(grams(4)[0], probabilities)
    assert np.isnan([result.pearson.low, result.spearman.high]).all()


@pytest.mark.parametrize(("inputs", "batch_size", "batches"), [(4, 4, 1), (40, 4, 1), (40, 4, 4)])
def test_estimates_from_inputs_that_contribute_alike_have_no_interval(inputs, batch_size, batches):
    x = np.random.default_rng(0).normal(size=(inputs, 5))
    y = x + np.random.default_rng(1).normal(size=x.shape)
    for other, value in ((y, None), (x, 1)):
        if value == 1 and batches * batch_size >= 5:
            continue
        with pytest.warns(RuntimeWarning, match=r"interval of CKA needs at least 5 inputs"):
            estimate = simplugins.estimate_cka(x, other, batch_size=batch_size, batches=batches)
        assert np.isnan([estimate.low, estimate.high]).all()
        assert -1 <= estimate.value <= 1
    more = simplugins.estimate_cka(*np.random.default_rng(2).normal(size=(2, 40, 5)), batch_size=4, batches=10)
    assert more.low < more.value < more.high


def test_a_network_compared_with_itself_has_an_estimate_of_one():
    x = np.random.default_rng(0).normal(size=(40, 5))
    estimate = simplugins.estimate_cka(x, x, batch_size=8, batches=5)
    assert (estimate.low, estimate.value, estimate.high) == pytest.approx((1, 1, 1), abs=1e-12)


# Permutations


@pytest.mark.parametrize("inputs", [4, 5, 6])
@pytest.mark.parametrize("method", ["cka", "rsa-spearman", "norm-difference", Closeness()], ids=method_name)
def test_all_permutations_are_used_if_there_are_no_more(inputs, method):
    a, b = grams(inputs)
    orders = list(itertools.permutations(range(inputs)))
    values = np.array([simplugins.compare(a, b[np.ix_(order, order)], method) for order in orders])
    test = simplugins.permutation_test(a, b, method)
    assert test.exact
    np.testing.assert_allclose(test.null_distribution, values[1:], atol=1e-9)
    sign = -1 if method == "norm-difference" else 1
    assert test.p_value == np.mean(sign * values >= sign * values[0] - 1e-9)
    assert f"all {len(orders) - 1} permutations" in repr(test)
    sampled = simplugins.permutation_test(a, b, method, permutations=len(orders) - 2)
    assert not sampled.exact
    assert sampled.null_distribution.size == len(orders) - 2


@pytest.mark.parametrize(("inputs", "least"), [(3, "0.17"), (2, "0.5")])
def test_p_values_of_very_few_inputs_say_how_small_they_can_be(inputs, least):
    a, _ = grams(inputs)
    with pytest.warns(RuntimeWarning, match=rf"{inputs} inputs have only .*at least {least}$"):
        result = simplugins.permutation_test(a, a, "norm-difference")
    assert result.p_value >= float(least) - 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simplugins.permutation_test(*grams(4), "norm-difference")


# The least number of inputs


@pytest.mark.parametrize("method", ["cka", "angular-cka", "rsa-cosine", "rsa-pearson", "rsa-kendall"])
def test_values_that_are_the_same_for_all_rsms_of_two_inputs_are_refused(method):
    with pytest.raises(ValueError, match="at least 3 inputs, got 2"):
        simplugins.compare(*grams(2), method)


@pytest.mark.parametrize("method", METHODS, ids=method_name)
def test_the_least_inputs_allow_different_values(method):
    values = {round(method(*grams(method.least_inputs, seed)), 6) for seed in range(20)}
    assert len(values) > 2
