# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon, squareform
from scipy.special import softmax
from scipy.stats import pearsonr, spearmanr

import simplugins
from simplugins.evaluation import jensen_shannon, output_correlation


@pytest.mark.parametrize(("inputs", "classes"), [(9, 2), (40, 10), (9, 1000)])
def test_divergences_are_the_squares_of_scipys_distances(inputs, classes):
    rng = np.random.default_rng(classes)
    p = softmax(rng.normal(size=(inputs, classes)) * 4, axis=1)
    p[2] = p[5]
    p[3] = 0
    p[3, 1] = 1
    p[4, ::2] = 0
    p[4] /= p[4].sum()
    divergences = jensen_shannon(p)
    expected = [[jensenshannon(a, b) ** 2 for b in p] for a in p]
    np.testing.assert_allclose(divergences, expected, atol=1e-15)
    np.testing.assert_array_equal(divergences, divergences.T)
    assert not divergences.diagonal().any()
    assert divergences[2, 5] == 0
    assert divergences.max() <= np.log(2) + 1e-15


def test_nearly_equal_predictions_have_divergences_near_zero():
    rng = np.random.default_rng(0)
    p = np.full((100, 10), 0.1) * (1 + 1e-9 * rng.normal(size=(100, 10)))
    divergences = jensen_shannon(p)  # SciPy's distances are partly NaN, the roots of sums that rounding made negative
    assert divergences.min() >= 0
    assert divergences.max() < 1e-12


def test_correlations_equal_those_of_scipy(photos):
    rsm = simplugins.compute_rsm(photos["block15"])
    result = output_correlation(rsm, photos["probabilities"], resamples=200)
    p = photos["probabilities"].astype(np.float64)
    expected = [[jensenshannon(a, b) ** 2 for b in p] for a in p]
    np.testing.assert_allclose(result.divergences, expected, atol=1e-12)
    pairs = squareform(rsm.values, checks=False), squareform(np.array(expected), checks=False)
    assert result.pearson.value == pytest.approx(pearsonr(*pairs).statistic)
    assert result.spearman.value == pytest.approx(spearmanr(*pairs).statistic)
    assert result.pearson.low < result.pearson.value < result.pearson.high < 0
    assert f"Pearson {result.pearson.value:.4f}" in repr(result)
    assert "\n" not in repr(result)


@pytest.mark.parametrize(
    ("p", "error", "match"),
    [
        ([[0.5, 0.5], [1.2, -0.2]], ValueError, r"probabilities.*-0\.2\b.*input 1, class 1"),
        ([[0.5, 0.5], [0.5, 0.6]], ValueError, r"probabilities.*\b1\.1 for input 1"),
        ([[0.5, 0.5], [np.nan, 0.6]], ValueError, "probabilities.*NaN"),
        ([0.5, 0.5], ValueError, r"probabilities.*\(2,\)"),
        ([["a"]], TypeError, "probabilities"),
    ],
)
def test_invalid_probabilities_raise(p, error, match):
    with pytest.raises(error, match=match):
        jensen_shannon(p)


def test_unequal_numbers_of_inputs_raise():
    with pytest.raises(ValueError, match=r"\b3\b.*\b2\b"):
        output_correlation(np.eye(3), [[0.5, 0.5], [1.0, 0.0]])
