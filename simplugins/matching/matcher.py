# SPDX-License-Identifier: Apache-2.0
"""The contract of matchers: class attributes, inputs and results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins._common.plugin_objects import calling, returned_array


@dataclass(frozen=True, repr=False)
class Assignments:
    """The assignments of a batch of B problems.

    Attributes
    ----------
    columns : (T,) int64 array
        The column assigned to each row of the batch, counted within its problem; -1 for rows without one.
    prices : (B, P) float64 array or None
        Dual prices of each problem's columns (of its rows, if these outnumber the columns), in units of affinity; not
        negative if the sides differ in size. Any such prices yield a valid upper bound on the optimum, which is tight
        for good prices. None if the matcher has none: certificates then compute their own. For partial matchers, prices
        are never negative.
    multipliers : (B,) float64 array or None
        For partial matchers only: the value from which on a further pair is worth its place, such as a threshold. By
        default certificates choose it for the number of matched pairs.
    """

    columns: NDArray[np.int64]
    prices: NDArray[np.float64] | None = None
    multipliers: NDArray[np.float64] | None = None

    def __repr__(self) -> str:
        problems = "" if self.prices is None else f" of {len(self.prices)} problems, with dual prices"
        return f"Assignments({np.count_nonzero(self.columns >= 0)} of {len(self.columns)} rows matched{problems})"


class Matcher(ABC):
    """Base class of matchings; a plugin of the group ``simplugins.matchings`` is a subclass.

    A subclass implements `match`, declares a `name`, and sets the class attributes below that apply. Its options are
    dataclass fields (numbers or strings). It overrides `match_batch` if it can beat a Python loop over problems (see
    `BatchMatcher`). Several threads may call the same matcher at once, so it must not keep state between calls.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> class Reversed(simplugins.Matcher):
    ...     name = "reversed"
    ...     symmetric = True
    ...
    ...     def match(self, affinity):
    ...         return np.arange(len(affinity))[::-1]
    >>> x, y = np.arange(12.0).reshape(2, 3, 2)
    >>> simplugins.match(x, y, Reversed()).value
    113.0
    """

    name: ClassVar[str]
    """The name shown in results, and by which users select the matching if it is a plugin."""

    positionwise: ClassVar[bool] = False
    """Whether position s is always matched with position s. `match` must then return this matching; engines only call
    it if they need the affinities between different positions as well."""

    by_norm: ClassVar[bool] = False
    """Whether `match` expects the positions of both inputs in ascending order of the norms of their concept vectors,
    with ties in their original order."""

    window: int | None = None
    """If set, `match` only matches positions within windows of this size (see `norm_windows.norm_windows`), and matches
    each window independently. Engines rely on it: they may compute only the affinities within windows, and pass these
    window by window."""

    invariant_to_order: ClassVar[bool | None] = None
    """Whether the assignment is independent of the order of positions, up to ties and up to the tolerance of
    approximate matchings. None: unknown."""

    invariant_to_translation: ClassVar[bool | None] = None
    """Whether adding the same vector to all concept vectors leaves the assignment of sets of equal size unchanged, up
    to ties. None: unknown."""

    partial: ClassVar[bool] = False
    """Whether `match` may leave positions of both inputs unmatched."""

    invariant_to_scaling: ClassVar[bool] = True
    """Whether multiplying all affinities by the same positive number leaves the assignment unchanged, up to ties."""

    symmetric: ClassVar[bool] = False
    """Whether the assignment's value does not depend on which of two inputs provides the rows, up to rounding."""

    cuda_kernel: ClassVar[str | None] = None
    """The CUDA kernel that computes this matching: "assignment" (optimal, separately within windows if `window` is
    set), "assignment-above" (partial, above an attribute `threshold`), "greedy", or "topk-greedy" (which reads an
    attribute `k`). None: only the CPU can compute it, unless it is positionwise. Not inherited, because a subclass may
    match differently."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "cuda_kernel" not in vars(cls):
            cls.cuda_kernel = None

    @abstractmethod
    def match(self, affinity: NDArray[np.floating]) -> NDArray[np.integer]:
        """Match one pair of inputs.

        Parameters
        ----------
        affinity : (R, K) float32 or float64 array, read-only
            Inner products of the R positions of one input with the K positions of the other, in their original order,
            or by ascending norm if `by_norm`. R and K may differ. All values are finite.

        Returns
        -------
        (R,) integer array
            The column assigned to each row; columns must not repeat. If R <= K every row has a column, otherwise K of
            the rows have one, and the others have -1. If the matcher is `partial`, fewer rows may have a column.
        """

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs.

        Parameters
        ----------
        affinities : (T, K) array, C-contiguous, float32 or float64
            Problem b consists of the rows ``offsets[b]:offsets[b + 1]`` and all K columns.
        offsets : (B + 1,) int64 array
            From 0 to T; B is at least 1. Engines start with a 1 × 1 warm-up problem that triggers JIT compilation.

        Returns
        -------
        Assignments
            The int64 columns of all T rows, counted within their problem.
        """
        columns = np.empty(len(affinities), np.int64)
        for start, stop in pairwise(offsets):
            affinity = affinities[start:stop]
            affinity.flags.writeable = False
            with calling(f"matching {self.name!r}"):
                returned = self.match(affinity)
            columns[start:stop] = check_assignment(returned, *affinity.shape, name=self.name, partial=self.partial)
        return Assignments(columns)


