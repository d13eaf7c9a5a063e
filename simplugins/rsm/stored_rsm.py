# SPDX-License-Identifier: Apache-2.0
"""An RSM that lies in a store, and is read where it is looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.labels import check_labels
from simplugins.compute.sinks.zarr_store import Store
from simplugins.compute.tiling import Tile
from simplugins.rsm import kernels
from simplugins.rsm.kernels import Sigma
from simplugins.rsm.medians import lower_median
from simplugins.rsm.rsm import RSM


class StoredRSM(RSM):
    """An RSM in a store: its parts are read when they are asked for, and the kernel is applied to what was read.

    It is an RSM like any other: whoever uses all of its values has them read into memory, once. What need not: its
    shape, labels and norms, ``rsm[rows, columns]``, and `tiles`. Changed copies of it are in memory.
    """

    store: Store

    def __new__(cls, *arguments: Any, **fields: Any) -> RSM:  # type: ignore[misc]
        """Make an RSM in memory: that is what changed copies are."""
        return RSM(*arguments, **fields)

    @classmethod
    def of_store(cls, store: Store, measure: str, kernel: str, sigma: Sigma) -> Self:
        """Make the RSM of a measure from a finished store, whose matching it uses."""
        norms, other_norms = store.norms()
        manifest = store.manifest
        labels = manifest["labels"], manifest["other_labels"]
        found = object.__new__(cls)
        made = {"measure": measure, "kernel": kernel, "sigma": None, "sigma_rule": None}
        found.__dict__.update(
            store=store,
            squared_norms=norms,
            other_squared_norms=other_norms,
            labels=check_labels(labels[0], store.grid.rows),
            other_labels=check_labels(labels[1], store.grid.columns),
            symmetric=store.grid.symmetric,
            made={**made, **manifest["made"], **_without_rounding(manifest["computed"])},
        )
        if kernel == "rbf":
            bandwidth = found._median_sigma() if sigma == "median" else float(sigma)
            found.__dict__["made"] |= {"sigma": bandwidth, "sigma_rule": "median" if sigma == "median" else "given"}
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        made = self.made
        sigma = "median" if made["sigma_rule"] == "median" else made["sigma"]
        return _reopened, (self.store.path, self.measure, made["kernel"], sigma)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.store.grid.rows, self.store.grid.columns

    def __len__(self) -> int:
        return self.store.grid.rows

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"RSM {self.measure}: {rows} x {columns}, {self._matching()} matching, in {self.store.path}"

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """All values, read at the first use."""
        return self[:, :]

    @cached_property
    def gap(self) -> NDArray[np.float64] | None:
        """All gaps, read at the first use; None if there are none."""
        return self._read(self.store.read_gap, slice(None), slice(None)) if self.store.certified else None

    def __getitem__(self, where: tuple[Any, Any]) -> NDArray[np.float64]:
        """Return the values of some rows and columns, reading no more than the tiles that they are in.

        Parameters
        ----------
        where : pair of slices, int, or sequences of int
            Which rows, and which columns of these; a number gives one row or column, without its dimension.

        Returns
        -------
        float64 array

        Raises
        ------
        DamagedError
            If a tile is not what was written: a ValueError that names it.
        """
        if not isinstance(where, tuple) or len(where) != 2:
            raise TypeError(f"expected rows and columns, as rsm[:10, :10], got {where!r}")
        return self._read(self._similarities, *where)

    def tiles(self) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
        """Yield all tiles: which rows, which columns, and their values; of a symmetric RSM none below the diagonal."""
        for tile in self.store.grid.tiles():
            yield *self.store.grid.slices(tile), self._similarities(tile)

    def _read(self, read: Any, rows: Any, columns: Any) -> NDArray[np.float64]:
        """Put together what is wanted from tiles, by a function that reads one."""
        grid = self.store.grid
        i, j = (np.arange(count)[key] for count, key in zip(self.shape, (rows, columns), strict=True))
        if np.ndim(i) > 1 or np.ndim(j) > 1:
            raise IndexError("expected rows and columns as numbers, slices or lists of numbers, as rsm[:10, [3, 5]]")
        found = np.empty((np.size(i), np.size(j)))
        row_blocks, column_blocks = (np.atleast_1d(inputs) // grid.size for inputs in (i, j))
        for row in np.unique(row_blocks):
            for column in np.unique(column_blocks):
                mirrored = grid.symmetric and row > column
                tile = Tile(int(column), int(row)) if mirrored else Tile(int(row), int(column))
                values = read(tile).T if mirrored else read(tile)
                at = np.flatnonzero(row_blocks == row), np.flatnonzero(column_blocks == column)
                inside = (np.atleast_1d(inputs)[where] % grid.size for inputs, where in zip((i, j), at, strict=True))
                found[np.ix_(*at)] = values[np.ix_(*inside)]
        return found.reshape(np.shape(i) + np.shape(j))

    def _similarities(self, tile: Tile) -> NDArray[np.float64]:
        products, norms, rounding = self._products(tile)
        sigma = self.made["sigma"]
        return kernels.similarities(str(self.made["kernel"]), products, *norms, rounding=rounding, sigma=sigma)

    def _products(self, tile: Tile) -> tuple[NDArray[np.float64], tuple[Any, Any], float]:
        """Return the aligned inner products of a tile, the norms of its rows and columns, and the rounding."""
        rows, columns = self.store.grid.slices(tile)
        other = self.squared_norms if self.other_squared_norms is None else self.other_squared_norms
        norms = self.squared_norms[rows], other[columns]
        return self.store.read(tile), norms, float(self.store.manifest["computed"]["rounding"])

    def _distances(self) -> Iterator[NDArray[np.float64]]:
        """Yield the squared distances of all pairs, each once."""
        for tile in self.store.grid.tiles():
            products, norms, rounding = self._products(tile)
            distances = kernels.squared_distances(products, *norms, rounding=rounding)
            diagonal = self.store.grid.on_diagonal(tile)
            yield distances[np.tril_indices(len(distances), -1)] if diagonal else distances

    def _median_sigma(self) -> float:
        """Return the bandwidth that `kernels.median_sigma` finds, in bounded memory."""
        if (known := self.store.read_sigma()) is not None:
            return known
        found = float(np.sqrt(lower_median(self._distances)))
        self.store.write_sigma(found)
        return found


def _without_rounding(computed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in computed.items() if name != "rounding"}


def _reopened(path: Any, measure: str, kernel: str, sigma: Sigma) -> StoredRSM:
    return StoredRSM.of_store(Store.open(path), measure, kernel, sigma)


def open_rsm(path: str | os.PathLike[str], *, measure: str | None = None, sigma: Sigma | None = None) -> StoredRSM:
    """Open the RSM in a finished store, without reading it.

    Parameters
    ----------
    path : path
    measure : str, optional
        Another measure of the same matching than the one that the store was made for.
    sigma : "median" or float, optional
        Another bandwidth of the RBF kernel.

    Raises
    ------
    FileNotFoundError, ValueError
        As `Store.open`; and if the store is not finished: the error says how much is done.
    """
    if measure is not None and not isinstance(measure, str):
        raise TypeError(f"measure must be the name of a measure, got {type(measure).__name__}")
    if sigma is not None:
        kernels.check_sigma(sigma)
    store = Store.open(path)
    store.check_finished()
    try:
        asked = str(store.manifest["measure"]) if measure is None else measure
        return StoredRSM.of_store(
            store, asked, kernel_of(asked, store), store.manifest["sigma"] if sigma is None else sigma
        )
    except KeyError as error:
        raise ValueError(f"{path} cannot be read as a store: its manifest lacks {error}") from error


def kernel_of(measure: str, store: Store) -> str:
    """Return the kernel of a measure, after checking that it is one of the store's matching.

    Raises
    ------
    ValueError
        If the measure is not one of ours, or of another matching.
    """
    kind, _, kernel = measure.rpartition("-")
    kinds = {"semantic", "spatio-semantic"} if store.manifest["run"]["matching"] == "identity" else {"semantic"}
    if kind not in kinds or kernel not in kernels.KERNELS:
        raise ValueError(
            f"measure {measure!r} is not one of the matching that is stored in {store.path}, "
            f"{store.manifest['run']['matching']!r}"
        )
    return kernel
