# SPDX-License-Identifier: Apache-2.0
"""repsim (wrongu's): a similarity of networks as one of its metric spaces."""

from __future__ import annotations

from typing import Any

import torch
from repsim.metrics import RepresentationMetricSpace
from torch import Tensor

from simplugins import RSM, NetworkSimilarity, compare
from simplugins_adapters.dissimilarities import gram
from simplugins_adapters.similarities import as_distance, network_rsm


class NetworkMetric(RepresentationMetricSpace):
    """The space of RSMs of the same inputs: all symmetric matrices, with a metric.

    Parameters
    ----------
    similarity, m, layout
        As for `simplugins_adapters.repsim.to_space`.
    """

    def __init__(self, similarity: NetworkSimilarity, m: int, layout: str) -> None:
        super().__init__(dim=m * (m + 1) // 2, shape=(m, m))
        self.similarity = similarity
        self.layout = layout

    def neural_data_to_point(self, x: Any) -> Tensor:
        """Return the RSM of activations, float64, (m, m)."""
        rsm = network_rsm(self.similarity, x, self.layout)
        if len(rsm) != self.m:
            raise ValueError(f"the space {self.string_id()} has m={self.m} inputs, got {len(rsm)}")
        return torch.from_numpy(gram(rsm, "repsim"))

    def string_id(self) -> str:
        """Return the name of the similarity and the number of inputs."""
        return f"{self.similarity.name}.{self.m}"

    @property
    def is_spherical(self) -> bool:
        """Whether lengths are angles."""
        return bool(self.similarity.larger_is_more_similar) or self.similarity.method == "angular-cka"

    def _project_impl(self, pt: Tensor) -> Tensor:
        return (pt + pt.T) / 2

    def _contains_impl(self, pt: Tensor, atol: float = 1e-6) -> bool:
        return torch.allclose(pt, pt.T, atol=atol)

    def _length_impl(self, pt_a: Tensor, pt_b: Tensor) -> Tensor:
        a, b = (RSM.from_similarities(point.numpy(force=True)) for point in (pt_a, pt_b))
        value = compare(a, b, self.similarity.method)
        return torch.tensor(as_distance(value, self.similarity, "angle"), dtype=torch.float64)
