# SPDX-License-Identifier: Apache-2.0
"""Candidates of one query, examined in the order of their upper bounds until no other can be among the best."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.blocks import Block
from simplugins.compute.affinities import Scratch, matched_values
from simplugins.evaluation.searching.bounds import Summary, bounds_of_affinities, mean_prices
from simplugins.evaluation.searching.scoring import Score
from simplugins.matching.matcher import Matcher

_CHUNK = 32
"""Candidates examined between updates of the k-th best score; fewer at first if k is small."""


@dataclass(repr=False)
class Best:
    """The best candidates so far, and the cost of finding them.

    Attributes
    ----------
    k : int
        Number of candidates to keep.
    numbers, products, scores : (at most k,) arrays
        Numbers, aligned inner products and scores of the best candidates, best first, ties by number.
    formed : int
        Number of candidates whose affinities were computed.
    solved : list of (numbers, products)
        All candidates that were matched, batch by batch.
    """

    k: int
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    products: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    scores: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    formed: int = 0
    solved: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=list)

    @property
    def least(self) -> float:
        """Score that a candidate needs to be among the best, or to tie with the last of them."""
        return float(self.scores[-1]) if len(self.scores) == self.k else -np.inf

    def add(self, numbers: NDArray[np.int64], products: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        """Keep the best of the present and the new candidates; ties go to the smaller number."""
        numbers = np.concatenate([self.numbers, numbers])
        products = np.concatenate([self.products, products])
        scores = np.concatenate([self.scores, scores])
        order = np.lexsort((numbers, -scores))[: self.k]
        self.numbers, self.products, self.scores = numbers[order], products[order], scores[order]

    def __repr__(self) -> str:
        return f"Best {len(self.numbers)} of {self.k}: {self.formed} affinities formed"


class Gallery:
    """Inputs to search in, ready to be matched with queries."""

    def __init__(self, block: Block, summary: Summary, matcher: Matcher) -> None:
        self.vectors, self.offsets, self.summary = block.vectors, block.offsets, summary
        self.matcher = matcher
        self.scratch = Scratch()
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
            Concept vectors of the query.
        order : (M,) int64 array
            Numbers of the candidates, by upper bound, largest first.
        reachable : (M,) float64 array
            Upper bounds on the scores of the candidates, in that order.
        score : callable
        best : Best
            Updated in place.
        """
        start = 0
        while start < len(order) and reachable[start] >= best.least:
            stop = start + (max(best.k, _CHUNK // 2) if start == 0 else _CHUNK)
            stop = start + int(np.searchsorted(-reachable[start:stop], -best.least, side="right"))
            self._examine(order[start:stop], query, score, best)
            start = stop

    def _examine(self, numbers: NDArray[np.int64], query: NDArray[np.floating], score: Score, best: Best) -> None:
        """Match candidates with a query, except those whose affinities prove that they are not among the best."""
        vectors, offsets = self._gather(numbers)
        affinities = self.scratch.product(vectors, query.T)
        best.formed += len(numbers)
        if np.isfinite(best.least):
            prices = mean_prices(vectors, offsets, self.summary.means[numbers], query)
            promising = score(bounds_of_affinities(affinities, offsets, prices), numbers) >= best.least
            numbers, affinities, offsets = numbers[promising], *_selected(affinities, offsets, promising)
        if len(numbers):
            products = matched_values(self.matcher, affinities, offsets)
            best.solved.append((numbers, products))
            best.add(numbers, products, score(products, numbers))

    def _gather(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Return the concept vectors of some inputs, and their offsets."""
        if self.sets is not None:
            count = self.sets.shape[1]
            return self.sets[numbers].reshape(-1, self.sets.shape[2]), np.arange(len(numbers) + 1) * count
        parts = [self.vectors[self.offsets[i] : self.offsets[i + 1]] for i in numbers]
        return np.concatenate(parts), np.concatenate([[0], np.cumsum([len(part) for part in parts])])


def _selected(
    affinities: NDArray[np.floating], offsets: NDArray[np.int64], selection: NDArray[np.bool_]
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Return some of the problems of a batch."""
    if selection.all():
        return affinities, offsets
    counts = np.diff(offsets)
    return affinities[np.repeat(selection, counts)], np.concatenate([[0], np.cumsum(counts[selection])])
