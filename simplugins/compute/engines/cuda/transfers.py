# SPDX-License-Identifier: Apache-2.0
"""Copies between host and GPU, through two page-locked buffers that are kept between calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import gpu

BUFFER_BYTES = 2**25
"""Size of each of the two page-locked buffers."""

_kept = threading.local()


def transfers_of(ordinal: int) -> Transfers:
    """Return this thread's transfers to and from a GPU, the current device."""
    by_device = _kept.__dict__.setdefault("by_device", {})
    if ordinal not in by_device:
        by_device[ordinal] = Transfers()
    result: Transfers = by_device[ordinal]
    return result


def forget() -> None:
    """Free this thread's page-locked buffers and streams, after all work on them."""
    for transfers in _kept.__dict__.pop("by_device", {}).values():
        transfers.stream.synchronize()
        transfers.release()


class Transfers:
    """Copies in both directions. While one buffer is copied by the GPU, the host fills or reads the other.

    Attributes
    ----------
    stream : stream
        The stream of uploads.
    """

    def __init__(self) -> None:
        self._cuda = gpu.cupy().cuda
        self.stream = self._cuda.Stream(non_blocking=True)
        self._buffers: list[NDArray[np.uint8]] = []
        self._used: list[Any] = [None, None]  # events after which a buffer may be overwritten
        self._turn = 0

    def upload(self, array: NDArray[Any], into: Any) -> Any:
        """Copy a host array to a device array on the stream of uploads; return the event that it is complete."""
        target, runtime = into.data.ptr, self._cuda.runtime
        for part in _parts(array):
            buffer = self._next_buffer()[: part.nbytes]
            np.copyto(buffer.view(part.dtype).reshape(part.shape), part)
            runtime.memcpyAsync(target, buffer.ctypes.data, part.nbytes, runtime.memcpyHostToDevice, self.stream.ptr)
            done = self._used[self._turn] = self.stream.record()
            target += part.nbytes
        return done

    def fetch(self, array: Any, into: NDArray[Any], stream: Any) -> None:
        """Copy a C-contiguous device array to a C-contiguous host array, after the work of a stream."""
        flat, runtime = into.reshape(-1).view(np.uint8), self._cuda.runtime
        waiting: tuple[slice, NDArray[np.uint8], Any] | None = None
        for start in range(0, flat.size, BUFFER_BYTES):
            part = slice(start, min(start + BUFFER_BYTES, flat.size))
            size = part.stop - part.start
            buffer = self._next_buffer()[:size]
            runtime.memcpyAsync(
                buffer.ctypes.data, array.data.ptr + start, size, runtime.memcpyDeviceToHost, stream.ptr
            )
            done = self._used[self._turn] = stream.record()
            _finish(waiting, flat)
            waiting = part, buffer, done
        _finish(waiting, flat)

    def release(self) -> None:
        """Return the buffers to CuPy's pool of page-locked memory, after all copies that use them."""
        for done in self._used:
            if done is not None:
                done.synchronize()
        self._buffers, self._used = [], [None, None]

    def _next_buffer(self) -> NDArray[np.uint8]:
        """Return the other buffer, once no copy uses it."""
        if not self._buffers:
            from cupyx import empty_pinned

            self._buffers = [empty_pinned((BUFFER_BYTES,), np.uint8) for _ in range(2)]
        self._turn ^= 1
        if self._used[self._turn] is not None:
            self._used[self._turn].synchronize()
        return self._buffers[self._turn]


def _finish(waiting: tuple[slice, NDArray[np.uint8], Any] | None, flat: NDArray[np.uint8]) -> None:
    """Wait for a copy to a buffer, and copy from there."""
    if waiting is not None:
        part, buffer, done = waiting
        done.synchronize()
        flat[part] = buffer


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Cut an array into parts that fit a buffer, along its first dimension if possible."""
    if array.nbytes <= BUFFER_BYTES:
        yield array
        return
    if array.nbytes // len(array) > BUFFER_BYTES:
        array = np.ascontiguousarray(array).reshape(-1)
    step = BUFFER_BYTES // (array.nbytes // len(array))
    for start in range(0, len(array), step):
        yield array[start : start + step]
