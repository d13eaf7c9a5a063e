# SPDX-License-Identifier: Apache-2.0
"""netrep: a similarity of networks as one of its metrics, which are estimators of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator

from simplugins import RSM, compare, compute_rsm, similarity
from simplugins_adapters.networks import Distance, distance_of


class NetworkDistance(BaseEstimator):
    """How far two networks' responses to the same inputs are apart; there is nothing to fit.

    Parameters
    ----------
    measure, method : str
        Of the similarity; see `simplugins.similarity`.
    distance : {"angle", "complement"}
        How it becomes a distance: its arc cosine, or 1 minus it. What is a distance already stays as it is.
    layout : {"auto", "nd", "ntd", "nchw", "nhwc"}
        Of activations.
    options : mapping, optional
        For the measure, as of `simplugins.compute_rsm`.

    Attributes
    ----------
    zero_pad : bool
        True: networks may differ in channels, and channels of zeros change nothing.
    """

    zero_pad = True

    def __init__(
        self,
        measure: str = "semantic-cosine",
        method: str = "cka",
        distance: Distance = "angle",
        layout: str = "auto",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.measure = measure
        self.method = method
        self.distance = distance
        self.layout = layout
        self.options = options

    def fit(self, X: Any, Y: Any) -> NetworkDistance:  # noqa: N803
        """Return the metric as it is."""
        return self

    def score(self, X: Any, Y: Any) -> float:  # noqa: N803
        """Return the distance of two networks' responses to the same inputs.

        Parameters
        ----------
        X, Y : activations or RSM
            As `simplugins.compute_rsm` takes them, so maps too; channels and positions may differ. RSMs are taken as
            they are.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            As `simplugins.compute_rsm` and `simplugins.compare`; or if the similarity makes no distance.
        """
        kind = similarity(self.measure, self.method, **(self.options or {}))
        return distance_of(compare(self._rsm(X), self._rsm(Y), self.method), kind, self.distance)

    def fit_score(self, X: Any, Y: Any) -> float:  # noqa: N803
        """Return `score`."""
        return self.fit(X, Y).score(X, Y)

    def _rsm(self, responses: Any) -> RSM:
        if isinstance(responses, RSM):
            return responses
        return compute_rsm(responses, self.measure, layout=self.layout, **(self.options or {}))
