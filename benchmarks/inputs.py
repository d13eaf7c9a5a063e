# SPDX-License-Identifier: Apache-2.0
"""The activations that benchmarks use: outputs of EfficientNet-Lite0's blocks for crops of photographs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simplugins.data import load_photos

if TYPE_CHECKING:
    from competitors import Activations

ROOT = Path(__file__).resolve().parent.parent
FILES = {
    "block2": ROOT / "benchmarks" / "data" / "efficientnet_lite0_block2.npz",
    "block4": ROOT / "tests" / "data" / "efficientnet_lite0_block4.npz",
}
"""Layers that are not bundled with the package."""


@cache
def load_layer(layer: str) -> Activations:
    """Load the output of a block as (N, S, C), float32."""
    if layer in FILES:
        with np.load(FILES[layer], allow_pickle=False) as archive:
            maps = archive[layer]
    else:
        maps = load_photos()[layer]
    vectors = maps.reshape(*maps.shape[:2], -1).swapaxes(1, 2)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def with_copies(activations: Activations, copies: int) -> Activations:
    """Return inputs and, for more than one copy, these again with noise of a tenth of each channel's deviation."""
    rng, deviation = np.random.default_rng(0), activations.std((0, 1), dtype=np.float64)
    noisy = [
        (activations + 0.1 * deviation * rng.normal(size=activations.shape)).astype(np.float32)
        for _ in range(copies - 1)
    ]
    return np.concatenate([activations, *noisy])


def describe(activations: Activations) -> dict[str, int]:
    """Return the size of a benchmark's problem."""
    count, positions, channels = activations.shape
    return {"pairs": count * (count - 1) // 2, "positions": positions, "channels": channels}
