# SPDX-License-Identifier: Apache-2.0
"""The engine's parts in isolation: affinities of tiles of pairs, and matching on existing affinities."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from on_gpu.device import Gpu
from on_gpu.inputs import Vectors
from simplugins import Optimal
from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.device import Precision
from simplugins.compute.engines.cuda.launcher import Batch, Solved
from simplugins.compute.engines.cuda.operands import operand
from simplugins.compute.engines.cuda.tasks import make_pairs, make_tasks
from simplugins.compute.engines.cuda.tile_run import PRODUCTS_SHARE

MOST_INPUTS = 256
"""Inputs per block, as in the engine."""

FLOAT = np.dtype(np.float32)


class Tiles:
    """All pairs of inputs, each once, as tiles: a block of inputs by itself or by a later block.

    Parameters
    ----------
    gpu : Gpu
    vectors : (N, S, C) array
    most : int
        Maximum number of inputs per block; fewer if device memory is small.
    """

    def __init__(self, gpu: Gpu, vectors: Vectors, most: int = MOST_INPUTS) -> None:
        self.gpu, self.count, self.positions = gpu, len(vectors), vectors.shape[1]
        products = int(PRODUCTS_SHARE * gpu.device.free_bytes() / (FLOAT.itemsize * self.positions**2))
        self.size = max(1, min(most, self.count, math.isqrt(products)))
        starts = range(0, self.count, self.size)
        self._blocks = [gpu.device.upload(vectors[k : k + self.size].reshape(-1, vectors.shape[2])) for k in starts]
        self._operands: dict[tuple[int, Precision, bool], Any] = {}
        self._problems: dict[tuple[int, int, bool], tuple[Any, int]] = {}
        self._scratch = gpu.device.empty((self.size**2 * self.positions**2,), FLOAT)

    def multiply_all(self, precision: Precision) -> None:
        """Compute the affinities of all tiles, one after the other in the same memory."""
        for rows, columns in self._tiles():
            self._multiply(rows, columns, precision)

    def match_all(self) -> float:
        """Match all tiles; return the seconds without those for the affinities."""
        return sum(self._match(rows, columns) for rows, columns in self._tiles())

    def batch(self, rows: int, columns: int) -> Batch:
        """Compute the affinities of a tile, given by its blocks, and return its problems."""
        problems, count = self._problems_of(rows, columns)
        return Batch(self._multiply(rows, columns, "float32"), problems, count, self.positions)

    def solve(self, batch: Batch) -> Solved:
        """Match the pairs of a tile, and wait for the results."""
        return launcher.solve(self.gpu.device, batch, FLOAT)()

    def _tiles(self) -> Iterator[tuple[int, int]]:
        blocks = range(len(self._blocks))
        return ((rows, columns) for rows in blocks for columns in blocks[rows:])

    def _match(self, rows: int, columns: int) -> float:
        batch = self.batch(rows, columns)
        self.gpu.synchronize()
        start = time.perf_counter()
        self.solve(batch)
        return time.perf_counter() - start

    def _multiply(self, rows: int, columns: int, precision: Precision) -> Any:
        shape = len(self._blocks[rows]), len(self._blocks[columns])
        affinities = self._scratch[: math.prod(shape)].reshape(shape)
        operands = self._operand(rows, precision, columns=False), self._operand(columns, precision, columns=True)
        self.gpu.device.multiply(*operands, affinities, precision)
        return affinities

    def _operand(self, block: int, precision: Precision, *, columns: bool) -> Any:
        key = block, precision, columns
        if key not in self._operands:
            self._operands[key] = operand(self._blocks[block], precision, columns=columns)
        return self._operands[key]

    def _problems_of(self, rows: int, columns: int) -> tuple[Any, int]:
        """Return a tile's problems on the device, and their number; tiles of one shape share them."""
        sizes = [len(self._blocks[block]) // self.positions for block in (rows, columns)]
        key = sizes[0], sizes[1], rows == columns
        if key not in self._problems:
            selected = np.triu(np.ones(sizes, bool), 1) if rows == columns else np.ones(sizes, bool)
            pairs = make_pairs(selected, *(np.arange(size + 1) * self.positions for size in sizes))
            (task,) = make_tasks(pairs, Optimal(), certify=False)
            self._problems[key] = self.gpu.device.upload(task.problems), len(task.problems)
        return self._problems[key]
