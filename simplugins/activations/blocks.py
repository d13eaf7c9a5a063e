# SPDX-License-Identifier: Apache-2.0
"""Blocks of concept vectors, their readers from arrays of any layout, and their norms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays, ondisk
from simplugins.activations.layouts import AUTO, COLOURS, Layout, layout_of
from simplugins.activations.positions import read_mask, remaining_tokens
from simplugins.activations.reader_protocol import Reader
from simplugins.activations.scaling import (
    LEAST_SPREAD,
    SINGLE_POSITION,
    read_dtype,
    scaling_exponents,
)

CHUNK_BYTES = 16 * 2**20
"""Size of the chunks in which values are read one after the other, as float64."""
_GPU_CHUNK_BYTES = 4 * CHUNK_BYTES
"""The same for norms on a GPU, where a chunk costs the same time at any size."""
_CONVERTED = 2**16
"""Number of values that are converted to float64 at a time, such that they stay in the cache."""
_SAFE_SQUARE = 50
"""Inputs with squared norms between ``2**-50`` and ``2**50`` need no scaling, in float32 or float64."""


@dataclass(frozen=True)
class Block:
    """Concept vectors of consecutive inputs.

    Attributes
    ----------
    vectors : (T, C) NumPy or CuPy array, C-contiguous, float32 or float64
        All positions of all inputs of the block, one after the other; on the GPU if the activations are there.
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
        """Return the (T,) row indices sorted by input, then by ascending norm; ties keep their order."""
        inputs = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        return np.lexsort((self.squares(), inputs))

    def scaled(self, powers: NDArray[np.int64]) -> Block:
        """Return the block with the vectors of input i multiplied by ``2.0 ** powers[i]``."""
        xp = arrays.namespace(self.vectors)
        by_vector = np.repeat(powers, np.diff(self.offsets)).astype(np.int32)
        return Block(xp.ldexp(self.vectors, xp.asarray(by_vector)[:, None]), self.offsets)

    def on_cpu(self) -> Block:
        """Return the block in host memory."""
        return Block(arrays.to_numpy(self.vectors, np.dtype(str(self.vectors.dtype))), self.offsets)

    def widened(self) -> Block:
        """Return the block in float64."""
        return Block(self.vectors.astype(np.float64, order="C", copy=False), self.offsets)

    def squares(self) -> NDArray[np.float64]:
        """Return the (T,) squared norms of the vectors."""
        if (xp := arrays.namespace(self.vectors)) is not np:
            with arrays.on_gpu(arrays.gpu_of(self.vectors)):
                return arrays.small_numpy(xp.square(self.vectors.astype(np.float64, copy=False)).sum(1))
        count, step = len(self.vectors), max(1, _CONVERTED // max(1, self.vectors.shape[1]))
        squares, memory = np.empty(count), np.empty((min(step, count), *self.vectors.shape[1:]))
        for start in range(0, count, step):
            values = memory[: count - start]
            values[...] = self.vectors[start : start + step]
            squares[start : start + step] = (values[:, None] @ values[:, :, None])[:, 0, 0]  # twice as fast as einsum
        return squares

    def squared_norms(self, powers: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return the (n,) squared Frobenius norms of the inputs; with `powers`, of the inputs `scaled` in float64."""
        block = self if powers is None else Block(self.vectors.astype(np.float64), self.offsets).scaled(powers)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.add.reduceat(block.squares(), self.offsets[:-1])

    def weighted_sum(self, weights: NDArray[np.float64], *, by_input: bool) -> Any:
        """Return the sum of the flattened inputs, or else of all vectors, with one weight per input."""
        rows = weights if by_input else np.repeat(weights, np.diff(self.offsets))
        xp = arrays.namespace(self.vectors)
        return _contract("i,ij->j", xp.asarray(rows, self.vectors.dtype), self.vectors.reshape(len(rows), -1))

    def squares_along(self, direction: Any, *, by_input: bool) -> Any:
        """Return the (n,) or (T,) squared norms of the inputs', or else of the vectors', projections on a direction."""
        direction = direction.astype(self.vectors.dtype, copy=False)
        projections = _contract("ij,j->i", self.vectors.reshape(-1, len(direction)), direction)
        xp = arrays.namespace(direction)
        return xp.square(projections) / xp.maximum(
            _contract("i,i->", direction, direction), xp.finfo(direction.dtype).tiny
        )

    def largest(self) -> NDArray[np.float64]:
        """Return the (n,) largest absolute values of the inputs, NaN for an input that contains one."""
        by_vector = arrays.to_numpy(abs(self.vectors).max(1), np.dtype(np.float64))
        return np.maximum.reduceat(by_vector, self.offsets[:-1])

    def by_norm(self) -> tuple[Block, NDArray[np.int64]]:
        """Return the block with its rows in `norm_order`, and that order."""
        order = self.norm_order()
        with arrays.on_gpu(arrays.gpu_of(self.vectors)):
            return Block(self.vectors[arrays.namespace(self.vectors).asarray(order)], self.offsets), order


def _contract(subscripts: str, a: Any, b: Any) -> Any:
    """Return a product of arrays without the threads of BLAS, which keep cores busy for a while after it."""
    return np.einsum(subscripts, a, b) if arrays.namespace(b) is np else a @ b


def offsets_of(sizes: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the offsets of a block whose inputs have these numbers of vectors."""
    return np.concatenate([[0], np.cumsum(sizes)])


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


@dataclass(frozen=True)
class ArrayReader:
    """Reads an array of one of the layouts.

    Attributes
    ----------
    array : array
    axes : Layout
    tokens : (S,) int64 array or None
        The tokens to read; None for all.
    mask : (N, S) bool array or None
        The positions to read, of each of the reader's inputs; None for all.
    dtype : numpy dtype
    first : int
        The number of the reader's first input in the array.
    """

    array: Any
    axes: Layout
    tokens: NDArray[np.int64] | None
    mask: NDArray[np.bool_] | None
    dtype: np.dtype[np.floating]
    first: int = 0

    def __call__(self, start: int, stop: int) -> Block:
        """Read and convert the inputs from `start` to `stop`."""
        inputs = (*[slice(None)] * self.axes.inputs, slice(self.first + start, self.first + stop))
        values = arrays.to_float(arrays.loaded(self._opened()[inputs]), self.dtype)
        xp = arrays.namespace(values)
        values = values.transpose(self.axes.order).reshape(stop - start, -1, self.channels)
        if self.tokens is not None:
            values = values[:, xp.asarray(self.tokens)]
        if self.mask is not None:
            mask = self.mask[start:stop]
            return Block(values[xp.asarray(mask)], offsets_of(mask.sum(1)))
        inputs, positions, channels = values.shape
        return Block(values.reshape(-1, channels), np.arange(inputs + 1) * positions)

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop`."""
        return replace(self, mask=None if self.mask is None else self.mask[start:stop], first=self.first + start)

    @property
    def layout(self) -> str:
        """The name of the layout."""
        return self.axes.name

    @property
    def grid(self) -> tuple[int, ...] | None:
        """The sizes of the dimensions of positions, as they are numbered; None if some positions are left out."""
        is_whole = self.mask is None and self.tokens is None
        return tuple(int(self.array.shape[axis]) for axis in self.axes.positions) if is_whole else None

    @property
    def same_positions(self) -> bool:
        """Whether the mask leaves out the same positions of all inputs."""
        return self.mask is None or bool((self.mask == self.mask[:1]).all())

    @property
    def positions(self) -> NDArray[np.int64]:
        """The number of positions of each input, (N,)."""
        if self.mask is not None:
            return np.asarray(self.mask.sum(1))
        size = _positions(self.array.shape, self.axes) if self.tokens is None else len(self.tokens)
        return np.full(int(self.array.shape[self.axes.inputs]), size)

    @property
    def channels(self) -> int:
        """The length of the concept vectors."""
        return int(self.array.shape[self.axes.channels])

    @property
    def gpu(self) -> int | None:
        """The number of the GPU that holds the array, or None."""
        return arrays.gpu_of(self.array)

    @property
    def is_on_disk(self) -> bool:
        """Whether other processes can open the array."""
        return self._address() is not None

    @property
    def chunk_bytes(self) -> int:
        """Bytes per chunk of the array; 0 if it is not chunked."""
        return arrays.chunk_bytes(self._opened())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "array": self._address() or self.array}

    def _address(self) -> ondisk.Address | None:
        return self.array if isinstance(self.array, ondisk.Address) else ondisk.address_of(self.array)

    def _opened(self) -> Any:
        """Return the array; after unpickling, open it on the first read rather than earlier, for clearer errors."""
        if isinstance(self.array, ondisk.Address):
            self.__dict__["array"] = self.array.open()
        return self.array


def open_array(
    array: Any, layout: str, mask: Any, dropped: NDArray[np.int64] | None, dtype: DTypeLike | None
) -> ArrayReader:
    """Return the reader of an array, after checking that the options of `Activations.from_array` fit it."""
    shape = tuple(map(int, array.shape))
    is_plain = layout == "auto" and len(shape) in AUTO and (len(shape) < 4 or shape[3] not in COLOURS)
    axes = AUTO[len(shape)] if is_plain else layout_of(shape, layout)
    count, size = shape[axes.inputs], _positions(shape, axes)
    tokens = None if dropped is None else remaining_tokens(dropped, axes, size)
    if mask is not None:
        mask = read_mask(mask, count, size, axes, tuple(shape[axis] for axis in axes.positions))
        mask = mask if tokens is None else mask[:, tokens]
        mask = None if mask.all() else mask
    return ArrayReader(array, axes, tokens, mask, type_to_read(dtype, [array]))


def _positions(shape: tuple[int, ...], axes: Layout) -> int:
    return math.prod(int(shape[axis]) for axis in axes.positions)


def type_to_read(dtype: DTypeLike | None, parts: Sequence[Any]) -> np.dtype[np.floating]:
    """Return the type to convert arrays to: float64 if float32 cannot hold them, even to compute in float32."""
    if any(map(arrays.exceeds_float32, parts)):
        return np.dtype(np.float64)
    return np.dtype(np.float32) if dtype is None else read_dtype(dtype)


def chunks(positions: NDArray[np.int64], channels: int, most_bytes: int = CHUNK_BYTES) -> Iterator[tuple[int, int]]:
    """Yield the start and stop of consecutive chunks of inputs of about `most_bytes`, as float64."""
    size = max(1, int(most_bytes / (8 * channels * max(1, positions.max()))))
    for start in range(0, len(positions), size):
        yield start, min(start + size, len(positions))


def measure_norms(
    reader: Reader, positions: NDArray[np.int64], channels: int, dtype: np.dtype[np.floating]
) -> tuple[np.dtype[np.floating], NDArray[np.int64], NDArray[np.float64]]:
    """Read all inputs once, check that their values are finite, and return the type, exponents and squared norms.

    Parameters
    ----------
    reader, positions, channels
        As for `Activations.from_reader`.
    dtype : float32 or float64
        The type to compute in.

    Returns
    -------
    dtype : numpy dtype
        float64 if float32 would lose the differences of the inputs: see `LEAST_SPREAD`.
    exponents : (N,) int64 array
        The power of two by which each input is divided, to keep its inner products in range; mostly 0.
    squared_norms : (N,) float64 array
        Squared norms of the unscaled inputs, after rounding to `dtype`, so that equal inputs have distance 0.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, or its square does not fit a float64.
    """
    in_dtype = dtype == np.float32 and reader.gpu is None
    return _measure_norms(reader, positions, channels, dtype, np.dtype(np.float32 if in_dtype else np.float64))


def _measure_norms(
    reader: Reader,
    positions: NDArray[np.int64],
    channels: int,
    dtype: np.dtype[np.floating],
    precision: np.dtype[np.floating],
) -> tuple[np.dtype[np.floating], NDArray[np.int64], NDArray[np.float64]]:
    """Measure norms in float64, but what inputs have in common in `precision` unless there is a lot of it."""
    exponents, squared_norms = np.zeros(len(positions), np.int64), np.empty(len(positions))
    rounded_norms = np.empty(len(positions)) if dtype.itemsize < reader.dtype.itemsize else squared_norms
    by_input = len(positions) > 1 and bool((positions == positions[0]).all())
    shared, total = [], 0.0  # of the inputs read so far
    for start, stop in chunks(positions, channels, CHUNK_BYTES if reader.gpu is None else _GPU_CHUNK_BYTES):
        block = reader(start, stop)
        block = block if precision == np.float32 else block.widened()
        squares = block.squared_norms()
        if not ((squares > 2.0**-_SAFE_SQUARE) & (squares < 2.0**_SAFE_SQUARE)).all():
            largest = block.largest()
            if not np.isfinite(largest).all():
                from simplugins.activations.not_finite import report_not_finite

                report_not_finite(reader, positions, channels)
            exponents[start:stop] = scaling_exponents(largest, dtype, start)
            block = block.widened()
            squares = block.squared_norms(-exponents[start:stop])
        squared_norms[start:stop] = np.ldexp(squares, 2 * exponents[start:stop])
        if rounded_norms is not squared_norms:
            rounded = Block(block.scaled(-exponents[start:stop]).vectors.astype(dtype), block.offsets)
            rounded_norms[start:stop] = np.ldexp(rounded.squared_norms(), 2 * exponents[start:stop])
        weights = _weights(squared_norms[start:stop], positions[start:stop])
        total = total + block.weighted_sum(weights, by_input=by_input)
        shared.append(block.squares_along(total, by_input=by_input))
    along = np.concatenate([arrays.small_numpy(squares) for squares in shared])  # only now, as a GPU waits for each
    if not by_input:
        along = np.add.reduceat(along, offsets_of(positions)[:-1])
    spread = _spread(along, squared_norms, len(positions) if by_input else int(positions.sum()))
    if spread < LEAST_SPREAD[dtype] * (SINGLE_POSITION if positions.max() == 1 else 1):
        if precision == np.float32:
            return _measure_norms(reader, positions, channels, dtype, np.dtype(np.float64))
        from simplugins.activations.common_means import sufficient_dtype

        requested, dtype = dtype, sufficient_dtype(reader, positions, channels, dtype, spread, by_input=by_input)
        rounded_norms = rounded_norms if dtype == requested else squared_norms
    return dtype, exponents, rounded_norms


def _weights(squared_norms: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return factors that make the mean squared norm of each input's vectors 1, so that none outweighs the others."""
    lengths = np.sqrt(squared_norms / positions)
    return np.divide(1, lengths, out=np.zeros(len(lengths)), where=lengths > 0)


def _spread(shared: NDArray[np.float64], squared_norms: NDArray[np.float64], count: int) -> float:
    """Return the share of the median input's squared norm that is not along the mean; 1 for a single vector or zeros.

    A common mean of r standard deviations leaves about ``1 / (1 + r**2)``. The median ignores a few other inputs.

    Parameters
    ----------
    shared : (N,) array
        Squared norms along the mean of `count` inputs or vectors.
    squared_norms : (N,) array
    count : int
    """
    present = squared_norms > 0
    if count < 2 or not present.any():
        return 1.0
    return float(1 - np.median(shared[present] / squared_norms[present])) * count / (count - 1)
