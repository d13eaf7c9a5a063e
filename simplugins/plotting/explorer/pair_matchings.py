# SPDX-License-Identifier: Apache-2.0
"""The matched positions of pairs of inputs and what each contributes, packed for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.threads import check_threads, in_threads
from simplugins.activations.activations import Activations
from simplugins.compute.pair_shift import best_shift
from simplugins.matching.identity import Identity
from simplugins.matching.matcher import Matcher
from simplugins.plotting.explorer.explored_layers import ExploredLayer
from simplugins.plotting.explorer.explored_measures import ExploredMeasure, Pairing
from simplugins.plotting.explorer.packed_sections import Sections, encode

_CHUNK_BYTES = 2**17
"""Bytes of a section of matchings, which the page decompresses at once."""
_TASK = 8
_PAIR_BYTES = 24
"""Bytes of a pair in addition to those of its positions."""


@dataclass(frozen=True)
class PositionPairs:
    """The matched positions of two inputs.

    Attributes
    ----------
    columns : (S,) int64 array
        For each position of the first input, that of the second one; -1 for none.
    contributions : (S,) float64 array
        Inner products of matched concept vectors, divided by a power of two; 0 for positions without a partner.
    exponent : int
        That power.
    """

    columns: NDArray[np.int64]
    contributions: NDArray[np.float64]
    exponent: int


@dataclass(frozen=True)
class _Task:
    start: int
    stop: int

    @property
    def pairs(self) -> int:
        return self.stop - self.start


def pairings(layer: ExploredLayer, measures: Sequence[ExploredMeasure]) -> dict[str, Pairing]:
    """Return how the measures of a layer pair positions, for those that do."""
    if layer.activations is None:
        return {}
    return {one.name: one.pairing for one in measures if one.pairing is not None and one.name not in layer.unavailable}


def pair_bytes(layer: ExploredLayer, measures: Sequence[ExploredMeasure], bits: int) -> float:
    """Return the mean number of bytes that a pair of a layer takes in all measures, before compression."""
    x = layer.activations
    if x is None:
        return 0.0
    mean, index_bytes = float(x.positions.mean()), _index_type(x)().itemsize
    columns = [0 if isinstance(one, Identity) else index_bytes for one in pairings(layer, measures).values()]
    return sum(mean * (size + bits // 8) + _PAIR_BYTES for size in columns)


def matched_pairs(
    x: Activations, pairs: NDArray[np.int64], pairing: Pairing, *, threads: int | None, progress: bool | str
) -> list[PositionPairs]:
    """Match the positions of pairs of inputs, in threads.

    Parameters
    ----------
    x : Activations
    pairs : (P, 2) int64 array
    pairing : Matcher or "shift"
    threads, progress
        As for `simplugins.compute_rsm`.
    """
    results: list[PositionPairs | None] = [None] * len(pairs)

    def work(task: _Task) -> None:
        for place in range(task.start, task.stop):
            results[place] = _matched(x, int(pairs[place, 0]), int(pairs[place, 1]), pairing)

    tasks = [_Task(start, min(start + _TASK, len(pairs))) for start in range(0, len(pairs), _TASK)]
    options: dict[str, Any] = {"threads": check_threads(threads), "progress": progress}
    in_threads(work, tasks, pairs=len(pairs), title="matched positions", **options)
    return [result for result in results if result is not None]


def _matched(x: Activations, i: int, j: int, pairing: Pairing) -> PositionPairs:
    rows, columns = (x.block(k, k + 1) for k in (i, j))
    matched = _columns(rows, columns, pairing) if isinstance(pairing, Matcher) else _shifted(x, i, j)
    partners = columns.vectors[np.maximum(matched, 0)].astype(np.float64)
    contributions = np.einsum("sc,sc->s", rows.vectors.astype(np.float64), partners)
    contributions[matched < 0] = 0
    return PositionPairs(matched, contributions, int(x.exponents[i] + x.exponents[j]))


def _columns(rows: Any, columns: Any, matcher: Matcher) -> NDArray[np.int64]:
    if isinstance(matcher, Identity):
        return np.arange(len(rows.vectors))
    if matcher.by_norm:
        (rows, row_order), (columns, column_order) = rows.by_norm(), columns.by_norm()
        assigned = matcher.match(np.ascontiguousarray(rows.vectors @ columns.vectors.T))
        matched = np.empty(len(row_order), np.int64)
        matched[row_order] = np.where(assigned < 0, -1, column_order[assigned])
        return matched
    return np.asarray(matcher.match(np.ascontiguousarray(rows.vectors @ columns.vectors.T)), np.int64)


def _shifted(x: Activations, i: int, j: int) -> NDArray[np.int64]:
    assert x.grid is not None
    layout = {1: "sc", 2: "hwc", 3: "dhwc"}[len(x.grid)]
    shift = best_shift(*(x[k].reshape(*x.grid, x.channels) for k in (i, j)), layout=layout).shift
    places = np.indices(x.grid).reshape(len(x.grid), -1)
    moved = [(axis + by) % size for axis, by, size in zip(places, shift, x.grid, strict=True)]
    return np.ravel_multi_index(moved, x.grid)


def pack_matchings(
    sections: Sections, x: Activations, matchings: Sequence[PositionPairs], pairing: Pairing, bits: int
) -> dict[str, Any]:
    """Store the matchings of all pairs in sections of a limited size.

    Returns
    -------
    dict
        ``columns`` ("stored" or "identity"), ``bits``, and ``chunks``: the first pair and the arrays of each section.
    """
    identity, chunks = isinstance(pairing, Identity), []
    bytes_per_position = bits // 8 + (0 if identity else _index_type(x)().itemsize)
    start = 0
    while start < len(matchings):
        stop, size = start, 0
        while stop < len(matchings) and (size == 0 or size < _CHUNK_BYTES):
            size += len(matchings[stop].columns) * bytes_per_position
            stop += 1
        arrays = _chunk(matchings[start:stop], bits)
        if not identity:
            columns = np.concatenate([one.columns for one in matchings[start:stop]])
            arrays["columns"] = (columns + 1).astype(_index_type(x))
        chunks.append({"first": start, **sections.add(arrays)})
        start = stop
    return {"columns": "identity" if identity else "stored", "bits": bits, "chunks": chunks}


def _chunk(matchings: Sequence[PositionPairs], bits: int) -> dict[str, NDArray[Any]]:
    codes, ranges, values = [], [], []
    for one in matchings:
        encoded, low, high = encode(one.contributions, bits)
        codes.append(encoded)
        with np.errstate(over="ignore"):
            ranges.append(np.ldexp([low, high], one.exponent))
            values.append(np.ldexp(one.contributions.sum(), one.exponent))
    return {
        "contributions": np.concatenate(codes),
        "ranges": np.concatenate(ranges),
        "values": np.array(values, np.float64),
    }


def _index_type(x: Activations) -> type[np.uint8] | type[np.uint16] | type[np.uint32]:
    """Return a type for positions from 1, and 0 for none."""
    largest = int(x.positions.max())
    return np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32
