# SPDX-License-Identifier: Apache-2.0
"""Layouts of arrays: which dimension is which, the tokens to drop, masks, and the reader of such an array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays, ondisk
from simplugins.activations.blocks import Block, offsets_of, type_to_read

_DIMENSIONS = {
    "nd": "(inputs, channels)",
    "ntd": "(inputs, tokens, channels)",
    "nchw": "(inputs, channels, height, width)",
    "nhwc": "(inputs, height, width, channels)",
}
_AUTO = {2: "nd", 3: "ntd", 4: "nchw"}
_MAPS = ("nchw", "nhwc")


@dataclass(frozen=True)
class ArrayReader:
    """Reads an array of one of the layouts.

    Attributes
    ----------
    array : array
    layout : str
        "nd", "ntd", "nchw" or "nhwc".
    tokens : (S,) int64 array or None
        The tokens to read; None for all.
    mask : (N, S) bool array or None
        The positions to read, of each of the reader's inputs; None for all.
    dtype : numpy dtype
    first : int
        The number of the reader's first input in the array.
    """

    array: Any
    layout: str
    tokens: NDArray[np.int64] | None
    mask: NDArray[np.bool_] | None
    dtype: np.dtype[np.floating]
    first: int = 0

    def __call__(self, start: int, stop: int) -> Block:
        """Read and convert the inputs from `start` to `stop`."""
        part = arrays.loaded(self._opened()[self.first + start : self.first + stop])
        values = arrays.to_float(part, self.dtype)
        xp = arrays.namespace(values)
        if self.layout == "nd":
            values = values[:, None, :]
        elif self.layout == "nchw":
            values = values.reshape(*values.shape[:2], -1).transpose(0, 2, 1)
        elif self.layout == "nhwc":
            values = values.reshape(len(values), -1, values.shape[-1])
        if self.tokens is not None:
            values = values[:, xp.asarray(self.tokens)]
        if self.mask is not None:
            mask = self.mask[start:stop]
            return Block(values[xp.asarray(mask)], offsets_of(mask.sum(1)))
        inputs, positions, channels = values.shape
        return Block(values.reshape(-1, channels), np.arange(inputs + 1) * positions)

    def part(self, start: int, stop: int) -> Self:
        """Return a reader of the inputs from `start` to `stop`."""
        mask = None if self.mask is None else self.mask[start:stop]
        return replace(self, mask=mask, first=self.first + start)

    @property
    def positions(self) -> NDArray[np.int64]:
        """The number of positions of each input, (N,)."""
        if self.mask is not None:
            return np.asarray(self.mask.sum(1))
        size = math.prod(places_of(self.array, self.layout)) if self.tokens is None else len(self.tokens)
        return np.full(int(self.array.shape[0]), size)

    @property
    def channels(self) -> int:
        """The length of the concept vectors."""
        return int(self.array.shape[1 if self.layout in ("nd", "nchw") else -1])

    @property
    def gpu(self) -> int | None:
        """The number of the GPU that holds the array, or None."""
        return arrays.gpu_of(self.array)

    @property
    def is_on_disk(self) -> bool:
        """Whether another process can open the array too."""
        return self._address() is not None

    @property
    def chunk_bytes(self) -> int:
        """Size of the array's chunks, if it has any."""
        return arrays.chunk_bytes(self._opened())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "array": self._address() or self.array}

    def _address(self) -> ondisk.Address | None:
        return self.array if isinstance(self.array, ondisk.Address) else ondisk.address_of(self.array)

    def _opened(self) -> Any:
        """Return the array; in another process, open it at the first read, where an error is reported best."""
        if isinstance(self.array, ondisk.Address):
            self.__dict__["array"] = self.array.open()
        return self.array


