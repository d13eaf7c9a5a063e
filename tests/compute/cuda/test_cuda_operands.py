# SPDX-License-Identifier: Apache-2.0
"""Accuracy of products of 16-bit and TF32 factors."""

from __future__ import annotations

import numpy as np
import pytest

from simplugins.compute.engines.cuda.operands import operand


def product(rows, columns, precision):
    """Multiply in float64, without further rounding."""
    factors = operand(rows, precision, columns=False), operand(columns, precision, columns=True)
    return factors[0].astype(np.float64) @ factors[1].astype(np.float64).T


@pytest.mark.parametrize(
    ("precision", "least", "most"),
    [("float64", 0, 1e-15), ("float32", 0, 1e-15), ("float16x3", 1e-10, 2e-7), ("tf32", 1e-5, 5e-4)],
)
@pytest.mark.parametrize("rectified", [False, True])
def test_rounding_of_factors_is_within_the_stated_bounds(precision, least, most, rectified):
    rng = np.random.default_rng(0)
    rows, columns = (rng.normal(size=(n, 64)).astype(np.float32) for n in (20, 30))
    if rectified:
        rows, columns = np.maximum(rows, 0), np.maximum(columns, 0)
    exact = rows.astype(np.float64) @ columns.T.astype(np.float64)
    scale = np.outer(np.linalg.norm(rows, axis=1), np.linalg.norm(columns, axis=1))
    assert least <= np.abs((product(rows, columns, precision) - exact) / scale).max() <= most


def truncate(values, unit):
    return np.trunc(values / unit) * unit


def unit_of_24_bits(values):
    return np.ldexp(1.0, np.frexp(values)[1] - 24)


def tensor_core_product(rows, columns):
    """Multiply as a tensor core: 16 products and the sum so far are aligned to the largest, and cut to 24 + 2 bits."""
    total = np.zeros((len(rows), len(columns)))
    for start in range(0, rows.shape[1], 16):
        terms = rows[:, None, start : start + 16].astype(np.float64) * columns[None, :, start : start + 16]
        terms = np.concatenate([total[..., None], terms], axis=-1)
        total = truncate(terms, unit_of_24_bits(np.abs(terms).max(-1, keepdims=True)) / 4).sum(-1)
        total = truncate(total, unit_of_24_bits(total))
    return total


def test_truncating_tensor_cores_lose_least_if_small_terms_come_first():
    rng = np.random.default_rng(0)
    rows, columns = (np.maximum(rng.normal(size=(n, 320)), 0).astype(np.float32) for n in (12, 15))
    exact = rows.astype(np.float64) @ columns.T.astype(np.float64)
    factors = operand(rows, "float16x3", columns=False), operand(columns, "float16x3", columns=True)
    turned = [factor.reshape(len(factor), 3, -1)[:, ::-1].reshape(len(factor), -1) for factor in factors]
    error, error_of_reverse = (np.abs(tensor_core_product(*pair) / exact - 1).max() for pair in (factors, turned))
    assert error <= 2e-6
    assert error < 0.7 * error_of_reverse


def test_tf32_rounds_to_nearest_with_ties_to_even():
    ulp = 2.0**-10
    values = np.array([[1 + ulp / 2], [1 + ulp * 3 / 2], [1 + ulp * 0.75], [-1 - ulp / 4], [0], [-3e38]], np.float32)
    rounded = operand(values, "tf32", columns=False)
    np.testing.assert_array_equal(rounded[:5, 0], [1, 1 + 2 * ulp, 1 + ulp, -1, 0])
    assert rounded[5, 0] == pytest.approx(-3e38, rel=ulp)
