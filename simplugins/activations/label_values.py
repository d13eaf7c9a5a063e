# SPDX-License-Identifier: Apache-2.0
"""Values of any library that label an input: texts, numbers, dates, bytes, one-element arrays."""

from __future__ import annotations

import datetime
import decimal
import math
import numbers
import os
import re
import unicodedata
import uuid
from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays

_INT64 = np.iinfo(np.int64)
_FROM_FLOATS = 32
"""The width of NumPy's texts if an array was made from texts and floats, and NaN became "nan"."""
_INVISIBLE = "\ufeff\u200b\u200e\u200f\u2060\u061c\u00ad\u202a-\u202e\u2066-\u2069"
"""Byte-order marks, zero-width spaces, direction marks and soft hyphens, which copied texts begin or end with."""
_AROUND = re.compile(rf"\A[\s{_INVISIBLE}]+|[\s{_INVISIBLE}]+\Z")


def collect(values: NDArray[Any] | Sequence[Any], *, missing: str) -> NDArray[Any]:
    """Return labels as an array of int64 or str.

    Parameters
    ----------
    values : one-dimensional array or list
    missing : str
        What to do about missing labels, for the error; "" allows them, as empty texts.

    Raises
    ------
    TypeError
        If a value is no label.
    ValueError
        If one is missing, cannot be decoded, or a text and a number would become the same label.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.max(initial=0) <= _INT64.max:
        return values.astype(np.int64)
    labels = [read_label(value, number) for number, value in enumerate(_plain(values))]
    without = [number for number, label in enumerate(labels) if label is None]
    if without and missing:
        more = f", nor have {len(without) - 1} more of {len(labels)}" if len(without) > 1 else ""
        raise ValueError(f"input {without[0]} has no label ({values[without[0]]!r}){more}: {missing}")
    if labels and all(isinstance(label, int) and _INT64.min <= label <= _INT64.max for label in labels):
        return np.array(labels, np.int64)
    check_distinct(labels)
    return np.array(["" if label is None else str(label) for label in labels], dtype=str)


def _plain(values: NDArray[Any] | Sequence[Any]) -> Iterable[Any]:
    """Return the values to read one by one: those of arrays as NumPy's scalars, which keep the units of dates."""
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype == f"U{_FROM_FLOATS}" and np.char.str_len(values).max(initial=0) < _FROM_FLOATS:
        return [None if text == "nan" else text for text in values.tolist()]
    return values.tolist() if values.dtype.kind in "US" else list(values)


def check_distinct(labels: Collection[int | str | None]) -> None:
    """Raise a ValueError if a number and a text would become the same label."""
    texts = {label for label in labels if isinstance(label, str)}
    for label in labels:
        if isinstance(label, int) and str(label) in texts:
            raise ValueError(f"both the number {label} and the text {str(label)!r} occur, which are one label")


def read_label(value: Any, number: int) -> int | str | None:
    r"""Return the label that a value of any library stands for; None if it is missing.

    Parameters
    ----------
    value : object
    number : int
        The number of its input, for errors.

    Raises
    ------
    TypeError
        If it is neither a text nor a number, nor anything that has one text only, such as a date.
    ValueError
        If bytes are not UTF-8, or a text contains a NUL character.

    Examples
    --------
    >>> read_label(" cafe\N{COMBINING ACUTE ACCENT}\n", 0), read_label(b"cat", 0)
    ('café', 'cat')
    >>> read_label(3.0, 0), read_label(0.25, 0), read_label(True, 0), read_label(np.array(["dog"]), 0)
    (3, '0.25', 'True', 'dog')
    >>> read_label(float("nan"), 0), read_label("  ", 0), read_label(np.datetime64("2026-05-01T00:00"), 0)
    (None, None, '2026-05-01')
    """
    if isinstance(value, np.generic) and type(value) not in (np.str_, np.bytes_):
        value = value if isinstance(value, np.datetime64 | np.timedelta64 | np.floating) else value.item()
    elif hasattr(value, "as_py"):  # pyarrow
        value = value.as_py()
    elif hasattr(value, "shape") and not isinstance(value, np.generic):
        value = _element(value, number)
    if _is_missing(value):
        return None
    if isinstance(value, Enum) and not isinstance(value, int | str):
        return f"{type(value).__name__}.{value.name}"
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            result = convert(value, number)
            return _text(result, number) or None if isinstance(result, str) else result
    if type(value).__module__.split(".")[0] == "pandas":  # a period or an interval
        return str(value)
    raise TypeError(
        f"input {number}: expected a text or a whole number as label, got {type(value).__name__} {value!r:.60}"
    )


def _element(value: Any, number: int) -> Any:
    """Return the element of an array that holds one, as cells of MATLAB do; None if it is empty."""
    if isinstance(value, np.ma.core.MaskedConstant):
        return None
    array = arrays.small_numpy(value)
    if array.size > 1:
        raise TypeError(f"input {number}: expected a single label, got an array of shape {array.shape}")
    element = array.ravel()[0] if array.size else None
    return _element(element, number) if isinstance(element, np.ndarray) else element


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, numbers.Number) and bool(value != value)


def stripped(text: str) -> str:
    """Return a text without the white space and the invisible characters around it."""
    return _AROUND.sub("", text)


def _number(value: Any, number: int) -> int | str:
    """Return whole numbers as int, other numbers as the shortest text that gives them again."""
    if isinstance(value, float | np.floating) and 2 << np.finfo(type(value)).nmant < abs(float(value)) < math.inf:
        raise ValueError(
            f"input {number}: the label {value!r} is larger than the whole numbers that {type(value).__name__} holds "
            f"exactly, so different labels may have become one: pass integers or texts"
        )
    return int(value) if math.isfinite(value) and value == int(value) else str(value)


def _decoded(value: bytes, number: int) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(
            f"input {number}: the bytes {value!r} are not UTF-8: decode them, for example with .decode('latin-1')"
        ) from None


def _date(value: Any, number: int) -> str:
    """Return a date or time as ISO 8601, without a time of 0:00 or zeros of fractions, which depend on the library."""
    if isinstance(value, np.datetime64):
        unit = np.datetime_data(value.dtype)[0]
        text = str(value.astype("M8[s]") if unit in ("h", "m") else value)
    else:
        text = value.isoformat()
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.removesuffix("T00:00:00")


def _duration(value: Any, number: int) -> str:
    """Return a duration as Python writes it, or as NumPy does if Python's are not precise enough."""
    if isinstance(value, np.timedelta64):
        rounded = value.astype("m8[us]")
        return str(rounded.item() if rounded == value else value)
    return datetime.timedelta.__str__(value)


def _text(text: str, number: int) -> str:
    if "\0" in text:
        raise ValueError(f"input {number}: the label {text!r} contains a NUL character, which NumPy would drop")
    return stripped(unicodedata.normalize("NFC", str.__str__(text)))


_CONVERSIONS: tuple[tuple[Any, Any], ...] = (
    (str, lambda value, number: str.__str__(value)),
    (bytes, _decoded),
    (bool, lambda value, number: str(value)),
    (int, lambda value, number: int(value)),
    ((datetime.datetime, datetime.date, datetime.time, np.datetime64), _date),
    ((datetime.timedelta, np.timedelta64), _duration),
    ((numbers.Real, decimal.Decimal), _number),
    (PurePath, lambda value, number: value.as_posix()),
    (os.PathLike, lambda value, number: os.fspath(value)),
    (uuid.UUID, lambda value, number: str(value)),
)
