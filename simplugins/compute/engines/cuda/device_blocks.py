# SPDX-License-Identifier: Apache-2.0
"""A cache of blocks of inputs in device memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.engines.cuda.device import Device, Precision
from simplugins.compute.engines.cuda.operands import operand

_NORM_POWER = 14
"""Inputs are scaled to norms of about two to this power, for float16."""

_UNUSED = 4
"""From this capacity on, no running tile uses the least recently used block: while a tile of two blocks is started,
only the one before it may still be running, so the last four requests are theirs."""


@dataclass(frozen=True)
class DeviceBlock:
    """Concept vectors of consecutive inputs on a device.

    Attributes
    ----------
    vectors : (T, C) device array
    offsets : (n + 1,) int64 array
        See `simplugins.activations.blocks.Block`.
    prices : (T,) device array or None
        A number per vector.
    positions : (n + 1,) int64 device array or None
        The offsets, if inputs differ in size.
    powers : (n,) int64 device array or None
        A number per input.
    """

    vectors: Any
    offsets: NDArray[np.int64]
    prices: Any = None
    positions: Any = None
    powers: Any = None
    _operands: dict[tuple[Precision, bool], Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Return the number of inputs."""
        return len(self.offsets) - 1

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest number of vectors of an input."""
        sizes = np.diff(self.offsets)
        return int(sizes.min()), int(sizes.max())

    @cached_property
    def flat(self) -> DeviceBlock:
        """Inputs of equal size as one long vector each."""
        return DeviceBlock(self.vectors.reshape(len(self), -1), np.arange(len(self) + 1))

    def operand(self, precision: Precision, *, columns: bool) -> Any:
        """Return the vectors as operand of `Device.multiply`, converted once; see `operands.operand`."""
        key = precision, columns and precision == "float16x3"
        if key not in self._operands:
            self._operands[key] = operand(self.vectors, precision, columns=columns)
        return self._operands[key]


class DeviceBlocks:
    """Provides blocks of activations on the device, with a cache of up to `capacity` blocks.

    Parameters
    ----------
    device : Device
    activations : Activations
    dtype : dtype
        float32 or float64.
    capacity : int
        At least 1.
    convert : callable, optional
        Applied to each block of inputs when it is read.
    prices : callable, optional
        Returns the number of each vector of a converted block, as a block of (T,) numbers.
    exponents : (N,) int64 array, optional
        Powers of two by which to divide the converted inputs; see `scales_of`.
    """

    def __init__(
        self,
        device: Device,
        activations: Activations,
        dtype: np.dtype[np.floating],
        *,
        capacity: int,
        convert: Callable[[Block], Block] | None = None,
        prices: Callable[[Block], Block] | None = None,
        exponents: NDArray[np.int64] | None = None,
    ) -> None:
        self.device, self.activations, self.dtype = device, activations, dtype
        self.capacity, self.convert, self.prices = capacity, convert, prices
        self.exponents = np.zeros(len(activations), np.int64) if exponents is None else exponents
        self._blocks: OrderedDict[tuple[int, int], DeviceBlock] = OrderedDict()

    def block(self, inputs: slice) -> DeviceBlock:
        """Return a block of inputs, evicting the least recently used one if necessary."""
        key = inputs.start, inputs.stop
        if key not in self._blocks:
            while len(self._blocks) >= self.capacity:
                self._blocks.popitem(last=False)
                if self.capacity < _UNUSED:
                    self.device.retire()
            self._blocks[key] = self._upload(inputs)
        self._blocks.move_to_end(key)
        return self._blocks[key]

    def clear(self) -> None:
        """Drop all blocks."""
        self._blocks.clear()
        self.device.retire()

    def _upload(self, inputs: slice) -> DeviceBlock:
        exponents = self.exponents[inputs]
        with arrays.on_gpu(self.activations.gpu):
            block = self.activations.block(inputs.start, inputs.stop)
            if self.convert is not None:
                block = self.convert(block)
            if exponents.any():
                block = block.scaled(-exponents)
            return self._on_device(block)

    def _on_device(self, block: Block) -> DeviceBlock:
        """Upload a block."""
        vectors = block.vectors.astype(self.dtype, copy=False)
        prices = None if self.prices is None else self.device.upload(self.prices(block).vectors)
        sizes = np.diff(block.offsets)
        positions = None if (sizes == sizes[0]).all() else self.device.upload(block.offsets)
        return DeviceBlock(self.device.upload(vectors), block.offsets, prices, positions)


def sorted_by_norm(block: Block) -> Block:
    """Return a block with each input's vectors sorted by norm."""
    return block.by_norm()[0]


def scales_of(activations: Activations) -> NDArray[np.int64]:
    """Return powers of two that scale each input, as stored in blocks, to a norm between 2^13 and 2^15.

    In inputs divided by these, no entry is too large for 16 bits, and entries that underflow hardly matter.
    """
    _, powers = np.frexp(activations.squared_norms)
    return np.where(activations.squared_norms > 0, powers // 2 - _NORM_POWER, 0) - activations.exponents
