# SPDX-License-Identifier: Apache-2.0
"""Groups of inputs that are drawn or exchanged together, such as the crops of one photograph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.labels import PartialLabels, check_labels
from simplugins.activations.named_orders import check_same_places, index_along

OWN_LABELS = "labels"
"""The name that stands for the labels of the RSM."""


def read_groups(groups: Any, labels: Any, count: int) -> NDArray[np.int64] | None:
    """Return the number of the group of each input, in the order of first occurrence; None for None.

    Parameters
    ----------
    groups : sequence, "labels" or None
        One label per input, equal for inputs of one group; or "labels", for the labels of the RSM.
    labels : array or None
        The labels of the RSM, which also show whether `groups` with an index are in the same order.
    count : int
        The number of inputs.

    Raises
    ------
    TypeError
        If `groups` is not a sequence of texts or whole numbers.
    ValueError
        If there is not one label per input, an input has none, all are in one group, or "labels" is asked for and
        there are none.

    Examples
    --------
    >>> read_groups(["b", "b", "a"], None, 3), read_groups("labels", np.array([7, 8, 7]), 3)
    (array([0, 0, 1]), array([0, 1, 0]))
    """
    if groups is None:
        return None
    if isinstance(groups, str):
        groups = _own(groups, labels)
    elif labels is not None:
        message = "groups: they are in another order than the inputs of the RSM"
        check_same_places(list(map(str, labels)), index_along(groups, 0), message)
    values = check_labels(groups, count, "groups")
    if isinstance(values, PartialLabels) and values.missing.any():
        raise ValueError(f"groups: input {int(values.missing.argmax())} has no group; every input needs one")
    numbers = renumbered(np.asarray(values))
    if group_count(numbers, count) < 2:
        raise ValueError("groups: expected at least 2 different groups, but all inputs are in one")
    return numbers


def renumbered(groups: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of each input's group, from 0, in the order of first occurrence.

    Examples
    --------
    >>> renumbered(np.array([5, 2, 5, 0]))
    array([0, 1, 0, 2])
    """
    _, first, numbers = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(first.argsort().argsort()[numbers.ravel()], np.int64)


def _own(name: str, labels: Any) -> Any:
    if name != OWN_LABELS:
        raise ValueError(f"groups: expected one label per input, or {OWN_LABELS!r} for those of the RSM, got {name!r}")
    if labels is None:
        raise ValueError(f"groups={OWN_LABELS!r} uses the labels of the RSM, which has none: pass one label per input")
    return labels


def first_labels(labels: Sequence[Any]) -> Any:
    """Return the first labels of several RSMs that are not None, or None."""
    return next((values for values in labels if values is not None), None)


def group_count(groups: NDArray[np.int64] | None, inputs: int) -> int:
    """Return the number of units that are drawn: groups, or inputs if there are none."""
    return inputs if groups is None else int(groups.max()) + 1


def least_groups(groups: NDArray[np.int64] | None, least_inputs: int) -> int:
    """Return the number of different units that a resample needs to have enough different inputs, at least 2 groups.

    Examples
    --------
    >>> least_groups(np.array([0, 0, 0, 1, 1, 2]), 4), least_groups(np.array([0, 1, 2, 3, 4]), 4), least_groups(None, 4)
    (2, 4, 4)
    """
    if groups is None:
        return least_inputs
    largest = np.sort(np.bincount(groups))[::-1].cumsum()
    return max(2, 1 + int(np.searchsorted(largest, least_inputs)))


def check_exchangeable(groups: Any, labels: Any, count: int) -> None:
    """Raise an error, as `read_groups` and `members` do, unless groups can be exchanged; None passes."""
    if (numbers := read_groups(groups, labels, count)) is not None:
        members(numbers)


def members(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the (G, M) inputs of groups of equal size, in their order.

    Raises
    ------
    ValueError
        If the sizes of groups differ.

    Examples
    --------
    >>> members(np.array([0, 1, 1, 0]))
    array([[0, 3],
           [1, 2]])
    """
    sizes = np.bincount(groups)
    if (sizes != sizes[0]).any():
        raise ValueError(
            f"groups: only groups of equal size can be exchanged, but they have {sizes.min()} to {sizes.max()} inputs. "
            f"Select the same number of inputs from each group. Leave groups= out if inputs were drawn independently, "
            f"even if they share a class: groups are for inputs such as several crops of one photograph"
        )
    return np.argsort(groups, kind="stable").reshape(len(sizes), -1)
