# SPDX-License-Identifier: Apache-2.0
"""Optimal and identity matchings, and the compiled solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit
from oracle import optimum

from simplugins import Identity, Optimal
from simplugins.matching import integer_costs, objective, starting_prices
from simplugins.matching.matcher import check_assignment

TOLERANCE = 1e-6
"""Rounding of costs to 26 bits of their range, and of float64 sums."""


def solve(affinity):
    """Match, and return columns, value and upper bound."""
    affinity = np.ascontiguousarray(affinity)
    offsets = np.array([0, len(affinity)])
    assignments = Optimal().match_batch(affinity, offsets)
    value, bound, gap = np.empty((3, 1))
    objective.assignment_values(affinity, offsets, assignments.columns, value)
    objective.dual_bounds(affinity, offsets, assignments.prices, value, bound, gap)
    return assignments.columns, value[0], bound[0]


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
def test_hostile_problems_are_solved_optimally_with_certificates(name, dtype):
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
def test_sizes_up_to_300_are_solved_optimally(name):
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
def test_small_problems_are_solved_optimally(affinity):
    assert_optimal(affinity)


def test_real_activations_are_matched_optimally(layers):
    for layer, pairs in {"block15": 60, "block10": 20, "block4": 2}.items():
        vectors = layers[layer].astype(np.float32).reshape(*layers[layer].shape[:2], -1).transpose(0, 2, 1)
        rng = np.random.default_rng(9)
        for _ in range(pairs):
            i, j = rng.choice(len(vectors), 2, replace=False)
            assert_optimal(vectors[i] @ vectors[j].T)


def test_assignments_are_invariant_to_scaling_by_powers_of_two():
    affinity = rectified(np.random.default_rng(10), 60, 60).astype(np.float32)
    columns, value, _ = solve(affinity)
    for power in (-90, -7, 13, 90):
        scaled_columns, scaled_value, _ = solve(np.ldexp(affinity, power))
        np.testing.assert_array_equal(scaled_columns, columns)
        assert scaled_value == np.ldexp(value, power)


def test_a_batch_of_different_sizes_equals_its_problems_solved_separately():
    rng = np.random.default_rng(11)
    rows = [3, 40, 1, 17, 25, 16]
    problems = [rectified(rng, r, 20).astype(np.float32) for r in rows]
    offsets = np.concatenate([[0], np.cumsum(rows)])
    columns = Optimal().match_batch(np.concatenate(problems), offsets).columns
    for k, problem in enumerate(problems):
        np.testing.assert_array_equal(columns[offsets[k] : offsets[k + 1]], Optimal().match(problem))


def test_affinities_are_not_modified():
    affinity = np.random.default_rng(12).normal(size=(30, 30)).astype(np.float32)
    before = affinity.copy()
    solve(affinity)
    np.testing.assert_array_equal(affinity, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prices_stay_far_below_the_price_of_a_closed_column(dtype):
    """See `integer_costs.HEADROOM_BITS`."""
    rng = np.random.default_rng(13)
    for name in ("machol-wien", "rank one, sorted the wrong way", "outlier", "few values", "metric"):
        affinity = HOSTILE[name](rng, 150, 150).astype(dtype)
        prices = Optimal().match_batch(affinity, np.array([0, 150])).prices
        assert prices.max() <= 6 * (affinity.max() - affinity.min()) * (1 + 1e-6)


def test_identity_keeps_positions_and_rejects_unequal_sets():
    np.testing.assert_array_equal(Identity().match(np.zeros((4, 4))), [0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"identity.*\b3 and 4\b"):
        Identity().match(np.zeros((3, 4)))


def test_the_workspace_fits_both_orientations():
    for rows, columns in [(3, 50), (50, 3)]:
        work = integer_costs.make_workspace(rows, columns, np.dtype(np.float32))
        assert work.costs.size == 3 * 64
        assert work.prices.size == 64


def test_a_huge_unmatched_affinity_does_not_reduce_accuracy():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 100, 64)).astype(np.float32)
    x[:, 3] = y[:, 3] = 0
    for size in (1e3, 1e5, 1e7):
        x[0, 3], y[0, 3] = size, -size
        affinity = x @ y.T
        _, value, bound = solve(affinity)
        assert value == pytest.approx(optimum(affinity), rel=1e-6)
        assert value <= bound <= value + 1e-12 * np.abs(affinity).max()


def test_sums_beyond_the_range_of_float64_are_still_maximised():
    affinity = np.array([[1.5e308, -1e308], [-1.5e308, 1e308]])
    np.testing.assert_array_equal(Optimal().match(affinity), [0, 1])
    np.testing.assert_array_equal(Optimal().match(affinity[:, ::-1]), [1, 0])
    np.testing.assert_array_equal(Optimal().match(affinity[:, [0, 1, 1]] + [0, 0, -1e307]), [0, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", HOSTILE)
def test_starting_prices_lie_within_the_range_of_costs(name, dtype):
    affinity = np.ascontiguousarray(HOSTILE[name](np.random.default_rng(14), 130, 130).astype(dtype))
    work, costs = start(affinity)
    most = 2.0 ** (8 * costs.itemsize - integer_costs.HEADROOM_BITS)
    assert 0 <= span(affinity) <= most
    assert work.prices[:130].min() >= 0
    assert work.prices[:130].max() <= 2 * most


def start(affinity):
    """Set the starting prices of a square problem, as `assign_batch` does."""
    size = len(affinity)
    work = integer_costs.make_workspace(size, size, affinity.dtype)
    costs = work.costs.reshape(size, -1)
    set_starting_prices(affinity, costs, work)
    return work, costs


@njit
def set_starting_prices(affinity, costs, work):
    size = len(affinity)
    top, bottom = integer_costs.extremes(affinity, 0, size, work)
    unit = integer_costs.make_costs(affinity, 0, size, False, top, bottom, costs)
    integer_costs.reset_prices(costs, size, work)
    if 0 < unit < np.inf:
        starting_prices.set_starting_prices(costs, size, work)


def span(affinity):
    size = len(affinity)
    work = integer_costs.make_workspace(size, size, affinity.dtype)
    costs = work.costs.reshape(size, -1)
    return span_of_costs(affinity, costs, work)


@njit
def span_of_costs(affinity, costs, work):
    size = len(affinity)
    top, bottom = integer_costs.extremes(affinity, 0, size, work)
    unit = integer_costs.make_costs(affinity, 0, size, False, top, bottom, costs)
    integer_costs.reset_prices(costs, size, work)
    starting_prices.set_starting_prices(costs, size, work)
    return starting_prices.span_of_costs(costs, work) if 0 < unit < np.inf else 0.0


def test_starting_prices_of_rank_one_affinities_nearly_certify_the_optimum():
    rng = np.random.default_rng(15)
    x, y = 1 + rng.random(200), 3 + 2 * rng.random(200)
    affinity = np.outer(x, y).astype(np.float32)
    work, _ = start(affinity)
    unit = (affinity.max() - affinity.min()) / 2.0**26
    gaps = []
    for prices in (np.zeros(200), work.prices[:200] * np.float64(unit)):
        upper, gap = np.empty((2, 1))
        value = np.array([optimum(affinity)])
        objective.dual_bounds(affinity, np.array([0, 200]), prices[None], value, upper, gap)
        gaps.append(gap[0])
    assert gaps[1] < 0.1 * gaps[0]
