# SPDX-License-Identifier: Apache-2.0
"""Text files of labels: one line per input."""

from __future__ import annotations

import codecs
import csv
import os
import re
from pathlib import Path
from typing import TypeVar

from simplugins.activations.label_values import stripped

T = TypeVar("T")

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MISSING = {"nan", "NaN", "NaT", "None", "<NA>", "NA", "N/A", "#N/A", "null", "NULL"}
"""How Python, R, spreadsheets and databases write a missing value."""
_TABLES = {".csv": ",;\t", ".tsv": ",;\t"}


def read_labels(path: str | os.PathLike[str]) -> list[str]:
    """Read labels from a text file, one per line.

    Parameters
    ----------
    path : path
        UTF-8, or UTF-16 or UTF-32 with a byte-order mark. A line in double quotes is a label without them, as
        spreadsheets write labels that contain commas. Blank lines at the end are ignored, and so are white space and
        invisible characters around labels.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a text file, another line is blank, lines have several columns, or a line is a word for
        missing values, such as NA, without quotes.
    """
    return _check_complete(path, read_partial_labels(path))


def read_partial_labels(path: str | os.PathLike[str]) -> list[str]:
    """Read labels as `read_labels`, with empty texts for blank lines, which stand for inputs without a label."""
    separators = _TABLES.get(Path(path).suffix.lower(), "\t")
    labels = []
    for number, line in enumerate(_lines(path), 1):
        fields = _fields(path, number, line) if line.startswith('"') else [line]
        if len(fields) > 1 or (fields == [line] and any(separator in line for separator in separators)):
            raise ValueError(
                f"{path}, line {number}: expected one label per line, got several columns: {line[:60]!r}; save the "
                f"column of labels in a file of its own, or put the label in double quotes"
            )
        labels.append(fields[0].strip())
    return labels


def read_label_sets(path: str | os.PathLike[str]) -> list[list[str]]:
    """Read any number of labels per input from a text file: one line per input, labels separated by commas.

    Parameters
    ----------
    path : path
        As for `read_labels`. A label that contains commas is in double quotes. A line with nothing but commas is an
        input with an empty set of labels.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a text file, or a line is blank.
    """
    return [labels for labels in _check_complete(path, read_partial_label_sets(path)) if labels is not None]


def read_partial_label_sets(path: str | os.PathLike[str]) -> list[list[str] | None]:
    """Read labels as `read_label_sets`, with None for blank lines, which stand for inputs without labels."""
    sets: list[list[str] | None] = []
    for number, line in enumerate(_lines(path), 1):
        if "\t" in line or (";" in line and Path(path).suffix.lower() in _TABLES):
            raise ValueError(f"{path}, line {number}: expected labels separated by commas, got {line[:60]!r}")
        fields = _fields(path, number, line) if line else []
        sets.append([label for field in fields if (label := field.strip())] if line else None)
    _check_not_numbered(path, sets)
    return sets


def _check_not_numbered(path: str | os.PathLike[str], sets: list[list[str] | None]) -> None:
    """Check that the first label of each line is not the number of the line."""
    first = [labels[0] if labels and len(labels) > 1 else None for labels in sets]
    if len(sets) > 1 and any(first == [str(number + start) for number in range(len(sets))] for start in (0, 1)):
        raise ValueError(
            f"{path}: the first column numbers the lines, so it is an index rather than a label: leave it out, for "
            f"example with frame.to_csv(path, index=False, header=False)"
        )


def _check_complete(path: str | os.PathLike[str], labels: list[T]) -> list[T]:
    """Return labels, after checking that no line is blank."""
    blank = next((number for number, label in enumerate(labels) if label in ("", None)), None)
    if blank is not None:
        raise ValueError(
            f"{path}: line {blank + 1} is blank, so input {blank} has no label: add it, or state that inputs may lack "
            f"a label, with --partial-labels on the command line"
        )
    return labels


def _fields(path: str | os.PathLike[str], number: int, line: str) -> list[str]:
    """Return the fields of a line, which commas separate unless they are in double quotes."""
    try:
        return next(csv.reader([line], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {number}: double quotes do not enclose a label: {line[:60]!r} ({error}); inside them, a "
            f"double quote is written twice"
        ) from None


def text_lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines of a text file in UTF-8 (or UTF-16 or UTF-32 with a mark), without blank ones at its end.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it is a folder, empty, or in another encoding.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such file")
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder: expected a text file with one line per input")
    text = _text(path, Path(path).read_bytes()).rstrip("\x1a")  # the end of a file of DOS
    lines = re.split(r"\r\n|\n|\r", text)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ValueError(f"{path} is empty: expected one line per input")
    return lines


def _lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines of a text file of labels without what surrounds them."""
    lines = [stripped(line) for line in text_lines(path)]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError(f"{path} is empty: expected one line per input")
    if missing := next((number for number, line in enumerate(lines, 1) if line in _MISSING), None):
        word = lines[missing - 1]
        raise ValueError(
            f"{path}, line {missing}: {word} stands for a missing value in many files: leave the line blank if the "
            f"input has no label (and allow it, with --partial-labels on the command line); put it in double quotes, "
            f'"{word}", if this is the label'
        )
    return lines


def _text(path: str | os.PathLike[str], content: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    zero = content.find(b"\0") if encoding.startswith("utf-8") else -1
    if zero >= 0:
        line = content.count(b"\n", 0, zero) + 1
        raise ValueError(
            f"{path}, line {line}: expected text, got a NUL character, as in binary "
            f"files and in UTF-16 without a byte-order mark; save the labels as UTF-8"
        )
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path} is not {encoding.upper().removesuffix('-SIG')} text: {error.reason} in line {line}; save it as "
            f"UTF-8. If it is a text in Windows-1252 or Latin-1, this converts it: iconv -f WINDOWS-1252 -t UTF-8"
        ) from None
