# SPDX-License-Identifier: Apache-2.0
"""The two networks, layer by layer: what they share, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paper.datasets import Dataset
from paper.design import CONFIDENCE, PAIR_RESAMPLES, PERMUTATIONS, SHOWN_KERNEL
from paper.representations import Layer, Network, record_layers
from paper.tables import Row
from simplugins import Activations, decouple


def evaluate_networks(data: Dataset, networks: Sequence[Network]) -> list[Row]:
    """Decouple the layers of two networks, pair by pair, with whole groups of inputs resampled."""
    first, second = ((network.layers, record_layers(data, network)) for network in networks)
    return [
        _decoupled(data, (a, b), (first[1][a.module], second[1][b.module]))
        for a, b in zip(first[0], second[0], strict=True)
    ]


def _decoupled(data: Dataset, layers: tuple[Layer, Layer], maps: tuple[Activations, Activations]) -> dict[str, Any]:
    inputs = data.fewer() if layers[0].large else data
    result = decouple(
        *maps,
        kernel=SHOWN_KERNEL,
        groups=inputs.groups,
        permutations=PERMUTATIONS,
        resamples=PAIR_RESAMPLES,
        confidence=CONFIDENCE,
    )
    return {
        "layers": [vars(layer) for layer in layers],
        "inputs": len(inputs),
        "method": result.method,
        "results": {row.pop("name"): row for row in result.table()},
    }
