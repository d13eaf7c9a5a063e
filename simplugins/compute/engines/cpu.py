# SPDX-License-Identifier: Apache-2.0
"""The CPU engine: tiles of pairs, worked on by a pool of threads.

A tile is a run of inputs against one other. BLAS makes its affinities, as one matrix product; the matcher reads
them in place. Both release the GIL, so plain Python threads keep all cores busy, also inside Dask's workers or
threads of the user's; BLAS is held to one thread meanwhile. A thread holds one tile (at most `TILE_BYTES` of
affinities, or one pair if that is more) and the matcher's costs for one pair; the blocks of converted inputs take
about `CACHE_BYTES` together.
A matcher with windows gets the affinities window by window, and those between windows are not made, where that pays.
A positionwise matcher needs no affinities: there a tile is a block of inputs against another, one matrix product
of flattened responses. To certify a matching takes all affinities, whatever the matcher.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.threads import check_threads, in_threads
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.engines.pairs import check_pair, complete
from simplugins.compute.engines.result import AlignedProducts
from simplugins.matching.certificates import match_and_certify
from simplugins.matching.matcher import Matcher, match_batch
from simplugins.matching.norm_windows import norm_windows

TILE_BYTES = 8 * 2**20
CACHE_BYTES = 256 * 2**20
BLOCK_BYTES = 16 * 2**20
BLOCK_INPUTS = 64
SPARED_BY_A_CALL = 2**21
"""Multiplications that take about the time of a call of the matcher from Python."""

ROUNDING = {np.dtype(np.float32): 2.0**-21, np.dtype(np.float64): 2.0**-45}
"""Bounds on the relative rounding error of aligned inner products; they are checked in the tests."""

_PRODUCT_LENGTH = 4096
"""Flattened responses are multiplied in float64, so many entries at a time."""


@dataclass(frozen=True)
class Tile:
    """Inputs of one set against inputs of the other, each within one block."""

    rows: slice
    columns: slice

    @property
    def pairs(self) -> int:
        """How many pairs of inputs that is."""
        return int((self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start))


def aligned_products(
    x: Activations,
    y: Activations | None,
    matcher: Matcher,
    *,
    threads: int | None = None,
    certify: bool = False,
    tile_bytes: int = TILE_BYTES,
    progress: bool | str = False,
) -> AlignedProducts:
    """Compute the aligned inner products of all pairs of inputs.

    Parameters
    ----------
    x : Activations
        N inputs.
    y : Activations or None
        M other inputs with as many channels; None for x itself, of which each pair is matched once.
    matcher : Matcher
    threads : int, optional
        By default as many as there are cores that this process may use.
    certify : bool
        Whether to bound each pair's optimum from above too. A matcher that keeps no prices costs an auction more.
    tile_bytes : int
        The most memory that one thread's affinities take; results do not depend on it.
    progress : bool or str
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    AlignedProducts
        (N, M). With y None, it is symmetric and its diagonal holds the squared norms.

    Raises
    ------
    ValueError
        If channels differ, or a positionwise matcher meets unequal numbers of positions.
    """
    other = x if y is None else y
    check_pair(x, other, matcher)
    run = _Run(x, other, symmetric=y is None, matcher=matcher, certify=certify, tile_bytes=tile_bytes)
    run.compile()
    count = check_threads(threads)
    in_threads(run.work, run.tiles(), pairs=run.pairs, threads=count, progress=progress, title="matching")
    return run.result()


class _Run:
    """One computation: its inputs, cut into blocks and tiles, and its results, filled in by threads."""

    def __init__(
        self, x: Activations, y: Activations, *, symmetric: bool, matcher: Matcher, certify: bool, tile_bytes: int
    ) -> None:
        self.x, self.y, self.symmetric = x, y, symmetric
        self.matcher, self.certify = matcher, certify
        self.dtype = np.result_type(x.dtype, y.dtype)
        self.values = np.zeros((len(x), len(y)))
        self.gap = np.zeros((len(x), len(y))) if certify else None
        self.positionwise = matcher.positionwise and not certify
        self.window = None if certify else _worthwhile_window(x, y, matcher.window)
        self.block_size = max(1, min(BLOCK_INPUTS, BLOCK_BYTES // max(x.input_bytes, y.input_bytes)))
        rows, columns = (int(positions.max()) for positions in (x.positions, y.positions))
        columns = columns if self.window is None else min(columns, self.window)
        self.tile_inputs = max(1, tile_bytes // (rows * columns * self.dtype.itemsize))
        by_norm = matcher.by_norm and not self.positionwise
        self.x_block = _cached_blocks(x, self.block_size, self.dtype, by_norm)
        self.y_block = self.x_block if symmetric else _cached_blocks(y, self.block_size, self.dtype, by_norm)
        self.scratch = Scratch(self.dtype)

    @property
    def work(self) -> Callable[[Tile], None]:
        """What to do with a tile."""
        if self.positionwise:
            return self.positionwise_tile
        return self.matched_tile if self.window is None else self.windowed_tile

    def compile(self) -> None:
        """Have the kernels compiled here, in the caller's thread, where Ctrl-C can stop it."""
        affinity, offsets = np.ones((1, 1), self.dtype), np.array([0, 1])
        if self.certify:
            match_and_certify(self.matcher, affinity, offsets)
        elif not self.positionwise:
            matched_values(self.matcher, affinity, offsets)

    @property
    def pairs(self) -> int:
        """How many pairs the tiles hold; positionwise ones on the diagonal also hold those below it."""
        if self.positionwise:
            return sum(tile.pairs for tile in self.tiles())
        return len(self.x) * (len(self.x) - 1) // 2 if self.symmetric else len(self.x) * len(self.y)

    def tiles(self) -> Iterator[Tile]:
        """Make all tiles, block by block, so that the blocks in use stay converted."""
        for rows in self._blocks(len(self.x)):
            for columns in self._blocks(len(self.y)):
                if not self.symmetric or columns.start >= rows.start:
                    yield from self._cut(rows, columns)

    def _blocks(self, count: int) -> list[slice]:
        return [slice(start, min(start + self.block_size, count)) for start in range(0, count, self.block_size)]

    def _cut(self, rows: slice, columns: slice) -> Iterator[Tile]:
        """Cut two blocks into tiles; of a symmetric result, matching does only what lies above the diagonal."""
        if self.positionwise:
            yield Tile(rows, columns)
            return
        for j in reversed(range(columns.start, columns.stop)):  # the longest runs first
            last = min(rows.stop, j) if self.symmetric else rows.stop
            for start in range(rows.start, last, self.tile_inputs):
                yield Tile(slice(start, min(start + self.tile_inputs, last)), slice(j, j + 1))

    def _inputs(self, tile: Tile) -> tuple[Block, Block]:
        return self._part(self.x_block, tile.rows), self._part(self.y_block, tile.columns)

    def _part(self, block: Callable[[int], Block], inputs: slice) -> Block:
        number = inputs.start // self.block_size
        first = number * self.block_size
        return block(number).rows(inputs.start - first, inputs.stop - first)

    def matched_tile(self, tile: Tile) -> None:
        """Match a run of inputs with one other."""
        inputs, other = self._inputs(tile)
        into = tile.rows, tile.columns.start
        affinities = self.scratch.product(inputs.vectors, other.vectors.T)
        if self.gap is None:
            self.values[into] = matched_values(self.matcher, affinities, inputs.offsets)
            return
        found = match_and_certify(self.matcher, affinities, inputs.offsets)
        self.values[into], self.gap[into] = found.values, found.gap

    def windowed_tile(self, tile: Tile) -> None:
        """Match a run of inputs with one other, window by window."""
        inputs, other = self._inputs(tile)
        for start, stop in _equal_runs(inputs.offsets):
            run = inputs.rows(start, stop)
            sets = run.vectors.reshape(stop - start, -1, self.x.channels)
            total = self.values[tile.rows, tile.columns.start][start:stop]
            for rows, columns, count in self._equal_windows(sets.shape[1], len(other.vectors)):
                # (inputs, windows, rows, channels) @ (windows, channels, columns)
                windowed = sets[:, rows].reshape(len(sets), count, -1, self.x.channels)
                others = other.vectors[columns].reshape(count, -1, self.x.channels)
                affinities = self.scratch.product(windowed, others.transpose(0, 2, 1))
                offsets = np.arange(len(sets) * count + 1) * windowed.shape[2]
                values = matched_values(self.matcher, affinities.reshape(-1, affinities.shape[-1]), offsets)
                total += values.reshape(len(sets), count).sum(1)

    def _equal_windows(self, rows: int, columns: int) -> Iterator[tuple[slice, slice, int]]:
        """Join consecutive windows of equal shape: their rows, their columns, and how many they are."""
        assert self.window is not None
        for _, run in itertools.groupby(norm_windows(rows, columns, self.window), key=_shape):
            joined = list(run)
            (first, first_columns), (last, last_columns) = joined[0], joined[-1]
            yield slice(first.start, last.stop), slice(first_columns.start, last_columns.stop), len(joined)

    def positionwise_tile(self, tile: Tile) -> None:
        """Multiply flattened responses."""
        rows, columns = (block.vectors.reshape(len(block.offsets) - 1, -1) for block in self._inputs(tile))
        total = self.values[tile.rows, tile.columns]
        for start in range(0, rows.shape[1], _PRODUCT_LENGTH):
            part = slice(start, start + _PRODUCT_LENGTH)
            total += rows[:, part].astype(np.float64) @ columns[:, part].astype(np.float64).T

    def result(self) -> AlignedProducts:
        """Complete what the tiles have filled in."""
        exactly = np.dtype(np.float64) if self.positionwise else self.dtype
        y, made = None if self.symmetric else self.y, {"engine": "cpu", "precision": str(exactly)}
        return complete(self.x, y, self.values, self.gap, ROUNDING[exactly], **made)


