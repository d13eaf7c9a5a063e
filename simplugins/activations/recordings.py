# SPDX-License-Identifier: Apache-2.0
"""Recordings on disk: a folder with one .npy file per layer and an index of the layers.

Files are written under temporary names and renamed when complete. The index is written last, so a folder with an index
is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from simplugins._common import filesystem
from simplugins._common.json_objects import parse_object
from simplugins._common.texts import listed
from simplugins._common.validation import error_prefix
from simplugins.activations import formats
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import CHUNK_BYTES
from simplugins.activations.labels import saved_labels
from simplugins.activations.layer_names import select
from simplugins.activations.readers import open_concatenated
from simplugins.activations.saved_checks import check_index

INDEX = "recording.json"
_FORMAT = "simplugins recording"
_FORMAT_VERSION = 1
_UNFINISHED, _CONVERTED = ".part", ".sets"


def read_recorded(folder: str | os.PathLike[str], layers: str | Sequence[str] | None = None) -> dict[str, Activations]:
    """Open a recording: a folder written by `record`.

    Parameters
    ----------
    folder : path
    layers : str or sequence of str, optional
        Names or patterns of layers, as for `record`; by default all layers.

    Returns
    -------
    dict of str to Activations
        By layer, as `record` returned them. The values stay on disk: they are read once now, to check them and compute
        their norms, and again in each computation.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If the folder contains no complete recording, files are missing or damaged (the error lists up to 20), or a
        requested layer does not exist.
    """
    folder = Path(folder)
    index = _read_index(folder)
    try:
        described = index["layers"]
        names = described if layers is None else select(described, layers, owner=f"the recording {folder}")
        opened = _open_arrays(folder, {name: described[name] for name in names})
        labels = saved_labels(index["labels"])
        options = {name: _options(described[name], index) for name in names}
        return {name: layer_activations(name, array, **options[name], labels=labels) for name, array in opened.items()}
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{folder / INDEX} is damaged: {type(error).__name__}: {error}") from error


def is_recording(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a folder written by `record`."""
    return (Path(path) / INDEX).is_file()


def read_layer(folder: str | os.PathLike[str], name: str | None = None) -> Activations:
    """Open one layer of a folder written by `record`.

    Parameters
    ----------
    folder : path
    name : str, optional
        The name of the layer, required if there are several.

    Raises
    ------
    FileNotFoundError, ValueError
        As for `read_recorded`; and if the name does not identify one layer.
    """
    layers = list(_read_index(Path(folder))["layers"])
    (layer,) = read_recorded(folder, formats.choose_name(Path(folder), layers, name, "layer")).values()
    return layer


def layer_activations(
    name: str,
    array: NDArray[Any],
    *,
    layout: str,
    drop_tokens: int | Sequence[int],
    positions: NDArray[np.int64] | None = None,
    labels: Any = None,
) -> Activations:
    """Return the activations of a layer in a recorded array.

    Parameters
    ----------
    name : str
    array : array
    layout, drop_tokens, labels
        As for `Activations.from_array`.
    positions : (N,) int64 array, optional
        The sizes of sets concatenated in a (T, C) array.
    """
    with error_prefix(f"layer {name!r}"):
        if positions is None:
            return Activations.from_array(array, layout=layout, drop_tokens=drop_tokens, labels=labels)
        return Activations.from_reader(open_concatenated(array, positions), positions, layout=layout, labels=labels)


