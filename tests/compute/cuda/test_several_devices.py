# SPDX-License-Identifier: Apache-2.0
"""One computation on several emulated GPUs, each in a thread."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest
from emulation.device import EmulatedDevice, LateDevice
from emulation.unordered import UnorderedDevice

import simplugins
from simplugins import BatchOptimal, Identity, Optimal
from simplugins._common import gpu
from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda import cupy_device, engine, several_devices, tile_run
from simplugins.compute.engines.cuda.device import DeviceMemoryError
from simplugins.compute.engines.cuda.several_devices import aligned_products_on_all

COUNT = 23


@pytest.fixture(autouse=True)
def _small_regions(monkeypatch):
    monkeypatch.setattr(several_devices, "_WIDTH", 2)
    monkeypatch.setattr(tile_run, "_MAX_INPUTS", 4)


def activations(count=COUNT, seed=0):
    return Activations.from_array(np.random.default_rng(seed).normal(size=(count, 9, 5)).astype(np.float32))


class Watched(EmulatedDevice):
    """A device that lists the blocks of vectors that are uploaded, and is slow."""

    def __init__(self, seconds=0.0, **options):
        super().__init__(**options)
        self.seconds, self.uploaded, self.launches = seconds, [], 0

    def upload(self, array):
        if array.ndim == 2:
            self.uploaded.append(array.tobytes())
        return super().upload(array)

    def launch(self, *arguments, **options):
        time.sleep(self.seconds)
        self.launches += 1
        super().launch(*arguments, **options)


@pytest.mark.parametrize("certify", [False, True])
@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("matcher", [Optimal(), BatchOptimal(window=4), Identity()], ids=lambda matcher: matcher.name)
def test_results_equal_those_of_one_device(matcher, other, certify):
    x, y = activations(), activations(10, seed=1) if other else None
    expected = engine.aligned_products(x, y, matcher, device=EmulatedDevice(), certify=certify)
    devices = [EmulatedDevice(seed=1), LateDevice(), UnorderedDevice(seed=2)]
    result = aligned_products_on_all(x, y, matcher, devices=devices, certify=certify)
    np.testing.assert_allclose(result.values, expected.values, rtol=1e-6)
    if certify:
        np.testing.assert_allclose(result.gap, expected.gap, atol=1e-6)
    assert result.metadata == {**expected.metadata, "device": "3 x emulated"}
    assert all(device.free_bytes() == device.memory for device in devices)


def test_each_block_is_uploaded_once_per_device_and_fast_devices_do_more():
    devices = [Watched(), Watched(seconds=0.02)]
    aligned_products_on_all(activations(40), None, Optimal(), devices=devices)
    for device in devices:
        assert len(device.uploaded) == len(set(device.uploaded))
    assert devices[0].launches > devices[1].launches > 0


def test_a_device_that_runs_out_of_memory_gives_its_pairs_to_the_others():
    class Full(EmulatedDevice):
        def empty(self, shape, dtype):
            raise MemoryError("nothing is left")

    expected = engine.aligned_products(activations(), None, Optimal(), device=EmulatedDevice()).values
    devices = [Full(), EmulatedDevice(), Full()]
    np.testing.assert_allclose(
        aligned_products_on_all(activations(), None, Optimal(), devices=devices).values, expected, rtol=1e-6
    )
    with pytest.raises(DeviceMemoryError, match="nothing is left"):
        aligned_products_on_all(activations(), None, Optimal(), devices=[Full(), Full()])


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_of_one_device_ends_all(error):
    begun = threading.Event()

    class Waiting(EmulatedDevice):
        def multiply(self, *arguments):
            begun.wait(30)
            return super().multiply(*arguments)

    class Failing(EmulatedDevice):
        def multiply(self, *arguments):
            begun.set()
            raise error

    devices = [Waiting(), Failing()]
    with pytest.raises(error):
        aligned_products_on_all(activations(60), None, Optimal(), devices=devices)
    gc.collect()  # the error's traceback references arrays
    assert all(device.free_bytes() == device.memory for device in devices)


@pytest.mark.parametrize("fails", [False, True])
def test_memory_is_kept_for_later_calls_but_freed_after_errors(fails):
    ended = []

    class Ending(EmulatedDevice):
        def launch(self, *arguments, **options):
            if fails and len(ended) == 0:
                raise ZeroDivisionError
            super().launch(*arguments, **options)

        def settle(self):
            ended.append("settled")

        def release(self):
            ended.append("released")

    devices = [Ending(), Ending()]
    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        aligned_products_on_all(activations(), None, Optimal(), devices=devices)
    assert ended == (["released"] if fails else ["settled"]) * 2


def test_all_gpus_are_used_on_request(monkeypatch):
    monkeypatch.setattr(gpu, "why_unusable", lambda: None)
    monkeypatch.setattr(cupy_device, "all_devices", lambda: [EmulatedDevice(), EmulatedDevice()])
    array = np.random.default_rng(0).normal(size=(COUNT, 9, 5)).astype(np.float32)
    rsm = simplugins.compute_rsm(array, engine="cuda:all")
    np.testing.assert_allclose(rsm, simplugins.compute_rsm(array, engine="cpu"), rtol=1e-5, atol=1e-6)
    assert rsm.metadata["engine"] == "cuda"
    assert rsm.metadata["device"] == "2 x emulated"
