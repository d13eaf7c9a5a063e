# SPDX-License-Identifier: Apache-2.0
"""What the host does for a call on a GPU, counted on one that does nothing."""

from __future__ import annotations

import numpy as np
import pytest
from emulation.null_device import NullArray, NullDevice, null_gpu

import simplugins
from simplugins.activations.activations import Activations

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


class Finding(NullDevice):
    """A device that counts a pair in each tile as worth matching."""

    def download(self, array):
        return lambda: np.ones(array.shape, array.dtype)

    def fetch(self, array, into):
        into[...] = 0


def search_both(array, monkeypatch):
    """Search among inputs, and for some of them in the others; with a device that finds pairs."""
    monkeypatch.setattr("simplugins.compute.engines.cuda.cupy_device.CupyDevice", Finding)
    found = simplugins.search(array, k=3, engine="cuda")
    assert found.metadata["device"] == NullDevice.name
    assert found.formed == INPUTS**2
    simplugins.search(array[:20], other=array[20:], k=3, measure="semantic-rbf", sigma=1.0, engine="cuda")


@pytest.mark.parametrize("array", arrays(), ids=["NumPy", "float16", "CuPy"])
def test_a_second_search_allocates_nothing(array, monkeypatch):
    with null_gpu() as pool:
        search_both(array, monkeypatch)
        before = pool.allocations
        search_both(array, monkeypatch)
        assert pool.allocations == before


def test_a_search_reads_no_vectors_back(monkeypatch):
    """Only numbers per input and results come back; vectors are read once, and not those of arrays on the GPU."""
    copied = []
    get = NullArray.get
    monkeypatch.setattr(NullArray, "get", lambda array: copied.append(array.nbytes) or get(array))
    with null_gpu():
        search_both(NullArray((INPUTS, 6, 40), np.float32), monkeypatch)
    assert sum(copied) <= 2 * 64 * INPUTS
    monkeypatch.setattr(Activations, "block", counted(Activations.block, read := []))
    with null_gpu():
        search_both(np.random.default_rng(0).normal(size=(INPUTS, 6, 40)).astype(np.float32), monkeypatch)
    assert sum(read) <= 2 * INPUTS


def counted(block, read):
    """Return the method with a list of the numbers of inputs that it reads."""

    def reading(activations, start, stop):
        read.append(stop - start)
        return block(activations, start, stop)

    return reading


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
