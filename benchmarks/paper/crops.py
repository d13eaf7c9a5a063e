# SPDX-License-Identifier: Apache-2.0
"""Crops of photographs: overlapping, disjoint, and shifted by increasing distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paper.datasets import Dataset
from paper.design import DISJOINT, DISJOINT_CROPS, OVERLAPPING, OVERLAPPING_CROPS, OVERLAPPING_SHARE, SHIFTED
from paper.photographs import Array, Photograph

SHIFTS = np.array([0, 1, 4, 9, 11]) / 11
"""Offsets of the crops, in units of their side: the marks of a Golomb ruler, so that no two shifts are equal."""

SHIFTS_BETWEEN = len(SHIFTS) * (len(SHIFTS) - 1) // 2

CROPS_IF_FEW = 2
STEP_IF_FEW = 3
"""For large maps, shifted crops come from every third photograph, and the other crops, two each, from the rest."""


def overlapping(photographs: Sequence[Photograph]) -> Dataset:
    """Cut random squares from each photograph; most of them overlap."""
    rng = np.random.default_rng(11)
    images = []
    for photograph in photographs:
        side = int(OVERLAPPING_SHARE * photograph.shorter_side)
        images += [random_square(photograph, side, rng) for _ in range(OVERLAPPING_CROPS)]
    return _labelled(OVERLAPPING, photographs, images, OVERLAPPING_CROPS)


def disjoint(photographs: Sequence[Photograph]) -> Dataset:
    """Cut the quadrants of the middle of each photograph, the two on a diagonal first."""
    images = []
    for photograph in photographs:
        side = photograph.shorter_side // 2
        top, left = (int(length - 2 * side) // 2 for length in photograph.pixels.shape[:2])
        corners = ((0, 0), (side, side), (0, side), (side, 0))
        images += [photograph.square(top + row, left + column, side) for row, column in corners]
    return _labelled(DISJOINT, photographs, images, DISJOINT_CROPS)


def shifted(photographs: Sequence[Photograph]) -> Dataset:
    """Cut squares with half the shorter side, shifted by increasing distances along the longer side."""
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
    crops = _labelled(SHIFTED, photographs, images, len(SHIFTS), np.array(places))
    few = np.flatnonzero(crops.groups % STEP_IF_FEW == 0)
    return Dataset(**{**vars(crops), "few": few})


def random_crops(photographs: Sequence[Photograph], count: int) -> list[Array]:
    """Cut random squares, with 40 to 90 % of the shorter side, from random photographs."""
    rng = np.random.default_rng(0)
    images = []
    for number in rng.integers(len(photographs), size=count):
        photograph = photographs[int(number)]
        side = int(rng.uniform(0.4, 0.9) * photograph.shorter_side)
        images.append(random_square(photograph, side, rng))
    return images


def random_square(photograph: Photograph, side: int, rng: np.random.Generator) -> Array:
    """Cut a random square."""
    height, width = photograph.pixels.shape[:2]
    return photograph.square(
        int(rng.integers(height - side, endpoint=True)), int(rng.integers(width - side, endpoint=True)), side
    )


def _labelled(
    name: str,
    photographs: Sequence[Photograph],
    images: Sequence[Array],
    crops: int,
    places: NDArray[np.float64] | None = None,
) -> Dataset:
    """Return `crops` crops per photograph as a data set, with its name as their label."""
    groups = np.repeat(np.arange(len(photographs)), crops)
    return Dataset(
        name=name,
        images=images,
        labels=[frozenset([photographs[int(group)].name]) for group in groups],
        groups=groups,
        shown=np.array([photographs[int(group)].shown for group in groups]),
        few=np.flatnonzero((np.arange(len(groups)) % crops < CROPS_IF_FEW) & (groups % STEP_IF_FEW > 0)),
        places=places,
    )
