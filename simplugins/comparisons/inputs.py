# SPDX-License-Identifier: Apache-2.0
"""The matrices to be compared: whether they are of the same inputs, and whether they can be computed with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.rsm.matrices import check_square
from simplugins.rsm.rsm import RSM


def named(matrices: Any, which: str) -> dict[str, Any]:
    """Return matrices by what errors call them: an argument's name, and a place or a key in it.

    Raises
    ------
    TypeError
        If these are not several matrices.
    ValueError
        If there are none.

    Examples
    --------
    >>> one, other = [[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.2], [0.2, 1.0]]
    >>> list(named([one, other], "matrices_a")), list(named({"conv1": one}, "matrices_b"))
    (['matrices_a[0]', 'matrices_a[1]'], ["matrices_b['conv1']"])
    """
    if isinstance(matrices, RSM | str) or not isinstance(matrices, Iterable):
        raise TypeError(f"{which}: expected a sequence of matrices, or a mapping, got {type(matrices).__name__}")
    items = matrices.items() if isinstance(matrices, Mapping) else enumerate(matrices)
    found = {f"{which}[{key!r}]": matrix for key, matrix in items}
    if not found:
        raise ValueError(f"{which}: expected at least one matrix, got none")
    return found


def check_same_inputs(given: Sequence[tuple[str, Any]], least: int, method: str) -> int:
    """Check that matrices are square, and of the same inputs as far as sizes and labels tell; return how many inputs.

    Parameters
    ----------
    given : sequence of (str, matrix)
        What errors call it, and an RSM or an array.
    least : int
        How many inputs the method needs.
    method : str
        Its name.

    Raises
    ------
    TypeError
        If one is no array of real numbers.
    ValueError
        If one is not square or has other inputs as columns, if numbers of inputs or labels differ, or if there are
        too few inputs.
    """
    sizes = {name: _size(name, matrix) for name, matrix in given}
    (first, count), *others = sizes.items()
    for name, size in others:
        if size != count:
            raise ValueError(f"RSMs can be compared if they are of the same inputs: {first} has {count}, {name} {size}")
    if count < least:
        raise ValueError(f"{method} needs at least {least} inputs, got {count}")
    labelled = [(name, matrix) for name, matrix in given if isinstance(matrix, RSM) and matrix.labels is not None]
    for name, rsm in labelled[1:]:
        _check_labels(*labelled[0], name, rsm)
    return count


def aligned(rsm_a: Any, rsm_b: Any) -> RSM:
    """Return the second RSM with its inputs in the order of the first's.

    Raises
    ------
    ValueError
        If labels are missing, are not the same, or occur more than once in another order.
    """
    wanted, _ = _labels("rsm_a", rsm_a), _labels("rsm_b", rsm_b)
    with error_prefix("align: rsm_b"):
        return rsm_b.in_order(wanted)  # type: ignore[no-any-return]


def all_aligned(first: RSM, rsms: Mapping[str, RSM]) -> dict[str, RSM]:
    """Return RSMs with their inputs in the order of the first's.

    Raises
    ------
    ValueError
        As `aligned`; it names the RSM.
    """
    found = {}
    for name, rsm in rsms.items():
        with error_prefix(repr(name)):
            found[name] = aligned(first, rsm)
    return found


def _size(name: str, given: Any) -> int:
    if isinstance(given, RSM) and not given.symmetric:
        rows, columns = given.shape
        raise ValueError(
            f"{name} holds similarities of {rows} inputs to {columns} others: only RSMs of inputs with themselves can "
            f"be compared"
        )
    with error_prefix(name):
        array = arrays.as_array(given)
        check_square(array)
    return int(array.shape[0])


def _labels(name: str, given: Any) -> list[Any]:
    _size(name, given)
    if not isinstance(given, RSM) or given.labels is None:
        raise ValueError(f"align puts inputs in order by their labels, and {name} has none")
    return list(given.labels.tolist())


def _check_labels(name_a: str, rsm_a: RSM, name_b: str, rsm_b: RSM) -> None:
    labels = _labels(name_a, rsm_a), _labels(name_b, rsm_b)
    for i, (one, other) in enumerate(zip(*labels, strict=True)):
        if one != other:
            permuted = sorted(map(repr, labels[0])) == sorted(map(repr, labels[1]))
            hint = "; they have the same labels in another order, which compare(..., align=True) undoes"
            raise ValueError(
                f"labels differ: input {i} is {one!r} in {name_a}, {other!r} in {name_b}{hint if permuted else ''}"
            )
