# SPDX-License-Identifier: Apache-2.0
"""Permutation tests and bootstrap intervals, against plain loops, rsatoolbox, and what is known under independence."""

from __future__ import annotations

import dataclasses
from math import sqrt

import numpy as np
import pytest
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import compare as compare_rdms
from scipy.stats import kendalltau

import simplugins
from simplugins.comparisons import compare, resolve_method
from simplugins.comparisons import inference as significance
from simplugins.comparisons.inference import bootstrap_interval, permutation_test
from simplugins.comparisons.permuting import permuter

METHODS = [
    "cka",
    "cka-debiased",
    "angular-cka",
    "rsa-pearson",
    "rsa-spearman",
    "rsa-kendall-tau-a",
    "rsa-kendall-tau-b",
    "rsa-cosine",
    "norm-difference",
]
RSATOOLBOX = {
    "rsa-pearson": "corr",
    "rsa-spearman": "spearman",
    "rsa-kendall-tau-a": "tau-a",
    "rsa-cosine": "cosine",
}


def gram(features):
    return features @ features.T


def independent(seed, inputs=12, channels=20):
    rng = np.random.default_rng(seed)
    return [gram(rng.normal(size=(inputs, channels))) for _ in range(2)]


def related(seed, inputs=12):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(inputs, 6))
    return gram(x), gram(x @ rng.normal(size=(6, 8)) + rng.normal(size=(inputs, 8)))


def overlap(a, b):
    return float((a * b).sum())


# Permuting


@pytest.mark.parametrize("inputs", [2, 3, 7])
def test_permuted_vectors_are_those_of_permuted_matrices(inputs):
    matrix = gram(np.random.default_rng(0).normal(size=(inputs, 3)))
    orders = np.array([np.random.default_rng(seed).permutation(inputs) for seed in range(4)])
    upper = np.triu_indices(inputs, 1)
    permuted = permuter(matrix[upper], inputs)
    permuted_whole = permuter(np.concatenate([matrix.diagonal(), matrix[upper]]), inputs)
    for order, vector, whole in zip(orders, permuted(orders), permuted_whole(orders), strict=True):
        shuffled = matrix[np.ix_(order, order)]
        np.testing.assert_array_equal(vector, shuffled[upper])
        np.testing.assert_array_equal(whole, np.concatenate([shuffled.diagonal(), shuffled[upper]]))


@pytest.mark.parametrize("method", [*METHODS, overlap])
def test_the_null_distribution_is_that_of_a_plain_loop(method):
    a, b = related(0)
    rng = np.random.default_rng(3)
    orders = [rng.permutation(12) for _ in range(20)]
    expected = [compare(a, b[np.ix_(order, order)], method) for order in orders]
    found = permutation_test(a, b, method, permutations=20, seed=3)
    np.testing.assert_allclose(found.null_distribution, expected, rtol=1e-12, atol=1e-10)
    assert found.statistic == compare(a, b, method)


@pytest.mark.parametrize("method", ["cka", "rsa-spearman", "angular-cka", overlap])
def test_p_values_count_the_statistic_itself(method):
    a, b = independent(1)
    direction = -1 if method == "angular-cka" else 1
    tests = {
        alternative: permutation_test(a, b, method, permutations=39, alternative=alternative)
        for alternative in ("greater", "less", "two-sided")
    }
    found = tests["greater"]
    greater = (1 + (direction * found.null_distribution >= direction * found.statistic).sum()) / 40
    less = (1 + (direction * found.null_distribution <= direction * found.statistic).sum()) / 40
    assert tests["greater"].p_value == greater
    assert tests["less"].p_value == less
    assert tests["two-sided"].p_value == min(1, 2 * greater, 2 * less)


@pytest.mark.parametrize("method", METHODS)
def test_related_rsms_are_significantly_alike_under_any_method(method):
    a, b = related(0, inputs=20)
    assert permutation_test(a, b, method, permutations=99).p_value == 0.01
    assert permutation_test(a, a, method, permutations=99).p_value == 0.01
    assert permutation_test(a, b, method, permutations=99, alternative="less").p_value == 1


