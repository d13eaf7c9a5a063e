# SPDX-License-Identifier: Apache-2.0
"""Two lanes, in which tiles take turns, so that a GPU computes the next tile's product beside this one's matching.

A tile's operations follow each other: product, matching, and second solutions of loose problems. In between, and while
the last problems of a launch are solved, a single tile leaves multiprocessors idle. The problems of a matching fill
them up to their registers or shared memory, so a product finds no place beside a full one; it starts where the last
problems of the other lane leave one, and the next problems follow. So the gain is bounded by what a tile leaves idle. A
simulation of blocks of threads with the rates measured on an H200 says that one lane takes 3 to 7 % longer than a GPU
without any idle time at S = 49 and 196, and 2 to 6 % at S = 784; two lanes of tiles of equal size 1 to 3 %, and two of
half the size no longer than one. Tiles have tens of waves of problems there; with 4 waves per tile, on small GPUs, one
lane takes 7 to 29 % longer, and two of half the size 4 to 20 %. No GPU has run two lanes yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from simplugins.compute.engines.cuda.device import Device

LANES = 2

_WHOLE_SHARE = 0.1
"""Share of the free memory up to which two tiles have the size that one would have. It is less than a device keeps for
later calls, so these allocate nothing."""


def lanes_and_size(size: int, inputs: int, pair_bytes: float, free: float) -> tuple[int, int]:
    """Return the number of lanes, and the number of inputs per block.

    Parameters
    ----------
    size : int
        Number of inputs per block with one lane.
    inputs : int
        Number of inputs of the larger side of the matrix; if it is a single tile, one lane suffices.
    pair_bytes : float
        Size of a pair's affinities.
    free : float
        Free memory of the device.
    """
    half = math.isqrt(size**2 // LANES)
    if inputs <= size or not half:
        return 1, size
    return LANES, size if LANES * size**2 * pair_bytes <= _WHOLE_SHARE * free else half


class Lanes:
    """Lanes with memory for the affinities of a tile each.

    Parameters
    ----------
    device : Device
    dtype : dtype
    count : int
        With one, everything happens outside of lanes.
    """

    def __init__(self, device: Device, dtype: np.dtype[np.floating], count: int) -> None:
        self.device, self.dtype, self.count = device, dtype, count
        self._current = 0
        self.drop()

    @contextmanager
    def next(self) -> Iterator[None]:
        """Do the work inside in the next lane."""
        if self.count == 1:
            yield
            return
        self._current = (self._current + 1) % self.count
        with self.device.lane(self._current):
            yield

    def affinities(self, shape: tuple[int, int]) -> Any:
        """Return memory for affinities, valid until the next call in the same lane."""
        size = math.prod(shape)
        memory = self._memory[self._current]
        if memory is None or memory.size < size:
            memory = self._memory[self._current] = None  # returns it before more is allocated
            memory = self._memory[self._current] = self.device.empty((size,), self.dtype)
        return memory[:size].reshape(shape)

    def merge(self) -> None:
        """Drop all memory, and continue with a single lane."""
        self.count, self._current = 1, 0
        self.drop()

    def drop(self) -> None:
        """Drop all memory."""
        self._memory: list[Any] = [None] * self.count
