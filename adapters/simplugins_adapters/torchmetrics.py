# SPDX-License-Identifier: Apache-2.0
"""torchmetrics: similarities of networks as its metrics, over batches; RSMs as vectors for its correlations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from simplugins import RSM, Adapter, parse_layout
from simplugins_adapters.dissimilarities import Dissimilarity, dissimilarities, gram
from simplugins_adapters.similarities import Similarity

if TYPE_CHECKING:
    from torch import Tensor
    from torchmetrics import Metric

TOOL = "torchmetrics"


def to_vector(rsm: RSM, *, dissimilarity: Dissimilarity | None = None) -> Tensor:
    """Return the similarities of all pairs of different inputs.

    Parameters
    ----------
    rsm : RSM
    dissimilarity : {"squared-distance", "distance", "complement"}, optional
        The dissimilarities to return instead.

    Returns
    -------
    (N (N - 1) / 2,) float64 torch.Tensor
        The upper triangle row by row, on the CPU.

    Raises
    ------
    ValueError
        If the RSM compares inputs with other inputs, or the kind of dissimilarity is unknown.
    """
    import torch

    matrix = gram(rsm, TOOL) if dissimilarity is None else dissimilarities(rsm, dissimilarity, TOOL)
    return torch.from_numpy(matrix[np.triu_indices(len(matrix), 1)])


def to_metric(
    similarity: Similarity, *, layout: str = "auto", metric_options: Mapping[str, Any] | None = None
) -> Metric:
    """Return a similarity of networks as a metric of batches.

    Parameters
    ----------
    similarity : NetworkSimilarity or callable
    layout : str, default "auto"
        Layout of the activations of both networks.
    metric_options : mapping, optional
        Options of `torchmetrics.Metric`, such as ``{"compute_on_cpu": True}``.

    Returns
    -------
    simplugins_adapters.subclasses.torchmetrics_metric.SimilarityMetric

    Raises
    ------
    ValueError
        If the layout is unknown, or torchmetrics has no such option.
    """
    from simplugins_adapters.subclasses.torchmetrics_metric import SimilarityMetric

    if layout != "auto":
        parse_layout(layout)
    return SimilarityMetric(similarity, layout, metric_options)


adapter = Adapter(
    tool=TOOL,
    modules=("torch", "torchmetrics"),
    install="pip install 'simplugins[torchmetrics]'",
    rsm=to_vector,
    similarity=to_metric,
)
