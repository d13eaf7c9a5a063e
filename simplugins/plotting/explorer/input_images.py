# SPDX-License-Identifier: Apache-2.0
"""Images of inputs as data URLs, as large as a budget of bytes permits."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix

EDGES = (256, 192, 128, 96, 64, 48, 32, 24)
"""Longer edges of thumbnails, in pixels, from the best to the smallest."""
_QUALITY = 88


def image_urls(images: Any, count: int, budget: int) -> list[str]:
    """Return one data URL per image, of the largest size whose total fits the budget.

    Parameters
    ----------
    images : array or sequence
        As for `simplugins.explore`.
    count : int
        Number of inputs.
    budget : int
        Bytes of all URLs together; the smallest thumbnails may exceed it.

    Raises
    ------
    ValueError, TypeError
        If there is not one image per input, or an image has no valid shape or values.
    """
    sequence = image_sequence(images)
    if len(sequence) != count:
        raise ValueError(f"images: expected {count} (one per input), got {len(sequence)}")
    pixels = [shrunk(image, EDGES[0]) for image in read_images(sequence)]
    urls: list[str] = []
    for edge in EDGES:
        urls = [image_url(shrunk(image, edge)) for image in pixels]
        if sum(map(len, urls)) <= budget:
            break
    return urls


def image_sequence(images: Any) -> Sequence[Any]:
    """Return images, or their paths, one by one; raises a TypeError or ValueError for a single path or image."""
    if isinstance(images, list | tuple):
        return images
    if isinstance(images, str | os.PathLike):
        raise TypeError(
            "images: expected one image per input, or their paths, got a single path; for the files of a folder, pass "
            "sorted(Path(folder).glob('*.png')) in the order of the inputs"
        )
    array = arrays.small_numpy(images) if not isinstance(images, np.ndarray) else images
    if array.ndim == 0:
        raise TypeError(f"images: expected an array, or a list of images or paths, got {type(images).__name__}")
    if array.ndim == 1 and array.dtype.kind in "OU":
        return list(array)
    if array.ndim not in (3, 4):
        raise ValueError(f"images: expected (N, H, W), (N, H, W, 3) or (N, 3, H, W), got shape {array.shape}")
    return [*array]


def read_images(images: Any) -> Iterator[NDArray[np.uint8]]:
    """Yield images one by one as (H, W, 3) bytes; errors name the number of the image."""
    for number, image in enumerate(image_sequence(images)):
        with error_prefix(f"images: image {number}"):
            yield read_image(image)


def read_image(image: Any) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) bytes.

    Parameters
    ----------
    image : array, Pillow image, or path
        (H, W), (H, W, 1), (H, W, 3), (H, W, 4), or with channels first: bytes, or numbers from 0 to 1. Transparent
        pixels are drawn on white.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no readable image, or the shape or a value is not valid.
    """
    if isinstance(image, str | os.PathLike):
        image = _opened(image)
    if hasattr(image, "getpalette"):  # of a Pillow image
        image = _without_palette(image)
    values = arrays.small_numpy(image)
    if values.ndim == 3 and values.shape[0] in (1, 3, 4) and values.shape[2] not in (1, 3, 4):
        values = values.transpose(1, 2, 0)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise ValueError(f"expected (H, W), (H, W, 3), (H, W, 4) or (3, H, W), got shape {values.shape}")
    values = _as_bytes(values)
    if values.shape[2] == 4:
        opacity = values[:, :, 3:] / 255
        values = np.rint(values[:, :, :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))


def _opened(path: str | os.PathLike[str]) -> Any:
    """Read a file as a Pillow image."""
    from PIL import Image

    if not os.path.exists(path):
        raise FileNotFoundError(f"{os.fspath(path)}: no such image")
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy()
    except Exception as error:  # damaged files raise many types
        raise ValueError(f"{os.fspath(path)} is no readable image: {type(error).__name__}: {error}") from error


def _without_palette(image: Any) -> Any:
    """Return a Pillow image in grey or RGB; one of 16 bits as numbers from 0 to 1."""
    if image.mode in ("1", "L", "RGB", "RGBA", "F"):
        return image
    if image.mode.startswith("I"):
        values = np.asarray(image)
        return values / 65535 if values.max() > 255 or image.mode != "I" else values
    is_transparent = image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if is_transparent else "RGB")


def _as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"expected bytes, or numbers from 0 to 1, got an array of {values.dtype}")
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu" and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    if values.dtype.kind == "f" and low >= 0 and high <= 1:  # False for NaN
        return np.rint(values.astype(np.float64) * 255).astype(np.uint8)
    raise ValueError(
        f"expected bytes, or numbers from 0 to 1, got {values.dtype} from {low:g} to {high:g}: {_advice(low, high)}"
    )


def _advice(low: float, high: float) -> str:
    if np.isnan(low):
        return "some are NaN"
    if low >= 0 and high <= 255:
        return "divide by 255"
    if low >= 0 and high <= 65535 and high > 1000:
        return "divide by 65535"
    return "undo the network's normalisation of colours first"


def shrunk(image: NDArray[np.uint8], edge: int) -> NDArray[np.uint8]:
    """Return an image whose longer edge is at most `edge`, by averaging areas."""
    height, width = image.shape[:2]
    scale = min(1.0, edge / max(height, width))
    if scale == 1.0:
        return image
    values = image.astype(np.float64)
    for axis, size in ((0, height), (1, width)):
        values = _averaged(values, axis, max(1, round(size * scale)))
    return np.rint(values).astype(np.uint8)


def _averaged(values: NDArray[np.float64], axis: int, size: int) -> NDArray[np.float64]:
    """Return the means of `size` equal parts of an axis; cells at a border count in proportion."""
    cumulative = np.insert(np.cumsum(values, axis), 0, 0.0, axis)
    edges = np.linspace(0, values.shape[axis], size + 1)
    whole = np.minimum(edges.astype(np.int64), values.shape[axis] - 1)
    shape = [-1 if dimension == axis else 1 for dimension in range(values.ndim)]
    sums = cumulative.take(whole, axis) + values.take(whole, axis) * (edges - whole).reshape(shape)
    means: NDArray[np.float64] = np.diff(sums, axis=axis) * (size / values.shape[axis])
    return means


def image_url(image: NDArray[np.uint8]) -> str:
    """Return an image as a data URL."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, image, format="jpeg", pil_kwargs={"quality": _QUALITY})
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
