# SPDX-License-Identifier: Apache-2.0
"""Integer costs and their sums against NumPy, for submatrices in both orientations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from simplugins.matching import integer_costs, starting_prices
from simplugins.matching.integer_costs import HEADROOM_BITS


@njit
def make(affinities, first, end, transposed, floor, costs, work):
    top, bottom = integer_costs.extremes(affinities, first, end, work)
    return top, bottom, integer_costs.make_costs(affinities, first, end, transposed, top, max(floor, bottom), costs)


@njit
def find_floor(affinities, transposed, costs, work):
    top, bottom = integer_costs.extremes(affinities, 0, affinities.shape[1], work)
    unit = integer_costs.make_costs(affinities, 0, affinities.shape[1], transposed, top, bottom, costs)
    return integer_costs.likely_floor(costs, max(affinities.shape), top, bottom, unit)


@njit
def add_up(costs, cols, work):
    integer_costs.reset_prices(costs, cols, work)
    starting_prices.set_starting_prices(costs, cols, work)


def padded(rows, cols, dtype):
    work = integer_costs.make_workspace(rows, cols, np.dtype(dtype))
    return work.costs.reshape(min(rows, cols), -1), work


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 70),
    cols=st.integers(1, 70),
    before=st.integers(0, 3),
    behind=st.integers(0, 40),
    floor=st.sampled_from([-np.inf, -0.5, 0.9]),
    seed=st.integers(0, 2**32 - 1),
)
def test_costs_are_distances_to_the_largest_affinity_in_even_units(dtype, rows, cols, before, behind, floor, seed):
    stored = np.random.default_rng(seed).uniform(-1, 1, (rows, before + cols + behind)).astype(dtype)
    block = stored[:, before : before + cols]
    costs, work = padded(rows, cols, dtype)
    costs[:] = -1
    top, bottom, unit = make(stored, before, before + cols, rows > cols, dtype(floor), costs, work)
    assert (top, bottom) == (block.max(), block.min())
    spread = np.float64(top) - max(np.float64(bottom), np.float64(dtype(floor)))
    if spread <= 0:
        return
    assert unit == 0.5 / (2.0 ** (8 * costs.itemsize - HEADROOM_BITS - 1) / spread)
    expected = (np.float64(top) - np.maximum(block, dtype(floor)).astype(np.float64)) * (0.5 / unit)
    expected = 2 * expected.astype(np.int64)
    size = max(rows, cols)
    np.testing.assert_array_equal(costs[:, :size], expected.T if rows > cols else expected)
    assert (costs[:, size:] == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (31, 31), (33, 70), (64, 64), (20, 1100)])
def test_sums_of_costs_are_exact(dtype, shape):
    rows, cols = shape
    costs, work = padded(rows, cols, dtype)
    costs[:] = 0
    most = 2 ** (8 * costs.itemsize - HEADROOM_BITS)
    costs[:, :cols] = most - 2 * np.random.default_rng(8).integers(0, 4, shape)
    rows_before, columns_before = (costs.sum(axis, dtype=object).astype(float) for axis in (1, 0))
    add_up(costs, cols, work)
    rounding = 0 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(work.row_sums[:rows], rows_before, rtol=rounding)
    np.testing.assert_allclose(work.column_sums[:cols], columns_before[:cols], rtol=rounding)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_floor_is_set_only_where_units_are_coarse_and_the_rest_is_far_below(dtype, transposed):
    rng = np.random.default_rng(6)
    near = (1e-4 if dtype == np.float32 else 1e-13) * rng.random((30, 50))
    far = near - 1e-3 * near.max()
    far[:, 7] -= 1
    contested = far.copy()
    contested[5] -= 0.5
    for affinity, has_floor in ((near, False), (far, True), (far + 1, False), (contested, False)):
        affinity = affinity.astype(dtype)
        costs, work = padded(30, 50, dtype)
        floor = find_floor(np.ascontiguousarray(affinity.T if transposed else affinity), transposed, costs, work)
        assert (floor > affinity.min()) == has_floor
        assert floor < affinity.max(1).min()
