# SPDX-License-Identifier: Apache-2.0
"""Permutation tests and bootstrap intervals, against plain loops, rsatoolbox, and known behaviour by chance."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from comparison_data import METHODS as ALL_METHODS
from comparison_data import Closeness, gram, method_name, reordered
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import compare as compare_rdms
from scipy.stats import kendalltau

import simplugins
from simplugins.comparisons import compare, resolve_method
from simplugins.comparisons.inference import bootstrap_interval, permutation_test
from simplugins.comparisons.permuting import permuter
from simplugins.comparisons.resampling import null_distribution

METHODS = [method.name for method in ALL_METHODS]
RSATOOLBOX = {
    "rsa-pearson": "corr",
    "rsa-spearman": "spearman",
    "rsa-kendall-tau-a": "tau-a",
    "rsa-cosine": "cosine",
}


def independent(seed, inputs=12, channels=20):
    rng = np.random.default_rng(seed)
    return [gram(rng.normal(size=(inputs, channels))) for _ in range(2)]


def related(seed, inputs=12):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(inputs, 6))
    return gram(x), gram(x @ rng.normal(size=(6, 8)) + rng.normal(size=(inputs, 8)))


def overlap(a, b):
    return float((a * b).sum())


class Distance:
    """A plain function's distance, which declares its direction."""

    larger_is_more_similar = False

    def __call__(self, a, b):
        return float(np.abs(a - b).sum())


# Permuting


@pytest.mark.parametrize("inputs", [2, 3, 7])
def test_permuted_vectors_equal_those_of_permuted_matrices(inputs):
    matrix = gram(np.random.default_rng(0).normal(size=(inputs, 3)))
    orders = np.array([np.random.default_rng(seed).permutation(inputs) for seed in range(4)])
    upper = np.triu_indices(inputs, 1)
    permute = permuter(matrix[upper], inputs)
    permute_whole = permuter(np.concatenate([matrix.diagonal(), matrix[upper]]), inputs)
    for order, vector, whole in zip(orders, permute(orders), permute_whole(orders), strict=True):
        shuffled = matrix[np.ix_(order, order)]
        np.testing.assert_array_equal(vector, shuffled[upper])
        np.testing.assert_array_equal(whole, np.concatenate([shuffled.diagonal(), shuffled[upper]]))


@pytest.mark.parametrize("method", [*METHODS, overlap, Closeness], ids=method_name)
def test_the_null_distribution_equals_that_of_a_plain_loop(method):
    a, b = related(0)
    rng = np.random.default_rng(3)
    orders = [rng.permutation(12) for _ in range(20)]
    expected = [compare(a, b[np.ix_(order, order)], method) for order in orders]
    result = permutation_test(a, b, method, permutations=20, seed=3)
    np.testing.assert_allclose(result.null_distribution, expected, rtol=1e-12, atol=1e-10)
    assert result.value == compare(a, b, method)
    assert result.method == resolve_method(method).name


@pytest.mark.parametrize("method", ["cka", "rsa-spearman", "angular-cka", overlap, Distance], ids=method_name)
def test_p_values_count_the_statistic_itself(method):
    a, b = independent(1)
    direction = -1 if method in ("angular-cka", Distance) else 1
    tests = {
        alternative: permutation_test(a, b, method, permutations=39, alternative=alternative)
        for alternative in ("greater", "less", "two-sided")
    }
    null, statistic = (direction * value for value in (tests["greater"].null_distribution, tests["greater"].value))
    greater = (1 + (null >= statistic).sum()) / 40
    less = (1 + (null <= statistic).sum()) / 40
    assert tests["greater"].p_value == greater
    assert tests["less"].p_value == less
    assert tests["two-sided"].p_value == min(1, 2 * greater, 2 * less)


@pytest.mark.parametrize("method", METHODS)
def test_related_rsms_are_significantly_similar_under_every_method(method):
    a, b = related(0, inputs=20)
    assert permutation_test(a, b, method, permutations=99).p_value == 0.01
    assert permutation_test(a, a, method, permutations=99).p_value == 0.01
    assert permutation_test(a, b, method, permutations=99, alternative="less").p_value == 1


def test_permutations_without_effect_are_ties():
    matrix = np.ones((6, 6)) + np.eye(6)
    matrix[0, 1] = matrix[1, 0] = 1.5
    result = permutation_test(matrix, matrix, permutations=200)
    ties = np.isclose(result.null_distribution, 1, rtol=0, atol=1e-9).sum()
    assert ties > 5
    assert result.p_value == (1 + ties) / 201


@pytest.mark.parametrize("method", ["cka", "rsa-spearman"])
def test_p_values_are_uniform_under_independence(method):
    p_values = [permutation_test(*independent(seed, inputs=8), method, permutations=49).p_value for seed in range(300)]
    shares = [np.mean(np.array(p_values) <= level) for level in (0.1, 0.3, 0.5, 0.7, 0.9)]
    # at most four standard deviations of a share of 300
    assert shares == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=4 * sqrt(0.25 / 300))


