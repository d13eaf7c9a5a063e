# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit
from oracle import optimum

from simplugins.matching import scans, search, values
from simplugins.matching.identity import Identity
from simplugins.matching.matcher import check_assignment
from simplugins.matching.optimal import Optimal

# What costs are rounded to (26 bits of their range) plus what float64 sums round.
TOLERANCE = 1e-6


def solve(affinity):
    """Match, and return columns, value and upper bound."""
    affinity = np.ascontiguousarray(affinity)
    offsets = np.array([0, len(affinity)])
    found = Optimal().match_batch(affinity, offsets)
    value, bound, gap = np.empty((3, 1))
    values.aligned_values(affinity, offsets, found.columns, value)
    values.certify(affinity, offsets, found.prices, value, bound, gap)
    return found.columns, value[0], bound[0]


def assert_optimal(affinity):
    columns, value, bound = solve(affinity)
    check_assignment(columns, *affinity.shape, name="optimal")
    best = optimum(affinity)
    scale = min(affinity.shape) * np.abs(affinity.astype(np.float64)).max()
    assert value == pytest.approx(best, rel=0, abs=TOLERANCE * scale)
    assert value <= bound
    assert best <= bound
    assert bound - value <= TOLERANCE * scale


def rectified(rng, rows, columns, channels=8, zeros=0.0):
    """Affinities of rectified features, some of them all zero."""
    x, y = (np.maximum(rng.normal(size=(n, channels)), 0) for n in (rows, columns))
    x[rng.random(rows) < zeros] = 0
    y[rng.random(columns) < zeros] = 0
    return x @ y.T


