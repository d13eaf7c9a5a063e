# SPDX-License-Identifier: Apache-2.0
"""Labels of inputs as sets: one label per input, or several, such as the objects in an image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from simplugins._common import arrays


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
        True for the labels that an input has. Both of the same kind.
    queries, gallery : int
        Expected numbers of inputs.

    Raises
    ------
    ValueError
        If there is not one entry per input.

    Examples
    --------
    >>> agreement([{"cup"}, {"cup", "dog"}], [{"cup", "cat"}], 2, 1).f1
    array([[0.66666667],
           [0.5       ]])
    """
    return agreement_of(*label_matrices(labels, other_labels, queries, gallery))


def label_matrices(labels: Any, other_labels: Any, queries: int, gallery: int) -> tuple[csr_array, csr_array]:
    """Return the labels of queries and gallery as sparse matrices of ones, (Q, L) and (G, L); as for `agreement`."""
    vocabulary: dict[Any, int] = {}
    rows = _members("labels", labels, queries, vocabulary)
    columns = rows if other_labels is labels else _members("other_labels", other_labels, gallery, vocabulary)
    return _matrix(rows, len(vocabulary)), _matrix(columns, len(vocabulary))


def agreement_of(rows: csr_array, columns: csr_array) -> Agreement:
    """Return the agreement of labels given as `label_matrices`."""
    shared = (rows @ columns.T).toarray()
    sizes = rows.sum(1)[:, None] + columns.sum(1)[None, :]
    return Agreement(shared > 0, np.where(sizes > 0, 2 * shared / np.maximum(sizes, 1), 1.0))


def _members(name: str, labels: Any, count: int, vocabulary: dict[Any, int]) -> list[list[int]]:
    """Return the numbers of each input's labels; new labels are added to the vocabulary."""
    sets = _as_sets(name, labels)
    if len(sets) != count:
        raise ValueError(f"{name}: expected {count} (one per input), got {len(sets)}")
    return [[vocabulary.setdefault(label, len(vocabulary)) for label in dict.fromkeys(members)] for members in sets]


def _as_sets(name: str, labels: Any) -> list[Collection[Any]]:
    if isinstance(labels, Sequence) and not isinstance(labels, str) and any(_is_collection(entry) for entry in labels):
        if not all(_is_collection(entry) for entry in labels):
            raise ValueError(f"{name}: expected either one label per input or one collection of labels per input")
        return [list(entry) for entry in labels]
    array = arrays.small_numpy(labels)
    if array.ndim == 2 and array.dtype == np.bool_:
        return [np.flatnonzero(row).tolist() for row in array]
    if array.ndim != 1:
        raise ValueError(
            f"{name}: expected labels, collections of labels, or a bool array of shape (inputs, labels); got an array "
            f"of {array.dtype} of shape {array.shape}"
        )
    return [[label] for label in array.tolist()]


def _is_collection(entry: Any) -> bool:
    return isinstance(entry, Collection) and not isinstance(entry, str | bytes)


def _matrix(members: list[list[int]], width: int) -> csr_array:
    starts = np.concatenate([[0], np.cumsum([len(numbers) for numbers in members])])
    columns = np.array([number for numbers in members for number in numbers], dtype=np.int64)
    return csr_array((np.ones(len(columns), np.int64), columns, starts), shape=(len(members), max(1, width)))
