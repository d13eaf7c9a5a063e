# SPDX-License-Identifier: Apache-2.0
"""The GPU engine: tiles of pairs, each a matrix product and a launch of the matching kernels on it.

A tile is a block of inputs against another: one product makes the affinities of all its pairs, and the kernels read
each pair's where they lie in it. The host runs ahead of the device: while a tile is worked on, the next one's inputs
are on their way, and results are collected one tile later. A tile is as large as `PRODUCTS_SHARE` of the free memory
allows, and halved where memory runs out all the same.
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
from simplugins.compute.engines.cuda.inputs import Inputs, Placed
from simplugins.compute.engines.cuda.launcher import Batch, Solved
from simplugins.compute.engines.cuda.tasks import Task, check_matcher, make_pairs, make_tasks
from simplugins.compute.job import TileResult, check_pair, complete, relative_gap
from simplugins.matching.matcher import Matcher
from simplugins.matching.optimal import Optimal
from simplugins.matching.windows import windows

PRODUCTS_SHARE = 0.35
"""Share of the device's free memory for affinities."""

INPUTS_SHARE = 0.25
"""Share of the device's free memory for inputs."""

_MOST_INPUTS = 256
"""Inputs of a block, at most: tiles of so many squared pairs keep any device busy."""

_IN_FLIGHT = 2
"""Tiles that are started before the results of the first are waited for."""

_COPIES = {"float32": 1, "tf32": 3, "float16x3": 4, "float64": 1}
"""Memory that a block's vectors and what is multiplied of them take, in times the vectors alone."""

_POSITIONWISE_COPIES = 5
"""The same, where float32 vectors are multiplied in float64."""

FINE_ENOUGH = 2.0**-18
"""A value found by float32 prices may be proven to miss this share of the matched affinities' magnitude, at most; more,
and it is found again by float64 prices. (Almost always nothing is missing, and it is the proof that rounds.)"""


_ROUNDING = {"float32": 2.0**-21, "tf32": 2.0**-9, "float16x3": 2.0**-20, "float64": 2.0**-45}
_TENSOR_CORES = {"tf32": 1 / 8, "float16x3": 3 / 16}
"""How many times for each channel a tensor core adds to a sum, each time cutting what float32 cannot hold."""


def rounding_of(precision: Precision, channels: int) -> float:
    """Return a bound on the relative rounding error of aligned inner products, as `TileResult.rounding`."""
    return _ROUNDING[precision] + _TENSOR_CORES.get(precision, 0) * channels * 2.0**-23


class Tile(NamedTuple):
    """Inputs of one set against inputs of the other."""

    rows: slice
    columns: slice

    def halves(self) -> list[Tile]:
        """Cut each side that has more than one input in two."""
        return [Tile(rows, columns) for rows in _halves(self.rows) for columns in _halves(self.columns)]


def _halves(inputs: slice) -> list[slice]:
    middle = (inputs.start + inputs.stop) // 2
    return [slice(inputs.start, middle), slice(middle, inputs.stop)] if middle > inputs.start else [inputs]


class Found(NamedTuple):
    """What a part of a tile's work found, to be added up: both (n, m) float64 arrays, of all pairs of the tile."""

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
        As for `simplugins.compute.engines.cpu.aligned_products`; the matcher is one of ours, and inputs have at most
        `programs.LARGEST` positions.
    device : Device
    precision : {"float32", "float16x3", "tf32"}
        How the affinities of float32 activations are computed; those of float64 activations are in float64.

    Returns
    -------
    TileResult
        (N, M). Exact matchings are proven to miss no more than 2^-18 (4e-6) of the matched affinities' magnitude.

    Raises
    ------
    ValueError
        If inputs do not fit each other, or the GPU has no kernel for the matcher.
    DeviceMemoryError
        If not even one pair of inputs fits the GPU's free memory.
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
    made = {"engine": "cuda", "precision": precision, "device": device.name}
    return complete(x, y, run.values, run.gap, rounding_of(precision, x.channels), **made)


