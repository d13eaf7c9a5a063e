# SPDX-License-Identifier: Apache-2.0
"""Activations: the responses of a network to N inputs, as sets of concept vectors.

Whatever array they come in, and in whatever layout, an `Activations` hands them out as blocks of concept vectors
in float32 or float64, converted only when asked for, so that a memmap is never read whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays, gpu
from simplugins.activations.blocks import ArrayReader, Block, BlockReader, ChosenReader, Reader, SetsReader
from simplugins.activations.labels import check_labels
from simplugins.activations.subsets import choose_inputs

Layout = Literal["nd", "ntd", "nchw", "nhwc"]

_DIMENSIONS: dict[str, str] = {
    "nd": "(inputs, channels)",
    "ntd": "(inputs, tokens, channels)",
    "nchw": "(inputs, channels, height, width)",
    "nhwc": "(inputs, height, width, channels)",
}
_AUTO: dict[int, Layout] = {2: "nd", 3: "ntd", 4: "nchw"}

CHUNK_BYTES = 16 * 2**20
"""Values are read so many at a time, counted as float64, where they need not be there together."""
_PLAIN_EXPONENTS = {np.dtype(np.float32): 30, np.dtype(np.float64): 400}
_LARGEST_EXPONENT = 480
_SAME_NORM = 1e-5
"""How far squared norms of the same input may differ that is read twice, once in float64."""

_SAFE_SQUARE = 50
"""Inputs with squared norms within two to this power, both ways, need no scaling in either type."""


@dataclass(frozen=True)
class Activations:
    """Validated activations of N inputs; made by `Activations.from_array`.

    Attributes
    ----------
    layout : str
        "nd", "ntd", "nchw" or "nhwc"; "ragged" for a list of sets.
    channels : int
    positions : (N,) int64 array
        How many concept vectors each input has.
    dtype : numpy dtype
        float32 or float64: what they are computed in.
    labels : (N,) array of str or int64, or None
    squared_norms : (N,) float64 array
        Squared Frobenius norm of each input's response.
    exponents : (N,) int64 array
        Blocks hold each input divided by two to this power, which keeps inner products of huge and tiny values
        in range; zero for all ordinary values.
    gpu : int or None
        The number of the GPU that the values lie on; None for the CPU, or where CuPy is not installed.
    """

    layout: str
    channels: int
    positions: NDArray[np.int64]
    dtype: np.dtype[np.floating]
    labels: NDArray[Any] | None
    squared_norms: NDArray[np.float64]
    exponents: NDArray[np.int64]
    gpu: int | None
    _read: Reader = field(repr=False)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def input_bytes(self) -> int:
        """Bytes that the largest input takes in a block."""
        return int(self.positions.max()) * self.channels * self.dtype.itemsize

    def block(self, start: int, stop: int) -> Block:
        """Convert the inputs from `start` to `stop`; a view where no conversion is needed."""
        with gpu.current(self.gpu):
            block = self._read(start, stop)
            xp = arrays.namespace(block.vectors)
            exponents = self.exponents[start:stop]
            scaled = block.scaled(-exponents) if exponents.any() else block
            return Block(xp.ascontiguousarray(scaled.vectors, self.dtype), block.offsets)

    @property
    def is_on_disk(self) -> bool:
        """Whether another process can read the values from where they lie, so that sending these is cheap."""
        return self._read.is_on_disk

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk that is read whenever a part of it is, of an array that is chunked on disk; else 0."""
        return self._read.chunk_bytes

    def part(self, start: int, stop: int) -> Activations:
        """Return the inputs from `start` to `stop`, without reading them."""
        return self._of_inputs(slice(start, stop), self._read.part(start, stop))

    def chosen(self, inputs: NDArray[np.int64]) -> Activations:
        """Return some inputs, in any order, without reading them; what had no labels is labelled by its number."""
        found = self._of_inputs(inputs, ChosenReader(self._read, inputs))
        return found if self.labels is not None else replace(found, labels=inputs)

    def in_memory(self) -> Activations:
        """Return the same, converted once, and kept in memory or where else the values lie.

        Raises
        ------
        ValueError
            If the values are not those that the activations were made with.
        """
        if self.gpu is not None or self.exponents.any():  # blocks are scaled, which readers' are not yet
            with gpu.current(self.gpu):
                whole = self._read(0, len(self))
                self._check_norms(np.ldexp(_squared_norms(whole, -self.exponents), 2 * self.exponents), 0)
                return replace(self, _read=BlockReader(whole))
        offsets = np.concatenate([[0], np.cumsum(self.positions)])
        vectors = np.empty((offsets[-1], self.channels), self.dtype)
        for start, stop in _chunks(self.positions, self.channels):  # so that little else is in memory meanwhile
            block = self.block(start, stop)
            self._check_norms(_squared_norms(block), start)
            vectors[offsets[start] : offsets[stop]] = block.vectors
        return replace(self, _read=BlockReader(Block(vectors, offsets)))

    def _check_norms(self, found: NDArray[np.float64], start: int) -> None:
        """Check that inputs have the norms that they had: files change, and other machines see other files."""
        expected = self.squared_norms[start : start + len(found)]
        different = ~(np.abs(found - expected) <= _SAME_NORM * expected)
        if different.any():
            raise ValueError(
                f"the activations are not what they were when the run began: {int(different.sum())} of {len(found)} "
                f"inputs differ, the first number {int(np.argmax(different))} of these; was the file written to, or is "
                f"it another one where a worker looks for it?"
            )

    def on_cpu(self) -> Activations:
        """Return the same, converted once, in memory of the CPU, from where it can be sent."""
        whole = self.in_memory()._read(0, len(self))
        return replace(self, gpu=None, _read=BlockReader(whole.on_cpu()))

    def _of_inputs(self, inputs: slice | NDArray[np.int64], reader: Reader) -> Activations:
        return replace(
            self,
            positions=self.positions[inputs],
            labels=None if self.labels is None else self.labels[inputs],
            squared_norms=self.squared_norms[inputs],
            exponents=self.exponents[inputs],
            _read=reader,
        )

    def digest(self) -> str:
        """Return a digest (SHA-256) of all that is computed with: the values as converted, and the sets they belong to.

        Equal activations have equal digests, whatever array or file they come in. Everything is read once, in chunks.
        """
        found = hashlib.sha256(f"{self.dtype} {self.channels} {len(self)}".encode())
        for numbers in (self.positions, self.exponents):
            found.update(numbers.astype("<i8").tobytes())
        for start, stop in _chunks(self.positions, self.channels):
            vectors = arrays.to_numpy(self.block(start, stop).vectors, self.dtype)
            found.update(np.ascontiguousarray(vectors, self.dtype.newbyteorder("<")).data)
        return found.hexdigest()

    @staticmethod
    def from_array(
        source: Any,
        *,
        layout: str = "auto",
        mask: Any = None,
        labels: Any = None,
        dtype: DTypeLike | None = None,
        drop_tokens: int | Sequence[int] = 0,
        subset: int | Any | None = None,
        seed: int = 0,
    ) -> Activations:
        """Check an array of activations and make it ready to be computed with.

        Reads everything once, in chunks of 16 MiB, to check the values and take their norms.

        Parameters
        ----------
        source : array, list of arrays, or Activations
            A NumPy, Torch or CuPy array (any float or integer type) of N inputs, or one on disk: a NumPy memmap, Zarr
            array, HDF5 dataset (h5py) or Dask array; or a list of N arrays (S_i, C), sets of concept vectors of
            different sizes. Activations are returned as they are.
        layout : {"auto", "nd", "ntd", "nchw", "nhwc"}
            What the dimensions are; "auto" reads two, three and four of them as the first three of these.
        mask : (N, S) bool array, optional
            True for positions that count; for nchw and nhwc also (N, H, W). The values of others are never looked
            at.
        labels : sequence of N str or int, optional
            What the inputs are called.
        dtype : float32 or float64, optional
            What to compute in; by default float64 for float64 values, else float32.
        drop_tokens : int or sequence of int, default 0
            Tokens to leave out of layout "ntd": the first so many, or those at these places (a vision
            transformer's class token is 1, or [0]).
        subset, seed
            Which inputs there are to be: see `choose_inputs`. Others are not read; they count for labels and mask.

        Returns
        -------
        Activations

        Raises
        ------
        TypeError
            If the values are not real numbers, or the dtype is neither float32 nor float64.
        ValueError
            If the dimensions do not fit the layout, a value is NaN or infinite, a set is empty, or labels or
            mask do not fit.
        """
        if isinstance(source, Activations):
            given = {"layout": layout != "auto", "drop_tokens": _dropped_tokens(drop_tokens).size > 0}
            given |= {"mask": mask is not None, "labels": labels is not None, "dtype": dtype is not None}
            _refuse("Activations, which are ready to be computed with", given)
            return source if subset is None else source.chosen(choose_inputs(len(source), subset, seed))
        dropped = _dropped_tokens(drop_tokens)
        ragged = isinstance(source, list | tuple) and len(source) > 0 and all(np.ndim(s) == 2 for s in source)
        if ragged:
            given = {"layout": layout not in ("auto", "ntd"), "mask": mask is not None, "drop_tokens": dropped.size > 0}
            _refuse("a list of sets (S_i, C)", given)
            sets = [arrays.as_array(s) for s in source]
            widest = any(arrays.is_float64(s) for s in sets)
            count, channels, layout = len(sets), int(sets[0].shape[1]), "ragged"
            _check_sets(sets)
            positions = np.array([int(s.shape[0]) for s in sets])
        else:
            array = arrays.as_array(source)
            layout = _resolve_layout(array, layout)
            count = int(array.shape[0])
            kept = _kept_tokens(array, layout, dropped)
            per_input = _positions(array, layout) if kept is None else len(kept)
            used = _check_mask(mask, array, layout, kept)
            widest = arrays.is_float64(array)
            channels = int(array.shape[1 if layout in ("nd", "nchw") else -1])
            positions = np.full(count, per_input) if used is None else used.sum(1)
        if count == 0 or channels == 0:
            raise ValueError(f"expected at least one input and one channel, got {count} inputs of {channels} channels")
        if (positions == 0).any():
            first = int(np.flatnonzero(positions == 0)[0])
            raise ValueError(f"input {first} has no positions: every set needs at least one concept vector")
        computed = _resolve_dtype(dtype, widest)
        # Values that float32 cannot hold are scaled before they are rounded to it.
        read_as = np.dtype(np.float64) if widest else computed
        reader: Reader = SetsReader(sets, read_as) if ragged else ArrayReader(array, layout, kept, used, read_as)
        labels = check_labels(labels, count)
        if subset is not None:
            inputs = choose_inputs(count, subset, seed)
            reader, positions, count = ChosenReader(reader, inputs), positions[inputs], len(inputs)
            labels = inputs if labels is None else labels[inputs]
        number = arrays.common_gpu(sets if ragged else [array])
        with gpu.current(number):
            if positions.sum() * channels * read_as.itemsize <= CHUNK_BYTES:
                reader = BlockReader(reader(0, count))
            exponents, squared_norms = _measure(reader, count, positions, channels, computed)
        return Activations(
            layout=layout,
            channels=channels,
            positions=positions.astype(np.int64),
            dtype=computed,
            labels=labels,
            squared_norms=squared_norms,
            exponents=exponents,
            gpu=number,
            _read=reader,
        )


