# SPDX-License-Identifier: Apache-2.0
"""Accuracy of products of 16-bit factors."""

from __future__ import annotations

import numpy as np
import pytest
from emulation.device import EmulatedDevice
from emulation.tensor_cores import tensor_core_product

from simplugins.compute.engines.cuda.operands import default_precision, operand


def product(rows, columns, precision):
    """Multiply in float64, without further rounding."""
    factors = operand(rows, precision, columns=False), operand(columns, precision, columns=True)
    return factors[0].astype(np.float64) @ factors[1].astype(np.float64).T


@pytest.mark.parametrize(
    ("precision", "least", "most"),
    [("float64", 0, 1e-15), ("float32", 0, 1e-15), ("float16x3", 1e-10, 2e-7)],
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


def on_tensor_cores(rows, columns):
    out = np.empty((len(rows), len(columns)), np.float32)
    tensor_core_product(rows, columns, out)
    return out


def error_on_tensor_cores(rows, columns):
    """The largest error of an inner product, relative to the norms of its vectors, which are scaled as an input is."""
    rows, columns = (np.ldexp(side, 14 - np.frexp(np.linalg.norm(side))[1]) for side in (rows, columns))
    factors = operand(rows, "float16x3", columns=False), operand(columns, "float16x3", columns=True)
    assert all(factor.dtype == np.float16 and factor.shape[1] % 8 == 0 for factor in factors)
    exact = rows.astype(np.float64) @ columns.T.astype(np.float64)
    norms = np.outer(*(np.linalg.norm(side.astype(np.float64), axis=1) for side in (rows, columns)))
    return (np.abs(on_tensor_cores(*factors) - exact)[norms > 0] / norms[norms > 0]).max(initial=0)


FAMILIES = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "rectified": lambda rng, shape: np.maximum(rng.normal(size=shape), 0),
    "log-normal": lambda rng, shape: rng.lognormal(0, 1, shape),
    "large mean": lambda rng, shape: 500 + rng.normal(size=shape),
    "sparse": lambda rng, shape: rng.normal(size=shape) * (rng.random(shape) < 0.02),
    "large vectors": lambda rng, shape: rng.normal(size=shape) * np.where(np.arange(shape[0]) % 5 == 0, 50, 1)[:, None],
}


@pytest.mark.parametrize("channels", [37, 320, 1111])
@pytest.mark.parametrize("family", FAMILIES)
def test_three_float16_products_are_as_accurate_as_float32_at_any_number_of_channels(family, channels):
    rng = np.random.default_rng(channels)
    rows, columns = (FAMILIES[family](rng, (count, channels)).astype(np.float32) for count in (20, 30))
    assert error_on_tensor_cores(rows, columns) <= 4e-7


@pytest.mark.parametrize("channels", [1, 5, 320, 5000])
def test_remainders_that_all_align_stay_within_the_stated_bound(channels):
    """All entries are equal, so that their rounding errors add up; in float32, too."""
    rows, columns = (np.full((3, channels), number, np.float32) for number in (1 / 3, 2 / 7))
    assert error_on_tensor_cores(rows, columns) <= 2.0**-22 * (1 + np.sqrt(channels + 12))


def test_vectors_of_very_different_norms_are_split():
    """What underflows is negligible beside the largest vectors."""
    rows = np.array([[0, 0, 0], [2.0**-20, 0, 2.0**-21], [2.0**14, 2.0**13, 1 / 3], [-1, 3, 2.0**-20]], np.float32)
    factors = operand(rows, "float16x3", columns=False), operand(rows, "float16x3", columns=True)
    error = on_tensor_cores(*factors) - rows.astype(np.float64) @ rows.T.astype(np.float64)
    largest = np.linalg.norm(rows[2])
    assert np.abs(error).max() <= 2.0**-22 * largest**2
    assert np.abs(error[3, 3]) <= 2.0**-22 * 10


def test_truncation_loses_nothing_of_the_large_terms():
    """Sums of products of whole numbers of steps fit 24 bits, in any order and however long the vectors."""
    rng = np.random.default_rng(0)
    rows, columns = (np.maximum(rng.normal(size=(n, 640)), 0).astype(np.float32) for n in (12, 15))
    factors = operand(rows, "float16x3", columns=False), operand(columns, "float16x3", columns=True)
    whole = [factor[:, 2 * 640 :].astype(np.float64) for factor in factors]
    for order in (np.arange(640), rng.permutation(640), np.argsort(whole[0][0])):
        result = on_tensor_cores(*(side[:, order] for side in whole))
        np.testing.assert_array_equal(result, whole[0] @ whole[1].T)
    last = [np.concatenate([side[:, 1280:], side[:, :1280]], 1) for side in factors]
    exact = rows.astype(np.float64) @ columns.T.astype(np.float64)
    error, error_of_other_order = (np.abs(on_tensor_cores(*pair) / exact - 1).max() for pair in (factors, last))
    assert error < error_of_other_order / 5  # small terms come first


def test_the_default_is_faster_and_as_accurate():
    device = EmulatedDevice()
    assert [default_precision(device, channels) for channels in (1, 31, 32, 768)] == ["float32"] * 2 + ["float16x3"] * 2
    device.tensor_cores = False
    assert default_precision(device, 768) == "float32"