def _options(entry: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for reading a layer's array, from its entry in the index."""
    options = {"layout": entry["layout"], "drop_tokens": entry["drop_tokens"]}
    if "positions" in entry:
        if type(entry["positions"]) is not int or entry["positions"] < 0:
            raise TypeError(f"positions: expected the index of a list of sizes, got {entry['positions']!r}")
        options["positions"] = _sizes(index["positions"][entry["positions"]])
    return options


def _sizes(positions: Any) -> NDArray[np.int64]:
    """Return the sizes of concatenated sets, after checking them."""
    sizes = np.asarray(positions)
    if sizes.dtype.kind != "i" or sizes.ndim != 1 or sizes.size == 0 or sizes.min() < 1:
        raise TypeError(f"positions: expected the number of positions of each input, got {str(positions)[:60]}")
    return sizes


def _read_index(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    path = folder / INDEX
    if not path.is_file():
        unfinished = [part for part in folder.iterdir() if part.name.endswith(_UNFINISHED)]
        reason = "it is incomplete: recording is in progress or was killed" if unfinished else f"it has no {INDEX}"
        raise ValueError(f"{folder} is not a recording: {reason}")
    filesystem.check_inside(folder, path)
    filesystem.check_json_size(path)
    try:
        index = parse_object(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if index.get("format") != _FORMAT:
        raise ValueError(f"{path} is not the index of a recording by simplugins")
    if index.get("format_version") != _FORMAT_VERSION:
        raise ValueError(
            f"{path}: format version {index.get('format_version')}, this simplugins reads version {_FORMAT_VERSION}: "
            f"upgrade simplugins"
        )
    with error_prefix(f"{path} is damaged"):
        check_index(index)
    return index


def _open_arrays(folder: Path, described: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Open the files of layers as memmaps, or raise an error that lists all unreadable ones."""
    opened, errors = {}, []
    for name, entry in described.items():
        path = folder / _file_name(name)
        try:
            filesystem.check_inside(folder, path)
            array = opened[name] = formats.read_activations(path)
        except (OSError, ValueError) as error:
            errors.append(str(error))
            continue
        if list(array.shape) != entry["shape"] or str(array.dtype) != entry["dtype"]:
            expected, actual = f"{entry['dtype']} {entry['shape']}", f"{array.dtype} {list(array.shape)}"
            errors.append(f"{path}: expected {expected}, got {actual}")
    if errors:
        raise ValueError(f"{len(errors)} of {len(described)} layers cannot be read: {listed(errors, separator='; ')}")
    return opened


@contextmanager
def writing(folder: str | os.PathLike[str]) -> Iterator[RecordingFolder]:
    """Write a recording to a new or empty folder; on any error or interrupt, remove its files again.

    Raises
    ------
    FileExistsError
        If the folder is not empty, or is a file.
    FileNotFoundError, PermissionError
        If it cannot be created.
    """
    path = Path(folder)
    is_new = not path.exists()
    if is_new:
        filesystem.check_writable(path)
        path.mkdir()
    elif not path.is_dir() or any(path.iterdir()):
        raise FileExistsError(f"{path} exists and is not an empty folder: choose another, or remove it first")
    recording = RecordingFolder(path)
    try:
        yield recording
    except BaseException:
        recording.discard()
        if is_new:
            with suppress(OSError):  # another program has put a file there
                path.rmdir()
        raise


class RecordingFolder:
    """A folder to which recorded activations are written.

    Parameters
    ----------
    path : Path
        An empty folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._growing: dict[str, _GrowingFile] = {}
        self._replaced: list[_GrowingFile] = []

    def append(self, name: str, values: NDArray[np.floating]) -> None:
        """Append activations of more inputs to a layer, with the type and shape of the earlier ones."""
        if name not in self._growing:
            self._growing[name] = _GrowingFile(self.path / _file_name(name), values.dtype, values.shape[1:])
        self._growing[name].append(values)

    def convert(self, name: str, function: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        """Replace the values of a layer's file by the function's results for their parts, one after the other."""
        before = self._growing[name]
        self._replaced.append(before)
        for part in before.parts():
            values = function(part)
            if self._growing[name] is before:
                self._growing[name] = _GrowingFile(before.path, values.dtype, values.shape[1:], _CONVERTED)
            self._growing[name].append(values)
        before.discard()

    def arrays(self) -> dict[str, NDArray[np.floating]]:
        """Complete all files and open them as memmaps."""
        for file in self._growing.values():
            file.complete()
        return {name: formats.read_activations(file.path) for name, file in self._growing.items()}

    def describe(self, layers: Mapping[str, Mapping[str, Any]], labels: NDArray[Any] | None) -> None:
        """Write the index, which completes the recording.

        Parameters
        ----------
        layers : mapping of str to mapping
            "shape", "dtype", "layout" and "drop_tokens" by layer, and "positions" for arrays of concatenated sets.
            Positions that layers have in common are written once.
        labels : (N,) array or None
        """
        sizes: dict[bytes, list[int]] = {}
        numbers = {}
        for name, entry in layers.items():
            if (positions := entry.get("positions")) is not None:
                sizes.setdefault(positions.tobytes(), positions.tolist())
                numbers[name] = {"positions": list(sizes).index(positions.tobytes())}
        index = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "labels": None if labels is None else labels.tolist(),
            "positions": list(sizes.values()),
            "layers": {name: {**entry, **numbers.get(name, {})} for name, entry in layers.items()},
        }
        text = json.dumps(index, indent=1).encode()

        def write(file: IO[bytes]) -> None:
            file.write(text)

        filesystem.write_whole(self.path / INDEX, write)

    def discard(self) -> None:
        """Remove everything written so far."""
        for file in (*self._growing.values(), *self._replaced):
            file.discard()
        (self.path / INDEX).unlink(missing_ok=True)


class _GrowingFile:
    """A .npy file that grows input by input under a temporary name, and is closed between writes."""

    def __init__(self, path: Path, dtype: np.dtype[np.floating], shape: tuple[int, ...], version: str = "") -> None:
        self.path = path
        self._unfinished = path.with_name(f".{path.name}{version}{_UNFINISHED}")
        self._dtype, self._shape = dtype, shape
        self._inputs = 0

    def append(self, values: NDArray[np.floating]) -> None:
        with self._unfinished.open("ab" if self._inputs else "xb") as file:
            if not self._inputs:
                self._write_header(file)
            file.write(values.data)
        self._inputs += len(values)

    def parts(self) -> Iterator[NDArray[Any]]:
        """Yield the values written so far, in parts of a few megabytes."""
        self._write_final_header()
        array = np.load(self._unfinished, mmap_mode="r", allow_pickle=False)
        step = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
        for start in range(0, len(array), step):
            yield array[start : start + step]

    def complete(self) -> None:
        self._write_final_header()
        self._unfinished.rename(self.path)

    def _write_final_header(self) -> None:
        with self._unfinished.open("r+b") as file:
            self._write_header(file)
            file.flush()
            os.fsync(file.fileno())

    def discard(self) -> None:
        self._unfinished.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _write_header(self, file: IO[bytes]) -> None:
        # NumPy pads the header so that the number of inputs can grow when it is overwritten.
        shape = (self._inputs, *self._shape)
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)


def _file_name(layer: str) -> str:
    """Return a layer's file name: its name, in which all but letters, digits and ``_.-~#`` are percent-encoded."""
    return quote(layer, safe="#") + ".npy"
