# SPDX-License-Identifier: Apache-2.0
"""Orders of inputs and channels that the indexes of pandas and xarray tell, and whether they contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simplugins._common import refusals


def index_along(array: Any, axis: int) -> list[str] | None:
    """Return the names along an axis of a table, a column of pandas or a DataArray; None if it has none.

    The default numbers of pandas are no names.
    """
    if getattr(array, "ndim", 0) <= axis:
        return None
    known = refusals.libraries(array)
    if "pandas" in known and hasattr(array, "index"):
        index = array.index if axis == 0 else array.columns
    elif "xarray" in known and hasattr(array, "indexes"):
        index = array.indexes.get(array.dims[axis])
    else:
        return None
    is_default = index is None or (type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1))
    return None if is_default else list(map(str, index))


def check_same_places(first: Sequence[str] | None, second: Sequence[str] | None, message: str) -> None:
    """Check that no name of one index is at another place in the other index.

    Parameters
    ----------
    first, second : sequences of str or None
        Two indexes; without one of them there is nothing to check.
    message : str
        The beginning of the error.

    Raises
    ------
    ValueError
        If a name, which occurs once in each, is at different places; or if all names are the same in another order.
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
            f"the other; bring them into one order (reindex), or pass values without names (.to_numpy())"
        )


def check_labels_order(index: Sequence[str] | None, own: Any, labels: Any) -> None:
    """Check that labels are in the order of an array, as far as the index of both, or the labels themselves, tell.

    Parameters
    ----------
    index : sequence of str or None
        The names of the array's inputs.
    own : array or None
        The labels that the array itself gives its inputs.
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
