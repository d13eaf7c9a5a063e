# SPDX-License-Identifier: Apache-2.0
"""Stores: folders of finished tiles, from which an interrupted run continues.

A store is a Zarr group (format 3) with an array of values (aligned inner products, unless a measure computes its own)
and an array of gaps if they were requested. Each tile is one chunk, written atomically and with a checksum; symmetric
jobs only have tiles on and above the diagonal. The group's attributes are the manifest, which identifies the run; it is
written before the first tile and never changed. Kernels are applied when values are read, so the manifest does not
include them.
"""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import filesystem
from simplugins._common.filesystem import MANIFEST, STORE_FORMAT
from simplugins._common.optional import import_extra
from simplugins.compute.job import TileResult
from simplugins.compute.sinks.store_manifest import read_tiling
from simplugins.compute.tiling import Tile, Tiling

_FORMAT_VERSION = 1
_VALUES, _GAP = "values", "gap"
_SIGMA = "median_sigma"
_NORMS, _OTHER_NORMS = "squared_norms", "other_squared_norms"
_LOCK = ".lock"


class DamagedError(ValueError):
    """Part of a store is missing or damaged."""


def _zarr() -> Any:
    return import_extra("zarr", extra="zarr", purpose="a store")


def check_storable(path: str | os.PathLike[str]) -> None:
    """Check that a path is a store or that one can be created there, before any computation.

    Raises
    ------
    ImportError
        If Zarr is not installed.
    ValueError, OSError
        As `Store.open` and `Store.create`.
    """
    _zarr()
    if not str(path):
        raise ValueError("store: expected the path of a folder, got an empty one")
    if Path(path).exists():
        Store.open(path)
    else:
        filesystem.check_writable(path)


