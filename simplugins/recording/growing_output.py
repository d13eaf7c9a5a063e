# SPDX-License-Identifier: Apache-2.0
"""Activations of one output of a layer, appended batch by batch: an array, or sets of unequal size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.activations.layouts import RAGGED, Layout
from simplugins.activations.positions import read_drop_tokens, remaining_tokens
from simplugins.activations.readers import open_concatenated


class Store(Protocol):
    """Storage of recorded activations by name, in memory or on disk."""

    def append(self, name: str, values: NDArray[np.floating]) -> None:
        """Append activations of more inputs, with the type and shape of the earlier ones."""

    def convert(self, name: str, function: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        """Replace the values stored under a name by the function's results for their parts, one after the other."""

    def arrays(self) -> dict[str, NDArray[np.floating]]:
        """Complete the store and return its arrays."""

    def describe(self, layers: Mapping[str, Mapping[str, Any]], labels: NDArray[Any] | None) -> None:
        """Store "shape", "dtype", "layout" and "drop_tokens" of each array, and the labels.

        Arrays of concatenated sets also have "positions", the size of each set.
        """


class GrowingOutput:
    """The activations of one output of a layer.

    Values are stored as the layer returned them while all positions count and all inputs have the same number. From the
    first batch for which this does not hold, only the concept vectors that count are stored, concatenated.

    Parameters
    ----------
    name : str
    store : Store
    axes : Layout
        The layout of the values, inputs first.
    drop_tokens : int or list of int
        The number of leading tokens, or the indices of tokens, that do not count.
    """

    def __init__(self, name: str, store: Store, axes: Layout, drop_tokens: int | list[int]) -> None:
        self.name, self.axes = name, axes
        self._store, self._drop_tokens = store, drop_tokens
        self._dropped = read_drop_tokens(drop_tokens)
        self._inputs = 0
        self._shape: tuple[int, ...] = ()
        self._sizes: list[NDArray[np.int64]] | None = None
        """The numbers of positions of the inputs, batch by batch; None for an array."""

    @property
    def options(self) -> dict[str, Any]:
        """Options for reading the stored array: layout, dropped tokens and, for concatenated sets, their sizes."""
        if self._sizes is None:
            return {"layout": self.axes.name, "drop_tokens": self._drop_tokens}
        return {"layout": RAGGED, "drop_tokens": 0, "positions": np.concatenate(self._sizes)}

    def append(self, values: NDArray[np.floating], mask: NDArray[np.bool_] | None) -> None:
        """Append the activations of a batch.

        Parameters
        ----------
        values : (n, ...) array
        mask : (n, S) bool array or None
            The positions that count; None for all.

        Raises
        ------
        ValueError
            If an input has no positions left, a value that counts is NaN or infinite, or the dropped tokens are
            ambiguous because of the mask.
        """
        is_first = self._inputs == 0
        if self._sizes is None and mask is None and (is_first or values.shape[1:] == self._shape):
            if is_first or not np.isfinite(values).all():  # report bad options and values early
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # precision is a matter of all inputs
                    Activations.from_array(values, layout=self.axes.name, drop_tokens=self._drop_tokens)
            self._shape = values.shape[1:]
            self._store.append(self.name, values)
        else:
            self._append_sets(values, mask)
        self._inputs += len(values)

    def _append_sets(self, values: NDArray[np.floating], mask: NDArray[np.bool_] | None) -> None:
        if self._sizes is None:
            self._become_sets()
        vectors, sizes = self._sets(values, mask)
        if not np.isfinite(vectors).all() or not sizes.all():
            Activations.from_reader(open_concatenated(vectors, sizes), sizes, layout=self.axes.name)  # raises the error
        self._store.append(self.name, vectors)
        self._sizes = [*(self._sizes or []), sizes]

    def _become_sets(self) -> None:
        """Turn the array stored so far into concatenated sets."""
        self._sizes = []
        if self._inputs:

            def convert(values: NDArray[np.floating]) -> NDArray[np.floating]:
                vectors, sizes = self._sets(values, None)
                self._sizes = [*(self._sizes or []), sizes]
                return vectors

            self._store.convert(self.name, convert)

    def _sets(
        self, values: NDArray[np.floating], mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Return the concept vectors that count, concatenated, and the number per input."""
        vectors = values.transpose(self.axes.order).reshape(len(values), -1, values.shape[self.axes.channels])
        mask = np.ones(vectors.shape[:2], np.bool_) if mask is None else mask
        if self._dropped is not None:
            tokens = remaining_tokens(self._dropped, self.axes, vectors.shape[1])
            _check_dropped(self._dropped, mask, tokens)
            vectors, mask = vectors[:, tokens], mask[:, tokens]
        return vectors[mask], mask.sum(1)


def _check_dropped(dropped: NDArray[np.int64], mask: NDArray[np.bool_], tokens: NDArray[np.int64]) -> None:
    """Check that indices drop the same tokens, whether they count all tokens of a layer or only the unmasked ones."""
    for number, counts in enumerate(mask):
        unmasked = np.flatnonzero(counts)
        indices = dropped[(dropped >= -len(unmasked)) & (dropped < len(unmasked))]
        if set(np.delete(unmasked, indices)) != set(tokens[counts[tokens]]):
            raise ValueError(
                f"drop_tokens counts all tokens of a layer, but the mask of input {number} excludes tokens that are "
                f"not at the end (padding on the left?): exclude the tokens to drop with the mask, or pass "
                f"drop_tokens='special'"
            )
