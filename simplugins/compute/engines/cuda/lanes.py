# SPDX-License-Identifier: Apache-2.0
"""Two lanes, in which tiles take turns, so that a GPU multiplies the next tile while it matches this one.

A tile's operations are sequential: product, matching, second solutions of loose problems, results. A single tile
therefore leaves multiprocessors idle while the last problems of a launch are solved, and between launches. The other
lane can only fill these gaps: blocks of a matching occupy the registers or the shared memory of a multiprocessor, so a
product does not fit next to them until the last ones leave. On the 132 multiprocessors of an H200, a tile of 65,536
pairs has 24 waves of blocks at S = 49 (21 per multiprocessor) and 16 at S = 196 (32). If half of the last wave is
idle, that is 2 to 3 % of the time, and a second solution that takes as long as a wave is 4 to 6 %; smaller tiles lose
more. If each pair only needs a product, there are no gaps, so one lane suffices. No GPU has run two lanes yet;
``python benchmarks/gpu.py`` compares them with one.
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
"""Two tiles have the size that one would have if their affinities take at most this share of the free memory. That is
less than a device keeps for later calls, so these do not allocate it again."""


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
        With one, all work is outside of lanes.
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
