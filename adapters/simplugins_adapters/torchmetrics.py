# SPDX-License-Identifier: Apache-2.0
"""torchmetrics: similarities of networks as its metrics, over batches; RSMs as vectors for its correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from simplugins import RSM, Adapter, NetworkSimilarity
from simplugins_adapters.shared import Dissimilarity, dissimilarities, gram

if TYPE_CHECKING:
    from torch import Tensor
    from torchmetrics import Metric

TOOL = "torchmetrics"

Layout = Literal["auto", "nd", "ntd", "nchw", "nhwc"]
"""What the dimensions of activations are, as for `simplugins.compute_rsm`."""


def to_vector(rsm: RSM, *, dissimilarity: Dissimilarity | None = None) -> Tensor:
    """Return the similarities of all pairs of different inputs.

    Parameters
    ----------
    rsm : RSM
    dissimilarity : {"squared-distance", "distance", "complement"}, optional
        Which dissimilarities to return instead.

    Returns
    -------
    (N (N - 1) / 2,) float64 torch.Tensor
        The upper triangle by rows, on the CPU.

    Raises
    ------
    ValueError
        If the RSM compares inputs with others, or there is no such dissimilarity.
    """
    import torch

    matrix = gram(rsm, TOOL) if dissimilarity is None else dissimilarities(rsm, dissimilarity, TOOL)
    return torch.from_numpy(matrix[np.triu_indices(len(matrix), 1)])


def to_metric(similarity: NetworkSimilarity, *, layout: Layout = "auto", **options: Any) -> Metric:
    """Return a similarity of networks as a metric of batches.

    Parameters
    ----------
    similarity : NetworkSimilarity
    layout : {"auto", "nd", "ntd", "nchw", "nhwc"}
        Of the activations of both networks.
    **options
        Of `torchmetrics.Metric`, such as ``compute_on_cpu``.

    Returns
    -------
    simplugins_adapters.subclasses.torchmetrics.SimilarityMetric

    Raises
    ------
    ValueError
        If there is no such layout, or torchmetrics has no such option.
    """
    from simplugins_adapters.subclasses.torchmetrics import SimilarityMetric

    if layout not in get_args(Layout):
        raise ValueError(f"layout: expected one of {', '.join(get_args(Layout))}, got {layout!r}")
    return SimilarityMetric(similarity, layout, **options)


adapter = Adapter(
    tool=TOOL,
    modules=("torch", "torchmetrics"),
    install="pip install 'simplugins[torchmetrics]'",
    rsm=to_vector,
    similarity=to_metric,
)
