# SPDX-License-Identifier: Apache-2.0
"""RSMs of partial matchings, and what a single matching says about unmatched positions."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

import simplugins
from simplugins import Partial

RNG = np.random.default_rng(11)
SETS = [np.maximum(RNG.normal(0.2, 1, (size, 6)), 0) for size in (9, 9, 5, 12)]
MAPS = np.maximum(RNG.normal(0.2, 1, (7, 16, 6)), 0).astype(np.float32)


def best_shares(xs, ys, share):
    return np.array(
        [[oracle.best_pairs(x @ y.T, max(1, int(share * min(len(x), len(y)) + 0.5))) for y in ys] for x in xs]
    )


def values_above(x, y, threshold):
    excess = np.maximum(np.asarray(x, np.float64) @ np.asarray(y, np.float64).T - threshold, 0)
    rows, columns = oracle.linear_sum_assignment(excess, maximize=True)
    return ((x @ y.T)[rows, columns] * (excess[rows, columns] > 0)).sum()


@pytest.mark.parametrize("inputs", [SETS, MAPS.astype(np.float64)], ids=["unequal", "equal"])
def test_rsms_have_the_values_of_the_best_pairs_also_on_the_diagonal(inputs):
    rsm = simplugins.compute_rsm(inputs, "semantic-linear", matching="partial", matching_options={"share": 0.5})
    np.testing.assert_allclose(rsm.values, best_shares(inputs, inputs, 0.5), rtol=1e-9)
    largest = [np.sort((x**2).sum(1))[-int(0.5 * len(x) + 0.5) :].sum() for x in inputs]
    np.testing.assert_allclose(np.diag(rsm.values), largest, rtol=1e-9)


def test_rsms_above_a_threshold_have_the_values_of_the_matched_pairs():
    rsm = simplugins.compute_rsm(SETS, "semantic-linear", matching=Partial(threshold=3.1), certify=True)
    expected = [[values_above(x, y, 3.1) for y in SETS] for x in SETS]
    np.testing.assert_allclose(rsm.values, expected, rtol=1e-9, atol=1e-12)
    assert np.asarray(rsm.gap).max() < 1e-9


def test_the_cosine_counts_unmatched_positions_unless_norms_are_those_of_matched_positions():
    whole = simplugins.compute_rsm(MAPS, matching=Partial(share=0.5)).values
    norms = oracle.norms(MAPS)
    np.testing.assert_allclose(whole, best_shares(MAPS, MAPS, 0.5) / np.sqrt(np.outer(norms, norms)), rtol=1e-5)
    matched = simplugins.compute_rsm(MAPS, matching=Partial(share=0.5), normalize="matched").values
    np.testing.assert_allclose(np.diag(matched), 1, rtol=1e-6)
    assert (matched[~np.eye(len(MAPS), dtype=bool)] > whole[~np.eye(len(MAPS), dtype=bool)]).all()


def test_inputs_without_a_pair_above_the_threshold_have_similarity_zero():
    rsm = simplugins.compute_rsm(MAPS, matching=Partial(threshold=1e4), normalize="matched")
    assert not rsm.values.any()


def test_a_share_of_one_gives_the_rsm_of_the_optimal_matching():
    expected = simplugins.compute_rsm(MAPS, "semantic-linear").values
    result = simplugins.compute_rsm(MAPS, "semantic-linear", matching=Partial(share=1)).values
    np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(9, 12), (12, 9), (8, 8)])
def test_a_matching_says_which_positions_of_either_input_were_left(shape):
    x, y = (np.random.default_rng(size).normal(size=(size, 5)) for size in shape)
    result = simplugins.match(x, y, "partial", matching_options={"share": 0.5})
    count = int(min(shape) / 2 + 0.5)
    assert len(result.unmatched_rows) == shape[0] - count
    assert len(result.unmatched_columns) == shape[1] - count
    assert set(result.unmatched_columns) | set(result.columns[result.columns >= 0]) == set(range(shape[1]))
    assert result.value == pytest.approx(oracle.best_pairs(x @ y.T, count))
    assert result.upper_bound == pytest.approx(result.value)
    assert f"{count} matched" in repr(result)


def test_objects_in_common_are_found_among_different_backgrounds():
    rng = np.random.default_rng(4)
    objects = rng.normal(size=(12, 32))
    recalled = []
    for _ in range(20):
        places = [rng.permutation(40)[:12] for _ in range(2)]
        scenes = [rng.normal(0, 0.6, (40, 32)) for _ in range(2)]
        for scene, place in zip(scenes, places, strict=True):
            scene[place] = objects + rng.normal(0, 0.2, objects.shape)
        columns = simplugins.match(*scenes, Partial(share=0.3)).columns
        recalled.append(np.mean(columns[places[0]] == places[1]))
        assert np.count_nonzero(columns >= 0) == 12
    assert np.mean(recalled) > 0.99


def test_summaries_name_only_the_options_in_use():
    rsm = simplugins.compute_rsm(np.eye(4).reshape(2, 2, 4), matching=Partial(share=0.5))
    assert "share 0.5" in repr(rsm)
    assert "threshold" not in repr(rsm)


def test_search_needs_a_matching_of_all_positions():
    with pytest.raises(ValueError, match="partial"):
        simplugins.search(MAPS, k=2, matching=Partial(share=0.5))


def test_thresholds_refuse_activations_that_have_to_be_scaled():
    with pytest.raises(ValueError, match="scale"):
        simplugins.compute_rsm(MAPS * np.float32(1e30), matching=Partial(threshold=1))
    simplugins.compute_rsm(MAPS * np.float32(1e30), matching=Partial(share=0.5))


def test_thresholds_depend_on_the_scale_of_activations_and_shares_do_not():
    shares, thresholds = (
        simplugins.measures.semantic.semantic_cosine.effects_with(matcher, "median")
        for matcher in (Partial(share=0.5), Partial(threshold=1))
    )
    assert (shares["scaling"], thresholds["scaling"]) == ("none", "other")
