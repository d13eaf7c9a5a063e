# SPDX-License-Identifier: Apache-2.0
"""Opening activations by path: files, and layers of recordings."""

from __future__ import annotations

import os
from typing import Any

from simplugins._common.filesystem import is_store
from simplugins.activations import recordings
from simplugins.activations.formats import read_activations


def read(activations: Any, key: str | None = None) -> Any:
    """Open a file of activations or a layer of a recording, given by its path; return other objects unchanged.

    Parameters
    ----------
    activations : path or other object
    key : str, optional
        The name of the array or layer, required if there are several.

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        As for `simplugins.read_activations` and `simplugins.read_recorded`; and if the path is a store of an RSM.
    """
    if not isinstance(activations, str | os.PathLike):
        return activations
    if is_store(activations):
        raise ValueError(f"{activations} is the store of a run, not activations: open it with simplugins.load_rsm")
    if recordings.is_recording(activations):
        return recordings.read_layer(activations, key)
    return read_activations(activations, key)
