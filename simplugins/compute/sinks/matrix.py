# SPDX-License-Identifier: Apache-2.0
"""The matrix sink, which collects tiles in memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.compute.job import TileResult, check_consistent, provenance
from simplugins.compute.tiling import Tile, Tiling, mirror


class MatrixSink:
    """Collects tiles in matrices.

    Parameters
    ----------
    tiling : Tiling
    certify : bool
        Whether tiles have gaps.
    """

    def __init__(self, tiling: Tiling, *, certify: bool) -> None:
        self.tiling, self.certify = tiling, certify
        self.whole: TileResult | None = None
        self.computed: dict[str, Any] = {}

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The values, filled in tile by tile."""
        return np.zeros((self.tiling.rows, self.tiling.columns))

    @cached_property
    def gap(self) -> NDArray[np.float64] | None:
        """The gaps, filled in tile by tile, or None."""
        return np.zeros_like(self.values) if self.certify else None

    def missing(self, tiles: Iterator[Tile]) -> Iterator[Tile]:
        """Return all tiles."""
        return tiles

    def add(self, tile: Tile, result: TileResult) -> None:
        """Write a tile into the matrices; a single tile becomes the result without copying."""
        if self.tiling.count == 1:
            self.whole = result
            return
        index = self.tiling.slices(tile)
        self.values[index] = result.values
        if self.gap is not None and result.gap is not None:
            self.gap[index] = result.gap
        check_consistent(self.computed or provenance(result), result)
        self.computed = provenance(result)

    def result(self) -> TileResult:
        """Complete the matrices, and return them."""
        if self.whole is not None:
            return self.whole
        if self.tiling.symmetric:
            for matrix in (self.values, self.gap):
                if matrix is not None:
                    mirror(matrix)
        metadata = {name: value for name, value in self.computed.items() if name != "rounding"}
        return TileResult(self.values, self.computed["rounding"], self.gap, metadata)