def _refuse(what: str, given: Mapping[str, bool]) -> None:
    for name, was_given in given.items():
        if was_given:
            raise ValueError(f"{name} does not apply to {what}")


def _resolve_dtype(dtype: DTypeLike | None, widest: bool) -> np.dtype[np.floating]:
    if dtype is None:
        return np.dtype(np.float64 if widest else np.float32)
    found = np.dtype(dtype)
    if found not in _PLAIN_EXPONENTS:
        raise TypeError(f"dtype must be float32 or float64, got {found}")
    return found  # type: ignore[return-value]


def _resolve_layout(array: Any, layout: str) -> Layout:
    dimensions = len(array.shape)
    if layout == "auto":
        if dimensions not in _AUTO:
            raise ValueError(f"expected activations of 2, 3 or 4 dimensions, got shape {tuple(array.shape)}")
        return _AUTO[dimensions]
    if layout not in _DIMENSIONS:
        raise ValueError(f"unknown layout {layout!r}: expected 'auto' or one of {', '.join(map(repr, _DIMENSIONS))}")
    if dimensions != len(layout):
        raise ValueError(
            f"layout {layout!r} is {_DIMENSIONS[layout]}, {len(layout)} dimensions; got shape {tuple(array.shape)}"
        )
    return layout  # type: ignore[return-value]


