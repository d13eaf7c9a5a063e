# SPDX-License-Identifier: Apache-2.0
"""The GPU engine: for each tile of pairs, a matrix product and launches of the matching kernels on it.

A tile is the product of two blocks of inputs: it contains the affinities of all pairs, and the CUDA kernels read them
in place. The host runs ahead of the device: while one tile is computed, the inputs of the next are uploaded, and
results are collected one tile later. Tiles are as large as `PRODUCTS_SHARE` of the free memory allows; if memory runs
out nevertheless, their sides are halved.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins._common.progress import progress_counter
from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.device import Device, DeviceMemoryError, Precision
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock, DeviceBlocks
from simplugins.compute.engines.cuda.launcher import Batch, Solved
from simplugins.compute.engines.cuda.tasks import Task, check_matcher, make_pairs, make_tasks
from simplugins.compute.job import TileResult, check_pair, complete, relative_gap
from simplugins.matching.matcher import Matcher
from simplugins.matching.norm_windows import norm_windows
from simplugins.matching.optimal import Optimal

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

_POSITIONWISE_COPIES = 5
"""The same for float32 vectors that are multiplied in float64."""

FINE_ENOUGH = 2.0**-18
"""Largest acceptable certified shortfall of a value computed with float32 prices, relative to the magnitude of the
matched affinities. Pairs with a larger bound are solved again with float64 prices. (In almost all cases the value is
optimal, and only rounding loosens the bound.)"""

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


class _Partial(NamedTuple):
    """Contribution of one product to the results of a tile: two (n, m) float64 arrays."""

    values: NDArray[np.float64]
    upper: NDArray[np.float64]


def aligned_products(
    x: Activations,
    y: Activations | None,
    matcher: Matcher,
    *,
    device: Device,
    precision: Precision = "float32",
    certify: bool = False,
    progress: bool | str = False,
) -> TileResult:
    """Compute the aligned inner products of all pairs of inputs on a GPU.

    Parameters
    ----------
    x, y, matcher, certify, progress
        As for `simplugins.compute.engines.cpu.aligned_products`. The matcher must have a CUDA kernel or be
        positionwise, and inputs have at most `programs.LARGEST` positions.
    device : Device
    precision : {"float32", "float16x3", "tf32"}
        Precision of the affinities of float32 activations; those of float64 activations are computed in float64.

    Returns
    -------
    TileResult
        (N, M). Optimal matchings are certified to within 2^-18 (4e-6) of the magnitude of the matched affinities.

    Raises
    ------
    ValueError
        If the inputs cannot be matched with each other, or the GPU cannot compute the matching.
    DeviceMemoryError
        If even a single pair of inputs does not fit the free memory of the GPU.
    """
    check_pair(x, x if y is None else y, matcher)
    check_matcher(matcher)
    with device:
        run = _Run(x, y, matcher, device=device, precision=precision, certify=certify)
        try:
            run.work(progress)
        finally:
            run.release()
    precision = "float64" if matcher.positionwise else run.precision
    metadata = {"engine": "cuda", "precision": precision, "device": device.name}
    return complete(x, y, run.values, run.gap, rounding_of(precision, x.channels), **metadata)


class _Run:
    """One computation: its inputs, cut into tiles, and its results, written tile by tile."""

    def __init__(
        self,
        x: Activations,
        y: Activations | None,
        matcher: Matcher,
        *,
        device: Device,
        precision: Precision,
        certify: bool,
    ) -> None:
        other = x if y is None else y
        self.device, self.matcher, self.certify, self.symmetric = device, matcher, certify, y is None
        self.dtype = np.result_type(x.dtype, other.dtype)
        self.precision: Precision = "float64" if self.dtype == np.float64 else precision
        self.shape = len(x), len(other)
        self.values = np.zeros(self.shape)
        self.gap = np.zeros(self.shape) if certify else None
        free = device.free_bytes()
        largest = int(x.positions.max()), int(other.positions.max())
        copies = _POSITIONWISE_COPIES if matcher.positionwise else _COPIES[self.precision]
        input_bytes = max(largest) * x.channels * self.dtype.itemsize * copies
        self.block_size = _block_size(free, math.prod(largest) * self.dtype.itemsize, input_bytes)
        fitting = INPUTS_SHARE * free / (self.block_size * input_bytes)
        options = {"by_norm": matcher.by_norm, "scaled": self.precision == "float16x3"}
        self.x = DeviceBlocks(
            device, x, self.dtype, capacity=max(1, int(fitting if y is None else fitting / 2)), **options
        )
        self.y = (
            self.x if y is None else DeviceBlocks(device, y, self.dtype, capacity=max(1, int(fitting / 2)), **options)
        )
        uniform = np.unique(np.concatenate([x.positions, other.positions])).size == 1
        window = max(largest) if certify or matcher.window is None else min(matcher.window, max(largest))
        self.windowed = uniform and window < max(largest)
        if certify or not matcher.positionwise:
            launcher.check_size(device, window, self.dtype)
        self.scratch: Any = None
        self.last_tasks: tuple[Any, list[tuple[Task, Any]]] = (None, [])

    def release(self) -> None:
        """Free all device memory."""
        self.scratch, self.last_tasks = None, (None, [])
        self.x.clear()
        self.y.clear()
        self.device.release()

    def work(self, progress: bool | str) -> None:
        """Compute all tiles."""
        rows, columns = self.shape
        pairs = rows * (rows - 1) // 2 if self.symmetric else rows * columns
        tiles, started = deque(self._tiles()), deque[tuple[Tile, Callable[[], None]]]()
        done, most_started = 0, _IN_FLIGHT
        with progress_counter(pairs, progress, title="matching", unit="pair") as show:
            while tiles or started:
                starting = bool(tiles) and len(started) < most_started
                tile, finish = (tiles.popleft(), None) if starting else started.popleft()
                try:
                    if finish is None:
                        started.append((tile, self._start(tile)))
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
            return int(rows * (rows - 1) // 2)
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
            if not self.symmetric or part.columns.stop > part.rows.start + 1:
                yield part

    def _start(self, tile: Tile) -> Callable[[], None]:
        """Start the computation of a tile; return a function that waits for the results and writes them."""
        rows, columns = self.x.block(tile.rows), self.y.block(tile.columns)
        started = []
        if self.matcher.positionwise:
            started.append(self._start_positionwise(rows, columns))
        if self.windowed:
            started += [self._start_product(tile, *window, Optimal()) for window in self._windows(rows, columns)]
        elif self.certify or not self.matcher.positionwise:
            started.append(self._start_product(tile, rows, columns, self.matcher))
        exponents = rows.exponents[:, None] + columns.exponents[None, :]
        return lambda: self._write(tile, [finish() for finish in started], exponents)

    def _start_positionwise(self, rows: DeviceBlock, columns: DeviceBlock) -> Callable[[], _Partial]:
        """Start one product of flattened inputs."""
        product = self.device.empty((len(rows.sizes), len(columns.sizes)), np.dtype(np.float64))
        operands = rows.flat().operand("float64", columns=False), columns.flat().operand("float64", columns=True)
        self.device.multiply(*operands, product, "float64")
        fetch = self.device.download(product)
        return lambda: _Partial(values := fetch(), np.zeros_like(values))

    def _windows(self, rows: DeviceBlock, columns: DeviceBlock) -> Iterator[tuple[DeviceBlock, DeviceBlock]]:
        """Cut inputs of equal size into windows, so that affinities between windows are not computed."""
        assert self.matcher.window is not None
        for first, second in norm_windows(int(rows.sizes[0]), int(columns.sizes[0]), self.matcher.window):
            yield self._window(rows, first), self._window(columns, second)

    def _window(self, block: DeviceBlock, window: slice) -> DeviceBlock:
        count, size = len(block.sizes), window.stop - window.start
        sets = block.vectors.reshape(count, -1, block.vectors.shape[1])[:, window]
        vectors = self.device.empty((count * size, sets.shape[2]), self.dtype)
        vectors.reshape(sets.shape)[:] = sets
        return DeviceBlock(vectors, np.arange(count + 1) * size, block.exponents)

    def _start_product(
        self, tile: Tile, rows: DeviceBlock, columns: DeviceBlock, matcher: Matcher
    ) -> Callable[[], _Partial]:
        """Start one matrix product and all matching on it; return a function that waits for the results."""
        shape = len(rows.sizes), len(columns.sizes)
        tasks = self._tasks(tile, rows, columns, matcher)
        started: list[tuple[Task, Callable[[], Any]]] = []
        for transposed in (False, True):
            oriented = [(task, problems) for task, problems in tasks if task.transposed == transposed]
            if oriented:
                affinities = self._affinities(rows, columns, transposed)
                started += [(task, self._launch(task, problems, affinities)) for task, problems in oriented]

        def finish() -> _Partial:
            values, upper = np.zeros((2, math.prod(shape)))
            for task, fetch in started:
                if task.kind == "greedy":
                    values += np.bincount(task.pairs, fetch(), values.size)
                    continue
                solved = self._refined(fetch(), task, rows, columns)
                upper[task.pairs[task.whole]] = solved.upper[task.whole]
                if task.kind == "optimal":
                    values += np.bincount(task.pairs, solved.values, values.size)
            return _Partial(values.reshape(shape), upper.reshape(shape))

        return finish

    def _tasks(self, tile: Tile, rows: DeviceBlock, columns: DeviceBlock, matcher: Matcher) -> list[tuple[Task, Any]]:
        """Return the tasks of a tile, with their problems on the device.

        Tiles with inputs of equal size have the same tasks, so those of the last such tile are cached.
        """
        shape, above = (len(rows.sizes), len(columns.sizes)), tile.rows.start - tile.columns.start + 1
        selected = np.triu(np.ones(shape, bool), above) if self.symmetric else np.ones(shape, bool)
        key = matcher, shape, bool(selected.all()), *(int(block.sizes[0]) for block in (rows, columns))
        equal = all((block.sizes == block.sizes[0]).all() for block in (rows, columns))
        if equal and self.last_tasks[0] == key:
            return self.last_tasks[1]
        tasks = make_tasks(make_pairs(selected, rows.offsets, columns.offsets), matcher, certify=self.certify)
        uploaded = [(task, self.device.upload(task.problems)) for task in tasks]
        self.device.retire()  # running CUDA kernels may still read the problems dropped here
        self.last_tasks = (key if equal else None, uploaded)
        return uploaded

    def _affinities(self, rows: DeviceBlock, columns: DeviceBlock, transposed: bool) -> Any:
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

    def _launch(self, task: Task, problems: Any, affinities: Any) -> Callable[[], Any]:
        batch = Batch(affinities, problems, len(task.problems), task.largest)
        if task.kind == "greedy":
            return launcher.match_greedily(self.device, batch)
        return launcher.solve(self.device, batch, self.dtype)

    def _refined(self, solved: Solved, task: Task, rows: DeviceBlock, columns: DeviceBlock) -> Solved:
        """Solve problems again in float64 if their certificates are too loose."""
        coarse = solved.upper - solved.values > FINE_ENOUGH * solved.magnitudes
        if self.dtype == np.float64 or not coarse.any():
            return solved
        affinities = self._affinities(rows, columns, task.transposed)
        problems = self.device.upload(task.problems[coarse])
        batch = Batch(affinities, problems, int(coarse.sum()), task.largest)
        finer = launcher.solve(self.device, batch, np.dtype(np.float64))()
        for name in ("values", "magnitudes", "upper"):
            getattr(solved, name)[coarse] = getattr(finer, name)
        return solved

    def _write(self, tile: Tile, partials: list[_Partial], exponents: NDArray[np.int64]) -> None:
        values, upper = (np.sum(parts, 0) for parts in zip(*partials, strict=True))
        self.values[tile] = np.ldexp(values, exponents) if exponents.any() else values
        if self.gap is not None:
            self.gap[tile] = relative_gap(values, upper)


def _cut(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _block_size(free: int, pair_bytes: int, input_bytes: int) -> int:
    """Return the number of inputs per block such that the affinities and inputs of two blocks fit their shares."""
    by_products = math.isqrt(int(PRODUCTS_SHARE * free / pair_bytes))
    by_inputs = int(INPUTS_SHARE * free / (2 * input_bytes))
    return max(1, min(_MAX_INPUTS, by_products, by_inputs))
