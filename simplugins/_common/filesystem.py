# SPDX-License-Identifier: Apache-2.0
"""Atomic writes, .npz files with a JSON header, and detection of run stores. Pickled objects are never read."""

from __future__ import annotations

import json
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_HEADER = "header.json"


def check_writable(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Check that a file can be created, before its content is computed.

    Raises
    ------
    FileExistsError
        If it exists and `overwrite` is False.
    FileNotFoundError
        If its folder does not exist.
    PermissionError
        If its folder is not writable.
    """
    path = Path(path)
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
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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


def umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
            archive.writestr(_HEADER, text)
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
        If it is not a .npz file, is damaged, or contains pickled objects.
    """
    header = read_header(path)
    with _reading(path), open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if name != _HEADER}, header


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
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with _reading(path), zipfile.ZipFile(path) as archive:
        header = json.loads(archive.read(_HEADER)) if _HEADER in archive.namelist() else {}
    return header if isinstance(header, dict) else {}


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn any error into a ValueError that names the file: zipfile and NumPy raise many types for damaged archives."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{path} is not a readable .npz file: {error}") from error


STORE_FORMAT = "simplugins run"
MANIFEST = "zarr.json"


def is_store(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a store (the Zarr folder of a run), without importing Zarr."""
    try:
        attributes = json.loads((Path(path) / MANIFEST).read_text(encoding="utf-8"))["attributes"]
        return bool(attributes["simplugins"]["format"] == STORE_FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False
