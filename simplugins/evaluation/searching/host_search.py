# SPDX-License-Identifier: Apache-2.0
"""Exact search on the CPU, in threads; each task is a run of queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.progress import compilation_shown
from simplugins._common.threads import in_threads
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.affinities import matched_values
from simplugins.compute.search_result import SearchResult
from simplugins.evaluation.searching.bounds import Summary, bounds_of_affinities, upper_bounds
from simplugins.evaluation.searching.candidates import Best, Gallery
from simplugins.evaluation.searching.scoring import Score, Scoring
from simplugins.matching.matcher import Matcher

_QUERIES = 16
"""Queries bounded against the whole gallery at a time."""


def find(scoring: Scoring, matcher: Matcher, k: int, threads: int, progress: bool | str) -> SearchResult:
    """Find the k best candidates of each query."""
    search = _Search(scoring, matcher, k)
    with compilation_shown(progress):
        search.compile()
    pairs = len(search.x) * len(search.y)
    in_threads(search.work, search.tasks(), pairs=pairs, threads=threads, progress=progress, title="searching")
    counts = int(search.formed.sum()), int(search.solved.sum())
    return SearchResult(search.indices, search.products, *counts, {"engine": "cpu"})


@dataclass(frozen=True)
class _Queries:
    """A run of queries: a task for a thread."""

    start: int
    stop: int
    gallery: int

    @property
    def pairs(self) -> int:
        """Number of pairs of inputs."""
        return (self.stop - self.start) * self.gallery


class _Search:
    """One search: its inputs, and its results, which threads fill in."""

    def __init__(self, scoring: Scoring, matcher: Matcher, k: int) -> None:
        self.scoring, self.matcher, self.k = scoring, matcher, k
        self.x, self.y = x, y = scoring.queries, scoring.gallery
        self.itself = scoring.itself
        self.x_block = _whole(x, scoring.dtype, matcher)
        self.y_block = self.x_block if x is y else _whole(y, scoring.dtype, matcher)
        width = int(max(x.positions.max(), y.positions.max()))
        self.x_summary = Summary.from_block(self.x_block, width)
        self.y_summary = self.x_summary if x is y else Summary.from_block(self.y_block, width)
        self.gallery = Gallery(self.y_block, self.y_summary, matcher)
        self.known: list[list[tuple[int, float]]] | None = None
        if self.itself and matcher.symmetric:  # then a product computed for one query also serves the other
            self.known = [[] for _ in range(len(x))]
        self.indices = np.empty((len(x), k), np.int64)
        self.products = np.empty((len(x), k))
        self.formed, self.solved = np.zeros((2, len(x)), np.int64)

    def compile(self) -> None:
        """Compile the loops in the caller's thread, where Ctrl-C can stop it."""
        affinity, offsets = np.ones((1, 1), self.scoring.dtype), np.array([0, 1])
        matched_values(self.matcher, affinity, offsets)
        bounds_of_affinities(affinity, offsets, np.zeros((1, 1)))

    def tasks(self) -> list[_Queries]:
        """Cut the queries into runs that are bounded together."""
        count = len(self.x)
        return [_Queries(i, min(i + _QUERIES, count), len(self.y)) for i in range(0, count, _QUERIES)]

    def work(self, task: _Queries) -> None:
        """Find the neighbours of some queries."""
        bounds = upper_bounds(self.x_summary.rows(task.start, task.stop), self.y_summary)
        for i in range(task.start, task.stop):
            self._find(i, bounds[i - task.start])

    def _find(self, i: int, bounds: NDArray[np.float64]) -> None:
        score, candidates = self.scoring.of(i), np.arange(len(self.y))
        lengths = np.sqrt(self.x_summary.squares[i]) * np.sqrt(self.y_summary.squares)
        reachable = score(bounds + 2 * self.scoring.rounding * lengths, candidates)
        best = Best(self.k)
        done = self._recall(i, score, best)
        candidates, reachable = np.delete(candidates, done), np.delete(reachable, done)
        order = np.argsort(-reachable, kind="stable")
        query = self.x_block.vectors[self.x_block.offsets[i] : self.x_block.offsets[i + 1]]
        self.gallery.find(query, candidates[order], reachable[order], score, best)
        self._remember(i, best)
        self.indices[i], self.products[i] = best.numbers, best.products
        self.formed[i], self.solved[i] = best.formed, sum(len(numbers) for numbers, _ in best.solved)

    def _recall(self, i: int, score: Score, best: Best) -> NDArray[np.int64]:
        """Add products that other queries found with this one; return the candidates that are done."""
        known: list[tuple[int, float]] = []
        if self.known is not None:
            known, self.known[i] = self.known[i], []
        numbers = np.array([number for number, _ in known], np.int64)
        products = np.array([product for _, product in known])
        best.add(numbers, products, score(products, numbers))
        return np.append(numbers, i) if self.itself else numbers

    def _remember(self, i: int, best: Best) -> None:
        """Record the products of this query with later ones."""
        if self.known is None:
            return
        for numbers, products in best.solved:
            later = numbers > i
            for number, product in zip(numbers[later].tolist(), products[later].tolist(), strict=True):
                self.known[number].append((i, product))


def _whole(activations: Activations, dtype: np.dtype[np.floating], matcher: Matcher) -> Block:
    """Return all inputs as one converted block, with positions in the order that the matcher needs."""
    block = activations.block(0, len(activations))
    ordered = block.by_norm()[0] if matcher.by_norm else block
    return Block(arrays.to_numpy(ordered.vectors, dtype), block.offsets)