def test_permutations_that_change_nothing_are_ties():
    matrix = np.ones((4, 4)) + np.eye(4) + np.diag([1.0, 0, 0], 1) + np.diag([1.0, 0, 0], -1)
    found = permutation_test(matrix, matrix, permutations=200)
    ties = np.isclose(found.null_distribution, 1, rtol=0, atol=1e-9).sum()
    assert ties > 20
    assert found.p_value == (1 + ties) / 201


@pytest.mark.parametrize("method", ["cka", "rsa-spearman"])
def test_p_values_are_uniform_under_independence(method):
    p_values = [permutation_test(*independent(seed, inputs=8), method, permutations=49).p_value for seed in range(300)]
    shares = [np.mean(np.array(p_values) <= level) for level in (0.1, 0.3, 0.5, 0.7, 0.9)]
    # four standard deviations of a share of 300, at most
    assert shares == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=4 * sqrt(0.25 / 300))


@pytest.mark.parametrize("method", ["cka", "rsa-kendall"])
def test_results_do_not_depend_on_how_many_are_permuted_at_a_time(method, monkeypatch):
    a, b = related(0)
    whole = permutation_test(a, b, method, permutations=10).null_distribution
    monkeypatch.setattr(significance, "CHUNK_BYTES", 2000)
    np.testing.assert_allclose(permutation_test(a, b, method, permutations=10).null_distribution, whole, atol=1e-14)


def test_seeds_decide_the_permutations():
    a, b = independent(0)
    first, same, other, generated = (
        permutation_test(a, b, permutations=9, seed=seed).null_distribution
        for seed in (1, 1, 2, np.random.default_rng(1))
    )
    np.testing.assert_array_equal(first, same)
    np.testing.assert_array_equal(first, generated)
    assert not np.isclose(first, other).any()


def test_rsms_are_tested_with_their_labels():
    sets = np.random.default_rng(0).normal(size=(2, 6, 5, 3))
    a, b = (simplugins.compute_rsm(x, labels=list("abcdef")) for x in sets)
    order = [5, 4, 3, 2, 1, 0]
    turned = dataclasses.replace(b, values=b.values[np.ix_(order, order)], labels=b.labels[order])
    for test in (permutation_test, bootstrap_interval):
        with pytest.raises(ValueError, match="labels differ: input 0 is 'a' in rsm_a, 'f' in rsm_b"):
            test(a, turned)
    tests = [permutation_test(a, b, permutations=9), permutation_test(a, turned, permutations=9, align=True)]
    np.testing.assert_allclose(tests[0].null_distribution, tests[1].null_distribution, rtol=1e-12)
    intervals = [bootstrap_interval(a, b, resamples=9), bootstrap_interval(a, turned, resamples=9, align=True)]
    np.testing.assert_allclose(intervals[0].distribution, intervals[1].distribution, rtol=1e-12)


def test_a_constant_rsm_has_no_p_value():
    a, _ = independent(0)
    with pytest.warns(RuntimeWarning, match="cka is NaN, as an RSM is constant: rsm_b"):
        found = permutation_test(a, np.ones((12, 12)), permutations=9)
    assert np.isnan(found.p_value)
    assert np.isnan(found.statistic)
    assert np.isnan(found.null_distribution).all()


@pytest.mark.parametrize("test", [permutation_test, bootstrap_interval])
def test_progress_goes_to_standard_error(test, capsys):
    a, b = independent(0)
    test(a, b, **{"permutations" if test is permutation_test else "resamples": 5})
    assert capsys.readouterr() == ("", "")
    test(a, b, progress="at work")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "at work: 100%" in shown.err


@pytest.mark.parametrize("test", [permutation_test, bootstrap_interval])
def test_what_a_plain_function_raises_comes_through(test):
    def interrupted(a, b):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        test(*independent(0), interrupted)


