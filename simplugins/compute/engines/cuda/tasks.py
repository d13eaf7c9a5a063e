# SPDX-License-Identifier: Apache-2.0
"""What is done with the affinities of a block of inputs and another: problems for the kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.auction import Auction
from simplugins.matching.batch_optimal import BatchOptimal
from simplugins.matching.greedy import Greedy
from simplugins.matching.identity import Identity
from simplugins.matching.matcher import Matcher
from simplugins.matching.norm_windows import norm_windows
from simplugins.matching.optimal import Optimal
from simplugins.matching.topk_greedy import TopKGreedy

_MATCHERS = (Optimal, Auction, BatchOptimal, Greedy, TopKGreedy, Identity)


class Pairs(NamedTuple):
    """Pairs of inputs, one of each of two blocks.

    Attributes
    ----------
    numbers : (P,) int64 array
        Counted row by row in the tile.
    corners : (P, 2) int64 array
        The first row and the first column of each pair's affinities.
    sizes : (P, 2) int64 array
        How many rows and columns they are.
    """

    numbers: NDArray[np.int64]
    corners: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """Problems on one product that are matched in one way.

    Attributes
    ----------
    way : {"solve", "take", "bound"}
        Exactly, greedily, or exactly, but only for what it proves.
    transposed : bool
        Whether the problems' rows are columns of the affinities: the exact kernel wants no more rows than columns.
    problems : (B, 4) int64 array
        As in `launcher.Batch`.
    pairs : (B,) int64 array
        The number of the pair that each problem is of.
    whole : (B,) bool array
        Whether the problem is all of the pair, so that its upper bound is, too.
    """

    way: str
    transposed: bool
    problems: NDArray[np.int64]
    pairs: NDArray[np.int64]
    whole: NDArray[np.bool_]

    @property
    def largest(self) -> int:
        """The most rows or columns of a problem."""
        return int((self.problems[:, 1::2] - self.problems[:, ::2]).max())


class _Parts(NamedTuple):
    """A part of the affinities of each of some pairs: first row, end of rows, first column, end of columns."""

    way: str
    pairs: NDArray[np.intp]
    bounds: NDArray[np.int64]


def has_kernel(matcher: Matcher) -> bool:
    """Whether the GPU can do what a matcher does: it knows ours, whose subclasses may do something else."""
    return type(matcher) in _MATCHERS


def check_matcher(matcher: Matcher) -> None:
    """Check that the GPU can do what a matcher does.

    Raises
    ------
    ValueError
        If it is not one of ours.
    """
    if not has_kernel(matcher):
        names = ", ".join(repr(known.name) for known in _MATCHERS)
        raise ValueError(f"engine 'cuda' has kernels for the matchings {names}; {matcher.name!r} needs engine='cpu'")


def make_pairs(wanted: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pairs:
    """Return the pairs that are wanted, given as (n, m) booleans, of blocks with n + 1 and m + 1 offsets."""
    numbers = np.flatnonzero(wanted)
    i, j = np.divmod(numbers, wanted.shape[1])
    sizes = np.stack([np.diff(rows)[i], np.diff(columns)[j]], 1)
    return Pairs(numbers, np.stack([rows[i], columns[j]], 1), sizes)


def make_tasks(pairs: Pairs, matcher: Matcher, *, certify: bool) -> list[Task]:
    """Return what is to be done for pairs of inputs; with `certify`, also what bounds the optimum of each."""
    whole = np.zeros((len(pairs.numbers), 4), np.int64)
    whole[:, 1::2] = pairs.sizes
    proven = np.full(len(whole), not certify)
    found: dict[tuple[str, bool], list[tuple[NDArray[np.int64], ...]]] = {}

    def add(parts: _Parts) -> None:
        is_whole = (parts.bounds == whole[parts.pairs]).all(1)
        if parts.way != "take":
            proven[parts.pairs[is_whole]] = True
        problems = parts.bounds + pairs.corners[parts.pairs][:, [0, 0, 1, 1]]
        tall = parts.bounds[:, 1] - parts.bounds[:, 0] > parts.bounds[:, 3] - parts.bounds[:, 2]
        for transposed in (False, True):
            own = np.flatnonzero((tall if parts.way != "take" else False) == np.full(len(tall), transposed))
            if own.size:
                turned = problems[own][:, [2, 3, 0, 1]] if transposed else problems[own]
                made = turned, pairs.numbers[parts.pairs[own]], is_whole[own]
                found.setdefault((parts.way, transposed), []).append(made)

    for parts in _parts(matcher, pairs.sizes, whole):
        add(parts)
    unproven = np.flatnonzero(~proven)
    add(_Parts("bound", unproven, whole[unproven]))
    return [
        Task(way, transposed, *(np.concatenate(arrays) for arrays in zip(*made, strict=True)))
        for (way, transposed), made in found.items()
    ]


def _parts(matcher: Matcher, sizes: NDArray[np.int64], whole: NDArray[np.int64]) -> Iterator[_Parts]:
    """List the parts that are matched; an auction is solved exactly, which here takes no longer."""
    everything = np.arange(len(sizes))
    if isinstance(matcher, Optimal | Auction):
        yield _Parts("solve", everything, whole)
    elif isinstance(matcher, Greedy):
        yield _Parts("take", everything, whole)
    elif isinstance(matcher, BatchOptimal | TopKGreedy):
        for (rows, columns), own in _by_size(sizes):
            for way, part in _parts_of_size(matcher, rows, columns):
                bounds = [part[0].start, part[0].stop, part[1].start, part[1].stop]
                yield _Parts(way, own, np.tile(np.array(bounds, np.int64), (len(own), 1)))


def _parts_of_size(
    matcher: BatchOptimal | TopKGreedy, rows: int, columns: int
) -> Iterator[tuple[str, tuple[slice, slice]]]:
    if isinstance(matcher, BatchOptimal):
        yield from (("solve", window) for window in norm_windows(rows, columns, matcher.window))
        return
    row, column = max(0, rows - matcher.k), max(0, columns - matcher.k)
    yield "solve", (slice(row, rows), slice(column, columns))
    if row and column:
        yield "take", (slice(0, row), slice(0, column))


def _by_size(sizes: NDArray[np.int64]) -> Iterator[tuple[tuple[int, int], NDArray[np.intp]]]:
    """Group pairs of equal sizes."""
    codes = sizes[:, 0] * (sizes.max(initial=0) + 1) + sizes[:, 1]
    order = np.argsort(codes, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        if own.size:
            rows, columns = sizes[own[0]].tolist()
            yield (rows, columns), own
