# SPDX-License-Identifier: Apache-2.0
"""The matrix of the results of all pairs, in device memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins.compute.engines.cuda.device import Device
from simplugins.compute.engines.cuda.pair_programs import NULL, launch

_FLOAT = np.dtype(np.float64)


class Tile(NamedTuple):
    """Inputs of the first set by inputs of the second."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def halves(self) -> list[Tile]:
        """Halve each side that has more than one input."""
        return [Tile(rows, columns) for rows in _halves(self.rows) for columns in _halves(self.columns)]


def _halves(inputs: slice) -> list[slice]:
    middle = (inputs.start + inputs.stop) // 2
    return [slice(inputs.start, middle), slice(middle, inputs.stop)] if middle > inputs.start else [inputs]


@dataclass(frozen=True)
class Area:
    """A block of the matrix: the results of a tile.

    Attributes
    ----------
    results : PairResults
    tile : Tile
    """

    results: PairResults
    tile: Tile

    def arguments(self) -> list[Any]:
        """Return the matrix, the bounds, the length of rows, and the tile's first row and column, for CUDA kernels."""
        results, region = self.results, self.results.region
        place = (
            region.shape[1],
            self.tile.rows.start - region.rows.start,
            self.tile.columns.start - region.columns.start,
        )
        return [results.values, NULL if results.bounds is None else results.bounds, *map(np.int64, place)]

    def clear(self, counts: Any = None) -> None:
        """Set the results to zeros, and those of an int32 device array as well."""
        rows, columns = self.tile.shape
        counted = 0 if counts is None else len(counts)
        arguments = [*self.arguments(), np.int64(rows), np.int64(columns)]
        arguments += [NULL if counts is None else counts, np.int32(counted)]
        launch(self.results.device, "clear_block", max(rows * columns, counted), arguments)

    def add(self, block: Any) -> None:
        """Add an (n, m) device array."""
        matrix, _, *place = self.arguments()
        sizes = map(np.int64, self.tile.shape)
        launch(self.results.device, "add_block", block.size, [block, matrix, *place, *sizes])


class PairResults:
    """The results of the pairs of a region.

    Parameters
    ----------
    device : Device
    region : Tile
    certify : bool
        Whether there are bounds, too.
    """

    def __init__(self, device: Device, region: Tile, *, certify: bool) -> None:
        self.device, self.region = device, region
        self.values = device.empty(region.shape, _FLOAT)
        self.bounds = device.empty(region.shape, _FLOAT) if certify else None

    def area(self, tile: Tile) -> Area:
        """Return the part of the matrix for a tile of the region."""
        return Area(self, tile)

    def complete(
        self,
        powers: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
        *,
        mirrored: bool,
        diagonal: NDArray[np.float64] | None,
    ) -> None:
        """Scale values by powers of two of their inputs, turn bounds into gaps, mirror, and replace the diagonal."""
        rows, columns = self.region.shape
        uploaded = [NULL, NULL] if powers is None else [self.device.upload(side) for side in powers]
        norms = NULL if diagonal is None else self.device.upload(diagonal)
        bounds = NULL if self.bounds is None else self.bounds
        sizes = np.int64(rows), np.int64(columns)
        launch(
            self.device,
            "complete",
            rows * columns,
            [self.values, bounds, *sizes, *uploaded, np.int32(mirrored), norms],
        )
        self.device.retire()  # the CUDA kernel may still read the uploads, which are dropped here

    def download(self, values: NDArray[np.float64], gap: NDArray[np.float64] | None) -> None:
        """Copy values, and gaps if there are any, to (n, m) host arrays."""
        self.device.fetch(self.values, values)
        if self.bounds is not None and gap is not None:
            self.device.fetch(self.bounds, gap)
