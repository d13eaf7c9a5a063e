# SPDX-License-Identifier: Apache-2.0
"""The layers of a network in files: RSMs or activations."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from simplugins.activations import formats, recordings
from simplugins.activations.layer_names import select
from simplugins.rsm.archive import is_rsm, load_rsm


def read_layers(path: str | PathLike[str], patterns: Sequence[str] = ()) -> dict[str, Any]:
    """Read the layers of a network: RSMs that simplugins saved, or activations.

    Parameters
    ----------
    path : path
        A folder that `simplugins.record` wrote; a folder with one file per layer, named after it; a file with one array
        per layer, such as .npz, .pt, .safetensors, .h5 or .zarr; or a file of one layer (see
        `simplugins.read_activations`). In folders, files of other kinds and hidden files, whose names begin with a dot,
        are left out.
    patterns : sequence of str
        Names of layers, or patterns such as ``"block*"``, as for `simplugins.record`; by default all layers.

    Returns
    -------
    dict of str to RSM, array or Activations
        In the order of the patterns; by default in the order of the file names (numbers in them compare by value) or
        of the arrays in the file.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    ValueError
        If a file cannot be read, two files of a folder differ only in their endings, a file of a folder holds several
        arrays, or a pattern matches no layer.
    """
    path = Path(path)
    if recordings.is_recording(path):
        return dict(recordings.read_recorded(path, list(patterns) or None))
    if path.is_dir() and not is_rsm(path) and path.suffix.lower() != ".zarr":
        return _read_folder(path, patterns)
    names = () if is_rsm(path) else formats.array_names(path)
    if not names:
        return {name: _read_layer(path) for name in _selected([path.stem], patterns, path)}
    return {name: _read_array(path, name) for name in _selected(names, patterns, path)}


def _read_folder(folder: Path, patterns: Sequence[str]) -> dict[str, Any]:
    files: dict[str, Path] = {}
    for file in sorted(sorted(folder.iterdir()), key=_natural):
        if file.suffix.lower() not in formats.FORMATS or file.name.startswith("."):
            continue
        if files.setdefault(file.stem, file) != file:
            raise ValueError(f"{folder}: {files[file.stem].name} and {file.name} are both named {file.stem!r}")
    layers = {}
    for name in _selected(files, patterns, folder):
        try:
            layers[name] = _read_layer(files[name])
        except formats.ArrayKeyError as error:
            raise ValueError(
                f"{files[name]} holds {len(error.names)} arrays ({', '.join(error.names)}), but each file in a folder "
                f"of layers must hold one; compare the file itself, or move the arrays to files of their own"
            ) from None
    return layers


def _read_array(path: Path, name: str) -> Any:
    array = formats.read_activations(path, name)
    if getattr(getattr(array, "dtype", None), "kind", "") in ("U", "S"):
        raise ValueError(
            f"{path}: {name!r} holds texts, which are no layer: name the layers to compare, with --layer on the "
            f"command line"
        )
    return array


def _read_layer(path: Path) -> Any:
    return load_rsm(path) if is_rsm(path) else formats.read_activations(path)


def _natural(path: Path) -> list[str | int]:
    """Return a sort key under which numbers in names compare by value."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)]


def _selected(names: Collection[str], patterns: Sequence[str], path: Path) -> list[str]:
    if not names:
        raise ValueError(f"{path} contains no layers")
    return list(select(names, patterns, owner=str(path)) if patterns else names)
