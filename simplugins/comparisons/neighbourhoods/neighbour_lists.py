# SPDX-License-Identifier: Apache-2.0
"""The nearest neighbours of each input of an RSM, also after permuting or resampling the inputs.

Neighbours are ordered by similarity, largest first; ties go to the smaller index. An input is never its own neighbour,
and neither is one whose pair is missing (NaN). Where an input has fewer neighbours than asked for, -1 fills its list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.compiled import compiled
from simplugins.rsm.matrices import Matrix

Lists = NDArray[np.int64]
"""(N, k) indices of the neighbours of each input, nearest first, or -1."""

_FEW = 64
"""Up to this number of neighbours, insertion into a short list is faster than sorting rows."""

_BLOCK_ENTRIES = 2**22
"""Entries of the rows that are sorted at a time."""


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The neighbours of the inputs of a sample of an RSM: of all of them, of a permutation, or of a resample.

    Attributes
    ----------
    lists : (N, k) int64 array
        Neighbours by their index in the sample.
    matrix : (M, M) float64 array, or None
        The RSM that the sample is drawn from, where the similarities are needed.
    origin : (N,) int64 array
        Index in that RSM of each input of the sample.
    memo : dict
        What a method computes from these neighbourhoods alone, for use with several others.
    """

    lists: Lists
    matrix: Matrix | None
    origin: NDArray[np.int64]
    memo: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_lists(cls, lists: Lists, matrix: Matrix | None = None) -> Neighbourhoods:
        """Return the neighbourhoods of the inputs in their own order."""
        return cls(lists, matrix, np.arange(len(lists)))

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether each input has k neighbours."""
        return self.lists[:, -1] >= 0

    @cached_property
    def similarities(self) -> Matrix:
        """The (N, k) similarities of the neighbours; 0 where the list has none."""
        assert self.matrix is not None
        values = self.matrix[self.origin[:, None], self.origin[self.lists]]
        return np.where(self.lists >= 0, values, 0.0)


def nearest(matrix: Matrix, k: int) -> Lists:
    """Return the k nearest neighbours of each input, (N, N) to (N, k).

    Examples
    --------
    >>> nearest(np.array([[9.0, 1.0, 2.0, 2.0], [1.0, 9.0, 3.0, 4.0], [2.0, 3.0, 9.0, 2.0], [2.0, 4.0, 2.0, 9.0]]), 2)
    array([[2, 3],
           [3, 2],
           [1, 0],
           [1, 0]])
    """
    lists = np.full((len(matrix), k), -1)
    if k <= _FEW:
        _insert_nearest(matrix, lists, np.empty(k))
        return lists
    step = max(1, _BLOCK_ENTRIES // len(matrix))
    for start in range(0, len(matrix), step):
        keys = -matrix[start : start + step]
        rows = np.arange(len(keys))
        keys[rows, start + rows] = np.nan
        order = np.argsort(keys, axis=1, kind="stable")[:, :k]  # NaN comes last
        present = ~np.isnan(np.take_along_axis(keys, order, axis=1))
        lists[start : start + step, : order.shape[1]] = np.where(present, order, -1)
    return lists


@compiled
def _insert_nearest(matrix, lists, best):  # type: ignore[no-untyped-def]
    k = lists.shape[1]
    for i in range(len(matrix)):
        row = matrix[i]
        filled = 0
        for j in range(row.size):
            value = row[j]
            if j == i or np.isnan(value) or (filled == k and value <= best[k - 1]):
                continue
            if filled < k:
                filled += 1
            place = filled - 1
            while place > 0 and best[place - 1] < value:
                best[place] = best[place - 1]
                lists[i, place] = lists[i, place - 1]
                place -= 1
            best[place] = value
            lists[i, place] = j


@compiled
def is_constant(matrix, origin):  # type: ignore[no-untyped-def]
    """Return whether all pairs of different inputs of a sample have the same similarity, or none is present."""
    first = np.nan
    for r in range(origin.size):
        for s in range(r):
            value = matrix[origin[r], origin[s]]
            if origin[r] == origin[s] or np.isnan(value):
                continue
            if np.isnan(first):
                first = value
            elif value != first:
                return False
    return True


@dataclass(frozen=True, eq=False)
class Ranking:
    """Candidates for the neighbours of each input in samples of an RSM, nearest first.

    Attributes
    ----------
    matrix : (M, M) float64 array
    candidates : (T,) int32 array
        The inputs that can be neighbours of input i are at ``offsets[i]:offsets[i + 1]``.
    tied : (T,) bool array
        Whether a candidate has the same similarity as the one before it.
    offsets : (M + 1,) int64 array
    """

    matrix: Matrix
    candidates: NDArray[np.int32]
    tied: NDArray[np.bool_]
    offsets: NDArray[np.int64]

    @classmethod
    def from_matrix(cls, matrix: Matrix, depth: int) -> Ranking:
        """Rank the `depth` nearest neighbours of each input, and all others that tie with the last of them.

        A permutation of N inputs needs the depth k; a resample, in which any of them may be absent, N - 1.
        """
        lists = nearest(matrix, depth)
        counts = np.empty(len(matrix), np.int64)
        _count_candidates(matrix, lists, counts)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        candidates = np.empty(offsets[-1], np.int32)
        tied = np.empty(offsets[-1], np.bool_)
        _list_candidates(matrix, lists, offsets, candidates, tied)
        return cls(matrix, candidates, tied, offsets)

    def sample(self, origin: NDArray[np.int64], k: int, groups: NDArray[np.int64] | None = None) -> Neighbourhoods:
        """Return the k nearest neighbours of each input of a sample, whose copies are not each other's neighbours.

        Equals `nearest` of ``matrix[np.ix_(origin, origin)]`` with NaN for pairs of an input with itself: ties go to
        the smaller index in the sample.

        Parameters
        ----------
        origin : (N,) int64 array
            The inputs of the sample.
        k : int
        groups : (M,) int64 array, optional
            The group of each input, if whole groups were drawn: inputs of different copies of a group are not
            neighbours either.
        """
        places = np.argsort(origin, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(origin, minlength=len(self.matrix)))])
        copies = np.empty(len(origin), np.int64)
        copies[places] = np.arange(len(origin)) - starts[origin[places]]
        lists = np.full((len(origin), k), -1)
        groups = np.arange(len(self.matrix)) if groups is None else groups
        _sample(self.candidates, self.tied, self.offsets, origin, starts, places, copies, groups, lists)
        return Neighbourhoods(lists, self.matrix, origin)


@compiled
def _count_candidates(matrix, lists, counts):  # type: ignore[no-untyped-def]
    depth = lists.shape[1]
    for i in range(len(matrix)):
        last = lists[i, depth - 1]
        if last < 0:
            counts[i] = 0
            for place in range(depth):
                counts[i] += lists[i, place] >= 0
            continue
        counts[i] = depth
        for j in range(last + 1, len(matrix)):
            if j != i and matrix[i, j] == matrix[i, last]:
                counts[i] += 1


@compiled
def _list_candidates(matrix, lists, offsets, candidates, tied):  # type: ignore[no-untyped-def]
    depth = lists.shape[1]
    for i in range(len(matrix)):
        start, stop = offsets[i], offsets[i + 1]
        listed = min(depth, stop - start)
        for place in range(listed):
            candidates[start + place] = lists[i, place]
        j = lists[i, depth - 1]
        for place in range(start + listed, stop):
            j += 1
            while j == i or matrix[i, j] != matrix[i, lists[i, depth - 1]]:
                j += 1
            candidates[place] = j
        for place in range(start, stop):
            tied[place] = place > start and matrix[i, candidates[place]] == matrix[i, candidates[place - 1]]


@compiled
def _sample(candidates, tied, offsets, origin, starts, places, copies, groups, lists):  # type: ignore[no-untyped-def]
    k = lists.shape[1]
    tie = np.empty(origin.size, np.int64)
    for r in range(origin.size):
        place, stop = offsets[origin[r]], offsets[origin[r] + 1]
        filled = 0
        while place < stop and filled < k:
            size = 0
            while True:  # a candidate, and all that tie with it
                first, last = starts[candidates[place]], starts[candidates[place] + 1]
                if last > first and groups[candidates[place]] == groups[origin[r]]:
                    first += copies[r]
                    last = first + 1
                for copy in range(first, last):
                    tie[size] = places[copy]
                    size += 1
                place += 1
                if place == stop or not tied[place]:
                    break
            if size > 1:
                tie[:size].sort()
            for t in range(min(size, k - filled)):
                lists[r, filled + t] = tie[t]
            filled += min(size, k - filled)
