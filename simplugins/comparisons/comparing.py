# SPDX-License-Identifier: Apache-2.0
"""Comparing RSMs by a method's name: two of them, or all pairs of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins import plugins
from simplugins.comparisons.all_pairs import relate_all
from simplugins.comparisons.inputs import aligned, check_same_inputs, named
from simplugins.comparisons.method import Method
from simplugins.rsm.matrices import matrix_of

GROUP = "simplugins.comparisons"
Comparing = Callable[[Any, Any], float]


def resolve_method(method: str | Comparing) -> Comparing:
    """Return the method of a name, or a callable as it is.

    Parameters
    ----------
    method : str or callable
        A plugin of the group ``simplugins.comparisons``, or any function of two (N, N) arrays that returns a number.

    Returns
    -------
    callable
        A `Method`, or a third party's function.

    Raises
    ------
    ValueError
        If no plugin has that name; the error names the nearest ones.
    TypeError
        If it is neither a name nor can be called.

    Examples
    --------
    >>> resolve_method("rsa-kendall").name
    'rsa-kendall-tau-b'
    """
    found = plugins.load(GROUP, method) if isinstance(method, str) else method
    if not callable(found):
        raise TypeError(
            f"method must be the name of a comparison, or a callable (a, b) -> float, got {type(found).__name__}"
        )
    return found


def compare(rsm_a: Any, rsm_b: Any, method: str | Comparing = "cka", *, align: bool = False) -> float:
    """Compare two RSMs of the same inputs.

    Parameters
    ----------
    rsm_a, rsm_b : RSMs or (N, N) arrays
        Symmetric. If both have labels, these are to be the same.
    method : str or callable, default "cka"
        "cka", "cka-debiased", "angular-cka", "rsa-pearson", "rsa-spearman", "rsa-kendall" (which is
        "rsa-kendall-tau-b"), "rsa-kendall-tau-a", "rsa-cosine", "norm-difference"; another plugin of the group
        ``simplugins.comparisons``; or any function of two arrays.
    align : bool, default False
        Whether to put the inputs of the second RSM in the order of the first one's labels.

    Returns
    -------
    float
        Of most methods larger is more similar; "angular-cka" and "norm-difference" are distances. NaN, with a
        RuntimeWarning, if an RSM is constant.

    Raises
    ------
    ValueError
        If an RSM compares inputs with others, or is not symmetric, finite, or large enough; if numbers of inputs or
        labels differ; if no method has that name.
    TypeError
        If one is no array of real numbers.

    Examples
    --------
    >>> features = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [5.0, 1.0]])
    >>> rotated = features @ np.array([[0.0, -1.0], [1.0, 0.0]])
    >>> round(compare(features @ features.T, rotated @ rotated.T), 12)
    1.0
    """
    other = aligned(rsm_a, rsm_b) if align else rsm_b
    return float(compare_all(resolve_method(method), {"rsm_a": rsm_a}, {"rsm_b": other})[0, 0])


def pairwise(method: str | Comparing, matrices_a: Any, matrices_b: Any = None) -> NDArray[np.float64]:
    """Compare each of some RSMs with each of others, such as those of all layers of two networks.

    Parameters
    ----------
    method : str or callable
        As for `compare`.
    matrices_a, matrices_b : sequences of, or mappings of names to, RSMs or (N, N) arrays
        Names appear in errors. Without `matrices_b`, the first ones are compared with each other.

    Returns
    -------
    (A, B) float64 array
        What `compare` returns for each two, to rounding.

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if a sequence is empty.

    Notes
    -----
    A `Method` embeds each matrix once, and relates vectors of at most ``N (N + 1) / 2`` entries: by one matrix product,
    but for Kendall's, which takes O(N^2 log N) for each two. Vectors take 1 GiB at most, and so do the threads that
    make them (but two vectors and one thread are always there); beyond that, those of `matrices_b` are made more than
    once. Two times 12 layers of 1,000 inputs take 96 MB of vectors. A plain callable is called for each two.

    Examples
    --------
    >>> rsms = [np.diag([1.0, 2.0, 3.0]), np.ones((3, 3)) + np.diag([1.0, 2.0, 3.0])]
    >>> pairwise("cka", rsms).round(12)
    array([[1., 1.],
           [1., 1.]])
    """
    others = None if matrices_b is None else named(matrices_b, "matrices_b")
    return compare_all(resolve_method(method), named(matrices_a, "matrices_a"), others)


def compare_all(method: Comparing, a: Mapping[str, Any], b: Mapping[str, Any] | None) -> NDArray[np.float64]:
    """Compare each of some RSMs with each of others; see `pairwise`. Errors call them what these mappings do."""
    if isinstance(method, Method):
        return relate_all(method, a, b)
    others = a if b is None else b
    check_same_inputs([*a.items(), *others.items()], 2, name_of(method))
    rows, columns = ([matrix_of(*item) for item in items.items()] for items in (a, others))
    return np.array([[call(method, row, column) for column in columns] for row in rows])


def call(method: Comparing, a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Call a third party's function, with arrays of its own.

    Raises
    ------
    TypeError
        If it does not return a number.
    """
    returned = method(a.copy(), b.copy())
    value = np.asarray(returned)
    if value.size != 1 or not isinstance(value.item(), Real):
        raise TypeError(f"{name_of(method)} was to return a number, got {type(returned).__name__}")
    return float(value.item())


def name_of(method: Comparing) -> str:
    """Return what a method or a function is called."""
    return str(getattr(method, "name", None) or getattr(method, "__name__", None) or method)
