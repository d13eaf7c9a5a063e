# SPDX-License-Identifier: Apache-2.0
"""netrep: RSMs as centred kernels, and similarities of networks as its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter, NetworkSimilarity
from simplugins_adapters.networks import Distance, centred_gram, check_distance

if TYPE_CHECKING:
    from simplugins_adapters.subclasses.netrep import NetworkDistance

TOOL = "netrep"


def to_kernel(rsm: RSM) -> NDArray[np.float64]:
    """Return an RSM K as a centred kernel H K H, with H = I - 1 / N.

    Parameters
    ----------
    rsm : RSM

    Returns
    -------
    (N, N) array
        Exactly symmetric. ``netrep.utils.angular_distance`` of two is the arc cosine of biased CKA, as simplugins's
        "angular-cka", also where RSMs are not positive semi-definite.

    Raises
    ------
    ValueError
        If the RSM compares inputs with others.
    """
    return centred_gram(rsm, TOOL)


def to_metric(similarity: NetworkSimilarity, *, distance: Distance = "angle", layout: str = "auto") -> NetworkDistance:
    """Return a similarity of networks as a metric: an estimator of scikit-learn with ``fit``, ``score``, ``fit_score``.

    Parameters
    ----------
    similarity : NetworkSimilarity
    distance : {"angle", "complement"}
        How similarities become distances: the arc cosine, in radians, or 1 minus them. The angle obeys the triangle
        inequality where the similarity is a cosine, as CKA and correlations are. What is a distance already stays one.
    layout : {"auto", "nd", "ntd", "nchw", "nhwc"}
        Of activations. "auto" reads four dimensions as (N, channels, height, width); netrep itself has "nhwc".

    Returns
    -------
    NetworkDistance

    Raises
    ------
    ValueError
        If there is no such distance, or it is not known whether larger values mean more similar.
    """
    from simplugins_adapters.subclasses.netrep import NetworkDistance

    check_distance(similarity, distance)
    options = dict(similarity.options)
    return NetworkDistance(similarity.measure, similarity.method, distance, layout, options or None)


adapter = Adapter(
    tool=TOOL,
    modules=("netrep", "sklearn"),
    install="pip install simplugins git+https://github.com/ahwillia/netrep",
    rsm=to_kernel,
    similarity=to_metric,
)
