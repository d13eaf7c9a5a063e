# SPDX-License-Identifier: Apache-2.0
"""The GPU engine for sums of squared affinities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda.device import Device
from simplugins.compute.engines.cuda.tile_run import Tile, TileRun
from simplugins.compute.engines.squared_affinities import squares_result
from simplugins.compute.job import TileResult


def summed_squares(
    x: Activations, y: Activations | None, *, device: Device, progress: bool | str = False
) -> TileResult:
    """Compute the sum of the squared affinities of all pairs of inputs on a GPU.

    Parameters
    ----------
    x, y, progress
        As for `simplugins.compute.engines.squared_affinities.summed_squares`.
    device : Device

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
        try:
            run.work(progress)
        finally:
            run.release()
    return squares_result(run.values, x, y, engine="cuda", device=device.name)


class _Run(TileRun):
    """One computation."""

    with_diagonal = True

    def start(self, tile: Tile) -> Callable[[], None]:
        """Start the computation of a tile; return a function that waits for the results and writes them."""
        rows, columns = self.x.block(tile.rows), self.y.block(tile.columns)
        sums = self.device.empty((len(rows.sizes), len(columns.sizes)), np.dtype(np.float64))
        self.device.sum_squares(self.affinities(rows, columns, False), rows.offsets, columns.offsets, sums)
        fetch = self.device.download(sums)

        def finish() -> None:
            self.values[tile] = fetch()

        return finish
