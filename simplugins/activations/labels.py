# SPDX-License-Identifier: Apache-2.0
"""Labels of inputs, and text files of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays


def check_labels(labels: Any, count: int) -> NDArray[Any] | None:
    """Return labels as an array of int64 or str, or None for None.

    Raises
    ------
    ValueError
        If there is not exactly one label per input.
    """
    if labels is None:
        return None
    values = arrays.small_numpy(labels)
    if values.shape != (count,):
        raise ValueError(f"labels: expected {count} (one per input), got an array of shape {values.shape}")
    return values.astype(np.int64) if values.dtype.kind in "iu" else values.astype(str)


def read_labels(path: str | os.PathLike[str]) -> list[str]:
    """Read labels from a UTF-8 text file, one per line.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not UTF-8 text, or contains an empty line.
    """
    labels = _lines(path)
    if "" in labels:
        raise ValueError(f"{path}: line {labels.index('') + 1} is empty, expected one label per line")
    return labels


def read_label_sets(path: str | os.PathLike[str]) -> list[list[str]]:
    """Read any number of labels per input from a UTF-8 text file: one line per input, labels separated by commas.

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
        raise ValueError(f"{path} is not a UTF-8 text file: {error}") from error
