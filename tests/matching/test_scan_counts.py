# SPDX-License-Identifier: Apache-2.0
"""The number of scans of rows that the exact solver needs, maximised by Hypothesis."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from simplugins.matching import integer_costs, linear_assignment, objective
from simplugins.matching.assignment_problems import whole_problems
from simplugins.matching.optimal import Optimal

SCANS = integer_costs.COUNTS.index("scans")


def count_scans(affinity):
    rows, cols = affinity.shape
    work = integer_costs.make_workspace(rows, cols, affinity.dtype)
    work.counts[:] = 0
    results = np.empty(rows, np.int64), np.zeros((1, max(rows, cols))), np.empty(1)
    linear_assignment.assign_batch(affinity, whole_problems(np.array([0, rows]), cols), work, None, *results)
    return int(work.counts[SCANS])


def most_scans(rows, cols):
    """The bound that `linear_assignment` states."""
    size = min(rows, cols)
    return size * (size + 1) / 2 + linear_assignment.MOST_BIDS * size + (rows != cols) * size**2


ELEMENTS = (
    st.integers(0, 1),
    st.integers(0, 3),
    st.sampled_from([10.0**k for k in range(-12, 13, 3)]),
    st.sampled_from([-1.0, 0.0, 2.0**-26, 2.0**-25, 2.0**-24]),
    st.floats(-1, 1, width=32),
)


@st.composite
def affinities(draw):
    """Draw a matrix, or one plus terms for its rows and columns, or one scaled by them."""
    rows, cols = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    elements = draw(st.sampled_from(ELEMENTS))
    matrix = draw(arrays(np.float64, (rows, cols), elements=elements))
    for shape in ((rows, 1), (1, cols)):
        terms = draw(arrays(np.float64, shape, elements=draw(st.sampled_from(ELEMENTS))))
        matrix = draw(st.sampled_from([matrix, matrix + terms, matrix * terms]))
    return matrix


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=400, deadline=None)
@given(matrix=affinities())
def test_no_problem_needs_more_scans_than_the_solver_promises(dtype, matrix):
    affinity = np.ascontiguousarray(matrix, dtype)
    ways = affinity, np.ascontiguousarray(affinity.T)
    scans = max(map(count_scans, ways))
    target(scans / min(matrix.shape), label=f"scans per row, {dtype}")
    assert scans <= most_scans(*matrix.shape)


def columns_with_fixed_costs(rng, size):
    """All edges of a column of a sparse graph cost the same."""
    edges = rng.random((size, size)) < (np.log(size) + 1) / size
    costs = np.where(edges, rng.permutation(np.arange(1.0, size + 1)), 10.0 * size)
    return -costs


def one_bad_column(rng, size):
    affinities = 1e-4 * rng.random((size, 2 * size))
    affinities[:, 3] -= 1
    return affinities


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("make", "most"), [(columns_with_fixed_costs, 16), (one_bad_column, 3)])
def test_columns_of_unusual_costs_need_few_scans(make, most, dtype):
    rng = np.random.default_rng(7)
    problems = [np.ascontiguousarray(make(rng, 196), dtype) for _ in range(5)]
    assert np.mean([count_scans(affinity) for affinity in problems]) / 196 < most
    for affinity in problems:
        rows, columns = linear_sum_assignment(affinity, maximize=True)
        best = affinity[rows, columns].sum(dtype=np.float64)
        found = Optimal().match(affinity)
        assert affinity[np.arange(196), found].sum(dtype=np.float64) == pytest.approx(best, rel=2.0**-19)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("repeated", [(0.5, 0.0), (0.7, 0.2)])
def test_repeated_rows_need_no_more_scans_than_repeated_columns(repeated, dtype):
    rng, size = np.random.default_rng(9), 120
    scans, exchanged = [], []
    for _ in range(5):
        x, y = np.maximum(rng.standard_normal((2, size, 32)), 0)
        for vectors, share in zip((x, y), repeated, strict=True):
            vectors[: int(share * size)] = vectors[0]
        affinity = np.ascontiguousarray(x @ y.T, dtype)
        ways = affinity, np.ascontiguousarray(affinity.T)
        for way, counts in zip(ways, (scans, exchanged), strict=True):
            counts.append(count_scans(way))
            offsets = np.array([0, size])
            found = Optimal().match_batch(way, offsets)
            value, upper, gap = np.empty((3, 1))
            objective.assignment_values(way, offsets, found.columns, value)
            objective.dual_bounds(way, offsets, found.prices, value, upper, gap)
            assert value[0] == pytest.approx(way[linear_sum_assignment(way, maximize=True)].sum(), rel=2.0**-19)
            assert gap[0] <= 2.0 ** (-20 if dtype == "float32" else -44)
    assert np.mean(scans) <= 1.2 * np.mean(exchanged)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("copies", [4, 10])
def test_repeated_rows_are_recognised_wherever_they_stand(copies, dtype):
    rng, size = np.random.default_rng(9), 120
    scans, exchanged = [], []
    for _ in range(5):
        x, y = np.maximum(rng.standard_normal((2, size, 32)), 0)
        x = rng.permutation(np.repeat(x[: size // copies], copies, axis=0))
        affinity = np.ascontiguousarray(x @ y.T, dtype)
        scans.append(count_scans(affinity))
        exchanged.append(count_scans(np.ascontiguousarray(affinity.T)))
    assert np.mean(scans) <= 1.2 * np.mean(exchanged)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=200, deadline=None)
@given(matrix=affinities())
def test_no_value_falls_short_of_the_optimum_by_more_than_the_solver_says(dtype, matrix):
    affinity = np.ascontiguousarray(matrix, dtype)
    rows, cols = affinity.shape
    work = integer_costs.make_workspace(rows, cols, affinity.dtype)
    columns, shortfall = np.empty(rows, np.int64), np.empty(1)
    problem = whole_problems(np.array([0, rows]), cols)
    linear_assignment.assign_batch(affinity, problem, work, None, columns, np.zeros((1, max(rows, cols))), shortfall)
    best_rows, best = linear_sum_assignment(affinity.astype(np.float64), maximize=True)
    matched = np.flatnonzero(columns >= 0)
    terms = np.concatenate([affinity[best_rows, best], -affinity[matched, columns[matched]]]).astype(np.float64)
    assert math.fsum(terms.tolist()) <= shortfall[0] + 2.0**-40 * np.abs(affinity).max()
