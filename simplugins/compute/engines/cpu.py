# SPDX-License-Identifier: Apache-2.0
"""The CPU engine: a pool of threads works through strips of pairs.

A strip consists of consecutive inputs against one other input. BLAS computes its affinities in one matrix product, and
the matcher reads them in place. Both release the GIL, so Python threads keep all cores busy, also in Dask workers or a
user's own threads; meanwhile, BLAS is limited to one thread. Strips of small sets are matched in batches, since a call
of the matcher takes as long as some pairs. Each thread holds one batch (at most `TILE_BYTES` of affinities, or one pair
if that is more) and the matcher's costs for one pair; converted inputs take about `CACHE_BYTES`.

Matchers with windows receive affinities window by window where that pays; affinities between windows are then not
computed. A positionwise matcher needs no affinities: its strips are pairs of blocks, with one product of flattened
responses each. Certificates always need all affinities.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.threads import check_threads, in_threads
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.affinities import ROUNDING, Scratch, matched_values
from simplugins.compute.job import TileResult, check_pair, complete
from simplugins.compute.memory import CACHE_BYTES, TILE_BYTES
from simplugins.matching.certificates import match_and_certify
from simplugins.matching.matcher import Matcher
from simplugins.matching.norm_windows import norm_windows

BLOCK_BYTES = 16 * 2**20
BLOCK_INPUTS = 64
CALL_COST = 2**21
"""Number of multiplications that take about as long as calling the matcher from Python."""

BATCH_BYTES = 2**21
"""Size of the affinities from which a batch of strips is matched; they should stay in a core's cache."""

STRIP_BYTES, STRIP_INPUTS = 2**20, 8
"""Size of the inputs of a strip if a batch has several, and their minimum number: each strip reads them again."""

BATCHES_LEFT = 2
"""Minimum number of batches per thread that remain after each, so that all threads finish at about the same time."""

POSITIONWISE_BYTES, POSITIONWISE_INPUTS = 32 * 2**20, 256
"""Size of blocks for a positionwise matcher, whose product costs less per pair, the larger the blocks are."""


@dataclass(frozen=True)
class Strip:
    """Inputs of one set against inputs of the other, each within one block."""

    rows: slice
    columns: slice

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return int((self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start))


@dataclass(frozen=True)
class Batch:
    """Strips that are matched together; the other inputs of all strips have equal numbers of positions."""

    strips: list[Strip]

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return sum(strip.pairs for strip in self.strips)


def aligned_products(
    x: Activations,
    y: Activations | None,
    matcher: Matcher,
    *,
    threads: int | None = None,
    certify: bool = False,
    tile_bytes: int = TILE_BYTES,
    progress: bool | str = False,
) -> TileResult:
    """Compute the aligned inner products of all pairs of inputs.

    Parameters
    ----------
    x : Activations
        N inputs.
    y : Activations or None
        M other inputs with the same number of channels; None for x itself, where each pair is matched once.
    matcher : Matcher
    threads : int, optional
        By default one per core that this process may use.
    certify : bool
        Whether to compute optimality gaps as well. Matchers without dual prices need an auction for each pair.
    tile_bytes : int
        Limit of one thread's affinities; results do not depend on it.
    progress : bool or str
        Show a progress bar on standard error; a string replaces its title.

    Returns
    -------
    TileResult
        (N, M); symmetric, with the squared norms on the diagonal, if y is None.

    Raises
    ------
    ValueError
        As for `check_pair`.
    """
    other = x if y is None else y
    check_pair(x, other, matcher)
    run = Run(x, other, symmetric=y is None, matcher=matcher, certify=certify, tile_bytes=tile_bytes)
    return run.compute(threads, progress)


_compiled: set[tuple[type[Matcher], np.dtype[np.floating], bool]] = set()


