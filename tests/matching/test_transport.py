# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.optimize import linear_sum_assignment, linprog

from simplugins.matching.transport import transport


def by_linear_programming(affinity):
    """The largest mean affinity over all plans between uniform distributions."""
    rows, columns = affinity.shape
    marginals = np.concatenate([np.kron(np.eye(rows), np.ones(columns)), np.kron(np.ones(rows), np.eye(columns))])
    masses = np.concatenate([np.full(rows, 1 / rows), np.full(columns, 1 / columns)])
    return -linprog(-affinity.ravel(), A_eq=marginals, b_eq=masses, method="highs").fun


def solve(affinity):
    result = transport(affinity, np.array([0, len(affinity)]))
    assert result.gap == 0
    np.testing.assert_allclose(result.upper, result.values, rtol=1e-11, atol=1e-11 * np.abs(affinity).max())
    return result.values[0]


@given(
    affinity=npst.arrays(
        np.float64, npst.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(-100, 100, width=32)
    )
)
@settings(max_examples=150, deadline=None)
def test_values_equal_those_of_linear_programming(affinity):
    assert solve(affinity) == pytest.approx(by_linear_programming(affinity), rel=1e-8, abs=1e-8)


@given(seed=st.integers(0, 2**32 - 1), sizes=st.tuples(st.integers(1, 20), st.integers(1, 20)))
@settings(max_examples=60, deadline=None)
def test_ties_reach_the_optimum(seed, sizes):
    affinity = np.random.default_rng(seed).integers(-1, 2, size=sizes).astype(float)
    repeated = np.kron(affinity, np.ones((sizes[1], sizes[0])))  # all positions as often as the other set has some
    rows, columns = linear_sum_assignment(repeated, maximize=True)
    assert solve(affinity) == pytest.approx(repeated[rows, columns].mean())


@pytest.mark.parametrize("sizes", [(20, 13), (64, 100), (130, 200), (196, 49)])
def test_values_equal_those_of_pot(sizes):
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(sizes[0])
    for channels in (2, 64):
        affinity = rng.normal(size=(sizes[0], channels)) @ rng.normal(size=(channels, sizes[1])) + 3
        costs = affinity.max() - affinity  # POT 0.9.7 calls some problems with negative costs infeasible
        expected = affinity.max() - ot.emd2(ot.unif(sizes[0]), ot.unif(sizes[1]), costs)
        assert solve(affinity) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300])
def test_scales_do_not_matter(size):
    affinity = np.random.default_rng(0).normal(size=(7, 5))
    assert solve(size * affinity) / size == pytest.approx(solve(affinity), rel=1e-12)


def test_equal_sizes_give_the_mean_of_the_best_assignment():
    affinity = np.random.default_rng(0).normal(size=(30, 30))
    rows, columns = linear_sum_assignment(affinity, maximize=True)
    assert solve(affinity) == pytest.approx(affinity[rows, columns].mean())


def test_batches_of_float32_problems_of_unequal_size():
    rng = np.random.default_rng(0)
    affinities, offsets = rng.normal(size=(12, 6)).astype(np.float32), np.array([0, 3, 4, 12])
    result = transport(affinities, offsets)
    for b in range(3):
        part = affinities[offsets[b] : offsets[b + 1]].astype(np.float64)
        assert result.values[b] == pytest.approx(by_linear_programming(part), rel=1e-9)
