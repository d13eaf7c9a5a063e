# SPDX-License-Identifier: Apache-2.0
"""Exact search on the GPU: the k best candidates of all queries, which stay on the device until all are found.

The rows of a tile are inputs of the gallery, its columns are queries. For each tile, bounds from norms mark the pairs
that may be among the best of their query; if there are any, the tile's affinities are computed, and dual bounds from
these leave fewer. The others are matched, and merged with the best so far. The gallery is cut into chunks that fit the
memory, each of which is uploaded once. Bounds are those of `simplugins.evaluation.searching.bounds`, but the device
computes the statistics of the inputs, from the blocks that it matches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simplugins._common.progress import progress_counter
from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda.device import Device, DeviceMemoryError
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock
from simplugins.compute.engines.cuda.engine import Run, matching_precision
from simplugins.compute.engines.cuda.launcher import Batch
from simplugins.compute.engines.cuda.nearest_programs import NearestProgram
from simplugins.compute.engines.cuda.pair_problems import Part, TilePairs
from simplugins.compute.engines.cuda.pair_programs import NULL
from simplugins.compute.engines.cuda.pair_results import PairResults, Tile
from simplugins.compute.engines.cuda.tasks import check_matcher
from simplugins.compute.engines.cuda.tile_cuts import cut
from simplugins.compute.job import check_pair
from simplugins.compute.search_result import SearchResult
from simplugins.matching.matcher import Matcher

KERNELS = ("linear", "cosine", "rbf")
_FLOAT, _INT, _WORD = np.dtype(np.float64), np.dtype(np.int32), np.dtype(np.int64)


@dataclass(frozen=True)
class Order:
    """What orders the candidates of a query.

    Attributes
    ----------
    kernel : {"linear", "cosine", "rbf"}
    rounding : float
        Bound on the relative rounding error of aligned inner products.
    equal : float
        Norms differ by rounding up to this relative difference.
    """

    kernel: str
    rounding: float
    equal: float

    def arguments(self) -> list[np.generic]:
        """Return the arguments of the CUDA kernels."""
        return [np.int32(KERNELS.index(self.kernel)), np.float64(self.rounding), np.float64(self.equal)]


def nearest(
    gallery: Activations,
    queries: Activations,
    matcher: Matcher,
    *,
    itself: bool,
    k: int,
    order: Order,
    device: Device,
    progress: bool | str = False,
) -> SearchResult:
    """Find the k best candidates of each query in a gallery.

    With `itself`, the queries are the gallery, and no input finds itself.

    Raises
    ------
    ValueError
        If the GPU cannot compute the matching.
    DeviceMemoryError
        If even a single pair of inputs does not fit the free memory of the GPU.
    """
    check_pair(gallery, queries, matcher)
    check_matcher(matcher)
    with device:
        run = _Search(gallery, queries, matcher, device, k, order, itself=itself)
        while True:
            try:
                return run.search(progress)
            except Exception as error:
                run.give_up()
                if not device.ran_out(error):
                    raise
                if run.block_size == 1:
                    raise DeviceMemoryError(
                        f"one pair of inputs does not fit {device.name}: use engine='cpu' ({error})"
                    ) from error
            run.block_size = -(-run.block_size // 2)  # outside of the handler, which references device arrays


@dataclass(frozen=True)
class _Side:
    """Statistics of some inputs for the CUDA kernels, in device memory."""

    means: Any
    norms: Any
    centred_norms: Any
    sizes: Any
    powers: Any
    squared_norms: Any


@dataclass(frozen=True)
class _Best:
    """The best candidates so far of n queries, in device memory; numbers are -1 where there are none yet.

    Attributes
    ----------
    numbers, products, scores : (n, k) device arrays
    least : (n,) device array
        The score of the k-th, or -inf.
    """

    numbers: Any
    products: Any
    scores: Any
    least: Any

    @staticmethod
    def none(device: Device, queries: int, k: int) -> _Best:
        """Return empty lists."""
        zeros = np.zeros((queries, k))
        lists = np.full((queries, k), -1), zeros, zeros, np.full(queries, -np.inf)
        return _Best(*map(device.upload, lists))


class _Search(Run):
    """One search: a run whose tiles are matched in part."""

    in_lanes = False  # each tile needs the results of the one before

    def __init__(
        self,
        gallery: Activations,
        queries: Activations,
        matcher: Matcher,
        device: Device,
        k: int,
        order: Order,
        *,
        itself: bool,
    ) -> None:
        precision = matching_precision(device, matcher, gallery.channels)
        super().__init__(gallery, queries, matcher, device=device, precision=precision, certify=False)
        self.k, self.order = k, order
        sizes = np.concatenate([gallery.positions, queries.positions])
        self.equal, self.largest = bool((sizes == sizes[0]).all()), int(sizes.max())
        self.itself = itself
        self.program = NearestProgram(real="double" if self.dtype == np.float64 else "float")
        self.facts: dict[tuple[bool, int], _Side] = {}
        self.formed = self.solved = 0
        self.mark: Callable[[Any, bool], None] | None = None
        self.wanted: Any = None

    def search(self, progress: bool | str) -> SearchResult:
        """Search in one chunk of the gallery after the other, for all queries."""
        rows, columns = self.shape
        self.formed = self.solved = done = 0
        blocks = list(cut(slice(0, columns), self.block_size))
        best = [_Best.none(self.device, block.stop - block.start, self.k) for block in blocks]
        chunk = max(1, self.x.capacity - (self.x is self.y)) * self.block_size
        with progress_counter(rows * columns, progress, title="searching", unit="pair") as show:
            for part in cut(slice(0, rows), chunk):
                for number, queries in enumerate(blocks):
                    for tile in self._tiles(part, queries):
                        best[number] = self._examine(tile, best[number])
                        show(done := done + tile.shape[0] * tile.shape[1])
        numbers, products = np.empty((columns, self.k), np.int64), np.empty((columns, self.k))
        for block, lists in zip(blocks, best, strict=True):
            self.device.fetch(lists.numbers, numbers[block])
            self.device.fetch(lists.products, products[block])
        self._forget()
        self.drop()
        self.device.settle()
        products = np.ldexp(products, self.x.exponents[numbers] + self.y.exponents[:, None])
        return SearchResult(numbers, products, self.formed, self.solved, {**self.metadata, "device": self.device.name})

    def give_up(self) -> None:
        """Free all device memory."""
        self._forget()
        self.release()

    def _forget(self) -> None:
        self.results = self.mark = self.wanted = None
        self.facts.clear()

    def _tiles(self, part: slice, queries: slice) -> list[Tile]:
        """Return the tiles of a chunk of the gallery, first the one with the queries themselves, if any."""
        tiles = [Tile(inputs, queries) for inputs in cut(part, self.block_size)]
        return sorted(tiles, key=lambda tile: self.itself and tile.rows != queries)

    def _facts(self, of_queries: bool, inputs: slice) -> _Side:
        key = of_queries and self.x is not self.y, inputs.start
        if key not in self.facts:
            self.facts[key] = self._summarise(of_queries, inputs)
        return self.facts[key]

    def _summarise(self, of_queries: bool, inputs: slice) -> _Side:
        blocks, upload = self.y if of_queries else self.x, self.device.upload
        activations, block = self.sides[of_queries], blocks.block(inputs)
        width, channels = self.largest, block.vectors.shape[1]
        means = self.device.empty((len(block), channels + width * self.equal), _FLOAT)
        norms, centred = (NULL if self.equal else self.device.empty((len(block), width), _FLOAT) for _ in range(2))
        arguments = [block.vectors, NULL if block.positions is None else block.positions, np.int64(block.bounds[1])]
        arguments += [np.int64(channels), np.int64(width), means, norms, centred]
        self._launch_blocks("summarise", len(block), arguments, shared=8 * width)
        powers = blocks.exponents[inputs] + activations.exponents[inputs]
        sizes = activations.positions[inputs]
        squared_norms = upload(activations.squared_norms[inputs])
        return _Side(means, norms, centred, upload(sizes.astype(_WORD)), upload(powers.astype(_WORD)), squared_norms)

    def _examine(self, tile: Tile, best: _Best) -> _Best:
        """Match the pairs of a tile that may be among the best, and merge them with these."""
        sides = self._facts(False, tile.rows), self._facts(True, tile.columns)
        self.wanted, counts = self.device.empty(tile.shape, _INT), self.device.upload(np.zeros(2, np.int32))
        self._mark_reachable(tile, sides, best, counts)
        if not self.device.download(counts)()[0]:
            return best
        self.results = PairResults(self.device, tile, certify=False)
        self.mark = None if self.windowed else lambda *of: self._mark_promising(tile, sides, best, counts, *of)
        if not self.begin(tile)():
            self.coarse_tiles.add((tile.rows.start, tile.rows.stop, tile.columns.start, tile.columns.stop))
            self.begin(tile)()
        reachable, promising = self.device.download(counts)()
        self.formed += tile.shape[0] * tile.shape[1]
        self.solved += int(reachable if self.windowed else promising)
        return self._merge(tile, sides, best)

    def pairs(self, tile: Tile, rows: DeviceBlock, columns: DeviceBlock) -> TilePairs:
        """Return the pairs of a tile."""
        pairs = super().pairs(tile, rows, columns)
        return _MarkedPairs(pairs.device, rows, columns, pairs.triangle, pairs.area, self.program, self.wanted)

    def affinities(self, rows: DeviceBlock, columns: DeviceBlock, transposed: bool) -> Any:
        """Return the affinities of two blocks; the first of a tile exclude some of its pairs."""
        affinities = super().affinities(rows, columns, transposed)
        if self.mark is not None:
            self.mark(affinities, transposed)
            self.mark = None
        return affinities

    def _mark_reachable(self, tile: Tile, sides: tuple[_Side, _Side], best: _Best, counts: Any) -> None:
        rows, columns = sides
        means = self._product(rows.means, columns.means)
        others: list[Any] = [NULL, NULL, NULL]
        if not self.equal:
            others = [
                self._product(rows.centred_norms, columns.centred_norms),
                self._product(rows.norms, columns.centred_norms),
                self._product(rows.centred_norms, columns.norms),
            ]
        arguments = [means, *others, rows.sizes, columns.sizes]
        arguments += [*self._scale(sides), *map(np.int64, tile.shape), *self.order.arguments(), best.least]
        skipped = tile.columns.start - tile.rows.start if self.itself else np.iinfo(np.int64).min
        arguments += [np.int64(skipped), self.wanted, counts]
        self._launch("mark_reachable", tile.shape[0] * tile.shape[1], arguments)

    def _product(self, rows: Any, columns: Any) -> Any:
        product = self.device.empty((len(rows), len(columns)), _FLOAT)
        self.device.multiply(rows, columns, product, "float64")
        return product

    def _scale(self, sides: tuple[_Side, _Side]) -> list[Any]:
        rows, columns = sides
        return [rows.powers, columns.powers, rows.squared_norms, columns.squared_norms]

    def _mark_promising(
        self, tile: Tile, sides: tuple[_Side, _Side], best: _Best, counts: Any, affinities: Any, transposed: bool
    ) -> None:
        blocks = self.x.block(tile.rows), self.y.block(tile.columns)
        strides = (1, affinities.shape[1]) if transposed else (affinities.shape[1], 1)
        offsets = [NULL if block.positions is None else block.positions for block in blocks]
        sizes = [np.int64(block.bounds[1]) for block in blocks]
        arguments = [affinities, *map(np.int64, strides), *offsets, *sizes, *self._scale(sides)]
        arguments += [np.int64(tile.shape[1]), *self.order.arguments(), best.least, self.wanted, counts]
        pairs = tile.shape[0] * tile.shape[1]
        self._launch_blocks("mark_promising", pairs, arguments, shared=8 * self.largest)

    def _merge(self, tile: Tile, sides: tuple[_Side, _Side], best: _Best) -> _Best:
        assert self.results is not None
        queries = tile.shape[1]
        shape = queries, self.k
        numbers, products, scores = (self.device.empty(shape, dtype) for dtype in (_WORD, _FLOAT, _FLOAT))
        merged = _Best(numbers, products, scores, best.least)
        values, sizes = self.results.values, [*map(np.int64, tile.shape)]
        scored = self.device.empty(tile.shape, _FLOAT)
        arguments = [values, self.wanted, *sizes, *self._scale(sides), *self.order.arguments(), scored]
        self._launch("score_pairs", tile.shape[0] * tile.shape[1], arguments)
        arguments = [values, scored, self.wanted, *sizes, np.int64(tile.rows.start), np.int64(self.k)]
        arguments += [side for lists in (best, merged) for side in (lists.numbers, lists.products, lists.scores)]
        arguments.append(best.least)
        self._launch_blocks("merge_best", queries, arguments)
        self.device.retire()  # the first lists are uploads, which are dropped here
        return merged

    def _launch_blocks(self, function: str, blocks: int, arguments: list[Any], *, shared: int = 0) -> None:
        self.device.launch(self.program, function, blocks, self.program.threads, arguments, shared=shared)

    def _launch(self, function: str, count: int, arguments: list[Any]) -> None:
        _launch(self.device, self.program, function, count, arguments)


@dataclass(frozen=True)
class _MarkedPairs(TilePairs):
    """The pairs of a tile, of which those that are not wanted have problems of a single entry."""

    program: NearestProgram
    wanted: Any

    def batch(self, part: Part, orientation: int, affinities: Any) -> Batch:
        """Return one problem per pair."""
        batch = super().batch(part, orientation, affinities)
        arguments = [self.wanted, np.int64(self.count), batch.problems]
        _launch(self.device, self.program, "drop_problems", self.count, arguments)
        return batch


def _launch(device: Device, program: NearestProgram, function: str, count: int, arguments: list[Any]) -> None:
    """Start a CUDA kernel with one thread per pair."""
    device.launch(program, function, -(-count // program.threads), program.threads, arguments, shared=0)
