# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import oracle
import pytest

from simplugins import match


def test_a_permutation_is_recovered():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 8))
    order = rng.permutation(40)
    result = match(vectors[order], vectors)
    np.testing.assert_array_equal(result.columns, order)
    assert result.value == pytest.approx((vectors**2).sum())
    assert result.gap < 1e-12


@pytest.mark.parametrize("shapes", [((12, 5), (12, 5)), ((7, 5), (12, 5)), ((12, 5), (7, 5))])
def test_value_bound_and_columns_are_consistent(shapes):
    x, y = (np.random.default_rng(k).normal(size=shape) for k, shape in enumerate(shapes))
    result = match(x, y)
    matched = result.columns >= 0
    assert matched.sum() == min(len(x), len(y))
    assert result.value == pytest.approx(result.affinity[matched, result.columns[matched]].sum())
    assert result.value == pytest.approx(oracle.aligned_product(x, y))
    assert result.value <= result.upper_bound
    np.testing.assert_allclose(result.affinity, x @ y.T)


def test_maps_are_read_row_by_row():
    maps = np.random.default_rng(1).normal(size=(3, 2, 4))
    vectors = maps.reshape(3, 8).T
    expected = match(vectors, vectors[::-1]).columns
    np.testing.assert_array_equal(match(maps, maps[:, ::-1, ::-1]).columns, expected)
    last = np.moveaxis(maps, 0, -1)
    np.testing.assert_array_equal(match(last, last[::-1, ::-1], layout="hwc").columns, expected)


def test_huge_and_tiny_values_match_like_ordinary_ones():
    x, y = np.random.default_rng(2).normal(size=(2, 9, 4)).astype(np.float32)
    plain = match(x, y)
    extreme = match(np.ldexp(x, 100), np.ldexp(y, -100))
    np.testing.assert_array_equal(extreme.columns, plain.columns)
    assert extreme.value == plain.value


def test_identity_matching_of_a_pair():
    x, y = np.random.default_rng(3).normal(size=(2, 9, 4))
    result = match(x, y, "identity")
    assert result.value == pytest.approx((x * y).sum())
    best = oracle.aligned_product(x, y)
    assert result.value <= best <= result.upper_bound
    assert result.gap == (result.upper_bound - result.value) / result.upper_bound


def test_responses_that_do_not_form_a_pair_raise():
    with pytest.raises(ValueError, match=r"x: .*\(2, 3, 4, 5\)"):
        match(np.zeros((2, 3, 4, 5)), np.zeros((2, 3, 4, 5)))
    with pytest.raises(ValueError, match=r"x: .*\(2, 3\).*layout 'chw'"):
        match(np.zeros((2, 3)), np.zeros((2, 3)), layout="chw")
    with pytest.raises(ValueError, match=r"^y: .*\b3 channels\b.*\b4$"):
        match(np.zeros((2, 3)), np.zeros((2, 4)))
