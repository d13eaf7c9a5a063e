# SPDX-License-Identifier: Apache-2.0
"""Stores: a folder that a run's finished tiles are written to, and that the run goes on from, whatever stopped it.

It is a Zarr group (format 3) with an array of the aligned inner products, and one of gaps if they are asked for; a
chunk is a tile, written whole or not at all, with a checksum. Of inputs with themselves there are the tiles on and
above the diagonal. The group's attributes are the manifest, which says what the store is of; it is written before the
first tile and never changed. The kernel comes last, so it is not part of the store.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
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
from simplugins.compute.engines import AlignedProducts
from simplugins.compute.tiling import Grid, Tile

_FORMAT_VERSION = 1
_PRODUCTS, _GAP = "products", "gap"
_SIGMA = "median_sigma"
_TOLD = {"measure", "sigma", "run", "made", "computed", "labels", "other_labels"}
_NORMS, _OTHER_NORMS = "squared_norms", "other_squared_norms"
_LOCK = ".lock"


class DamagedError(ValueError):
    """What a store holds is not what was written to it."""


def _zarr() -> Any:
    return import_extra("zarr", extra="zarr", purpose="a store")


def check_storable(path: str | os.PathLike[str]) -> None:
    """Check, before any work, that there is a store at a path, or that there can be one.

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
    """Read the manifest of the store at a path; that of another Zarr folder is empty."""
    try:
        group = _zarr().open_group(path, mode="r")
        return dict(group.attrs.get("simplugins", {}))
    except ImportError:
        raise
    except Exception as error:  # Zarr raises what its parts do
        raise ValueError(f"{path / MANIFEST} is damaged, or {path} is no Zarr group: {error}") from error


