# SPDX-License-Identifier: Apache-2.0
"""NumPy: matrices of other tools, as arrays or in files of them, as RSMs; RSMs and comparisons as arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform

from simplugins import RSM, Adapter, Comparison, read_activations
from simplugins_adapters.shared import Dissimilarity, common_labels, matrix_as_rsm

TOOL = "numpy"


def to_arrays(rsm: RSM) -> dict[str, NDArray[Any]]:
    """Return an RSM as arrays by name, for `numpy.savez` or `scipy.io.savemat`.

    Parameters
    ----------
    rsm : RSM
        N x N, or N x M.

    Returns
    -------
    dict of str to array
        "rsm", float64; and what there is of "labels" and "other_labels".
    """
    arrays = {"rsm": rsm.values, "labels": rsm.labels, "other_labels": rsm.other_labels}
    return {name: array.copy() for name, array in arrays.items() if array is not None}


def to_arrays_by_layer(rsms: Mapping[str, RSM]) -> dict[str, NDArray[Any]]:
    """Return RSMs of the same inputs as arrays by name.

    Parameters
    ----------
    rsms : mapping of str to RSM
        By layer.

    Returns
    -------
    dict of str to array
        Each layer's, (N, N) float64; and "labels", if there are some.

    Raises
    ------
    ValueError
        If there are labels, and a layer is called so.
    """
    found = {layer: rsm.values.copy() for layer, rsm in rsms.items()}
    labels = common_labels(rsms.values())
    if labels is None:
        return found
    if "labels" in found:
        raise ValueError("a layer is called 'labels', as are the labels of inputs: rename it")
    return {**found, "labels": labels.copy()}


def comparison_to_arrays(comparison: Comparison) -> dict[str, NDArray[Any]]:
    """Return a comparison of layers as arrays by name.

    Returns
    -------
    dict of str to array
        "values", (A, B) float64; "rows" and "columns", the names of layers.
    """
    return {
        "values": comparison.values.copy(),
        "rows": np.array(comparison.rows),
        "columns": np.array(comparison.columns),
    }


def from_arrays(
    found: ArrayLike | str | PathLike[str],
    *,
    key: str | None = None,
    labels: ArrayLike | str | None = None,
    dissimilarity: Dissimilarity | None = None,
    measure: str = "precomputed",
) -> RSM:
    """Return a matrix of another tool as an RSM.

    Parameters
    ----------
    found : array or path
        (N, N), or a file of it that `simplugins.read_activations` reads: .npy, .npz, .pt, .pth or .safetensors.
        Dissimilarities may also be condensed, (N (N - 1) / 2,), the upper triangle by rows. No pickle is ever read.
    key : str, optional
        Which array, in a file that holds several.
    labels : array or str, optional
        What the inputs are called, (N,): an array, or what it is called in the same file.
    dissimilarity : {"squared-distance", "distance", "complement"}, optional
        What the values are, where they are dissimilarities: squared distances, distances, or 1 minus similarities. By
        default they are similarities.
    measure : str, default "precomputed"
        What the RSM's measure is to be called.

    Returns
    -------
    RSM
        The diagonal counts as squared norms. Of distances it is about the mean of all inputs (see
        `simplugins.RSM.from_distances`).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If values are no real numbers.
    ValueError
        If a file cannot be read, or holds several arrays; values are not square, symmetric and finite, or not what they
        are said to be; or labels are not one an input.
    """
    if isinstance(found, Mapping):
        raise TypeError(
            f"expected an array, or the path of a file, got {type(found).__name__}: take an array out of it"
        )
    if isinstance(found, str | PathLike):
        values = read_activations(found, key)
        labels = read_activations(found, labels) if isinstance(labels, str) else labels
    elif key is not None or isinstance(labels, str):
        raise ValueError("key= and labels= name arrays of a file; this is an array: give labels= as an array")
    else:
        values = found
    if dissimilarity is not None and np.ndim(values) == 1:
        values = squareform(np.asarray(values))
    return matrix_as_rsm(values, dissimilarity, labels=labels, measure=measure, source=TOOL)


adapter = Adapter(
    tool=TOOL,
    modules=("numpy",),
    install="pip install numpy",
    rsm=to_arrays,
    rsms=to_arrays_by_layer,
    comparison=comparison_to_arrays,
    back=from_arrays,
)
