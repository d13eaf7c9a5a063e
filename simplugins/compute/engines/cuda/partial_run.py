# SPDX-License-Identifier: Apache-2.0
"""Matchings of a share of the positions on the GPU, as complete matchings with dummy columns: see `partial_blocks`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.device import Device
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock
from simplugins.compute.engines.cuda.engine import Run
from simplugins.compute.engines.cuda.launcher import Batch
from simplugins.compute.engines.cuda.pair_problems import Part, TilePairs
from simplugins.compute.engines.cuda.pair_programs import launch
from simplugins.compute.engines.cuda.pair_results import Tile
from simplugins.compute.engines.cuda.partial_blocks import CHANNELS, PartialBlocks, dummies_of
from simplugins.compute.engines.cuda.programs import LARGEST
from simplugins.matching.partial import pairs_of_share


@dataclass(frozen=True)
class PartialPairs(TilePairs):
    """The pairs of a block of rows and a block of columns with dummies.

    Attributes
    ----------
    dummies : int
        Of each input.
    counts : device array
        The number of pairs to match by the number of positions of the smaller set, int32.
    """

    dummies: int
    counts: Any

    def orientations(self, part: Part) -> tuple[int, ...]:
        """Return that all problems are as they are: with dummies, none has more rows than columns."""
        return (2,)

    def batch(self, part: Part, orientation: int, affinities: Any) -> Batch:
        """Return one problem per pair, with the number of dummies that it needs."""
        problems = self.device.empty((self.count, 4), np.dtype(np.int64))
        launch(self.device, "make_partial_problems", self.count, [*self._partial_shape, problems])
        return Batch(affinities, problems, self.count, self.largest(part))

    def _start(
        self, batch: Batch, real: np.dtype[np.floating], results: Any, floor: float, listed: Any, coarse: Any
    ) -> None:
        launcher.start(self.device, batch, real, results, floor=floor)
        powers = self.rows.powers, self.columns.powers
        arguments = [*self._partial_shape, *powers, listed, coarse, np.int32(batch.count), *results]
        launch(self.device, "remove_dummies", batch.count, arguments)

    @property
    def _partial_shape(self) -> list[Any]:
        return [*self._positions, *self._counts, np.int64(self.count), np.int64(self.dummies), self.counts]


class PartialRun(Run):
    """One computation of the aligned inner products of shares of the positions."""

    def __init__(self, x: Activations, y: Activations | None, matcher: Any, *, device: Device, **options: Any) -> None:
        other = x if y is None else y
        self.dummies = dummies_of(matcher.share, x.positions, other.positions)
        most = max(int(x.positions.max()), int(other.positions.max()) + self.dummies)
        if most > LARGEST:
            raise ValueError(
                f"share={matcher.share:g} of sets of {int(x.positions.max())} positions needs assignment problems with "
                f"{most} columns, but engine 'cuda' solves at most {LARGEST}: use engine='cpu'"
            )
        super().__init__(x, y, matcher, device=device, added=(CHANNELS, self.dummies), **options)
        launcher.check_size(device, most, self.dtype)
        sides = self.x, self.y
        self.x, self.y = (
            PartialBlocks(device, side.activations, self.dtype, capacity=side.capacity, exponents=side.exponents)
            for side in sides
        )
        self.y.dummies = self.dummies
        smallest = min(int(x.positions.max()), int(other.positions.max()))
        self.pair_counts = device.upload(pairs_of_share(matcher.share, np.arange(smallest + 1)).astype(np.int32))

    def pairs(self, tile: Tile, rows: DeviceBlock, columns: DeviceBlock) -> TilePairs:
        """Return the pairs of a tile."""
        pairs = super().pairs(tile, rows, columns)
        return PartialPairs(
            pairs.device, pairs.rows, pairs.columns, pairs.triangle, pairs.area, self.dummies, self.pair_counts
        )
