# SPDX-License-Identifier: Apache-2.0
"""Partial matchings against SciPy on augmented problems, and against all partial assignments of small problems."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import simplugins
from simplugins import Optimal, Partial
from simplugins.data import load_photos
from simplugins.matching.certificates import match_and_certify
from simplugins.testing import check_matcher

FLOAT32_ERROR = 2.0**-18


def matched(affinity, columns):
    """The affinities of an assignment, in float64."""
    rows = np.flatnonzero(columns >= 0)
    assert np.unique(columns[rows]).size == rows.size
    return np.asarray(affinity, np.float64)[rows, columns[rows]]


def pairs_of(share, affinity):
    return max(1, math.floor(share * min(affinity.shape) + 0.5))


def assert_best_share(affinity, share):
    values = matched(affinity, Partial(share=share).match(affinity))
    count = pairs_of(share, affinity)
    assert values.size == count
    scale = np.abs(values).sum()
    assert abs(values.sum() - oracle.best_pairs(affinity, count)) <= FLOAT32_ERROR * scale + 1e-300


def assert_best_above(affinity, threshold):
    values = matched(affinity, Partial(threshold=threshold).match(affinity))
    assert (values > threshold).all()
    expected = oracle.optimum(np.maximum(np.asarray(affinity, np.float64) - threshold, 0))
    scale = np.abs(values).sum() + np.abs(threshold) * values.size + abs(expected)
    assert abs((values - threshold).sum() - expected) <= FLOAT32_ERROR * scale


HOSTILE = {
    "normal": lambda rng, r, c: rng.normal(size=(r, c)),
    "ties": lambda rng, r, c: rng.integers(-2, 3, (r, c)).astype(float),
    "constant": lambda rng, r, c: np.full((r, c), rng.normal()),
    "zero": lambda rng, r, c: np.zeros((r, c)),
    "negative": lambda rng, r, c: -rng.exponential(size=(r, c)) - 1,
    "rank one": lambda rng, r, c: np.outer(rng.exponential(size=r), rng.exponential(size=c)),
    "rectified": lambda rng, r, c: np.maximum(rng.normal(size=(r, 8)), 0) @ np.maximum(rng.normal(size=(8, c)), 0),
    "wide range": lambda rng, r, c: np.outer(np.exp(6 * rng.normal(size=r)), np.exp(6 * rng.normal(size=c))),
    "one dwarfs the others": lambda rng, r, c: np.where(np.arange(r * c).reshape(r, c) == 1, 1e12, rng.random((r, c))),
    "equal rows": lambda rng, r, c: np.tile(rng.random(c), (r, 1)),
    "equal columns": lambda rng, r, c: np.tile(rng.random(r)[:, None], (1, c)),
    "half of the rows zero": lambda rng, r, c: rng.random((r, c)) * (np.arange(r) % 2)[:, None],
}
SHAPES = [(1, 1), (1, 5), (5, 1), (2, 2), (7, 7), (6, 9), (9, 6), (17, 33), (40, 40), (120, 120), (110, 130)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", HOSTILE)
def test_shares_and_thresholds_are_optimal(kind, dtype):
    rng = np.random.default_rng(list(map(ord, kind)))
    for shape in SHAPES:
        affinity = HOSTILE[kind](rng, *shape).astype(dtype)
        for share in (1e-9, 0.3, 0.5, 0.9, 1.0):
            assert_best_share(affinity, share)
        for threshold in (float(np.quantile(affinity, 0.3)), float(np.quantile(affinity, 0.9)), 0.0):
            assert_best_above(affinity, threshold)


def partial_values(affinity):
    """The values of all partial assignments, by number of pairs."""
    rows, columns = affinity.shape
    by_count = {count: [] for count in range(min(rows, columns) + 1)}
    for count, values in by_count.items():
        for selected in itertools.combinations(range(rows), count):
            for partners in itertools.permutations(range(columns), count):
                values.append(affinity[list(selected), list(partners)].sum())
    return by_count


small = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    elements=st.integers(-4, 4).map(float) | st.floats(-8, 8).map(lambda value: round(value, 3)),
)


@settings(max_examples=150, deadline=None)
@given(small, st.floats(-5, 5).map(lambda value: round(value, 2)), st.floats(0.01, 1))
def test_no_partial_assignment_of_a_small_problem_is_better(affinity, threshold, share):
    values = partial_values(affinity)
    best = [max(of_count) for of_count in values.values()]
    result = matched(affinity, Partial(share=share).match(affinity))
    assert result.sum() == pytest.approx(best[result.size], abs=1e-9)
    assert result.size == pairs_of(share, affinity)
    above = matched(affinity, Partial(threshold=threshold).match(affinity))
    excess = max(value - threshold * count for count, value in enumerate(best))
    assert (above - threshold).sum() == pytest.approx(excess, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(small)
def test_values_are_concave_in_the_number_of_pairs(affinity):
    most = min(affinity.shape)
    values = [0.0] + [matched(affinity, Partial(share=k / most).match(affinity)).sum() for k in range(1, most + 1)]
    assert (np.diff(values, 2) <= 1e-9).all()


def test_a_share_of_one_is_the_optimal_matching():
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (20, 20), (7, 12), (12, 7), (150, 150)]:
        affinity = rng.normal(size=shape).astype(np.float32)
        np.testing.assert_array_equal(Partial(share=1).match(affinity), Optimal().match(affinity))


def test_the_number_of_pairs_is_rounded_to_the_nearest_halves_up_and_at_least_one():
    for positions, share, count in [(5, 0.5, 3), (4, 0.3, 1), (10, 0.01, 1), (3, 0.99, 3), (7, 0.5, 4), (1, 0.2, 1)]:
        columns = Partial(share=share).match(np.random.default_rng(0).normal(size=(positions, positions + 2)))
        assert np.count_nonzero(columns >= 0) == count


def test_pairs_at_the_threshold_are_not_matched():
    affinity = np.array([[2.0, 0.0], [0.0, 3.0]])
    assert Partial(threshold=2).match(affinity).tolist() == [-1, 1]
    assert Partial(threshold=3).match(affinity).tolist() == [-1, -1]
    assert Partial(threshold=np.nextafter(2, 0)).match(affinity).tolist() == [0, 1]
    constant = np.full((3, 4), 0.7, np.float32)
    assert np.count_nonzero(Partial(threshold=float(np.float32(0.7))).match(constant) >= 0) == 0
    assert np.count_nonzero(Partial(threshold=0.6).match(constant) >= 0) == 3


@pytest.mark.parametrize("seed", range(40))
def test_no_pair_of_zero_is_matched_above_a_threshold_of_zero(seed):
    rng = np.random.default_rng(seed)
    affinity = np.maximum(rng.normal(size=(11, 4)), 0) @ np.maximum(rng.normal(size=(4, 11)), 0)
    assert_best_above(affinity, 0.0)
    assert_best_above(affinity, float(rng.choice(affinity.ravel())))


def test_a_threshold_below_all_affinities_matches_the_smaller_side():
    affinity = np.random.default_rng(1).normal(size=(30, 40))
    columns = Partial(threshold=-1e6).match(affinity)
    assert matched(affinity, columns).sum() == pytest.approx(oracle.optimum(affinity), rel=1e-12)


def concept_vectors(layer):
    return oracle.concept_vectors(load_photos()[layer])


@pytest.mark.parametrize(("layer", "share"), [("block15", 0.5), ("block15", 0.9), ("block10", 0.5), ("block10", 0.8)])
def test_shares_of_real_activations_are_optimal(layer, share):
    sets = concept_vectors(layer)
    for i, j in [(0, 1), (3, 17), (5, 6), (20, 2)]:
        assert_best_share((sets[i] @ sets[j].T).astype(np.float32), share)


@pytest.mark.parametrize("options", [{"share": 0.4}, {"threshold": 0.1}, {"threshold": 2.5}])
def test_batches_of_unequal_problems_are_matched_and_certified(options):
    rng = np.random.default_rng(3)
    offsets = np.array([0, 3, 4, 24, 60])
    affinities = rng.normal(size=(60, 20)).astype(np.float32)
    certified = match_and_certify(Partial(**options), affinities, offsets)
    single = [Partial(**options).match(affinities[a:b].copy()) for a, b in itertools.pairwise(offsets)]
    np.testing.assert_array_equal(certified.columns, np.concatenate(single))
    assert (certified.gap <= 1e-6).all()
    for b, columns in enumerate(single):
        block = affinities[offsets[b] : offsets[b + 1]]
        count = np.count_nonzero(columns >= 0)
        assert certified.upper[b] >= (oracle.best_pairs(block, count) if count else 0) - 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", HOSTILE)
def test_values_are_certified(kind, dtype):
    rng = np.random.default_rng(5)
    for shape in [(1, 1), (6, 9), (9, 6), (30, 30)]:
        affinity = HOSTILE[kind](rng, *shape).astype(dtype)
        offsets = np.array([0, len(affinity)])
        for matcher in (Partial(share=0.6), Partial(threshold=float(np.median(affinity)))):
            certified = match_and_certify(matcher, affinity, offsets)
            values = matched(affinity, certified.columns)
            assert certified.upper[0] >= values.sum() - 1e-12 * np.abs(values).sum()
            assert certified.upper[0] - values.sum() <= FLOAT32_ERROR * (
                np.abs(values).sum() + values.size * abs(matcher.threshold or 0)
            )


class Poor(simplugins.Matcher):
    """A third-party matcher that matches two positions, without dual prices."""

    name = "poor"
    partial = True

    def match(self, affinity):
        columns = np.full(len(affinity), -1)
        columns[: min(2, *affinity.shape)] = np.arange(min(2, *affinity.shape))
        return columns


def test_partial_matchers_without_prices_are_bounded_by_the_best_pairs():
    affinity = np.random.default_rng(2).normal(size=(6, 7))
    certified = match_and_certify(Poor(), affinity, np.array([0, 6]))
    assert certified.upper[0] == pytest.approx(oracle.best_pairs(affinity, 2), rel=1e-9)
    assert certified.gap[0] > 0
    check_matcher(Poor())


@pytest.mark.parametrize("matcher", [Partial(share=0.5), Partial(share=1), Partial(threshold=0.3)], ids=repr)
def test_the_contract_holds(matcher):
    check_matcher(matcher)


def test_shares_have_the_values_of_pots_partial_transport():
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(6)
    for rows, columns, count in [(5, 5, 3), (12, 20, 7), (20, 12, 11), (30, 30, 1)]:
        affinity = rng.normal(size=(rows, columns))
        plan = ot.partial.partial_wasserstein(np.ones(rows), np.ones(columns), affinity.max() - affinity, m=count)
        values = matched(affinity, Partial(share=count / min(rows, columns)).match(affinity))
        assert values.sum() == pytest.approx((plan * affinity).sum())


def test_threads_get_the_same_assignments():
    affinities = [np.random.default_rng(seed).normal(size=(120, 120)).astype(np.float32) for seed in range(8)]
    expected = [Partial(share=0.5).match(affinity) for affinity in affinities]
    with ThreadPoolExecutor(8) as pool:
        for columns, reference in zip(pool.map(Partial(share=0.5).match, affinities * 4), expected * 4, strict=True):
            np.testing.assert_array_equal(columns, reference)


@pytest.mark.parametrize(
    ("options", "error", "parameter"),
    [
        ({}, TypeError, "share"),
        ({"share": 0.5, "threshold": 1}, TypeError, "threshold"),
        ({"share": 0}, ValueError, r"share.*\b0\b"),
        ({"share": 1.5}, ValueError, r"share.*\b1\.5\b"),
        ({"share": "half"}, ValueError, "share.*'half'"),
        ({"share": math.nan}, ValueError, "share.*nan"),
        ({"threshold": math.inf}, ValueError, "threshold.*inf"),
        ({"threshold": True}, ValueError, "threshold.*True"),
    ],
)
def test_invalid_options_are_rejected(options, error, parameter):
    with pytest.raises(error, match=parameter):
        Partial(**options)
