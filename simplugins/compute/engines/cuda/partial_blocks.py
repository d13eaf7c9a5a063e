# SPDX-License-Identifier: Apache-2.0
"""Dummy positions, by which a complete matching leaves others unmatched.

To match k of S rows, S - k dummy columns are added, which have the same affinity with all rows, above every other one:
then an optimal matching of all rows assigns a row to each dummy, and the other k rows as well as possible. A dummy is
an additional vector of the columns' input. Vectors have an additional channel, which is a power of two above the norm
of every vector of the input for rows and for dummies, and zero for the other columns: so the affinity with dummies is
the product of two powers of two, exact at every precision, and no other affinity changes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins.activations.blocks import Block, offsets_of
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock, DeviceBlocks
from simplugins.matching.partial import pairs_of_share

CHANNELS = 8
"""Number of additional channels, of which one is used: rows stay aligned for tensor cores."""

_SAFE = 1.001
"""Factor of rounded norms that bounds the exact ones."""


def dummies_of(share: float, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> int:
    """Return the number of dummy columns that the largest of the inputs with these numbers of positions need."""
    most = int(rows.max())
    smaller = np.minimum(most, np.unique(columns))
    return int((most - pairs_of_share(share, smaller)).max())


def norm_powers(block: Block) -> NDArray[np.int64]:
    """Return the exponents of powers of two above the norms of each input's vectors, (n,)."""
    squares = arrays.to_numpy(arrays.namespace(block.vectors).square(block.vectors).sum(1), np.dtype(np.float64))
    norms = _SAFE * np.sqrt(np.maximum.reduceat(squares, block.offsets[:-1]))
    return np.frexp(norms)[1].astype(np.int64)


def with_levels(block: Block, powers: NDArray[np.int64], dummies: int | None) -> Block:
    """Return the rows of the problems, or their columns with a number of dummies after those of each input."""
    vectors, sizes = block.vectors, np.diff(block.offsets)
    (count, channels), xp = vectors.shape, arrays.namespace(vectors)
    added = dummies or 0
    extended = xp.zeros((count + added * len(sizes), channels + CHANNELS), vectors.dtype)
    offsets = offsets_of(sizes + added)
    inputs = np.repeat(np.arange(len(sizes)), sizes)
    is_dummy = np.ones(len(extended), bool)
    is_dummy[np.arange(count) + added * inputs] = False
    real = xp.asarray(np.flatnonzero(~is_dummy))
    extended[real, :channels] = vectors
    levels = np.ldexp(1.0, np.repeat(powers, np.diff(offsets)))
    levels[~is_dummy if dummies is not None else is_dummy] = 0
    extended[:, channels] = xp.asarray(levels.astype(vectors.dtype))
    return Block(extended, offsets)


class PartialBlocks(DeviceBlocks):
    """Blocks of rows, or of columns with dummies."""

    dummies: int | None = None

    def _on_device(self, block: Block) -> DeviceBlock:
        powers = norm_powers(block)
        extended = super()._on_device(with_levels(block, powers, self.dummies))
        return replace(extended, powers=self.device.upload(powers))