class BatchMatcher(Matcher):
    """Base class of matchers that process whole batches; a subclass implements `match_batch` instead of `match`.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> class Shifted(simplugins.BatchMatcher):
    ...     name = "shifted"
    ...
    ...     def match_batch(self, affinities, offsets):
    ...         sizes = np.diff(offsets)  # here, every problem is square
    ...         return simplugins.Assignments(np.concatenate([np.roll(np.arange(size), 1) for size in sizes]))
    >>> Shifted().match(np.zeros((3, 3)))
    array([2, 0, 1])
    """

    def match(self, affinity: NDArray[np.floating]) -> NDArray[np.int64]:
        """Match one pair of inputs; see `Matcher.match`. Integers and float16 are converted to float64.

        Raises
        ------
        TypeError
            If the affinity is not a matrix of real numbers.
        """
        affinity = np.asarray(affinity)
        if affinity.ndim != 2 or affinity.dtype.kind not in "iuf":
            raise TypeError(
                f"affinity: expected a matrix of real numbers, got shape {affinity.shape}, dtype {affinity.dtype}"
            )
        dtype = affinity.dtype if affinity.dtype in (np.float32, np.float64) else np.float64
        # To Numba, read-only arrays are another type, which would trigger another compilation.
        return self.match_batch(np.require(affinity, dtype, ["C", "W"]), np.array([0, len(affinity)])).columns

    @abstractmethod
    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""


def check_assignment(columns: Any, rows: int, cols: int, *, name: str, partial: bool = False) -> NDArray[np.int64]:
    """Check that a matcher returned an assignment of the smaller side, and return it as int64.

    Raises
    ------
    ValueError
        If the array has the wrong shape or type, contains a column that does not exist or occurs twice, or leaves more
        rows unmatched than necessary, unless the matching is partial.
    """
    assignment = returned_array(columns, f"matching {name!r}", "integer columns")
    prefix = f"matching {name!r} on {rows} x {cols} affinities"
    if assignment.shape != (rows,) or assignment.dtype.kind not in "iu":
        raise ValueError(
            f"{prefix}: expected {rows} integer columns, got an array of shape {assignment.shape}, dtype "
            f"{assignment.dtype}"
        )
    matched = assignment[assignment != -1]
    if matched.size and (matched.min() < 0 or matched.max() >= cols):
        lowest, highest = assignment.min(), assignment.max()
        raise ValueError(f"{prefix}: columns must lie in 0..{cols - 1} (or be -1), got {lowest}..{highest}")
    if np.unique(matched).size != matched.size:
        raise ValueError(f"{prefix}: the same column is assigned to two rows")
    if matched.size != min(rows, cols) and not partial:
        raise ValueError(
            f"{prefix}: expected {min(rows, cols)} matched rows, got {matched.size}; a matcher that leaves positions "
            f"unmatched declares `partial = True`"
        )
    return assignment.astype(np.int64)


def match_batch(matcher: Matcher, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
    """Match a batch of pairs, and check the matcher's result.

    Raises
    ------
    TypeError
        If the result is not an `Assignments`.
    ValueError
        If the columns of a problem are not an assignment of its smaller side.
    """
    from simplugins.matching.objective import first_invalid

    assignments = matcher.match_batch(affinities, offsets)
    if not isinstance(assignments, Assignments):
        raise TypeError(
            f"matching {matcher.name!r}: expected match_batch to return Assignments, got {type_name(assignments)}"
        )
    columns = assignments.columns
    if type(columns) is not np.ndarray or columns.dtype != np.int64:
        columns = returned_array(columns, f"matching {matcher.name!r}", "integer columns")
    rows, cols = affinities.shape
    if columns.shape != (rows,) or columns.dtype != np.int64:
        raise ValueError(
            f"matching {matcher.name!r}: expected int64 columns for all {rows} rows of a batch, got an array of shape "
            f"{columns.shape}, dtype {columns.dtype}"
        )
    invalid = first_invalid(columns, offsets, cols, matcher.partial)
    if invalid >= 0:
        part = columns[offsets[invalid] : offsets[invalid + 1]]
        check_assignment(part, len(part), cols, name=matcher.name, partial=matcher.partial)
    return assignments if columns is assignments.columns else replace(assignments, columns=columns)


def type_name(value: Any) -> str:
    """Return the name of an object's type for error messages, or "the class …" for a class."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
