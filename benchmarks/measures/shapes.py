# SPDX-License-Identifier: Apache-2.0
"""Generated images of coloured shapes on textured backgrounds, and changes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 32
SHAPES = ("disk", "square", "triangle", "cross")
COLOURS = np.array([[0.9, 0.2, 0.2], [0.2, 0.8, 0.3], [0.25, 0.4, 0.95], [0.95, 0.85, 0.2]], np.float32)
OBJECTS = 3
PATCHES = 4
"""Number of patches of a side of an image when patches are shuffled."""

_CELLS = 2
"""Objects stand in different cells of a grid of this side, at random places within them, so they do not overlap."""

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Scenes:
    """What images show, without the places of the objects.

    Attributes
    ----------
    shapes, colours : (N, OBJECTS) int arrays
        The shape and colour of each object.
    radii : (N, OBJECTS) float array
        Half the side of each object, in pixels.
    textures : (N, 6) float array
        Horizontal and vertical frequency, contrast and colour of the background.
    """

    shapes: NDArray[np.int64]
    colours: NDArray[np.int64]
    radii: NDArray[np.float64]
    textures: NDArray[np.float64]

    @property
    def shape_labels(self) -> NDArray[np.float32]:
        """(N, 4): which shapes occur."""
        return presence(self.shapes)

    @property
    def colour_labels(self) -> NDArray[np.float32]:
        """(N, 4): which colours occur."""
        return presence(self.colours)


def presence(kinds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return which of four kinds occur in each row.

    Examples
    --------
    >>> presence(np.array([[0, 2, 2]]))
    array([[1., 0., 1., 0.]], dtype=float32)
    """
    occurs: NDArray[np.bool_] = (kinds[:, :, None] == np.arange(4)).any(1)
    return occurs.astype(np.float32)


def draw_scenes(count: int, rng: np.random.Generator, *, tied: bool = False) -> Scenes:
    """Draw what images show; with `tied`, each shape always has the same colour."""
    shapes = rng.integers(4, size=(count, OBJECTS))
    colours = rng.integers(4, size=(count, OBJECTS))
    frequencies = rng.uniform(-0.9, 0.9, (count, 2))
    textures = np.hstack([frequencies, rng.uniform(0.03, 0.12, (count, 1)), rng.uniform(0.3, 0.6, (count, 3))])
    return Scenes(shapes, shapes.copy() if tied else colours, rng.uniform(4.5, 6.5, (count, OBJECTS)), textures)


def render(scenes: Scenes, rng: np.random.Generator) -> Images:
    """Draw images, (N, 3, SIDE, SIDE), with objects at random places and textures with random phases."""
    count = len(scenes.shapes)
    axis = np.arange(SIDE, dtype=np.float64)
    horizontal, vertical, contrast = (scenes.textures[:, i, None, None] for i in range(3))
    phases = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    waves = contrast * np.sin(vertical * axis[:, None] + horizontal * axis + phases)
    images = scenes.textures[:, 3:, None, None] + waves[:, None] + rng.normal(0, 0.03, (count, 3, SIDE, SIDE))
    cells = np.argsort(rng.random((count, _CELLS**2)), axis=1)[:, :OBJECTS]
    for number in range(OBJECTS):
        radius = scenes.radii[:, number]
        corner = np.stack(np.divmod(cells[:, number], _CELLS), axis=1) * (SIDE / _CELLS)
        slack = SIDE / _CELLS - 2 * radius[:, None]
        centre = corner + radius[:, None] + slack * rng.random((count, 2))
        down, right = (axis - centre[:, i, None] for i in range(2))
        covered = covers(scenes.shapes[:, number], down[:, :, None], right[:, None, :], radius[:, None, None])
        colour = COLOURS[scenes.colours[:, number]][:, :, None, None]
        images = np.where(covered[:, None], colour, images)
    return np.ascontiguousarray(np.clip(images, 0, 1), dtype=np.float32)


def covers(
    shapes: NDArray[np.int64], down: NDArray[np.float64], right: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which pixels each object covers, given their offsets from its centre."""
    across, along = np.abs(right), np.abs(down)
    masks = (
        down**2 + right**2 <= radius**2,
        np.maximum(across, along) <= 0.85 * radius,
        (along <= radius) & (across <= (down + radius) / 2),
        (np.minimum(across, along) <= 0.3 * radius) & (np.maximum(across, along) <= radius),
    )
    return np.select([(shapes == number)[:, None, None] for number in range(len(SHAPES))], masks)


def shuffle_patches(images: Images, rng: np.random.Generator, *, same: bool) -> Images:
    """Permute the patches of each image: all images in the `same` way, or each in its own."""
    count, channels, side = len(images), images.shape[1], SIDE // PATCHES
    patches = images.reshape(count, channels, PATCHES, side, PATCHES, side).transpose(0, 2, 4, 1, 3, 5)
    patches = patches.reshape(count, PATCHES**2, channels, side, side)
    keys = rng.random((1 if same else count, PATCHES**2))
    orders = np.broadcast_to(np.argsort(keys, axis=1), (count, PATCHES**2))
    shuffled = patches[np.arange(count)[:, None], orders].reshape(count, PATCHES, PATCHES, channels, side, side)
    return np.ascontiguousarray(shuffled.transpose(0, 3, 1, 4, 2, 5).reshape(images.shape))


def mark_corner(images: Images, labels: NDArray[np.float32]) -> Images:
    """Write the four labels of each image into its top left corner, as black or white squares of 2 × 2 pixels."""
    marked = images.copy()
    squares = labels.reshape(-1, 2, 2).repeat(2, axis=1).repeat(2, axis=2)
    marked[:, :, :4, :4] = squares[:, None]
    return marked
