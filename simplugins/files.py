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

from simplugins.extras import import_extra

_HEADER = "header.json"


def read_activations(path: str | os.PathLike[str], key: str | None = None) -> Any:
    """Read an array of activations from a file.

    Parameters
    ----------
    path : path
        A file ending in .npy (opened as a memmap), .npz, .pt, .pth, .safetensors, .h5 or .hdf5, or a Zarr folder ending
        in .zarr. Arrays of .npy, .h5, .hdf5 and .zarr stay on disk.
    key : str, optional
        Which array, in a file that can hold several; not needed if it holds one.

    Returns
    -------
    array
        A NumPy array or memmap, a Torch tensor, an HDF5 dataset or a Zarr array.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If reading the format needs a package that is not installed.
    ValueError
        If the format is unknown, the file is damaged or holds pickled objects, or the key does not single out an
        array.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise ValueError(f"{path}: unknown format {path.suffix!r}, expected one of {', '.join(_READERS)}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return _READERS[path.suffix](path, key)
    except (ImportError, _ArrayKeyError):
        raise
    except Exception as error:
        raise ValueError(f"{path} could not be read as {path.suffix}: {error}") from error


class _ArrayKeyError(ValueError):
    """The key does not single out an array of the file."""


def _choose(path: Path, names: list[str], key: str | None) -> str:
    listed = ", ".join(names) or "nothing"
    if key is None:
        if len(names) != 1:
            raise _ArrayKeyError(f"{path} holds {len(names)} arrays: say which with a key; it holds {listed}")
        return names[0]
    if key not in names:
        raise _ArrayKeyError(f"{path} holds no array {key!r}; it holds {listed}")
    return key


def _no_key(path: Path, key: str | None) -> None:
    if key is not None:
        raise _ArrayKeyError(f"{path} holds one array without a name, so there is no {key!r} in it")


def _read_npy(path: Path, key: str | None) -> Any:
    _no_key(path, key)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _read_npz(path: Path, key: str | None) -> Any:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return archive[_choose(path, archive.files, key)]


def _read_torch(path: Path, key: str | None) -> Any:
    torch = import_extra("torch", extra="torch", purpose=f"reading {path.suffix} files")
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(loaded, Mapping):
        return loaded[_choose(path, [k for k, v in loaded.items() if torch.is_tensor(v)], key)]
    _no_key(path, key)
    return loaded


def _read_safetensors(path: Path, key: str | None) -> Any:
    safetensors = import_extra("safetensors", extra="safetensors", purpose="reading .safetensors files")
    try:
        import_extra("torch", extra="torch", purpose="reading tensors")
        framework = "pt"
    except ImportError:
        framework = "np"
    with safetensors.safe_open(path, framework=framework) as archive:
        return archive.get_tensor(_choose(path, list(archive.keys()), key))


def _read_hdf5(path: Path, key: str | None) -> Any:
    h5py = import_extra("h5py", extra="hdf5", purpose=f"reading {path.suffix} files")
    file = h5py.File(path, "r")
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return file[_choose(path, names, key)]


def _read_zarr(path: Path, key: str | None) -> Any:
    zarr = import_extra("zarr", extra="zarr", purpose=f"reading {path.suffix} folders")
    opened = zarr.open(path, mode="r")
    if isinstance(opened, zarr.Array):
        _no_key(path, key)
        return opened
    return opened[_choose(path, sorted(name for name, _ in opened.arrays()), key)]


_READERS: dict[str, Callable[[Path, str | None], Any]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".safetensors": _read_safetensors,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".zarr": _read_zarr,
}

FORMATS = tuple(_READERS)
"""What names of files end in that `read_activations` reads."""


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


def read_labels(path: str | os.PathLike[str]) -> list[str]:
    """Read labels from a text file, UTF-8, one a line.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not UTF-8 text, or has an empty line before its end.
    """
    labels = _lines(path)
    if "" in labels:
        raise ValueError(f"{path}: line {labels.index('') + 1} is empty, expected a label on each line")
    return labels


def read_label_sets(path: str | os.PathLike[str]) -> list[list[str]]:
    """Read the labels of inputs from a text file, UTF-8: on each line those of one, with commas between them, or none.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not UTF-8 text.
    """
    return [[label.strip() for label in line.split(",") if label.strip()] for line in _lines(path)]


def _lines(path: str | os.PathLike[str]) -> list[str]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file of labels, one a line: {error}") from error
