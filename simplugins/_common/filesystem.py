# SPDX-License-Identifier: Apache-2.0
"""Atomic writes, .npz files with a JSON header, checks of links in folders, and detection of run stores."""

from __future__ import annotations

import json
import math
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.npz_archives import HEADER, NpzArchive, open_npz


def check_writable(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Check that a file can be created, before its content is computed.

    Raises
    ------
    FileExistsError
        If it exists and `overwrite` is False.
    FileNotFoundError
        If its folder does not exist.
    IsADirectoryError
        If it is a folder, which nothing replaces.
    PermissionError
        If its folder is not writable.
    """
    path = Path(path)
    if path.is_dir() and overwrite:
        raise IsADirectoryError(f"{path} is a folder: choose another name")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists: choose another name, or pass overwrite=True (--force on the command line)"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path}: the folder {path.parent} is not writable")


def write_whole(path: str | os.PathLike[str], write: Callable[[IO[bytes]], None], *, overwrite: bool = False) -> None:
    """Write a file under a temporary name in the same folder, and rename it once it is complete.

    Parameters
    ----------
    path : path
    write : callable
        Writes the content to a binary file, its only argument.
    overwrite : bool, default False
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError, FileNotFoundError, PermissionError
        As for `check_writable`.
    """
    check_writable(path, overwrite=overwrite)
    path = Path(path)
    temporary = unfinished_name(path)
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


_LONGEST_NAME = 255
"""Bytes of a file name, on most file systems."""


def unfinished_name(path: Path) -> Path:
    """Return a unique hidden name in the same folder, for a file or folder that is being written."""
    ending = f".{secrets.token_hex(8)}.part"
    start = os.fsencode(f".{path.name}")[: _LONGEST_NAME - len(ending)]
    return path.with_name(start.decode("utf-8", "ignore") + ending)


def json_text(values: Mapping[str, Any]) -> str:
    """Return values as JSON text, with null for NaN, which JSON lacks.

    Examples
    --------
    >>> json.loads(json_text({"value": float("nan")}))
    {'value': None}
    """
    return json.dumps(_without_nan(values), indent=1, allow_nan=False) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(element) for name, element in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(element) for element in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool = False) -> None:
    """Write a UTF-8 text file whole or not at all; see `write_whole`."""

    def write(file: IO[bytes]) -> None:
        file.write(text.encode("utf-8"))

    write_whole(path, write, overwrite=overwrite)


def write_npz(
    path: str | os.PathLike[str],
    arrays: Mapping[str, NDArray[Any]],
    header: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write arrays and a JSON header to one .npz file, whose arrays NumPy can read.

    Raises
    ------
    ValueError
        If the path does not end in .npz, or an array contains objects.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"{path}: expected a path ending in .npz")
    text = json.dumps(header, indent=1)

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(HEADER, text)
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)

    write_whole(path, write, overwrite=overwrite)


def read_npz(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the arrays of a .npz file and its JSON header, {} if it has none.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it is not a .npz file, is damaged, contains pickled objects, or declares more than it holds.
    """
    with _reading(path) as archive:
        return archive.read_all(), archive.header()


def check_version(version: int, newest: int) -> None:
    """Raise a ValueError if a file has a later format version than this simplugins can read."""
    if version > newest:
        raise ValueError(f"format version {version}, this simplugins reads versions up to {newest}: upgrade simplugins")


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the JSON header of a .npz file, {} if it has none.

    Raises
    ------
    FileNotFoundError, ValueError
        As for `read_npz`.
    """
    with _reading(path) as archive:
        return archive.header()


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[NpzArchive]:
    """Open a .npz file; any error becomes a ValueError that names the file, because zipfile raises many types."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with open_npz(path) as archive:
            yield archive
    except Exception as error:
        raise ValueError(f"{path} is not a readable .npz file: {error}") from error


def check_tree(folder: str | os.PathLike[str]) -> None:
    """Check that a folder holds only files and folders, and no links that lead out of it.

    Raises
    ------
    ValueError
        If a link leads elsewhere, an entry is neither a file nor a folder, or a JSON file of metadata is too large.
    """
    pending = [os.path.realpath(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_symlink():
                    check_inside(folder, entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    raise ValueError(f"{entry.path} is neither a file nor a folder")
                elif entry.name in _METADATA:
                    check_json_size(entry.path)


def check_inside(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Raise a ValueError if a path in a folder is a link that leads out of it; the folder itself may be a link."""
    root, target = os.path.realpath(folder), os.path.realpath(path)
    if os.path.commonpath([root, target]) != root:
        raise ValueError(f"{path} is a link to {target}, outside {folder}: replace it with a copy of its target")


def check_json_size(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError if a JSON file is too large to be read."""
    if (size := os.stat(path).st_size) > _MOST_JSON_BYTES:
        raise ValueError(f"{path} has {size} bytes, expected at most {_MOST_JSON_BYTES}")


STORE_FORMAT = "simplugins run"
MANIFEST = "zarr.json"
_METADATA = {MANIFEST, ".zarray", ".zgroup", ".zattrs", ".zmetadata"}
_MOST_JSON_BYTES = 2**28


def is_store(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a store (the Zarr folder of a run), without importing Zarr."""
    try:
        manifest = Path(path) / MANIFEST
        check_json_size(manifest)
        attributes = json.loads(manifest.read_bytes())["attributes"]
        return bool(attributes["simplugins"]["format"] == STORE_FORMAT)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
