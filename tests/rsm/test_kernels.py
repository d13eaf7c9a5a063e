# SPDX-License-Identifier: Apache-2.0
from math import exp, sqrt
from statistics import median_low

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import simplugins
from simplugins.data import load_photos
from simplugins.rsm import kernels

# Three responses of one position: (3, 4), (0, 0) and (0, 2); their squared norms and inner products.
NORMS = np.array([25.0, 0.0, 4.0])
PRODUCTS = np.array([[25.0, 0.0, 8.0], [0.0, 0.0, 0.0], [8.0, 0.0, 4.0]])


def photos(count=4, dtype=np.float32):
    return load_photos()["block15"][:count].astype(dtype)


def test_kernels_are_the_three_of_the_paper():
    assert kernels.KERNELS == ("linear", "cosine", "rbf")


def test_linear_copies_the_aligned_inner_products():
    result = kernels.linear(PRODUCTS)
    assert np.array_equal(result, PRODUCTS)
    assert not np.shares_memory(result, PRODUCTS)


def test_cosine_divides_by_both_lengths():
    assert kernels.cosine(np.array([[6.0, -8.0]]), np.array([9.0]), np.array([16.0, 64.0])).tolist() == [
        [6 / 12, -8 / 24]
    ]


def test_cosine_of_a_zero_response_is_zero_with_everything_and_itself():
    result = kernels.cosine(PRODUCTS, NORMS, NORMS)
    assert result.tolist() == [[1, 0, 0.8], [0, 0, 0], [0.8, 0, 1]]


def test_cosine_stays_within_one_where_products_are_rounded():
    above = np.array([[9.0 * (1 + 1e-7), -9.0 * (1 + 1e-7)]])
    assert kernels.cosine(above, np.array([9.0]), np.array([9.0, 9.0])).tolist() == [[1, -1]]


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_cosine_of_extreme_norms_neither_overflows_nor_vanishes(scale):
    norms = np.array([scale])
    assert kernels.cosine(norms[:, None] / 2, norms, norms)[0, 0] == pytest.approx(0.5, rel=1e-15)


def test_squared_distances_by_hand():
    result = kernels.squared_distances(PRODUCTS, NORMS, NORMS)
    assert result.tolist() == [[0, 25, 13], [25, 0, 4], [13, 4, 0]]


def test_squared_distances_of_two_sets_have_one_row_per_input_of_the_first():
    result = kernels.squared_distances(np.array([[1.0, 2.0, 0.0]]), np.array([4.0]), np.array([1.0, 1.0, 9.0]))
    assert result.tolist() == [[3, 1, 13]]


def test_kernels_do_not_change_their_arguments():
    products, norms = PRODUCTS.copy(), NORMS.copy()
    kernels.rbf(kernels.squared_distances(products, norms, norms), 1.0)
    kernels.cosine(products, norms, norms)
    assert np.array_equal(products, PRODUCTS)
    assert np.array_equal(norms, NORMS)


@given(st.floats(-1, 1), st.floats(1e-3, 1e3))
def test_distance_within_the_rounding_of_float32_is_exactly_zero(error, norm):
    # a float32 inner product of a response with itself: off by a few units in the last place, 2^-24 of it each
    product, norms = norm * (1 + 4 * error * 2.0**-24), np.array([norm])
    result = kernels.squared_distances(np.array([[product]]), norms, norms, rounding=2.0**-21)
    assert result.item() == 0


def test_distance_beyond_the_rounding_of_float32_is_kept():
    norm, square = 100.0, 100.0 * 2.0**-17
    products, norms = np.array([[norm - square / 2]]), np.array([norm])
    result = kernels.squared_distances(products, norms, norms, rounding=2.0**-21).item()
    assert result == pytest.approx(square, rel=1e-9)  # rounding of 2 n, 2^-52, divided by the share 2^-18


def test_distance_is_never_negative():
    assert kernels.squared_distances(np.array([[5.0]]), np.array([1.0]), np.array([1.0])).item() == 0


