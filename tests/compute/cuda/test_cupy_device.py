# SPDX-License-Identifier: Apache-2.0
"""Which streams and handles `CupyDevice` uses, on a stand-in for CuPy that notes both."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

import simplugins
from simplugins._common import gpu
from simplugins.compute.engines.cuda import cupy_device
from simplugins.compute.engines.cuda.cupy_device import KEPT_SHARE, CupyDevice

MEMORY = 1000


class FakeCuda:
    """Notes what happens on which stream."""

    def __init__(self):
        self.log, self.current, self.streams = [], [], []
        outer = self

        class Stream:
            def __init__(self, name="", non_blocking=False):
                self.name = name or f"own {len(outer.streams)}"
                self.ptr = self.name
                outer.streams.append(self)

            def record(self):
                return SimpleNamespace(stream=self.name, synchronize=lambda: None)

            def wait_event(self, event):
                outer.log.append((self.name, "waits for", event.stream))

            def synchronize(self):
                outer.log.append((self.name, "is complete"))

            def __enter__(self):
                outer.current.append(self)

            def __exit__(self, *_):
                outer.current.pop()

        self.current.append(Stream("caller"))
        self.cupy = MagicMock(ndarray=type("Array", (), {}), empty=self.empty)
        cuda = self.cupy.cuda
        cuda.Stream, cuda.get_current_stream = Stream, lambda: self.current[-1]
        cuda.Device.return_value.id = 0
        cuda.runtime.getDeviceProperties.return_value = {
            "name": b"none",
            **{"multiProcessorCount": 1, "sharedMemPerBlockOptin": 1, "major": 9, "minor": 0},
        }
        cuda.runtime.memGetInfo.return_value = MEMORY, MEMORY
        cuda.runtime.memcpyAsync = lambda into, source, size, kind, stream: self.log.append((stream, "copies", size))
        cuda.cublas.create.side_effect = ["first", "second"]
        cuda.cublas.gemmEx = lambda handle, *_: self.log.append((self.current[-1].name, "multiplies by", handle))
        cuda.device.get_cublas_handle.return_value = "default"
        self.cupy.get_default_memory_pool.return_value.free_bytes.return_value = 0

    def empty(self, shape, dtype):
        self.log.append((self.current[-1].name, "allocates"))
        return MagicMock(shape=shape, dtype=dtype)

    def since(self, start):
        return self.log[start:]


@pytest.fixture
def fake(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(gpu, "cupy", lambda: fake.cupy)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(empty_pinned=np.empty))
    cupy_device.forget()
    yield fake
    cupy_device.forget()


def multiply(device):
    array = MagicMock()
    array.__len__.return_value = 4
    device.multiply(array, array, array, "float32")


def test_lanes_multiply_and_download_on_streams_and_handles_of_their_own(fake):
    device, array = CupyDevice(), np.zeros(3)
    array_on_device = MagicMock(shape=array.shape, dtype=array.dtype)
    with device:
        multiply(device)
        for number in (0, 1, 0):
            with device.lane(number):
                multiply(device)
                device.empty((2,), np.dtype(np.float32))
                device.download(array_on_device)
    first, second = (stream.name for stream in fake.streams[2:])
    assert [entry for entry in fake.log if entry[1] == "multiplies by"] == [
        ("caller", "multiplies by", "default"),
        *((first, "multiplies by", "first"), (second, "multiplies by", "second"), (first, "multiplies by", "first")),
    ]
    for action in ("allocates", "copies"):
        assert [entry[0] for entry in fake.log if entry[1] == action] == [first, second, first]
    assert [entry for entry in fake.log if entry[0] in (first, second) and entry[1] == "waits for"] == [
        (lane, "waits for", "caller") for lane in (first, second, first)
    ]


def test_uploads_are_waited_for_by_the_current_lane_and_reuse_memory_after_all_work(fake):
    device = CupyDevice()
    uploads = fake.streams[1].name
    with device:
        with device.lane(0):
            start = len(fake.log)
            device.upload(np.zeros(3))
        lane = fake.streams[2].name
        assert fake.since(start) == [(uploads, "allocates"), (uploads, "copies", 24), (lane, "waits for", uploads)]
        start = len(fake.log)
        device.retire()
        assert fake.since(start) == [("caller", "waits for", lane), (uploads, "waits for", "caller")]


@pytest.mark.parametrize("cached", [0, MEMORY])
def test_memory_beyond_a_share_of_the_device_is_freed_after_all_work(fake, cached):
    device = CupyDevice()
    pool = fake.cupy.get_default_memory_pool()
    pool.free_bytes.return_value = cached
    with device:
        with device.lane(0):
            pass
        start = len(fake.log)
        device.settle()
    assert pool.free_all_blocks.called == (cached > KEPT_SHARE * MEMORY)
    complete = {entry[0] for entry in fake.since(start) if entry[1] == "is complete"}
    assert complete == ({stream.name for stream in fake.streams} if cached else set())


def test_a_release_frees_all_pools_and_page_locked_buffers_after_all_work(fake):
    device = CupyDevice()
    with device:
        device.upload(np.zeros(3))
        start = len(fake.log)
        device.release()
        assert {entry[0] for entry in fake.since(start)} == {stream.name for stream in fake.streams}
        assert fake.cupy.get_default_memory_pool().free_all_blocks.called
        assert fake.cupy.get_default_pinned_memory_pool().free_all_blocks.called
        assert not device._transfers._buffers


def test_streams_and_buffers_are_kept_for_later_calls(fake):
    for _ in range(2):
        with CupyDevice() as device:
            device.upload(np.zeros(3))
            for number in (0, 1):
                with device.lane(number):
                    multiply(device)
    assert len(fake.streams) == 4  # the caller's, that of uploads, two lanes
    assert fake.cupy.cuda.cublas.create.call_count == 2
    assert not fake.cupy.cuda.cublas.destroy.called


def test_everything_that_is_kept_is_freed_on_request(fake, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake.cupy)
    fake.cupy.cuda.runtime.getDeviceCount.return_value = 1
    with CupyDevice() as device:
        device.upload(np.zeros(3))
        with device.lane(0):
            multiply(device)
    del device
    names = [stream.name for stream in fake.streams[1:]]
    fake.streams.clear()
    start = len(fake.log)
    simplugins.free_gpu_memory()
    assert {entry[0] for entry in fake.since(start)} == set(names)  # after all work
    fake.cupy.cuda.cublas.destroy.assert_called_once_with("first")
    assert fake.cupy.get_default_memory_pool().free_all_blocks.called
    assert fake.cupy.get_default_pinned_memory_pool().free_all_blocks.called