@pytest.mark.parametrize("method", ["cka", "rsa-kendall"])
def test_results_are_independent_of_the_chunk_size(method):
    matrices = related(0)
    expected = permutation_test(*matrices, method, permutations=10).null_distribution
    rng = np.random.default_rng(0)
    in_chunks = null_distribution(resolve_method(method), *matrices, 10, rng, chunk_bytes=2000)
    np.testing.assert_allclose(in_chunks, expected, atol=1e-14)


def test_a_seed_determines_the_permutations():
    a, b = independent(0)
    first, same, different, generated = (
        permutation_test(a, b, permutations=9, seed=seed).null_distribution
        for seed in (1, 1, 2, np.random.default_rng(1))
    )
    np.testing.assert_array_equal(first, same)
    np.testing.assert_array_equal(first, generated)
    assert not np.isclose(first, different).any()


def test_labels_are_checked_and_aligned():
    sets = np.random.default_rng(0).normal(size=(2, 6, 5, 3))
    a, b = (simplugins.compute_rsm(x, labels=list("abcdef")) for x in sets)
    turned = reordered(b, [5, 4, 3, 2, 1, 0])
    for test in (permutation_test, bootstrap_interval):
        with pytest.raises(ValueError, match=r"labels.* 0 is 'a' in rsm_a, 'f' in rsm_b"):
            test(a, turned)
    tests = [permutation_test(a, b, permutations=9), permutation_test(a, turned, permutations=9, align=True)]
    np.testing.assert_allclose(tests[0].null_distribution, tests[1].null_distribution, rtol=1e-12)
    intervals = [bootstrap_interval(a, b, resamples=40), bootstrap_interval(a, turned, resamples=40, align=True)]
    np.testing.assert_allclose(intervals[0].distribution, intervals[1].distribution, rtol=1e-12)


def test_a_constant_rsm_has_no_p_value():
    a, _ = independent(0)
    with pytest.warns(RuntimeWarning, match="cka.*NaN.*rsm_b"):
        result = permutation_test(a, np.ones((12, 12)), permutations=9)
    assert np.isnan(result.p_value)
    assert np.isnan(result.value)
    assert np.isnan(result.null_distribution).all()


@pytest.mark.parametrize("test", [permutation_test, bootstrap_interval])
def test_progress_goes_to_standard_error(test, capsys):
    a, b = independent(0)
    test(a, b, **{"permutations" if test is permutation_test else "resamples": 40})
    assert capsys.readouterr() == ("", "")
    test(a, b, progress="at work")
    output = capsys.readouterr()
    assert output.out == ""
    assert "at work: 100%" in output.err


@pytest.mark.parametrize("test", [permutation_test, bootstrap_interval])
def test_exceptions_of_a_function_propagate(test):
    def interrupted(a, b):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        test(*independent(0), interrupted)


@pytest.mark.parametrize(
    ("test", "options", "message"),
    [
        (permutation_test, {"permutations": 0}, r"permutations\b.*\b0"),
        (permutation_test, {"alternative": "more"}, "alternative.*'more'"),
        (permutation_test, {"method": "ckaa"}, "'ckaa'"),
        (bootstrap_interval, {"resamples": 2.5}, r"resamples\b.*2\.5"),
        (bootstrap_interval, {"confidence": 95}, r"confidence\b.*\b95"),
    ],
)
def test_impossible_options_are_refused(test, options, message):
    with pytest.raises(ValueError, match=message):
        test(*independent(0), **options)


@pytest.mark.parametrize("test", [permutation_test, bootstrap_interval])
def test_asymmetric_matrices_are_refused(test):
    a, b = independent(0)
    with pytest.raises(ValueError, match=r"rsm_b.*symmetric"):
        test(a, np.triu(b))


# Bootstrap


def draws(seed, inputs, number, least=2):
    """Yield the sorted inputs of each resample; resamples of too few different inputs are drawn again."""
    rng = np.random.default_rng(seed)
    while number:
        drawn = np.sort(rng.integers(inputs, size=inputs))
        if len(set(drawn)) >= least:
            number -= 1
            yield drawn


def resampled_off_diagonal(matrix, drawn):
    """Return the similarities of all pairs of different inputs of a resample."""
    pairs = [(i, j) for place, i in enumerate(drawn) for j in drawn[place + 1 :] if i != j]
    return matrix[tuple(np.transpose(pairs))]


def resampled_whole(matrix, drawn):
    return matrix[np.ix_(drawn, drawn)]


def cosine(a, b):
    return (a * b).sum() / sqrt((a * a).sum() * (b * b).sum())


def biased_cka(a, b):
    centring = np.eye(len(a)) - 1 / len(a)
    return cosine(centring @ a @ centring, centring @ b @ centring)


def debiased_cka(matrices, drawn):
    """Return the cosine of the residuals of additive fits to the similarities of pairs of different inputs."""
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
def test_resamples_equal_those_of_a_plain_loop(method):
    matrices = related(0)
    expected = [LOOPS[method](matrices, drawn) for drawn in draws(5, 12, 40)]
    result = bootstrap_interval(*matrices, method, resamples=40, seed=5)
    np.testing.assert_allclose(result.distribution, expected, rtol=0, atol=1e-9)
    assert result.value == compare(*matrices, method)


