# SPDX-License-Identifier: Apache-2.0
"""Resamples and permutations of whole groups, against plain loops over pairs, exact enumeration, and rsatoolbox."""

from __future__ import annotations

import itertools
from math import sqrt

import numpy as np
import pytest
from comparison_data import METHODS as ALL_METHODS
from comparison_data import gram
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import compare as compare_rdms
from scipy.stats import kendalltau, spearmanr

import simplugins
from simplugins.comparisons import compare, resolve_method
from simplugins.comparisons.inference import bootstrap_interval, permutation_test
from simplugins.comparisons.resampling import draw

METHODS = [method.name for method in ALL_METHODS]
GROUPS = [4, 4, 1, 1, 1, 0, 9, 9, 9, 2, 2, 1, 7, 7]


def related(seed, groups=GROUPS):
    """Return two related Gram matrices in which inputs of a group are alike."""
    rng = np.random.default_rng(seed)
    _, numbers = np.unique(groups, return_inverse=True)
    x = rng.normal(size=(numbers.max() + 1, 6))[numbers] + 0.5 * rng.normal(size=(len(groups), 6))
    return gram(x), gram(x @ rng.normal(size=(6, 8)) + rng.normal(size=(len(groups), 8)))


def drawn_groups(seed, number, groups=GROUPS):
    """Yield the groups of each resample, by the numbers of their first occurrence."""
    names = list(dict.fromkeys(groups))
    rng = np.random.default_rng(seed)
    for _ in range(number):
        yield [names[k] for k in rng.integers(len(names), size=len(names))]


def copies(drawn, groups=GROUPS):
    """Return (copy, input) for each input of each group that was drawn."""
    return [(copy, i) for copy, group in enumerate(drawn) for i in np.flatnonzero(np.array(groups) == group)]


def pairs(drawn, groups=GROUPS):
    """Return all pairs of inputs of a resample, except those of different copies of a group."""
    return [
        (i, j)
        for (first, i), (second, j) in itertools.combinations(copies(drawn, groups), 2)
        if first == second or groups[i] != groups[j]
    ]


def cosine(a, b):
    return (a * b).sum() / sqrt((a * a).sum() * (b * b).sum())


def of_whole(matrices, drawn):
    inputs = [i for _, i in copies(drawn)]
    return [matrix[np.ix_(inputs, inputs)] for matrix in matrices]


def of_pairs(matrices, drawn, groups=GROUPS):
    index = tuple(np.transpose(pairs(drawn, groups)))
    return [matrix[index] for matrix in matrices]


def debiased_cka(matrices, drawn, groups=GROUPS):
    ends = pairs(drawn, groups)
    design = np.zeros((len(ends), len(matrices[0])))
    for row, (i, j) in enumerate(ends):
        design[row, [i, j]] = 1
    values = np.transpose(of_pairs(matrices, drawn, groups))
    residuals = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return cosine(*residuals.T) if np.abs(residuals).max() > 1e-9 else np.nan


def centred(matrix):
    centring = np.eye(len(matrix)) - 1 / len(matrix)
    return centring @ matrix @ centring


LOOPS = {
    "cka": lambda *case: cosine(*map(centred, of_whole(*case))),
    "angular-cka": lambda *case: np.arccos(cosine(*map(centred, of_whole(*case)))),
    "norm-difference": lambda *case: sqrt(2 - 2 * cosine(*of_whole(*case))),
    "cka-debiased": debiased_cka,
    "rsa-pearson": lambda *case: np.corrcoef(*of_pairs(*case))[0, 1],
    "rsa-spearman": lambda *case: spearmanr(*of_pairs(*case)).statistic,
    "rsa-cosine": lambda *case: cosine(*of_pairs(*case)),
    "rsa-kendall-tau-b": lambda *case: kendalltau(*of_pairs(*case)).statistic,
}
"""What each method returns for all pairs of a resample; tau-a, without ties in the sample, is tested with tau-b."""


@pytest.mark.parametrize("method", sorted(LOOPS))
def test_resamples_of_groups_equal_those_of_a_plain_loop(method):
    matrices = related(0)
    result = bootstrap_interval(*matrices, method, resamples=40, seed=3, groups=GROUPS)
    expected = [LOOPS[method](matrices, drawn) for drawn in drawn_groups(3, 40)]
    np.testing.assert_allclose(result.distribution, expected, rtol=0, atol=1e-9)
    assert result.value == compare(*matrices, method)


