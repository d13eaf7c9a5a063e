# SPDX-License-Identifier: Apache-2.0
"""Files of Activations: the concept vectors, labels and what else describes them, in one .npz."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from simplugins._common import filesystem
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block, BlockReader, chunks, offsets_of
from simplugins.activations.labels import saved_labels
from simplugins.activations.saved_checks import check_saved

FORMAT = "simplugins activations"
_FORMAT_VERSION = 1


def save(activations: Activations, path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Write activations as `Activations.save` documents."""
    filesystem.check_writable(path, overwrite=overwrite)
    parts = chunks(activations.positions, activations.channels)
    vectors = np.concatenate([activations._values(start, stop)[0] for start, stop in parts])
    contents = {"vectors": vectors, "positions": activations.positions}
    if activations.labels is not None:
        contents["labels"] = activations.labels
    header = {
        "format": FORMAT,
        "format_version": _FORMAT_VERSION,
        "layout": activations.layout,
        "dtype": str(activations.dtype),
        "grid": None if activations.grid is None else list(activations.grid),
        "same_positions": activations.same_positions,
    }
    filesystem.write_npz(path, contents, header, overwrite=overwrite)


def load(contents: Mapping[str, Any], header: Mapping[str, Any]) -> Activations:
    """Return what `save` wrote, given the contents of the file."""
    filesystem.check_version(header["format_version"], _FORMAT_VERSION)
    check_saved(contents, header)
    vectors, positions = contents["vectors"], contents["positions"]
    return Activations.from_reader(
        BlockReader(Block(vectors, offsets_of(positions))),
        positions,
        layout=header["layout"],
        dtype=header["dtype"],
        labels=saved_labels(contents.get("labels")),
        grid=None if header["grid"] is None else tuple(header["grid"]),
        same_positions=header["same_positions"],
    )