class _Run:
    """One computation: its inputs, cut into tiles, and its results, filled in tile by tile."""

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
        room = INPUTS_SHARE * free / (self.block_size * input_bytes)
        how = {"by_norm": matcher.by_norm, "scaled": self.precision == "float16x3"}
        self.x = Inputs(device, x, self.dtype, most=max(1, int(room if y is None else room / 2)), **how)
        self.y = self.x if y is None else Inputs(device, y, self.dtype, most=max(1, int(room / 2)), **how)
        uniform = np.unique(np.concatenate([x.positions, other.positions])).size == 1
        window = max(largest) if certify or matcher.window is None else min(matcher.window, max(largest))
        self.windowed = uniform and window < max(largest)
        if certify or not matcher.positionwise:
            launcher.check_size(device, window, self.dtype)
        self.scratch: Any = None
        self.last_tasks: tuple[Any, list[tuple[Task, Any]]] = (None, [])

    def release(self) -> None:
        """Give all memory back to the device."""
        self.scratch, self.last_tasks = None, (None, [])
        self.x.clear()
        self.y.clear()
        self.device.release()

    def work(self, progress: bool | str) -> None:
        """Work through all tiles."""
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
                # Here, and not in the handler, where the error still holds on to memory.
                unfinished = [tile, *(other for other, _ in started), *tiles]
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
        """Cut tiles in four; if the first is a single pair, that is the end."""
        if len(tiles[0].halves()) == 1:
            self.release()
            raise DeviceMemoryError(
                f"the affinities and the vectors of one pair of inputs do not fit {self.device.name}, of which "
                f"{self.device.free_bytes() / 2**20:.0f} MiB are free: use engine='cpu', or free memory of the GPU "
                f"({reason})"
            )
        for part in (part for tile in tiles for part in tile.halves()):
            if not self.symmetric or part.columns.stop > part.rows.start + 1:
                yield part

    def _start(self, tile: Tile) -> Callable[[], None]:
        """Start a tile's work on the device; returns what waits for it, and writes the results."""
        rows, columns = self.x.placed(tile.rows), self.y.placed(tile.columns)
        started = []
        if self.matcher.positionwise:
            started.append(self._start_positionwise(rows, columns))
        if self.windowed:
            started += [self._start_product(tile, *both, Optimal()) for both in self._windows(rows, columns)]
        elif self.certify or not self.matcher.positionwise:
            started.append(self._start_product(tile, rows, columns, self.matcher))
        exponents = rows.exponents[:, None] + columns.exponents[None, :]
        return lambda: self._write(tile, [finish() for finish in started], exponents)

    def _start_positionwise(self, rows: Placed, columns: Placed) -> Callable[[], Found]:
        """Start one product of flattened responses."""
        product = self.device.empty((len(rows.sizes), len(columns.sizes)), np.dtype(np.float64))
        operands = rows.flat().operand("float64", columns=False), columns.flat().operand("float64", columns=True)
        self.device.multiply(*operands, product, "float64")
        fetch = self.device.download(product)
        return lambda: Found(values := fetch(), np.zeros_like(values))

    def _windows(self, rows: Placed, columns: Placed) -> Iterator[tuple[Placed, Placed]]:
        """Cut inputs of equal size into windows: the affinities between these are not needed."""
        assert self.matcher.window is not None
        for own, other in windows(int(rows.sizes[0]), int(columns.sizes[0]), self.matcher.window):
            yield self._window(rows, own), self._window(columns, other)

    def _window(self, placed: Placed, window: slice) -> Placed:
        count, size = len(placed.sizes), window.stop - window.start
        sets = placed.vectors.reshape(count, -1, placed.vectors.shape[1])[:, window]
        vectors = self.device.empty((count * size, sets.shape[2]), self.dtype)
        vectors.reshape(sets.shape)[:] = sets
        return Placed(vectors, np.arange(count + 1) * size, placed.exponents)

    def _start_product(self, tile: Tile, rows: Placed, columns: Placed, matcher: Matcher) -> Callable[[], Found]:
        """Start one matrix product and all matching on it; returns what waits for values and upper bounds of pairs."""
        shape = len(rows.sizes), len(columns.sizes)
        tasks = self._tasks(tile, rows, columns, matcher)
        started: list[tuple[Task, Callable[[], Any]]] = []
        for transposed in (False, True):
            own = [(task, problems) for task, problems in tasks if task.transposed == transposed]
            if own:
                affinities = self._affinities(rows, columns, transposed)
                started += [(task, self._launch(task, problems, affinities)) for task, problems in own]

        def finish() -> Found:
            values, upper = np.zeros((2, math.prod(shape)))
            for task, fetch in started:
                found = fetch()
                if task.way == "take":
                    values += np.bincount(task.pairs, found, values.size)
                    continue
                found = self._refined(found, task, rows, columns)
                upper[task.pairs[task.whole]] = found.upper[task.whole]
                if task.way == "solve":
                    values += np.bincount(task.pairs, found.values, values.size)
            return Found(values.reshape(shape), upper.reshape(shape))

        return finish

    def _tasks(self, tile: Tile, rows: Placed, columns: Placed, matcher: Matcher) -> list[tuple[Task, Any]]:
        """Return what is to be done with a tile's affinities, and the problems on the device.

        Tiles of inputs of equal size have it in common; that of the last such tile is kept.
        """
        shape, above = (len(rows.sizes), len(columns.sizes)), tile.rows.start - tile.columns.start + 1
        wanted = np.triu(np.ones(shape, bool), above) if self.symmetric else np.ones(shape, bool)
        key = matcher, shape, bool(wanted.all()), *(int(placed.sizes[0]) for placed in (rows, columns))
        equal = all((placed.sizes == placed.sizes[0]).all() for placed in (rows, columns))
        if equal and self.last_tasks[0] == key:
            return self.last_tasks[1]
        tasks = make_tasks(make_pairs(wanted, rows.offsets, columns.offsets), matcher, certify=self.certify)
        placed_tasks = [(task, self.device.upload(task.problems)) for task in tasks]
        self.device.retire()  # kernels may still read the problems that are let go here
        self.last_tasks = (key if equal else None, placed_tasks)
        return placed_tasks

    def _affinities(self, rows: Placed, columns: Placed, transposed: bool) -> Any:
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
        if task.way == "take":
            return launcher.take(self.device, batch)
        return launcher.solve(self.device, batch, self.dtype)

    def _refined(self, found: Solved, task: Task, rows: Placed, columns: Placed) -> Solved:
        """Find again, in float64, what the proof leaves too much room for."""
        coarse = found.upper - found.values > FINE_ENOUGH * found.magnitudes
        if self.dtype == np.float64 or not coarse.any():
            return found
        affinities = self._affinities(rows, columns, task.transposed)
        problems = self.device.upload(task.problems[coarse])
        batch = Batch(affinities, problems, int(coarse.sum()), task.largest)
        finer = launcher.solve(self.device, batch, np.dtype(np.float64))()
        for name in ("values", "magnitudes", "upper"):
            getattr(found, name)[coarse] = getattr(finer, name)
        return found

    def _write(self, tile: Tile, found: list[Found], exponents: NDArray[np.int64]) -> None:
        values, upper = (np.sum(parts, 0) for parts in zip(*found, strict=True))
        self.values[tile] = np.ldexp(values, exponents) if exponents.any() else values
        if self.gap is not None:
            self.gap[tile] = relative_gap(values, upper)


def _cut(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _block_size(free: int, pair_bytes: int, input_bytes: int) -> int:
    """Return how many inputs a block has: two blocks' affinities, and their inputs, fit their shares of the memory."""
    by_products = math.isqrt(int(PRODUCTS_SHARE * free / pair_bytes))
    by_inputs = int(INPUTS_SHARE * free / (2 * input_bytes))
    return max(1, min(_MOST_INPUTS, by_products, by_inputs))
