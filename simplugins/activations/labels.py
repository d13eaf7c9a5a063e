# SPDX-License-Identifier: Apache-2.0
"""Labels of inputs: checked, and read from text files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays


def check_labels(labels: Any, count: int) -> NDArray[Any] | None:
    """Return labels as an array of int64 or str, after checking that there is one for each input.

    Raises
    ------
    ValueError
        If they are not one to an input.
    """
    if labels is None:
        return None
    found = arrays.small_numpy(labels)
    if found.shape != (count,):
        raise ValueError(f"labels: expected {count}, one an input, got an array of shape {found.shape}")
    return found.astype(np.int64) if found.dtype.kind in "iu" else found.astype(str)


def read_labels(path: str | os.PathLike[str]) -> list[str]:
    """Read labels from a text file, UTF-8, one a line.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not UTF-8 text, or has an empty line before its end.
    """
    labels = _lines(path)
    if "" in labels:
        raise ValueError(f"{path}: line {labels.index('') + 1} is empty, expected a label on each line")
    return labels


def read_label_sets(path: str | os.PathLike[str]) -> list[list[str]]:
    """Read the labels of inputs from a text file, UTF-8: on each line those of one, with commas between them, or none.

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
        raise ValueError(f"{path} is not a text file of labels, one a line: {error}") from error