@dataclass(frozen=True)
class Store:
    """A store that exists.

    Attributes
    ----------
    path : Path
    manifest : mapping
        What it is of: "measure" and "sigma" (of the call that made it), "run" (all that its tiles depend on),
        "made" and "computed" (what is told of how they are computed), "labels", "other_labels".
    grid : Grid
    """

    path: Path
    manifest: Mapping[str, Any]
    grid: Grid

    @staticmethod
    def open(path: str | os.PathLike[str]) -> Store:
        """Open a store.

        Raises
        ------
        FileNotFoundError
            If there is nothing at the path.
        ValueError
            If what is there is no store, is damaged, or comes from a later version of the format.
        """
        path = Path(path).absolute()
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        if not (path / MANIFEST).is_file():
            raise ValueError(f"{path} is no store of a run: it has no {MANIFEST}")
        manifest = _read_manifest(path)
        if manifest.get("format") != STORE_FORMAT:
            raise ValueError(f"{path} is a Zarr folder, but no store of a run by simplugins")
        try:
            filesystem.check_version(manifest["format_version"], _FORMAT_VERSION)
            if missing := _TOLD - set(manifest):
                raise ValueError(f"its manifest lacks {', '.join(sorted(missing))}")
            store = Store(path, manifest, Grid(**manifest["grid"]))
            store._check_arrays()
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ValueError(f"{path} cannot be read as a store: {error}; its tiles are left as they are") from error
        return store

    @staticmethod
    def create(
        path: str | os.PathLike[str],
        manifest: Mapping[str, Any],
        grid: Grid,
        norms: NDArray[np.float64],
        other_norms: NDArray[np.float64] | None,
    ) -> Store:
        """Make a new store, whole or not at all.

        Raises
        ------
        FileExistsError, FileNotFoundError, PermissionError
            As `simplugins._common.filesystem.check_writable`.
        """
        path = Path(path).absolute()
        filesystem.check_writable(path)
        zarr = _zarr()
        told = {"format": STORE_FORMAT, "format_version": _FORMAT_VERSION, "grid": vars(grid), **manifest}
        with _explained(lambda: f"{path} could not be made"):
            beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
            try:
                beside.chmod(0o777 & ~filesystem.umask())
                group = zarr.create_group(beside, attributes={"simplugins": told}, zarr_format=3)
                for name in [_PRODUCTS, _GAP] if manifest["run"]["certify"] else [_PRODUCTS]:
                    _create_array(group, name, (grid.rows, grid.columns), grid.tile_shape)
                for name, values in ((_NORMS, norms), (_OTHER_NORMS, other_norms)):
                    if values is not None:
                        _create_array(group, name, values.shape, values.shape)[:] = values
                _move(beside, path)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise
        return Store.open(path)

    @cached_property
    def _group(self) -> Any:
        return _zarr().open_group(self.path, mode="r")

    @cached_property
    def _writable_group(self) -> Any:
        return _zarr().open_group(self.path, mode="r+")

    @property
    def certified(self) -> bool:
        """Whether gaps are stored too."""
        return bool(self.manifest["run"]["certify"])

    def _check_arrays(self) -> None:
        """Check that the arrays are those that the manifest speaks of; a ValueError says which is not."""
        shape, tile = (self.grid.rows, self.grid.columns), self.grid.tile_shape
        for name in [_PRODUCTS, _GAP] if self.certified else [_PRODUCTS]:
            try:
                array = self._group[name]
                fits = (array.shape, array.chunks) == (shape, tile)
            except Exception as error:  # Zarr raises what its parts do
                raise ValueError(f"{name}/{MANIFEST} is missing or damaged: {error}") from error
            if not fits:
                raise ValueError(f"{name} is {array.shape} in tiles of {array.chunks}, expected {shape} in {tile}")

    def done(self) -> set[Tile]:
        """Return the tiles that are there."""
        found = self._chunks(_PRODUCTS) & set(self.grid.tiles())
        return found & self._chunks(_GAP) if self.certified else found

    def _chunks(self, name: str) -> set[Tile]:
        folder = self.path / name / "c"
        if not folder.is_dir():
            return set()
        return {
            Tile(int(row.name), int(column.name))
            for row in os.scandir(folder)
            if row.name.isdigit() and row.is_dir()
            for column in os.scandir(row.path)
            if column.name.isdigit() and column.is_file()
        }

    def state(self) -> str:
        """Say how much is done."""
        done = self.done()
        pairs = sum(map(self.grid.pairs, done)) / max(1, self.grid.total_pairs)
        return f"{len(done)} of {self.grid.count} tiles ({np.floor(1000 * pairs) / 10:.1f} % of the pairs)"

    def check_finished(self) -> None:
        """Check that all tiles are there.

        Raises
        ------
        ValueError
            If one is missing.
        """
        if len(self.done()) < self.grid.count:
            raise ValueError(
                f"{self.path} is not finished: it holds {self.state()}; the same call that started it goes on with it"
            )

    def write(self, tile: Tile, found: AlignedProducts) -> None:
        """Write a tile.

        Raises
        ------
        OSError
            If it cannot be written. What was stored before is as it was.
        """
        where, group = self.grid.slices(tile), self._writable_group
        with _explained(lambda: f"{self.path}: a tile could not be written; {self.state()} are stored and intact"):
            if found.gap is not None:
                group[_GAP][where] = found.gap
            group[_PRODUCTS][where] = found.values  # the last: it says that the tile is done

    def read(self, tile: Tile) -> NDArray[np.float64]:
        """Return the aligned inner products of a tile.

        Raises
        ------
        DamagedError
            If the tile is missing, or its checksum says that it is not what was written.
        """
        return self._read_tile(_PRODUCTS, tile)

    def read_gap(self, tile: Tile) -> NDArray[np.float64]:
        """Return the gaps of a tile; raises as `read`."""
        return self._read_tile(_GAP, tile)

    def norms(self) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the squared norms of rows, and of columns, if these are others; raises as `read`."""
        return self._read_norms(_NORMS), None if self.grid.symmetric else self._read_norms(_OTHER_NORMS)

    def _read_norms(self, name: str) -> NDArray[np.float64]:
        found = self._read(name, ..., what=name)
        if np.isnan(found).any():
            raise DamagedError(f"{self.path}: {name} are missing; the same call that made the store writes them again")
        return found

    def mend_norms(self, norms: NDArray[np.float64], other_norms: NDArray[np.float64] | None) -> None:
        """Write squared norms again where they are not what they should be."""
        for name, values in ((_NORMS, norms), (_OTHER_NORMS, other_norms)):
            if values is None:
                continue
            try:
                intact = np.array_equal(self._read_norms(name), values)
            except DamagedError:
                intact = False
            if not intact:
                with _explained(lambda: f"{self.path}: squared norms could not be written"):
                    _create_array(self._writable_group, name, values.shape, values.shape, overwrite=True)[:] = values

    def _read_tile(self, name: str, tile: Tile) -> NDArray[np.float64]:
        where = self.grid.slices(tile)
        found = self._read(name, where, what=f"tile {tile.row}, {tile.column} of {name}")
        if np.isnan(found).any():  # what a missing chunk is filled with
            raise DamagedError(f"{self.path}: tile {tile.row}, {tile.column} of {name} is missing")
        return found

    def _read(self, name: str, where: Any, *, what: str) -> NDArray[np.float64]:
        try:
            return np.asarray(self._group[name][where], np.float64)
        except (ImportError, OSError, MemoryError):
            raise  # that tells nothing about the file
        except Exception as error:  # whatever a damaged file has Zarr raise
            raise DamagedError(
                f"{self.path}: {what} is damaged ({error}); the same call that made the store computes it again"
            ) from error

    def read_sigma(self) -> float | None:
        """Return the RBF kernel's bandwidth by the median, if it has been found before."""
        with suppress(DamagedError):
            found = self._read(_SIGMA, ..., what=_SIGMA)
            return None if np.isnan(found).any() else float(found[0])
        return None

    def write_sigma(self, sigma: float) -> None:
        """Remember the RBF kernel's bandwidth by the median, if the store can be written to."""
        with suppress(OSError):
            _create_array(self._writable_group, _SIGMA, (1,), (1,), overwrite=True)[:] = sigma

    def drop_damaged(self) -> list[Tile]:
        """Read all tiles, and remove those that are not what was written, with a warning; return them."""
        damaged = []
        for tile in sorted(self.done()):
            try:
                self.read(tile)
                if self.certified:
                    self.read_gap(tile)
            except DamagedError:
                damaged.append(tile)
                for name in (_PRODUCTS, _GAP):
                    (self.path / name / "c" / str(tile.row) / str(tile.column)).unlink(missing_ok=True)
        if damaged:
            first = f"{damaged[0].row}, {damaged[0].column}"
            warnings.warn(
                f"{self.path}: {len(damaged)} tiles are damaged, the first {first}; they are computed again",
                RuntimeWarning,
                stacklevel=2,
            )
        return damaged

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from writing to the store meanwhile; the system lets go of it whatever stops this one.

        Raises
        ------
        ValueError
            If another process is at it.
        """
        try:
            import fcntl
        except ImportError:  # Windows has no such locks
            yield
            return
        with _explained(lambda: f"{self.path} cannot be written to"):
            lock = (self.path / _LOCK).open("w", encoding="ascii")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{self.path}: another process is writing to this store") from None
            for left in self.path.glob("*/c/*/*.partial"):  # by a process that was killed
                with suppress(OSError):
                    left.unlink()
            yield


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
    """Put a new store in its place, if nothing has got there meanwhile."""
    try:
        folder.rename(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise ValueError(f"{path}: another process has made this store meanwhile") from None


@contextmanager
def _explained(what: Callable[[], str]) -> Iterator[None]:
    """Say what could not be done, where the system says only why; what there is to say is asked for then."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f"{what()}: {os.strerror(error.errno)}") from error
