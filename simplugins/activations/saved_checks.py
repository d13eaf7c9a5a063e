# SPDX-License-Identifier: Apache-2.0
"""Checks of the metadata in files by `Activations.save` and `record`, which may be damaged or hostile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def check_saved(contents: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Check that the arrays and the header of a file by `Activations.save` fit each other.

    Raises
    ------
    KeyError
        If an entry is missing.
    ValueError
        If types or sizes do not fit.
    """
    vectors, positions = contents["vectors"], contents["positions"]
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise ValueError(f"vectors: expected a matrix of floats, got {vectors.dtype} of shape {vectors.shape}")
    if positions.ndim != 1 or positions.dtype.kind not in "iu" or (positions < 0).any():
        raise ValueError(f"positions: expected a count per input, got {positions.dtype} of shape {positions.shape}")
    if sum(positions.tolist()) != len(vectors):
        raise ValueError(f"it holds {len(vectors)} concept vectors, expected {sum(positions.tolist())}")
    if "labels" in contents and contents["labels"].shape != positions.shape:
        raise ValueError(f"labels: expected {len(positions)} (one per input), got shape {contents['labels'].shape}")
    for name in ("layout", "dtype"):
        if not isinstance(header[name], str):
            raise ValueError(f"{name}: expected a text, got {header[name]!r}")
    if not isinstance(header["same_positions"], bool):
        raise ValueError(f"same_positions: expected true or false, got {header['same_positions']!r}")
    _check_grid(header["grid"], positions.tolist())


def _check_grid(grid: Any, positions: list[int]) -> None:
    if grid is None:
        return
    if not isinstance(grid, list) or not all(type(size) is int and size > 0 for size in grid):
        raise ValueError(f"grid: expected the sizes of the dimensions of positions, got {grid!r}")
    if any(count != math.prod(grid) for count in positions):
        raise ValueError(f"grid: {grid} does not have the {positions[0]} positions of the inputs")


def check_index(index: Mapping[str, Any]) -> None:
    """Check the types of the entries for layers and labels in the index of a recording.

    Raises
    ------
    ValueError
        If an entry has another type than `record` writes.
    """
    layers = index.get("layers")
    if not isinstance(layers, Mapping):
        raise ValueError(f"layers: expected entries by name, got {type(layers).__name__}")
    check_label_list("labels", index.get("labels"))
    for name, entry in layers.items():
        if not isinstance(entry, Mapping):
            raise ValueError(f"layer {name!r}: expected entries by name, got {type(entry).__name__}")
        shape = entry.get("shape")
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"layer {name!r}: expected a shape of whole numbers, got {shape!r}")
        if not _is_text(name) or not _is_text(entry.get("layout")) or not _is_text(entry.get("dtype")):
            raise ValueError(f"layer {name!r}: expected a layout and a dtype as texts")


def check_label_list(name: str, labels: Any) -> None:
    """Raise a ValueError unless labels from JSON are None or a list of texts and whole numbers."""
    if labels is not None and not (isinstance(labels, list) and all(type(label) in (str, int) for label in labels)):
        raise ValueError(f"{name}: expected a list of texts or whole numbers")


def _is_text(value: Any) -> bool:
    """Return whether a value is a text without lone surrogates, which no file name can hold."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)
