# SPDX-License-Identifier: Apache-2.0
"""Problems whose first solution is not proven: wide ranges of affinities, against SciPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import optimum

from simplugins import Auction, Optimal
from simplugins.matching import assignment_refinement, integer_costs, linear_assignment, objective
from simplugins.matching.assignment_problems import make_problems, whole_problems
from simplugins.matching.matcher import check_assignment
from simplugins.matching.solver import EXACT, solve

SHAPES = [(2, 2), (3, 3), (17, 17), (49, 49), (5, 12), (12, 5), (49, 64), (64, 49)]


def powers(rng, rows, cols):
    return -(2.0 ** rng.integers(-60, 60, (rows, cols)).astype(np.float64))


def two_cost(rng, rows, cols):
    """Free or forbidden, on steps of a million, with scales of rows and columns over many magnitudes."""
    allowed = rng.random((rows, cols)) < 0.2
    scales = 10.0 ** (4 * (rng.standard_normal((rows, 1)) + rng.standard_normal((1, cols))))
    return np.where(allowed, 0.0, -1e6) * scales


def forbidden(rng, rows, cols):
    """A few pairs a billion times as bad as the others are good."""
    values = rng.standard_normal((rows, cols))
    return np.where(rng.random((rows, cols)) < 0.3, -1e9, values)


def cancelling(rng, rows, cols):
    """Terms of rows and columns that nearly cancel in every matched pair: prices dwarf the matched affinities."""
    terms = 2.0 ** rng.integers(10, 20, max(rows, cols))
    return terms[:rows, None] - terms[None, :cols] + 2.0**-6 * rng.integers(0, 64, (rows, cols))


def crowded(rng, rows, cols):
    """One column that suits all rows nearly equally, and others that are worse by far: most rows must take these."""
    values = -1.0 - rng.random((rows, cols))
    values[:, 0] = -1e-7 * (1 + rng.random(rows))
    return values


KINDS = (powers, two_cost, forbidden, cancelling, crowded)


def assert_exact(affinity, columns, exact):
    check_assignment(columns, *affinity.shape, name="refined")
    rows = np.flatnonzero(columns >= 0)
    matched = affinity[rows, columns[rows]].astype(np.float64)
    magnitude = np.abs(matched).sum()
    rounding = 8 * max(affinity.shape) * np.finfo(np.float64).eps * magnitude
    assert optimum(affinity) - matched.sum() <= exact * magnitude + rounding


def refine(affinity):
    """Solve a problem once on integer costs, then refine it; return columns, prices, and whether each was proven."""
    rows, cols = affinity.shape
    problems, exact = whole_problems(np.array([0, rows]), cols), EXACT[affinity.dtype]
    work = integer_costs.make_workspace(rows, cols, affinity.dtype)
    columns, prices, shortfall = np.empty(rows, np.int64), np.zeros((1, max(rows, cols))), np.empty(1)
    linear_assignment.assign_batch(affinity, problems, work, None, columns, prices, shortfall)
    unproven = np.empty(1, np.bool_)
    objective.find_unproven(affinity, problems, columns, shortfall, 0.0, exact, unproven)
    found = bool(unproven[0])
    spare, levels = np.empty(rows * cols, affinity.dtype), np.empty((5, max(rows, cols)))
    assignment_refinement.refine_batch(affinity, problems, unproven, 0.0, exact, work, spare, levels, columns, prices)
    return columns, prices, found, not unproven[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_problems_of_wide_ranges_are_refined_until_their_values_are_proven(kind, dtype):
    rng, refined = np.random.default_rng(17), 0
    for rows, cols in SHAPES:
        for _ in range(4):
            affinity = np.ascontiguousarray(kind(rng, rows, cols).astype(dtype))
            columns, _, unproven_before, proven = refine(affinity)
            refined += unproven_before
            assert proven
            assert_exact(affinity, columns, EXACT[np.dtype(dtype)])
    assert refined > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (49, 70)])
def test_columns_that_nobody_wants_need_no_refinement(shape, dtype):
    rng = np.random.default_rng(4)
    fine = 1e-5 if dtype == np.float32 else 1e-14
    affinity = fine * rng.random(shape) - fine
    if shape[0] < shape[1]:
        affinity[:, 3] -= 1
    else:
        affinity[3] -= 1
    affinity = affinity.astype(dtype)
    columns, _, unproven, _ = refine(affinity)
    assert not unproven
    assert_exact(affinity, columns, EXACT[np.dtype(dtype)])


@pytest.mark.parametrize(("bound", "expected"), [(0.0, False), (1.0, True), (np.inf, True), (np.nan, True)])
def test_a_bound_that_is_not_a_number_proves_nothing(bound, expected):
    affinity, unproven = np.eye(3), np.empty(1, np.bool_)
    problems = whole_problems(np.array([0, 3]), 3)
    objective.find_unproven(affinity, problems, np.arange(3), np.array([bound]), 0.0, EXACT[affinity.dtype], unproven)
    assert unproven[0] == expected


@pytest.mark.parametrize("scale", [1e-260, 1e-280, 1e-285, 1e-290])
@pytest.mark.parametrize("fine", [1e-6, 1e-10, 1e-14])
def test_tiny_affinities_are_matched_exactly_if_nobody_wants_a_column(fine, scale):
    affinity = fine * np.random.default_rng(4).random((20, 60)) - fine
    affinity[:, 3] -= 1
    columns, *_ = refine(scale * affinity)
    assert_exact(affinity, columns, 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS),
    rows=st.integers(1, 12),
    cols=st.integers(1, 12),
    exponent=st.integers(-60, 60),
)
def test_values_equal_scipys_on_any_scale_and_either_way_round(dtype, seed, kind, rows, cols, exponent):
    affinity = np.ldexp(
        kind(np.random.default_rng(seed), rows, cols), exponent if dtype == np.float32 else 10 * exponent
    )
    affinity = np.ascontiguousarray(np.clip(affinity, -1e37, 1e37) if dtype == np.float32 else affinity, dtype)
    for way in (affinity, np.ascontiguousarray(affinity.T)):
        assert_exact(way, Optimal().match(way), EXACT[np.dtype(dtype)])


def test_prices_of_two_parts_prove_what_a_price_of_one_number_cannot():
    affinity = np.array([[-1e6, -1e6, 0.0], [0.0, -1e6, -1e6], [-0.1, 0.0, -1e6 - 0.1]])
    columns, _, _, proven = refine(affinity)
    np.testing.assert_array_equal(columns, [2, 0, 1])
    assert proven


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_refinement_of_windows_leaves_the_other_rows_alone(dtype):
    rng = np.random.default_rng(3)
    affinities = np.ascontiguousarray(forbidden(rng, 30, 40).astype(dtype))
    problems = make_problems(np.array([0, 12, 20]), np.array([12, 20, 26]), np.array([0, 9, 31]), np.array([9, 31, 40]))
    found = solve(affinities, problems)
    for (start, stop, first, end), prices in zip(problems, found.prices, strict=True):
        block = affinities[start:stop, first:end]
        columns = found.columns[start:stop]
        assert_exact(block, np.where(columns < 0, -1, columns - first), EXACT[np.dtype(dtype)])
        values, upper, gap = np.full(1, optimum(block)), np.empty(1), np.empty(1)
        block = np.ascontiguousarray(block)
        objective.dual_bounds(block, np.array([0, len(block)]), prices[None].copy(), values, upper, gap)
        assert upper[0] >= values[0]
        assert upper[0] - values[0] <= 1e-12 * np.abs(prices).sum() + EXACT[np.dtype(dtype)] * np.abs(block).max()
    assert (found.columns[26:] == -1).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_tolerance_is_kept_where_ranges_are_wide(kind):
    rng, matcher = np.random.default_rng(5), Auction(tolerance=0.02)
    for rows, cols in SHAPES:
        affinity = kind(rng, rows, cols).astype(np.float32)
        columns = matcher.match(affinity)
        best, matched = optimum(affinity), np.flatnonzero(columns >= 0)
        value = affinity[matched, columns[matched]].astype(np.float64).sum()
        assert value >= best - 0.021 * abs(best) - 1e-6 * abs(value)
