# SPDX-License-Identifier: Apache-2.0
"""Small pictures of inputs, each stored once in a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.reporting.html_elements import element

SIDE = 96
"""Longest side of a thumbnail in pixels."""


class Thumbnails:
    """Small pictures of inputs.

    Parameters
    ----------
    images : list of (height, width, 3) or (height, width) uint8 arrays
    """

    def __init__(self, images: list[NDArray[np.uint8]]) -> None:
        self._images = images
        self._used: set[int] = set()

    def __len__(self) -> int:
        return len(self._images)

    def show(self, number: int, text: str, style: str = "") -> str:
        """Return HTML that shows an input; `definitions` has the picture itself.

        Parameters
        ----------
        number : int
        text : str
            Alternative text.
        style : str, optional
            A class of the page's style sheet.
        """
        self._used.add(number)
        use = element("use", href=f"#input-{number}")
        content = element("title", text) + use
        return element("svg", content, role="img", viewBox="0 0 1 1", **{"class": f"thumbnail {style}".strip()})

    def definitions(self) -> str:
        """Return HTML that defines the pictures that have been shown."""
        symbols = [
            element("image", id=f"input-{n}", width="1", height="1", href=_data_url(self._images[n]))
            for n in sorted(self._used)
        ]
        if not symbols:
            return ""
        return element("svg", element("defs", "".join(symbols)), width="0", height="0", aria_hidden="true", **_HIDDEN)


_HIDDEN = {"class": "definitions"}


def read_thumbnails(images: Any) -> Thumbnails | None:
    """Read images as thumbnails; None for None.

    Raises
    ------
    ValueError
        If an image is no (height, width, 3) or (height, width) array of uint8, or of floats from 0 to 1.
    """
    if images is None:
        return None
    return Thumbnails([_thumbnail(number, image) for number, image in enumerate(_each(images))])


def _each(images: Any) -> Sequence[Any]:
    with error_prefix("images"):
        return images if isinstance(images, list | tuple) else list(arrays.unmasked(images))


def _thumbnail(number: int, image: Any) -> NDArray[np.uint8]:
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[-1] in (1, 4):
        array = array[..., :3] if array.shape[-1] == 4 else array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] != 3) or not array.size:
        raise ValueError(
            f"images[{number}]: expected (height, width, 3) or (height, width), got shape {array.shape}; for tensors "
            f"with channels first, pass images.permute(0, 2, 3, 1)"
        )
    step = max(1, -(-max(array.shape[:2]) // SIDE))
    array = _reduced(array, step)
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        return np.asarray((array * 255).round(), np.uint8)
    raise ValueError(
        f"images[{number}]: expected uint8, or floats from 0 to 1, got {array.dtype} from {array.min():g} to "
        f"{array.max():g}: pass the images before they are normalised for the network"
    )


def _reduced(array: NDArray[Any], step: int) -> NDArray[Any]:
    """Return an image with the means of blocks of pixels."""
    height, width = (size // step * step for size in array.shape[:2])
    if step == 1 or not height or not width:
        return array[:: max(1, step), :: max(1, step)]
    squares = array[:height, :width].reshape(height // step, step, width // step, step, *array.shape[2:])
    means = squares.mean((1, 3))
    return np.asarray(means.round().astype(np.uint8) if array.dtype == np.uint8 else means)


def _data_url(image: NDArray[np.uint8]) -> str:
    from matplotlib.image import imsave

    file = BytesIO()
    if image.ndim == 2:
        imsave(file, image, cmap="gray", vmin=0, vmax=255, format="jpg", pil_kwargs={"quality": 85})
    else:
        imsave(file, image, format="jpg", pil_kwargs={"quality": 85})
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
