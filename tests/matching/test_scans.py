# SPDX-License-Identifier: Apache-2.0
"""Vector scans against their scalar twins and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from simplugins.matching import scalar_scans, vector_scans
from simplugins.matching.scalar_scans import CLOSED_PRICE_BITS, LANES


@njit
def two_smallest(costs, row, prices):
    return vector_scans.two_smallest(costs, row, prices)


@njit
def mean_lead(costs, row, prices):
    return vector_scans.mean_lead(costs, row, prices)


@njit
def relax(costs, row, base, prices, keys, predecessors):
    return vector_scans.relax(costs, row, base, prices, keys, predecessors)


@njit
def relax_open(costs, row, base, prices, keys, predecessors):
    return vector_scans.relax_open(costs, row, base, prices, keys, predecessors)


def closed_price(dtype):
    return 2 ** (8 * np.dtype(dtype).itemsize - CLOSED_PRICE_BITS)


@njit
def raise_maxima(affinities, row, scale, prices, price, maxima):
    return vector_scans.raise_maxima(affinities, row, scale, prices, price, maxima)


costs_like = given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 6)),
    dtype=st.sampled_from([np.int32, np.int64]),
    seed=st.integers(0, 2**32 - 1),
    high=st.sampled_from([1, 2, 5, 1000, 2**26]),
    closed=st.sampled_from([0.0, 0.3, 0.9]),
)


def random_costs(shape, dtype, seed, high, closed):
    """Costs, prices, keys and predecessors with many ties, and with closed columns; at least one column is open."""
    rng = np.random.default_rng(seed)
    rows, columns = shape[0], shape[1] * LANES
    costs = rng.integers(0, high, size=(rows, columns)).astype(dtype)
    prices, keys, predecessors = rng.integers(0, high, size=(3, columns)).astype(dtype)
    shut = rng.random(columns) < closed
    shut[rng.integers(columns)] = False
    prices[shut] = keys[shut] = closed_price(dtype)
    return costs, int(rng.integers(rows)), prices, keys, predecessors


@costs_like
@settings(max_examples=150, deadline=None)
def test_two_smallest_equals_its_twin(shape, dtype, seed, high, closed):
    costs, row, prices, _, _ = random_costs(shape, dtype, seed, high, closed)
    column, smallest, second = two_smallest(costs, row, prices)
    assert (column, smallest, second) == scalar_scans.two_smallest(costs, row, prices)
    total = costs[row] + prices
    assert total[column] == smallest == total.min()
    assert second == min(np.partition(total, 1)[1], closed_price(dtype))


@costs_like
@settings(max_examples=150, deadline=None)
def test_mean_lead_equals_its_twin_and_the_mean_of_lanes(shape, dtype, seed, high, closed):
    costs, row, prices, _, _ = random_costs(shape, dtype, seed, high, closed)
    lead = mean_lead(costs, row, prices)
    assert lead == scalar_scans.mean_lead(costs, row, prices)
    lanes = (costs[row] + prices).reshape(-1, 64 // costs.itemsize).min(0)
    leads = np.where(lanes < closed_price(dtype), lanes - lanes.min(), 0)
    assert np.mean(leads) - len(leads) < lead <= np.mean(leads)  # each lane is rounded down


@costs_like
@settings(max_examples=150, deadline=None)
def test_relax_equals_its_twin(shape, dtype, seed, high, closed):
    costs, row, prices, keys, predecessors = random_costs(shape, dtype, seed, high, closed)
    twin_keys, twin_predecessors = keys.copy(), predecessors.copy()
    reached = costs[row] + prices + dtype(-3)
    expected = np.minimum(keys, reached), np.where(reached < keys, row, predecessors)
    result = relax(costs, row, dtype(-3), prices, keys, predecessors)
    assert result == scalar_scans.relax(costs, row, dtype(-3), prices, twin_keys, twin_predecessors)
    for vector, twin, truth in zip((keys, predecessors), (twin_keys, twin_predecessors), expected, strict=True):
        np.testing.assert_array_equal(vector, twin)
        np.testing.assert_array_equal(vector, truth)
    assert keys[result[0]] == result[1] == keys.min()


@costs_like
@settings(max_examples=150, deadline=None)
def test_closed_columns_are_not_relaxed(shape, dtype, seed, high, closed):
    costs, row, prices, keys, predecessors = random_costs(shape, dtype, seed, high, closed)
    rng = np.random.default_rng(seed)
    keys[rng.random(keys.size) < closed] = -1
    keys[rng.integers(keys.size)] = high  # one stays open
    twin_keys, twin_predecessors = keys.copy(), predecessors.copy()
    expected = np.where(keys < 0, -1, np.minimum(keys, costs[row] + prices + dtype(3)))
    result = relax_open(costs, row, dtype(3), prices, keys, predecessors)
    twin = scalar_scans.relax_open(costs, row, dtype(3), prices, twin_keys, twin_predecessors)
    assert result == twin
    np.testing.assert_array_equal(keys, twin_keys)
    np.testing.assert_array_equal(predecessors, twin_predecessors)
    np.testing.assert_array_equal(keys, expected)
    assert keys[result[0]] == result[1] == expected[expected >= 0].min()


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 70)),
    dtypes=st.sampled_from([(np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float64)]),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["distinct", "ties", "zeros", "huge"]),
    closed=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=200, deadline=None)
def test_largest_equals_its_twin(shape, dtypes, seed, kind, closed):
    rng = np.random.default_rng(seed)
    affinities, prices = rng.normal(size=shape), rng.normal(size=shape[1])
    if kind in ("ties", "zeros"):
        affinities, prices = np.rint(affinities), np.rint(prices)
    if kind == "zeros":
        affinities, prices = np.copysign(0.0, affinities), np.copysign(0.0, prices)
    if kind == "huge":
        affinities *= 1e37
    prices[rng.random(shape[1]) < closed] = np.inf
    affinities, prices = affinities.astype(dtypes[0]), prices.astype(dtypes[1])
    row = int(rng.integers(shape[0]))
    result = vector_scans.largest(affinities, row, prices)
    assert result == scalar_scans.largest(affinities, row, prices)
    differences = affinities[row].astype(dtypes[1]) - prices
    assert result == (differences.argmax(), differences.max())


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_ties_go_to_the_lowest_position_within_a_block_of_64_bytes(dtype):
    costs, prices = np.ones((1, 4 * LANES), dtype), np.zeros(4 * LANES, dtype)
    lanes = 64 // costs.itemsize
    costs[0, [lanes + 1, 3, 2 * lanes + 1]] = 0
    for scan in (two_smallest, scalar_scans.two_smallest):
        assert scan(costs, 0, prices) == (lanes + 1, 0, 0)


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 70)),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
    negative=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_raise_maxima_equals_its_twin(shape, dtype, seed, negative):
    rng = np.random.default_rng(seed)
    affinities = (rng.normal(size=shape) - 10 * negative).astype(dtype)
    prices, before = rng.normal(size=(2, shape[1])).astype(dtype)
    row, scale, price = int(rng.integers(shape[0])), dtype(0.25), dtype(rng.normal())
    maxima, twin_maxima = before.copy(), before.copy()
    largest = raise_maxima(affinities, row, scale, prices, price, maxima)
    assert largest == scalar_scans.raise_maxima(affinities, row, scale, prices, price, twin_maxima)
    assert largest == (scale * affinities[row] - prices).max()
    for values in (maxima, twin_maxima):
        np.testing.assert_array_equal(values, np.maximum(before, scale * affinities[row] - price))