def _read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of the store at a path; it is empty for any other Zarr folder."""
    filesystem.check_tree(path)
    try:
        group = _zarr().open_group(path, mode="r", use_consolidated=False)
        return dict(group.attrs.get("simplugins", {}))
    except ImportError:
        raise
    except Exception as error:  # Zarr raises many types of errors for damaged files
        raise ValueError(f"{path / MANIFEST} is damaged, or {path} is not a Zarr group: {error}") from error


@dataclass(frozen=True)
class Store:
    """An existing store.

    Attributes
    ----------
    path : Path
    manifest : mapping
        "measure" and "sigma" (of the call that created it), "run" (everything that its tiles depend on), "metadata" and
        "computed" (provenance), "labels", "other_labels".
    tiling : Tiling
    """

    path: Path
    manifest: Mapping[str, Any]
    tiling: Tiling

    @staticmethod
    def open(path: str | os.PathLike[str]) -> Store:
        """Open a store.

        Raises
        ------
        FileNotFoundError
            If there is nothing at the path.
        ValueError
            If the folder is not a store, is damaged, or has a later version of the format.
        """
        path = Path(path).absolute()
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        if not (path / MANIFEST).is_file():
            raise ValueError(f"{path} is not the store of a run: it has no {MANIFEST}")
        manifest = _read_manifest(path)
        if manifest.get("format") != STORE_FORMAT:
            raise ValueError(f"{path} is a Zarr folder, but not the store of a run by simplugins")
        try:
            filesystem.check_version(manifest["format_version"], _FORMAT_VERSION)
            store = Store(path, manifest, read_tiling(manifest))
            store._check_arrays()
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as a store: {error}; its tiles are untouched") from error
        return store

    @staticmethod
    def create(
        path: str | os.PathLike[str],
        manifest: Mapping[str, Any],
        tiling: Tiling,
        norms: NDArray[np.float64],
        other_norms: NDArray[np.float64] | None,
    ) -> Store:
        """Create a store atomically.

        Raises
        ------
        FileExistsError, FileNotFoundError, PermissionError
            As `simplugins._common.filesystem.check_writable`.
        """
        path = Path(path).absolute()
        filesystem.check_writable(path)
        zarr = _zarr()
        entries = {"format": STORE_FORMAT, "format_version": _FORMAT_VERSION, "tiling": vars(tiling), **manifest}
        with _explained(lambda: f"{path} could not be created"):
            unfinished = filesystem.unfinished_name(path)
            unfinished.mkdir()
            try:
                group = zarr.create_group(unfinished, attributes={"simplugins": entries}, zarr_format=3)
                for name in [_VALUES, _GAP] if manifest["run"]["certify"] else [_VALUES]:
                    _create_array(group, name, (tiling.rows, tiling.columns), tiling.tile_shape)
                for name, values in ((_NORMS, norms), (_OTHER_NORMS, other_norms)):
                    if values is not None:
                        _create_array(group, name, values.shape, values.shape)[:] = values
                _move(unfinished, path)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
        return Store.open(path)

    @cached_property
    def _group(self) -> Any:
        return _zarr().open_group(self.path, mode="r", use_consolidated=False)

    @cached_property
    def _writable_group(self) -> Any:
        return _zarr().open_group(self.path, mode="r+", use_consolidated=False)

    @property
    def certified(self) -> bool:
        """Whether gaps are stored too."""
        return bool(self.manifest["run"]["certify"])

    def _check_arrays(self) -> None:
        """Raise a ValueError if an array does not match the manifest."""
        shape, tile = (self.tiling.rows, self.tiling.columns), self.tiling.tile_shape
        for name in [_VALUES, _GAP] if self.certified else [_VALUES]:
            try:
                array = self._group[name]
                layout = array.shape, array.chunks, array.shards, str(array.dtype), len(array.filters)
                codecs = [type(codec).__name__ for codec in array.compressors]
            except Exception as error:  # as in `_read_manifest`
                raise ValueError(f"{name}/{MANIFEST} is missing or damaged: {error}") from error
            if layout[:2] != (shape, tile):
                raise ValueError(f"{name} is {array.shape} in tiles of {array.chunks}, expected {shape} in {tile}")
            if layout[2:] != (None, "float64", 0) or codecs != ["Crc32cCodec"]:
                raise ValueError(f"{name} is {array.dtype}, coded by {codecs}; expected float64 with a checksum only")

    def done(self) -> set[Tile]:
        """Return the stored tiles."""
        tiles = set(filter(self.tiling.contains, self._chunks(_VALUES)))
        return tiles & self._chunks(_GAP) if self.certified else tiles

    def _chunks(self, name: str) -> set[Tile]:
        folder = self.path / name / "c"
        if not folder.is_dir():
            return set()
        return {
            Tile(int(row.name), int(column.name))
            for row in os.scandir(folder)
            if row.name.isdecimal() and row.is_dir()
            for column in os.scandir(row.path)
            if column.name.isdecimal() and column.is_file()
        }

    def state(self) -> str:
        """Return the progress as text."""
        done = self.done()
        pairs = sum(map(self.tiling.pairs, done)) / max(1, self.tiling.total_pairs)
        return f"{len(done)} of {self.tiling.count} tiles ({np.floor(1000 * pairs) / 10:.1f} % of the pairs)"

    def check_finished(self) -> None:
        """Raise a ValueError if a tile is missing."""
        if len(self.done()) < self.tiling.count:
            raise ValueError(
                f"{self.path} is not finished: it holds {self.state()}; repeat the call that created it to continue"
            )

    def write(self, tile: Tile, result: TileResult) -> None:
        """Write a tile.

        Raises
        ------
        OSError
            If it cannot be written; stored tiles stay intact.
        """
        where, group = self.tiling.slices(tile), self._writable_group
        with _explained(lambda: f"{self.path}: a tile could not be written; {self.state()} are stored and intact"):
            if result.gap is not None:
                group[_GAP][where] = result.gap
            group[_VALUES][where] = result.values  # last, as it marks the tile as done

    def read(self, tile: Tile) -> NDArray[np.float64]:
        """Return the values of a tile.

        Raises
        ------
        DamagedError
            If the tile is missing, or does not match its checksum.
        """
        return self._read_tile(_VALUES, tile)

    def read_gap(self, tile: Tile) -> NDArray[np.float64]:
        """Return the gaps of a tile; raises as `read`."""
        return self._read_tile(_GAP, tile)

    def norms(self) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the squared norms of rows, and of columns if they are other inputs; raises as `read`."""
        rows = self._read_norms(_NORMS, self.tiling.rows)
        return rows, None if self.manifest["run"]["other"] is None else self._read_norms(
            _OTHER_NORMS, self.tiling.columns
        )

    def _read_norms(self, name: str, count: int) -> NDArray[np.float64]:
        norms = self._read(name, slice(count + 1), part=name)
        if norms.shape != (count,) or np.isnan(norms).any():
            raise DamagedError(
                f"{self.path}: {name} are missing; repeat the call that created the store to restore them"
            )
        return norms

    def mend_norms(self, norms: NDArray[np.float64], other_norms: NDArray[np.float64] | None) -> None:
        """Write squared norms again where they are damaged."""
        for name, values in ((_NORMS, norms), (_OTHER_NORMS, other_norms)):
            if values is None:
                continue
            try:
                intact = np.array_equal(self._read_norms(name, len(values)), values)
            except DamagedError:
                intact = False
            if not intact:
                with _explained(lambda: f"{self.path}: squared norms could not be written"):
                    _create_array(self._writable_group, name, values.shape, values.shape, overwrite=True)[:] = values

    def _read_tile(self, name: str, tile: Tile) -> NDArray[np.float64]:
        where = self.tiling.slices(tile)
        values = self._read(name, where, part=f"tile {tile.row}, {tile.column} of {name}")
        if np.isnan(values).any():  # the fill value of missing chunks
            raise DamagedError(f"{self.path}: tile {tile.row}, {tile.column} of {name} is missing")
        return values

    def _read(self, name: str, where: Any, *, part: str) -> NDArray[np.float64]:
        try:
            return np.asarray(self._group[name][where], np.float64)
        except (ImportError, OSError, MemoryError):
            raise  # not a sign of damage
        except Exception as error:  # as in `_read_manifest`
            raise DamagedError(
                f"{self.path}: {part} is damaged ({error}); the call that created the store restores it"
            ) from error

    def read_sigma(self) -> float | None:
        """Return the median bandwidth of the RBF kernel, if an earlier call stored it."""
        with suppress(DamagedError):
            sigma = self._read(_SIGMA, ..., part=_SIGMA)
            return None if np.isnan(sigma).any() else float(sigma[0])
        return None

    def write_sigma(self, sigma: float) -> None:
        """Store the median bandwidth of the RBF kernel, if the store can be written to."""
        with suppress(OSError):
            _create_array(self._writable_group, _SIGMA, (1,), (1,), overwrite=True)[:] = sigma

    def drop_damaged(self) -> None:
        """Read all tiles, and remove damaged ones with a warning."""
        damaged = []
        for tile in sorted(self.done()):
            try:
                self.read(tile)
                if self.certified:
                    self.read_gap(tile)
            except DamagedError:
                damaged.append(tile)
                for name in (_VALUES, _GAP):
                    (self.path / name / "c" / str(tile.row) / str(tile.column)).unlink(missing_ok=True)
        if damaged:
            first = f"{damaged[0].row}, {damaged[0].column}"
            warnings.warn(
                f"{self.path}: {len(damaged)} tiles are damaged, the first {first}; they will be recomputed",
                RuntimeWarning,
                stacklevel=2,
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing to the store; the lock is released even if this process is killed.

        Raises
        ------
        ValueError
            If another process is writing to it.
        """
        filelock = import_extra("filelock", extra="zarr", purpose="a store")
        lock, hint = self.path / _LOCK, ""
        if filelock.FileLock is filelock.SoftFileLock:  # no locks here: the file itself is the lock, also after a crash
            lock = lock.with_name(f"{_LOCK}.exists")
            hint = f"; if none is, remove {lock}"
        with _explained(lambda: f"{self.path} cannot be written to"):
            (self.path / _LOCK).touch()
        try:
            with filelock.FileLock(lock, blocking=False):
                for partial in self.path.glob("*/c/*/*.partial"):  # left by a process that was killed
                    with suppress(OSError):
                        partial.unlink()
                yield
        except filelock.Timeout:
            raise ValueError(f"{self.path}: another process is writing to this store{hint}") from None


def _create_array(
    group: Any, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], *, overwrite: bool = False
) -> Any:
    zarr = _zarr()
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype="float64",
        fill_value=np.nan,
        compressors=[zarr.codecs.Crc32cCodec()],
        dimension_names=["rows", "columns"][: len(shape)],
        overwrite=overwrite,
    )


def _move(folder: Path, path: Path) -> None:
    """Move a new store into place, unless another process has created one."""
    try:
        folder.rename(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise ValueError(f"{path}: another process has created this store") from None


@contextmanager
def _explained(failure: Callable[[], str]) -> Iterator[None]:
    """Prefix operating system errors with the operation that failed, such as "the store could not be created"."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f"{failure()}: {os.strerror(error.errno)}") from error
