# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon, squareform
from scipy.special import softmax
from scipy.stats import pearsonr, spearmanr

import simplugins
from simplugins.evaluation import jensen_shannon, output_correlation
from simplugins.evaluation import output_correlation as outputs


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_divergences_are_the_squares_of_scipy_s(classes, monkeypatch):
    rng = np.random.default_rng(classes)
    p = softmax(rng.normal(size=(9, classes)) * 4, axis=1)
    p[2] = p[5]
    p[3] = 0
    p[3, 1] = 1
    p[4, ::2] = 0
    p[4] /= p[4].sum()
    monkeypatch.setattr(outputs, "ROWS", 2)
    found = jensen_shannon(p)
    expected = [[jensenshannon(a, b) ** 2 for b in p] for a in p]
    np.testing.assert_allclose(found, expected, atol=1e-15)
    np.testing.assert_array_equal(found, found.T)
    assert not found.diagonal().any()
    assert found[2, 5] == 0
    assert found.max() <= np.log(2) + 1e-15


def test_real_predictions_correlate_with_similarities_as_scipy_says(photos):
    rsm = simplugins.compute_rsm(photos["block15"])
    found = output_correlation(rsm, photos["probabilities"], resamples=200)
    p = photos["probabilities"].astype(np.float64)
    expected = [[jensenshannon(a, b) ** 2 for b in p] for a in p]
    np.testing.assert_allclose(found.divergences, expected, atol=1e-12)
    pairs = squareform(rsm.values, checks=False), squareform(np.array(expected), checks=False)
    assert found.pearson.estimate == pytest.approx(pearsonr(*pairs).statistic)
    assert found.spearman.estimate == pytest.approx(spearmanr(*pairs).statistic)
    assert found.pearson.low < found.pearson.estimate < found.pearson.high < 0
    assert repr(found).startswith(f"OutputCorrelation over 24 inputs: Pearson {found.pearson.estimate:.4f} (")


@pytest.mark.parametrize(
    ("p", "error", "match"),
    [
        ([[0.5, 0.5], [1.2, -0.2]], ValueError, "got -0.2 for input 1, class 1; of logits, take the softmax"),
        ([[0.5, 0.5], [0.5, 0.6]], ValueError, "rows that sum up to 1, got 1.1 for input 1"),
        ([[0.5, 0.5], [np.nan, 0.6]], ValueError, "probabilities holds 1 NaN"),
        ([0.5, 0.5], ValueError, r"expected shape \(inputs, classes\), got \(2,\)"),
        ([["a"]], TypeError, "probabilities: expected real numbers"),
    ],
)
def test_what_are_no_probabilities_is_told(p, error, match):
    with pytest.raises(error, match=match):
        jensen_shannon(p)


def test_other_numbers_of_inputs_are_told():
    with pytest.raises(ValueError, match="rsm_a has 3, rsm_b 2"):
        output_correlation(np.eye(3), [[0.5, 0.5], [1.0, 0.0]])
