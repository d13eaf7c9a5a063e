# SPDX-License-Identifier: Apache-2.0
"""Labels in files of arrays, such as MATLAB's and HDF5's, or in text files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simplugins._common import arrays
from simplugins.activations.activations import Activations
from simplugins.activations.formats import FORMATS, ArrayKeyError, read_activations
from simplugins.activations.labels import partial_labels


def read_label_file(
    path: str | os.PathLike[str],
    key: str | None = None,
    *,
    read_text: Callable[[str | os.PathLike[str]], Any],
    partial: bool = False,
) -> Any:
    """Read labels from a file of arrays, or from a text file.

    Parameters
    ----------
    path : path
        A file that `simplugins.read_activations` reads, of which one array holds labels; any other file is a text.
    key : str, optional
        The name of the array, if the file holds several.
    read_text : callable
        Reads a text file.
    partial : bool, default False
        Whether inputs may lack a label, as for `partial_labels`.

    Raises
    ------
    FileNotFoundError, ImportError, TypeError, ValueError
        As for the readers and for labels; or if there is a key, but the file is a text.
    """
    if Path(path).suffix.lower() in FORMATS:
        labels = read_activations(path, key)
        if isinstance(labels, Activations):
            raise ValueError(f"{path} holds activations, not labels")
        labels = labels if isinstance(labels, list) else arrays.small_numpy(labels)
        return partial_labels(labels) if partial else labels
    if key is not None:
        raise ArrayKeyError(f"{path} is read as a text with one label per line: leave out ", f"={key!r}")
    labels = read_text(path)
    return partial_labels(labels) if partial else labels
