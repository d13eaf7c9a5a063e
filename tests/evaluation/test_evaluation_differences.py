# SPDX-License-Identifier: Apache-2.0
"""Intervals by groups of queries, and paired tests of retrieval and of correlations with outputs."""

from __future__ import annotations

import itertools
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

import simplugins
from simplugins import evaluation
from simplugins.comparisons import resampling

LABELS = np.repeat(["a", "b", "c", "d", "e", "f"], 4)
PHOTOS = [0, 0, 1, 1, 2, 3, 3, 3, 4, 5, 5, 6, 7, 7, 7, 7, 8, 9, 9, 10, 11, 11, 12, 12]


def similarities(seed, noise=1.0):
    rng = np.random.default_rng(seed)
    x = np.eye(6)[np.repeat(range(6), 4)] + noise * rng.normal(size=(24, 6))
    return np.corrcoef(x)


def resampled_means(values, groups, number, seed=0):
    """Return the means of resamples of groups, by a plain loop."""
    names = list(dict.fromkeys(np.asarray(groups).tolist()))
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(number):
        drawn = [names[k] for k in rng.integers(len(names), size=len(names))]
        means.append(np.mean(np.concatenate([values[np.asarray(groups) == name] for name in drawn])))
    return np.array(means)


def test_retrieval_draws_whole_groups_of_queries():
    result = evaluation.retrieval(similarities(0), LABELS, groups=PHOTOS, resamples=200)
    values = result.per_query["precision@1"]
    expected = np.quantile(resampled_means(values, PHOTOS, 200), [0.025, 0.975])
    metric = result.metrics["precision@1"]
    assert (metric.low, metric.high) == pytest.approx(tuple(expected), abs=1e-12)
    assert metric.value == values.mean()


def test_the_means_are_those_of_all_resamples_of_few_groups():
    values, groups = np.array([0.0, 0.3, 1.0, 0.2]), np.array([0, 0, 1, 2])
    exact = [np.mean(np.concatenate([values[groups == k] for k in d])) for d in itertools.product(range(3), repeat=3)]
    sampled = resampling.resampled_means(values, 20_000, np.random.default_rng(0), groups)
    expected, numbers = np.unique(np.round(exact, 9), return_counts=True)
    found, found_numbers = np.unique(np.round(sampled, 9), return_counts=True)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found_numbers / 20_000, numbers / 27, atol=4 * sqrt(0.25 / 20_000))


def test_labels_of_the_rsm_are_groups_of_queries():
    rsm = simplugins.RSM.from_similarities(similarities(0), labels=LABELS)
    one, other = (evaluation.retrieval(rsm, groups=groups, resamples=50) for groups in ("labels", LABELS))
    assert one.metrics == other.metrics


def test_equal_values_of_few_groups_have_wide_intervals():
    rsm = similarities(0, noise=0.01)
    by_queries, by_groups = (evaluation.retrieval(rsm, LABELS, groups=groups) for groups in (None, LABELS))
    assert by_queries.metrics["precision@1"].low == pytest.approx(0.025 ** (1 / 24))
    assert by_groups.metrics["precision@1"].low == pytest.approx(0.025 ** (1 / 6))


def test_few_groups_of_queries_have_no_interval():
    with pytest.warns(RuntimeWarning, match=r"5 groups of queries.*\(4\)"):
        result = evaluation.retrieval(similarities(0), LABELS, groups=np.repeat(range(4), 6))
    assert np.isnan(result.metrics["mAP"].low)


# Differences in retrieval


@pytest.mark.parametrize("groups", [None, PHOTOS])
@pytest.mark.parametrize(("metric", "key"), [("mAP", "AP"), ("AP", "AP"), ("precision@2", "precision@2")])
def test_differences_of_retrieval_are_paired_by_query(groups, metric, key):
    results = [evaluation.retrieval(similarities(0, noise), LABELS, k=2) for noise in (0.7, 1.5)]
    test = evaluation.retrieval_difference(*results, metric, groups=groups, resamples=100, names=("sharp", "noisy"))
    values = results[0].per_query[key] - results[1].per_query[key]
    expected = resampled_means(values, range(24) if groups is None else groups, 100)
    np.testing.assert_allclose(test.distribution, expected, atol=1e-12)
    assert test.difference == pytest.approx(values.mean())
    assert test.values == pytest.approx(tuple(result.per_query[key].mean() for result in results))
    assert test.names == ("sharp", "noisy")


