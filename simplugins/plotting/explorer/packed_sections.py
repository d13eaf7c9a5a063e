# SPDX-License-Identifier: Apache-2.0
"""Arrays as compressed base64 texts, in the form in which the page reads them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {"u1": np.uint8, "u2": np.uint16, "u4": np.uint32, "i2": np.int16, "f4": np.float32, "f8": np.float64}
_ALIGNMENT = 8
MISSING, ZERO, FIRST = 0, 1, 2
"""Codes of values that are not finite, of exact zeros, and of the least other value."""


@dataclass
class Sections:
    """Groups of arrays that the page reads together, each as one text.

    Attributes
    ----------
    texts : list of str
        Base64 of the zlib-compressed bytes of each section.
    """

    texts: list[str] = field(default_factory=list)

    def add(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Store arrays as a new section.

        Returns
        -------
        dict
            ``section`` (its number) and ``parts``: type, offset in bytes and length of each array, by name.
        """
        content, parts = bytearray(), {}
        for name, array in arrays.items():
            code = f"{array.dtype.kind}{array.dtype.itemsize}"
            content += bytes(-len(content) % _ALIGNMENT)
            parts[name] = [code, len(content), array.size]
            content += np.ascontiguousarray(array, np.dtype(_TYPES[code]).newbyteorder("<")).tobytes()
        self.texts.append(base64.b64encode(zlib.compress(bytes(content), 9)).decode("ascii"))
        return {"section": len(self.texts) - 1, "parts": parts}

    @property
    def size(self) -> int:
        """Number of characters of all texts."""
        return sum(map(len, self.texts))


def encode(values: NDArray[np.float64], bits: int) -> tuple[NDArray[Any], float, float]:
    """Return values as integers of 8 or 16 bits, and the least and largest value.

    Values are rounded to equal steps from the least to the largest one. Exact zeros have a code of their own, and so
    do NaN and infinite values.

    Examples
    --------
    >>> codes, low, high = encode(np.array([0.5, 0.0, np.nan, 2.5]), 8)
    >>> codes.tolist(), low, high
    ([53, 1, 0, 255], 0.0, 2.5)
    """
    dtype, top = (np.uint8, 2**8 - 1) if bits == 8 else (np.uint16, 2**16 - 1)
    finite = np.isfinite(values)
    known = values[finite]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    codes = np.full(values.shape, MISSING, dtype)
    half_span = high / 2 - low / 2  # halves do not overflow
    steps = np.zeros(known.shape) if half_span == 0 else (known / 2 - low / 2) / half_span * (top - FIRST)
    codes[finite] = np.where(known == 0, ZERO, FIRST + np.rint(steps)).astype(dtype)
    return codes, low, high
