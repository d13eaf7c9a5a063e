# SPDX-License-Identifier: Apache-2.0
"""Blocks of inputs on the device, kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins import arrays
from simplugins.activations import Activations
from simplugins.engines.cuda.device import Device, Precision


@dataclass(frozen=True)
class Placed:
    """Concept vectors of consecutive inputs, on a device.

    Attributes
    ----------
    device : Device
    vectors : (T, C) array of the device
    offsets : (n + 1,) int64 array
        As in `simplugins.activations.Block`.
    """

    device: Device
    vectors: Any
    offsets: NDArray[np.int64]
    _operands: dict[tuple[Precision, bool], Any] = field(default_factory=dict, repr=False)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many vectors each input has."""
        return np.diff(self.offsets)

    def flat(self) -> Placed:
        """Return inputs of equal size as one long vector each."""
        count = len(self.sizes)
        return Placed(self.device, self.vectors.reshape(count, -1), np.arange(count + 1))

    def operand(self, precision: Precision, *, columns: bool) -> Any:
        """Return the vectors as `Device.multiply` takes them, made once."""
        key = precision, columns
        if key not in self._operands:
            self._operands[key] = self.device.operand(self.vectors, precision, columns=columns)
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
    most : int
        At least 1.
    """

    def __init__(
        self, device: Device, activations: Activations, dtype: np.dtype[np.floating], *, by_norm: bool, most: int
    ) -> None:
        self.device, self.activations, self.dtype, self.by_norm, self.most = device, activations, dtype, by_norm, most
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
        block = self.activations.block(inputs.start, inputs.stop)
        vectors = block.vectors
        if self.by_norm:
            vectors = vectors[arrays.namespace(vectors).asarray(block.norm_order())]
        return Placed(self.device, self.device.upload(vectors.astype(self.dtype, copy=False)), block.offsets)
