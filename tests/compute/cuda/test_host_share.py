# SPDX-License-Identifier: Apache-2.0
"""What the host does for a call on a GPU, counted on one that does nothing."""

from __future__ import annotations

import numpy as np
import pytest
from emulation.null_device import NullArray, NullDevice, null_gpu

import simplugins

INPUTS = 600


def arrays():
    host = np.random.default_rng(0).normal(size=(INPUTS, 6, 4)).astype(np.float32)
    return [host, host.astype(np.float16), NullArray(host.shape, np.float32)]


MEASURES = ["semantic-linear", "semantic-cosine", "spatio-semantic-rbf", "second-order-cosine", "max-sim-cosine"]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("array", arrays(), ids=["NumPy", "float16", "CuPy"])
def test_a_second_call_allocates_nothing(array, measure):
    with null_gpu() as pool:
        simplugins.compute_rsm(array, measure)
        before = pool.allocations
        rsm = simplugins.compute_rsm(array, measure)
        assert rsm.metadata["device"] == NullDevice.name
        assert pool.allocations == before


@pytest.mark.parametrize("measure", ["semantic-rbf", "spatio-semantic-cosine", "max-sim-cosine"])
def test_nothing_per_pair_crosses_the_bus_but_the_result(measure, monkeypatch):
    moved = []

    class Counting(NullDevice):
        def upload(self, array):
            moved.append(0 if isinstance(array, NullArray) else array.nbytes)
            return super().upload(array)

        def download(self, array):
            moved.append(array.nbytes)
            return super().download(array)

        def fetch(self, array, into):
            moved.append(array.nbytes)
            super().fetch(array, into)

    host = np.random.default_rng(0).normal(size=(INPUTS, 6, 4)).astype(np.float16)
    with null_gpu():
        monkeypatch.setattr("simplugins.compute.engines.cuda.cupy_device.CupyDevice", Counting)
        simplugins.compute_rsm(host, measure)
    per_input = 64 * INPUTS  # norms, sizes, and the digits of a median
    assert sum(moved) <= host.nbytes + 8 * INPUTS**2 + per_input + 2**15
