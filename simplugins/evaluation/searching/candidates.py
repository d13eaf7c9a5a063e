# SPDX-License-Identifier: Apache-2.0
"""One query at a time: its candidates in the order of what they can reach, until no other can be among the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.blocks import Block
from simplugins.compute.engines.cpu import Scratch, matched_values
from simplugins.evaluation.searching.bounds import Summary, bounds_of_affinities, mean_prices
from simplugins.matching.matcher import Matcher

CHUNK = 32
"""How many candidates are looked at before the k-th best is found anew; fewer where k is small."""

Score = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]
"""From aligned inner products of a query with candidates, and their numbers, to what orders them: larger is better."""


@dataclass
class Best:
    """The best candidates so far, and what it took to find them."""

    k: int
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    products: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    scores: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    formed: int = 0
    solved: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=list)

    @property
    def least(self) -> float:
        """The score that a candidate needs to be among the best, or to be as good as the last of them."""
        return float(self.scores[-1]) if len(self.scores) == self.k else -np.inf

    def add(self, numbers: NDArray[np.int64], products: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        """Keep the best of these and of those found before; of equals, the first numbers."""
        numbers = np.concatenate([self.numbers, numbers])
        products = np.concatenate([self.products, products])
        scores = np.concatenate([self.scores, scores])
        order = np.lexsort((numbers, -scores))[: self.k]
        self.numbers, self.products, self.scores = numbers[order], products[order], scores[order]


class Gallery:
    """The inputs to be found, ready to be matched with queries."""

    def __init__(self, block: Block, summary: Summary, matcher: Matcher) -> None:
        self.vectors, self.offsets, self.summary = block.vectors, block.offsets, summary
        self.matcher = matcher
        self.scratch = Scratch(block.vectors.dtype)
        counts = np.diff(block.offsets)
        equal = (counts == counts[0]).all()
        self.sets = self.vectors.reshape(len(counts), counts[0], -1) if equal else None

    def find(
        self,
        query: NDArray[np.floating],
        order: NDArray[np.int64],
        reachable: NDArray[np.float64],
        score: Score,
        best: Best,
    ) -> None:
        """Find the best candidates for a query.

        Parameters
        ----------
        query : (K, C) array
            Its concept vectors.
        order : (M,) int64 array
            The numbers of the candidates, those first that can reach most.
        reachable : (M,) float64 array
            What score each can reach, in that order.
        score : callable
        best : Best
            What is known of others, to be added to.
        """
        start = 0
        while start < len(order) and reachable[start] >= best.least:
            stop = start + (max(best.k, CHUNK // 2) if start == 0 else CHUNK)
            stop = start + int(np.searchsorted(-reachable[start:stop], -best.least, side="right"))
            self._look_at(order[start:stop], query, score, best)
            start = stop

    def _look_at(self, numbers: NDArray[np.int64], query: NDArray[np.floating], score: Score, best: Best) -> None:
        """Match candidates with a query, but for those that cannot be among the best, as their affinities tell."""
        vectors, offsets = self._gather(numbers)
        affinities = self.scratch.product(vectors, query.T)
        best.formed += len(numbers)
        if np.isfinite(best.least):
            prices = mean_prices(vectors, offsets, self.summary.means[numbers], query)
            kept = score(bounds_of_affinities(affinities, offsets, prices), numbers) >= best.least
            numbers, affinities, offsets = numbers[kept], *_taken(affinities, offsets, kept)
        if len(numbers):
            products = matched_values(self.matcher, affinities, offsets)
            best.solved.append((numbers, products))
            best.add(numbers, products, score(products, numbers))

    def _gather(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Return the concept vectors of some inputs, one after the other, and where each one's begin."""
        if self.sets is not None:
            count = self.sets.shape[1]
            return self.sets[numbers].reshape(-1, self.sets.shape[2]), np.arange(len(numbers) + 1) * count
        parts = [self.vectors[self.offsets[i] : self.offsets[i + 1]] for i in numbers]
        return np.concatenate(parts), np.concatenate([[0], np.cumsum([len(part) for part in parts])])


def _taken(
    affinities: NDArray[np.floating], offsets: NDArray[np.int64], kept: NDArray[np.bool_]
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Return some of the problems of a batch."""
    if kept.all():
        return affinities, offsets
    counts = np.diff(offsets)
    return affinities[np.repeat(kept, counts)], np.concatenate([[0], np.cumsum(counts[kept])])
