# SPDX-License-Identifier: Apache-2.0
"""The GPU engine: for each tile of pairs, a matrix product and launches of the matching kernels on it.

A tile is the product of two blocks of inputs: it contains the affinities of all pairs, and the CUDA kernels read them
in place. See `simplugins.compute.engines.cuda.tile_run` for the order of work and the use of memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.device import Device, Precision
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock, sorted_by_norm
from simplugins.compute.engines.cuda.launcher import Batch, Solved
from simplugins.compute.engines.cuda.tasks import (
    Task,
    check_matcher,
    floor_of,
    largest_number,
    make_pairs,
    make_tasks,
)
from simplugins.compute.engines.cuda.tile_run import Tile, TileRun, rounding_of
from simplugins.compute.job import TileResult, check_pair, complete, relative_gap
from simplugins.matching.matcher import Matcher
from simplugins.matching.norm_windows import norm_windows
from simplugins.matching.optimal import Optimal

_POSITIONWISE_COPIES = 5
"""Memory of a block of float32 vectors that are multiplied in float64, as a multiple of the vectors' memory."""

FINE_ENOUGH = 2.0**-18
"""Largest acceptable certified shortfall of a value computed with float32 prices, relative to the magnitude of the
matched affinities. Pairs with a larger bound are solved again with float64 prices. (In almost all cases the value is
optimal, and only rounding loosens the bound.)"""


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
    if precision == "float16x3" and not matcher.invariant_to_scaling:
        raise ValueError(
            f"matching {matcher.name!r} depends on the scale of the activations, but precision='float16x3' scales each "
            f"input: use precision='float32'"
        )
    with device:
        run = _Run(x, y, matcher, device=device, precision=precision, certify=certify)
        try:
            run.work(progress)
        finally:
            run.release()
    precision = "float64" if matcher.positionwise else run.precision
    metadata = {"engine": "cuda", "precision": precision, "device": device.name}
    rounding = rounding_of(precision, x.channels)
    return complete(x, y, run.values, run.gap, rounding, matcher.partial, **metadata)


class _Run(TileRun):
    """One computation of aligned inner products."""

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
        self.matcher, self.certify, self.floor = matcher, certify, floor_of(matcher)
        self.with_diagonal = matcher.partial
        super().__init__(
            device,
            x,
            other,
            symmetric=y is None,
            precision=precision,
            copies=_POSITIONWISE_COPIES if matcher.positionwise else None,
            convert=sorted_by_norm if matcher.by_norm else None,
        )
        self.gap = np.zeros(self.shape) if certify else None
        largest = max(int(x.positions.max()), int(other.positions.max()))
        uniform = np.unique(np.concatenate([x.positions, other.positions])).size == 1
        window = largest if certify or matcher.window is None else min(matcher.window, largest)
        self.windowed = uniform and window < largest
        if certify or not matcher.positionwise:
            launcher.check_size(device, window, self.dtype)
        self.last_tasks: tuple[Any, list[tuple[Task, Any]]] = (None, [])

    def release(self) -> None:
        """Free all device memory."""
        self.last_tasks = (None, [])
        super().release()

    def start(self, tile: Tile) -> Callable[[], None]:
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
                affinities = self.affinities(rows, columns, transposed)
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

    def affinities(self, rows: DeviceBlock, columns: DeviceBlock, transposed: bool) -> Any:
        """Return the affinities of two blocks, raised to the floor, valid until the next call."""
        affinities = super().affinities(rows, columns, transposed)
        if self.floor > -np.inf:
            self.device.raise_to(affinities, largest_number(self.floor, self.dtype))
        return affinities

    def _tasks(self, tile: Tile, rows: DeviceBlock, columns: DeviceBlock, matcher: Matcher) -> list[tuple[Task, Any]]:
        """Return the tasks of a tile, with their problems on the device.

        Tiles with inputs of equal size have the same tasks, so those of the last such tile are cached.
        """
        shape, selected = (len(rows.sizes), len(columns.sizes)), self.selected(tile)
        key = matcher, shape, bool(selected.all()), *(int(block.sizes[0]) for block in (rows, columns))
        equal = all((block.sizes == block.sizes[0]).all() for block in (rows, columns))
        if equal and self.last_tasks[0] == key:
            return self.last_tasks[1]
        tasks = make_tasks(make_pairs(selected, rows.offsets, columns.offsets), matcher, certify=self.certify)
        uploaded = [(task, self.device.upload(task.problems)) for task in tasks]
        self.device.retire()  # running CUDA kernels may still read the problems dropped here
        self.last_tasks = (key if equal else None, uploaded)
        return uploaded

    def _launch(self, task: Task, problems: Any, affinities: Any) -> Callable[[], Any]:
        batch = Batch(affinities, problems, len(task.problems), task.largest)
        if task.kind == "greedy":
            return launcher.match_greedily(self.device, batch)
        return launcher.solve(self.device, batch, self.dtype, floor=self.floor)

    def _refined(self, solved: Solved, task: Task, rows: DeviceBlock, columns: DeviceBlock) -> Solved:
        """Solve problems again in float64 if their certificates are too loose."""
        coarse = solved.upper - solved.values > FINE_ENOUGH * solved.magnitudes
        if self.dtype == np.float64 or not coarse.any():
            return solved
        affinities = self.affinities(rows, columns, task.transposed)
        problems = self.device.upload(task.problems[coarse])
        batch = Batch(affinities, problems, int(coarse.sum()), task.largest)
        finer = launcher.solve(self.device, batch, np.dtype(np.float64), floor=self.floor)()
        for name in ("values", "magnitudes", "upper"):
            getattr(solved, name)[coarse] = getattr(finer, name)
        return solved

    def _write(self, tile: Tile, partials: list[_Partial], exponents: NDArray[np.int64]) -> None:
        values, upper = (np.sum(parts, 0) for parts in zip(*partials, strict=True))
        self.values[tile] = np.ldexp(values, exponents) if exponents.any() else values
        if self.gap is not None:
            self.gap[tile] = relative_gap(values, upper)
