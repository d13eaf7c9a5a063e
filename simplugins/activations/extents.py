# SPDX-License-Identifier: Apache-2.0
"""The sizes that arrays on disk declare, against what is stored and what memory can hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from simplugins._common.formatting import human_bytes
from simplugins._common.machine_memory import check_fits, physical_memory

_MOST_COMPRESSED = 1032
"""The largest ratio of deflate. Arrays that exceed the memory are not accepted with a larger one."""


def check_extent(content: str, shape: Sequence[int], dtype: Any, chunk: int, stored: Callable[[], int]) -> None:
    """Check that an array on disk can be what it declares. Only for arrays larger than the memory, ask what is stored.

    Parameters
    ----------
    content : str
        The array, for errors.
    shape : sequence of int
    dtype : numpy dtype
    chunk : int
        Bytes of a chunk, all of which is read at once.
    stored : callable
        Returns the bytes that the array takes on disk.

    Raises
    ------
    ValueError
        If a dimension is negative, a chunk exceeds the memory, or the array its stored bytes.
    """
    if any(size < 0 for size in shape):
        raise ValueError(f"{content} declares shape {tuple(shape)}, with a negative dimension")
    check_fits(chunk, f"a chunk of {content}")
    declared = math.prod(shape) * max(1, dtype.itemsize)
    if declared > physical_memory() and declared > _MOST_COMPRESSED * (holds := stored()):
        sizes = f"{human_bytes(declared)}, but stores only {human_bytes(holds)}"
        raise ValueError(f"{content} declares shape {tuple(shape)}, {sizes}")
