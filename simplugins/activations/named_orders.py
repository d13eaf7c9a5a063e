# SPDX-License-Identifier: Apache-2.0
"""Checks that indexes of pandas and xarray objects list inputs and channels in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simplugins._common import refusals
from simplugins._common.data_frames import is_default_index


def index_along(array: Any, axis: int) -> list[str] | None:
    """Return the names along an axis of a pandas DataFrame or Series, or a DataArray; None for default numbers."""
    if getattr(array, "ndim", 0) <= axis:
        return None
    known = refusals.libraries(array)
    if "pandas" in known and hasattr(array, "index"):
        index = array.index if axis == 0 else array.columns
    elif "xarray" in known and hasattr(array, "indexes"):
        index = array.indexes.get(array.dims[axis])
    else:
        return None
    return None if index is None or is_default_index(index) else list(map(str, index))


def check_same_places(first: Sequence[str] | None, second: Sequence[str] | None, message: str) -> None:
    """Check that two indexes do not list the same names at different places.

    Parameters
    ----------
    first, second : sequences of str or None
        Two indexes; None passes.
    message : str
        The beginning of the error.

    Raises
    ------
    ValueError
        If all names are unique and one of them is at different places, or if the names are the same in another order.
    """
    if first is None or second is None or list(first) == list(second):
        return
    if len(set(first)) == len(first) and len(set(second)) == len(second):
        places = {name: place for place, name in enumerate(first)}
        moved = next((name for place, name in enumerate(second) if places.get(name, place) != place), None)
    else:
        same = sorted(first) == sorted(second)
        moved = next((name for name, other in zip(second, first, strict=True) if name != other), None) if same else None
    if moved is not None:
        raise ValueError(
            f"{message}: {moved!r} is at place {list(first).index(moved)} in one and {list(second).index(moved)} in "
            f"the other; put them in the same order (reindex), or pass values without names (.to_numpy())"
        )


def check_labels_order(index: Sequence[str] | None, own: Any, labels: Any) -> None:
    """Check that labels are in the order of an array, as far as their indexes or the labels themselves show.

    Parameters
    ----------
    index : sequence of str or None
        The names of the array's inputs.
    own : array or None
        The labels that the array itself has for its inputs.
    labels : array or None
        The labels that were passed.

    Raises
    ------
    ValueError
        If they are in another order.
    """
    message = "labels: they are in another order than the inputs"
    check_same_places(index, index_along(labels, 0), message)
    if own is None or not hasattr(labels, "__len__") or len(labels) != len(own):
        return
    texts, expected = [str(label) for label in labels], [str(label) for label in own]
    if sorted(texts) == sorted(expected):
        check_same_places(expected, texts, message)
