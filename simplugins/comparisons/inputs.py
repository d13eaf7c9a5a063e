# SPDX-License-Identifier: Apache-2.0
"""The matrices to be compared: whether they are of the same inputs, and whether they can be computed with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from simplugins import arrays
from simplugins.activations import naming
from simplugins.comparisons.pairs import Matrix
from simplugins.rsm import RSM

_ASYMMETRY = 1e-5
"""How far two entries that should be equal may be apart, relative to the largest: the rounding of float32 sums."""


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
    >>> list(named([np.eye(2), np.eye(2)], "matrices_a")), list(named({"conv1": np.eye(2)}, "matrices_b"))
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


def matrix_of(name: str, given: Any) -> Matrix:
    """Return a matrix as a float64 array; a copy only where one is needed.

    Raises
    ------
    ValueError
        If values are NaN or infinite.
    """
    with naming(name):
        array = arrays.as_array(given)
        matrix = arrays.to_numpy(array, np.dtype(np.float64))
    finite = np.isfinite(matrix)
    if not finite.all():
        row, column = np.unravel_index(finite.argmin(), finite.shape)
        raise ValueError(
            f"{name} holds {finite.size - np.count_nonzero(finite)} NaN or infinite values, the first at row {row}, "
            f"column {column}"
        )
    return matrix  # type: ignore[return-value]


def symmetric_matrix_of(name: str, given: Any) -> Matrix:
    """Return a matrix as a float64 array that is exactly symmetric: the mean of both halves, if these were rounded.

    Raises
    ------
    ValueError
        If values are NaN or infinite, or halves differ by more than the rounding of float32.
    """
    matrix = matrix_of(name, given)
    if np.array_equal(matrix, matrix.T):
        return matrix
    mirrored = matrix / 2 + matrix.T / 2
    apart = np.abs(matrix - mirrored)
    i, j = np.unravel_index(apart.argmax(), apart.shape)
    if apart[i, j] > _ASYMMETRY / 2 * np.abs(matrix).max():
        raise ValueError(
            f"{name} is not symmetric: at row {i}, column {j} it is {matrix[i, j]:.6g}, at row {j}, column {i} it is "
            f"{matrix[j, i]:.6g}"
        )
    return mirrored


def aligned(rsm_a: Any, rsm_b: Any) -> Matrix:
    """Return the second RSM's values with its inputs in the order of the first's.

    Raises
    ------
    ValueError
        If labels are missing, are not the same, or occur more than once in another order.
    """
    wanted, present = _labels("rsm_a", rsm_a), _labels("rsm_b", rsm_b)
    if wanted == present:
        return rsm_b.values  # type: ignore[no-any-return]
    _check_has("rsm_b", present, wanted)
    _check_has("rsm_a", wanted, present)
    for labels in (wanted, present):
        label, times = Counter(labels).most_common(1)[0]
        if times > 1:
            raise ValueError(f"align: label {label!r} names more than one input, so the order cannot be told")
    places = {label: place for place, label in enumerate(present)}
    order = [places[label] for label in wanted]
    return rsm_b.values[np.ix_(order, order)]  # type: ignore[no-any-return]


def _check_has(name: str, labels: list[Any], needed: list[Any]) -> None:
    found = set(labels)
    if missing := [label for label in needed if label not in found]:
        raise ValueError(f"align: {name} lacks {len(missing)} of the other's labels, the first {missing[0]!r}")


def _size(name: str, given: Any) -> int:
    if isinstance(given, RSM) and not given.symmetric:
        rows, columns = given.shape
        raise ValueError(
            f"{name} holds similarities of {rows} inputs to {columns} others: only RSMs of inputs with themselves can "
            f"be compared"
        )
    with naming(name):
        shape = tuple(arrays.as_array(given).shape)
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"expected a square matrix, inputs x inputs, got shape {shape}")
    return int(shape[0])


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
