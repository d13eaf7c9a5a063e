# SPDX-License-Identifier: Apache-2.0
"""Readers of sets, of selected inputs and of selected positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.activations.blocks import Block, offsets_of, open_array, type_to_read
from simplugins.activations.layouts import RAGGED
from simplugins.activations.reader_protocol import Reader
from simplugins.activations.sources import check_channels_of_elements, read_set


@dataclass(frozen=True)
class SetsReader:
    """Reads a list of sets (S_i, C)."""

    sets: Sequence[Any]
    dtype: np.dtype[np.floating]
    layout = RAGGED
    grid = None
    same_positions = True
    is_on_disk = False
    chunk_bytes = 0

    def __call__(self, start: int, stop: int) -> Block:
        """Read and convert the inputs from `start` to `stop`."""
        convert = arrays.to_numpy if arrays.common_gpu(self.sets) is None else arrays.to_float
        values = [convert(arrays.loaded(s[:]), self.dtype) for s in self.sets[start:stop]]
        return Block(arrays.namespace(values[0]).concatenate(values), offsets_of([len(v) for v in values]))

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop`."""
        return replace(self, sets=self.sets[start:stop])

    @property
    def positions(self) -> NDArray[np.int64]:
        """The (N,) sizes of the sets."""
        return np.array([int(vectors.shape[0]) for vectors in self.sets])

    @property
    def channels(self) -> int:
        """The length of the concept vectors."""
        return int(self.sets[0].shape[1])

    @property
    def gpu(self) -> int | None:
        """The number of the GPU that holds all sets, or None."""
        return arrays.common_gpu(self.sets)


def is_list_of_sets(elements: Sequence[Any]) -> bool:
    """Return whether all elements of a list are matrices: sets (S_i, C), rather than maps or vectors to stack."""
    return len(elements) > 0 and all(np.ndim(element) == 2 for element in elements)


def read_sets(sets: Iterable[Any]) -> list[Any]:
    """Return sets as a list of arrays, after checking that each is (S_i, C) and that C is the same for all."""
    if isinstance(sets, Mapping):
        raise TypeError("expected a list of sets (S_i, C), got sets by name: pass list(sets.values()), and labels=")
    result = []
    elements = list(sets)
    check_channels_of_elements(elements)
    for number, vectors in enumerate(elements):
        with error_prefix(f"set {number}"):
            result.append(arrays.as_array(vectors if arrays.is_plain(vectors) else read_set(vectors)))
    if not result:
        raise ValueError("sets: expected at least one set of shape (positions, channels), got none")
    for number, shape in enumerate(tuple(vectors.shape) for vectors in result):
        if len(shape) != 2:
            raise ValueError(f"set {number}: expected shape (positions, channels), got {shape}")
        if shape[1] != result[0].shape[1]:
            raise ValueError(f"set {number}: expected {result[0].shape[1]} channels, as in set 0, got {shape[1]}")
    return result


def open_sets(
    sets: Iterable[Any], dtype: DTypeLike | None, layout: str = "auto", mask: Any = None, dropped: Any = None
) -> SetsReader:
    """Return the reader of a list of sets, after checking them, and that no option is set that sets do not have."""
    options = {"layout": layout not in ("auto", "ntd"), "mask": mask is not None, "drop_tokens": dropped is not None}
    if unsuitable := [name for name, is_set in options.items() if is_set]:
        raise ValueError(f"{unsuitable[0]} does not apply to a list of sets (S_i, C)")
    checked = read_sets(sets)
    return SetsReader(checked, type_to_read(dtype, checked))


@dataclass(frozen=True)
class DerivedReader:
    """Base class of readers that select from another reader."""

    reader: Reader

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Type of the other reader's blocks."""
        return self.reader.dtype

    @property
    def channels(self) -> int:
        """Length of the concept vectors."""
        return self.reader.channels

    @property
    def gpu(self) -> int | None:
        """The number of the GPU that holds the values, or None."""
        return self.reader.gpu

    @property
    def is_on_disk(self) -> bool:
        """Whether the other reader's inputs are on disk."""
        return self.reader.is_on_disk

    @property
    def chunk_bytes(self) -> int:
        """Size of the other reader's chunks."""
        return self.reader.chunk_bytes


@dataclass(frozen=True)
class SelectionReader(DerivedReader):
    """Reads selected inputs of another reader, in any order."""

    inputs: NDArray[np.int64]

    def __call__(self, start: int, stop: int) -> Block:
        """Read the inputs from `start` to `stop`, each run of consecutive inputs at once."""
        inputs = self.inputs[start:stop]
        runs = np.split(inputs, np.flatnonzero(np.diff(inputs) != 1) + 1)
        blocks = [self.reader(int(run[0]), int(run[-1]) + 1) for run in runs]
        xp = arrays.namespace(blocks[0].vectors)
        sizes = np.concatenate([np.diff(block.offsets) for block in blocks])
        return Block(xp.concatenate([block.vectors for block in blocks]), offsets_of(sizes))

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop`."""
        return replace(self, inputs=self.inputs[start:stop])


@dataclass(frozen=True)
class PositionsReader(DerivedReader):
    """Reads the positions that an (N, S) mask selects from another reader, all of whose inputs have S positions."""

    mask: NDArray[np.bool_]

    def __call__(self, start: int, stop: int) -> Block:
        """Read the inputs from `start` to `stop`."""
        vectors, mask = self.reader(start, stop).vectors, self.mask[start:stop]
        rows = arrays.namespace(vectors).asarray(np.flatnonzero(mask))
        return Block(vectors[rows], offsets_of(mask.sum(1)))

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop`."""
        return replace(self, reader=self.reader.part(start, stop), mask=self.mask[start:stop])


@dataclass(frozen=True)
class ConcatenatedReader(DerivedReader):
    """Reads sets that lie one after the other in another reader, each of whose inputs is one concept vector."""

    offsets: NDArray[np.int64]

    def __call__(self, start: int, stop: int) -> Block:
        """Read the inputs from `start` to `stop`."""
        offsets = self.offsets[start : stop + 1]
        return Block(self.reader(int(offsets[0]), int(offsets[-1])).vectors, offsets - offsets[0])

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop`."""
        return replace(self, offsets=self.offsets[start : stop + 1])


def open_concatenated(vectors: Any, positions: NDArray[np.int64]) -> ConcatenatedReader:
    """Return the reader of sets that lie one after the other in a (T, C) array.

    Parameters
    ----------
    vectors : (T, C) array
    positions : (N,) int64 array
        The sizes of the sets.

    Raises
    ------
    ValueError
        If the sizes do not add up to T.
    """
    if (positions > vectors.shape[0]).any() or positions.sum() != vectors.shape[0]:  # sums of huge sizes overflow
        raise ValueError(
            f"expected {sum(positions.tolist())} concept vectors, the sum of the sizes; got {vectors.shape[0]}"
        )
    return ConcatenatedReader(open_array(vectors, "nc", None, None, None), offsets_of(positions))
