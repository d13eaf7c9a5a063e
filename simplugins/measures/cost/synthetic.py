# SPDX-License-Identifier: Apache-2.0
"""Synthetic activations of any size that are about as hard to match as real ones."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from simplugins.data import load_photos

DETAIL = 0.4
"""Noise that replaces the detail lost by resampling, relative to each channel's standard deviation. With it, matching
takes 0.8 to 1.1 times as long as for real maps of 25 to 3,136 positions."""

_DEEP_POSITIONS, _SHALLOW_CHANNELS = 98, 112
"""Synthetic activations with at most this many positions (midway between 49 and 196) and more than this many channels
are made from the deeper of the bundled layers."""


def synthetic_activations(count: int, positions: int, channels: int) -> NDArray[np.float32]:
    """Make activations of a given size that are about as hard to match as real ones.

    The bundled responses of a network to photographs (112 channels, 14 × 14 positions; for small maps of more channels
    320 of 7 × 7) are resampled bilinearly to a map of that many positions, as square as possible. Fewer channels are
    drawn from all, more channels are random mixtures. Noise (`DETAIL`), different for each input, replaces the detail
    that resampling loses, and makes more inputs out of 24.

    Parameters
    ----------
    count, positions, channels : int
        N, S and C.

    Returns
    -------
    (N, S, C) float32 array
        A view of an array (N, C, S), as a network's maps are. The same for the same numbers.

    Examples
    --------
    >>> synthetic_activations(3, 50, 8).shape
    (3, 50, 8)
    """
    rng = np.random.default_rng(0)
    deep = positions <= _DEEP_POSITIONS and channels > _SHALLOW_CHANNELS
    maps = _channels(_photographs("block15" if deep else "block10"), channels, rng)
    height = math.isqrt(positions)
    width = math.ceil(positions / height)
    rows, columns = (_resampling(old, new) for old, new in zip(maps.shape[2:], (height, width), strict=True))
    resampled = (rows @ maps @ columns.T).reshape(*maps.shape[:2], -1)[:, :, :positions]
    deviations = maps.std((0, 2, 3))[:, None]
    noise = rng.standard_normal((count, channels, positions), np.float32)
    noise *= np.float32(DETAIL) * deviations
    noise += np.resize(resampled, noise.shape)
    return noise.transpose(0, 2, 1)


@cache
def _photographs(layer: str) -> NDArray[np.float32]:
    """Return the bundled maps of a layer, ordered so that the first ones show different photographs."""
    photos = load_photos()
    order = np.argsort(np.arange(len(photos["photo"])) % 4, kind="stable")  # 4 crops of each
    return photos[layer][order].astype(np.float32)


def _channels(maps: NDArray[np.float32], channels: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return some of the channels, or random mixtures of all if more are needed."""
    available = maps.shape[1]
    if channels <= available:
        return maps[:, np.sort(rng.choice(available, channels, replace=False))]
    mixing = rng.standard_normal((channels, available), np.float32) / np.float32(math.sqrt(channels))
    mixed = mixing @ maps.reshape(len(maps), available, -1)
    return np.asarray(mixed.reshape(len(maps), channels, *maps.shape[2:]), np.float32)


def _resampling(old: int, new: int) -> NDArray[np.float32]:
    """Return the (new, old) weights of linear interpolation between the centres of cells.

    Examples
    --------
    >>> _resampling(2, 4)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]], dtype=float32)
    """
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    distances = np.abs(places[:, None] - np.arange(old)[None, :])
    return np.asarray(np.maximum(0, 1 - distances), np.float32)
