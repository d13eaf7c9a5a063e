# SPDX-License-Identifier: Apache-2.0
"""Crossvalidation over inputs, against rsatoolbox's of a model that selects an RDM."""

from __future__ import annotations

import numpy as np
import pytest
from comparison_data import Closeness, gram, indefinite
from rsatoolbox.inference import crossval
from rsatoolbox.inference.crossvalsets import sets_k_fold_pattern
from rsatoolbox.model import ModelSelect
from rsatoolbox.rdm import RDMs

import simplugins
from simplugins.comparisons import resolve_method


def rdms(matrices):
    upper = np.triu_indices(len(matrices[0]), 1)
    return RDMs(np.array([matrix[upper] for matrix in matrices]))


def candidates_and_targets(seed=0, inputs=20, targets=3):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(inputs, 4))
    models = {level: gram(truth + level * rng.normal(size=truth.shape)) for level in (0.9, 1.0, 1.1, 3.0)}
    return models, [gram(truth + rng.normal(size=truth.shape)) for _ in range(targets)]


@pytest.mark.parametrize("method", [("rsa-pearson", "corr"), ("rsa-spearman", "spearman"), ("rsa-cosine", "cosine")])
@pytest.mark.parametrize("seed", [0, 1])
def test_estimates_equal_those_of_rsatoolbox(method, seed):
    ours, theirs = method
    models, targets = candidates_and_targets(seed)
    data = rdms(targets)
    training, test, _ = sets_k_fold_pattern(data, k=4)
    folds = np.empty(20, int)
    for k, (_, inputs) in enumerate(test):
        folds[inputs] = k
    expected = crossval(
        ModelSelect("level", rdms(list(models.values()))), data, training, test, method=theirs, calc_noise_ceil=False
    )
    result = simplugins.crossvalidate(targets, models, ours, folds=folds)
    np.testing.assert_allclose(result.per_fold, expected.evaluations[0, 0], atol=1e-12)
    assert result.value == pytest.approx(expected.evaluations.mean())


@pytest.mark.parametrize("method", ["cka-debiased", "norm-difference", Closeness()])
def test_values_are_those_of_the_inputs_within_and_outside_the_fold(method):
    models, targets = candidates_and_targets(targets=1)
    result = simplugins.crossvalidate(targets[0], models, method, folds=3, seed=5)
    assert sorted(np.concatenate(result.folds).tolist()) == list(range(20))
    sign = -1 if resolve_method(method).larger_is_more_similar is False else 1
    for k, fold in enumerate(result.folds):
        for row, inputs in ((result.training[k], np.setdiff1d(np.arange(20), fold)), (result.held_out[k], fold)):
            index = np.ix_(inputs, inputs)
            values = [simplugins.compare(matrix[index], targets[0][index], method) for matrix in models.values()]
            np.testing.assert_allclose(row, values, atol=1e-12)
        assert result.choices[k] == list(models)[np.argmax(sign * result.training[k])]
        assert result.per_fold[k] == result.held_out[k][np.argmax(sign * result.training[k])]
    whole = [sign * simplugins.compare(matrix, targets[0], method) for matrix in models.values()]
    assert result.choice == list(models)[np.argmax(whole)]


def test_the_true_bandwidth_is_chosen():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    noisy = x + 0.1 * rng.normal(size=x.shape)
    squared = [np.square(each[:, None] - each).sum(-1) for each in (x, noisy)]
    rsms = {sigma: np.exp(-squared[1] / (2 * sigma**2)) for sigma in (0.3, 1.0, 5.0)}
    assert simplugins.crossvalidate(np.exp(-squared[0] / 2), rsms, "rsa-pearson").choices == (1.0,) * 5


def test_held_out_values_are_not_selected_by_chance():
    """Of many unrelated candidates, the best has a positive value for the inputs it was chosen with, else 0."""
    held_out, chosen = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        models = {k: gram(rng.normal(size=(24, 5))) for k in range(20)}
        target = gram(rng.normal(size=(24, 5)))
        held_out.append(simplugins.crossvalidate(target, models, folds=2).value)
        chosen.append(max(simplugins.compare(target, matrix, "cka-debiased") for matrix in models.values()))
    assert min(chosen) > 0.05
    assert abs(np.mean(held_out)) < 4 * np.std(held_out) / np.sqrt(40)


