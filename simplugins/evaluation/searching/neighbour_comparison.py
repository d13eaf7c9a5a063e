# SPDX-License-Identifier: Apache-2.0
"""Comparison of the neighbours that two networks' activations have, straight from exact searches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.inputs import check_agreement
from simplugins.comparisons.neighbourhoods.neighbour_lists import Neighbourhoods
from simplugins.comparisons.neighbourhoods.neighbour_method import NeighbourMethod
from simplugins.evaluation.searching.neighbours import Neighbours


def compare_neighbours(
    a: Neighbours, b: Neighbours, method: AnyMethod = "mutual-knn", *, k: int | None = None
) -> float:
    """Compare the nearest neighbours that `simplugins.search` found for the same inputs in two networks.

    The value equals that of `simplugins.compare` for the RSMs, which are never computed.

    Parameters
    ----------
    a, b : Neighbours
        Results of `simplugins.search` without `other`. If both have labels, these must be the same.
    method : str or comparison, default "mutual-knn"
        A comparison of neighbour lists alone: "mutual-knn", "cycle-knn", "lcs-knn", "jaccard-knn" or "rank-knn".
    k : int, optional
        Number of neighbours to compare; by default all that both searches found, or the k of a comparison that is given
        as an object.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    TypeError
        If `a` or `b` is not the result of a search.
    ValueError
        If they differ in number of inputs, labels or number of neighbours, fewer than k neighbours were found, a
        search had a gallery of its own, or the method needs more than neighbour lists.

    Notes
    -----
    Ties go to the smaller index, as in RSMs; inputs whose similarities differ by no more than rounding may swap places.

    Examples
    --------
    >>> import simplugins
    >>> from simplugins.data import load_photos
    >>> photos = load_photos()
    >>> early, late = (simplugins.search(photos[block], k=3) for block in ("block10", "block15"))
    >>> simplugins.compare_neighbours(early, late)  # both layers find the other crops of the same photograph
    1.0
    """
    for name, result in (("a", a), ("b", b)):
        _check_search(name, result)
    inputs = check_agreement([("a", len(a.indices), a.labels), ("b", len(b.indices), b.labels)])
    resolved = _of_lists(method)
    if k is None:
        k = _common_k(a, b) if isinstance(method, str | type) else resolved.k
    resolved = replace(resolved, k=k)
    if k > min(a.k, b.k):
        raise ValueError(f"k={k}, but the searches found {a.k} and {b.k} neighbours per input")
    if inputs < resolved.least_inputs:
        raise ValueError(f"{resolved.name} with k={k} needs at least {resolved.least_inputs} inputs, got {inputs}")
    return resolved.score(*(Neighbourhoods.from_lists(side.indices[:, :k]) for side in (a, b)))


def _check_search(name: str, result: Any) -> None:
    if not isinstance(result, Neighbours):
        raise TypeError(f"{name}: expected a result of simplugins.search, got {type(result).__name__}")
    if not result.symmetric:
        raise ValueError(
            f"{name}: the queries were searched for in another gallery (other=…), but neighbours of the same inputs "
            f"can only be compared among these inputs"
        )


def _of_lists(method: AnyMethod) -> NeighbourMethod:
    """Return a comparison of neighbour lists."""
    resolved = resolve_method(method)
    if not isinstance(resolved, NeighbourMethod) or resolved.uses_similarities:
        raise ValueError(
            f"method {resolved.name!r} needs more than lists of neighbours: compute the RSMs, and compare them with "
            f"simplugins.compare"
        )
    return resolved


def _common_k(a: Neighbours, b: Neighbours) -> int:
    if a.k != b.k:
        raise ValueError(
            f"a has {a.k} neighbours per input, and b has {b.k}: state how many to compare, such as k={min(a.k, b.k)}"
        )
    return a.k
