# SPDX-License-Identifier: Apache-2.0
"""Activations from paths: files of arrays, and layers of recordings."""

from __future__ import annotations

import os
from typing import Any

from simplugins._common.filesystem import is_store
from simplugins.activations import recordings
from simplugins.activations.formats import read_activations


def read(activations: Any, key: str | None = None) -> Any:
    """Return activations; those of a file, or of a layer that `record` wrote to a folder, are read or opened.

    Parameters
    ----------
    activations : path, or anything else, which is returned as it is
    key : str, optional
        Which array of a file, or layer of a folder, if there are several.
    """
    if not isinstance(activations, str | os.PathLike):
        return activations
    if is_store(activations):
        raise ValueError(f"{activations} is the store of a run, not activations: simplugins.load_rsm opens it")
    if recordings.is_recording(activations):
        return recordings.read_layer(activations, key)
    return read_activations(activations, key)
