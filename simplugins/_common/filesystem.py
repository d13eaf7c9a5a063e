# SPDX-License-Identifier: Apache-2.0
"""Reading activations and labels, and writing files whole or not at all. No pickle is ever read."""

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
    """Check that a file may be written, before the work whose result it is to hold.

    Raises
    ------
    FileExistsError
        If it exists and may not be replaced.
    FileNotFoundError
        If its folder does not exist.
    PermissionError
        If its folder cannot be written to.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name, or allow it to be overwritten")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path}: the folder {path.parent} cannot be written to")


def write_whole(path: str | os.PathLike[str], write: Callable[[IO[bytes]], None], *, overwrite: bool = False) -> None:
    """Write a file beside its place and move it there once it is complete.

    Parameters
    ----------
    path : path
    write : callable
        Writes the content to the binary file that it is given.
    overwrite : bool, default False
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError, FileNotFoundError, PermissionError
        As `check_writable`.
    """
    check_writable(path, overwrite=overwrite)
    path = Path(path)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o666 & ~umask())
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def json_text(told: Mapping[str, Any]) -> str:
    """Return what there is to tell as JSON, with null in place of NaN, which JSON does not have.

    Examples
    --------
    >>> json.loads(json_text({"value": float("nan")}))
    {'value': None}
    """
    return json.dumps(_without_nan(told), indent=1, allow_nan=False) + "\n"


def _without_nan(told: Any) -> Any:
    if isinstance(told, Mapping):
        return {name: _without_nan(value) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [_without_nan(value) for value in told]
    return None if isinstance(told, float) and math.isnan(told) else told


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool = False) -> None:
    """Write a text to a file, UTF-8, whole or not at all; see `write_whole`."""

    def write(file: IO[bytes]) -> None:
        file.write(text.encode("utf-8"))

    write_whole(path, write, overwrite=overwrite)


def umask() -> int:
    """Return which permissions new files do not get."""
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
    """Write arrays and a JSON header to one .npz file, which NumPy can read too.

    Raises
    ------
    ValueError
        If the path does not end in .npz, or an array holds objects.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"{path}: expected a name that ends in .npz")
    text = json.dumps(header, indent=1)

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_HEADER, text)
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)

    write_whole(path, write, overwrite=overwrite)


def read_npz(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the arrays of a .npz file and its JSON header, which is empty if it has none.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no .npz file, is damaged, or holds pickled objects.
    """
    header = read_header(path)
    with _reading(path), open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if name != _HEADER}, header


def check_version(found: int, known: int) -> None:
    """Check that a file's format is not of a later version than is known.

    Raises
    ------
    ValueError
        If it is.
    """
    if found > known:
        raise ValueError(f"its format version is {found}, this simplugins reads up to {known}: upgrade simplugins")


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the JSON header of a .npz file, which is empty if it has none.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_npz`.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with _reading(path), zipfile.ZipFile(path) as archive:
        header = json.loads(archive.read(_HEADER)) if _HEADER in archive.namelist() else {}
    return header if isinstance(header, dict) else {}


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say which file could not be read: a damaged archive can raise almost anything, even a NotImplementedError."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{path} is not a readable .npz file: {error}") from error


STORE_FORMAT = "simplugins run"
MANIFEST = "zarr.json"


def is_store(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is the Zarr store of a run, without importing Zarr."""
    try:
        attributes = json.loads((Path(path) / MANIFEST).read_text(encoding="utf-8"))["attributes"]
        return bool(attributes["simplugins"]["format"] == STORE_FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False
