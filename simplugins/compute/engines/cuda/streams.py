# SPDX-License-Identifier: Apache-2.0
"""The streams of a GPU, and which of them waits for which.

Inputs and results are made on the caller's stream, and uploads have a stream of their own. Tiles take turns in lanes,
additional streams, each of which executes the operations of a tile: see `simplugins.compute.engines.cuda.lanes`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from simplugins._common import gpu

_kept = threading.local()


class Lane(NamedTuple):
    """A stream for computations.

    Attributes
    ----------
    stream : stream
        With the methods of CuPy's: `record`, which returns an event, `wait_event` and `synchronize`; a context manager
        that makes it current.
    handle : int or None
        The handle for cuBLAS, or None for that of the thread. Products on several streams of one handle would not be
        reproducible.
    """

    stream: Any
    handle: int | None = None


class Streams:
    """The caller's stream, that of uploads, and lanes.

    Parameters
    ----------
    main : Lane
        The caller's stream.
    uploads : stream
    lanes : list of Lane
        Those made so far, extended when a lane is first used.
    make : callable
        Returns a new lane.

    Attributes
    ----------
    current : Lane
        The lane that is being used, if any, otherwise the caller's stream.
    """

    def __init__(self, main: Lane, uploads: Any, lanes: list[Lane], make: Callable[[], Lane]) -> None:
        self.main = self.current = main
        self.uploads, self._lanes, self._make = uploads, lanes, make

    @contextmanager
    def lane(self, number: int) -> Iterator[None]:
        """Make a lane current, after all work so far on the caller's stream, where inputs and results are made."""
        while len(self._lanes) <= number:
            self._lanes.append(self._make())
        lane = self._lanes[number]
        lane.stream.wait_event(self.main.stream.record())
        with lane.stream:
            self.current = lane
            try:
                yield
            finally:
                self.current = self.main

    def wait_for_upload(self, event: Any) -> None:
        """Make later work on the current stream follow an upload."""
        self.current.stream.wait_event(event)

    def join(self) -> None:
        """Make later work on the caller's stream, and later uploads, follow all work so far."""
        for lane in self._lanes:
            self.main.stream.wait_event(lane.stream.record())
        self.uploads.wait_event(self.main.stream.record())

    def synchronize(self) -> None:
        """Wait for all work."""
        for stream in (self.uploads, *(lane.stream for lane in self._lanes), self.main.stream):
            stream.synchronize()


def lanes_of(ordinal: int) -> list[Lane]:
    """Return this thread's lanes on a GPU, which are kept between calls."""
    lanes: list[Lane] = _kept.__dict__.setdefault("by_device", {}).setdefault(ordinal, [])
    return lanes


def new_lane() -> Lane:
    """Return a lane on the current device that does not wait for CUDA's default stream."""
    cuda = gpu.cupy().cuda
    stream, handle = cuda.Stream(non_blocking=True), cuda.cublas.create()
    weakref.finalize(stream, cuda.cublas.destroy, handle).atexit = False
    return Lane(stream, handle)


def forget() -> None:
    """Let go of this thread's lanes, after all work on them."""
    for ordinal, lanes in _kept.__dict__.pop("by_device", {}).items():
        with gpu.cupy().cuda.Device(ordinal):  # where the handles that end with their streams were made
            while lanes:
                lanes.pop().stream.synchronize()
