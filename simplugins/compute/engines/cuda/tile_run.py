# SPDX-License-Identifier: Apache-2.0
"""A computation on the GPU, tile by tile: inputs in device memory, affinities, and results in a matrix on the device.

The host runs ahead of the device: while one tile is computed, the next is prepared. With `in_lanes`, tiles take turns
in two lanes (see `lanes`). Their affinities take at most `PRODUCTS_SHARE` of the free memory. If memory runs out
nevertheless, a single lane remains, and then the sides of tiles are halved. Results stay on the device until all pairs
are computed; if they exceed `RESULTS_SHARE` of the free memory, they are downloaded region by region.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.progress import progress_counter
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.engines.cuda.device import Device, DeviceMemoryError, Precision
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock, DeviceBlocks, scales_of
from simplugins.compute.engines.cuda.device_result import DeviceResult
from simplugins.compute.engines.cuda.lanes import Lanes, lanes_and_size
from simplugins.compute.engines.cuda.pair_problems import TilePairs
from simplugins.compute.engines.cuda.pair_results import Area, PairResults, Tile
from simplugins.compute.engines.cuda.tile_cuts import block_size, regions, tiles_of
from simplugins.compute.job import TileResult
from simplugins.compute.tiling import mirror

PRODUCTS_SHARE = 0.35
"""Share of the free device memory used for affinities."""

INPUTS_SHARE = 0.25
"""Share of the free device memory used for inputs."""

RESULTS_SHARE = 0.2
"""Share of the free device memory used for results."""

_MAX_INPUTS = 256
"""Maximum number of inputs per block; tiles of its square keep any device busy."""

_UPLOADED_BYTES = 2**30
"""Size of a block that is read into host memory, at most, unless one input is larger."""

_IN_FLIGHT = 2
"""Number of tiles started before waiting for the first: one per lane. `DeviceBlocks` relies on no more than two."""

_COPIES = {"float32": 1, "float16x3": 4, "float64": 1}
"""Memory of a block's vectors and operands, as a multiple of the vectors' memory."""

ROUNDING = {"float32": 2.0**-21, "float16x3": 2.0**-21, "float64": 2.0**-45}
"""Bounds on the relative rounding errors of aligned inner products, as `TileResult.rounding`."""

HostResults = tuple[NDArray[np.float64], NDArray[np.float64] | None]
"""Values, and gaps if there are any, in host memory."""


class TileRun(ABC):
    """One computation: its inputs, cut into tiles, and its results, added to a matrix tile by tile.

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
    certify : bool
        Whether results have bounds.
    added : pair of int
        The number of channels that blocks have in addition, and that of positions of each input of y.
    multiplied : bool
        Whether tiles have one product per pair instead of its affinities, so that they may be large.
    """

    with_diagonal = False
    """Whether symmetric results need the pairs of inputs with themselves."""

    in_lanes = False
    """Whether tiles take turns in lanes: off until a GPU has run them (``benchmarks/gpu.py`` times both ways)."""

    power_factor = 1
    """Results are divided by two to the power of this multiple of the inputs' exponents."""

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
        certify: bool = False,
        added: tuple[int, int] = (0, 0),
        multiplied: bool = False,
    ) -> None:
        self.device, self.symmetric, self.certify = device, symmetric, certify
        self.sides = x, y
        self.dtype = np.result_type(x.dtype, y.dtype)
        self.precision: Precision = "float64" if self.dtype == np.float64 else precision
        self.shape = len(x), len(y)
        self.free = device.free_bytes()
        largest = int(x.positions.max()), int(y.positions.max()) + added[1]
        input_bytes = max(largest) * (x.channels + added[0]) * self.dtype.itemsize * (copies or _COPIES[self.precision])
        pair_bytes = np.dtype(np.float64).itemsize if multiplied else math.prod(largest) * self.dtype.itemsize
        size = block_size(
            PRODUCTS_SHARE * self.free / pair_bytes,
            INPUTS_SHARE * self.free / input_bytes,
            _most_inputs(x, y) if multiplied else _MAX_INPUTS,
        )
        in_lanes = self.in_lanes and not multiplied
        lanes, self.block_size = lanes_and_size(size, max(self.shape), pair_bytes, self.free) if in_lanes else (1, size)
        self.lanes = Lanes(device, self.dtype, lanes)
        fitting = INPUTS_SHARE * self.free / (self.block_size * input_bytes)
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
        self.results: PairResults | None = None
        self.host: HostResults | None = None
        self.coarse_tiles: set[tuple[int, ...]] = set()

    @abstractmethod
    def start(self, tile: Tile, pairs: TilePairs) -> Callable[[], bool]:
        """Start a tile of pairs.

        Return a function that waits until it is complete, and returns False if it must be computed in float64.
        """

    def prepare(self, pairs: TilePairs) -> None:
        """Convert the inputs of a tile to operands, outside of lanes, since tiles in both lanes may use them."""
        self.operands(pairs.rows, pairs.columns, transposed=False)

    def begin(self, tile: Tile) -> Callable[[], bool]:
        """Start a tile, as `start`, in the next lane."""
        pairs = self.pairs(tile, self.x.block(tile.rows), self.y.block(tile.columns))
        self.prepare(pairs)
        with self.lanes.next():
            return self.start(tile, pairs)

    def drop(self) -> None:
        """Drop inputs and affinities."""
        self.lanes.drop()
        self.x.clear()
        self.y.clear()

    def run(self, progress: bool | str) -> None:
        """Compute all pairs, then drop everything but the results; after errors, free all memory."""
        try:
            self.work(progress)
        except BaseException:
            self.results = None
            self.release()
            raise
        self.finish()

    def finish(self) -> None:
        """Drop inputs and affinities; the device keeps a bounded amount of memory for later calls."""
        self.drop()
        self.device.settle()

    def release(self) -> None:
        """Free the device memory of inputs and affinities."""
        self.drop()
        self.device.release()

    def work(self, progress: bool | str) -> None:
        """Compute all pairs."""
        rows, columns = self.shape
        pairs = rows * (rows - 1 + 2 * self.with_diagonal) // 2 if self.symmetric else rows * columns
        most = RESULTS_SHARE * self.free / (8 * (1 + self.certify))
        waiting = deque(regions(self.shape, self.block_size, most, symmetric=self.symmetric))
        done = 0
        with progress_counter(pairs, progress, title="matching", unit="pair") as show:
            while waiting:
                region = waiting.popleft()
                try:
                    self._start_region(region)
                except Exception as error:
                    if not self.device.ran_out(error):
                        raise
                    reason = str(error)
                else:
                    for count in self._work_on(region):
                        show(done := done + count)
                    self._collect(region)
                    continue
                self.release()
                waiting.extendleft(reversed(list(self._smaller([region], reason))))

    def _start_region(self, region: Tile) -> None:
        """Make room for the results of a region, cleared if some of its pairs are not computed."""
        self.results = None
        self.results = PairResults(self.device, region, certify=self.certify)
        if self.symmetric and region.shape != self.shape:
            self.area(region).clear()

    def _work_on(self, region: Tile) -> Iterator[int]:
        """Compute all tiles of a region, and yield the number of pairs of each as it is complete."""
        diagonal = self.symmetric
        tiles, started = deque(tiles_of(region, self.block_size, symmetric=diagonal)), deque[tuple[Tile, Any]]()
        most_started = _IN_FLIGHT
        while tiles or started:
            starting = bool(tiles) and len(started) < most_started
            tile, finish = (tiles.popleft(), None) if starting else started.popleft()
            try:
                if finish is None:
                    started.append((tile, self.begin(tile)))
                elif finish():
                    yield self.count_pairs(tile)
                else:
                    self.coarse_tiles.add(_key(tile))
                    tiles.appendleft(tile)
            except Exception as error:
                if not self.device.ran_out(error):
                    raise
                reason = str(error)
            else:
                continue
            # Outside of the handler, because the error references device arrays.
            unfinished = [tile, *(running for running, _ in started), *tiles]
            as_they_are = started or self.lanes.count > 1
            tiles = deque(unfinished if as_they_are else self._smaller(unfinished, reason))
            started.clear()
            most_started = 1
            self.lanes.merge()
            self.release()

    def compute(self, region: Tile, host: HostResults) -> None:
        """Compute a region that is not the whole, and write its results to host memory.

        Raises
        ------
        DeviceMemoryError
            If even a single pair does not fit the free memory; the region is then not written to.
        """
        self.host = host
        with self.device:
            try:
                self._start_region(region)
                for _ in self._work_on(region):
                    pass
                self._collect(region)
            except Exception as error:
                self.results = None
                if self.device.ran_out(error) and not isinstance(error, DeviceMemoryError):
                    raise DeviceMemoryError(f"the results of {region.shape} pairs do not fit: {error}") from error
                raise

    def _collect(self, region: Tile) -> None:
        """Complete the results of a region; download them if it is not the whole."""
        assert self.results is not None
        x, y = self.sides
        powers = [
            self.power_factor * (blocks.exponents + side.exponents) for blocks, side in ((self.x, x), (self.y, y))
        ]
        scaled = any(side.any() for side in powers)
        whole = region.shape == self.shape
        self.results.complete(
            (powers[0][region.rows], powers[1][region.columns]) if scaled else None,
            mirrored=self.symmetric and whole,
            diagonal=x.squared_norms if self.symmetric and whole and not self.with_diagonal else None,
        )
        if whole:
            return
        if self.host is None:
            self.host = self.host_results()
        for matrix, part in zip(self.host, (self.results.values, self.results.bounds), strict=True):
            if matrix is not None:
                target = np.empty(region.shape)
                self.device.fetch(part, target)
                matrix[region] = target
        self.results = None

    def host_results(self) -> HostResults:
        """Return matrices for the results in host memory."""
        return np.zeros(self.shape), np.zeros(self.shape) if self.certify else None

    def result(self, rounding: float, *, keep: bool, **metadata: str) -> TileResult:
        """Return the results: with `keep`, in the memory of the device if they fit there, otherwise in host memory."""
        if self.results is not None:
            result = DeviceResult(self.results, rounding, metadata)
            self.results = None
            return result if keep else result.on_host()
        assert self.host is not None
        values, gap = self.host
        if self.symmetric:
            for matrix, diagonal in ((values, self.sides[0].squared_norms), (gap, 0.0)):
                if matrix is not None:
                    mirror(matrix)
                    if not self.with_diagonal:
                        np.fill_diagonal(matrix, diagonal)
        return TileResult(values, rounding, gap, metadata)

    def count_pairs(self, tile: Tile) -> int:
        """Return the number of pairs that are computed in a tile."""
        rows, columns = tile.shape
        if self.symmetric and tile.rows == tile.columns:
            return rows * (rows - 1 + 2 * self.with_diagonal) // 2
        return rows * columns

    def _smaller(self, tiles: list[Tile], reason: str) -> Iterator[Tile]:
        """Cut tiles into quarters, or raise a DeviceMemoryError if the first is a single pair."""
        if len(tiles[0].halves()) == 1:
            self.results = None
            self.release()
            raise DeviceMemoryError(
                f"the affinities and vectors of one pair of inputs do not fit {self.device.name}, which has "
                f"{self.device.free_bytes() / 2**20:.0f} MiB free: use engine='cpu', or free GPU memory ({reason})"
            )
        for part in (part for tile in tiles for part in tile.halves()):
            if not self.symmetric or part.columns.stop > part.rows.start + (not self.with_diagonal):
                yield part

    def area(self, tile: Tile) -> Area:
        """Return the part of the results that a tile fills in."""
        assert self.results is not None
        return self.results.area(tile)

    def pairs(self, tile: Tile, rows: DeviceBlock, columns: DeviceBlock) -> TilePairs:
        """Return the pairs of a tile."""
        on_diagonal = self.symmetric and tile.rows == tile.columns
        return TilePairs(self.device, rows, columns, (1 + self.with_diagonal) * on_diagonal, self.area(tile))

    def is_coarse(self, tile: Tile) -> bool:
        """Whether a tile is computed again in float64."""
        return _key(tile) in self.coarse_tiles

    def affinities(self, rows: DeviceBlock, columns: DeviceBlock, transposed: bool) -> Any:
        """Return the affinities of two blocks, valid until the next call in the same lane."""
        first, second = self.operands(rows, columns, transposed=transposed)
        affinities = self.lanes.affinities((len(first), len(second)))
        self.device.multiply(first, second, affinities, self.precision)
        return affinities

    def operands(self, rows: DeviceBlock, columns: DeviceBlock, *, transposed: bool) -> tuple[Any, Any]:
        """Return the operands of the product of two blocks."""
        first, second = (columns, rows) if transposed else (rows, columns)
        return first.operand(self.precision, columns=False), second.operand(self.precision, columns=True)


def _key(tile: Tile) -> tuple[int, ...]:
    """Return a tile as a tuple of numbers, since slices are not hashable before Python 3.12."""
    return tile.rows.start, tile.rows.stop, tile.columns.start, tile.columns.stop


def _most_inputs(x: Activations, y: Activations) -> int:
    """Return the number of inputs of the largest block without affinities."""
    if x.gpu is not None and y.gpu is not None:
        return max(len(x), len(y))
    return max(_MAX_INPUTS, _UPLOADED_BYTES // max(x.input_bytes, y.input_bytes))
