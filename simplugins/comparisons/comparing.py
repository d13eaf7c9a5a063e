# SPDX-License-Identifier: Apache-2.0
"""Comparing RSMs by any method: two of them, or all pairs of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins import plugins
from simplugins._common.instantiation import instantiate
from simplugins.comparisons.function_method import described
from simplugins.comparisons.inputs import aligned, named
from simplugins.comparisons.method import ComparisonMethod
from simplugins.rsm.matrices import Missing, check_missing

GROUP = "simplugins.comparisons"

AnyMethod = str | Callable[[Any, Any], Any] | type
"""The name of a plugin, a `Method`, a function of two arrays, or a dataclass of options with such a ``__call__``."""


def resolve_method(method: AnyMethod, options: Mapping[str, Any] | None = None) -> ComparisonMethod:
    """Return a method by its name, or a plugin object as a method.

    Parameters
    ----------
    method : str or callable
        The name of a plugin of the group ``simplugins.comparisons``, a `Method`, a function ``f(a, b)`` of two (N, N)
        float64 arrays that returns a number, or a dataclass of options with such a ``__call__`` (or an instance of
        one). Functions and dataclasses may declare `name`, `larger_is_more_similar`, `range`, `least_inputs`,
        `is_symmetric`, `is_metric`, `invariances` and `omits_missing` as attributes: see `Method` and `FunctionMethod`.
    options : mapping, optional
        Values for the fields of a dataclass that is not instantiated yet.

    Returns
    -------
    ComparisonMethod
        A `Method` as it is; anything else wrapped, with the facts that it declares (None where it declares nothing).

    Raises
    ------
    ValueError
        If no plugin has that name (the error suggests the nearest ones), or a declared fact is impossible.
    TypeError
        If the object cannot be called with two matrices, or does not have an option.

    Examples
    --------
    >>> resolve_method("rsa-kendall").name
    'rsa-kendall-tau-b'
    >>> resolve_method(lambda a, b: abs(a - b).max()).larger_is_more_similar is None  # not declared
    True
    """
    plugin: Any = plugins.load(GROUP, method) if isinstance(method, str) else method
    if isinstance(plugin, ComparisonMethod) and not options:
        return plugin
    name = str(method if isinstance(method, str) else getattr(method, "name", None) or _name(method))
    if isinstance(plugin, type):
        plugin = instantiate(plugin, f"method {name!r}", options or {})
    elif options:
        hint = ": pass its name or its class" if not isinstance(method, str) and is_dataclass(method) else ""
        raise TypeError(f"method {name!r} takes no options{hint}; got {', '.join(map(repr, options))}")
    if isinstance(plugin, ComparisonMethod):
        return plugin
    if not callable(plugin):
        raise TypeError(
            f"method must be the name of a comparison, or a callable (a, b) -> float, got {type(plugin).__name__}"
        )
    return described(plugin, name)


def _name(method: Any) -> str:
    return str(getattr(method, "__name__", type(method).__name__))


def compare(
    rsm_a: Any,
    rsm_b: Any,
    method: AnyMethod = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    align: bool = False,
    missing: Missing = "raise",
) -> float:
    """Compare two RSMs of the same inputs.

    Parameters
    ----------
    rsm_a, rsm_b : RSMs or (N, N) arrays
        Similarities, symmetric; `RSM.from_distances` makes an RSM of distances. If both have labels, the labels must be
        the same.
    method : str or callable, default "cka-debiased"
        "cka", "cka-debiased", "angular-cka", "rsa-pearson", "rsa-spearman", "rsa-kendall" (an alias of
        "rsa-kendall-tau-b"), "rsa-kendall-tau-a", "rsa-cosine", "norm-difference"; a comparison of nearest
        neighbours, "mutual-knn", "cycle-knn", "lcs-knn", "jaccard-knn", "rank-knn", "cknna" or "second-order-knn";
        another plugin of the group ``simplugins.comparisons``; or a method itself, such as any function of two arrays:
        see `resolve_method`.
    method_options : mapping, optional
        Options of a method given by name or class, such as ``{"k": 5}`` for the number of nearest neighbours.
    align : bool, default False
        Whether to reorder the inputs of the second RSM by the labels of the first.
    missing : {"raise", "omit"}, default "raise"
        With "omit", pairs of inputs that are NaN in either RSM are left out. The methods of RSA can do so, and those of
        nearest neighbours except "cknna"; CKA and the norm of the difference need whole matrices.

    Returns
    -------
    float
        Larger is more similar for most methods; "angular-cka" and "norm-difference" are distances. NaN, with a
        RuntimeWarning, if an RSM is constant, or fewer pairs are left than those of the least number of inputs.

    Raises
    ------
    ValueError
        If an RSM has different inputs in rows and columns, or is not symmetric, finite, or large enough; if an array
        holds dissimilarities, as far as its diagonal shows; if the numbers of inputs or the labels differ; if no method
        has that name; if pairs are missing and the method cannot leave them out.
    TypeError
        If one is not an array of real numbers.

    Examples
    --------
    >>> features = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [5.0, 1.0]])
    >>> rotated = features @ np.array([[0.0, -1.0], [1.0, 0.0]])
    >>> round(compare(features @ features.T, rotated @ rotated.T), 12)
    1.0
    """
    check_missing(missing)
    second = aligned(rsm_a, rsm_b) if align else rsm_b
    resolved = resolve_method(method, method_options)
    return float(resolved.compare_all({"rsm_a": rsm_a}, {"rsm_b": second}, missing=missing)[0, 0])


def pairwise(
    method: AnyMethod,
    matrices_a: Any,
    matrices_b: Any = None,
    *,
    method_options: Mapping[str, Any] | None = None,
    missing: Missing = "raise",
) -> NDArray[np.float64]:
    """Compare each RSM with each RSM of a second set, such as those of all layers of two networks.

    Parameters
    ----------
    method : str or callable
        As for `compare`.
    matrices_a, matrices_b : sequences of, or mappings of names to, RSMs or (N, N) arrays
        Names appear in errors. Without `matrices_b`, the first ones are compared with each other.
    method_options : mapping, optional
        As for `compare`.
    missing : {"raise", "omit"}, default "raise"
        As for `compare`; pairs of inputs are left out of each comparison for which they are missing.

    Returns
    -------
    (A, B) float64 array
        The values that `compare` returns for each pair, to rounding.

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if a sequence is empty.

    Notes
    -----
    A `Method` embeds each matrix once, and relates vectors of at most ``N (N + 1) / 2`` entries: by one matrix product,
    except for Kendall's correlations, which take O(N^2 log N) per pair. Vectors take at most 1 GiB, and so do the
    threads that compute them (or two vectors and one thread, if these are larger); beyond that, the vectors of
    `matrices_b` are computed repeatedly. Two networks of 12 layers and 1,000 inputs take 96 MB. Comparisons of nearest
    neighbours find those of each matrix once, in O(N^2), and compare lists in O(N k). Any other callable is called for
    each pair.

    Examples
    --------
    >>> rsms = [np.diag([1.0, 2.0, 3.0]), np.ones((3, 3)) + np.diag([1.0, 2.0, 3.0])]
    >>> pairwise("cka", rsms).round(12)
    array([[1., 1.],
           [1., 1.]])
    """
    check_missing(missing)
    columns = None if matrices_b is None else named(matrices_b, "matrices_b")
    resolved = resolve_method(method, method_options)
    return resolved.compare_all(named(matrices_a, "matrices_a"), columns, missing=missing)
