# SPDX-License-Identifier: Apache-2.0
"""Labels of inputs as sets: one label per input, or several, such as the objects in an image."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.activations.label_values import check_distinct, read_label
from simplugins.activations.labels import PartialLabels, as_labels


@dataclass(frozen=True, eq=False, repr=False)
class Agreement:
    """Agreement of the labels of queries with those of a gallery.

    Attributes
    ----------
    relevant : (Q, G) bool array
        Whether query and gallery input share a label.
    f1 : (Q, G) float64 array
        F1 of their sets of labels: twice the number of shared labels, divided by the sum of the two sizes; 1 if both
        sets are empty.
    """

    relevant: NDArray[np.bool_]
    f1: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"Agreement of {self.f1.shape[0]} with {self.f1.shape[1]} sets of labels"


def agreement(labels: Any, other_labels: Any, queries: int, gallery: int) -> Agreement:
    """Return the agreement of the labels of queries with those of a gallery.

    Parameters
    ----------
    labels, other_labels : sequences
        One label (str or int) per input; one collection of labels per input, such as a set; or an (N, L) bool array,
        True for the labels that an input has. Both are names, or both are bool arrays.
    queries, gallery : int
        Expected numbers of inputs.

    Raises
    ------
    ValueError
        If there is not one entry per input, or a label is missing without `simplugins.partial_labels`.

    Examples
    --------
    >>> agreement([{"cup"}, {"cup", "dog"}], [{"cup", "cat"}], 2, 1).f1
    array([[0.66666667],
           [0.5       ]])
    """
    return agreement_of(*label_matrices(labels, other_labels, queries, gallery)[:2])


def label_matrices(
    labels: Any, other_labels: Any, queries: int, gallery: int
) -> tuple[csr_array, csr_array, NDArray[np.bool_]]:
    """Return the labels of queries and gallery as sparse matrices of ones; the options are those of `agreement`.

    Returns
    -------
    rows, columns : (Q, L) and (G, L) sparse arrays
        An input whose label is missing has one that no other input has.
    missing : (Q,) bool array
        Whether the label of each query is missing.
    """
    rows = _sets("labels", labels, queries)
    columns = rows if other_labels is labels else _sets("other_labels", other_labels, gallery)
    if rows.width != columns.width:
        raise ValueError(
            "labels and other_labels: expected bool arrays with the same labels as columns, or names in both; got "
            + " and ".join("names" if side.width is None else f"{side.width} columns" for side in (rows, columns))
        )
    as_text = any(isinstance(label, str) for side in (rows, columns) for label in side.labels())
    vocabulary: dict[Any, int] = {}
    numbered = [
        side.numbered(vocabulary, as_text=as_text) for side in ((rows,) if columns is rows else (rows, columns))
    ]
    missing = np.array([members is None for members in rows.members])
    return _matrix(numbered[0], len(vocabulary)), _matrix(numbered[-1], len(vocabulary)), missing


def agreement_of(rows: csr_array, columns: csr_array) -> Agreement:
    """Return the agreement of labels given as `label_matrices`."""
    shared = (rows @ columns.T).toarray()
    sizes = rows.sum(1)[:, None] + columns.sum(1)[None, :]
    return Agreement(shared > 0, np.where(sizes > 0, 2 * shared / np.maximum(sizes, 1), 1.0))


@dataclass(frozen=True)
class _Sets:
    """The set of labels of each input, None if it is missing; `width` is the number of labels of a bool array."""

    members: Sequence[Collection[int | str] | None]
    width: int | None = None

    def labels(self) -> Iterator[int | str]:
        return (label for members in self.members if members is not None for label in members)

    def numbered(self, vocabulary: dict[Any, int], *, as_text: bool) -> list[list[int]]:
        """Return the numbers of each input's labels; new labels are added to the vocabulary."""
        sets = ([object()] if members is None else members for members in self.members)
        return [
            [
                vocabulary.setdefault(str(label) if as_text and isinstance(label, int) else label, len(vocabulary))
                for label in dict.fromkeys(members)
            ]
            for members in sets
        ]


def _sets(name: str, labels: Any, count: int) -> _Sets:
    with error_prefix(name):
        sets = _as_sets(labels)
        if len(sets.members) != count:
            raise ValueError(f"expected {count} (one per input), got {len(sets.members)}")
        if sets.width is None:
            check_distinct(set(sets.labels()))
    return sets


def _as_sets(labels: Any) -> _Sets:
    is_partial = isinstance(labels, PartialLabels)
    if not is_partial and getattr(labels, "ndim", 0) == 1 and getattr(labels.dtype, "kind", "") == "O":
        labels = list(labels)
    if (is_partial and labels.dtype == object) or (isinstance(labels, Sequence) and any(map(_is_collection, labels))):
        if not is_partial and not all(map(_is_collection, labels)):
            raise ValueError("expected either one label per input or one collection of labels per input")
        return _Sets([_members(entry, number) for number, entry in enumerate(labels)])
    if not is_partial and hasattr(labels, "shape"):
        array = arrays.small_numpy(labels)
        if array.ndim == 2 and array.dtype == np.bool_:
            return _Sets([np.flatnonzero(row).tolist() for row in array], array.shape[1])
        if array.ndim > 1 and 1 not in array.shape:
            raise ValueError(
                f"expected labels, collections of labels, or a bool array of shape (inputs, labels); got an array of "
                f"{array.dtype} of shape {array.shape}"
            )
    return _Sets([None if label == "" else (label,) for label in as_labels(labels).tolist()])


def _members(entry: Any, number: int) -> list[int | str] | None:
    """Return the labels of an input."""
    if isinstance(entry, str):
        return None
    members = [read_label(label, number) for label in entry]
    if None in members:
        raise ValueError(f"input {number} has a missing label among its labels, {list(entry)!r:.60}: leave it out")
    return members  # type: ignore[return-value]


def _is_collection(entry: Any) -> bool:
    return isinstance(entry, Collection) and not isinstance(entry, str | bytes)


def _matrix(members: list[list[int]], width: int) -> csr_array:
    starts = np.concatenate([[0], np.cumsum([len(numbers) for numbers in members])])
    columns = np.array([number for numbers in members for number in numbers], dtype=np.int64)
    return csr_array((np.ones(len(columns), np.int64), columns, starts), shape=(len(members), max(1, width)))
