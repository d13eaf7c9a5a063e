# SPDX-License-Identifier: Apache-2.0
"""What several adapters need: dissimilarities and Gram matrices to give away, labels, and all similarities."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, plugins

Dissimilarity = Literal["squared-distance", "distance", "complement"]
"""How similarities become dissimilarities: the squares of the distances that belong to the kernel; these distances; or
the largest similarity there can be (1 of cosines and RBF, or else the largest there is) minus each, which keeps the
order of similarities under any kernel."""

SIMILARITIES = "simplugins.similarities"

_ROUNDING = 1e-6
"""How far from 0 the diagonal of dissimilarities may be that were computed in float32."""


def check_square(rsm: RSM, tool: str) -> None:
    """Check that an RSM compares inputs with themselves.

    Raises
    ------
    ValueError
        If it compares them with others.
    """
    if not rsm.symmetric:
        rows, columns = rsm.shape
        raise ValueError(
            f"{tool} takes RSMs of inputs with themselves; this one holds similarities of {rows} inputs to {columns} "
            f"others"
        )


def gram(rsm: RSM, tool: str) -> NDArray[np.float64]:
    """Return a copy of the values of an RSM of inputs with themselves, exactly symmetric, (N, N)."""
    check_square(rsm, tool)
    return (rsm.values + rsm.values.T) / 2


def dissimilarities(rsm: RSM, kind: Dissimilarity, tool: str) -> NDArray[np.float64]:
    """Return the dissimilarities of an RSM of inputs with themselves.

    Parameters
    ----------
    rsm : RSM
    kind : {"squared-distance", "distance", "complement"}
        See `Dissimilarity`.
    tool : str
        Who takes them, for errors.

    Returns
    -------
    (N, N) float64 array
        At least 0, exactly symmetric, with a diagonal of exactly 0.

    Raises
    ------
    ValueError
        If the RSM compares inputs with others, or there is no such kind.
    """
    check_square(rsm, tool)
    if kind not in get_args(Dissimilarity):
        raise ValueError(f"dissimilarity: expected one of {', '.join(get_args(Dissimilarity))}, got {kind!r}")
    if kind != "complement":
        return rsm.rdm(squared=kind == "squared-distance")
    values = gram(rsm, tool)
    largest = 1.0 if rsm.metadata.get("kernel") in ("cosine", "rbf") else float(values.max())
    found = np.maximum(largest - values, 0)
    np.fill_diagonal(found, 0)
    return found


def from_dissimilarities(values: Any, kind: Dissimilarity, *, labels: Any, measure: str, source: str) -> RSM:
    """Return dissimilarities of another tool as an RSM: inner products of distances, or 1 minus complements.

    Parameters
    ----------
    values : (N, N) array
    kind : {"squared-distance", "distance", "complement"}
        What they are.
    labels : (N,) array or None
    measure : str
        What the RSM's measure is to be called.
    source : str
        The tool that they come from.

    Raises
    ------
    ValueError
        If they are not what they are said to be, or there is no such kind.
    """
    if kind not in get_args(Dissimilarity):
        raise ValueError(f"dissimilarity: expected one of {', '.join(get_args(Dissimilarity))}, got {kind!r}")
    if kind == "complement":
        matrix = np.asarray(values, np.float64)
        if np.abs(matrix.diagonal()).max(initial=0) > _ROUNDING:
            raise ValueError(
                "complements of similarities are 0 on the diagonal, and these are not (similarities are read by RSM.from_similarities)"
            )
        return RSM.from_similarities(1 - matrix, labels=labels, measure=measure, source=source)
    squared = kind == "squared-distance"
    return RSM.from_distances(values, squared=squared, labels=labels, measure=measure, source=source)


def matrix_as_rsm(values: Any, dissimilarity: Dissimilarity | None, *, labels: Any, measure: str, source: str) -> RSM:
    """Return a matrix of another tool as an RSM.

    Parameters
    ----------
    values : (N, N) array
    dissimilarity : {"squared-distance", "distance", "complement"} or None
        What they are; None for similarities.
    labels : (N,) array or None
    measure : str
        What the RSM's measure is to be called.
    source : str
        The tool that they come from.

    Raises
    ------
    ValueError
        If values are not what they are said to be; or are said to be similarities, and the diagonal is 0.
    """
    if dissimilarity is not None:
        return from_dissimilarities(values, dissimilarity, labels=labels, measure=measure, source=source)
    found = RSM.from_similarities(values, labels=labels, measure=measure, source=source)
    if found.values.any() and not found.values.diagonal().any():
        raise ValueError(
            "the diagonal is 0, as that of dissimilarities: say with dissimilarity= whether they are squared-distance, "
            "distance or complement (1 minus similarity); similarities have those of inputs to themselves there"
        )
    return found


def described(rsm: RSM, kind: Dissimilarity) -> str:
    """Return what dissimilarities are called, such as "semantic-cosine squared-distance"."""
    return f"{rsm.measure} {kind}"


def labels_of(rsm: RSM) -> NDArray[Any]:
    """Return a copy of the labels of rows, or their numbers if there are none, (N,) of str or int64."""
    return np.arange(len(rsm)) if rsm.labels is None else rsm.labels.copy()


def common_labels(rsms: Iterable[RSM]) -> NDArray[Any] | None:
    """Return the labels of RSMs of the same inputs, of which some may have none."""
    return next((rsm.labels for rsm in rsms if rsm.labels is not None), None)


def axes_of(rsm: RSM) -> tuple[str, str]:
    """Return what the rows and columns of an RSM are called in tables."""
    return ("stimulus_i", "stimulus_j") if rsm.symmetric else ("stimulus", "other")


def all_similarities() -> dict[str, Callable[..., float]]:
    """Return all registered similarities of networks by name; those that cannot be loaded are left out, with a warning.

    Returns
    -------
    dict of str to callable
        Each called with the activations of two networks and the layout of both; ours are `NetworkSimilarity`.
    """
    found = {}
    for name in dict.fromkeys(plugin.name for plugin in plugins.available(SIMILARITIES)):
        try:
            found[name] = plugins.load(SIMILARITIES, name)
        except plugins.PluginError as error:
            warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=2)
    return found
