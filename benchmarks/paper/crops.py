# SPDX-License-Identifier: Apache-2.0
"""Crops of photographs: overlapping ones, disjoint ones, and ones that are shifted more and more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paper.datasets import Dataset
from paper.photographs import Array, Photograph

OVERLAPPING, OVERLAPPING_SHARE = 5, 0.6
"""How many crops of a photograph, and their side as a share of its shorter side."""

DISJOINT = 4
"""The quadrants of the largest square in the middle of a photograph."""

SHIFTS = np.array([0, 1, 4, 9, 11]) / 11
"""Where crops start, in their sides: the marks of a Golomb ruler, so that each two have another shift."""

SHIFTS_BETWEEN = len(SHIFTS) * (len(SHIFTS) - 1) // 2

FEW_OF_A_PHOTOGRAPH = 2
EACH_OF_FEW = 3
"""Where maps are large, shifted crops are of every third photograph, and others, two each, of those between."""


def overlapping(photographs: Sequence[Photograph]) -> Dataset:
    """Cut squares at random places of each photograph; most overlap."""
    rng = np.random.default_rng(11)
    images = []
    for photograph in photographs:
        side = int(OVERLAPPING_SHARE * photograph.shorter_side)
        images += [random_square(photograph, side, rng) for _ in range(OVERLAPPING)]
    return _of_photographs("overlapping crops", photographs, images, OVERLAPPING)


def disjoint(photographs: Sequence[Photograph]) -> Dataset:
    """Cut the quadrants of each photograph's middle; of few, those on a diagonal."""
    images = []
    for photograph in photographs:
        side = photograph.shorter_side // 2
        top, left = (int(length - 2 * side) // 2 for length in photograph.pixels.shape[:2])
        corners = ((0, 0), (side, side), (0, side), (side, 0))
        images += [photograph.square(top + row, left + column, side) for row, column in corners]
    return _of_photographs("disjoint crops", photographs, images, DISJOINT)


def shifted(photographs: Sequence[Photograph]) -> Dataset:
    """Cut squares of half the shorter side along the longer side of each photograph, at growing shifts."""
    images, places = [], []
    for photograph in photographs:
        height, width = photograph.pixels.shape[:2]
        side, sideways = photograph.shorter_side // 2, width >= height
        middle = (photograph.shorter_side - side) // 2
        start = (max(height, width) - 2 * side) // 2
        for shift in np.round(SHIFTS * side).astype(int):
            row, column = (middle, start + shift) if sideways else (start + shift, middle)
            images.append(photograph.square(row, column, side))
            places.append((row / side, column / side))
    crops = _of_photographs("shifted crops", photographs, images, len(SHIFTS), np.array(places))
    few = np.flatnonzero(crops.groups % EACH_OF_FEW == 0)
    return Dataset(**{**vars(crops), "few": few})


def any_crops(photographs: Sequence[Photograph], count: int) -> list[Array]:
    """Cut squares of 40 to 90 % of the shorter side, each at a random place of a random photograph."""
    rng = np.random.default_rng(0)
    images = []
    for number in rng.integers(len(photographs), size=count):
        photograph = photographs[int(number)]
        side = int(rng.uniform(0.4, 0.9) * photograph.shorter_side)
        images.append(random_square(photograph, side, rng))
    return images


def random_square(photograph: Photograph, side: int, rng: np.random.Generator) -> Array:
    """Cut a square at a random place."""
    height, width = photograph.pixels.shape[:2]
    return photograph.square(
        int(rng.integers(height - side, endpoint=True)), int(rng.integers(width - side, endpoint=True)), side
    )


def _of_photographs(
    name: str,
    photographs: Sequence[Photograph],
    images: Sequence[Array],
    each: int,
    places: NDArray[np.float64] | None = None,
) -> Dataset:
    """Return crops, as many of each photograph, labelled by its name."""
    groups = np.repeat(np.arange(len(photographs)), each)
    return Dataset(
        name=name,
        images=images,
        labels=[frozenset([photographs[int(group)].name]) for group in groups],
        groups=groups,
        shown=np.array([photographs[int(group)].shown for group in groups]),
        few=np.flatnonzero((np.arange(len(groups)) % each < FEW_OF_A_PHOTOGRAPH) & (groups % EACH_OF_FEW > 0)),
        places=places,
    )
