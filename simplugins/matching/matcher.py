# SPDX-License-Identifier: Apache-2.0
"""What a matcher receives and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Assignments:
    """The assignments of a batch of problems.

    Attributes
    ----------
    columns : (T,) int64 array
        For every row of the batch the column it takes, within its problem; -1 for none.
    prices : (B, P) float64 array or None
        Dual prices of each problem's columns (of its rows where these outnumber the columns), in units of
        affinity; at least zero where the side is the larger one. Any such prices give a true upper bound on the
        optimum, good ones a tight one. None if the matcher keeps no duals: then others are found for certificates.
    """

    columns: NDArray[np.int64]
    prices: NDArray[np.float64] | None = None


class Matcher(ABC):
    """A way to match positions; a plugin of the group ``simplugins.matchings`` is a subclass.

    A subclass is created with its options (plain numbers or strings, as dataclass fields) and implements `match`.
    One that can do better than a Python loop over problems overrides `match_batch`, too (see `BatchMatcher`). It is
    called from several threads at once, so it keeps no state between calls.
    """

    name: ClassVar[str]
    positionwise: ClassVar[bool] = False
    """Whether position s always goes with position s: `match` must return that, and engines do not call it where no
    affinities between positions are needed."""
    invariant_to_order: ClassVar[bool | None] = None
    invariant_to_translation: ClassVar[bool | None] = None
    symmetric: ClassVar[bool] = False
    by_norm: ClassVar[bool] = False
    """Whether to hand over the positions of both inputs in the order of the norms of their concept vectors, smallest
    first; of equal norms, the first position first."""
    window: int | None = None
    """If not None, `match` never matches a position outside its window of so many (see `windows.windows`), and matches
    a window alone as it does among others. Engines rely on that: they may make the affinities within windows only, and
    hand these over window by window."""

    @abstractmethod
    def match(self, affinity: NDArray[np.floating]) -> NDArray[np.integer]:
        """Match one pair of inputs.

        Parameters
        ----------
        affinity : (R, K) float32 or float64 array
            Inner products of the R positions of one input with the K positions of the other, in their own order
            unless `by_norm`; to be left as it is. R and K may differ. Finite.

        Returns
        -------
        (R,) integer array
            The column that each row takes. Each column at most once; every row one if R <= K, else K of the rows,
            and -1 for the others.
        """

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs.

        Parameters
        ----------
        affinities : (T, K) array, C-contiguous, float32 or float64
            Problem b has the rows ``offsets[b]:offsets[b + 1]`` and all K columns.
        offsets : (B + 1,) int64 array
            Starts at 0 and ends at T; B is at least 1. An engine's first batch is one 1 x 1 problem, to have everything
            compiled.

        Returns
        -------
        Assignments
            Columns for all T rows, counted within their problem, as int64.
        """
        columns = np.empty(len(affinities), np.int64)
        for start, stop in pairwise(offsets):
            affinity = affinities[start:stop]
            affinity.flags.writeable = False
            columns[start:stop] = check_assignment(self.match(affinity), *affinity.shape, name=self.name)
        return Assignments(columns)


class BatchMatcher(Matcher):
    """A matcher that matches whole batches at once: implements `match_batch`, and has `match` from it."""

    def match(self, affinity: NDArray[np.floating]) -> NDArray[np.int64]:
        """Match one pair of inputs; see `Matcher.match`. Integers and float16 are matched as float64.

        Raises
        ------
        TypeError
            If the affinity is no matrix of real numbers.
        """
        affinity = np.asarray(affinity)
        if affinity.ndim != 2 or affinity.dtype.kind not in "iuf":
            raise TypeError(
                f"affinity: expected a matrix of real numbers, got shape {affinity.shape}, dtype {affinity.dtype}"
            )
        dtype = affinity.dtype if affinity.dtype in (np.float32, np.float64) else np.float64
        # Read-only arrays would be compiled for once more.
        return self.match_batch(np.require(affinity, dtype, ["C", "W"]), np.array([0, len(affinity)])).columns

    @abstractmethod
    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""


def check_assignment(columns: Any, rows: int, cols: int, *, name: str) -> NDArray[np.int64]:
    """Check that a matcher returned an assignment of the smaller side, and return it as int64.

    Raises
    ------
    ValueError
        If it has the wrong shape or type, names a column that does not exist, takes one twice, or leaves out more
        than it must.
    """
    found = np.asarray(columns)
    where = f"matching {name!r} on {rows} x {cols} affinities"
    if found.shape != (rows,) or found.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: expected {rows} integer columns, got an array of shape {found.shape}, dtype {found.dtype}"
        )
    taken = found[found != -1]
    if taken.size and (taken.min() < 0 or taken.max() >= cols):
        raise ValueError(f"{where}: columns must lie in 0..{cols - 1} (or be -1), got {found.min()}..{found.max()}")
    if np.unique(taken).size != taken.size:
        raise ValueError(f"{where}: a column was taken twice")
    if taken.size != min(rows, cols):
        raise ValueError(f"{where}: expected {min(rows, cols)} matched rows, got {taken.size}")
    return found.astype(np.int64)


def match_batch(matcher: Matcher, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
    """Match a batch of pairs, and check what the matcher returns.

    Raises
    ------
    TypeError
        If that is no `Assignments`.
    ValueError
        If a problem's columns are no assignment of its smaller side.
    """
    from simplugins.matching.values import first_wrong

    found = matcher.match_batch(affinities, offsets)
    if not isinstance(found, Assignments):
        raise TypeError(f"matching {matcher.name!r}: expected match_batch to return Assignments, got {kind(found)}")
    columns = np.asarray(found.columns)
    rows, cols = affinities.shape
    if columns.shape != (rows,) or columns.dtype != np.int64:
        raise ValueError(
            f"matching {matcher.name!r}: expected int64 columns for all {rows} rows of a batch, got an array of shape "
            f"{columns.shape}, dtype {columns.dtype}"
        )
    wrong = first_wrong(columns, offsets, cols)
    if wrong >= 0:
        part = columns[offsets[wrong] : offsets[wrong + 1]]
        check_assignment(part, len(part), cols, name=matcher.name)
    return found


def kind(found: Any) -> str:
    """Say what an object is."""
    return f"the class {found.__name__}, not an instance" if isinstance(found, type) else type(found).__name__
