# SPDX-License-Identifier: Apache-2.0
"""RSMs as dissimilarities and Gram matrices for other tools, and matrices of other tools as RSMs."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM
from simplugins_adapters.similarities import check_choice

Dissimilarity = Literal["squared-distance", "distance", "complement"]
"""How similarities become dissimilarities: the squared distances that belong to the kernel; these distances; or the
largest possible similarity (1 for cosine and RBF kernels, otherwise the largest value) minus each similarity, which
reverses their order under any kernel."""

Missing = Literal["raise", "omit"]
"""How to treat pairs that are NaN: raise an error, or keep them as missing values that comparisons can omit."""

_ROUNDING = 1e-6
"""Largest diagonal entry of dissimilarities that counts as float32 rounding."""


def check_square(rsm: RSM, tool: str) -> None:
    """Raise a ValueError if an RSM compares inputs with other inputs."""
    if not rsm.symmetric:
        rows, columns = rsm.shape
        raise ValueError(
            f"{tool} takes RSMs of inputs with themselves; this one compares {rows} inputs with {columns} other inputs"
        )


def gram(rsm: RSM, tool: str) -> NDArray[np.float64]:
    """Return a copy of the values of an RSM of inputs with themselves, exactly symmetric, (N, N)."""
    check_square(rsm, tool)
    return (rsm.values + rsm.values.T) / 2


def dissimilarities(rsm: RSM, dissimilarity: Dissimilarity, tool: str) -> NDArray[np.float64]:
    """Return the dissimilarities of an RSM of inputs with themselves.

    Parameters
    ----------
    rsm : RSM
    dissimilarity : {"squared-distance", "distance", "complement"}
        See `Dissimilarity`.
    tool : str
        Name of the tool, for errors.

    Returns
    -------
    (N, N) float64 array
        Exactly symmetric, with a diagonal of exactly 0. At least 0, except for cross-validated squared distances. NaN
        where the RSM is NaN.

    Raises
    ------
    ValueError
        If the RSM compares inputs with other inputs, the kind of dissimilarity is unknown, or distances are requested
        but squared distances are negative.
    """
    check_square(rsm, tool)
    check_choice("dissimilarity", dissimilarity, Dissimilarity)
    if dissimilarity != "complement":
        return rsm.rdm(squared=dissimilarity == "squared-distance")
    values = gram(rsm, tool)
    largest = 1.0 if rsm.kernel in ("cosine", "rbf") else float(np.fmax.reduce(values, axis=None))
    matrix = np.maximum(largest - values, 0)
    if rsm.kernel == "cosine":  # rounding leaves cosines of equal responses below 1, but responses of 0 have cosine 0
        matrix[(rsm.rdm(squared=True) == 0) & (values > 0)] = 0
    np.fill_diagonal(matrix, 0)
    return matrix


def matrix_as_rsm(
    values: Any,
    dissimilarity: Dissimilarity | None,
    *,
    tool: str,
    labels: Any = None,
    measure: str = "precomputed",
    missing: Missing = "raise",
) -> RSM:
    """Return a matrix of another tool as an RSM.

    Parameters
    ----------
    values : (N, N) array
    dissimilarity : {"squared-distance", "distance", "complement"} or None
        The kind of dissimilarities; None for similarities.
    tool : str
        The tool that made the matrix, recorded as ``metadata["source"]``.
    labels : (N,) array, optional
    measure : str, default "precomputed"
        Name of the measure.
    missing : {"raise", "omit"}, default "raise"
        Whether similarities or complements may be NaN ("omit"); see `simplugins.RSM.from_similarities`.

    Returns
    -------
    RSM
        The similarities; 1 minus complements; or the inner products of centred points with these distances.

    Raises
    ------
    ValueError
        If the kind of dissimilarity is unknown; if the diagonal shows that similarities are dissimilarities, or is not
        0 for dissimilarities; or if values are missing and `missing` is "raise".
    """
    description: dict[str, Any] = {"labels": labels, "measure": measure, "metadata": {"source": tool}}
    if dissimilarity is None:
        return RSM.from_similarities(values, missing=missing, **description)
    check_choice("dissimilarity", dissimilarity, Dissimilarity)
    if dissimilarity != "complement":
        return RSM.from_distances(values, squared=dissimilarity == "squared-distance", **description)
    matrix = np.asarray(values, np.float64)
    if np.fmax.reduce(np.abs(matrix.diagonal()), initial=0) > _ROUNDING:
        raise ValueError(
            "dissimilarity='complement': the diagonal must be 0, but is not (use RSM.from_similarities for "
            "similarities)"
        )
    return RSM.from_similarities(1 - matrix, missing=missing, **description)
