# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbours in place of RSMs, for pages of many inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.comparing import resolve_method
from simplugins.comparisons.neighbourhoods.neighbour_lists import Neighbourhoods
from simplugins.evaluation.searching.neighbours import search
from simplugins.measures.computation import compute_rsm
from simplugins.plotting.explorer.explored_layers import NOT_COMPUTED, ExploredLayer, ReadingOptions, rsm_options
from simplugins.plotting.explorer.explored_measures import ExploredMeasure
from simplugins.plotting.explorer.packed_sections import Sections, encode
from simplugins.plotting.explorer.pair_selection import nearest_columns

MOST_INPUTS = 500
"""Number of inputs up to which a page has whole RSMs."""
_BLOCK = 256
"""Inputs whose similarities to all others are computed at a time."""
_SEARCHED = ("semantic-linear", "semantic-cosine")
_METHOD = "mutual-knn"


@dataclass(frozen=True)
class NearestInputs:
    """The k nearest neighbours of each input.

    Attributes
    ----------
    indices : (N, k) int64 array
        Nearest first.
    similarities : (N, k) float64 array
    """

    indices: NDArray[np.int64]
    similarities: NDArray[np.float64]


def compute_neighbours(
    layers: Sequence[ExploredLayer],
    measures: Sequence[ExploredMeasure],
    options: ReadingOptions,
    *,
    required: Collection[str],
    k: int,
) -> dict[tuple[str, str], NearestInputs]:
    """Find the neighbours of all inputs by layer and measure; errors as for `explored_layers.compute_rsms`.

    Notes
    -----
    Linear and cosine semantic measures are searched with bounds. Others compute the RSM in blocks of rows, each pair
    twice, so that memory grows with N k rather than N^2.
    """
    lists = {}
    for layer in layers:
        for measure in measures:
            if layer.activations is None and measure.name not in layer.rsms:
                layer.unavailable[measure.name] = NOT_COMPUTED
                continue
            try:
                lists[layer.name, measure.name] = _neighbours(layer, measure, options, min(k, len(layer) - 1))
            except ValueError as error:
                if measure.name in required:
                    raise ValueError(f"layer {layer.name!r}, {measure.name}: {error}") from error
                layer.unavailable[measure.name] = str(error)
    return lists


def _neighbours(layer: ExploredLayer, measure: ExploredMeasure, options: ReadingOptions, k: int) -> NearestInputs:
    if measure.name not in layer.rsms:
        if measure.measure.endswith("-rbf"):
            raise ValueError(f"its bandwidth needs all pairs, and a page has those of at most {MOST_INPUTS} inputs")
        if measure.measure in _SEARCHED and not measure.options and options.preparation.of_sets is None:
            title = f"{layer.name}, {measure.name}" if options.progress else False
            result = search(layer.activations, k=k, measure=measure.measure, threads=options.threads, progress=title)
            return NearestInputs(result.indices, result.similarities)
    indices, similarities = [], []
    for start, values in _blocks(layer, measure, options):
        values[np.arange(len(values)), start + np.arange(len(values))] = np.nan  # an input is no neighbour of itself
        nearest = nearest_columns(values, k)
        indices.append(nearest)
        similarities.append(np.take_along_axis(values, nearest, 1))
    return NearestInputs(np.concatenate(indices), np.concatenate(similarities))


def _blocks(
    layer: ExploredLayer, measure: ExploredMeasure, options: ReadingOptions
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the first input and the similarities to all inputs of blocks of rows."""
    x = layer.activations
    for start in range(0, len(layer), _BLOCK):
        stop = min(start + _BLOCK, len(layer))
        if measure.name in layer.rsms:
            yield start, np.array(layer.rsms[measure.name][start:stop, :])
        else:
            assert x is not None
            keywords = rsm_options(layer, measure, options)
            yield start, compute_rsm(x.part(start, stop), measure.measure, other=x, **keywords).values


def neighbour_table(
    layers: Sequence[ExploredLayer],
    measures: Sequence[ExploredMeasure],
    lists: dict[tuple[str, str], NearestInputs],
) -> dict[str, Any]:
    """Compare all lists by the share of neighbours in common; see `explored_layers.comparison_table`."""
    method: Any = resolve_method(_METHOD)
    known = [lists.get((layer.name, measure.name)) for layer in layers for measure in measures]
    values = [[None if a is None or b is None else _shared(method, a, b) for b in known] for a in known]
    return {"method": f"{_METHOD} of these neighbours", "larger": True, "values": values}


def _shared(method: Any, a: NearestInputs, b: NearestInputs) -> float:
    sized = replace(method, k=a.indices.shape[1])
    return round(float(sized.score(*(Neighbourhoods.from_lists(side.indices) for side in (a, b)))), 6)


def pack_neighbours(
    sections: Sections,
    layers: Sequence[ExploredLayer],
    measures: Sequence[ExploredMeasure],
    lists: dict[tuple[str, str], NearestInputs],
) -> list[list[dict[str, Any]]]:
    """Store all lists; return for each layer and measure the stored one, or the ``reason`` why there is none."""

    def entry(layer: ExploredLayer, measure: ExploredMeasure) -> dict[str, Any]:
        found = lists.get((layer.name, measure.name))
        if found is None:
            return {"reason": layer.unavailable[measure.name]}
        codes, low, high = encode(found.similarities, 16)
        arrays = {"codes": codes.ravel(), "near": found.indices.ravel().astype(np.uint32)}
        return {"low": low, "high": high, "bits": 16, **sections.add(arrays)}

    return [[entry(layer, measure) for measure in measures] for layer in layers]
