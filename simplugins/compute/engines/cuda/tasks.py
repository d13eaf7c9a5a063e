# SPDX-License-Identifier: Apache-2.0
"""The assignment problems of a tile, grouped by the CUDA kernel that solves them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.matcher import Matcher
from simplugins.matching.norm_windows import norm_windows


class Pairs(NamedTuple):
    """Pairs of inputs from two blocks.

    Attributes
    ----------
    numbers : (P,) int64 array
        Position of each pair in the tile, counted row by row.
    corners : (P, 2) int64 array
        First row and first column of each pair's affinities.
    sizes : (P, 2) int64 array
        Numbers of rows and columns of each pair's affinities.
    """

    numbers: NDArray[np.int64]
    corners: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """Problems on one matrix product that a single launch solves.

    Attributes
    ----------
    kind : {"optimal", "greedy", "bound"}
        Optimal matching, greedy matching, or optimal matching solely for its upper bound.
    transposed : bool
        Whether the problems' rows are columns of the affinities: the assignment kernel requires no more rows than
        columns.
    problems : (B, 4) int64 array
        See `launcher.Batch`.
    pairs : (B,) int64 array
        The number of the pair that each problem belongs to.
    whole : (B,) bool array
        Whether the problem covers the whole pair, so that its upper bound holds for the pair.
    """

    kind: str
    transposed: bool
    problems: NDArray[np.int64]
    pairs: NDArray[np.int64]
    whole: NDArray[np.bool_]

    @property
    def largest(self) -> int:
        """The largest number of rows or columns of a problem."""
        return int((self.problems[:, 1::2] - self.problems[:, ::2]).max())


class _Parts(NamedTuple):
    """Parts of the affinities of some pairs: first row, end of rows, first column and end of columns of each."""

    kind: str
    pairs: NDArray[np.intp]
    bounds: NDArray[np.int64]


def has_kernel(matcher: Matcher) -> bool:
    """Whether the GPU can compute a matching: it is positionwise, or declares a `cuda_kernel` that exists."""
    if matcher.window is not None:
        return matcher.cuda_kernel == "assignment"
    return matcher.positionwise or matcher.cuda_kernel in _PARTS


def floor_of(matcher: Matcher) -> float:
    """Return the affinity at or below which a matching leaves positions unmatched, or -inf."""
    return float(getattr(matcher, "threshold")) if matcher.cuda_kernel == "assignment-above" else -np.inf  # noqa: B009


def largest_number(floor: float, dtype: np.dtype[np.floating]) -> float:
    """Return the largest number of a type that is not above the floor."""
    with np.errstate(over="ignore"):
        number = dtype.type(floor)
    return float(number if float(number) <= floor else np.nextafter(number, dtype.type(-np.inf)))


def check_matcher(matcher: Matcher) -> None:
    """Check that the GPU can compute a matching.

    Raises
    ------
    ValueError
        If it cannot.
    """
    if not has_kernel(matcher):
        kernels = ", ".join(map(repr, _PARTS))
        raise ValueError(
            f"matching {matcher.name!r} needs engine='cpu': its cuda_kernel is {matcher.cuda_kernel!r}, and engine "
            f"'cuda' has {kernels} (windows with 'assignment' only)"
        )


def make_pairs(selected: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pairs:
    """Return the pairs selected by an (n, m) mask from two blocks with n + 1 and m + 1 offsets."""
    numbers = np.flatnonzero(selected)
    i, j = np.divmod(numbers, selected.shape[1])
    sizes = np.stack([np.diff(rows)[i], np.diff(columns)[j]], 1)
    return Pairs(numbers, np.stack([rows[i], columns[j]], 1), sizes)


def make_tasks(pairs: Pairs, matcher: Matcher, *, certify: bool) -> list[Task]:
    """Return the tasks of a matcher for pairs of inputs; with `certify`, the optimum of every pair is bounded."""
    whole = np.zeros((len(pairs.numbers), 4), np.int64)
    whole[:, 1::2] = pairs.sizes
    bounded = np.full(len(whole), not certify)
    groups: dict[tuple[str, bool], list[tuple[NDArray[np.int64], ...]]] = {}

    def add(parts: _Parts) -> None:
        is_whole = (parts.bounds == whole[parts.pairs]).all(1)
        if parts.kind != "greedy":
            bounded[parts.pairs[is_whole]] = True
        problems = parts.bounds + pairs.corners[parts.pairs][:, [0, 0, 1, 1]]
        tall = parts.bounds[:, 1] - parts.bounds[:, 0] > parts.bounds[:, 3] - parts.bounds[:, 2]
        for transposed in (False, True):
            members = np.flatnonzero((tall if parts.kind != "greedy" else False) == np.full(len(tall), transposed))
            if members.size:
                oriented = problems[members][:, [2, 3, 0, 1]] if transposed else problems[members]
                group = oriented, pairs.numbers[parts.pairs[members]], is_whole[members]
                groups.setdefault((parts.kind, transposed), []).append(group)

    if not matcher.positionwise:
        assert matcher.cuda_kernel is not None
        for parts in _PARTS[matcher.cuda_kernel](matcher, pairs.sizes, whole):
            add(parts)
    unbounded = np.flatnonzero(~bounded)
    add(_Parts("bound", unbounded, whole[unbounded]))
    return [
        Task(kind, transposed, *(np.concatenate(arrays) for arrays in zip(*group, strict=True)))
        for (kind, transposed), group in groups.items()
    ]


def _assignment_parts(matcher: Any, sizes: NDArray[np.int64], whole: NDArray[np.int64]) -> Iterator[_Parts]:
    """Match optimally, within windows if any; for auctions too, as optimal matching is no slower on a GPU."""
    if matcher.window is None:
        yield _Parts("optimal", np.arange(len(sizes)), whole)
        return
    for (rows, columns), members in _by_size(sizes):
        for window in norm_windows(rows, columns, matcher.window):
            yield _part("optimal", members, *window)


def _greedy_parts(matcher: Any, sizes: NDArray[np.int64], whole: NDArray[np.int64]) -> Iterator[_Parts]:
    yield _Parts("greedy", np.arange(len(sizes)), whole)


def _topk_greedy_parts(matcher: Any, sizes: NDArray[np.int64], whole: NDArray[np.int64]) -> Iterator[_Parts]:
    for (rows, columns), members in _by_size(sizes):
        row, column = max(0, rows - matcher.k), max(0, columns - matcher.k)
        yield _part("optimal", members, slice(row, rows), slice(column, columns))
        if row and column:
            yield _part("greedy", members, slice(0, row), slice(0, column))


_PARTS: Mapping[str, Callable[[Any, NDArray[np.int64], NDArray[np.int64]], Iterator[_Parts]]] = {
    "assignment": _assignment_parts,
    "assignment-above": _assignment_parts,
    "assignment-share": _assignment_parts,
    "greedy": _greedy_parts,
    "topk-greedy": _topk_greedy_parts,
}
"""How each `Matcher.cuda_kernel` splits pairs, given their sizes and whole bounds."""


def _part(kind: str, pairs: NDArray[np.intp], rows: slice, columns: slice) -> _Parts:
    """Return the same part of several pairs."""
    bounds = np.array([rows.start, rows.stop, columns.start, columns.stop], np.int64)
    return _Parts(kind, pairs, np.tile(bounds, (len(pairs), 1)))


def _by_size(sizes: NDArray[np.int64]) -> Iterator[tuple[tuple[int, int], NDArray[np.intp]]]:
    """Group pairs of equal sizes."""
    codes = sizes[:, 0] * (sizes.max(initial=0) + 1) + sizes[:, 1]
    order = np.argsort(codes, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        if members.size:
            rows, columns = sizes[members[0]].tolist()
            yield (rows, columns), members
