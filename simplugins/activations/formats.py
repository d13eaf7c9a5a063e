# SPDX-License-Identifier: Apache-2.0
"""Reads activations from files. Pickled objects are never read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simplugins._common.npy_headers import read_npy_header
from simplugins._common.npz_archives import open_npz
from simplugins._common.optional import import_extra
from simplugins._common.texts import listed
from simplugins.activations import matlab
from simplugins.activations.hdf5_checks import check_values, is_in_file
from simplugins.activations.saved_activations import FORMAT, load
from simplugins.activations.torch_checks import check_tensor, load_tensors
from simplugins.activations.zarr_checks import check_zarr_array, open_zarr


def read_activations(path: str | os.PathLike[str], key: str | None = None) -> Any:
    """Read activations from a file.

    Parameters
    ----------
    path : path
        A file ending in .npy (opened as a memmap), .npz, .pt, .pth, .safetensors, .h5, .hdf5 or .mat (any version of
        MATLAB), in upper or lower case, or a Zarr folder ending in .zarr. Arrays of .npy, .h5, .hdf5, .zarr and .mat of
        version 7.3 stay on disk.
    key : str, optional
        The name of the array, needed if the file holds several.

    Returns
    -------
    array or Activations
        A NumPy array or memmap, a Torch tensor, an HDF5 dataset or a Zarr array; `Activations` from a file that
        `Activations.save` wrote. MATLAB arrays have their dimensions in MATLAB's order, which h5py shows in reverse.
        Texts in HDF5 and MATLAB files (char, cellstr), such as labels, are arrays of str; a cell array of arrays is a
        list.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If reading the format needs a package that is not installed.
    ValueError
        If the format is unknown, the file is damaged or holds pickled objects, or the key does not identify one array.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix != ".zarr" and path.is_dir():
        raise ValueError(f"{path} is a folder: expected a file, or the folder of a recording or a Zarr array")
    if suffix not in _READERS:
        raise ValueError(f"{path}: unknown format {path.suffix!r}, expected one of {', '.join(_READERS)}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if suffix != ".zarr" and not path.is_file():
        raise ValueError(f"{path} is not a file")
    try:
        return _READERS[suffix](path, key)
    except (ImportError, ArrayKeyError):
        raise
    except matlab.UnreadableVariableError as error:
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:
        raise ValueError(f"{path} could not be read as {suffix}: {error}") from error


def array_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of the arrays in a file; none if its only array has no name.

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        As for `read_activations`.
    """
    try:
        read_activations(path, _NO_NAME)
    except ArrayKeyError as error:
        return error.names
    raise AssertionError(f"{path} holds an array named {_NO_NAME!r}")


_NO_NAME = "<the names of the arrays>"


class ArrayKeyError(ValueError):
    """The key does not identify one array of the file.

    Parameters
    ----------
    before, after : str
        The message around the name of the option that holds the key, which `with_option` replaces.
    names : sequence of str
        The arrays of the file; empty if its only array has no name.
    """

    def __init__(self, before: str, after: str = "", names: Sequence[str] = ()) -> None:
        super().__init__(f"{before}key{after}" if after else before)
        self.before, self.after, self.names = before, after, tuple(names)

    def with_option(self, option: str) -> ValueError:
        """Return an error that names another option, such as one of the command line."""
        return ValueError(f"{self.before}{option}{self.after}" if self.after else self.before)


def choose_name(path: Path, names: list[str], key: str | None, noun: str = "array") -> str:
    """Return the key, after checking that there is such an array (or other noun), or by default the only name.

    Raises
    ------
    ValueError
        If there are no names.
    ArrayKeyError
        If the key is not among them, or there are several and no key.
    """
    if not names:
        raise ValueError(f"it holds no {noun}s")
    if key is None and len(names) > 1:
        before = f"{path} holds {len(names)} {noun}s: pass one of their names as "
        raise ArrayKeyError(before, f" ({listed(names)})", names)
    if key is not None and key not in names:
        raise ArrayKeyError(f"{path} holds no {noun} {key!r}; it holds {listed(names)}", names=names)
    return names[0] if key is None else key


def _no_key(path: Path, key: str | None) -> None:
    if key is not None:
        raise ArrayKeyError(f"{path} holds one array without a name: leave out ", f"={key!r}")


def _read_npy(path: Path, key: str | None) -> Any:
    _no_key(path, key)
    with path.open("rb") as file:
        read_npy_header(file).check_size(path.stat().st_size)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _read_npz(path: Path, key: str | None) -> Any:
    with open_npz(path) as archive:
        header = archive.header()
        if header.get("format") != FORMAT:
            return archive.read(choose_name(path, archive.names, key))
        _no_key(path, key)
        return load(archive.read_all(), header)


def _read_torch(path: Path, key: str | None) -> Any:
    torch = import_extra("torch", extra="torch", purpose=f"reading {path.suffix} files")
    loaded = load_tensors(torch, path)
    if isinstance(loaded, list | tuple) and len({part.ndim if torch.is_tensor(part) else None for part in loaded}) > 1:
        loaded = {str(number): part for number, part in enumerate(loaded)}
    if isinstance(loaded, Mapping):
        tensors = _by_name(loaded, torch.is_tensor)
        return check_tensor(tensors[choose_name(path, list(tensors), key)], path)
    _no_key(path, key)
    return check_tensor(loaded, path)


def _by_name(loaded: Mapping[Any, Any], is_tensor: Callable[[Any], bool], prefix: str = "") -> dict[str, Any]:
    """Return the tensors in nested mappings, whose keys are joined by dots."""
    tensors: dict[str, Any] = {}
    for name, value in loaded.items():
        entry = f"{prefix}{name}"
        part = _by_name(value, is_tensor, f"{entry}.") if isinstance(value, Mapping) else {entry: value}
        for key in (key for key, tensor in part.items() if is_tensor(tensor)):
            if key in tensors:
                raise ValueError(f"two of its tensors have the name {key!r} as text")
            tensors[key] = part[key]
    return tensors


def _read_safetensors(path: Path, key: str | None) -> Any:
    safetensors = import_extra("safetensors", extra="safetensors", purpose="reading .safetensors files")
    try:
        import_extra("torch", extra="torch", purpose="reading tensors")
        framework = "pt"
    except ImportError:
        framework = "np"
    with safetensors.safe_open(path, framework=framework) as archive:
        return archive.get_tensor(choose_name(path, list(archive.keys()), key))


def _read_hdf5(path: Path, key: str | None) -> Any:
    h5py = import_extra("h5py", extra="hdf5", purpose=f"reading {path.suffix} files")
    file = h5py.File(path, "r")
    try:
        return _read_hdf5_variable(file, path, key)
    except Exception:
        file.close()
        raise


def _read_hdf5_variable(file: Any, path: Path, key: str | None) -> Any:
    names = matlab.dataset_names(file)
    if key is not None and key not in names and is_in_file(file, key):
        matlab.read_hdf5_variable(file[key])  # raises an error that names the fields of a struct
    item = matlab.read_hdf5_variable(file[choose_name(path, names, key)])
    if not hasattr(item, "asstr"):
        return item
    return item.asstr()[()].astype(str) if check_values(item) == "text" else item


def _read_mat(path: Path, key: str | None) -> Any:
    if matlab.is_hdf5(path):
        return _read_hdf5(path, key)
    variables = matlab.list_variables(path)
    name = choose_name(path, list(variables), key)
    return matlab.read_variable(path, name, variables[name])


def _read_zarr(path: Path, key: str | None) -> Any:
    zarr = import_extra("zarr", extra="zarr", purpose=f"reading {path.suffix} folders")
    opened = open_zarr(zarr, path)
    if isinstance(opened, zarr.Array):
        _no_key(path, key)
        return check_zarr_array(opened)
    names = sorted(name for name, member in opened.members(max_depth=None) if isinstance(member, zarr.Array))
    return check_zarr_array(opened[choose_name(path, names, key)])


_READERS: dict[str, Callable[[Path, str | None], Any]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".safetensors": _read_safetensors,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".mat": _read_mat,
    ".zarr": _read_zarr,
}


FORMATS = tuple(_READERS)
"""Suffixes of the files that `read_activations` reads."""
