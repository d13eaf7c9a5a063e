# SPDX-License-Identifier: Apache-2.0
"""Blocks of concept vectors, and the readers that make them of arrays: in memory, on a GPU, or on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays, gpu, ondisk


@dataclass(frozen=True)
class Block:
    """Concept vectors of consecutive inputs.

    Attributes
    ----------
    vectors : (T, C) NumPy or CuPy array, C-contiguous, float32 or float64
        All positions of all inputs of the block, one after the other; on the GPU if the activations lie there.
    offsets : (n + 1,) int64 array
        Input i has the rows ``offsets[i]:offsets[i + 1]``.
    """

    vectors: Any
    offsets: NDArray[np.int64]

    def rows(self, start: int, stop: int) -> Block:
        """Return the inputs `start` to `stop` of the block, without a copy."""
        offsets = self.offsets[start : stop + 1]
        return Block(self.vectors[offsets[0] : offsets[-1]], offsets - offsets[0])

    def norm_order(self) -> NDArray[np.int64]:
        """Return the (T,) rows of each input by the norm of their vectors, smallest first, ties by position."""
        inputs = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        return np.lexsort((self.squares(), inputs))

    def scaled(self, powers: NDArray[np.int64]) -> Block:
        """Return the vectors of each input times two to a power."""
        xp = arrays.namespace(self.vectors)
        of_vectors = np.repeat(powers, np.diff(self.offsets)).astype(np.int32)
        return Block(xp.ldexp(self.vectors, xp.asarray(of_vectors)[:, None]), self.offsets)

    def on_cpu(self) -> Block:
        """Return the block in the CPU's memory."""
        return Block(arrays.to_numpy(self.vectors, np.dtype(str(self.vectors.dtype))), self.offsets)

    def squares(self) -> NDArray[np.float64]:
        """Return the (T,) squared norms of the vectors."""
        with gpu.current(arrays.gpu_of(self.vectors)):
            return arrays.small_numpy(arrays.namespace(self.vectors).square(self.vectors.astype(np.float64)).sum(1))

    def by_norm(self) -> tuple[Block, NDArray[np.int64]]:
        """Return the vectors of each input by their norm, smallest first, and the rows in that order."""
        order = self.norm_order()
        with gpu.current(arrays.gpu_of(self.vectors)):
            return Block(self.vectors[arrays.namespace(self.vectors).asarray(order)], self.offsets), order


class Reader(Protocol):
    """Converts inputs, when asked for them; it can be sent to another process."""

    def __call__(self, start: int, stop: int) -> Block:
        """Convert the inputs from `start` to `stop`."""

    def part(self, start: int, stop: int) -> Reader:
        """Return a reader of the inputs from `start` to `stop` alone, without reading them."""

    @property
    def is_on_disk(self) -> bool:
        """Whether another process can read the same inputs from where they lie, so that sending the reader is cheap."""

    @property
    def chunk_bytes(self) -> int:
        """Bytes of what is read whenever a part of it is; 0 if just what is wanted is."""


@dataclass(frozen=True)
class ArrayReader:
    """Reads an array of one of the layouts.

    Attributes
    ----------
    array : array
    layout : str
        "nd", "ntd", "nchw" or "nhwc".
    kept : (S,) int64 array or None
        Which tokens there are to be; all for None.
    used : (N, S) bool array or None
        Which positions of each of the reader's inputs count; all for None.
    dtype : numpy dtype
    first : int
        Which input of the array is the reader's first.
    """

    array: Any
    layout: str
    kept: NDArray[np.int64] | None
    used: NDArray[np.bool_] | None
    dtype: np.dtype[np.floating]
    first: int = 0

    def __call__(self, start: int, stop: int) -> Block:
        """Convert the inputs from `start` to `stop`."""
        part = ondisk.loaded(self._opened()[self.first + start : self.first + stop])
        values = arrays.to_float(part, self.dtype)
        xp = arrays.namespace(values)
        if self.layout == "nd":
            values = values[:, None, :]
        elif self.layout == "nchw":
            values = values.reshape(*values.shape[:2], -1).transpose(0, 2, 1)
        elif self.layout == "nhwc":
            values = values.reshape(len(values), -1, values.shape[-1])
        if self.kept is not None:
            values = values[:, xp.asarray(self.kept)]
        if self.used is not None:
            used = self.used[start:stop]
            return Block(values[xp.asarray(used)], np.concatenate([[0], np.cumsum(used.sum(1))]))
        inputs, positions, channels = values.shape
        return Block(values.reshape(-1, channels), np.arange(inputs + 1) * positions)

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop` alone."""
        used = None if self.used is None else self.used[start:stop]
        return replace(self, used=used, first=self.first + start)

    @property
    def is_on_disk(self) -> bool:
        """Whether another process can open the array too."""
        return self._address() is not None

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk of the array, if it has chunks."""
        return ondisk.chunk_bytes(self._opened())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "array": self._address() or self.array}

    def _address(self) -> ondisk.Address | None:
        return self.array if isinstance(self.array, ondisk.Address) else ondisk.address_of(self.array)

    def _opened(self) -> Any:
        """Return the array; in another process it is opened when it is first read, where an error is in its place."""
        if isinstance(self.array, ondisk.Address):
            self.__dict__["array"] = self.array.open()
        return self.array


@dataclass(frozen=True)
class SetsReader:
    """Reads a list of sets (S_i, C)."""

    sets: Sequence[Any]
    dtype: np.dtype[np.floating]
    is_on_disk = False
    chunk_bytes = 0

    def __call__(self, start: int, stop: int) -> Block:
        """Convert the inputs from `start` to `stop`."""
        convert = arrays.to_numpy if arrays.common_gpu(self.sets) is None else arrays.to_float
        values = [convert(ondisk.loaded(s[:]), self.dtype) for s in self.sets[start:stop]]
        offsets = np.concatenate([[0], np.cumsum([len(v) for v in values])])
        return Block(arrays.namespace(values[0]).concatenate(values), offsets)

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop` alone."""
        return replace(self, sets=self.sets[start:stop])


@dataclass(frozen=True)
class BlockReader:
    """Reads inputs that were converted once, and are kept."""

    block: Block
    is_on_disk = False
    chunk_bytes = 0

    def __call__(self, start: int, stop: int) -> Block:
        """Return the inputs from `start` to `stop`, without a copy."""
        return self.block.rows(start, stop)

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop` alone."""
        return replace(self, block=self.block.rows(start, stop))


@dataclass(frozen=True)
class ChosenReader:
    """Reads some inputs of another reader, in any order."""

    reader: Reader
    inputs: NDArray[np.int64]

    def __call__(self, start: int, stop: int) -> Block:
        """Convert the inputs from `start` to `stop`: those that follow each other there at once."""
        wanted = self.inputs[start:stop]
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1)
        blocks = [self.reader(int(run[0]), int(run[-1]) + 1) for run in runs]
        sizes = np.concatenate([np.diff(block.offsets) for block in blocks])
        xp = arrays.namespace(blocks[0].vectors)
        return Block(xp.concatenate([block.vectors for block in blocks]), np.concatenate([[0], np.cumsum(sizes)]))

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop` alone."""
        return replace(self, inputs=self.inputs[start:stop])

    @property
    def is_on_disk(self) -> bool:
        """Whether the other reader's inputs are."""
        return self.reader.is_on_disk

    @property
    def chunk_bytes(self) -> int:
        """Those of the other reader."""
        return self.reader.chunk_bytes
