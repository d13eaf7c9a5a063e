# SPDX-License-Identifier: Apache-2.0
"""Small pictures of inputs, each stored once in a page."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.plotting.explorer.input_images import image_url, read_images, shrunk
from simplugins.reporting.html_elements import element
from simplugins.reporting.html_elements import text as escaped

SIDE = 96
"""Longest side of a thumbnail in pixels."""


class Thumbnails:
    """Small pictures of inputs.

    Parameters
    ----------
    images : list of (height, width, 3) uint8 arrays
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
        content = element("title", escaped(text)) + use
        return element("svg", content, role="img", viewBox="0 0 1 1", **{"class": f"thumbnail {style}".strip()})

    def definitions(self) -> str:
        """Return HTML that defines the pictures that have been shown."""
        symbols = [
            element("image", id=f"input-{n}", width="1", height="1", href=image_url(self._images[n]))
            for n in sorted(self._used)
        ]
        if not symbols:
            return ""
        return element("svg", element("defs", "".join(symbols)), width="0", height="0", aria_hidden="true", **_HIDDEN)


_HIDDEN = {"class": "definitions"}


def read_thumbnails(images: Any) -> Thumbnails | None:
    """Read images as thumbnails; None for None.

    Parameters
    ----------
    images : array, sequence, or None
        As for `simplugins.explore`.

    Raises
    ------
    TypeError, ValueError
        If an image has no valid shape or values.
    """
    if images is None:
        return None
    return Thumbnails([shrunk(image, SIDE) for image in read_images(images)])
