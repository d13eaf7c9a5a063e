# SPDX-License-Identifier: Apache-2.0
"""The photographs in the wheels of scikit-image and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from make_demo_data import PHOTOS
from numpy.typing import NDArray
from skimage import data
from sklearn.datasets import load_sample_image

from paper.design import RIGHTS_NOT_STATED

Array = NDArray[Any]

_FROM_SCIKIT_IMAGE: dict[str, Callable[[], Array]] = {
    **PHOTOS,
    "retina": data.retina,
    "immunohistochemistry": data.immunohistochemistry,
    "colorwheel": data.colorwheel,
    "camera": data.camera,
    "coins": data.coins,
    "moon": data.moon,
    "page": data.page,
    "clock": data.clock,
    "brick": data.brick,
    "grass": data.grass,
    "gravel": data.gravel,
}
_FROM_SCIKIT_LEARN = ("china", "flower")


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph.

    Attributes
    ----------
    name : str
    pixels : (H, W, 3) uint8 array
    """

    name: str
    pixels: Array

    @property
    def shown(self) -> bool:
        """Whether figures may show it."""
        return self.name not in RIGHTS_NOT_STATED

    @property
    def detail(self) -> float:
        """Mean absolute difference between vertically adjacent pixels."""
        return float(np.abs(np.diff(self.pixels.astype(np.int16), axis=0)).mean())

    @property
    def shorter_side(self) -> int:
        """Length of the shorter side in pixels."""
        return int(min(self.pixels.shape[:2]))

    def square(self, row: int, column: int, side: int) -> Array:
        """Return a square crop."""
        return self.pixels[row : row + side, column : column + side]


def load_photographs() -> list[Photograph]:
    """Read all photographs, with three equal channels for greyscale ones, sorted by decreasing detail.

    The order saves time on large maps: exact matching is faster if the plainer of two inputs comes second.
    """
    pixels = {name: read() for name, read in _FROM_SCIKIT_IMAGE.items()}
    pixels |= {name: load_sample_image(f"{name}.jpg") for name in _FROM_SCIKIT_LEARN}
    photographs = [Photograph(name, _as_color(image)) for name, image in pixels.items()]
    return sorted(photographs, key=lambda photograph: -photograph.detail)


def _as_color(pixels: Array) -> Array:
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., :3]