HOSTILE = {
    "random": lambda rng, r, c: rng.normal(size=(r, c)),
    "constant": lambda rng, r, c: np.full((r, c), 3.7),
    "zero": lambda rng, r, c: np.zeros((r, c)),
    "few values": lambda rng, r, c: rng.integers(0, 3, size=(r, c)),
    "all but one equal": lambda rng, r, c: np.eye(r, c)[:1].repeat(r, 0) * (np.arange(r) == 0)[:, None],
    "low rank": lambda rng, r, c: np.outer(rng.random(r), rng.random(c)),
    "rank one, sorted the wrong way": lambda rng, r, c: np.outer(np.arange(r), np.arange(c)[::-1]),
    "rectified": rectified,
    "with zero vectors": lambda rng, r, c: rectified(rng, r, c, zeros=0.5),
    "duplicated": lambda rng, r, c: rectified(rng, r, c)[rng.integers(0, max(1, r // 3), size=r)],
    "outlier": lambda rng, r, c: rng.random((r, c)) + 1e6 * (np.arange(r * c) == r * c // 2).reshape(r, c),
    "offset": lambda rng, r, c: 1e4 + rng.random((r, c)),
    "equal rows": lambda rng, r, c: np.tile(rng.random(c), (r, 1)),
    "equal columns": lambda rng, r, c: np.tile(rng.random(r)[:, None], (1, c)),
    "huge": lambda rng, r, c: 1e30 * rng.normal(size=(r, c)),
    "tiny": lambda rng, r, c: 1e-30 * rng.normal(size=(r, c)),
    "metric": lambda rng, r, c: -np.abs(rng.random(r)[:, None] - rng.random(c)[None, :]),
    "machol-wien": lambda rng, r, c: -np.outer(np.arange(1.0, r + 1), np.arange(1.0, c + 1)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", HOSTILE)
def test_every_value_is_the_optimum_and_proven_so(name, dtype):
    rng = np.random.default_rng(7)
    for rows, columns in [
        (1, 1),
        (2, 2),
        (15, 15),
        (16, 16),
        (17, 17),
        (49, 49),
        (130, 130),
        (5, 40),
        (40, 5),
        (1, 9),
        (9, 1),
    ]:
        assert_optimal(HOSTILE[name](rng, rows, columns).astype(dtype))


@pytest.mark.parametrize("name", ["rectified", "with zero vectors", "few values", "machol-wien"])
def test_every_size_up_to_300(name):
    rng = np.random.default_rng(8)
    sizes = {*range(1, 40), *range(40, 301, 13), 63, 64, 65, 127, 128, 129, 255, 256, 257, 299, 300}
    for size in sizes:
        assert_optimal(HOSTILE[name](rng, size, size).astype(np.float32))


finite = st.floats(-1e3, 1e3, width=32)
tied = st.sampled_from([np.float32(v) for v in (-1, 0, 0.5, 1)])


@given(
    affinity=st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
        lambda shape: st.one_of(arrays(np.float32, shape, elements=finite), arrays(np.float32, shape, elements=tied))
    )
)
@settings(max_examples=200, deadline=None)
def test_any_small_problem_is_solved(affinity):
    assert_optimal(affinity)


def test_optimal_on_real_activations(layers):
    for layer, pairs in {"block15": 60, "block10": 20, "block4": 2}.items():
        vectors = layers[layer].astype(np.float32).reshape(*layers[layer].shape[:2], -1).transpose(0, 2, 1)
        rng = np.random.default_rng(9)
        for _ in range(pairs):
            i, j = rng.choice(len(vectors), 2, replace=False)
            assert_optimal(vectors[i] @ vectors[j].T)


def test_scaling_by_powers_of_two_changes_no_match():
    affinity = rectified(np.random.default_rng(10), 60, 60).astype(np.float32)
    columns, value, _ = solve(affinity)
    for power in (-90, -7, 13, 90):
        scaled_columns, scaled_value, _ = solve(np.ldexp(affinity, power))
        np.testing.assert_array_equal(scaled_columns, columns)
        assert scaled_value == np.ldexp(value, power)


def test_a_batch_of_different_sizes_equals_its_problems_alone():
    rng = np.random.default_rng(11)
    rows = [3, 40, 1, 17, 25, 16]
    problems = [rectified(rng, r, 20).astype(np.float32) for r in rows]
    offsets = np.concatenate([[0], np.cumsum(rows)])
    found = Optimal().match_batch(np.concatenate(problems), offsets)
    for k, problem in enumerate(problems):
        np.testing.assert_array_equal(found.columns[offsets[k] : offsets[k + 1]], Optimal().match(problem))


def test_matching_leaves_the_affinities_as_they_are():
    affinity = np.random.default_rng(12).normal(size=(30, 30)).astype(np.float32)
    before = affinity.copy()
    solve(affinity)
    np.testing.assert_array_equal(affinity, before)


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 4)),
    dtype=st.sampled_from([np.int32, np.int64]),
    seed=st.integers(0, 2**32 - 1),
    values_up_to=st.sampled_from([2, 1000, 2**25]),
)
@settings(max_examples=50, deadline=None)
def test_scans_agree_with_numpy(shape, dtype, seed, values_up_to):
    rng = np.random.default_rng(seed)
    rows, columns = shape[0], shape[1] * scans.LANES
    costs = rng.integers(0, values_up_to, size=(rows, columns)).astype(dtype)
    prices = rng.integers(0, values_up_to, size=columns).astype(dtype)
    keys, predecessors = rng.integers(0, values_up_to, size=(2, columns)).astype(dtype)
    row = int(rng.integers(rows))
    total = costs[row] + prices
    column, smallest, second = two_smallest(costs, row, prices)
    assert total[column] == smallest == total.min()
    assert second == np.partition(total, 1)[1]
    reached = total + 5
    expected_keys, expected_predecessors = np.minimum(keys, reached), np.where(reached < keys, row, predecessors)
    column, smallest = relax(costs, row, dtype(5), prices, keys, predecessors)
    np.testing.assert_array_equal(keys, expected_keys)
    np.testing.assert_array_equal(predecessors, expected_predecessors)
    assert keys[column] == smallest == expected_keys.min()


@njit
def two_smallest(costs, row, prices):
    return scans.two_smallest(costs, row, prices)


@njit
def relax(costs, row, base, prices, keys, predecessors):
    return scans.relax(costs, row, base, prices, keys, predecessors)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prices_and_paths_have_room_in_the_integers(dtype):
    """No price may come near the price of a closed column, however long bidders fight (see `search`)."""
    rng = np.random.default_rng(13)
    for name in ("machol-wien", "rank one, sorted the wrong way", "outlier", "few values", "metric"):
        affinity = HOSTILE[name](rng, 150, 150).astype(dtype)
        prices = Optimal().match_batch(affinity, np.array([0, 150])).prices
        assert prices.max() <= 6 * (affinity.max() - affinity.min()) * (1 + 1e-6)


def test_identity_keeps_positions_and_refuses_unequal_sets():
    np.testing.assert_array_equal(Identity().match(np.zeros((4, 4))), [0, 1, 2, 3])
    with pytest.raises(ValueError, match="identity matching needs equal numbers of positions, got 3 and 4"):
        Identity().match(np.zeros((3, 4)))


def test_workspace_fits_both_orientations():
    for rows, columns in [(3, 50), (50, 3)]:
        work = search.make_workspace(rows, columns, np.dtype(np.float32))
        assert work.costs.size == 3 * 64
        assert work.prices.size == 64


def test_a_huge_affinity_that_no_optimum_uses_costs_no_accuracy():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 100, 64)).astype(np.float32)
    x[:, 3] = y[:, 3] = 0
    for size in (1e3, 1e5, 1e7):
        x[0, 3], y[0, 3] = size, -size
        affinity = x @ y.T
        _, value, bound = solve(affinity)
        assert value == pytest.approx(optimum(affinity), rel=1e-6)
        assert value <= bound <= value + 1e-12 * np.abs(affinity).max()


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 70)),
    dtypes=st.sampled_from([(np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float64)]),
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_largest_agrees_with_numpy(shape, dtypes, seed, ties):
    rng = np.random.default_rng(seed)
    affinities, prices = rng.normal(size=shape), rng.normal(size=shape[1])
    if ties:
        affinities, prices = np.rint(affinities), np.rint(prices)
    prices[1:][rng.random(shape[1] - 1) < 0.3] = np.inf
    affinities, prices = affinities.astype(dtypes[0]), prices.astype(dtypes[1])
    row = int(rng.integers(shape[0]))
    differences = affinities[row].astype(dtypes[1]) - prices
    assert scans.largest(affinities, row, prices) == (differences.argmax(), differences.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", HOSTILE)
def test_the_start_of_a_search_is_within_the_range_of_costs(name, dtype):
    affinity = np.ascontiguousarray(HOSTILE[name](np.random.default_rng(14), 130, 130).astype(dtype))
    work, costs, span = start(affinity)
    most = 2.0 ** (8 * costs.itemsize - search.HEADROOM_BITS)
    assert 0 <= span <= most
    assert work.prices[:130].min() >= 0
    assert work.prices[:130].max() <= 2 * most


def start(affinity):
    """Set up the search of a square problem, as `search_batch` does."""
    size = len(affinity)
    work = search.make_workspace(size, size, affinity.dtype)
    costs = work.costs.reshape(size, -1)
    top, unit = search._make_costs(affinity, 0, size, False, costs, work)
    search._reset_prices(costs, size, work)
    return work, costs, search._start(costs, top / unit, unit, work) if unit > 0 else 0.0


def test_products_of_numbers_start_from_prices_that_nearly_prove_the_optimum():
    rng = np.random.default_rng(15)
    x, y = 1 + rng.random(200), 3 + 2 * rng.random(200)
    affinity = np.outer(x, y).astype(np.float32)
    work, _, _ = start(affinity)
    unit = (affinity.max() - affinity.min()) / 2.0**26
    gaps = []
    for prices in (np.zeros(200), work.prices[:200] * np.float64(unit)):
        upper, gap = np.empty((2, 1))
        value = np.array([optimum(affinity)])
        values.certify(affinity, np.array([0, 200]), prices[None], value, upper, gap)
        gaps.append(gap[0])
    assert gaps[1] < 0.1 * gaps[0]
