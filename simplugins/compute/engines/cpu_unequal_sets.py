# SPDX-License-Identifier: Apache-2.0
"""The CPU engine for sets of unequal size: cosines of the positions that were matched, and optimal transport."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.affinities import ROUNDING, matched_values
from simplugins.compute.engines.cpu import Batch, Run, Strip
from simplugins.compute.job import TileResult, check_pair
from simplugins.compute.memory import TILE_BYTES
from simplugins.compute.tiling import mirror
from simplugins.matching import objective
from simplugins.matching.certificates import match_and_certify
from simplugins.matching.matcher import Matcher, match_batch
from simplugins.matching.optimal import Optimal
from simplugins.matching.transport import transport


def matched_cosines(
    x: Activations,
    y: Activations | None,
    matcher: Matcher,
    *,
    threads: int | None = None,
    certify: bool = False,
    progress: bool | str = False,
) -> TileResult:
    """Compute the cosines of all pairs of inputs, with the norms of the matched positions.

    Parameters
    ----------
    x, y, matcher, threads, certify, progress
        As for `simplugins.compute.engines.cpu.aligned_products`.

    Returns
    -------
    TileResult
        (N, M) cosines; gaps are those of the aligned inner products.
    """
    return _computed(_MatchedRun, x, y, matcher, threads, certify, progress)


def transported_products(
    x: Activations,
    y: Activations | None,
    *,
    threads: int | None = None,
    certify: bool = False,
    progress: bool | str = False,
) -> TileResult:
    """Compute the optimal transport of all pairs of inputs.

    Parameters
    ----------
    x, y, threads, certify, progress
        As for `simplugins.compute.engines.cpu.aligned_products`. Each input is divided by the root of its number of
        positions, as `simplugins.activations.preparation.Preparation` does for "mass".

    Returns
    -------
    TileResult
        (N, M). For equal sizes, aligned inner products by the optimal matching; otherwise the value of the optimal plan
        between uniform distributions over the positions of the undivided inputs.
    """
    return _computed(_TransportRun, x, y, Optimal(), threads, certify, progress)


def _computed(
    kind: type[Run],
    x: Activations,
    y: Activations | None,
    matcher: Matcher,
    threads: int | None,
    certify: bool,
    progress: bool | str,
) -> TileResult:
    other = x if y is None else y
    check_pair(x, other, matcher)
    run = kind(x, other, symmetric=y is None, matcher=matcher, certify=certify, tile_bytes=TILE_BYTES)
    return run.compute(threads, progress)


class _SingleStrips(Run):
    """A run that works on one strip after the other."""

    def match_batch(self, batch: Batch) -> None:
        """Match several runs of inputs with one other input each."""
        for strip in batch.strips:
            self.match_strip(strip)

    def match_strip(self, strip: Strip) -> None:
        """Match a run of inputs with one other input."""
        raise NotImplementedError


class _MatchedRun(_SingleStrips):
    """Cosines with the norms of matched positions."""

    by_windows = False

    def match_strip(self, strip: Strip) -> None:
        """Match a run of inputs with one other input."""
        inputs, other = self._inputs(strip)
        affinities = self.scratch.product(inputs.vectors, other.vectors.T)
        values = np.empty(len(inputs.offsets) - 1)
        if self.gap is None:
            columns = match_batch(self.matcher, affinities, inputs.offsets).columns
            objective.assignment_values(affinities, inputs.offsets, columns, values)
        else:
            certified = match_and_certify(self.matcher, affinities, inputs.offsets)
            columns, values = certified.columns, certified.values
            self.gap[strip.rows, strip.columns.start] = certified.gap
        lengths = self._lengths(strip, inputs, other, columns)
        self.values[strip.rows, strip.columns.start] = _cosines(values, lengths)

    def _lengths(self, strip: Strip, inputs: Block, other: Block, columns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the products of the norms of the matched positions of both inputs, in the scale of the blocks."""
        starts, matched = inputs.offsets[:-1], columns >= 0
        counts = np.add.reduceat(matched, starts, dtype=np.int64)
        rows, row = _scaled_norms(self.x, strip.rows), _scaled_norms(self.y, strip.columns)
        if (partial := counts < np.diff(inputs.offsets)).any():
            squares = np.add.reduceat(np.where(matched, inputs.squares(), 0), starts)
            rows = np.where(partial, squares, rows)
        if (partial := counts < len(other.vectors)).any():
            squares = np.add.reduceat(np.where(matched, other.squares()[columns], 0), starts)
            row = np.where(partial, squares, row)
        return np.asarray(np.sqrt(rows) * np.sqrt(row))

    def multiply_strip(self, strip: Strip) -> None:
        """Multiply flattened responses, all of whose positions are matched."""
        super().multiply_strip(strip)
        rows, columns = _scaled_norms(self.x, strip.rows), _scaled_norms(self.y, strip.columns)
        cosines = _cosines(self.values[strip.rows, strip.columns], np.sqrt(rows)[:, None] * np.sqrt(columns))
        self.values[strip.rows, strip.columns] = cosines

    def result(self) -> TileResult:
        """Complete the matrices that the strips filled in."""
        if self.symmetric:
            norms = self.x.squared_norms
            for matrix, diagonal in ((self.values, _cosines(norms, np.square(np.sqrt(norms)))), (self.gap, 0.0)):
                if matrix is not None:
                    mirror(matrix)
                    if not self.with_diagonal:
                        np.fill_diagonal(matrix, diagonal)
        precision = np.dtype(np.float64) if self.positionwise else self.dtype
        return TileResult(self.values, ROUNDING[precision], self.gap, {"engine": "cpu", "precision": str(precision)})


