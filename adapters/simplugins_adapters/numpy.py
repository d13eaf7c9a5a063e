# SPDX-License-Identifier: Apache-2.0
"""NumPy: matrices of other tools, in memory or in files, as RSMs; RSMs and comparisons as named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform

from simplugins import RSM, Adapter, Comparison, read_activations
from simplugins_adapters.descriptions import common_labels, plain_labels
from simplugins_adapters.dissimilarities import Dissimilarity, Missing, matrix_as_rsm

TOOL = "numpy"


def to_arrays(rsm: RSM) -> dict[str, NDArray[Any]]:
    """Return an RSM as named arrays, for `numpy.savez` or `scipy.io.savemat`.

    The names are "rsm" (N x N or N x M, float64), and "labels" and "other_labels", if there are any; missing labels
    are empty texts.
    """
    arrays = {"rsm": rsm.values, "labels": rsm.labels, "other_labels": rsm.other_labels}
    return {name: plain_labels(array) for name, array in arrays.items() if array is not None}


def to_arrays_by_layer(rsms: Mapping[str, RSM]) -> dict[str, NDArray[Any]]:
    """Return RSMs of the same inputs as named arrays: one per layer, (N, N) float64, and "labels", if there are any.

    Raises
    ------
    ValueError
        If there are labels, and a layer is named "labels".
    """
    arrays = {layer: rsm.values.copy() for layer, rsm in rsms.items()}
    labels = common_labels(rsms.values())
    if labels is None:
        return arrays
    if "labels" in arrays:
        raise ValueError("rsms: the layer name 'labels' is taken by the labels of the inputs: rename the layer")
    return {**arrays, "labels": plain_labels(labels)}


def comparison_to_arrays(comparison: Comparison) -> dict[str, NDArray[Any]]:
    """Return a comparison of layers as named arrays: "values", (A, B) float64, and the layers, "rows" and "columns"."""
    return {
        "values": comparison.values.copy(),
        "rows": np.array(comparison.rows),
        "columns": np.array(comparison.columns),
    }


def from_arrays(
    source: ArrayLike | str | PathLike[str],
    *,
    key: str | None = None,
    labels: ArrayLike | str | None = None,
    dissimilarity: Dissimilarity | None = None,
    measure: str = "precomputed",
    missing: Missing = "raise",
) -> RSM:
    """Return a matrix of another tool as an RSM.

    Parameters
    ----------
    source : array or path
        (N, N), or a file that `simplugins.read_activations` reads: .npy, .npz, .pt, .pth or .safetensors.
        Dissimilarities may also be condensed, (N (N - 1) / 2,), the upper triangle row by row. Pickles are never read.
    key : str, optional
        Name of the array, in a file that holds several.
    labels : array or str, optional
        Labels of the inputs, (N,), or the name of their array in the same file.
    dissimilarity : {"squared-distance", "distance", "complement"}, optional
        The kind of dissimilarities; by default the values are similarities.
    measure : str, default "precomputed"
        Name of the measure.
    missing : {"raise", "omit"}, default "raise"
        With "omit", similarities and complements may be NaN; see `simplugins.RSM.from_similarities`.

    Returns
    -------
    RSM
        The diagonal holds the squared norms. RSMs from distances are centred (see `simplugins.RSM.from_distances`).

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    TypeError
        If values are not real numbers.
    ValueError
        If a file cannot be read or holds several arrays, values are not square, symmetric and finite or not of the kind
        stated, or the number of labels is wrong.
    """
    if isinstance(source, Mapping):
        raise TypeError(
            f"source: expected an array or the path of a file, got {type(source).__name__}: pass one of its arrays"
        )
    if isinstance(source, str | PathLike):
        values = read_activations(source, key)
        labels = read_activations(source, labels) if isinstance(labels, str) else labels
    elif key is not None or isinstance(labels, str):
        raise ValueError(
            "key= and the name of an array as labels= need a file; for an array, pass the labels themselves"
        )
    else:
        values = source
    if dissimilarity is not None and np.ndim(values) == 1:
        values = squareform(np.asarray(values))
    return matrix_as_rsm(values, dissimilarity, labels=labels, measure=measure, tool=TOOL, missing=missing)


adapter = Adapter(
    tool=TOOL,
    modules=("numpy",),
    install="pip install numpy",
    rsm=to_arrays,
    rsms=to_arrays_by_layer,
    comparison=comparison_to_arrays,
    reader=from_arrays,
)