def test_queries_without_a_value_in_either_result_are_left_out():
    labels = [*LABELS[:-1], "g"]  # the last query has no relevant input
    results = [evaluation.retrieval(similarities(0, noise), labels) for noise in (0.7, 1.5)]
    test = evaluation.retrieval_difference(*results, "recall@1", groups=PHOTOS, resamples=50)
    values = (results[0].per_query["recall@1"] - results[1].per_query["recall@1"])[:-1]
    np.testing.assert_allclose(test.distribution, resampled_means(values, PHOTOS[:-1], 50), atol=1e-12)


def test_retrieval_without_any_value_has_no_difference():
    results = [evaluation.retrieval(similarities(seed), list(range(24))) for seed in (0, 1)]
    with pytest.warns(RuntimeWarning):
        test = evaluation.retrieval_difference(*results, "mAP", resamples=50)
    assert np.isnan([*test.values, test.low, test.high, test.p_value]).all()


def test_impossible_differences_of_retrieval_are_refused():
    result = evaluation.retrieval(similarities(0), LABELS)
    with pytest.raises(ValueError, match=r"metric.*mAP.*'precision@3'"):
        evaluation.retrieval_difference(result, result, "precision@3")
    with pytest.raises(ValueError, match=r"24.*23"):
        evaluation.retrieval_difference(result, evaluation.retrieval(similarities(0)[:23, :23], LABELS[:23]), "mAP")
    with pytest.raises(TypeError, match=r"second.*ndarray"):
        evaluation.retrieval_difference(result, similarities(0), "mAP")


@pytest.mark.slow
@pytest.mark.parametrize("queries", [30, 100])
def test_p_values_of_retrieval_under_the_null_hypothesis_are_near_their_level(queries):
    rng = np.random.default_rng(queries)
    template = evaluation.retrieval(similarities(0), LABELS)
    p_values = []
    for _ in range(400):
        scores = rng.beta(0.5, 0.5, size=(3, queries))
        pair = [replace(template, per_query={"AP": one + scores[2]}) for one in scores[:2]]
        p_values.append(evaluation.retrieval_difference(*pair, "mAP", resamples=399).p_value)
    for level in (0.05, 0.1, 0.5):
        # the percentile bootstrap of a mean of N values is a little too narrow
        assert abs(np.mean(np.array(p_values) <= level) - level) < 0.01 + 4 * sqrt(level * (1 - level) / 400)


# Differences in the correlation with outputs


def test_differences_of_output_correlations_are_those_of_their_distributions():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), size=24)
    rsms = [similarities(0), similarities(1)]
    for groups in (None, PHOTOS):
        options = {"resamples": 60, "seed": 3, "groups": groups}
        test = evaluation.output_difference(*rsms, probabilities, **options)
        first, second = (evaluation.output_correlation(rsm, probabilities, **options).spearman for rsm in rsms)
        np.testing.assert_allclose(test.distribution, first.distribution - second.distribution, atol=1e-12)
        assert test.difference == pytest.approx(first.value - second.value)
        pearson = evaluation.output_difference(*rsms, probabilities, "pearson", **options)
        assert pearson.quantity == "rsa-pearson"
    upper = np.triu_indices(24, 1)
    divergences = [jensenshannon(probabilities[i], probabilities[j]) ** 2 for i, j in zip(*upper, strict=True)]
    expected = [spearmanr(rsm[upper], divergences).statistic for rsm in rsms]
    assert test.values == pytest.approx(tuple(expected))


def test_groups_of_outputs_may_be_the_labels_of_the_rsm(photos):
    measures = ["semantic-cosine", "spatio-semantic-cosine"]
    rsms = simplugins.compute_rsms(photos["block10"], measures, labels=photos["photo"])
    test = evaluation.output_difference(*rsms.values(), photos["probabilities"], groups="labels", resamples=50)
    other = evaluation.output_difference(*rsms.values(), photos["probabilities"], groups=photos["photo"], resamples=50)
    np.testing.assert_array_equal(test.distribution, other.distribution)
    assert test.names == tuple(measures)
    with pytest.raises(ValueError, match=r"correlation.*'kendall'"):
        evaluation.output_difference(*rsms.values(), photos["probabilities"], "kendall")


def test_predictions_of_other_inputs_are_an_error():
    x = np.random.default_rng(0).normal(size=(12, 4))
    with pytest.raises(ValueError, match=r"probabilities.*12.*9"):
        evaluation.output_difference(x @ x.T, x @ x.T, np.full((9, 3), 1 / 3))