def test_methods_are_chosen_by_their_distance_from_chance():
    """A method with larger values by chance is not preferred."""

    def informative(a, b):
        upper = np.triu_indices(len(a), 1)
        return np.corrcoef(a[upper], b[upper])[0, 1] / 10

    def uninformative(a, b):
        return 0.9 + 0.01 * np.cos(1e6 * (a * b).sum())

    models, targets = candidates_and_targets(targets=2)
    methods = {"high": uninformative, "low": informative}
    result = simplugins.crossvalidate(targets, models[0.9], methods, folds=3, permutations=40, seed=1)
    assert set(result.choices) == {"low"}
    assert result.choice == "low"
    fold = np.ix_(result.folds[0], result.folds[0])
    expected = np.mean([informative(models[0.9][fold], target[fold]) for target in targets])
    assert result.held_out[0, 1] == pytest.approx(expected)


def test_a_distance_among_methods_is_chosen_like_a_similarity():
    models, targets = candidates_and_targets(targets=1)
    result = simplugins.crossvalidate(
        targets[0], models[0.9], {"angle": "angular-cka", "cosine": "cka"}, folds=2, permutations=50
    )
    assert (np.sign(result.training) == np.sign(result.training[:, 1:])).all()
    assert result.training.max() > 2


def test_the_number_of_neighbours_is_chosen():
    rng = np.random.default_rng(0)
    clusters = np.repeat(rng.normal(size=(6, 5)), 8, axis=0)
    a, b = (gram(clusters + 0.5 * rng.normal(size=clusters.shape)) for _ in range(2))
    methods = {k: simplugins.comparisons.resolve_method("mutual-knn", {"k": k}) for k in (1, 5)}
    result = simplugins.crossvalidate(a, b, methods, folds=3)
    assert result.choice == 5
    fold = np.ix_(result.folds[1], result.folds[1])
    expected = [simplugins.compare(b[fold], a[fold], method) for method in methods.values()]
    np.testing.assert_allclose(result.held_out[1], expected)


def test_groups_stay_together():
    models, targets = candidates_and_targets()
    groups = ["photo b", "photo a"] * 5 + [f"photo {k}" for k in "cdefg"] * 2
    result = simplugins.crossvalidate(targets, models, folds=3, groups=groups)
    for fold in result.folds:
        assert not set(np.array(groups)[fold]) & set(np.delete(np.array(groups), fold))
    with pytest.raises(ValueError, match="folds divide 2 groups, such as that of input 0"):
        simplugins.crossvalidate(
            targets, models, folds=np.arange(20) // 5, groups=[0, 1, 2, 3, 4] + [0, 1] + [5] * 3 + list(range(6, 16))
        )


def test_inputs_are_aligned_by_label():
    models, targets = candidates_and_targets(targets=1)
    labels = np.array([f"image{k}" for k in range(20)])
    order = np.random.default_rng(0).permutation(20)
    target = simplugins.RSM.from_similarities(targets[0], labels=labels)
    shuffled = {
        level: simplugins.RSM.from_similarities(m[np.ix_(order, order)], labels=labels[order])
        for level, m in models.items()
    }
    expected = simplugins.crossvalidate(targets[0], models)
    result = simplugins.crossvalidate(target, shuffled, align=True)
    np.testing.assert_allclose(result.held_out, expected.held_out, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"candidates": indefinite(1, 12)}, TypeError, "one parameter"),
        ({"method": {1: "cka"}}, TypeError, "one parameter"),
        ({"candidates": indefinite(1, 12), "method": {1: "cka"}, "method_options": {"k": 1}}, TypeError, "one method"),
        ({"candidates": {}}, ValueError, "at least one value"),
        ({"folds": 1}, ValueError, "folds must be from 2 to 12"),
        ({"folds": 13}, ValueError, "folds must be from 2 to 12"),
        ({"folds": 4}, ValueError, "at least 4 inputs, but fold 0 has 3 in it"),
        ({"folds": [0] * 9 + [1] * 3}, ValueError, "at least 4 inputs, but fold 0 has 3 outside it"),
        ({"folds": [0, 1]}, ValueError, "folds: expected their number"),
        ({"groups": [0, 1]}, ValueError, "groups"),
        ({"permutations": 0}, ValueError, "permutations"),
        ({"candidates": {"x": indefinite(1, 9)}}, ValueError, r"candidates\['x'\] has 9 inputs, target has 12"),
    ],
)
def test_impossible_options_are_errors(options, error, match):
    arguments = {"target": indefinite(0, 12), "candidates": {1: indefinite(1, 12), 2: indefinite(2, 12)}, "folds": 3}
    with pytest.raises(error, match=match):
        simplugins.crossvalidate(**{**arguments, **options})
