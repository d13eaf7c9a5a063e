# SPDX-License-Identifier: Apache-2.0
"""Values of an RSM in a store: read tile by tile, with the kernel applied to what was read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.labels import saved_labels
from simplugins.compute.sinks.zarr_store import Store
from simplugins.compute.tiling import Tile
from simplugins.rsm import kernels
from simplugins.rsm.kernels import Sigma
from simplugins.rsm.medians import lower_median
from simplugins.rsm.rsm import RSM, Part, index_arrays

DISTANCES = "squared distances"
"""The "values" of the run of a store that holds squared distances."""


class StoredValues:
    """Values of an RSM in a finished store.

    `matrix` and `gap` are read into memory once, at their first use.

    Parameters
    ----------
    store : Store
    kernel : {"linear", "cosine", "rbf"} or None
        Applied to what is stored: aligned inner products, or squared distances. None if the store holds the values
        themselves.
    sigma : float, "median" or None
        Bandwidth of the RBF kernel.
    """

    def __init__(self, store: Store, kernel: str | None, sigma: Sigma | None) -> None:
        self.store, self.kernel = store, kernel
        self.squared_norms, norms = store.norms()
        self._column_norms = self.squared_norms if norms is None else norms
        self.other_squared_norms = norms
        self.sigma_is_given = not (sigma is None or sigma == "median")
        self.sigma = None
        if kernel == "rbf":
            self.sigma = self._median_sigma() if sigma is None or sigma == "median" else float(sigma)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.store.path, self.kernel, self.sigma)

    @property
    def location(self) -> str:
        """The path of the store."""
        return str(self.store.path)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.store.tiling.rows, self.store.tiling.columns

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """All values, read at the first use."""
        return self.part(slice(None), slice(None))

    @cached_property
    def gap(self) -> NDArray[np.float64] | None:
        """All optimality gaps, read at the first use; None if there are none."""
        return self._read(self.store.read_gap, slice(None), slice(None)) if self.store.certified else None

    def part(self, rows: Any, columns: Any) -> NDArray[np.float64]:
        """Return the values of some rows and columns, reading no more than the tiles that hold them.

        Raises
        ------
        DamagedError
            A ValueError that names a tile that is not what was written.
        """
        return self._read(self._similarities, rows, columns)

    def tiles(self) -> Iterator[Part]:
        """Yield all tiles; of inputs with themselves, none below the diagonal."""
        for tile in self.store.tiling.tiles():
            yield *self.store.tiling.slices(tile), self._similarities(tile)

    def _read(self, read: Callable[[Tile], NDArray[np.float64]], rows: Any, columns: Any) -> NDArray[np.float64]:
        """Assemble the values of some rows and columns from tiles."""
        tiling = self.store.tiling
        i, j = index_arrays(self.shape, rows, columns)
        values = np.empty((i.size, j.size))
        row_blocks, column_blocks = np.atleast_1d(i) // tiling.size, np.atleast_1d(j) // tiling.size
        for row in np.unique(row_blocks):
            for column in np.unique(column_blocks):
                mirrored = tiling.symmetric and row > column
                tile = Tile(int(column), int(row)) if mirrored else Tile(int(row), int(column))
                block = read(tile).T if mirrored else read(tile)
                at = np.flatnonzero(row_blocks == row), np.flatnonzero(column_blocks == column)
                inside = (np.atleast_1d(index)[where] % tiling.size for index, where in zip((i, j), at, strict=True))
                values[np.ix_(*at)] = block[np.ix_(*inside)]
        return values.reshape(i.shape + j.shape)

    def _similarities(self, tile: Tile) -> NDArray[np.float64]:
        if self.kernel is None:
            return self.store.read(tile)
        values, norms, rounding = self._stored(tile)
        if self.sigma is None:
            return kernels.similarities(self.kernel, values, *norms, rounding=rounding, sigma=None)
        distances = self._squared_distances(values, norms, rounding)
        if self.sigma_is_given:
            kernels.warn_of_unresolved(distances, self.sigma, *norms, rounding=rounding)
        return kernels.rbf(distances, self.sigma)

    def _stored(self, tile: Tile) -> tuple[NDArray[np.float64], tuple[Any, Any], float]:
        """Return the stored values of a tile, the norms of its rows and columns, and the rounding error."""
        rows, columns = self.store.tiling.slices(tile)
        norms = self.squared_norms[rows], self._column_norms[columns]
        return self.store.read(tile), norms, float(self.store.manifest["computed"]["rounding"])

    def _squared_distances(
        self, values: NDArray[np.float64], norms: tuple[Any, Any], rounding: float
    ) -> NDArray[np.float64]:
        if holds_distances(self.store):
            return values
        return kernels.squared_distances(values, *norms, rounding=rounding)

    def _distances(self) -> Iterator[NDArray[np.float64]]:
        """Yield the squared distances of all pairs, each once."""
        for tile in self.store.tiling.tiles():
            distances = self._squared_distances(*self._stored(tile))
            diagonal = self.store.tiling.on_diagonal(tile)
            yield distances[np.tril_indices(len(distances), -1)] if diagonal else distances

    def _median_sigma(self) -> float:
        """Return the bandwidth of `kernels.median_sigma`, in bounded memory."""
        if (known := self.store.read_sigma()) is not None:
            return known
        sigma = float(np.sqrt(lower_median(self._distances)))
        rounding = float(self.store.manifest["computed"]["rounding"])
        kernels.warn_of_rounding(sigma, self.squared_norms, self._column_norms, rounding=rounding)
        self.store.write_sigma(sigma)
        return sigma


def _reopen(path: Any, kernel: str | None, sigma: float | None) -> StoredValues:
    return StoredValues(Store.open(path), kernel, sigma)


def stored_rsm(store: Store, measure: str, kernel: str | None, sigma: Sigma) -> RSM:
    """Return the RSM of a finished store under one of the measures that share its matching."""
    manifest = store.manifest
    holds_similarities = manifest["run"].get("normalize") == "matched"
    values = StoredValues(store, None if holds_similarities else kernel, sigma)
    computed = {name: value for name, value in manifest["computed"].items() if kernel or name != "rounding"}
    rule = None if kernel != "rbf" else "median" if sigma == "median" else "given"
    return RSM(
        source=values,
        measure=measure,
        squared_norms=values.squared_norms,
        other_squared_norms=values.other_squared_norms,
        **{name: saved_labels(manifest[name]) for name in ("labels", "other_labels") if manifest[name] is not None},
        kernel=kernel,
        matching=manifest["run"]["matching"],
        sigma=values.sigma,
        metadata={"sigma_rule": rule, **manifest["metadata"], **computed},
    )


def open_rsm(path: str | os.PathLike[str], *, measure: str | None = None, sigma: Sigma | None = None) -> RSM:
    """Open the RSM in a finished store without reading its values; see `simplugins.load_rsm`."""
    if measure is not None and not isinstance(measure, str):
        raise TypeError(f"measure must be the name of a measure, got {type(measure).__name__}")
    if sigma is not None:
        kernels.check_sigma(sigma)
    store = Store.open(path)
    store.check_finished()
    try:
        name = str(store.manifest["measure"]) if measure is None else measure
        return stored_rsm(store, name, kernel_of(name, store), store.manifest["sigma"] if sigma is None else sigma)
    except KeyError as error:
        raise ValueError(f"{path} cannot be read as a store: its manifest lacks {error}") from error


def holds_distances(store: Store) -> bool:
    """Whether a store holds squared distances, for the RBF kernel, rather than aligned inner products."""
    return bool(store.manifest["run"].get("values") == DISTANCES)


def kernel_of(measure: str, store: Store) -> str | None:
    """Return the kernel of a measure, after checking that it shares the matching of the store.

    Raises
    ------
    ValueError
        If the store cannot hold the measure.
    """
    matching, pooling = store.manifest["run"]["matching"], store.manifest["run"].get("pooling")
    if measure == store.manifest["measure"] and matching is None and pooling is None:
        return "rbf" if holds_distances(store) else None
    kind, _, kernel = measure.rpartition("-")
    by_matching = {"identity": {"semantic", "spatio-semantic"}, "shift": {"shift"}}
    kinds = {pooling} if pooling else by_matching.get(matching, {"semantic"})
    known = ("cosine",) if store.manifest["run"].get("normalize") == "matched" else kernels.KERNELS
    if (matching is None and pooling is None) or kind not in kinds or kernel not in known:
        held = f"pooling {pooling!r}" if pooling else f"matching {matching!r}"
        raise ValueError(
            f"{store.path} holds measure {store.manifest['measure']!r} with {held}, from which measure {measure!r} "
            f"cannot be computed"
        )
    return kernel