def test_impossible_options_of_tests():
    a, b = independent(0)
    with pytest.raises(ValueError, match="permutations must be a whole number of at least 1, got 0"):
        permutation_test(a, b, permutations=0)
    with pytest.raises(ValueError, match="alternative must be one of greater, less, two-sided, got 'more'"):
        permutation_test(a, b, alternative="more")
    with pytest.raises(ValueError, match=r"resamples must be a whole number of at least 1, got 2\.5"):
        bootstrap_interval(a, b, resamples=2.5)
    with pytest.raises(ValueError, match="confidence must be a number above 0 and below 1, got 95"):
        bootstrap_interval(a, b, confidence=95)
    with pytest.raises(ValueError, match="has no plugin 'ckaa'"):
        permutation_test(a, b, "ckaa")
    with pytest.raises(ValueError, match="rsm_b is not symmetric"):
        bootstrap_interval(a, np.triu(b))


# Bootstrap


def draws(seed, inputs, number, least=2):
    """Which inputs each resample has, in order; those of too few different ones are drawn again."""
    rng = np.random.default_rng(seed)
    while number:
        drawn = np.sort(rng.integers(inputs, size=inputs))
        if len(set(drawn)) >= least:
            number -= 1
            yield drawn


def resampled_off_diagonal(matrix, drawn):
    """Similarities of all pairs of a resample, but those of an input with itself."""
    kept = [(i, j) for place, i in enumerate(drawn) for j in drawn[place + 1 :] if i != j]
    return matrix[tuple(np.transpose(kept))]


def resampled_whole(matrix, drawn):
    return matrix[np.ix_(drawn, drawn)]


def cosine(a, b):
    return (a * b).sum() / sqrt((a * a).sum() * (b * b).sum())


def biased_cka(a, b):
    centring = np.eye(len(a)) - 1 / len(a)
    return cosine(centring @ a @ centring, centring @ b @ centring)


def debiased_cka(matrices, drawn):
    """The cosine of what sums of a number for each input leave of the similarities of pairs of different inputs."""
    pairs = [(i, j) for place, i in enumerate(drawn) for j in drawn[place + 1 :] if i != j]
    design = np.zeros((len(pairs), matrices[0].shape[0]))
    for row, ends in enumerate(pairs):
        design[row, list(ends)] = 1
    values = np.array([resampled_off_diagonal(matrix, drawn) for matrix in matrices]).T
    return cosine(*(values - design @ np.linalg.lstsq(design, values, rcond=None)[0]).T)


LOOPS = {
    "cka": lambda matrices, drawn: biased_cka(*(resampled_whole(matrix, drawn) for matrix in matrices)),
    "angular-cka": lambda matrices, drawn: np.arccos(LOOPS["cka"](matrices, drawn)),
    "cka-debiased": debiased_cka,
    "norm-difference": lambda matrices, drawn: sqrt(
        2 - 2 * cosine(*(resampled_whole(matrix, drawn) for matrix in matrices))
    ),
    "rsa-kendall-tau-b": lambda matrices, drawn: (
        kendalltau(*(resampled_off_diagonal(matrix, drawn) for matrix in matrices)).statistic
    ),
} | {
    name: lambda matrices, drawn, method=method: compare_rdms(
        *(RDMs(matrix[None]).subsample_pattern("index", list(drawn)) for matrix in matrices), method=method
    ).item()
    for name, method in RSATOOLBOX.items()
}


@pytest.mark.parametrize("method", METHODS)
def test_resamples_are_those_of_a_plain_loop(method):
    matrices = related(0)
    expected = [LOOPS[method](matrices, drawn) for drawn in draws(5, 12, 8)]
    found = bootstrap_interval(*matrices, method, resamples=8, seed=5)
    np.testing.assert_allclose(found.distribution, expected, rtol=0, atol=1e-9)
    assert found.estimate == compare(*matrices, method)


