# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

import simplugins
from simplugins import Activations

VALUES = np.random.default_rng(0).normal(size=(11, 6, 3, 4))


def test_a_subset_equals_the_array_of_its_inputs():
    indices = [5, 6, 7, 1, 10]
    rsm = simplugins.compute_rsm(VALUES, "semantic-rbf", subset=indices)
    np.testing.assert_array_equal(rsm, simplugins.compute_rsm(VALUES[indices], "semantic-rbf"))
    assert rsm.labels.tolist() == indices


def test_labels_and_masks_of_a_subset_are_those_of_its_inputs():
    mask = np.random.default_rng(1).random((11, 12)) < 0.6
    x = Activations.from_array(VALUES, mask=mask, labels=[f"input {i}" for i in range(11)], subset=4, seed=3)
    indices = [int(label.split()[1]) for label in x.labels]
    assert x.digest() == Activations.from_array(VALUES[indices], mask=mask[indices]).digest()


def test_a_random_subset_depends_on_the_seed_alone():
    drawn = {tuple(Activations.from_array(VALUES, subset=4, seed=seed).labels.tolist()) for seed in range(5)}
    assert len(drawn) > 1
    assert all(len(set(indices)) == 4 and list(indices) == sorted(indices) for indices in drawn)
    assert tuple(Activations.from_array(VALUES, subset=4, seed=2).labels.tolist()) in drawn


def test_subsets_of_activations_of_sets_and_with_other_inputs():
    whole = np.asarray(simplugins.compute_rsm(VALUES, "semantic-linear"))
    part = simplugins.compute_rsm(Activations.from_array(VALUES), "semantic-linear", subset=[3, 1])
    np.testing.assert_allclose(part, whole[[3, 1]][:, [3, 1]], rtol=1e-12)
    sets = [np.random.default_rng(i).normal(size=(i + 1, 4)) for i in range(5)]
    rsm = np.asarray(simplugins.compute_rsm(sets, "semantic-linear"))
    part = simplugins.compute_rsm(sets, "semantic-linear", subset=[0, 4])
    np.testing.assert_allclose(part, rsm[[0, 4]][:, [0, 4]], rtol=1e-12)
    part = simplugins.compute_rsm(VALUES, "semantic-linear", other=VALUES, subset=[2])
    assert part.shape == (1, 11)
    np.testing.assert_allclose(part, whole[[2]], rtol=1e-12)


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        (0, r"\b0 of 11"),
        (12, r"\b12 of 11"),
        ([], "0 to 10"),
        ([11], r"0 to 10.*\b11\b"),
        ([-1], r"0 to 10.*-1\b"),
        ([3, 4, 3], r"\b3\b"),
        (2.5, "2.5"),
        ([[1, 2]], r"\[\[1, 2\]\]"),
    ],
)
@pytest.mark.parametrize("convert", [np.asarray, Activations.from_array])
def test_a_subset_that_does_not_exist_is_an_error(subset, message, convert):
    with pytest.raises(ValueError, match=f"subset.*{message}"):
        Activations.from_array(convert(VALUES), subset=subset)


def test_values_outside_of_a_subset_are_ignored():
    broken = VALUES.copy()
    broken[4] = np.nan
    assert np.isfinite(simplugins.compute_rsm(broken, subset=[0, 1, 10])).all()
    with pytest.raises(ValueError, match="NaN"):
        simplugins.compute_rsm(broken, subset=[0, 4])
