# SPDX-License-Identifier: Apache-2.0
"""netrep: a similarity of networks as one of its metrics, which are scikit-learn estimators."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator

from simplugins import RSM, compare
from simplugins_adapters.similarities import (
    Distance,
    Similarity,
    as_distance,
    check_rsm_based,
    compare_networks,
    network_rsm,
)


class NetworkDistance(BaseEstimator):
    """Distance of two networks' responses to the same inputs, without parameters to fit.

    Parameters
    ----------
    similarity, distance, layout
        As for `simplugins_adapters.netrep.to_metric`.

    Attributes
    ----------
    zero_pad : bool
        True: networks may differ in channels, and zero channels change nothing.
    """

    zero_pad = True

    def __init__(self, similarity: Similarity, distance: Distance = "angle", layout: str = "auto") -> None:
        self.similarity = similarity
        self.distance = distance
        self.layout = layout

    def fit(self, X: Any, Y: Any) -> NetworkDistance:  # noqa: N803
        """Return the metric itself."""
        return self

    def score(self, X: Any, Y: Any) -> float:  # noqa: N803
        """Return the distance of two networks' responses to the same inputs.

        Parameters
        ----------
        X, Y : activations or RSM
            As for `simplugins.compute_rsm`, so also maps; channels and positions may differ. RSMs, which need a
            similarity made of a measure and a comparison, are compared as they are.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            As `simplugins.compute_rsm` and `simplugins.compare`; or if the similarity cannot become a distance.
        """
        if isinstance(X, RSM) or isinstance(Y, RSM):
            similarity = check_rsm_based(self.similarity, "netrep")
            one, other = (network_rsm(similarity, responses, self.layout) for responses in (X, Y))
            value = compare(one, other, similarity.method)
        else:
            value = compare_networks(self.similarity, X, Y, self.layout)
        return as_distance(value, self.similarity, self.distance)

    def fit_score(self, X: Any, Y: Any) -> float:  # noqa: N803
        """Return `score`."""
        return self.fit(X, Y).score(X, Y)
