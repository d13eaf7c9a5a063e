# SPDX-License-Identifier: Apache-2.0
"""netrep: RSMs as centred kernels, and similarities of networks as its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter
from simplugins_adapters.dissimilarities import check_square
from simplugins_adapters.similarities import Distance, Similarity, check_distance

if TYPE_CHECKING:
    from simplugins_adapters.subclasses.netrep_metric import NetworkDistance

TOOL = "netrep"


def to_kernel(rsm: RSM) -> NDArray[np.float64]:
    """Return an RSM K as a centred kernel H K H, with H = I - 1 / N.

    Returns
    -------
    (N, N) array
        Exactly symmetric. ``netrep.utils.angular_distance`` of two such kernels is the arc cosine of biased CKA, as
        simplugins's "angular-cka", even for RSMs that are not positive semi-definite.
    """
    check_square(rsm, TOOL)
    return rsm.centred()


def to_metric(similarity: Similarity, *, distance: Distance = "angle", layout: str = "auto") -> NetworkDistance:
    """Return a similarity of networks as a metric: a scikit-learn estimator with ``fit``, ``score`` and ``fit_score``.

    Parameters
    ----------
    similarity : NetworkSimilarity or callable
    distance : {"angle", "complement"}
        How a similarity becomes a distance: its arc cosine in radians, or 1 minus the similarity. The angle obeys the
        triangle inequality if the similarity is a cosine, as CKA and correlations are. Distances are not changed.
    layout : str, default "auto"
        Layout of activations. "auto" reads four dimensions as (N, channels, height, width); netrep itself uses "nhwc".

    Returns
    -------
    NetworkDistance

    Raises
    ------
    ValueError
        If `distance` is unknown, or the similarity does not declare whether larger values mean more similar.
    """
    from simplugins_adapters.subclasses.netrep_metric import NetworkDistance

    check_distance(similarity, distance)
    return NetworkDistance(similarity, distance, layout)


adapter = Adapter(
    tool=TOOL,
    modules=("netrep", "sklearn"),
    install="pip install simplugins git+https://github.com/ahwillia/netrep",
    rsm=to_kernel,
    similarity=to_metric,
)
