# SPDX-License-Identifier: Apache-2.0
"""Activations whose concept vectors are computed from those of other activations, block by block, as they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays
from simplugins._common.threads import in_threads
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import CHUNK_BYTES, Block, BlockReader, chunks, offsets_of
from simplugins.activations.reader_protocol import Reader
from simplugins.activations.readers import DerivedReader

BlockMap = Callable[[Block], Block]
"""Computes new float64 concept vectors of the inputs of a block, each input's from its own vectors only. It must not
depend on how inputs are cut into blocks, and can be pickled, like a frozen dataclass with a ``__call__``. The block is
on the GPU if the activations are there; the result is in the same place."""


@dataclass(frozen=True)
class MappedReader(DerivedReader):
    """Reads blocks of another reader and maps each of them.

    Attributes
    ----------
    reader : Reader
    mapping : BlockMap
    mapped_channels : int
    step : int
        Number of inputs to map at a time, so that the other reader's blocks stay small.
    """

    mapping: BlockMap
    mapped_channels: int
    step: int

    def __call__(self, start: int, stop: int) -> Block:
        """Read and map the inputs from `start` to `stop`."""
        if stop - start <= self.step:
            return self._mapped(start, stop)
        parts = [self._mapped(first, min(first + self.step, stop)) for first in range(start, stop, self.step)]
        xp = arrays.namespace(parts[0].vectors)
        sizes = np.concatenate([np.diff(part.offsets) for part in parts])
        return Block(xp.concatenate([part.vectors for part in parts]), offsets_of(sizes))

    def _mapped(self, start: int, stop: int) -> Block:
        block = self.reader(start, stop)
        return self.mapping(Block(block.vectors.astype(np.float64, copy=False), block.offsets))

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop`."""
        return replace(self, reader=self.reader.part(start, stop))

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """float64: the result of the mapping is not rounded before it is checked and scaled."""
        return np.dtype(np.float64)

    @property
    def channels(self) -> int:
        """Length of the mapped concept vectors."""
        return self.mapped_channels


def mapped(
    activations: Activations,
    mapping: BlockMap,
    *,
    channels: int | None = None,
    positions: NDArray[np.int64] | None = None,
    dtype: DTypeLike | None = None,
    held_bytes: int = CHUNK_BYTES,
    threads: int = 1,
) -> Activations:
    """Return activations whose blocks are mapped as they are read; reads all values once to check them.

    Parameters
    ----------
    activations : Activations
    mapping : BlockMap
    channels : int, optional
        Length of the mapped concept vectors; by default unchanged.
    positions : (N,) int64 array, optional
        Number of mapped positions of each input; by default unchanged, and so are the layout and the grid.
    dtype : float32 or float64, optional
        The type to compute in; by default float64, or float32 if the original values are.
    held_bytes : int
        Results of up to this size are mapped only once and held in memory.
    threads : int
        Threads that map them, if they are held.

    Returns
    -------
    Activations
        In float64 if the mapped values share a large mean.

    Raises
    ------
    ValueError
        If a mapped value is not finite.
    """
    length = activations.channels if channels is None else channels
    moved = positions is not None
    if dtype is None:
        dtype = np.float32 if activations.widened else activations.dtype
    sizes = activations.positions if positions is None else positions
    step = next(stop for _, stop in chunks(activations.positions, activations.channels))
    reader: Reader = MappedReader(activations._reader, mapping, length, step)
    with arrays.on_gpu(activations.gpu):
        if 8 * int(sizes.sum()) * length <= held_bytes:
            on_gpu = activations.gpu is not None
            part = max(1, _PART_BYTES // (8 * activations.channels * int(activations.positions.max())))
            reader = BlockReader(reader(0, len(sizes)) if on_gpu else _whole(reader, offsets_of(sizes), part, threads))
        result = Activations.from_reader(
            reader,
            sizes,
            layout="nd" if moved else activations.layout,
            dtype=dtype,
            labels=activations.labels,
            grid=None if moved else activations.grid,
            same_positions=moved or activations.same_positions,
        )
    return replace(result, prepared=activations.prepared)


_PARTS = 4
"""Least number of parts per thread, so that all threads finish at about the same time."""

_PART_BYTES = 2**20
"""Size of the float64 values of a part, at most (unless one input has more), so that they stay in the cache."""


@dataclass(frozen=True)
class _Part:
    """Consecutive inputs to map."""

    start: int
    stop: int

    @property
    def pairs(self) -> int:
        """Number of inputs, for the progress bar."""
        return self.stop - self.start


def _whole(reader: Reader, offsets: NDArray[np.int64], part: int, threads: int) -> Block:
    """Read all inputs into host memory, up to `part` of them at a time, in several threads."""
    count = len(offsets) - 1
    if count <= part:  # threads would take longer to start
        return reader(0, count)
    size = min(part, -(-count // (_PARTS * threads)))
    parts = [_Part(start, min(start + size, count)) for start in range(0, count, size)]
    vectors = np.empty((offsets[-1], reader.channels))

    def work(part: _Part) -> None:
        vectors[offsets[part.start] : offsets[part.stop]] = reader(part.start, part.stop).vectors

    in_threads(work, parts, pairs=count, threads=threads, progress=False, title="mapping")
    return Block(vectors, offsets)
