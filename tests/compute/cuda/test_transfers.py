# SPDX-License-Identifier: Apache-2.0
"""Copies through page-locked buffers, on a runtime that copies as late as CUDA may, and what is kept between calls."""

from __future__ import annotations

import ctypes
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import simplugins
from simplugins._common import gpu
from simplugins.compute.engines.cuda import cupy_device, streams, transfers
from simplugins.compute.engines.cuda.streams import lanes_of, new_lane
from simplugins.compute.engines.cuda.transfers import Transfers, transfers_of


class Stream:
    """Queues copies; an event that is waited for makes all earlier ones."""

    ptr = 0
    queue: ClassVar[list] = []

    def __init__(self, non_blocking=False):
        pass

    def synchronize(self):
        while Stream.queue:
            Stream.queue.pop(0)()

    def record(self):
        return SimpleNamespace(synchronize=self.synchronize)


def copy_later(into, source, size, kind, stream):
    Stream.queue.append(lambda: ctypes.memmove(into, source, size))


handles: list[int] = []
"""Handles for cuBLAS that were created and not destroyed."""


@pytest.fixture
def pinned(monkeypatch):
    """Sizes of the page-locked buffers that were allocated."""
    sizes = []
    runtime = SimpleNamespace(memcpyAsync=copy_later, memcpyHostToDevice=1, memcpyDeviceToHost=2)
    cublas = SimpleNamespace(create=lambda: handles.append(len(handles)) or handles[-1], destroy=handles.remove)
    cuda = SimpleNamespace(runtime=runtime, Stream=Stream, cublas=cublas, Device=lambda number: nullcontext())
    monkeypatch.setattr(gpu, "cupy", lambda: SimpleNamespace(cuda=cuda))
    handles.clear()
    allocate = lambda shape, dtype: sizes.append(shape[0]) or np.full(shape, 0xFF, dtype)  # noqa: E731
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(empty_pinned=allocate))
    monkeypatch.setattr(transfers, "BUFFER_BYTES", 256)
    Stream.queue.clear()
    return sizes


def on_device(shape, dtype):
    """An array with the address that CuPy's arrays have."""
    values = np.zeros(shape, dtype)
    return values, SimpleNamespace(data=SimpleNamespace(ptr=values.ctypes.data), shape=shape)


ARRAYS = [
    np.arange(5.0),
    np.arange(1000, dtype=np.float16).reshape(10, 100),
    np.arange(600, dtype=np.float32).reshape(20, 30).T,
    np.arange(96.0).reshape(2, 3, 16)[:, ::-1],
    np.arange(4000, dtype=np.int64).reshape(2, 2000),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.shape} {array.dtype}")
def test_arrays_arrive_in_both_directions(pinned, array):
    both = Transfers()
    values, device_array = on_device(array.shape, array.dtype)
    both.upload(array, device_array).synchronize()
    np.testing.assert_array_equal(values, array)
    result = np.empty_like(values)
    both.fetch(device_array, result, Stream())
    np.testing.assert_array_equal(result, array)
    assert pinned == [256, 256]


def test_buffers_are_kept_until_the_memory_is_freed(pinned):
    first = transfers_of(0)
    try:
        assert transfers_of(0) is first
        assert transfers_of(1) is not first
        simplugins.free_gpu_memory()  # without CuPy, there is nothing to free
        assert transfers_of(0) is first
        transfers.forget()
        assert transfers_of(0) is not first
    finally:
        transfers.forget()


def test_buffers_are_returned_on_request_after_the_copies_that_use_them(pinned):
    both, array = Transfers(), np.arange(100.0)
    values, device_array = on_device(array.shape, array.dtype)
    both.upload(array, device_array)
    both.release()
    np.testing.assert_array_equal(values, array)
    both.upload(array + 1, device_array).synchronize()
    np.testing.assert_array_equal(values, array + 1)
    assert pinned == [256] * 4


@pytest.mark.usefixtures("pinned")
def test_lanes_are_kept_until_the_memory_is_freed():
    kept = lanes_of(0)
    try:
        kept.extend([new_lane(), new_lane()])
        assert lanes_of(0) is kept
        assert lanes_of(1) == []
        assert handles == [lane.handle for lane in kept]
        assert len(set(handles)) == 2
        cupy_device.forget()
        assert handles == kept == []
        assert lanes_of(0) is not kept
    finally:
        streams.forget()
