# SPDX-License-Identifier: Apache-2.0
"""Blocks of concept vectors, the protocol of what reads them, and the norms and scales of their inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays

CHUNK_BYTES = 16 * 2**20
"""Size of the chunks, counted as float64, in which values are read that need not be in memory together."""
_PLAIN_EXPONENTS = {np.dtype(np.float32): 30, np.dtype(np.float64): 400}
"""Inputs whose largest value is within two to this power, both ways, need no scaling, by type."""
_LARGEST_EXPONENT = 480
_NORM_TOLERANCE = 1e-5
"""Relative difference allowed between squared norms of an input that is read twice, once in float64."""
_SAFE_SQUARE = 50
"""Inputs whose squared norm is within two to this power, both ways, need no scaling in either type."""


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
        """Return the inputs from `start` to `stop`, without a copy."""
        offsets = self.offsets[start : stop + 1]
        return Block(self.vectors[offsets[0] : offsets[-1]], offsets - offsets[0])

    def norm_order(self) -> NDArray[np.int64]:
        """Return the (T,) rows sorted by input, then by norm, smallest first; ties keep their order."""
        inputs = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        return np.lexsort((self.squares(), inputs))

    def scaled(self, powers: NDArray[np.int64]) -> Block:
        """Return the block with the vectors of input i multiplied by ``2.0 ** powers[i]``."""
        xp = arrays.namespace(self.vectors)
        by_vector = np.repeat(powers, np.diff(self.offsets)).astype(np.int32)
        return Block(xp.ldexp(self.vectors, xp.asarray(by_vector)[:, None]), self.offsets)

    def on_cpu(self) -> Block:
        """Return the block in the CPU's memory."""
        return Block(arrays.to_numpy(self.vectors, np.dtype(str(self.vectors.dtype))), self.offsets)

    def squares(self) -> NDArray[np.float64]:
        """Return the (T,) squared norms of the vectors."""
        with arrays.on_gpu(arrays.gpu_of(self.vectors)):
            return arrays.small_numpy(arrays.namespace(self.vectors).square(self.vectors.astype(np.float64)).sum(1))

    def squared_norms(self, powers: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return the (n,) squared Frobenius norms of the inputs; with `powers`, of the inputs `scaled` in float64."""
        block = self if powers is None else Block(self.vectors.astype(np.float64), self.offsets).scaled(powers)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.add.reduceat(block.squares(), self.offsets[:-1])

    def by_norm(self) -> tuple[Block, NDArray[np.int64]]:
        """Return the block with its rows in `norm_order`, and that order."""
        order = self.norm_order()
        with arrays.on_gpu(arrays.gpu_of(self.vectors)):
            return Block(self.vectors[arrays.namespace(self.vectors).asarray(order)], self.offsets), order


def offsets_of(sizes: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the offsets of a block whose inputs have these numbers of vectors."""
    return np.concatenate([[0], np.cumsum(sizes)])


class Reader(Protocol):
    """Converts inputs to blocks on request, unscaled; can be sent to another process."""

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
        """The number of the GPU that holds the values, or None."""

    @property
    def is_on_disk(self) -> bool:
        """Whether another process can read the same inputs from disk, so that the reader is cheap to send."""

    @property
    def chunk_bytes(self) -> int:
        """Size of the chunks that are read as a whole whenever part of one is; 0 if there are none."""


@dataclass(frozen=True)
class BlockReader:
    """Reads inputs that are already converted and in memory."""

    block: Block
    is_on_disk = False
    chunk_bytes = 0

    def __call__(self, start: int, stop: int) -> Block:
        """Return the inputs from `start` to `stop`, without a copy."""
        return self.block.rows(start, stop)

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop`."""
        return replace(self, block=self.block.rows(start, stop))

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Type of the block."""
        return np.dtype(str(self.block.vectors.dtype))

    @property
    def channels(self) -> int:
        """Length of the concept vectors."""
        return int(self.block.vectors.shape[1])

    @property
    def gpu(self) -> int | None:
        """The number of the GPU that holds the block, or None."""
        return arrays.gpu_of(self.block.vectors)


def read_dtype(dtype: DTypeLike) -> np.dtype[np.floating]:
    """Return the type to compute in, after checking that it is float32 or float64."""
    result = np.dtype(dtype)
    if result not in _PLAIN_EXPONENTS:
        raise TypeError(f"dtype must be float32 or float64, got {result}")
    return result  # type: ignore[return-value]


def type_to_read(dtype: DTypeLike | None, *, is_float64: bool) -> np.dtype[np.floating]:
    """Return the type to convert values to: float64 if they are, since float32 may overflow before they are scaled."""
    if is_float64 or dtype is None:
        return np.dtype(np.float64 if is_float64 else np.float32)
    return read_dtype(dtype)


def chunks(positions: NDArray[np.int64], channels: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last input (exclusive) of consecutive chunks of about `CHUNK_BYTES`."""
    size = max(1, int(CHUNK_BYTES / (8 * channels * max(1, positions.max()))))
    for start in range(0, len(positions), size):
        yield start, min(start + size, len(positions))


def measure_norms(
    reader: Reader, positions: NDArray[np.int64], channels: int, dtype: np.dtype[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read all inputs once, check that their values are finite, and return their exponents and squared norms.

    Parameters
    ----------
    reader : Reader
    positions : (N,) int64 array
        Number of concept vectors of each input.
    channels : int
    dtype : numpy dtype
        The type to compute in, float32 or float64.

    Returns
    -------
    exponents : (N,) int64 array
        The power of two that each input is divided by before its inner products are computed, to keep these in the
        range of `dtype`; 0 for ordinary values.
    squared_norms : (N,) float64 array
        Of the inputs as they are, unscaled.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, or its square does not fit a float64.
    """
    exponents = np.zeros(len(positions), np.int64)
    squared_norms = np.empty(len(positions))
    for start, stop in chunks(positions, channels):
        block = reader(start, stop)
        squares = block.squared_norms()
        if not ((squares > 2.0**-_SAFE_SQUARE) & (squares < 2.0**_SAFE_SQUARE)).all():
            largest = _largest_values(block)
            if not np.isfinite(largest).all():
                _report_not_finite(reader, positions, channels)
            exponents[start:stop] = _exponents(largest, dtype, start)
            squares = block.squared_norms(-exponents[start:stop])
        squared_norms[start:stop] = np.ldexp(squares, 2 * exponents[start:stop])
    return exponents, squared_norms


def check_norms(squared_norms: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """Check that inputs still have the norms of the first reading: files change, and differ between machines.

    Raises
    ------
    ValueError
        If they do not.
    """
    differs = ~(np.abs(squared_norms - expected) <= _NORM_TOLERANCE * expected)
    if differs.any():
        raise ValueError(
            f"the activations have changed since the run began: {int(differs.sum())} of {len(differs)} inputs differ, "
            f"first number {int(np.argmax(differs))} of these; was the file written to, or does a worker find another "
            f"file at the same path?"
        )


def _largest_values(block: Block) -> NDArray[np.float64]:
    """Return the largest absolute value of each input, NaN if it has one."""
    by_vector = arrays.to_numpy(abs(block.vectors).max(1), np.dtype(np.float64))
    return np.maximum.reduceat(by_vector, block.offsets[:-1])


def _exponents(largest: NDArray[np.float64], dtype: np.dtype[np.floating], start: int) -> NDArray[np.int64]:
    """Return the power of two of each input's largest value, or 0 where inner products need no scaling."""
    powers = np.where(largest > 0, np.frexp(largest)[1], 0)
    if np.abs(powers).max() > _LARGEST_EXPONENT:
        worst = int(np.abs(powers).argmax())
        raise ValueError(
            f"input {start + worst} has a largest absolute value of {largest[worst]:.3g}, whose square does not "
            f"fit a float64: rescale the activations"
        )
    return np.where(np.abs(powers) <= _PLAIN_EXPONENTS[dtype], 0, powers)


def _report_not_finite(reader: Reader, positions: NDArray[np.int64], channels: int) -> None:
    count, first = 0, -1
    for start, stop in chunks(positions, channels):
        block = reader(start, stop)
        by_vector = arrays.small_numpy((~arrays.namespace(block.vectors).isfinite(block.vectors)).sum(1))
        if by_vector.any() and first < 0:
            row = int(np.flatnonzero(by_vector)[0])
            first = start + int(np.searchsorted(block.offsets, row, side="right")) - 1
        count += int(by_vector.sum())
    raise ValueError(
        f"activations contain {count} NaN or infinite values, the first of them in input {first} of {len(positions)}"
    )