class Strips:
    """All pairs of two sets of inputs, cut into blocks and strips, and their values, filled in by threads.

    Parameters
    ----------
    x, y : Activations
    symmetric : bool
        Whether y is x and pairs below the diagonal are left out.
    tile_bytes : int
        Limit of one thread's affinities.
    most_inputs, most_bytes : int
        Limits of the number of inputs in a block, and of its size, unless one input is larger.
    most_columns : int, optional
        The largest number of columns of a pair's affinities that exist at once; by default, of y's positions.
    convert : callable, optional
        Applied to each block of inputs when it is read.
    """

    with_diagonal = False
    """Whether symmetric results need the pairs of inputs with themselves."""

    def __init__(
        self,
        x: Activations,
        y: Activations,
        *,
        symmetric: bool,
        tile_bytes: int,
        most_inputs: int = BLOCK_INPUTS,
        most_bytes: int = BLOCK_BYTES,
        most_columns: int | None = None,
        convert: Callable[[Block], Block] | None = None,
    ) -> None:
        self.x, self.y, self.symmetric = x, y, symmetric
        self.dtype = np.result_type(x.dtype, y.dtype)
        self.values = np.zeros((len(x), len(y)))
        self.block_size = max(1, min(most_inputs, most_bytes // max(x.input_bytes, y.input_bytes)))
        rows, columns = (int(positions.max()) for positions in (x.positions, y.positions))
        columns = columns if most_columns is None else min(columns, most_columns)
        self.pair_bytes = rows * columns * self.dtype.itemsize
        self.tile_pairs = self.strip_inputs = max(1, tile_bytes // self.pair_bytes)
        self.x_block = _cached_blocks(x, self.block_size, self.dtype, convert)
        self.y_block = self.x_block if y is x else _cached_blocks(y, self.block_size, self.dtype, convert)
        self.scratch = Scratch()

    @property
    def pairs(self) -> int:
        """Number of pairs in all strips."""
        count = len(self.x)
        return count * (count - 1 + 2 * self.with_diagonal) // 2 if self.symmetric else count * len(self.y)

    def pairs_of_strips(self) -> int:
        """Return the number of pairs in all strips, including those below the diagonal in strips on it."""
        return sum(strip.pairs for strip in self.strips())

    def strips(self) -> Iterator[Strip]:
        """Yield all strips, block by block, so that converted blocks are reused from the cache."""
        for rows in self._blocks(len(self.x)):
            for columns in self._blocks(len(self.y)):
                if not self.symmetric or columns.start >= rows.start:
                    yield from self._cut(rows, columns)

    def _blocks(self, count: int) -> list[slice]:
        return [slice(start, min(start + self.block_size, count)) for start in range(0, count, self.block_size)]

    def _cut(self, rows: slice, columns: slice) -> Iterator[Strip]:
        """Cut two blocks into strips; symmetric results only need pairs above the diagonal."""
        count = rows.stop - rows.start
        size = min(math.ceil(count / max(1, count // self.strip_inputs)), self.tile_pairs)
        for start in range(rows.start, rows.stop, size):
            stop = min(start + size, rows.stop)
            for j in reversed(range(columns.start, columns.stop)):  # the longest strips first
                last = min(stop, j + self.with_diagonal) if self.symmetric else stop
                if start < last:
                    yield Strip(slice(start, last), slice(j, j + 1))

    def _inputs(self, strip: Strip) -> tuple[Block, Block]:
        return self._part(self.x_block, strip.rows), self._part(self.y_block, strip.columns)

    def _part(self, block: Callable[[int], Block], inputs: slice) -> Block:
        number, start = divmod(inputs.start, self.block_size)
        return block(number).rows(start, start + inputs.stop - inputs.start)


class Run(Strips):
    """One computation of aligned inner products."""

    by_windows = True
    """Whether affinities may be computed window by window."""

    def __init__(
        self, x: Activations, y: Activations, *, symmetric: bool, matcher: Matcher, certify: bool, tile_bytes: int
    ) -> None:
        self.matcher, self.certify = matcher, certify
        self.with_diagonal = matcher.partial
        self.gap = np.zeros((len(x), len(y))) if certify else None
        self.positionwise = matcher.positionwise and not certify
        whole = certify or not self.by_windows
        self.window = None if whole else _worthwhile_window(x, y, matcher.window)
        convert = _by_norm if matcher.by_norm and not self.positionwise else None
        inputs, size = (POSITIONWISE_INPUTS, POSITIONWISE_BYTES) if self.positionwise else (BLOCK_INPUTS, BLOCK_BYTES)
        limits: Any = {"tile_bytes": tile_bytes, "most_inputs": inputs, "most_bytes": size, "most_columns": self.window}
        super().__init__(x, y, symmetric=symmetric, convert=convert, **limits)
        self.batch_pairs = max(1, BATCH_BYTES // self.pair_bytes)
        rows = max(STRIP_INPUTS, STRIP_BYTES // x.input_bytes)
        if self.window is None and self.batch_pairs >= 2 * rows:
            self.strip_inputs = min(self.strip_inputs, rows)

    def compute(self, threads: int | None, progress: bool | str) -> TileResult:
        """Compute all pairs in threads, and return the completed matrices."""
        self.compile()
        count = check_threads(threads)
        options: Any = {"pairs": self.pairs, "threads": count, "progress": progress, "title": "matching"}
        if self.positionwise:
            in_threads(self.multiply_strip, self.strips(), **options)
        elif self.window is None:
            in_threads(self.match_batch, self.batches(count), **options)
        else:
            in_threads(self.match_windows, self.strips(), **options)
        return self.result()

    def compile(self) -> None:
        """Compile the matcher's loops, once per process; in the caller's thread, so that Ctrl-C can interrupt it."""
        if (key := (type(self.matcher), self.dtype, self.certify)) in _compiled:
            return
        affinity, offsets = np.ones((1, 1), self.dtype), np.array([0, 1])
        if self.certify:
            match_and_certify(self.matcher, affinity, offsets)
        elif not self.positionwise:
            matched_values(self.matcher, affinity, offsets)
        _compiled.add(key)

    @property
    def pairs(self) -> int:
        """Number of pairs in all strips; positionwise strips on the diagonal include the pairs below it."""
        return self.pairs_of_strips() if self.positionwise else super().pairs

    def _cut(self, rows: slice, columns: slice) -> Iterator[Strip]:
        """Cut two blocks into strips, or into one if it needs no affinities."""
        return iter([Strip(rows, columns)]) if self.positionwise else super()._cut(rows, columns)

    def _inputs_of(self, batch: Batch) -> list[tuple[Block, Block]]:
        """Return the inputs of each strip; consecutive strips often have the same rows."""
        inputs: list[tuple[Block, Block]] = []
        for number, strip in enumerate(batch.strips):
            same = number > 0 and strip.rows == batch.strips[number - 1].rows
            rows = inputs[-1][0] if same else self._part(self.x_block, strip.rows)
            inputs.append((rows, self._part(self.y_block, strip.columns)))
        return inputs

    def batches(self, threads: int) -> Iterator[Batch]:
        """Yield all strips in batches, smaller ones towards the end."""
        most, sizes = min(self.batch_pairs, self.tile_pairs), self.y.positions
        left, pairs, strips = self.pairs, 0, list[Strip]()
        for strip in self.strips():
            differs = strips and sizes[strip.columns.start] != sizes[strips[0].columns.start]
            if differs or pairs + strip.pairs > self.tile_pairs:
                yield Batch(strips)
                pairs, strips = 0, []
            strips.append(strip)
            pairs += strip.pairs
            left -= strip.pairs
            if pairs >= min(most, left // (BATCHES_LEFT * threads)):
                yield Batch(strips)
                pairs, strips = 0, []
        if strips:
            yield Batch(strips)

    def match_batch(self, batch: Batch) -> None:
        """Match several runs of inputs with one other input each."""
        affinities, offsets = self.scratch.products(self._inputs_of(batch))
        if self.gap is None:
            values, gap = matched_values(self.matcher, affinities, offsets), None
        else:
            certified = match_and_certify(self.matcher, affinities, offsets)
            values, gap = certified.values, certified.gap
        start = 0
        for strip in batch.strips:
            entries, stop = (strip.rows, strip.columns.start), start + strip.pairs
            self.values[entries] = values[start:stop]
            if self.gap is not None and gap is not None:
                self.gap[entries] = gap[start:stop]
            start = stop

    def match_windows(self, strip: Strip) -> None:
        """Match a run of inputs with one other input, window by window."""
        inputs, other = self._inputs(strip)
        for start, stop in _equal_runs(inputs.offsets):
            run = inputs.rows(start, stop)
            sets = run.vectors.reshape(stop - start, -1, self.x.channels)
            total = self.values[strip.rows, strip.columns.start][start:stop]
            for rows, columns, count in self._equal_windows(sets.shape[1], len(other.vectors)):
                # (inputs, windows, rows, channels) @ (windows, channels, columns)
                windowed = sets[:, rows].reshape(len(sets), count, -1, self.x.channels)
                other_windows = other.vectors[columns].reshape(count, -1, self.x.channels)
                affinities = self.scratch.product(windowed, other_windows.transpose(0, 2, 1))
                offsets = np.arange(len(sets) * count + 1) * windowed.shape[2]
                values = matched_values(self.matcher, affinities.reshape(-1, affinities.shape[-1]), offsets)
                total += values.reshape(len(sets), count).sum(1)

    def _equal_windows(self, rows: int, columns: int) -> Iterator[tuple[slice, slice, int]]:
        """Join consecutive windows of equal shape, as (rows, columns, number of windows)."""
        assert self.window is not None
        for _, run in itertools.groupby(norm_windows(rows, columns, self.window), key=_shape):
            joined = list(run)
            (first, first_columns), (last, last_columns) = joined[0], joined[-1]
            yield slice(first.start, last.stop), slice(first_columns.start, last_columns.stop), len(joined)

    def multiply_strip(self, strip: Strip) -> None:
        """Multiply flattened responses."""
        rows, columns = (block.vectors.reshape(len(block.offsets) - 1, -1) for block in self._inputs(strip))
        total = self.values[strip.rows, strip.columns]
        if self.dtype == np.float64:  # also, BLAS needs half the time for the product of a block with itself
            total[:] = rows @ columns.T
            return
        length = max(1, TILE_BYTES // (8 * (len(rows) + len(columns))))  # converted at a time
        for start in range(0, rows.shape[1], length):
            part = slice(start, start + length)
            total += rows[:, part].astype(np.float64) @ columns[:, part].astype(np.float64).T

    def result(self) -> TileResult:
        """Complete the matrices that the strips filled in."""
        precision = np.dtype(np.float64) if self.positionwise else self.dtype
        y, metadata = None if self.symmetric else self.y, {"engine": "cpu", "precision": str(precision)}
        rounding = ROUNDING[precision]
        return complete(self.x, y, self.values, self.gap, rounding, self.with_diagonal, **metadata)


def _worthwhile_window(x: Activations, y: Activations, window: int | None) -> int | None:
    """Return the window if it pays to compute affinities window by window.

    Inputs of equal size are matched in batches; others one by one, so each call must save enough work.
    """
    if window is None or np.unique(x.positions).size == 1:
        return window
    saved = x.channels * window * max(0.0, min(x.positions.mean(), y.positions.mean()) - window)
    return window if saved > CALL_COST else None


def _by_norm(block: Block) -> Block:
    return block.by_norm()[0]


def _shape(window: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = window
    return rows.stop - rows.start, columns.stop - columns.start


def _equal_runs(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut consecutive inputs into runs with equal numbers of positions."""
    changes = np.flatnonzero(np.diff(offsets, 2)) + 1
    return itertools.pairwise([0, *changes.tolist(), len(offsets) - 1])


def _cached_blocks(
    activations: Activations,
    block_size: int,
    dtype: np.dtype[np.floating],
    convert: Callable[[Block], Block] | None,
) -> Callable[[int], Block]:
    """Return a function that converts a block of inputs, given its number, with a cache of recent blocks."""

    def block(number: int) -> Block:
        start = number * block_size
        inputs = activations.block(start, min(start + block_size, len(activations)))
        converted = inputs if convert is None else convert(inputs)
        return Block(arrays.to_numpy(converted.vectors, dtype), inputs.offsets)

    return lru_cache(maxsize=max(4, CACHE_BYTES // 2 // (block_size * activations.input_bytes)))(block)