@pytest.mark.parametrize("copies_of_groups", [[3, 1, 3], [3, 2], [2, 1, 4], [1, 3]])
@pytest.mark.parametrize("sizes", [[1, 3, 4], [4, 3], [2, 2, 1]])
def test_debiased_cka_of_extreme_resamples_is_that_of_least_squares(sizes, copies_of_groups):
    number = min(len(sizes), len(copies_of_groups))
    groups = np.repeat(range(number), sizes[:number]).tolist()
    drawn = np.repeat(range(number), copies_of_groups[:number]).tolist()
    matrices = related(1, groups)
    counts = np.array(copies_of_groups)[groups]
    value = resolve_method("cka-debiased").resampled(*matrices, np.array(groups))(counts)
    expected = debiased_cka(matrices, drawn, groups)
    assert value == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("method", ["rsa-pearson", "cka-debiased"])
def test_the_distribution_is_that_of_all_resamples_of_few_groups(method):
    groups = [0, 0, 1, 1, 2, 2]
    matrices = related(0, groups)
    compare_resample = resolve_method(method).resampled(*matrices, np.array(groups))
    every = [drawn for drawn in itertools.product(range(3), repeat=3) if len(set(drawn)) > 1]
    exact = [compare_resample(np.bincount(drawn, minlength=3)[groups]) for drawn in every]
    with pytest.warns(RuntimeWarning, match=r"5 groups: 3"):
        sampled = bootstrap_interval(*matrices, method, resamples=20_000, groups=groups).distribution
    values, numbers = np.unique(np.round(exact, 9), return_counts=True)
    sampled_values, sampled_numbers = np.unique(np.round(sampled, 9), return_counts=True)
    np.testing.assert_array_equal(sampled_values, values)
    # four standard deviations of a share of 20,000
    np.testing.assert_allclose(sampled_numbers / 20_000, numbers / len(every), atol=4 * sqrt(0.25 / 20_000))


@pytest.mark.parametrize("method", METHODS)
def test_groups_of_one_input_change_nothing(method):
    matrices = related(0)
    names = [f"input {number}" for number in range(len(GROUPS))]
    plain, grouped = (bootstrap_interval(*matrices, method, resamples=40, groups=groups) for groups in (None, names))
    np.testing.assert_allclose(grouped.distribution, plain.distribution, rtol=0, atol=1e-12)
    assert (grouped.low, grouped.high) == pytest.approx((plain.low, plain.high), abs=1e-12)
    tests = [permutation_test(*matrices, method, permutations=19, groups=groups) for groups in (None, names)]
    np.testing.assert_array_equal(tests[0].null_distribution, tests[1].null_distribution)


@pytest.mark.parametrize("method", ["rsa-pearson", "rsa-spearman"])
def test_resamples_equal_those_of_rsatoolbox_without_pairs_of_copies_of_a_group(method):
    matrices = related(0)
    descriptors = {"group": GROUPS, "input": list(range(len(GROUPS)))}
    result = bootstrap_interval(*matrices, method, resamples=40, groups=GROUPS).distribution
    for value, drawn in zip(result, drawn_groups(0, 40), strict=True):
        rdms = [RDMs(m[None], pattern_descriptors=descriptors).subsample_pattern("group", drawn) for m in matrices]
        inputs = list(rdms[0].pattern_descriptors["input"])
        copy = np.array([inputs[:place].count(i) for place, i in enumerate(inputs)])
        group = np.array(GROUPS)[inputs]
        upper = np.triu_indices(len(group), 1)
        crossing = ((group[:, None] == group) & (copy[:, None] != copy))[upper]
        for rdm in rdms:
            rdm.dissimilarities[:, crossing] = np.nan
        expected = compare_rdms(*rdms, method=method.removeprefix("rsa-").replace("pearson", "corr")).item()
        assert value == pytest.approx(expected, abs=1e-9)


def test_missing_pairs_are_left_out_of_resamples_of_groups():
    a, b = related(0)
    a[0, 6] = a[6, 0] = np.nan
    result = bootstrap_interval(a, b, "rsa-pearson", resamples=40, groups=GROUPS, missing="omit")
    expected = []
    for drawn in drawn_groups(0, 40):
        values = np.array(of_pairs((a, b), drawn))
        expected.append(np.corrcoef(values[:, ~np.isnan(values).any(0)])[0, 1])
    np.testing.assert_allclose(result.distribution, expected, rtol=0, atol=1e-9)


