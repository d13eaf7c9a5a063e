# SPDX-License-Identifier: Apache-2.0
"""Affinities of EfficientNet-Lite0's layers for crops of photographs."""

from __future__ import annotations

import numpy as np
from inputs import load_layer
from numpy.typing import NDArray

Matrix = NDArray[np.floating]

LAYERS = {49: "block15", 196: "block10", 784: "block4", 3136: "block2"}


def efficientnet(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Inner products of two crops in the smallest layer with enough positions, or of equally many of its positions.

    One more position than a layer has is the mean of all, as a class token would be.
    """
    size = max(rows, cols)
    layer = next((name for positions, name in LAYERS.items() if positions + 1 >= size), LAYERS[3136])
    activations = load_layer(layer)
    first, second = rng.choice(len(activations), 2, replace=False)
    x, y = _some(rng, activations[first], rows), _some(rng, activations[second], cols)
    return x @ y.T


def _some(rng: np.random.Generator, vectors: Matrix, count: int) -> Matrix:
    """Return `count` vectors in order: at random, or all; and then copies, of which the first is the mean."""
    if count <= len(vectors):
        return vectors[np.sort(rng.choice(len(vectors), count, replace=False))]
    more = vectors[rng.integers(0, len(vectors), count - len(vectors) - 1)]
    return np.concatenate([vectors, vectors.mean(0, keepdims=True), more])