def _positions(array: Any, layout: Layout) -> int:
    places = {"nd": (), "ntd": array.shape[1:2], "nchw": array.shape[2:], "nhwc": array.shape[1:3]}[layout]
    return int(np.prod(places))


def _dropped_tokens(drop: Any) -> NDArray[np.int64]:
    """Return the places of the tokens to leave out."""
    given = np.asarray(drop if isinstance(drop, int | np.integer) else arrays.small_numpy(drop))
    if given.size == 0:
        return np.zeros(0, np.int64)
    if given.dtype.kind not in "iu" or given.ndim > 1 or (given.ndim == 0 and not 0 <= given < 2**31):
        raise ValueError(
            f"drop_tokens must be how many tokens to leave out from the first, or a list of their places; got {drop!r}"
        )
    return np.arange(int(given)) if given.ndim == 0 else given.astype(np.int64)


def _kept_tokens(array: Any, layout: Layout, dropped: NDArray[np.int64]) -> NDArray[np.int64] | None:
    if not dropped.size:
        return None
    if layout != "ntd":
        raise ValueError(f"drop_tokens applies to layout 'ntd' (tokens), not to {layout!r}")
    tokens = int(array.shape[1])
    if dropped.min() < -tokens or dropped.max() >= tokens:
        raise ValueError(f"drop_tokens: there are {tokens} tokens, cannot leave out {dropped[:10].tolist()}")
    return np.delete(np.arange(tokens), dropped)


