# SPDX-License-Identifier: Apache-2.0
"""NeuroRA: an RSM as an RDM, and the RSMs of several layers as the stack of model RDMs that its correlations take."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter
from simplugins_adapters.dissimilarities import Dissimilarity, dissimilarities

TOOL = "NeuroRA"


def to_rdm(rsm: RSM, *, dissimilarity: Dissimilarity = "complement") -> NDArray[np.float64]:
    """Return an RSM as an RDM, (N, N); see `simplugins_adapters.dissimilarities.dissimilarities`.

    With complements, the default, correlations of RDMs are those of the similarities.
    """
    return dissimilarities(rsm, dissimilarity, TOOL)


def to_rdms(rsms: Mapping[str, RSM], *, dissimilarity: Dissimilarity = "complement") -> NDArray[np.float64]:
    """Return the RSMs of L layers, for the same inputs, as a stack of RDMs, (L, N, N) float64; see `to_rdm`."""
    return np.stack([to_rdm(rsm, dissimilarity=dissimilarity) for rsm in rsms.values()])


adapter = Adapter(
    tool=TOOL,
    modules=("neurora",),
    install="pip install 'simplugins[neurora]'",
    rsm=to_rdm,
    rsms=to_rdms,
)