def test_rbf_by_hand():
    result = kernels.rbf(np.array([[0.0, 8.0, 18.0]]), sigma=2.0)
    assert result[0].tolist() == pytest.approx([1, exp(-1), exp(-2.25)], rel=1e-15)


def test_rbf_of_sigma_zero_is_one_everywhere():
    assert kernels.rbf(np.zeros((2, 3)), 0.0).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_rbf_of_a_huge_sigma_is_one():
    assert kernels.rbf(np.array([[0.0, 4.0]]), 1e200).tolist() == [[1, 1]]


def test_rbf_of_a_tiny_sigma_is_one_on_zero_distance_and_zero_elsewhere():
    assert kernels.rbf(np.array([[0.0, 4.0]]), 1e-170).tolist() == [[1, 0]]


def test_rbf_of_equal_responses_is_one():
    x = np.repeat(photos(1), 3, axis=0)
    rsm = simplugins.compute_rsm(x, "semantic-rbf")
    assert np.array_equal(rsm, np.ones((3, 3)))
    assert rsm.sigma == 0


def test_rbf_of_zero_responses_is_one():
    assert np.array_equal(simplugins.compute_rsm(np.zeros((3, 2, 4)), "semantic-rbf"), np.ones((3, 3)))


@pytest.mark.parametrize("measure", ["semantic-cosine", "spatio-semantic-cosine"])
def test_cosine_of_an_input_without_response_is_zero_in_its_row_and_column(measure):
    x = photos()
    x[1] = 0
    values = np.asarray(simplugins.compute_rsm(x, measure))
    assert not values[1].any()
    assert not values[:, 1].any()
    assert values[0, 2] > 0


@pytest.mark.parametrize("measure", ["semantic-rbf", "spatio-semantic-rbf"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_duplicates_of_real_inputs_have_rbf_exactly_one(measure, dtype):
    x = photos(4, dtype)
    x[3] = x[0]
    values = np.asarray(simplugins.compute_rsm(x, measure))
    assert values[0, 3] == 1
    assert values[0, 1] < 1


@pytest.mark.parametrize(("squares", "expected"), [([4.0, 9.0, 16.0], 3), ([4.0, 9.0, 16.0, 25.0], 3), ([9.0], 3)])
def test_sigma_is_the_root_of_the_middle_or_the_lower_of_two_middle_squares(squares, expected):
    assert kernels.median_sigma(np.array([squares]), symmetric=False) == expected


def test_sigma_ignores_zeros():
    assert kernels.median_sigma(np.array([[0.0, 0.0, 0.0, 4.0, 9.0]]), symmetric=False) == 2


def test_sigma_of_zeros_alone_is_zero():
    assert kernels.median_sigma(np.zeros((3, 3)), symmetric=True) == 0


def test_sigma_counts_each_pair_of_a_symmetric_matrix_once():
    # doubling every pair would not move the lower median, so a matrix whose halves differ shows that one is read
    assert kernels.median_sigma(np.array([[0.0, 100.0], [4.0, 0.0]]), symmetric=True) == 2


def test_sigma_counts_every_entry_where_rows_and_columns_differ():
    assert kernels.median_sigma(np.array([[1.0, 100.0], [4.0, 9.0]]), symmetric=False) == 2


@given(arrays(np.float64, (5, 5), elements=st.sampled_from([0.0, 0.25, 1.0, 2.0, 3.0, 7.0])), st.booleans())
def test_sigma_is_the_low_median_of_the_standard_library(distances, symmetric):
    pairs = [distances[i, j] for i in range(5) for j in range(i if symmetric else 5)]
    positive = [pair for pair in pairs if pair > 0]
    assert kernels.median_sigma(distances, symmetric=symmetric) == (sqrt(median_low(positive)) if positive else 0)


def test_sigma_is_a_float_and_does_not_reorder_distances():
    distances = np.array([[9.0, 1.0, 4.0]])
    assert type(kernels.median_sigma(distances, symmetric=False)) is float
    assert distances.tolist() == [[9, 1, 4]]
