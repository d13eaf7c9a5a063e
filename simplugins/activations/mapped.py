# SPDX-License-Identifier: Apache-2.0
"""Activations whose concept vectors are computed from those of other activations, block by block, as they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.activations.readers import DerivedReader

BlockMap = Callable[[Block], Block]
"""Computes new float64 concept vectors of the inputs of a block, each input's from its own vectors only. It must not
depend on how inputs are cut into blocks, and can be pickled, like a frozen dataclass with a ``__call__``. The block is
on the GPU if the activations are there; the result is in the same place."""


@dataclass(frozen=True)
class MappedReader(DerivedReader):
    """Reads blocks of another reader and maps each of them."""

    mapping: BlockMap
    mapped_channels: int

    def __call__(self, start: int, stop: int) -> Block:
        """Read and map the inputs from `start` to `stop`."""
        block = self.reader(start, stop)
        return self.mapping(Block(block.vectors.astype(np.float64, copy=False), block.offsets))

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop`."""
        return replace(self, reader=self.reader.part(start, stop))

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """float64: the result of the mapping is not rounded before it is checked and scaled."""
        return np.dtype(np.float64)

    @property
    def channels(self) -> int:
        """Length of the mapped concept vectors."""
        return self.mapped_channels


def mapped(
    activations: Activations,
    mapping: BlockMap,
    *,
    channels: int | None = None,
    positions: NDArray[np.int64] | None = None,
) -> Activations:
    """Return activations whose blocks are mapped as they are read; reads all values once to check them.

    Parameters
    ----------
    activations : Activations
    mapping : BlockMap
    channels : int, optional
        Length of the mapped concept vectors; by default unchanged.
    positions : (N,) int64 array, optional
        Number of mapped positions of each input; by default unchanged, and so are the layout and the grid.

    Returns
    -------
    Activations
        In float64, or in float32 if the original values are, unless the mapped ones share a large mean.

    Raises
    ------
    ValueError
        If a mapped value is not finite.
    """
    length = activations.channels if channels is None else channels
    moved = positions is not None
    with arrays.on_gpu(activations.gpu):
        result = Activations.from_reader(
            MappedReader(activations._reader, mapping, length),
            activations.positions if positions is None else positions,
            layout="nd" if moved else activations.layout,
            dtype=np.float32 if activations.widened else activations.dtype,
            labels=activations.labels,
            grid=None if moved else activations.grid,
            same_positions=moved or activations.same_positions,
        )
    return replace(result, prepared=activations.prepared)