def test_resamples_in_which_one_input_fills_half():
    matrices = related(0, inputs=6)
    drawn = np.array([0, 0, 0, 1, 2, 3])
    value = resolve_method("cka-debiased").resampled(*matrices)(np.bincount(drawn, minlength=6))
    assert value == pytest.approx(debiased_cka(matrices, drawn), abs=1e-9)


def test_the_interval_encloses_the_middle_of_the_resamples():
    result = bootstrap_interval(*related(0), "rsa-pearson", resamples=200, confidence=0.9)
    expected = tuple(np.quantile(result.distribution, [0.05, 0.95]))
    assert (result.low, result.high) == pytest.approx(expected, abs=1e-15)
    assert result.low < result.value < result.high
    wider = bootstrap_interval(*related(0), "rsa-pearson", resamples=200, confidence=0.99)
    assert wider.low < result.low < result.high < wider.high


def test_results_have_a_one_line_repr():
    a, b = related(0)
    test = permutation_test(a, b, "rsa-pearson", permutations=19, alternative="two-sided")
    assert repr(test) == f"PermutationTest rsa-pearson {test.value:.4g}: p = 0.1 (two-sided, 19 permutations)"
    result = bootstrap_interval(a, b, "rsa-pearson", resamples=50, confidence=0.9)
    ends = f"[{result.low:.4g}, {result.high:.4g}]"
    assert repr(result) == f"BootstrapInterval rsa-pearson {result.value:.4g} {ends} at 90 %, 50 resamples"


def test_resamples_keep_debiased_cka_of_independent_features_near_zero():
    means = {"cka-debiased": [], "cka": []}
    for seed in range(20):
        a, b = independent(seed, inputs=30)
        for method, values in means.items():
            values.append(bootstrap_interval(a, b, method, resamples=40).distribution.mean())
    assert abs(np.mean(means["cka-debiased"])) < 0.05
    assert np.mean(means["cka"]) > 0.5


@pytest.mark.parametrize("method", ["cka-debiased", "rsa-pearson"])
def test_intervals_cover_the_value_of_many_inputs(method):
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 8))

    def sample(inputs):
        x = rng.normal(size=(inputs, 6))
        return gram(x), gram(x @ mixing + 2 * rng.normal(size=(inputs, 8)))

    expected = compare(*sample(1500), method)
    intervals = [bootstrap_interval(*sample(30), method, resamples=100) for _ in range(80)]
    assert np.mean([interval.low <= expected <= interval.high for interval in intervals]) > 0.85


def test_a_seed_determines_the_resamples():
    a, b = independent(0)
    first, same, different = (bootstrap_interval(a, b, resamples=40, seed=seed).distribution for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.isclose(first, different).any()


@pytest.mark.parametrize(("method", "least"), [("cka-debiased", 4), ("rsa-spearman", 3)])
def test_resamples_of_too_few_different_inputs_are_drawn_again(method, least):
    matrices = related(0, inputs=6)
    expected = [LOOPS[method](matrices, drawn) for drawn in draws(0, 6, 40, least)]
    distribution = bootstrap_interval(*matrices, method, resamples=40).distribution
    np.testing.assert_allclose(distribution, expected, rtol=0, atol=1e-9)


def test_functions_declare_the_least_number_of_inputs_of_a_resample():
    def overlap(a, b):
        assert len({tuple(row) for row in a.round(9)}) >= 4
        return float((a * b).sum())

    overlap.least_inputs = 4
    with pytest.warns(RuntimeWarning, match="overlap"):
        bootstrap_interval(*related(0, inputs=6), overlap, resamples=40)


def test_constant_resamples_are_left_out():
    matrix = np.eye(6)
    matrix[0, 1] = matrix[1, 0] = 1.0
    with pytest.warns(RuntimeWarning, match=r"^\d+ of 200 resamples are NaN$") as caught:
        result = bootstrap_interval(matrix, matrix, "rsa-pearson", resamples=200)
    missing = int(str(caught[0].message).split()[0])
    assert np.isnan(result.distribution).sum() == missing
    assert 40 < missing < 160
    assert (result.low, result.high) == (1, 1)


def test_the_interval_is_nan_if_all_resamples_are_constant():
    with pytest.warns(RuntimeWarning) as caught:
        result = bootstrap_interval(np.ones((5, 5)), np.eye(5), "cka", resamples=5)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2
    assert "rsm_a" in messages[0]
    assert "5 of 5" in messages[1]
    assert np.isnan([result.value, result.low, result.high]).all()


def test_functions_receive_whole_resamples_with_a_warning():
    matrices = related(0)
    with pytest.warns(RuntimeWarning, match="overlap"):
        result = bootstrap_interval(*matrices, overlap, resamples=40)
    expected = [overlap(*(resampled_whole(matrix, drawn) for matrix in matrices)) for drawn in draws(0, 12, 40)]
    np.testing.assert_allclose(result.distribution, expected, rtol=1e-12)
