# SPDX-License-Identifier: Apache-2.0
"""Noise ceilings, against rsatoolbox's, and as bounds of what any RSM reaches."""

from __future__ import annotations

import numpy as np
import pytest
from comparison_data import Closeness, gram, indefinite
from rsatoolbox.inference.crossvalsets import sets_leave_one_out_rdm
from rsatoolbox.inference.noise_ceiling import boot_noise_ceiling, cv_noise_ceiling
from rsatoolbox.rdm import RDMs
from scipy.optimize import minimize
from scipy.spatial.distance import squareform

import simplugins

TOOL = {
    "rsa-pearson": "corr",
    "rsa-spearman": "spearman",
    "rsa-kendall-tau-a": "tau-a",
    "rsa-kendall-tau-b": "tau-b",
    "rsa-cosine": "cosine",
}


def subjects(count=5, inputs=10, tied=False):
    rng = np.random.default_rng(count)
    truth = rng.normal(size=(inputs, 4))
    matrices = [gram(truth + 0.6 * rng.normal(size=truth.shape)) for _ in range(count)]
    return [np.round(matrix) for matrix in matrices] if tied else matrices


def rdms(matrices):
    upper = np.triu_indices(len(matrices[0]), 1)
    return RDMs(np.array([matrix[upper] for matrix in matrices]))


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau:UserWarning")
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("method", TOOL)
def test_ceilings_equal_those_of_rsatoolbox(method, count, tied):
    targets = subjects(count, tied=tied)
    expected = boot_noise_ceiling(rdms(targets), TOOL[method])
    np.testing.assert_allclose(simplugins.noise_ceiling(targets, method), expected, rtol=1e-9)
    _, test, ceiling = sets_leave_one_out_rdm(rdms(targets))
    np.testing.assert_allclose(cv_noise_ceiling(rdms(targets), ceiling, test, TOOL[method]), expected, rtol=1e-9)


def test_missing_pairs_are_left_out_as_by_rsatoolbox():
    targets = subjects(4)
    for target in targets:
        target[[0, 3], [3, 0]] = np.nan
    for method in ("rsa-pearson", "rsa-spearman"):
        expected = boot_noise_ceiling(rdms(targets), TOOL[method])
        np.testing.assert_allclose(simplugins.noise_ceiling(targets, method, missing="omit"), expected, rtol=1e-9)


@pytest.mark.parametrize("method", ["cka", "cka-debiased", "rsa-pearson", "rsa-cosine"])
def test_no_rsm_exceeds_the_upper_bound(method):
    targets = subjects(3, inputs=5)
    upper = simplugins.noise_ceiling(targets, method).upper
    diagonal = np.arange(15) < 5

    def negative_mean(parameters):
        matrix = squareform(parameters[~diagonal]) + np.diag(parameters[diagonal])
        rsm = simplugins.RSM.from_similarities(matrix + 50 * np.eye(5) if method == "cka" else matrix)
        return -np.mean([simplugins.compare(rsm, target, method) for target in targets])

    start = np.concatenate([np.full(5, 5.0), squareform(targets[0], checks=False)])
    best = -minimize(negative_mean, start, method="BFGS").fun
    assert best <= upper + 1e-9
    assert best == pytest.approx(upper, abs=1e-3)


@pytest.mark.parametrize("method", ["cka-debiased", "rsa-spearman", "rsa-kendall-tau-a", "cka"])
def test_the_true_model_lies_between_the_bounds_on_average(method):
    values, bounds = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=(15, 5))
        noise = [np.triu(rng.normal(size=(15, 15)), 1) for _ in range(4)]
        targets = [gram(truth) + 2 * (upper + upper.T) + 20 * np.eye(15) for upper in noise]
        values.append(
            np.mean([simplugins.compare(gram(truth) + 20 * np.eye(15), target, method) for target in targets])
        )
        bounds.append(simplugins.noise_ceiling(targets, method))
    lower, upper = np.mean(bounds, axis=0)
    assert lower < np.mean(values) < upper


def test_ceilings_of_distances_are_distances():
    targets = subjects()
    similarity, distance = (simplugins.noise_ceiling(targets, method) for method in ("cka", "angular-cka"))
    assert similarity.lower < similarity.upper
    assert distance.upper < distance.lower
    assert simplugins.noise_ceiling([targets[0]] * 3, "norm-difference") == pytest.approx((0, 0), abs=1e-6)


def test_neighbours_have_a_ceiling():
    targets = subjects(4, inputs=20)
    lower, upper = simplugins.noise_ceiling(targets, "mutual-knn", method_options={"k": 4})
    single = [simplugins.compare(a, b, "mutual-knn", method_options={"k": 4}) for a in targets for b in targets]
    assert np.mean(np.array(single)[np.array(single) < 1]) < lower < upper < 1


def test_one_target_has_no_ceiling():
    with pytest.raises(ValueError, match="at least 2 targets"):
        simplugins.noise_ceiling([indefinite(0)])
    with pytest.raises(ValueError, match="at least 2 targets"):
        simplugins.noise_ceiling(indefinite(0))


def test_functions_that_cannot_pool_are_an_error():
    with pytest.raises(ValueError, match=r"closeness.*monotone"):
        simplugins.noise_ceiling(subjects(), Closeness)