def _check_mask(mask: Any, array: Any, layout: Layout, kept: NDArray[np.int64] | None) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    found = arrays.small_numpy(mask)
    expected = (int(array.shape[0]), _positions(array, layout))
    if layout in ("nchw", "nhwc") and found.ndim == 3:
        spatial = tuple(array.shape[2:] if layout == "nchw" else array.shape[1:3])
        if found.shape[1:] == spatial:
            found = found.reshape(len(found), -1)
    if found.dtype != np.bool_ or found.shape != expected:
        raise ValueError(
            f"mask: expected booleans of shape {expected} (inputs, positions), True where a position counts; "
            f"got {found.dtype} of shape {found.shape}"
        )
    return found if kept is None else found[:, kept]


def _check_sets(sets: Sequence[Any]) -> None:
    channels = [int(s.shape[1]) for s in sets]
    for i, found in enumerate(channels):
        if found != channels[0]:
            raise ValueError(f"sets must have equal channels: set 0 has {channels[0]}, set {i} has {found}")


def _chunks(positions: NDArray[np.int64], channels: int) -> Iterator[tuple[int, int]]:
    size = max(1, int(CHUNK_BYTES / (8 * channels * max(1, positions.max()))))
    for start in range(0, len(positions), size):
        yield start, min(start + size, len(positions))


def _measure(
    reader: Reader,
    count: int,
    positions: NDArray[np.int64],
    channels: int,
    dtype: np.dtype[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Check that all values are finite; return each input's exponent and squared norm."""
    exponents = np.zeros(count, np.int64)
    squared_norms = np.empty(count)
    for start, stop in _chunks(positions, channels):
        block = reader(start, stop)
        squares = _squared_norms(block)
        plain = (squares > 2.0**-_SAFE_SQUARE) & (squares < 2.0**_SAFE_SQUARE)
        if not plain.all():
            exponents[start:stop] = _exponents(block, reader, start, positions, channels, dtype)
            squares = _squared_norms(block, -exponents[start:stop])
        squared_norms[start:stop] = np.ldexp(squares, 2 * exponents[start:stop])
    return exponents, squared_norms


def _squared_norms(block: Block, powers: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return the squared norm of each input, times two to a power first if some are given."""
    if powers is not None:
        block = Block(block.vectors.astype(np.float64), block.offsets).scaled(powers)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.add.reduceat(block.squares(), block.offsets[:-1])


def _exponents(
    block: Block,
    reader: Reader,
    start: int,
    positions: NDArray[np.int64],
    channels: int,
    dtype: np.dtype[np.floating],
) -> NDArray[np.int64]:
    """Return the power of two of each input's largest value, or 0 where inner products need no scaling."""
    of_vectors = arrays.to_numpy(abs(block.vectors).max(1), np.dtype(np.float64))
    largest = np.maximum.reduceat(of_vectors, block.offsets[:-1])
    if not np.isfinite(largest).all():
        _report_not_finite(reader, len(positions), positions, channels)
    powers = np.where(largest > 0, np.frexp(largest)[1], 0)
    if np.abs(powers).max() > _LARGEST_EXPONENT:
        worst = int(np.abs(powers).argmax())
        raise ValueError(
            f"input {start + worst} has a largest absolute value of {largest[worst]:.3g}, whose square does not "
            f"fit a float64: rescale the activations"
        )
    return np.where(np.abs(powers) <= _PLAIN_EXPONENTS[dtype], 0, powers)


def _report_not_finite(reader: Reader, count: int, positions: NDArray[np.int64], channels: int) -> None:
    bad, first = 0, -1
    for start, stop in _chunks(positions, channels):
        block = reader(start, stop)
        wrong = arrays.small_numpy((~arrays.namespace(block.vectors).isfinite(block.vectors)).sum(1))
        if wrong.any() and first < 0:
            row = int(np.flatnonzero(wrong)[0])
            first = start + int(np.searchsorted(block.offsets, row, side="right")) - 1
        bad += int(wrong.sum())
    raise ValueError(f"activations hold {bad} NaN or infinite values, the first of them in input {first} of {count}")
