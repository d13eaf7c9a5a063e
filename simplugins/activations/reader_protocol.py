# SPDX-License-Identifier: Apache-2.0
"""The interface of readers, which read inputs from an array or a file, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from simplugins.activations.blocks import Block


class Reader(Protocol):
    """Reads inputs and converts them to unscaled blocks; can be pickled."""

    def __call__(self, start: int, stop: int) -> Block:
        """Read and convert the inputs from `start` to `stop`."""

    def part(self, start: int, stop: int) -> Reader:
        """Return a reader of the inputs from `start` to `stop`, without reading them."""

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Type of the blocks, float32 or float64."""

    @property
    def channels(self) -> int:
        """Length of the concept vectors."""

    @property
    def gpu(self) -> int | None:
        """The index of the GPU that holds the values, or None."""

    @property
    def is_on_disk(self) -> bool:
        """Whether other processes can read the inputs from disk, so that pickling does not copy them."""

    @property
    def chunk_bytes(self) -> int:
        """Bytes per chunk, the smallest unit that can be read; 0 if the values are not chunked."""
