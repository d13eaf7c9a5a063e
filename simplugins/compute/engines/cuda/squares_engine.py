# SPDX-License-Identifier: Apache-2.0
"""The GPU engine for sums of squared affinities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda.device import Device
from simplugins.compute.engines.cuda.pair_problems import TilePairs
from simplugins.compute.engines.cuda.pair_results import Tile
from simplugins.compute.engines.cuda.tile_run import ROUNDING, TileRun
from simplugins.compute.job import TileResult


def summed_squares(
    x: Activations, y: Activations | None, *, device: Device, keep: bool = False, progress: bool | str = False
) -> TileResult:
    """Compute the sum of the squared affinities of all pairs of inputs on a GPU.

    Parameters
    ----------
    x, y, progress
        As for `simplugins.compute.engines.squared_affinities.summed_squares`.
    device, keep
        As for `simplugins.compute.engines.cuda.engine.aligned_products`.

    Returns
    -------
    TileResult
        (N, M); symmetric if y is None.

    Raises
    ------
    DeviceMemoryError
        If even a single pair of inputs does not fit the free memory of the GPU.
    """
    with device:
        run = _Run(device, x, x if y is None else y, symmetric=y is None, precision="float32")
        run.run(progress)
        rounding = ROUNDING["float64"]
        return run.result(rounding, keep=keep, engine="cuda", device=device.name, precision="float64")


class _Run(TileRun):
    """One computation."""

    in_lanes = False  # products of either lane would share a handle for cuBLAS, and not be reproducible
    with_diagonal = True
    power_factor = 2

    def start(self, tile: Tile, pairs: TilePairs) -> Callable[[], bool]:
        """Start a tile; return a function that waits for it."""
        rows, columns, area = pairs.rows, pairs.columns, pairs.area
        sums = self.device.empty(tile.shape, np.dtype(np.float64))
        self.device.sum_squares(self.affinities(rows, columns, False), rows.offsets, columns.offsets, sums)
        counts = self.device.empty((1,), np.dtype(np.int32))
        area.clear(counts)
        area.add(sums)
        fetch = self.device.download(counts)
        return lambda: not fetch().any()
