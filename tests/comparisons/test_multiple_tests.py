# SPDX-License-Identifier: Apache-2.0
"""Corrections for several tests, and letters of estimates that differ."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simplugins.comparisons.multiple_tests import family_p_values, holm, letters


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_rejects_step_by_step(p_values):
    corrected = holm(np.array(p_values))
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for step, k in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[k] * (len(p_values) - step) > level:
                break
            rejected.add(k)
        assert set(np.flatnonzero(corrected <= level)) == rejected


def test_undefined_tests_are_not_counted():
    np.testing.assert_array_equal(holm(np.array([np.nan, 0.01, 0.02])), [np.nan, 0.02, 0.02])
    null = np.array([[0.0, 1.0, np.nan], [1.0, 0.0, 1.0], [0.5, 0.5, 0.0]])
    result = family_p_values(np.array([np.nan, 2.0, 5.0]), null)
    np.testing.assert_array_equal(result, [np.nan, 0.25, np.nan])


def test_family_p_values_do_not_depend_on_the_scales_of_statistics():
    rng = np.random.default_rng(0)
    statistics, null = rng.normal(size=3), rng.normal(size=(99, 3))
    scales, shifts = np.array([1e-3, 1.0, 50.0]), np.array([5.0, 0.0, -2.0])
    expected = family_p_values(statistics, null)
    np.testing.assert_allclose(family_p_values(statistics * scales + shifts, null * scales + shifts), expected)


def test_statistics_without_variance_are_never_significant():
    assert family_p_values(np.ones(1), np.ones((9, 1))).tolist() == [1]


@st.composite
def relations(draw):
    count = draw(st.integers(1, 6))
    different = np.zeros((count, count), bool)
    for i, j in combinations(range(count), 2):
        different[i, j] = different[j, i] = draw(st.booleans())
    return different


@given(relations())
def test_candidates_share_a_letter_unless_they_differ(different):
    names = letters(different)
    for i, j in permutations(range(len(different)), 2):
        assert bool(set(names[i]) & set(names[j])) == (not different[i, j])
    assert all(names)
    shared = {letter: {i for i, name in enumerate(names) if letter in name} for letter in "".join(names)}
    assert not any(a < b for a, b in permutations(shared.values(), 2))


@pytest.mark.parametrize("count", [1, 3])
def test_candidates_that_do_not_differ_have_one_letter(count):
    assert letters(np.zeros((count, count), bool)) == ["a"] * count
