# SPDX-License-Identifier: Apache-2.0
"""Real activations for the demo and the tests; README.md in this folder states their origin."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray


def load_photos() -> dict[str, NDArray[Any]]:
    """Load activations of EfficientNet-Lite0 for 24 crops, four overlapping ones from each of six photographs.

    Returns
    -------
    dict of str to array
        ``block10`` (24, 112, 14, 14) and ``block15`` (24, 320, 7, 7): outputs of two of the network's blocks, float16.
        ``probabilities`` (24, 1000), float16. ``photo`` (24,): number of the photograph; ``photo_names`` (6,).
        ``boxes`` (24, 3): row, column and side of each crop in its photograph, in pixels. ``thumbnails``
        (24, 96, 96, 3), uint8; those of one photograph are blank.

    Examples
    --------
    >>> load_photos()["block15"].shape
    (24, 320, 7, 7)
    """
    with (
        as_file(files(__name__) / "efficientnet_lite0_photos.npz") as path,
        np.load(path, allow_pickle=False) as archive,
    ):
        return dict(archive)
