# SPDX-License-Identifier: Apache-2.0
"""Paired tests of the difference of two comparisons, against plain differences, and by simulation."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from comparison_data import METHODS as ALL_METHODS
from comparison_data import gram, reordered

import simplugins
from simplugins import difference_test
from simplugins.comparisons import compare
from simplugins.comparisons.inference import bootstrap_interval
from simplugins.comparisons.resampling import difference_p_value

METHODS = [method.name for method in ALL_METHODS]


def noisy(rng, inputs, noises=(1.0, 1.0)):
    """Return Gram matrices of features, and of these with noise of each size."""
    x = rng.normal(size=(inputs, 6))
    return [gram(x), *(gram(x + noise * rng.normal(size=x.shape)) for noise in noises)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("groups", [None, np.arange(30) // 3], ids=["inputs", "groups"])
def test_differences_are_those_of_paired_bootstrap_distributions(method, groups):
    x, near, far = noisy(np.random.default_rng(0), 30, (0.5, 1.5))
    options = {"resamples": 50, "seed": 4, "groups": groups, "confidence": 0.9}
    result = difference_test((x, near), (far, x), method, **options)
    first, second = (bootstrap_interval(*pair, method, **options) for pair in ((x, near), (far, x)))
    np.testing.assert_allclose(result.distribution, first.distribution - second.distribution, rtol=0, atol=1e-12)
    assert result.values == pytest.approx((first.value, second.value), abs=1e-12)
    assert result.difference == pytest.approx(first.value - second.value, abs=1e-12)
    quantiles = np.quantile(result.distribution, [0.05, 0.95])
    assert (result.low, result.high) == pytest.approx(tuple(quantiles), abs=1e-12)


def test_p_values_count_resamples_on_the_less_frequent_side():
    assert difference_p_value(np.r_[np.full(95, 1.0), np.full(4, -1.0)]) == pytest.approx(2 * 5 / 100)
    assert difference_p_value(np.r_[np.full(95, -1.0), np.full(3, 1.0), 0.0]) == pytest.approx(2 * 5 / 100)
    assert difference_p_value(np.full(99, 1.0)) == pytest.approx(2 / 100)
    assert difference_p_value(np.r_[np.full(99, 1.0), np.nan]) == pytest.approx(2 / 100)


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_excludes_zero_where_the_p_value_is_small(seed):
    x, near, far = noisy(np.random.default_rng(seed), 40, (0.9, 1.3))
    result = difference_test((x, near), (x, far), resamples=999)
    assert (result.p_value < 0.05) == (result.low > 0 or result.high < 0)


def test_equal_comparisons_do_not_differ():
    x, near, _ = noisy(np.random.default_rng(0), 30)
    result = difference_test((x, near), (2 * x, 3 * near), resamples=99)
    assert result.p_value == 1
    assert (result.low, result.high) == pytest.approx((0, 0), abs=1e-9)


def test_swapping_the_comparisons_changes_the_sign():
    x, near, far = noisy(np.random.default_rng(0), 30, (0.7, 1.0))
    one, other = (difference_test(*pairs, resamples=99) for pairs in (((x, near), (x, far)), ((x, far), (x, near))))
    np.testing.assert_allclose(one.distribution, -other.distribution, atol=1e-12)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)
    assert one.p_value == other.p_value


def test_measures_name_the_comparisons():
    sets = np.random.default_rng(0).normal(size=(2, 8, 5, 4))
    measures = ["semantic-cosine", "spatio-semantic-cosine"]
    a, b = (simplugins.compute_rsms(x, measures) for x in sets)
    pairs = [(a[measure], b[measure]) for measure in measures]
    result = difference_test(*pairs, resamples=40)
    assert result.names == tuple(measures)
    assert repr(result).startswith("PairedDifference cka-debiased: semantic-cosine ")
    assert difference_test(pairs[0], pairs[0], resamples=40).names == ("first", "second")
    assert difference_test(*pairs, resamples=40, names=("one", "two")).names == ("one", "two")


def test_all_inputs_are_checked_and_aligned_by_label():
    sets = np.random.default_rng(0).normal(size=(3, 8, 5, 3))
    a, b, c = (simplugins.compute_rsm(x, labels=list("abcdefgh")) for x in sets)
    turned = reordered(c, range(7, -1, -1))
    with pytest.raises(ValueError, match=r"labels.* 0 is 'a' in first\[0\], 'h' in second\[1\]"):
        difference_test((a, b), (a, turned))
    aligned = difference_test((a, b), (turned, a), resamples=40, align=True)
    np.testing.assert_allclose(
        aligned.distribution, difference_test((a, b), (c, a), resamples=40).distribution, rtol=1e-9
    )


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"first": np.eye(3)}, TypeError, "first.*pair"),
        ({"second": (np.eye(9),)}, TypeError, "second.*pair"),
        ({"second": (np.eye(9), np.eye(9))}, ValueError, r"second\[0\].*9"),
        ({"resamples": 0}, ValueError, "resamples"),
        ({"confidence": 1}, ValueError, "confidence"),
    ],
)
def test_impossible_options_are_refused(change, kind, message):
    x, near, far = noisy(np.random.default_rng(0), 12)
    with pytest.raises(kind, match=message):
        difference_test(**{"first": (x, near), "second": (x, far), **change})


def test_few_inputs_have_no_interval_and_no_p_value():
    x, near, far = noisy(np.random.default_rng(0), 5)
    with pytest.warns(RuntimeWarning, match="6 inputs"):
        result = difference_test((x, near), (x, far), "cka-debiased", resamples=40)
    assert np.isnan([result.low, result.high, result.p_value]).all()


def test_functions_are_compared_with_a_warning():
    x, near, far = noisy(np.random.default_rng(0), 12)
    with pytest.warns(RuntimeWarning, match="plain function"):
        result = difference_test((x, near), (x, far), lambda a, b: float((a * b).sum()), resamples=40)
    assert result.difference == pytest.approx((x * near).sum() - (x * far).sum())


# Simulations


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [30, 100])
@pytest.mark.parametrize("method", ["cka-debiased", "rsa-spearman"])
def test_p_values_under_the_null_hypothesis_are_uniform_or_conservative(method, inputs):
    rng = np.random.default_rng(inputs)
    related, unrelated = [], []
    draws = 200 if inputs == 30 else 100
    for seed in range(draws):
        x, one, other = noisy(rng, inputs)
        related.append(difference_test((x, one), (x, other), method, resamples=99, seed=seed).p_value)
        x, one, other = (gram(rng.normal(size=(inputs, 6))) for _ in range(3))
        unrelated.append(difference_test((x, one), (x, other), method, resamples=99, seed=seed).p_value)
    for p_values in (related, unrelated):
        for level in (0.05, 0.1, 0.3, 0.5):
            # four standard deviations of a share of the draws
            assert np.mean(np.array(p_values) <= level) < level + 4 * sqrt(level * (1 - level) / draws)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [30, 100])
@pytest.mark.parametrize("method", ["cka-debiased", "rsa-spearman"])
def test_intervals_cover_the_difference_of_the_population(method, inputs):
    rng = np.random.default_rng(inputs)

    def pairs(count):
        x, near, far = noisy(rng, count, (0.7, 1.5))
        return (x, near), (x, far)

    truth = np.mean([np.subtract(*(compare(*pair, method) for pair in pairs(1500))) for _ in range(4)])
    results = [difference_test(*pairs(inputs), method, resamples=99) for _ in range(200 if inputs == 30 else 100)]
    assert np.mean([result.low <= truth <= result.high for result in results]) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cka-debiased", "rsa-spearman"])
def test_intervals_by_groups_cover_the_mean_estimate_of_such_groups(method):
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 8))

    def sample(groups):
        x = np.repeat(rng.normal(size=(groups, 6)), 4, axis=0) + 0.7 * rng.normal(size=(4 * groups, 6))
        return gram(x), gram(x @ mixing + 2 * np.repeat(rng.normal(size=(groups, 8)), 4, axis=0))

    groups = np.repeat(range(30), 4)
    samples = [sample(30) for _ in range(200)]
    truth = np.mean([compare(*matrices, method) for matrices in samples])  # includes pairs within groups
    by_groups, by_inputs = (
        np.mean([interval.low <= truth <= interval.high for interval in intervals])
        for intervals in (
            [bootstrap_interval(*matrices, method, resamples=100, groups=groups) for matrices in samples],
            [bootstrap_interval(*matrices, method, resamples=100) for matrices in samples],
        )
    )
    assert by_groups >= 0.9
    assert by_inputs < 0.88


@pytest.mark.parametrize(("names", "error"), [(("a", "b", "c"), ValueError), ("ab", TypeError)])
def test_names_are_two(names, error):
    x = np.random.default_rng(0).normal(size=(12, 4))
    with pytest.raises(error, match="names"):
        simplugins.difference_test((x @ x.T, x @ x.T), (x @ x.T, x @ x.T), names=names, resamples=40)
