# SPDX-License-Identifier: Apache-2.0
"""Checks of the sizes that arrays on disk declare, against their stored bytes and the memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from simplugins._common.formatting import human_bytes
from simplugins._common.machine_memory import check_fits, physical_memory
from simplugins._common.npz_archives import LARGEST_RATIO


def check_extent(content: str, shape: Sequence[int], dtype: Any, chunk: int, stored: Callable[[], int]) -> None:
    """Check that an array on disk can have the size that it declares.

    The stored bytes are only looked up for arrays that exceed the memory, which must not be compressed more than
    deflate can.

    Parameters
    ----------
    content : str
        The array, for errors.
    shape : sequence of int
    dtype : numpy dtype
    chunk : int
        Bytes of a chunk, which is always read whole.
    stored : callable
        Returns the bytes of the array on disk.

    Raises
    ------
    ValueError
        If a dimension is negative, a chunk exceeds the memory, or the array is too large for its stored bytes.
    """
    if any(size < 0 for size in shape):
        raise ValueError(f"{content} declares shape {tuple(shape)}, with a negative dimension")
    check_fits(chunk, f"a chunk of {content}")
    declared = math.prod(shape) * max(1, dtype.itemsize)
    if declared > physical_memory() and declared > LARGEST_RATIO * (held := stored()):
        sizes = f"{human_bytes(declared)}, but stores only {human_bytes(held)}"
        raise ValueError(f"{content} declares shape {tuple(shape)}, {sizes}")
