# SPDX-License-Identifier: Apache-2.0
"""A computation on the GPU, tile by tile: inputs in device memory, affinities, and results as they arrive.

The host runs ahead of the device: while one tile is computed, the inputs of the next are uploaded, and results are
collected one tile later. Tiles are as large as `PRODUCTS_SHARE` of the free memory allows; if memory runs out
nevertheless, their sides are halved.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins._common.progress import progress_counter
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.engines.cuda.device import Device, DeviceMemoryError, Precision
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock, DeviceBlocks, scales_of

PRODUCTS_SHARE = 0.35
"""Share of the free device memory used for affinities."""

INPUTS_SHARE = 0.25
"""Share of the free device memory used for inputs."""

_MAX_INPUTS = 256
"""Maximum number of inputs per block; tiles of its square keep any device busy."""

_IN_FLIGHT = 2
"""Number of tiles started before waiting for the results of the first."""

_COPIES = {"float32": 1, "tf32": 3, "float16x3": 4, "float64": 1}
"""Memory of a block's vectors and operands, as a multiple of the vectors' memory."""

_ROUNDING = {"float32": 2.0**-21, "tf32": 2.0**-9, "float16x3": 2.0**-20, "float64": 2.0**-45}
_TENSOR_CORES = {"tf32": 1 / 8, "float16x3": 3 / 16}
"""Number of additions per channel in which a tensor core truncates a sum to float32."""


def rounding_of(precision: Precision, channels: int) -> float:
    """Return a bound on the relative rounding error of aligned inner products, as `TileResult.rounding`."""
    return _ROUNDING[precision] + _TENSOR_CORES.get(precision, 0) * channels * 2.0**-23


class Tile(NamedTuple):
    """Inputs of the first set by inputs of the second."""

    rows: slice
    columns: slice

    def halves(self) -> list[Tile]:
        """Halve each side that has more than one input."""
        return [Tile(rows, columns) for rows in _halves(self.rows) for columns in _halves(self.columns)]


def _halves(inputs: slice) -> list[slice]:
    middle = (inputs.start + inputs.stop) // 2
    return [slice(inputs.start, middle), slice(middle, inputs.stop)] if middle > inputs.start else [inputs]


class TileRun(ABC):
    """One computation: its inputs, cut into tiles, and its results, written tile by tile.

    Parameters
    ----------
    device : Device
    x, y : Activations
    symmetric : bool
        Whether y is x and tiles below the diagonal are left out.
    precision : Precision
        Of the affinities of float32 activations.
    copies : int, optional
        Memory of a block's vectors and operands, as a multiple of the vectors' memory; by default, for the affinities.
    convert, prices : callable, optional
        See `DeviceBlocks`.
    scales : callable, optional
        Returns the power of two by which to divide each input, for float16x3.
    """

    with_diagonal = False
    """Whether symmetric results need the pairs of inputs with themselves."""

    def __init__(
        self,
        device: Device,
        x: Activations,
        y: Activations,
        *,
        symmetric: bool,
        precision: Precision,
        copies: int | None = None,
        convert: Callable[[Block], Block] | None = None,
        prices: Callable[[Block], Block] | None = None,
        scales: Callable[[Activations], NDArray[np.int64]] = scales_of,
    ) -> None:
        self.device, self.symmetric = device, symmetric
        self.dtype = np.result_type(x.dtype, y.dtype)
        self.precision: Precision = "float64" if self.dtype == np.float64 else precision
        self.shape = len(x), len(y)
        self.values = np.zeros(self.shape)
        free = device.free_bytes()
        largest = int(x.positions.max()), int(y.positions.max())
        input_bytes = max(largest) * x.channels * self.dtype.itemsize * (copies or _COPIES[self.precision])
        self.block_size = _block_size(free, math.prod(largest) * self.dtype.itemsize, input_bytes)
        fitting = INPUTS_SHARE * free / (self.block_size * input_bytes)
        capacity = max(1, int(fitting if y is x else fitting / 2))
        self.x, self.y = (
            DeviceBlocks(
                device,
                side,
                self.dtype,
                capacity=capacity,
                convert=convert,
                prices=prices,
                exponents=scales(side) if self.precision == "float16x3" else None,
            )
            for side in (x, y)
        )
        if y is x:
            self.y = self.x
        self.scratch: Any = None

    @abstractmethod
    def start(self, tile: Tile) -> Callable[[], None]:
        """Start the computation of a tile; return a function that waits for the results and writes them."""

    def release(self) -> None:
        """Free all device memory."""
        self.scratch = None
        self.x.clear()
        self.y.clear()
        self.device.release()

    def work(self, progress: bool | str) -> None:
        """Compute all tiles."""
        rows, columns = self.shape
        pairs = rows * (rows - 1 + 2 * self.with_diagonal) // 2 if self.symmetric else rows * columns
        tiles, started = deque(self._tiles()), deque[tuple[Tile, Callable[[], None]]]()
        done, most_started = 0, _IN_FLIGHT
        with progress_counter(pairs, progress, title="matching", unit="pair") as show:
            while tiles or started:
                starting = bool(tiles) and len(started) < most_started
                tile, finish = (tiles.popleft(), None) if starting else started.popleft()
                try:
                    if finish is None:
                        started.append((tile, self.start(tile)))
                    else:
                        finish()
                except Exception as error:
                    if not self.device.ran_out(error):
                        raise
                    reason = str(error)
                else:
                    done += 0 if starting else self._count_pairs(tile)
                    show(done)
                    continue
                # Outside of the handler, because the error references device arrays.
                unfinished = [tile, *(running for running, _ in started), *tiles]
                tiles = deque(unfinished if started else self._smaller(unfinished, reason))
                started.clear()
                most_started = 1
                self.release()

    def _tiles(self) -> Iterator[Tile]:
        for rows in _cut(self.shape[0], self.block_size):
            for columns in _cut(self.shape[1], self.block_size):
                if not self.symmetric or columns.start >= rows.start:
                    yield Tile(rows, columns)

    def _count_pairs(self, tile: Tile) -> int:
        rows, columns = tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
        if self.symmetric and tile.rows == tile.columns:
            return int(rows * (rows - 1 + 2 * self.with_diagonal) // 2)
        return int(rows * columns)

    def _smaller(self, tiles: list[Tile], reason: str) -> Iterator[Tile]:
        """Cut tiles into quarters, or raise a DeviceMemoryError if the first is a single pair."""
        if len(tiles[0].halves()) == 1:
            self.release()
            raise DeviceMemoryError(
                f"the affinities and vectors of one pair of inputs do not fit {self.device.name}, which has "
                f"{self.device.free_bytes() / 2**20:.0f} MiB free: use engine='cpu', or free GPU memory ({reason})"
            )
        for part in (part for tile in tiles for part in tile.halves()):
            if not self.symmetric or part.columns.stop > part.rows.start + (not self.with_diagonal):
                yield part

    def selected(self, tile: Tile) -> NDArray[np.bool_]:
        """Return which pairs of a tile are computed, as an (n, m) mask."""
        shape = tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
        above = tile.rows.start - tile.columns.start + (not self.with_diagonal)
        return np.triu(np.ones(shape, bool), above) if self.symmetric else np.ones(shape, bool)

    def affinities(self, rows: DeviceBlock, columns: DeviceBlock, transposed: bool) -> Any:
        """Return the affinities of two blocks, valid until the next call."""
        first, second = (columns, rows) if transposed else (rows, columns)
        shape = len(first.vectors), len(second.vectors)
        size = math.prod(shape)
        if self.scratch is None or self.scratch.size < size:
            self.scratch = None
            self.scratch = self.device.empty((size,), self.dtype)
        affinities = self.scratch[:size].reshape(shape)
        operands = first.operand(self.precision, columns=False), second.operand(self.precision, columns=True)
        self.device.multiply(*operands, affinities, self.precision)
        return affinities


def _cut(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _block_size(free: int, pair_bytes: int, input_bytes: int) -> int:
    """Return the number of inputs per block such that the affinities and inputs of two blocks fit their shares."""
    by_products = math.isqrt(int(PRODUCTS_SHARE * free / pair_bytes))
    by_inputs = int(INPUTS_SHARE * free / (2 * input_bytes))
    return max(1, min(_MAX_INPUTS, by_products, by_inputs))