def test_resamples_in_which_one_input_is_half_of_all():
    matrices = related(0, inputs=6)
    drawn = np.array([0, 0, 0, 1, 2, 3])
    found = significance._of_resample(resolve_method("cka-debiased"), *matrices, np.bincount(drawn, minlength=6))
    assert found == pytest.approx(debiased_cka(matrices, drawn), abs=1e-9)


def test_the_interval_holds_the_middle_of_the_resamples():
    found = bootstrap_interval(*related(0), "rsa-pearson", resamples=200, confidence=0.9)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(found.distribution, [0.05, 0.95])), abs=1e-15)
    assert found.low < found.estimate < found.high
    wider = bootstrap_interval(*related(0), "rsa-pearson", resamples=200, confidence=0.99)
    assert wider.low < found.low < found.high < wider.high


def test_resamples_keep_debiased_cka_of_independent_features_near_zero():
    means = {"cka-debiased": [], "cka": []}
    for seed in range(40):
        a, b = independent(seed, inputs=30)
        for method, found in means.items():
            found.append(bootstrap_interval(a, b, method, resamples=10).distribution.mean())
    assert abs(np.mean(means["cka-debiased"])) < 0.05
    assert np.mean(means["cka"]) > 0.5


@pytest.mark.parametrize("method", ["cka-debiased", "rsa-pearson"])
def test_intervals_cover_what_many_inputs_give(method):
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 8))

    def drawn(inputs):
        x = rng.normal(size=(inputs, 6))
        return gram(x), gram(x @ mixing + 2 * rng.normal(size=(inputs, 8)))

    expected = compare(*drawn(1500), method)
    found = [bootstrap_interval(*drawn(30), method, resamples=100) for _ in range(80)]
    assert np.mean([interval.low <= expected <= interval.high for interval in found]) > 0.85


def test_seeds_decide_the_resamples():
    a, b = independent(0)
    first, same, other = (bootstrap_interval(a, b, resamples=9, seed=seed).distribution for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.isclose(first, other).any()


@pytest.mark.parametrize(("method", "least"), [("cka-debiased", 4), ("rsa-spearman", 3)])
def test_resamples_of_too_few_different_inputs_are_drawn_again(method, least):
    matrices = related(0, inputs=5)
    expected = [LOOPS[method](matrices, drawn) for drawn in draws(0, 5, 10, least)]
    found = bootstrap_interval(*matrices, method, resamples=10).distribution
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_constant_resamples_are_left_out():
    matrix = np.eye(6)
    matrix[0, 1] = matrix[1, 0] = 1.0
    with pytest.warns(RuntimeWarning, match=r"^\d+ of 50 resamples are NaN$") as caught:
        found = bootstrap_interval(matrix, matrix, "rsa-pearson", resamples=50)
    missing = int(str(caught[0].message).split()[0])
    assert np.isnan(found.distribution).sum() == missing
    assert 10 < missing < 50
    assert (found.low, found.high) == (1, 1)


def test_nothing_is_known_if_all_resamples_are_constant():
    with pytest.warns(RuntimeWarning) as caught:
        found = bootstrap_interval(np.ones((5, 5)), np.eye(5), resamples=5)
    assert [str(w.message) for w in caught] == ["cka is NaN, as an RSM is constant: rsm_a", "5 of 5 resamples are NaN"]
    assert np.isnan([found.estimate, found.low, found.high]).all()


def test_a_plain_function_gets_whole_resamples_and_says_so():
    matrices = related(0)
    with pytest.warns(RuntimeWarning, match="overlap is a plain function: resamples come to it with pairs of an input"):
        found = bootstrap_interval(*matrices, overlap, resamples=5)
    expected = [overlap(*(resampled_whole(matrix, drawn) for matrix in matrices)) for drawn in draws(0, 12, 5)]
    np.testing.assert_allclose(found.distribution, expected, rtol=1e-12)
