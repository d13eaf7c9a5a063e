# SPDX-License-Identifier: Apache-2.0
"""The photographs: those in the wheels of scikit-image and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from make_demo_data import PHOTOS
from numpy.typing import NDArray
from skimage import data
from sklearn.datasets import load_sample_image

Array = NDArray[Any]

RIGHTS_NOT_STATED = ("motorcycle", "colorwheel", "moon", "page")
"""Those of which `skimage.data` says nothing of rights: numbers are made of them, but no picture shows them."""

CREDITS = "china: danielbuechele, flower: vultilion (Flickr, both CC BY 2.0, cropped and scaled)"
"""Whom the licences of photographs ask to name."""

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
        """Whether pictures may show it."""
        return self.name not in RIGHTS_NOT_STATED

    @property
    def detail(self) -> float:
        """How much neighbouring pixels differ on average."""
        return float(np.abs(np.diff(self.pixels.astype(np.int16), axis=0)).mean())

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side."""
        return int(min(self.pixels.shape[:2]))

    def square(self, row: int, column: int, side: int) -> Array:
        """Return a square part of it."""
        return self.pixels[row : row + side, column : column + side]


def load_photographs() -> list[Photograph]:
    """Read all photographs, grey ones as three equal channels, those with the most detail first.

    That order saves time where maps are large: exact matching is faster if the plainer of two inputs comes second.
    """
    found = {name: read() for name, read in _FROM_SCIKIT_IMAGE.items()}
    found |= {name: load_sample_image(f"{name}.jpg") for name in _FROM_SCIKIT_LEARN}
    photographs = [Photograph(name, _in_color(pixels)) for name, pixels in found.items()]
    return sorted(photographs, key=lambda photograph: -photograph.detail)


def _in_color(pixels: Array) -> Array:
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., :3]
