# SPDX-License-Identifier: Apache-2.0
"""scikit-learn: RSMs as the precomputed kernels, affinities or distances that its estimators and scores take."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter
from simplugins_adapters.dissimilarities import gram
from simplugins_adapters.similarities import check_choice

TOOL = "scikit-learn"

Indefinite = Literal["refuse", "keep"]
"""Treatment of an RSM that is not positive semi-definite where an estimator takes a kernel: raise an error, or pass it
on unchanged with a warning."""


@dataclass(frozen=True)
class Precomputed:
    """The kind of matrix that an estimator takes in place of features.

    Attributes
    ----------
    matrix : callable(RSM, str, Indefinite) -> array
        Returns the matrix for the estimator of that name, or raises a ValueError.
    parameters : tuple of str
        The parameter that must be "precomputed", under all names that it has had; empty if there is none.
    """

    matrix: Callable[[RSM, str, Indefinite], NDArray[np.float64]]
    parameters: tuple[str, ...] = ()


def to_matrix(rsm: RSM, *, estimator: Any, indefinite: Indefinite = "refuse") -> NDArray[np.float64]:
    """Return an RSM as the "precomputed" matrix of an estimator.

    Parameters
    ----------
    rsm : RSM
        N x N, to fit; or of M inputs with the N fitted inputs, M x N, to predict or transform.
    estimator : class, instance, function or str
        Such as ``SVC``, ``SVC(kernel="precomputed")``, "SVC" or ``silhouette_score``. For estimators outside
        scikit-learn their parameters decide: "kernel" stands for a kernel, "affinity" for affinities, "metric" for
        distances.
    indefinite : {"refuse", "keep"}
        See `Indefinite`. Matrices are never repaired.

    Returns
    -------
    (N, N) or (M, N) float64 array
        Kernels and affinities are the similarities; distances are those of `RSM.rdm`. (N, N) are exactly symmetric.

    Raises
    ------
    TypeError
        If the estimator takes no such matrix.
    ValueError
        If an instance is not set to take one, affinities would be negative, a kernel is not positive semi-definite, or
        the name of the estimator or the value of `indefinite` is unknown.

    Notes
    -----
    O(N^3) where a kernel is checked, otherwise O(N^2).
    """
    check_choice("indefinite", indefinite, Indefinite)
    name = estimator if isinstance(estimator, str) else getattr(estimator, "__name__", type(estimator).__name__)
    precomputed = _precomputed_for(estimator, name)
    if hasattr(estimator, "get_params") and not isinstance(estimator, type):
        _check_setting(estimator, name, precomputed.parameters)
    return precomputed.matrix(rsm, name, indefinite)


def _kernel(rsm: RSM, *_: str) -> NDArray[np.float64]:
    return gram(rsm, TOOL) if rsm.symmetric else rsm.values.copy()


def _definite_kernel(rsm: RSM, name: str, indefinite: Indefinite) -> NDArray[np.float64]:
    """Return the kernel, if it is positive semi-definite within rounding."""
    kernel = _kernel(rsm)
    if not rsm.symmetric:
        return kernel
    indefiniteness = rsm.indefiniteness()
    if not indefiniteness:
        return kernel
    problem = (
        f"{name} takes positive semi-definite kernels, and the RSM is not: its smallest eigenvalue is "
        f"-{indefiniteness:.2%} of the largest"
    )
    if indefinite == "refuse":
        raise ValueError(
            f"{problem}; use an estimator that takes distances, or indefinite='keep' to pass it on as it is"
        )
    warnings.warn(f"{problem}; it is passed on as it is", RuntimeWarning, stacklevel=2)
    return kernel


def _affinities(rsm: RSM, name: str, _: Indefinite) -> NDArray[np.float64]:
    if (smallest := rsm.values.min()) < 0:
        raise ValueError(
            f"{name} takes affinities, which are at least 0, and the smallest similarity is {smallest:.4g}; the "
            f"measure semantic-rbf yields positive ones"
        )
    return _kernel(rsm)


def _distances(rsm: RSM, *_: str) -> NDArray[np.float64]:
    return rsm.rdm()


_KERNEL = Precomputed(_definite_kernel, ("kernel",))
_AFFINITIES = Precomputed(_affinities, ("affinity",))
_DISTANCES = Precomputed(_distances, ("metric", "dissimilarity"))

_BY_PARAMETER = {parameter: kind for kind in (_KERNEL, _AFFINITIES, _DISTANCES) for parameter in kind.parameters}

_BY_NAME = {
    **dict.fromkeys(("KernelPCA", "KernelRidge", "NuSVC", "NuSVR", "Nystroem", "OneClassSVM", "SVC", "SVR"), _KERNEL),
    "KernelCenterer": Precomputed(_kernel),
    "AffinityPropagation": Precomputed(_kernel, ("affinity",)),
    **dict.fromkeys(("SpectralClustering", "SpectralEmbedding"), _AFFINITIES),
    **dict.fromkeys(
        (
            *("AgglomerativeClustering", "ClassicalMDS", "DBSCAN", "FeatureAgglomeration", "HDBSCAN", "Isomap"),
            *("KNeighborsClassifier", "KNeighborsRegressor", "KNeighborsTransformer", "LocalOutlierFactor", "MDS"),
            *("NearestNeighbors", "OPTICS", "RadiusNeighborsClassifier", "RadiusNeighborsRegressor"),
            *("RadiusNeighborsTransformer", "TSNE", "silhouette_samples", "silhouette_score", "trustworthiness"),
        ),
        _DISTANCES,
    ),
}

_WITHOUT = (
    *("GaussianProcessClassifier", "GaussianProcessRegressor", "KNNImputer", "KernelDensity", "LabelPropagation"),
    *("LabelSpreading", "NearestCentroid"),
)
"""Estimators that take only features, although they have such a parameter."""


def _precomputed_for(estimator: Any, name: str) -> Precomputed:
    """Return the kind of matrix for an estimator: by its name or that of a base class, otherwise by its parameters."""
    target = estimator if callable(estimator) or isinstance(estimator, str) else type(estimator)
    names = (name, *(base.__name__ for base in getattr(target, "__mro__", ())))
    known = next((known for known in names if known in _BY_NAME or known in _WITHOUT), None)
    if known in _WITHOUT:
        raise TypeError(f"estimator: {name} takes only features, no precomputed kernel or distances")
    if known is not None:
        return _BY_NAME[known]
    if isinstance(estimator, str):
        raise ValueError(f"estimator: {name!r} is unknown: pass the class, or one of {', '.join(_BY_NAME)}")
    for parameter, precomputed in _BY_PARAMETER.items():
        if parameter in _parameters(target):
            return precomputed
    raise TypeError(
        f"estimator: {name} has none of the parameters {', '.join(_BY_PARAMETER)}, which could be 'precomputed'; for a "
        f"pipeline or a search, pass the estimator inside"
    )


def _parameters(target: Any) -> Mapping[str, Any]:
    try:
        return inspect.signature(target).parameters
    except ValueError:  # not written in Python
        return {}


def _check_setting(estimator: Any, name: str, parameters: tuple[str, ...]) -> None:
    """Check that an instance takes a precomputed matrix, and would not read the rows of an RSM as features."""
    values = {parameter: getattr(estimator, parameter) for parameter in parameters if hasattr(estimator, parameter)}
    if not values or any(isinstance(value, str) and value == "precomputed" for value in values.values()):
        return
    parameter = next((parameter for parameter, value in values.items() if not isinstance(value, bool)), parameters[0])
    raise ValueError(
        f"estimator: {name} has {parameter}={values[parameter]!r}, so it would read the rows of an RSM as features: "
        f"set {parameter}='precomputed'"
    )


adapter = Adapter(
    tool=TOOL,
    modules=("sklearn",),
    install="pip install 'simplugins[scikit-learn]'",
    rsm=to_matrix,
)
