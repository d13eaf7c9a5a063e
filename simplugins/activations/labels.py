# SPDX-License-Identifier: Apache-2.0
"""Labels of inputs: whole numbers or texts, of which some may be missing if the caller says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from itertools import islice
from pathlib import PurePath
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays, refusals
from simplugins._common.validation import error_prefix
from simplugins.activations.label_values import collect, read_label

_CONSENT = (
    "label every input, or pass simplugins.partial_labels(labels), which allows inputs without one and puts them in no "
    "class"
)


class PartialLabels(np.ndarray[Any, Any]):
    """Labels of inputs, some of which have none: an array of texts, of which ``""`` stands for no label.

    `partial_labels` makes them.
    """

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Whether each input lacks a label, (N,)."""
        return cast("NDArray[np.bool_]", np.asarray(self) == "")


def partial_labels(labels: Any) -> PartialLabels:
    """State that inputs may lack a label, for any function that takes labels.

    Inputs without a label are in no class: in retrieval they are neither queries nor relevant to any query. Two RSMs
    have the same labels only if the same inputs lack one, and inputs cannot be reordered if one of them has none.

    Parameters
    ----------
    labels : sequence of N labels
        Of which None, NaN, pandas' NA and NaT, masked entries and blank texts are missing. Or one collection of labels
        per input, for `simplugins.evaluation.retrieval`: an empty collection is a set without labels, which retrieval
        compares with others; None is missing.

    Returns
    -------
    array of N str
        A NumPy array in which ``""`` stands for a missing label. Whole numbers become text, and are still equal to the
        same numbers elsewhere. For collections, an array of tuples and ``""``.

    Raises
    ------
    TypeError, ValueError
        If a label is neither a text nor a number, or the labels are not a sequence.

    Examples
    --------
    >>> labels = partial_labels(["cat", "cat", None])
    >>> labels.tolist(), labels.missing
    (['cat', 'cat', ''], array([False, False,  True]))
    """
    if isinstance(labels, PartialLabels):
        return labels
    with error_prefix("labels"):
        entries = _entries(labels)
        if isinstance(entries, list) and any(map(is_collection, entries)):
            values = np.empty(len(entries), object)
            values[:] = [_set_or_missing(entry, number) for number, entry in enumerate(entries)]
        else:
            values = collect(entries, missing="").astype(str)
    return values.view(PartialLabels)


def saved_labels(labels: Any) -> NDArray[Any] | None:
    """Return labels from a file that simplugins wrote, in which blank texts are labels that may be missing."""
    if labels is None:
        return None
    values = np.asarray(labels)
    return values.view(PartialLabels) if values.dtype.kind == "U" and (values == "").any() else values


def as_labels(labels: Any, *, most: int | None = None) -> NDArray[Any]:
    """Return labels as an array of int64 or str, or of str if they are `PartialLabels`.

    Whole numbers of any type become int64, or text if one of them does not fit. Texts lose the white space around them
    and become Unicode's NFC, so that one word has one form; bytes are decoded as UTF-8. A mixture of numbers and texts
    becomes text.

    Parameters
    ----------
    labels : sequence
    most : int, optional
        Read no more labels than this: an iterator may be endless.

    Raises
    ------
    TypeError
        If the labels are not a sequence, or one is neither a text nor a number.
    ValueError
        If one is missing, or a text and a number would become the same label.
    """
    if isinstance(labels, PartialLabels):
        return labels
    return collect(_entries(labels, most), missing=_CONSENT)


def check_labels(labels: Any, count: int, name: str = "labels") -> NDArray[Any] | None:
    """Return labels as `as_labels` does, or None for None.

    Raises
    ------
    TypeError, ValueError
        As for `as_labels`; and if there is not exactly one label per input.
    """
    if labels is None:
        return None
    with error_prefix(name):
        values = as_labels(labels, most=count + 1)
        if values.dtype == object:
            raise ValueError("expected one label per input, got collections, which only retrieval takes")
        if values.shape != (count,):
            raise ValueError(f"expected {count} (one per input), got {len(values)}")
    return values


def comparable(*labels: NDArray[Any]) -> list[NDArray[Any]]:
    """Return labels of several things in one type: as text, if they are numbers in some and texts in others.

    Examples
    --------
    >>> comparable(np.array([1, 2]), np.array(["1", "01"]))
    [array(['1', '2'], dtype='<U21'), array(['1', '01'], dtype='<U2')]
    """
    mixed = len({values.dtype.kind for values in labels}) > 1
    return [values.astype(str) for values in labels] if mixed else list(labels)


def is_collection(entry: Any) -> bool:
    """Return whether an input's entry is a collection of labels rather than a label."""
    return isinstance(entry, list | tuple | Set) or (isinstance(entry, np.ndarray) and entry.ndim == 1)


def _set_or_missing(entry: Any, number: int) -> tuple[Any, ...] | str:
    if is_collection(entry):
        return tuple(entry)
    if read_label(entry, number) is None:
        return ""
    raise ValueError(f"input {number}: expected a collection of labels, as for other inputs, got {entry!r:.60}")


def _entries(labels: Any, most: int | None = None) -> NDArray[Any] | list[Any]:
    """Return labels as a one-dimensional array or a list, in which masked entries are None."""
    single = isinstance(labels, str | bytes | PurePath)
    if (
        single
        or isinstance(labels, Mapping | set | frozenset)
        or not (isinstance(labels, Iterable) or hasattr(labels, "shape"))
    ):
        kind = "one label" if single else f"a {type(labels).__name__}"
        raise TypeError(f"expected a sequence with one label per input, got {kind}: {labels!r:.60}")
    if not (hasattr(labels, "shape") or hasattr(labels, "__array__")):
        return list(islice(labels, most))
    if "bfloat16" in str(getattr(labels, "dtype", "")):
        raise TypeError("expected texts or whole numbers, got numbers of bfloat16, which are rounded: pass integers")
    if (listed := _with_nulls(labels)) is not None:
        return listed
    mask = np.ma.getmaskarray(labels).ravel() if np.ma.is_masked(labels) else None
    values = arrays.small_numpy(labels)
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    if values.ndim != 1:
        reason = refusals.refusal(labels) or f"got an array of shape {values.shape}"
        raise ValueError(f"expected one label per input; {reason}")
    return values if mask is None else [None if hidden else v for v, hidden in zip(values, mask, strict=True)]


def _with_nulls(labels: Any) -> list[Any] | None:
    """Return labels of Polars or Arrow as a list if some are null: NumPy would make floats of integers."""
    nulls = getattr(labels, "null_count", 0)
    if not (nulls() if callable(nulls) else nulls):
        return None
    return list(labels.to_pylist() if hasattr(labels, "to_pylist") else labels.to_list())
