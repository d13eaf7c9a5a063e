# SPDX-License-Identifier: Apache-2.0
"""Data sets: images, their labels, and groups of images that are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from make_demo_data import BLANK, scale
from numpy.typing import NDArray

from paper.photographs import Array
from simplugins._common.threads import usable_cores

THUMBNAIL = 128
"""Side of the images in figures, in pixels."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images that networks are evaluated on.

    Attributes
    ----------
    name : str
    images : sequence of N (H, W, 3) uint8 arrays
        Square, of any size.
    labels : sequence of N sets of str
        The content of each image.
    groups : (N,) int64 array
        Images of one group are not independent, such as the crops of one photograph.
    shown : (N,) bool array
        Whether figures may show an image.
    few : (F,) int64 array
        The images to use for layers with large maps.
    places : (N, 2) float64 array, optional
        Row and column of each crop in its photograph, in units of the crop's side.
    """

    name: str
    images: Sequence[Array]
    labels: Sequence[frozenset[str]]
    groups: NDArray[np.int64]
    shown: NDArray[np.bool_]
    few: NDArray[np.int64]
    places: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def fewer(self) -> Dataset:
        """Return the images for layers with large maps."""
        return replace(
            self,
            images=[self.images[i] for i in self.few],
            labels=[self.labels[i] for i in self.few],
            groups=self.groups[self.few],
            shown=self.shown[self.few],
            few=np.arange(len(self.few)),
            places=None if self.places is None else self.places[self.few],
        )

    def thumbnails(self) -> NDArray[np.float32]:
        """Return small images for figures; those that may not be shown are grey."""
        small = scale_all(self.images, THUMBNAIL)
        small[~self.shown] = BLANK / 255
        return small


def scale_all(images: Sequence[Array], side: int) -> NDArray[np.float32]:
    """Scale images to side × side pixels on all cores; values are in 0..1."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        return np.stack(list(pool.map(lambda image: scale(image, side), images)))