def _scaled_norms(activations: Activations, inputs: slice) -> NDArray[np.float64]:
    """Return the squared norms of some inputs in the scale of their blocks."""
    return np.ldexp(activations.squared_norms[inputs], -2 * activations.exponents[inputs])


def _cosines(values: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return products divided by lengths, 0 where these are 0."""
    return np.clip(np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0), -1, 1)


class _TransportRun(_SingleStrips):
    """Optimal transport between uniform distributions over positions."""

    def compile(self) -> None:
        """Compile the loops in the caller's thread, where Ctrl-C can interrupt it."""
        super().compile()
        transport(np.ones((1, 2), self.dtype), np.array([0, 1]))

    def match_strip(self, strip: Strip) -> None:
        """Match a run of inputs with one other input."""
        inputs, other = self._inputs(strip)
        affinities = self.scratch.product(inputs.vectors, other.vectors.T)
        equal = np.diff(inputs.offsets) == len(other.vectors)
        for selection, solve in ((equal, self._match), (~equal, self._transport)):
            if selection.any():
                numbers = np.arange(strip.rows.start, strip.rows.stop)[selection]
                values, gap = solve(*_selected(affinities, inputs.offsets, selection))
                self.values[numbers, strip.columns.start] = values
                if self.gap is not None:
                    self.gap[numbers, strip.columns.start] = gap

    def _match(
        self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | float]:
        """Return the values of sets of equal size, and their gaps if these are needed."""
        if self.gap is None:
            return matched_values(self.matcher, affinities, offsets), 0.0
        certified = match_and_certify(self.matcher, affinities, offsets)
        return certified.values, certified.gap

    def _transport(
        self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the values of sets of unequal size, and their gaps."""
        result = transport(affinities, offsets)
        return result.values * np.sqrt(np.diff(offsets) * affinities.shape[1]), result.gap


def _selected(
    affinities: NDArray[np.floating], offsets: NDArray[np.int64], selection: NDArray[np.bool_]
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Return some of the problems of a batch."""
    if selection.all():
        return affinities, offsets
    sizes = np.diff(offsets)
    return affinities[np.repeat(selection, sizes)], np.concatenate([[0], np.cumsum(sizes[selection])])
