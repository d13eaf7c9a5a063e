# SPDX-License-Identifier: Apache-2.0
"""Blocks of inputs on the device, kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda.device import Device, Precision
from simplugins.compute.engines.cuda.operands import operand


@dataclass(frozen=True)
class Placed:
    """Concept vectors of consecutive inputs, on a device.

    Attributes
    ----------
    vectors : (T, C) array of the device
    offsets : (n + 1,) int64 array
        As in `simplugins.activations.Block`.
    exponents : (n,) int64 array
        Each input's vectors are divided by two to this power, beside what `Activations.exponents` says.
    """

    vectors: Any
    offsets: NDArray[np.int64]
    exponents: NDArray[np.int64]
    _operands: dict[tuple[Precision, bool], Any] = field(default_factory=dict, repr=False)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many vectors each input has."""
        return np.diff(self.offsets)

    def flat(self) -> Placed:
        """Return inputs of equal size as one long vector each."""
        count = len(self.sizes)
        return Placed(self.vectors.reshape(count, -1), np.arange(count + 1), self.exponents)

    def operand(self, precision: Precision, *, columns: bool) -> Any:
        """Return the vectors as `Device.multiply` takes them, made once; see `operands.operand`."""
        key = precision, columns
        if key not in self._operands:
            self._operands[key] = operand(self.vectors, precision, columns=columns)
        return self._operands[key]


class Inputs:
    """Hands out blocks of activations, placed on the device; at most `most` of them stay there.

    Parameters
    ----------
    device : Device
    activations : Activations
    dtype : dtype
        float32 or float64.
    by_norm : bool
        Whether each input's vectors are put in the order of their norms.
    scaled : bool
        Whether each input is scaled, by a power of two, so that its numbers' root mean square is around 1: then none
        is too large for 16 bits, and what is too small hardly counts.
    most : int
        At least 1.
    """

    def __init__(
        self,
        device: Device,
        activations: Activations,
        dtype: np.dtype[np.floating],
        *,
        by_norm: bool,
        scaled: bool,
        most: int,
    ) -> None:
        self.device, self.activations, self.dtype = device, activations, dtype
        self.by_norm, self.most = by_norm, most
        self._exponents = _scales(activations) if scaled else np.zeros(len(activations), np.int64)
        self._placed: OrderedDict[tuple[int, int], Placed] = OrderedDict()

    def placed(self, inputs: slice) -> Placed:
        """Return a block of inputs; what was used longest ago makes room."""
        key = inputs.start, inputs.stop
        if key not in self._placed:
            while len(self._placed) >= self.most:
                self._placed.popitem(last=False)
                self.device.retire()
            self._placed[key] = self._place(inputs)
        self._placed.move_to_end(key)
        return self._placed[key]

    def clear(self) -> None:
        """Let go of all blocks."""
        self._placed.clear()
        self.device.retire()

    def _place(self, inputs: slice) -> Placed:
        exponents = self._exponents[inputs]
        with arrays.on_gpu(self.activations.gpu):
            block = self.activations.block(inputs.start, inputs.stop)
            if self.by_norm:
                block, _ = block.by_norm()
            if exponents.any():
                block = block.scaled(-exponents)
            vectors = block.vectors.astype(self.dtype, copy=False)
        return Placed(self.device.upload(vectors), block.offsets, exponents)


def _scales(activations: Activations) -> NDArray[np.int64]:
    """Return the power of two that is nearest to the root mean square of each input, as blocks hold it."""
    mean_square = activations.squared_norms / (activations.positions * activations.channels)
    _, powers = np.frexp(np.where(mean_square > 0, mean_square, 1))
    return powers // 2 - activations.exponents
