# SPDX-License-Identifier: Apache-2.0
"""Partial correlations of RSMs, against mne_rsa, least squares in NumPy, and the partial distance correlation."""

from __future__ import annotations

import numpy as np
import pytest
from comparison_data import gram, indefinite
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

import simplugins
from simplugins.comparisons.resampling import draw

OPTIONS = {"resamples": 40, "permutations": 9}


def confounded(seed=0, inputs=15):
    """Return two RSMs that share two others, and these."""
    rng = np.random.default_rng(seed)
    layout, colour = rng.normal(size=(2, inputs, 3))
    a, b = (np.hstack([layout, colour, rng.normal(size=(inputs, 3))]) for _ in range(2))
    return [gram(x) for x in (a, b, layout, colour)]


def of_pairs(matrix):
    return matrix[np.triu_indices(len(matrix), 1)]


def left(values, others):
    """Return the residuals of a regression with an intercept."""
    design = np.column_stack([np.ones(len(values)), *others])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


@pytest.mark.parametrize(("ours", "theirs"), [("rsa-pearson", "partial"), ("rsa-spearman", "partial-spearman")])
@pytest.mark.parametrize("matrices", [confounded(), [indefinite(seed, 12) for seed in range(4)]])
def test_estimates_equal_those_of_mne_rsa(matrices, ours, theirs):
    mne_rsa = pytest.importorskip("mne_rsa", reason="pip install --no-deps mne-rsa==1.0")
    a, *others = [1000 - of_pairs(matrix) for matrix in matrices]
    (expected,) = mne_rsa.rsa_gen([a], others, metric=theirs)
    for count in range(3):
        order = np.roll([1, 2, 3], -count)
        b, *given = (matrices[k] for k in order)
        result = simplugins.partial_correlation(matrices[0], b, given=given, method=ours, **OPTIONS)
        assert result.value == pytest.approx(expected[count], abs=1e-10)


@pytest.mark.parametrize("method", ["rsa-pearson", "rsa-spearman"])
def test_estimates_are_correlations_of_residuals(method):
    a, b, *given = confounded(1)
    vectors = [of_pairs(matrix) for matrix in (a, b, *given)]
    if method == "rsa-spearman":
        vectors = [rankdata(vector) for vector in vectors]
    rest_a, rest_b = (left(vector, vectors[2:]) for vector in vectors[:2])
    result = simplugins.partial_correlation(a, b, given=given, method=method, **OPTIONS)
    assert result.value == pytest.approx(np.corrcoef(rest_a, rest_b)[0, 1], abs=1e-12)
    assert result.semipartial == pytest.approx(np.corrcoef(vectors[0], rest_b)[0, 1], abs=1e-12)
    assert result.correlation == pytest.approx(np.corrcoef(*vectors[:2])[0, 1], abs=1e-12)
    explained = [1 - left(vectors[0], rows).var() / vectors[0].var() for rows in (vectors[1:], vectors[2:])]
    assert result.semipartial**2 == pytest.approx(explained[0] - explained[1], abs=1e-12)


def test_debiased_estimates_of_distances_are_partial_distance_correlations():
    rng = np.random.default_rng(0)
    distances = [squareform(pdist(rng.normal(size=(10, 3)))) for _ in range(3)]
    distances[0] += distances[2]
    distances[1] += distances[2]
    n = 10

    def u_centred(d):
        sums = d.sum(0)
        centred = d - sums / (n - 2) - sums[:, None] / (n - 2) + d.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(centred, 0)
        return centred

    x, y, z = map(u_centred, distances)
    x, y = (matrix - (matrix * z).sum() / (z * z).sum() * z for matrix in (x, y))
    expected = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
    shifted = [20 - d for d in distances]
    result = simplugins.partial_correlation(*shifted[:2], given=shifted[2], **OPTIONS)
    assert result.value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", ["cka", "cka-debiased", "rsa-cosine", "rsa-pearson"])
def test_linear_combinations_of_given_rsms_do_not_matter(method):
    a, b, c, d = confounded(2)
    result = simplugins.partial_correlation(a, b, given=[c, d], method=method, **OPTIONS)
    changed = simplugins.partial_correlation(
        a + 2 * c, 3 * b + d, given={"x": c + d, "y": c, "again": 2 * d}, method=method, **OPTIONS
    )
    assert changed.value == pytest.approx(result.value, abs=1e-9)
    assert changed.given == ("x", "y", "again")


def test_the_test_permutes_what_is_left_of_the_first():
    a, b, *given = confounded(3, inputs=9)
    result = simplugins.partial_correlation(a, b, given=given, method="rsa-pearson", permutations=20, seed=4)
    rng = np.random.default_rng(4)
    others = [of_pairs(matrix) for matrix in given]
    rest_a, rest_b = squareform(left(of_pairs(a), others)), left(of_pairs(b), others)
    for value in result.null_distribution:
        order = rng.permutation(9)
        permuted = left(of_pairs(rest_a[np.ix_(order, order)]), others)
        assert value == pytest.approx(np.corrcoef(permuted, rest_b)[0, 1], abs=1e-10)
    assert result.p_value == (1 + (result.null_distribution >= result.value).sum()) / 21
    less = simplugins.partial_correlation(
        a, b, given=given, method="rsa-pearson", permutations=20, seed=4, alternative="less"
    )
    assert less.p_value == (1 + (result.null_distribution <= result.value).sum()) / 21