def open_array(array: Any, layout: str, mask: Any, dropped: NDArray[np.int64], dtype: DTypeLike | None) -> ArrayReader:
    """Return the reader of an array, after checking that the options of `Activations.from_array` fit it."""
    layout = resolve_layout(array, layout)
    places = places_of(array, layout)
    tokens = remaining_tokens(dropped, layout, math.prod(places))
    if mask is not None:
        mask = read_mask(mask, int(array.shape[0]), math.prod(places), layout, places)
        mask = mask if tokens is None else mask[:, tokens]
    return ArrayReader(array, layout, tokens, mask, type_to_read(dtype, is_float64=arrays.is_float64(array)))


def resolve_layout(array: Any, layout: str) -> str:
    """Return the layout of an array, chosen by its number of dimensions if `layout` is "auto"."""
    shape = tuple(array.shape)
    if layout == "auto":
        if len(shape) not in _AUTO:
            raise ValueError(f"expected activations with 2, 3 or 4 dimensions, got shape {shape}")
        return _AUTO[len(shape)]
    if layout not in _DIMENSIONS:
        raise ValueError(f"layout must be 'auto' or one of {', '.join(map(repr, _DIMENSIONS))}, got {layout!r}")
    if len(shape) != len(layout):
        raise ValueError(f"layout {layout!r} is {_DIMENSIONS[layout]}, {len(layout)} dimensions; got shape {shape}")
    return layout


def places_of(array: Any, layout: str) -> tuple[int, ...]:
    """Return the shape of the positions of an input: () for "nd", (tokens,) for "ntd", else (height, width)."""
    places = {"nd": (), "ntd": array.shape[1:2], "nchw": array.shape[2:], "nhwc": array.shape[1:3]}[layout]
    return tuple(int(size) for size in places)


def read_drop_tokens(drop_tokens: int | Sequence[int]) -> NDArray[np.int64]:
    """Return the places of the tokens to drop, after checking that they are a count or a list of places."""
    values = np.asarray(drop_tokens if isinstance(drop_tokens, int | np.integer) else arrays.small_numpy(drop_tokens))
    if values.size == 0:
        return np.zeros(0, np.int64)
    if values.dtype.kind not in "iu" or values.ndim > 1 or (values.ndim == 0 and not 0 <= values < 2**31):
        raise ValueError(
            f"drop_tokens must be the number of leading tokens to drop, or a list of their places; got {drop_tokens!r}"
        )
    return np.arange(int(values)) if values.ndim == 0 else values.astype(np.int64)


def remaining_tokens(dropped: NDArray[np.int64], layout: str, tokens: int) -> NDArray[np.int64] | None:
    """Return the places of the tokens that remain, after checking that those to drop exist; None for all."""
    if not dropped.size:
        return None
    if layout != "ntd":
        raise ValueError(f"drop_tokens applies to layout 'ntd' (tokens), not to {layout!r}")
    if dropped.min() < -tokens or dropped.max() >= tokens:
        raise ValueError(f"drop_tokens: cannot drop {dropped[:10].tolist()} from {tokens} tokens")
    return np.delete(np.arange(tokens), dropped)


def read_mask(
    mask: Any, count: int, positions: int, layout: str, places: tuple[int, ...] | None = None
) -> NDArray[np.bool_]:
    """Return a mask as (N, S), after checking that it fits.

    Parameters
    ----------
    mask : (N, S) bool array, or (N, height, width) for maps
    count, positions : int
        N and S.
    layout : str
    places : (height, width), optional
        The size of the maps; by default any height and width whose product is S are accepted.

    Raises
    ------
    ValueError
        If the mask has another shape or type.
    """
    values = arrays.small_numpy(mask)
    if layout in _MAPS and values.ndim == 3 and places in (None, values.shape[1:]):
        values = values.reshape(len(values), math.prod(values.shape[1:]))
    if values.dtype != np.bool_ or values.shape != (count, positions):
        maps = f" or {(count, *places)}" if places and layout in _MAPS else ""
        raise ValueError(
            f"mask: expected booleans of shape {(count, positions)}{maps}, True for positions to use; "
            f"got {values.dtype} of shape {tuple(np.shape(mask))}"
        )
    return values
