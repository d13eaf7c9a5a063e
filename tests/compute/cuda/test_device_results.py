# SPDX-License-Identifier: Apache-2.0
"""Similarities that are computed on the device, against those of the host."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from emulation.device import EmulatedDevice

from simplugins.compute.engines.cuda import device_result
from simplugins.compute.engines.cuda.device_result import DeviceResult
from simplugins.compute.engines.cuda.pair_results import PairResults, Tile
from simplugins.compute.job import TileResult
from simplugins.measures.device_similarities import device_similarities
from simplugins.measures.semantic import kernel_similarities
from simplugins.rsm import kernels

ROUNDING = 2.0**-21


class Inputs:
    """Inputs of which only the norms are known."""

    def __init__(self, squared_norms):
        self.squared_norms = squared_norms


def results_of(values, device=None):
    device = device or EmulatedDevice()
    results = PairResults(device, Tile(*(slice(0, count) for count in values.shape)), certify=False)
    results.values[:] = values
    return DeviceResult(results, ROUNDING, {"engine": "cuda"})


def products(shape, seed=0, symmetric=False):
    """Inner products of some vectors, with equal ones and zeros among them, and their squared norms."""
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(count, 3)) * 10.0 ** rng.integers(-3, 3, size=(count, 1)) for count in shape)
    x[1], x[-1], y[0], y[-1] = x[0], 0, x[0], 0
    y = x if symmetric else y
    return x @ y.T, (np.square(x).sum(1), np.square(y).sum(1))


@pytest.mark.parametrize("output_bytes", [1, 2**28])
@pytest.mark.parametrize(("shape", "symmetric"), [((12, 12), True), ((12, 9), False), ((40, 40), True)])
@pytest.mark.parametrize(
    ("kernel", "sigma"), [("linear", "median"), ("cosine", "median"), ("rbf", "median"), ("rbf", 30)]
)
def test_similarities_equal_those_of_the_host(kernel, sigma, shape, symmetric, output_bytes, monkeypatch):
    monkeypatch.setattr(device_result, "_OUTPUT_BYTES", output_bytes)
    values, norms = products(shape, symmetric=symmetric)
    x, y = map(Inputs, norms)
    y = None if symmetric else y
    expected = kernel_similarities(kernel, TileResult(values.copy(), ROUNDING), x, y, sigma)
    result = device_similarities(kernel, results_of(values), norms, sigma, symmetric=symmetric)
    if result is None:  # warnings of unresolved distances are counted on the host
        assert kernel == "rbf"
        assert sigma != "median"
        return
    np.testing.assert_allclose(result.values, expected.values, rtol=1e-15 if kernel != "rbf" else 1e-13)
    assert (result.kernel, result.sigma_rule) == (expected.kernel, expected.sigma_rule)
    assert result.sigma == (None if expected.sigma is None else pytest.approx(expected.sigma, rel=1e-15))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 3, 30])
@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_the_median_is_exact(count, scale, seed):
    rng = np.random.default_rng(seed)
    distances = scale * rng.exponential(size=(count, count)) * (rng.random((count, count)) < 0.8)
    result = results_of(-distances / 2, EmulatedDevice(seed=seed))
    zeros = np.zeros(count), np.zeros(count)
    exact = result.median(zeros, kernels.EQUAL, symmetric=False)
    positive = np.sort(distances[distances > 0])
    assert exact == (positive[(len(positive) - 1) // 2] if len(positive) else 0)


def test_results_are_downloaded_once_and_pickled_as_host_arrays():
    values = np.arange(6.0).reshape(2, 3)
    result = results_of(values)
    assert result.on_device
    assert result.values is result.values
    assert result.gap is None
    copy = pickle.loads(pickle.dumps(result))
    assert type(copy) is TileResult
    assert not copy.on_device
    np.testing.assert_array_equal(copy.values, values)
    assert copy.metadata == {"engine": "cuda"}


def test_without_memory_for_similarities_the_host_computes_them():
    values, norms = products((30, 30), symmetric=True)
    device = EmulatedDevice(memory=values.nbytes + 500)
    result = results_of(values, device)
    similarities = kernel_similarities("cosine", result, Inputs(norms[0]), None, "median")
    np.testing.assert_array_equal(similarities.values, kernels.cosine(values, *norms))
