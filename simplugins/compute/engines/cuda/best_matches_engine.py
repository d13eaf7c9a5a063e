# SPDX-License-Identifier: Apache-2.0
"""The GPU engine for measures of each position's best match: one reduction per tile of affinities."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.compute.best_affinities import BestAffinities
from simplugins.compute.engines.cuda import reductions
from simplugins.compute.engines.cuda.device import Device, Precision
from simplugins.compute.engines.cuda.device_blocks import scales_of
from simplugins.compute.engines.cuda.operands import default_precision
from simplugins.compute.engines.cuda.pair_problems import Part, TilePairs
from simplugins.compute.engines.cuda.pair_results import Tile
from simplugins.compute.engines.cuda.tile_run import ROUNDING, TileRun
from simplugins.compute.job import TileResult


def best_matches(
    x: Activations,
    y: Activations | None,
    best: BestAffinities,
    *,
    device: Device,
    precision: Precision | None = None,
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
    precision = precision or default_precision(device, x.channels)
    with device:
        run = _Run(x, other, best, device=device, symmetric=y is None and best.both, precision=precision)
        run.run(progress)
        rounding = ROUNDING[run.precision]
        result = run.result(rounding, keep=False)
    return best.result(
        result.values,
        x,
        other,
        rounding=rounding,
        symmetric=run.symmetric,
        engine="cuda",
        precision=run.precision,
        device=device.name,
    )


class _Run(TileRun):
    """One computation."""

    with_diagonal = True
    power_factor = 0

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
        self.best = best
        powers = self.x.exponents + best.powers(x), self.y.exponents + best.powers(y)
        self.powers = [device.upload(side) for side in powers] if any(side.any() for side in powers) else None

    def start(self, tile: Tile, pairs: TilePairs) -> Callable[[], bool]:
        """Start a tile; return a function that waits for it."""
        rows, columns, device = pairs.rows, pairs.columns, self.device
        powers = None if self.powers is None else [side[part] for side, part in zip(self.powers, tile, strict=True)]
        distances = self.best.affinity == "distance"
        results = device.empty((2, pairs.count), np.dtype(np.float64))
        reductions.start(
            device,
            pairs.batch(Part("greedy"), 2, self.affinities(rows, columns, False)),
            results,
            row_prices=rows.prices,
            column_prices=columns.prices,
            scales=pairs.scales(powers, self.dtype) if distances and powers is not None else None,
        )
        pairs.write_maxima(results, powers, means=self.best.affinity == "cosine", both=self.best.both, twice=distances)
        fetch = device.download(results[0, :1])
        return lambda: fetch() is not None


def _unit_scales(activations: Activations) -> NDArray[np.int64]:
    """Return the power of two nearest to the root mean square of the entries of unit vectors, for each input."""
    return np.full(len(activations), -round(np.log2(activations.channels) / 2))
