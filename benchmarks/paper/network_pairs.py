# SPDX-License-Identifier: Apache-2.0
"""The two networks, layer by layer: what they share, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from paper.datasets import Dataset
from paper.design import CONFIDENCE, PAIR_RESAMPLES, PERMUTATIONS, SHOWN_KERNEL
from paper.representations import Layer, Network, record_layers
from paper.tables import Row
from simplugins import Activations, decouple


def evaluate_networks(data: Dataset, networks: Sequence[Network]) -> list[Row]:
    """Decouple the layers of two networks, pair by pair, with whole groups of inputs resampled.

    Layers with the largest maps are left out.
    """
    small = [replace(network, layers=[layer for layer in network.layers if not layer.large]) for network in networks]
    first, second = ((network.layers, record_layers(data, network)) for network in small)
    return [
        _decoupled(data, (a, b), (first[1][a.module], second[1][b.module]))
        for a, b in zip(first[0], second[0], strict=True)
    ]


def _decoupled(data: Dataset, layers: tuple[Layer, Layer], maps: tuple[Activations, Activations]) -> dict[str, Any]:
    result = decouple(
        *maps,
        kernel=SHOWN_KERNEL,
        groups=data.groups,
        permutations=PERMUTATIONS,
        resamples=PAIR_RESAMPLES,
        confidence=CONFIDENCE,
    )
    return {
        "layers": [vars(layer) for layer in layers],
        "inputs": len(data),
        "method": result.method,
        "results": {row.pop("name"): row | {"calibrated": row.pop("score")} for row in result.table()},
    }
