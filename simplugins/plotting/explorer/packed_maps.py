# SPDX-License-Identifier: Apache-2.0
"""RSMs packed for the page, with the order of their inputs by clustering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.plotting.explorer.explored_layers import ExploredLayer
from simplugins.plotting.explorer.explored_measures import ExploredMeasure
from simplugins.plotting.explorer.packed_sections import Sections, encode
from simplugins.rsm.rsm import RSM

_SHARE = 0.4
"""Share of the file up to which similarities have 16 bits."""
_BASE64 = 4 / 3


def pack_rsms(
    sections: Sections, layers: Sequence[ExploredLayer], measures: Sequence[ExploredMeasure], room: float
) -> tuple[list[list[dict[str, Any]]], int]:
    """Store the RSMs of all layers and measures.

    Returns
    -------
    list of lists of dict, int
        For each layer and measure the stored RSM, or the ``reason`` why there is none; and the bits of a similarity.
    """
    count, number = len(layers[0]), sum(len(layer.rsms) for layer in layers)
    bits = 16 if number * count**2 * _BASE64 <= _SHARE * room else 8
    maps = []
    for layer in layers:
        entries: list[dict[str, Any]] = []
        for measure in measures:
            rsm = layer.rsms.get(measure.name)
            stored = {"reason": layer.unavailable[measure.name]} if rsm is None else _packed(sections, rsm, bits)
            entries.append(stored)
        maps.append(entries)
    return maps, bits


def _packed(sections: Sections, rsm: RSM, bits: int) -> dict[str, Any]:
    values = rsm.values
    symmetric = np.allclose(values, values.T, equal_nan=True)
    pairs = values[np.triu_indices(len(values), 1)] if symmetric else values[~np.eye(len(values), dtype=np.bool_)]
    codes, low, high = encode(pairs, bits)
    arrays = {"codes": codes, "diagonal": np.ascontiguousarray(values.diagonal()), "order": clustered(values)}
    facts = {"low": low, "high": high, "bits": bits, "symmetric": symmetric}
    return {**facts, **sections.add(arrays)}


def clustered(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return an order of the inputs in which similar ones are neighbours: average linkage of the similarities."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(values) < 3:
        return np.arange(len(values), dtype=np.uint16)
    finite = np.where(np.isfinite(values), values, np.nan)
    similarities = np.where(np.isnan(finite), np.nanmin(finite) if np.isfinite(finite).any() else 0.0, finite)
    scale = abs(similarities).max() or 1.0
    distances = (similarities.max() / scale) - (similarities / scale + similarities.T / scale) / 2
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(np.maximum(distances, 0), checks=False), "average")
    return np.asarray(leaves_list(tree), np.uint16)
