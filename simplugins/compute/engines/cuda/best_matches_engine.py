# SPDX-License-Identifier: Apache-2.0
"""The GPU engine for measures of each position's best match: one reduction per tile of affinities."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.compute.best_affinities import BestAffinities
from simplugins.compute.engines.cuda import reductions
from simplugins.compute.engines.cuda.device import Device, Precision
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock, scales_of
from simplugins.compute.engines.cuda.launcher import Batch
from simplugins.compute.engines.cuda.tasks import Pairs, make_pairs
from simplugins.compute.engines.cuda.tile_run import Tile, TileRun, rounding_of
from simplugins.compute.job import TileResult


def best_matches(
    x: Activations,
    y: Activations | None,
    best: BestAffinities,
    *,
    device: Device,
    precision: Precision = "float32",
    progress: bool | str = False,
) -> TileResult:
    """Compute the values of all pairs of inputs from each position's best match, on a GPU.

    Parameters
    ----------
    x, y, best, progress
        As for `simplugins.compute.engines.best_matches.best_matches`.
    device, precision
        As for `simplugins.compute.engines.cuda.engine.aligned_products`.

    Returns
    -------
    TileResult
        (N, M).

    Raises
    ------
    ValueError
        If a set has too many positions for the GPU.
    DeviceMemoryError
        If even a single pair of inputs does not fit the free memory of the GPU.
    """
    other = x if y is None else y
    with device:
        run = _Run(x, other, best, device=device, symmetric=y is None and best.both, precision=precision)
        try:
            run.work(progress)
        finally:
            run.release()
    return best.result(
        run.values,
        x,
        other,
        rounding=rounding_of(run.precision, x.channels),
        symmetric=run.symmetric,
        engine="cuda",
        precision=run.precision,
        device=device.name,
    )


class _Run(TileRun):
    """One computation."""

    with_diagonal = True

    def __init__(
        self,
        x: Activations,
        y: Activations,
        best: BestAffinities,
        *,
        device: Device,
        symmetric: bool,
        precision: Precision,
    ) -> None:
        super().__init__(
            device,
            x,
            y,
            symmetric=symmetric,
            precision=precision,
            convert=best.convert,
            prices=partial(best.prices, dtype=np.result_type(x.dtype, y.dtype)) if best.has_prices else None,
            scales=_unit_scales if best.affinity == "cosine" else scales_of,
        )
        reductions.check_size(device, max(int(x.positions.max()), int(y.positions.max())), self.dtype)
        self.best, self.powers = best, (best.powers(x), best.powers(y))
        self.last_pairs: tuple[Any, Any] = (None, None)

    def release(self) -> None:
        """Free all device memory."""
        self.last_pairs = (None, None)
        super().release()

    def start(self, tile: Tile) -> Callable[[], None]:
        """Start the computation of a tile; return a function that waits for the results and writes them."""
        rows, columns = self.x.block(tile.rows), self.y.block(tile.columns)
        pairs, problems = self._pairs(tile, rows, columns)
        i, j = np.divmod(pairs.numbers, len(columns.sizes))
        scales, powers = self.best.scales(
            (rows.exponents + self.powers[0][tile.rows])[i], (columns.exponents + self.powers[1][tile.columns])[j]
        )
        fetch = reductions.sum_maxima(
            self.device,
            Batch(self.affinities(rows, columns, False), problems, len(i), int(pairs.sizes.max())),
            row_prices=rows.prices,
            column_prices=columns.prices,
            scales=None if (scales == 1).all() else self.device.upload(scales.astype(self.dtype)),
        )
        if (scales != 1).any():
            self.device.retire()  # the CUDA kernel may still read the scales, which are dropped here

        def finish() -> None:
            of_rows, of_columns = fetch()
            values = self.best.combined(of_rows, of_columns, (pairs.sizes[:, 0], pairs.sizes[:, 1]))
            self.values[tile][i, j] = np.ldexp(values, powers)

        return finish

    def _pairs(self, tile: Tile, rows: DeviceBlock, columns: DeviceBlock) -> tuple[Pairs, Any]:
        """Return the pairs of a tile, and their bounds on the device; those of the last equal tile are cached."""
        selected = self.selected(tile)
        key = selected.shape, bool(selected.all()), *(int(block.sizes[0]) for block in (rows, columns))
        equal = all((block.sizes == block.sizes[0]).all() for block in (rows, columns))
        if equal and self.last_pairs[0] == key:
            return self.last_pairs[1]  # type: ignore[no-any-return]
        pairs = make_pairs(selected, rows.offsets, columns.offsets)
        bounds = np.stack([pairs.corners, pairs.corners + pairs.sizes], 2).reshape(len(pairs.numbers), 4)
        result = pairs, self.device.upload(bounds)
        self.device.retire()  # a running CUDA kernel may still read the problems dropped here
        self.last_pairs = (key if equal else None, result)
        return result


def _unit_scales(activations: Activations) -> NDArray[np.int64]:
    """Return the power of two nearest to the root mean square of the entries of unit vectors, for each input."""
    return np.full(len(activations), -round(np.log2(activations.channels) / 2))