@pytest.mark.parametrize("method", ["rsa-pearson", "rsa-spearman"])
def test_the_interval_is_made_of_resampled_estimates(method):
    a, b, *given = confounded(4, inputs=10)
    result = simplugins.partial_correlation(a, b, given=given, method=method, resamples=50, seed=2)
    rng = np.random.default_rng(2)
    expected = []
    for _ in range(50):
        numbers = np.repeat(np.arange(10), draw(rng, 10, 5))
        upper = np.triu_indices(10, 1)
        different = numbers[upper[0]] != numbers[upper[1]]
        vectors = [matrix[np.ix_(numbers, numbers)][upper][different] for matrix in (a, b, *given)]
        if method == "rsa-spearman":
            vectors = [rankdata(vector) for vector in vectors]
        expected.append(np.corrcoef(*(left(vector, vectors[2:]) for vector in vectors[:2]))[0, 1])
    np.testing.assert_allclose(result.distribution, expected, atol=1e-10)
    assert (result.low, result.high) == pytest.approx(np.quantile(expected, [0.025, 0.975]))


def test_groups_are_permuted_and_drawn_together():
    a, b, *given = confounded(7, inputs=12)
    groups = np.repeat(np.arange(6), 2)
    options = {"given": given, "method": "rsa-pearson", "groups": groups, "seed": 1}
    result = simplugins.partial_correlation(a, b, permutations=25, resamples=45, **options)
    others = [of_pairs(matrix) for matrix in given]
    rest_a, rest_b = squareform(left(of_pairs(a), others)), left(of_pairs(b), others)
    rng = np.random.default_rng(1)
    for value in result.null_distribution:
        order = (2 * rng.permutation(6)[:, None] + [0, 1]).ravel()
        permuted = left(of_pairs(rest_a[np.ix_(order, order)]), others)
        assert value == pytest.approx(np.corrcoef(permuted, rest_b)[0, 1], abs=1e-10)
    rng = np.random.default_rng(1)
    upper = np.triu_indices(12, 1)
    for value in result.distribution:
        counts = draw(rng, 12, 5, groups)
        weights = counts[upper[0]] * np.where(groups[upper[0]] == groups[upper[1]], 1, counts[upper[1]])
        vectors = [np.repeat(of_pairs(matrix), weights) for matrix in (a, b, *given)]
        expected = np.corrcoef(*(left(vector, vectors[2:]) for vector in vectors[:2]))[0, 1]
        assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("which", ["rsm_a", "rsm_b"])
def test_what_given_determines_is_nan(which):
    a, b, c, d = confounded(5)
    sides = {"rsm_a": a, "rsm_b": b, which: 2 * c + d}
    with pytest.warns(RuntimeWarning, match=f"given determines {which}"):
        result = simplugins.partial_correlation(**sides, given=[c, d], method="rsa-pearson", **OPTIONS)
    assert np.isnan([result.value, result.p_value, result.low]).all()


def test_inputs_are_aligned_by_label():
    a, b, c, _ = confounded(6)
    labels = np.array([f"image{k}" for k in range(15)])
    order = np.random.default_rng(0).permutation(15)
    first = simplugins.RSM.from_similarities(a, labels=labels)
    others = [simplugins.RSM.from_similarities(m[np.ix_(order, order)], labels=labels[order]) for m in (b, c)]
    expected = simplugins.partial_correlation(a, b, given=c, **OPTIONS)
    result = simplugins.partial_correlation(first, others[0], given=others[1], align=True, **OPTIONS)
    assert result.value == pytest.approx(expected.value, abs=1e-12)
    with pytest.raises(ValueError, match="labels differ"):
        simplugins.partial_correlation(first, others[0], given=others[1], **OPTIONS)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "rsa-kendall"}, "rsa-kendall.*cka-debiased, cka, rsa-pearson"),
        ({"method": "norm-difference"}, "norm-difference"),
        ({"method": lambda a, b: 1.0}, "cosine"),
        ({"alternative": "more"}, "alternative.*'more'"),
        ({"given": []}, "given.*at least one"),
        ({"given": indefinite(2, 7)}, "given has 7"),
        ({"given": [indefinite(2, 8), indefinite(2, 7)]}, r"given\['1'\] has 7"),
        ({"given": [indefinite(seed, 8) for seed in range(6)]}, "given 6 RSMs needs at least 10 inputs"),
        ({"permutations": 0}, "permutations"),
        ({"confidence": 2}, "confidence"),
    ],
)
def test_impossible_options_are_errors(options, match):
    with pytest.raises(ValueError, match=match):
        simplugins.partial_correlation(indefinite(0, 8), indefinite(1, 8), **{"given": indefinite(2, 8), **options})


@pytest.mark.slow
def test_the_level_holds_if_both_depend_on_the_given_rsm():
    rejections = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        c = rng.normal(size=(20, 4))
        a, b = (np.hstack([c, 0.5 * rng.normal(size=(20, 4))]) for _ in range(2))
        result = simplugins.partial_correlation(
            gram(a), gram(b), given=gram(c), method="rsa-pearson", permutations=39, resamples=40
        )
        rejections.append(result.p_value <= 0.05)
    assert abs(np.mean(rejections) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 400)
