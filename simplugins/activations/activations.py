# SPDX-License-Identifier: Apache-2.0
"""Activations: the responses of a network to N inputs, as sets of concept vectors."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays
from simplugins._common.formatting import counted
from simplugins.activations.blocks import (
    CHUNK_BYTES,
    ArrayReader,
    Block,
    BlockReader,
    chunks,
    measure_norms,
    offsets_of,
    open_array,
)
from simplugins.activations.labels import check_labels
from simplugins.activations.positions import read_drop_tokens
from simplugins.activations.reader_protocol import Reader
from simplugins.activations.readers import SelectionReader, SetsReader, is_list_of_sets, open_sets, read_sets
from simplugins.activations.refinement import refine
from simplugins.activations.scaling import check_norms, read_dtype
from simplugins.activations.sources import read_source
from simplugins.activations.subsets import choose_inputs


@dataclass(frozen=True, eq=False, repr=False)
class Activations:
    """The responses of a network to N inputs, each a set of concept vectors.

    Functions that accept arrays of activations also accept `Activations`. Construct them with `from_array` or
    `from_sets`; `simplugins.record` returns them. Values on disk or on a GPU stay there and are read block by block.

    Attributes
    ----------
    layout : str
        The layout of the original array, one letter per dimension; "ragged" for a list of sets.
    channels : int
        Length of the concept vectors, C.
    positions : (N,) int64 array
        Number of concept vectors of each input, S_i; masked positions and dropped tokens do not count.
    grid : tuple of int or None
        Sizes of the dimensions of positions, such as (height, width); None for sets or if positions were left out.
    same_positions : bool
        False if a mask left out different positions of different inputs.
    dtype : numpy dtype
        The type to compute in, float32 or float64.
    labels : (N,) array of str or int64, or None
    squared_norms : (N,) float64 array
        Squared Frobenius norm of each input's response.
    exponents : (N,) int64 array
        Blocks hold each input divided by two to this power, so that inner products fit; zero for ordinary values.
    gpu : int or None
        The index of the GPU that holds the values; None for the CPU, or if CuPy is not installed.
    widened : bool
        Whether float64 replaces float32, which would lose the differences of inputs that share a large mean.
    prepared : mapping
        How the values were prepared: "center" and "normalize", if these options were used.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import Activations
    >>> maps = np.random.default_rng(0).normal(size=(5, 8, 4, 4)).astype(np.float32)
    >>> x = Activations.from_array(maps, layout="nchw", labels=list("abcde"))
    >>> x
    Activations(5 inputs, 16 positions, 8 channels, float32, layout 'nchw', labelled)
    >>> x.shape, x[0].shape, np.asarray(x).shape
    ((5, 16, 8), (16, 8), (5, 16, 8))
    >>> Activations.from_array(x, mask=maps[:, 0] > 0, subset=[0, 2])
    Activations(2 inputs, 5 to 7 positions, 8 channels, float32, layout 'nchw', labelled)
    """

    layout: str
    channels: int
    positions: NDArray[np.int64]
    dtype: np.dtype[np.floating]
    labels: NDArray[Any] | None
    squared_norms: NDArray[np.float64]
    exponents: NDArray[np.int64]
    gpu: int | None
    _reader: Reader
    widened: bool = False
    grid: tuple[int, ...] | None = None
    same_positions: bool = True
    prepared: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_array(
        cls,
        array: Any,
        *,
        layout: str = "auto",
        mask: Any = None,
        labels: Any = None,
        dtype: DTypeLike | None = None,
        drop_tokens: int | Sequence[int] = 0,
        subset: int | Any | None = None,
        seed: int = 0,
    ) -> Activations:
        """Check an array of activations and prepare it for computations.

        Reads all values once, in chunks of 16 MiB, to check them and to compute their norms.

        Parameters
        ----------
        array : array, list of arrays, or Activations
            N inputs as a NumPy, Torch or CuPy array of any float or integer type; an on-disk array (NumPy memmap, Zarr
            array, h5py dataset, Dask array); a list of N sets (S_i, C), as for `from_sets`; or Activations, to which
            the other options are applied. Names of dimensions (xarray, netCDF4, Zarr, h5py) give the layout, those of
            pandas frames and coordinates the labels; a masked array's positions that are masked do not count.
        layout : str, default "auto"
            One letter per dimension, such as "nhwc" or "nct" (see `simplugins.parse_layout`). "auto" reads two, three
            and four dimensions as "nd", "ntd" and "nchw"; shapes such as (N, 32, 32, 3), which look like images with
            channels last, need a layout.
        mask : (N, S) array of bool, or of 0 and 1, optional
            True for positions to use; for maps also (N, H, W). Other positions may be NaN, except in Activations.
        labels : sequence of N str or int, optional
            Names of the inputs, from any library. None, NaN and blank texts are errors, which `partial_labels` allows.
        dtype : float32 or float64, optional
            The type to compute in; by default float64 for float64 values, else float32 (but see `widened`).
        drop_tokens : int or sequence of int, default 0
            Tokens to drop: the number of leading tokens (1 for a vision transformer's class token), or the indices.
        subset : int or sequence of int, optional
            The inputs to use: a number to draw at random, or indices. Only these are read; `labels` and `mask` still
            cover all N inputs.
        seed : int, default 0
            Seed of the random draw.

        Raises
        ------
        TypeError
            If the values are not real numbers, or the dtype is neither float32 nor float64.
        ValueError
            If dimensions do not match the layout, values are NaN or infinite, or options do not fit the array.
        """
        dropped = read_drop_tokens(drop_tokens) if np.ndim(drop_tokens) or drop_tokens != 0 else None
        if isinstance(array, Activations):
            return refine(array, layout, mask, labels, dtype, dropped, subset, seed)
        if isinstance(array, list | tuple) and any(isinstance(element, Activations) for element in array):
            raise TypeError("expected an array or a list of sets (S_i, C), got a list of Activations")
        if not arrays.is_plain(array):
            array, layout, mask, labels = read_source(array, layout, mask, labels)
        if isinstance(array, list | tuple) and is_list_of_sets(array):
            reader: ArrayReader | SetsReader = open_sets(array, dtype, layout, mask, dropped)
        else:
            reader = open_array(arrays.as_array(array), layout, mask, dropped, dtype)
        if dtype is None:
            dtype = arrays.type_of_integers(reader.sets if isinstance(reader, SetsReader) else [reader.array])
        facts: Any = {"layout": reader.layout, "grid": reader.grid, "same_positions": reader.same_positions}
        return cls.from_reader(reader, reader.positions, dtype=dtype, labels=labels, subset=subset, seed=seed, **facts)

    @classmethod
    def from_sets(cls, sets: Iterable[Any], *, labels: Any = None, dtype: DTypeLike | None = None) -> Activations:
        """Check N sets of concept vectors, which may differ in size, and prepare them for computations.

        Parameters
        ----------
        sets : iterable of N arrays (S_i, C)
            Arrays of any library, as for `from_array`.
        labels, dtype
            As for `from_array`.

        Raises
        ------
        TypeError, ValueError
            As for `from_array`; and if a set is not of shape (S_i, C).

        Examples
        --------
        >>> x = Activations.from_sets([np.ones((3, 2)), np.zeros((5, 2))])
        >>> x
        Activations(2 inputs, 3 to 5 positions, 2 channels, float64, layout 'ragged')
        >>> [vectors.shape for vectors in x.sets()]
        [(3, 2), (5, 2)]
        """
        return cls.from_array(read_sets(sets), labels=labels, dtype=dtype)

    @classmethod
    def from_reader(
        cls,
        reader: Reader,
        positions: NDArray[np.int64],
        *,
        layout: str,
        dtype: DTypeLike | None = None,
        labels: Any = None,
        subset: Any = None,
        seed: int = 0,
        grid: tuple[int, ...] | None = None,
        same_positions: bool = True,
    ) -> Activations:
        """Construct from a reader: select the subset, check all values once, and keep small data in memory."""
        requested = reader.dtype if dtype is None else read_dtype(dtype)
        count, channels, gpu = len(positions), reader.channels, reader.gpu
        if count == 0 or channels == 0:
            raise ValueError(f"expected at least one input and one channel, got {count} inputs of {channels} channels")
        if not positions.all():
            raise ValueError(f"input {int(np.argmin(positions))} has no positions: every input needs at least one")
        labels = None if labels is None else check_labels(labels, count)
        if subset is not None:
            inputs = choose_inputs(count, subset, seed)
            reader, positions = SelectionReader(reader, inputs), positions[inputs]
            labels = inputs if labels is None else labels[inputs]
        with arrays.on_gpu(gpu):
            if positions.sum() * channels * reader.dtype.itemsize <= CHUNK_BYTES:
                reader = BlockReader(reader(0, len(positions)))
            computed, exponents, squared_norms = measure_norms(reader, positions, channels, requested)
        return cls(
            layout=layout,
            channels=channels,
            positions=positions.astype(np.int64),
            dtype=computed,
            labels=labels,
            squared_norms=squared_norms,
            exponents=exponents,
            gpu=gpu,
            _reader=reader,
            widened=computed != requested,
            grid=grid,
            same_positions=same_positions,
        )

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def shape(self) -> tuple[int, int | None, int]:
        """(N, S, C); (N, None, C) if the inputs have unequal numbers of positions."""
        size = int(self.positions[0])
        return len(self), size if (self.positions == size).all() else None, self.channels

    def __repr__(self) -> str:
        size = f"{counted(len(self), 'input')}, {self.describe_positions()}, {counted(self.channels, 'channel')}"
        gpu = "" if self.gpu is None else f", on GPU {self.gpu}"
        reason, labelled = " for a large common mean" * self.widened, ", labelled" * (self.labels is not None)
        return f"Activations({size}, {self.dtype}{reason}, layout {self.layout!r}{gpu}{labelled})"

    def describe_positions(self) -> str:
        """Return the number of positions as text, such as "49 positions" or "3 to 7 positions"."""
        least, most = int(self.positions.min()), int(self.positions.max())
        return counted(most, "position") if least == most else f"{least} to {most} positions"

    def __getitem__(self, number: int) -> NDArray[np.floating]:
        """Return the (S_i, C) concept vectors of one input as a new NumPy array, unscaled."""
        if not isinstance(number, int | np.integer):
            raise TypeError(f"expected the index of an input, got {number!r}: for several inputs, use subset=")
        if not -len(self) <= number < len(self):
            raise IndexError(f"index {number} is out of range for {counted(len(self), 'input')}")
        start = int(number) % len(self)
        return self._values(start, start + 1)[0].copy()

    def sets(self) -> Iterator[NDArray[np.floating]]:
        """Yield the (S_i, C) concept vectors of each input as a new NumPy array, unscaled."""
        for start, stop in chunks(self.positions, self.channels):
            vectors, offsets = self._values(start, stop)
            for first, last in itertools.pairwise(offsets):
                yield vectors[first:last].copy()

    def array(self) -> NDArray[np.floating]:
        """Return all concept vectors as a new (N, S, C) NumPy array, unscaled.

        Its type is `dtype`, or float64 if the original values are float64 and blocks are scaled (see `exponents`).

        Raises
        ------
        ValueError
            If the inputs have unequal numbers of positions.
        """
        count, size, channels = self.shape
        if size is None:
            raise ValueError(
                f"the inputs have {self.describe_positions()}, so there is no (N, S, C) array: iterate over sets()"
            )
        values = np.empty((count, size, channels), self._values(0, 1)[0].dtype)
        for start, stop in chunks(self.positions, channels):
            values[start:stop] = self._values(start, stop)[0].reshape(-1, size, channels)
        return values

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("Activations become a NumPy array by copying: leave out copy=False")
        return self.array() if dtype is None else self.array().astype(dtype, copy=False)

    def _values(self, start: int, stop: int) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Return the unscaled concept vectors of some inputs, possibly a view, and the inputs' offsets."""
        with arrays.on_gpu(self.gpu):
            block = self._reader(start, stop)
            dtype = self._reader.dtype if self.exponents.any() else self.dtype
            return arrays.to_numpy(block.vectors, dtype), block.offsets

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the values, labels and layout to a path that ends in .npz, which `simplugins.read_activations` reads.

        An existing file is only replaced if `overwrite` is True.

        Raises
        ------
        FileExistsError
            If the file exists and `overwrite` is False.
        ValueError
            If the path does not end in .npz.
        """
        from simplugins.activations.saved_activations import save

        save(self, path, overwrite=overwrite)

    @property
    def input_bytes(self) -> int:
        """Size of the largest input in a block."""
        return int(self.positions.max()) * self.channels * self.dtype.itemsize

    @property
    def is_on_disk(self) -> bool:
        """Whether other processes can read the values from disk, so that pickling does not copy them."""
        return self._reader.is_on_disk

    @property
    def chunk_bytes(self) -> int:
        """Bytes per chunk of an array on disk, the smallest unit that can be read; 0 if it is not chunked."""
        return self._reader.chunk_bytes

    def block(self, start: int, stop: int) -> Block:
        """Return the converted inputs from `start` to `stop`, as a view if no conversion is needed."""
        with arrays.on_gpu(self.gpu):
            block = self._reader(start, stop)
            xp = arrays.namespace(block.vectors)
            exponents = self.exponents[start:stop]
            scaled = block.scaled(-exponents) if exponents.any() else block
            return Block(xp.ascontiguousarray(scaled.vectors, self.dtype), block.offsets)

    def part(self, start: int, stop: int) -> Activations:
        """Return the inputs from `start` to `stop`, without reading them."""
        return self._with_inputs(slice(start, stop), self._reader.part(start, stop))

    def chosen(self, inputs: NDArray[np.int64]) -> Activations:
        """Return some inputs, in any order, without reading them; labels default to their indices."""
        result = self._with_inputs(inputs, SelectionReader(self._reader, inputs))
        return result if self.labels is not None else replace(result, labels=inputs)

    def _with_inputs(self, inputs: slice | NDArray[np.int64], reader: Reader) -> Activations:
        return replace(
            self,
            positions=self.positions[inputs],
            labels=None if self.labels is None else self.labels[inputs],
            squared_norms=self.squared_norms[inputs],
            exponents=self.exponents[inputs],
            _reader=reader,
        )

    def in_memory(self) -> Activations:
        """Return the same activations, converted and held in memory (of the GPU, if they are on one).

        Raises
        ------
        ValueError
            If the values have changed since they were first read.
        """
        if self.gpu is not None or self.exponents.any():  # keep unscaled values: `block` scales what readers return
            with arrays.on_gpu(self.gpu):
                whole = self._reader(0, len(self))
                check_norms(np.ldexp(whole.squared_norms(-self.exponents), 2 * self.exponents), self.squared_norms)
                return replace(self, _reader=BlockReader(whole))
        offsets = offsets_of(self.positions)
        vectors = np.empty((offsets[-1], self.channels), self.dtype)
        for start, stop in chunks(self.positions, self.channels):  # chunks limit temporary memory
            block = self.block(start, stop)
            check_norms(block.squared_norms(), self.squared_norms[start:stop])
            vectors[offsets[start] : offsets[stop]] = block.vectors
        return replace(self, _reader=BlockReader(Block(vectors, offsets)))

    def on_cpu(self) -> Activations:
        """Return the same activations, converted and held in host memory, for sending to other processes."""
        return replace(self, gpu=None, _reader=BlockReader(self.in_memory()._reader(0, len(self)).on_cpu()))

    def digest(self) -> str:
        """Return the SHA-256 of the converted values and the numbers of positions, computed in chunks.

        Equal activations have equal digests, regardless of the array or file that holds them.
        """
        sha256 = hashlib.sha256(f"{self.dtype} {self.channels} {len(self)}".encode())
        for numbers in (self.positions, self.exponents):
            sha256.update(numbers.astype("<i8").tobytes())
        for start, stop in chunks(self.positions, self.channels):
            vectors = arrays.to_numpy(self.block(start, stop).vectors, self.dtype)
            sha256.update(np.ascontiguousarray(vectors, self.dtype.newbyteorder("<")).data)
        return sha256.hexdigest()
