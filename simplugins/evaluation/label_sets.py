# SPDX-License-Identifier: Apache-2.0
"""Labels of inputs as sets: one label each, or several, such as the objects in a picture."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from simplugins._common import arrays


@dataclass(frozen=True)
class Agreement:
    """How the labels of queries agree with those of a gallery.

    Attributes
    ----------
    relevant : (Q, G) bool array
        Whether two share a label.
    f1 : (Q, G) float64 array
        Twice the number of labels they share, over how many both have together; 1 if neither has any.
    """

    relevant: NDArray[np.bool_]
    f1: NDArray[np.float64]


def agreement(labels: Any, gallery_labels: Any, queries: int, gallery: int) -> Agreement:
    """Return how the labels of queries agree with those of a gallery.

    Parameters
    ----------
    labels, gallery_labels : sequences
        One of labels, str or int; one of collections of these, such as sets; or an (N, L) array of booleans, True for
        labels that an input has. Both are of the same kind.
    queries, gallery : int
        How many there are to be.

    Raises
    ------
    ValueError
        If labels are not one entry an input, or arrays of booleans differ in the number of labels.

    Examples
    --------
    >>> agreement([{"cup"}, {"cup", "dog"}], [{"cup", "cat"}], 2, 1).f1
    array([[0.66666667],
           [0.5       ]])
    """
    vocabulary: dict[Any, int] = {}
    rows = _members("labels", labels, queries, vocabulary)
    columns = _members("gallery_labels", gallery_labels, gallery, vocabulary)
    own, others = (_matrix(sets, len(vocabulary)) for sets in (rows, columns))
    shared = (own @ others.T).toarray()
    sizes = own.sum(1)[:, None] + others.sum(1)[None, :]
    return Agreement(shared > 0, np.where(sizes > 0, 2 * shared / np.maximum(sizes, 1), 1.0))


def _members(name: str, labels: Any, count: int, vocabulary: dict[Any, int]) -> list[list[int]]:
    """Return the numbers of each input's labels; new ones are added to the vocabulary."""
    sets = _as_sets(name, labels)
    if len(sets) != count:
        raise ValueError(f"{name}: expected {count}, one an input, got {len(sets)}")
    return [[vocabulary.setdefault(label, len(vocabulary)) for label in dict.fromkeys(members)] for members in sets]


def _as_sets(name: str, labels: Any) -> list[Collection[Any]]:
    if isinstance(labels, Sequence) and not isinstance(labels, str) and any(_is_collection(entry) for entry in labels):
        if not all(_is_collection(entry) for entry in labels):
            raise ValueError(f"{name}: expected a label for each input, or a collection of labels for each")
        return [list(entry) for entry in labels]
    found = arrays.small_numpy(labels)
    if found.ndim == 2 and found.dtype == np.bool_:
        return [np.flatnonzero(row).tolist() for row in found]
    if found.ndim != 1:
        raise ValueError(
            f"{name}: expected labels, collections of labels, or booleans of shape (inputs, labels); got {found.dtype} "
            f"of shape {found.shape}"
        )
    return [[label] for label in found.tolist()]


def _is_collection(entry: Any) -> bool:
    return isinstance(entry, Collection) and not isinstance(entry, str | bytes)


def _matrix(members: list[list[int]], width: int) -> Any:
    """Return sets as a sparse matrix of ones, (N, L)."""
    starts = np.concatenate([[0], np.cumsum([len(numbers) for numbers in members])])
    columns = np.array([number for numbers in members for number in numbers], dtype=np.int64)
    return csr_array((np.ones(len(columns), np.int64), columns, starts), shape=(len(members), max(1, width)))