def test_labels_of_the_rsm_are_groups_if_asked():
    matrices = [simplugins.RSM.from_similarities(matrix, labels=GROUPS) for matrix in related(0)]
    by_name = bootstrap_interval(*matrices, resamples=40, groups="labels")
    by_values = bootstrap_interval(*matrices, resamples=40, groups=GROUPS)
    np.testing.assert_array_equal(by_name.distribution, by_values.distribution)
    with pytest.raises(ValueError, match=r"'labels'.*none"):
        bootstrap_interval(*related(0), groups="labels")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (GROUPS[1:], r"groups.*14.*13"),
        ("photo", r"groups.*'photo'"),
        ([1] * 14, r"groups.*one"),
        (simplugins.partial_labels(["a", None, *"bcdefghijklm"]), r"groups.*input 1\b"),
        ([1, None, *range(12)], r"groups"),
    ],
)
@pytest.mark.parametrize("test", [bootstrap_interval, permutation_test])
def test_impossible_groups_are_refused(test, groups, message):
    with pytest.raises(ValueError, match=message):
        test(*related(0), groups=groups)


def test_few_groups_have_no_interval():
    groups = np.repeat(range(4), 5)
    with pytest.warns(RuntimeWarning, match=r"5 groups: 4"):
        result = bootstrap_interval(*related(0, groups), resamples=40, groups=groups)
    assert np.isnan([result.low, result.high]).all()


def test_draws_are_of_whole_groups():
    rng = np.random.default_rng(0)
    _, numbers = np.unique(GROUPS, return_inverse=True)
    for _ in range(50):
        counts = draw(rng, len(GROUPS), 4, numbers)
        by_group = {group: set(counts[numbers == group]) for group in range(6)}
        assert all(len(values) == 1 for values in by_group.values())
        assert sum(values.pop() for values in by_group.values()) == 6
        assert np.count_nonzero(counts) >= 4


# Permutations


def test_permutations_exchange_whole_groups():
    groups = [0, 1, 2, 3, 3, 2, 1, 0, 0, 1, 2, 3]
    a, b = related(0, groups)
    members = [[0, 7, 8], [1, 6, 9], [2, 5, 10], [3, 4, 11]]
    expected = []
    for order in list(itertools.permutations(range(4)))[1:]:
        places = np.empty(12, int)
        for group, source in enumerate(order):
            places[members[group]] = members[source]
        expected.append(compare(a, b[np.ix_(places, places)], "rsa-spearman"))
    result = permutation_test(a, b, "rsa-spearman", groups=groups)
    assert result.exact
    np.testing.assert_allclose(np.sort(result.null_distribution), np.sort(expected), rtol=1e-12)


def test_groups_of_different_sizes_cannot_be_exchanged():
    with pytest.raises(ValueError, match=r"groups.*1 to 4"):
        permutation_test(*related(0), groups=GROUPS)


def test_few_groups_have_large_p_values():
    groups = np.repeat(range(3), 4)
    with pytest.warns(RuntimeWarning, match=r"3 groups.*6 orders"):
        assert permutation_test(*related(0, groups), groups=groups).p_value >= 1 / 6


def test_p_values_of_dependent_inputs_are_uniform_only_by_groups():
    groups = np.repeat(range(8), 3)
    p_values = {"inputs": [], "groups": []}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        a, b = (gram(rng.normal(size=(8, 20))[groups] + 0.5 * rng.normal(size=(24, 20))) for _ in range(2))
        p_values["inputs"].append(permutation_test(a, b, "rsa-pearson", permutations=39).p_value)
        p_values["groups"].append(permutation_test(a, b, "rsa-pearson", permutations=39, groups=groups).p_value)
    assert np.mean(np.array(p_values["inputs"]) <= 0.05) > 0.9  # inputs of one group are alike in both RSMs
    shares = [np.mean(np.array(p_values["groups"]) <= level) for level in (0.1, 0.3, 0.5, 0.7, 0.9)]
    # at most four standard deviations of a share of 200
    assert shares == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=4 * sqrt(0.25 / 200))
