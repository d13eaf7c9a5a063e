# SPDX-License-Identifier: Apache-2.0
"""scikit-learn: RSMs as the precomputed kernels, affinities or distances that its estimators and scores take."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter
from simplugins_adapters.shared import gram

TOOL = "scikit-learn"

Indefinite = Literal["refuse", "keep"]
"""What becomes of an RSM that is not positive semi-definite, where a kernel should be: an error; or it is handed over
as it is, with a warning."""


@dataclass(frozen=True)
class Precomputed:
    """What an estimator takes in place of features.

    Attributes
    ----------
    matrix : callable(RSM, str, Indefinite) -> array
        Makes it, for the estimator of that name, or says why not.
    parameters : tuple of str
        The parameter that has to be "precomputed", by all names that it has had; none if there is nothing to set.
    """

    matrix: Callable[[RSM, str, Indefinite], NDArray[np.float64]]
    parameters: tuple[str, ...] = ()


def to_matrix(rsm: RSM, *, estimator: Any, indefinite: Indefinite = "refuse") -> NDArray[np.float64]:
    """Return an RSM as the matrix that an estimator takes, where it says "precomputed".

    Parameters
    ----------
    rsm : RSM
        N x N, to fit; or of M inputs with the N that were fitted, M x N, to predict or transform.
    estimator : class, instance, function or str
        Such as ``SVC``, ``SVC(kernel="precomputed")``, "SVC" or ``silhouette_score``. What others than scikit-learn's
        own take is told by their parameters: "kernel" is one for a kernel, "affinity" for affinities, "metric" for
        distances.
    indefinite : {"refuse", "keep"}
        See `Indefinite`. Nothing is ever repaired.

    Returns
    -------
    (N, N) or (M, N) float64 array
        Kernels and affinities are the similarities; distances are those of `RSM.rdm`. (N, N) are exactly symmetric.

    Raises
    ------
    TypeError
        If the estimator takes no such matrix.
    ValueError
        If an instance is not set to take it; affinities would be negative, or a kernel is not positive semi-definite;
        or there is no estimator of that name, or no such option.

    Notes
    -----
    O(N^3) where a kernel is checked, else O(N^2).
    """
    if indefinite not in get_args(Indefinite):
        raise ValueError(f"indefinite: expected one of {', '.join(get_args(Indefinite))}, got {indefinite!r}")
    name = estimator if isinstance(estimator, str) else getattr(estimator, "__name__", type(estimator).__name__)
    taken = _taken_by(estimator, name)
    if hasattr(estimator, "get_params") and not isinstance(estimator, type):
        _check_set(estimator, name, taken.parameters)
    return taken.matrix(rsm, name, indefinite)


def _kernel(rsm: RSM, *_: str) -> NDArray[np.float64]:
    return gram(rsm, TOOL) if rsm.symmetric else rsm.values.copy()


def _definite_kernel(rsm: RSM, name: str, indefinite: Indefinite) -> NDArray[np.float64]:
    """Return the kernel, if it is positive semi-definite up to the rounding of how the RSM was computed."""
    kernel = _kernel(rsm)
    if not rsm.symmetric:
        return kernel
    missing = rsm.indefiniteness()
    if not missing:
        return kernel
    told = (
        f"{name} is made for kernels that are positive semi-definite, and the RSM is not: its least eigenvalue is "
        f"{missing:.2%} of the largest below 0"
    )
    if indefinite == "refuse":
        raise ValueError(
            f"{told}; use an estimator that takes distances, or indefinite='keep' to hand it over as it is"
        )
    warnings.warn(f"{told}; it is handed over as it is", RuntimeWarning, stacklevel=2)
    return kernel


def _affinities(rsm: RSM, name: str, _: Indefinite) -> NDArray[np.float64]:
    if (least := rsm.values.min()) < 0:
        raise ValueError(
            f"{name} takes affinities, which are at least 0, and the least similarity is {least:.4g}; those of the "
            f"measure semantic-rbf are positive"
        )
    return _kernel(rsm)


def _distances(rsm: RSM, *_: str) -> NDArray[np.float64]:
    return rsm.rdm()


_KERNEL = Precomputed(_definite_kernel, ("kernel",))
_AFFINITIES = Precomputed(_affinities, ("affinity",))
_DISTANCES = Precomputed(_distances, ("metric", "dissimilarity"))

_BY_PARAMETER = {parameter: taken for taken in (_KERNEL, _AFFINITIES, _DISTANCES) for parameter in taken.parameters}

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
"""Estimators that take features only, although they have such a parameter."""


def _taken_by(estimator: Any, name: str) -> Precomputed:
    """Return what an estimator takes: by its name, or that of a base; or else by its parameters."""
    described = estimator if callable(estimator) or isinstance(estimator, str) else type(estimator)
    names = (name, *(base.__name__ for base in getattr(described, "__mro__", ())))
    known = next((known for known in names if known in _BY_NAME or known in _WITHOUT), None)
    if known in _WITHOUT:
        raise TypeError(f"{name} takes features only, no precomputed kernel or distances")
    if known is not None:
        return _BY_NAME[known]
    if isinstance(estimator, str):
        raise ValueError(f"no estimator is known by the name {name!r}: give the class, or one of {', '.join(_BY_NAME)}")
    for parameter, taken in _BY_PARAMETER.items():
        if parameter in _parameters(described):
            return taken
    raise TypeError(
        f"{name} has none of the parameters {', '.join(_BY_PARAMETER)}, which could be 'precomputed'; of a pipeline or "
        f"a search, give the estimator inside"
    )


def _parameters(described: Any) -> Mapping[str, Any]:
    try:
        return inspect.signature(described).parameters
    except ValueError:  # of what is not written in Python
        return {}


def _check_set(estimator: Any, name: str, parameters: tuple[str, ...]) -> None:
    """Check that an instance takes a precomputed matrix, and would not take the rows of an RSM for features."""
    values = {parameter: getattr(estimator, parameter) for parameter in parameters if hasattr(estimator, parameter)}
    if not values or any(isinstance(value, str) and value == "precomputed" for value in values.values()):
        return
    parameter = next((parameter for parameter, value in values.items() if not isinstance(value, bool)), parameters[0])
    raise ValueError(
        f"{name} has {parameter}={values[parameter]!r}, so it would take the rows of an RSM for features: set "
        f"{parameter}='precomputed'"
    )


adapter = Adapter(
    tool=TOOL,
    modules=("sklearn",),
    install="pip install 'simplugins[scikit-learn]'",
    rsm=to_matrix,
)
