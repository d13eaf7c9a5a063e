# SPDX-License-Identifier: Apache-2.0
"""The layers of a network in files: RSMs or activations."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from simplugins._common import filesystem
from simplugins.activations import formats, recordings
from simplugins.activations.layer_names import select
from simplugins.rsm.archive import is_rsm, load_rsm


def read_layers(path: str | PathLike[str], patterns: Sequence[str] = ()) -> dict[str, Any]:
    """Read the layers of a network: RSMs that simplugins saved, or activations.

    Parameters
    ----------
    path : path
        A folder that `simplugins.record` wrote; a folder with one file per layer, named after it; a .npz file with one
        array per layer; or a file of one layer (see `simplugins.read_activations`).
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
        If a file cannot be read, two files of a folder differ only in their endings, or a pattern matches no layer.
    """
    path = Path(path)
    if recordings.is_recording(path):
        return dict(recordings.read_recorded(path, list(patterns) or None))
    if path.is_dir() and path.suffix != ".zarr":
        files: dict[str, Path] = {}
        for file in sorted(path.iterdir(), key=_natural):
            if file.suffix in formats.FORMATS and files.setdefault(file.stem, file) != file:
                raise ValueError(f"{path}: {files[file.stem].name} and {file.name} are both named {file.stem!r}")
        return {name: _read_layer(files[name]) for name in _selected(files, patterns, path)}
    if path.suffix == ".npz" and not is_rsm(path):
        arrays, _ = filesystem.read_npz(path)
        return {name: arrays[name] for name in _selected(arrays, patterns, path)}
    return {path.stem: _read_layer(path)}


def _read_layer(path: Path) -> Any:
    return load_rsm(path) if is_rsm(path) else formats.read_activations(path)


def _natural(path: Path) -> list[str | int]:
    """Return a sort key under which numbers in names compare by value."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)]


def _selected(names: Collection[str], patterns: Sequence[str], path: Path) -> list[str]:
    if not names:
        raise ValueError(f"{path} contains no layers")
    return list(select(names, patterns, owner=str(path)) if patterns else names)
