# SPDX-License-Identifier: Apache-2.0
"""Checks of the matrices to compare: whether they are square, and whether their inputs are the same."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from simplugins._common import arrays
from simplugins._common.validation import check_names, error_prefix
from simplugins.activations.labels import comparable
from simplugins.rsm.dissimilarity import check_similarities
from simplugins.rsm.labelled_matrices import matrix_labels
from simplugins.rsm.matrices import Matrix, Missing, check_square, matrix_of, symmetric_matrix_of
from simplugins.rsm.rsm import RSM


def named(matrices: Any, parameter: str) -> dict[str, Any]:
    """Return matrices by the names that errors use: a parameter's name, and an index or key.

    Raises
    ------
    TypeError
        If these are not several matrices.
    ValueError
        If there are none.

    Examples
    --------
    >>> first, second = [[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.2], [0.2, 1.0]]
    >>> list(named([first, second], "matrices_a")), list(named({"conv1": first}, "matrices_b"))
    (['matrices_a[0]', 'matrices_a[1]'], ["matrices_b['conv1']"])
    """
    if isinstance(matrices, RSM | str) or not isinstance(matrices, Iterable):
        raise TypeError(f"{parameter}: expected a sequence or mapping of matrices, got {type(matrices).__name__}")
    items = matrices.items() if isinstance(matrices, Mapping) else enumerate(matrices)
    result = {f"{parameter}[{key!r}]": matrix for key, matrix in items}
    if not result:
        raise ValueError(f"{parameter}: expected at least one matrix, got none")
    return result


def one_or_several(matrices: Any, parameter: str) -> dict[str, Any]:
    """Return one or several matrices by name: by the parameter, the keys of a mapping, or the numbers in a sequence.

    Raises
    ------
    ValueError
        If there are none, or two keys are the same text.

    Examples
    --------
    >>> matrix = [[1.0, 0.5], [0.5, 1.0]]
    >>> list(one_or_several(matrix, "target")), list(one_or_several([matrix, matrix], "target"))
    (['target'], ['0', '1'])
    """
    if isinstance(matrices, RSM) or getattr(matrices, "ndim", None) == 2:
        return {parameter: matrices}
    if isinstance(matrices, Mapping):
        check_names(parameter, matrices)
        result = {str(name): matrix for name, matrix in matrices.items()}
    elif isinstance(matrices, Iterable) and not isinstance(matrices, str):
        items = list(matrices)
        is_matrix = all(not isinstance(item, RSM) and np.ndim(item) == 1 for item in items)
        result = {parameter: items} if items and is_matrix else {str(k): item for k, item in enumerate(items)}
    else:
        kind = type(matrices).__name__
        raise TypeError(f"{parameter}: expected an RSM, or a sequence or mapping of RSMs, got {kind}")
    if not result:
        raise ValueError(f"{parameter}: expected at least one RSM, got none")
    return result


def check_same_inputs(matrices: Sequence[tuple[str, Any]], least: int, method: str) -> int:
    """Check that matrices are square, and that their inputs agree in number and labels; return the number of inputs.

    Parameters
    ----------
    matrices : sequence of (str, matrix)
        A name for errors, and an RSM or an array.
    least : int
        The number of inputs that the method needs.
    method : str
        Its name.

    Raises
    ------
    TypeError
        If one is not an array of real numbers.
    ValueError
        If one is not square or has different inputs in rows and columns, if numbers of inputs or labels differ, or if
        there are too few inputs.
    """
    sides = [(name, _size(name, matrix), labels_of(name, matrix)) for name, matrix in matrices]
    hint = "; the labels are the same in another order: pass align=True, or reorder an RSM with rsm.in_order(labels)"
    count = check_agreement(sides, hint=hint, sorting=_sorting(matrices))
    if count < least:
        raise ValueError(f"{method} needs at least {least} inputs, got {count}")
    return count


def similarities_of(name: str, rsm: Any, *, missing: Missing | None = "raise") -> Matrix:
    """Return an RSM, or an array of similarities, as a float64 array; it need not be symmetric.

    Parameters
    ----------
    name : str
        The argument that errors name.
    rsm : RSM or (N, N) array
    missing : {"raise", "omit"} or None
        As for `matrix_of`.

    Raises
    ------
    TypeError
        If it is not an array of real numbers.
    ValueError
        If it is an array of dissimilarities, or values are infinite, or NaN where they may not be.
    """
    return _told_apart(name, rsm, matrix_of(name, rsm, missing=missing))


def symmetric_similarities_of(name: str, rsm: Any, *, missing: Missing | None = "raise") -> Matrix:
    """Return an RSM, or an array of similarities, as an exactly symmetric float64 array; see `similarities_of`."""
    return _told_apart(name, rsm, symmetric_matrix_of(name, rsm, missing=missing))


def _told_apart(name: str, rsm: Any, matrix: Matrix) -> Matrix:
    """Return a matrix, after checking that it does not hold dissimilarities, as no RSM does."""
    if not isinstance(rsm, RSM):
        check_similarities(name, matrix)
    return matrix


def _sorting(matrices: Sequence[tuple[str, Any]]) -> str:
    """Return, for a warning, which tool has sorted the inputs of an RSM by their labels; "" if none has."""
    for _, rsm in matrices:
        if isinstance(rsm, RSM) and "sorted_by" in rsm.metadata:
            return f" ({rsm.metadata.get('source')} sorts inputs by {rsm.metadata['sorted_by']!r})"
    return ""


def check_agreement(sides: Sequence[tuple[str, int, Any]], *, hint: str = "", sorting: str = "") -> int:
    """Check that all sides have the same number of inputs, and the same labels where they have labels.

    Parameters
    ----------
    sides : sequence of (str, int, array or None)
        A name for errors, the number of inputs, and their labels.
    hint : str
        Appended to the error if labels only differ in order.
    sorting : str
        What is known of the order of inputs, for the warning.

    Returns
    -------
    int
        The number of inputs.

    Raises
    ------
    ValueError
        If the sides disagree.

    Warns
    -----
    UserWarning
        If some sides have labels and others none, so that nobody can check their order; unless the labels are the
        numbers of the inputs.
    """
    first, count, _ = sides[0]
    for name, size, _ in sides:
        if size != count:
            raise ValueError(f"only the same inputs can be compared: {first} has {count} inputs, {name} has {size}")
    labelled = [(name, labels) for name, _, labels in sides if labels is not None]
    if unlabelled := next((name for name, _, labels in sides if labels is None), None):
        _warn_of_places(labelled, unlabelled, sorting)
    for name, others in labelled[1:]:
        reference, first_labels = labelled[0]
        expected, labels = (values.tolist() for values in comparable(first_labels, others))
        if labels == expected:
            continue
        i = next(i for i, pair in enumerate(zip(expected, labels, strict=True)) if pair[0] != pair[1])
        reordered = sorted(expected) == sorted(labels)
        raise ValueError(
            f"labels differ: input {i} is {_named(expected[i])} in {reference}, {_named(labels[i])} in {name}"
            f"{hint if reordered else ''}"
        )
    return count


def _warn_of_places(labelled: Sequence[tuple[str, Any]], unlabelled: str, sorting: str) -> None:
    """Warn of labels that cannot be checked against those of another side, which has none."""
    for name, labels in labelled:
        if [str(label) for label in labels] != [str(number) for number in range(len(labels))]:
            warnings.warn(
                f"{name} has labels and {unlabelled} has none, so inputs are compared by their places, and whether "
                f"they are in the same order is not known{sorting}: label both, or confirm the order by leaving out "
                f"the labels, dataclasses.replace(rsm, labels=None)",
                UserWarning,
                stacklevel=5,
            )
            return


def _named(label: int | str) -> str:
    return "without a label" if label == "" else repr(label)


def aligned(rsm_a: Any, rsm_b: Any) -> RSM:
    """Return the second RSM with its inputs in the order of the first.

    Raises
    ------
    ValueError
        If labels are missing or not the same, or if a label names several inputs and the order differs.
    """
    first, second = _labelled("rsm_a", rsm_a), _labelled("rsm_b", rsm_b)
    with error_prefix("align: rsm_b"):
        return second.in_order(first.labels)


def all_aligned(first: RSM, rsms: Mapping[str, RSM]) -> dict[str, RSM]:
    """Return RSMs with their inputs in the order of the first.

    Raises
    ------
    ValueError
        As `aligned`; the error names the RSM.
    """
    result = {}
    for name, rsm in rsms.items():
        with error_prefix(repr(name)):
            result[name] = aligned(first, rsm)
    return result


def _size(name: str, matrix: Any) -> int:
    """Return the number of inputs of a square matrix."""
    if isinstance(matrix, RSM):
        rows, columns = matrix.shape
        if not matrix.symmetric:
            raise ValueError(
                f"{name} compares {rows} inputs with {columns} others, but only RSMs with the same inputs in rows and "
                f"columns can be compared"
            )
        return rows
    with error_prefix(name):
        array = arrays.as_array(matrix)
        check_square(array)
    return int(array.shape[0])


def labels_of(name: str, matrix: Any) -> Any:
    """Return the labels of an RSM or of a labelled matrix; None if it has none."""
    if isinstance(matrix, RSM):
        return matrix.labels
    with error_prefix(name):
        return None if arrays.is_plain(matrix) else matrix_labels(matrix)


def _labelled(name: str, matrix: Any) -> RSM:
    """Return a matrix with labels as an RSM."""
    _size(name, matrix)
    labels = labels_of(name, matrix)
    if labels is None:
        raise ValueError(f"align=True orders inputs by their labels, but {name} has none")
    return matrix if isinstance(matrix, RSM) else RSM.from_similarities(matrix, labels=labels)