class Scratch(threading.local):
    """Memory for affinities, of each thread its own, used again for its next tile."""

    def __init__(self, dtype: np.dtype[np.floating]) -> None:
        self.memory = np.empty(0, dtype)

    def product(self, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return ``rows @ columns``, which holds until the thread's next product."""
        shape = (*rows.shape[:-1], columns.shape[-1])
        size = math.prod(shape)
        if self.memory.size < size:
            self.memory = np.empty(size, self.memory.dtype)
        return np.matmul(rows, columns, out=self.memory[:size].reshape(shape))


def matched_values(
    matcher: Matcher, affinities: NDArray[np.floating], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Match a batch of problems, and add up what is matched: the (B,) aligned inner products."""
    from simplugins.matching import objective

    found = np.empty(len(offsets) - 1)
    objective.assignment_values(affinities, offsets, match_batch(matcher, affinities, offsets).columns, found)
    return found


def _worthwhile_window(x: Activations, y: Activations, window: int | None) -> int | None:
    """Return the window if it pays to make affinities window by window.

    Inputs of equal size are matched many at a time; others one by one, where a call has to spare enough work.
    """
    if window is None or np.unique(x.positions).size == 1:
        return window
    spared = x.channels * window * max(0.0, min(x.positions.mean(), y.positions.mean()) - window)
    return window if spared > SPARED_BY_A_CALL else None


def _shape(window: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = window
    return rows.stop - rows.start, columns.stop - columns.start


def _equal_runs(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut consecutive inputs into runs with equal numbers of positions."""
    changes = np.flatnonzero(np.diff(offsets, 2)) + 1
    return itertools.pairwise([0, *changes.tolist(), len(offsets) - 1])


def _cached_blocks(
    activations: Activations, block_size: int, dtype: np.dtype[np.floating], by_norm: bool
) -> Callable[[int], Block]:
    """Return a function that converts a block of inputs by its number, and remembers those last used."""

    def block(number: int) -> Block:
        start = number * block_size
        found = activations.block(start, min(start + block_size, len(activations)))
        ordered = found.by_norm()[0] if by_norm else found
        return Block(arrays.to_numpy(ordered.vectors, dtype), found.offsets)

    return lru_cache(maxsize=max(4, CACHE_BYTES // 2 // (block_size * activations.input_bytes)))(block)
