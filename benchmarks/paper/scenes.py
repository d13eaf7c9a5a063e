# SPDX-License-Identifier: Apache-2.0
"""Composed scenes: parts of photographs as objects, at random places and scales, on a background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from make_demo_data import scale

from paper.crops import random_square
from paper.datasets import Dataset
from paper.design import FEWEST_OBJECTS, MOST_OBJECTS, SCENES
from paper.photographs import Array, Photograph

SIDE = 320
"""Side of a scene in pixels."""

SMALLEST, LARGEST = 0.25, 0.45
"""Side of an object, relative to the scene."""

PART = (0.6, 0.95)
"""Side of the part of a photograph that becomes an object, relative to its shorter side."""

BACKGROUNDS = ("grass", "gravel")
"""Background textures of every other scene; the rest are grey. Textures are not used as objects."""

_TRIES = 1000


def compose(photographs: Sequence[Photograph], count: int, few: int) -> Dataset:
    """Compose scenes.

    Each object is a random part of its photograph, mirrored in half of the cases. Objects do not overlap. Photographs
    for which no rights are stated are left out.

    Parameters
    ----------
    photographs : sequence of Photograph
    count : int
        Number of scenes.
    few : int
        Number of scenes for layers with large maps.
    """
    rng = np.random.default_rng(23)
    named = {photograph.name: photograph for photograph in photographs}
    classes = classes_of(photographs)
    images, labels = [], []
    for number in range(count):
        names = rng.choice(
            classes, size=rng.integers(FEWEST_OBJECTS, MOST_OBJECTS, endpoint=True), replace=False
        ).tolist()
        texture = named[BACKGROUNDS[number // 2 % len(BACKGROUNDS)]] if number % 2 else None
        images.append(_scene([named[name] for name in names], texture, rng))
        labels.append(frozenset(names))
    everyone = np.arange(count)
    textured_first = np.concatenate([everyone[1:few:2], everyone[:few:2]])  # faster, as for photographs
    return Dataset(SCENES, images, labels, everyone, np.ones(count, dtype=bool), textured_first)


def classes_of(photographs: Sequence[Photograph]) -> list[str]:
    """Return the names of the photographs that serve as objects."""
    return [photograph.name for photograph in photographs if photograph.shown and photograph.name not in BACKGROUNDS]


def _scene(objects: Sequence[Photograph], texture: Photograph | None, rng: np.random.Generator) -> Array:
    canvas = _background(texture, rng)
    for photograph, (row, column, side) in zip(objects, _boxes(len(objects), rng), strict=True):
        canvas[row : row + side, column : column + side] = _object(photograph, side, rng)
    return canvas


def _background(texture: Photograph | None, rng: np.random.Generator) -> Array:
    if texture is None:
        return np.full((SIDE, SIDE, 3), rng.integers(60, 196), dtype=np.uint8)
    return random_square(texture, SIDE, rng).copy()


def _boxes(count: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Draw (row, column, side) of non-overlapping squares."""
    while True:
        boxes: list[tuple[int, int, int]] = []
        for _ in range(_TRIES):
            side = int(rng.uniform(SMALLEST, LARGEST) * SIDE)
            row, column = rng.integers(SIDE - side, size=2, endpoint=True).tolist()
            if not any(_overlap((row, column, side), other) for other in boxes):
                boxes.append((row, column, side))
            if len(boxes) == count:
                return boxes


def _overlap(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    return all(one[k] < other[k] + other[2] and other[k] < one[k] + one[2] for k in (0, 1))


def _object(photograph: Photograph, side: int, rng: np.random.Generator) -> Array:
    """Return a scaled random part of a photograph, mirrored with probability 1/2."""
    part = random_square(photograph, int(rng.uniform(*PART) * photograph.shorter_side), rng)
    small = np.round(255 * scale(part, side)).astype(np.uint8)
    return small[:, ::-1] if rng.random() < 0.5 else small
