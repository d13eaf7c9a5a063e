# SPDX-License-Identifier: Apache-2.0
"""torchmetrics: a similarity of networks as its metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from simplugins_adapters.similarities import Similarity, compare_networks, fact, name_of


class SimilarityMetric(Metric):
    """Similarity of two networks' responses to the same inputs, which arrive in batches.

    It keeps all activations until it is computed, because a similarity compares all pairs of inputs.

    Parameters
    ----------
    similarity, layout, metric_options
        As for `simplugins_adapters.torchmetrics.to_metric`.
    """

    is_differentiable = False
    full_state_update = False

    def __init__(
        self, similarity: Similarity, layout: str = "auto", metric_options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(**(metric_options or {}))
        self.similarity, self.layout = similarity, layout
        self.add_state("x", default=[], dist_reduce_fx="cat")
        self.add_state("y", default=[], dist_reduce_fx="cat")

    @property
    def higher_is_better(self) -> bool | None:
        """Whether larger values mean more similar; None if the similarity does not declare it."""
        return fact(self.similarity, "larger_is_more_similar")

    def update(self, x: Tensor, y: Tensor) -> None:
        """Add a batch.

        Parameters
        ----------
        x, y : (B, ...) tensor
            Responses of the two networks to the same B inputs. They are copied without conversion: float16 stays
            float16.

        Raises
        ------
        ValueError
            If the numbers of inputs differ.
        """
        if len(x) != len(y):
            raise ValueError(f"x and y must hold responses to the same inputs, got {len(x)} in x and {len(y)} in y")
        self.x.append(x.detach().clone())
        self.y.append(y.detach().clone())

    def compute(self) -> Tensor:
        """Return the similarity over all inputs so far, a zero-dimensional tensor.

        Raises
        ------
        TypeError, ValueError
            For bad input, as `simplugins.compute_rsm`; or if there was no batch.
        """
        value = compare_networks(self.similarity, dim_zero_cat(self.x), dim_zero_cat(self.y), self.layout)
        return torch.tensor(value, dtype=self.dtype, device=self.device)

    def extra_repr(self) -> str:
        """Return the name of the similarity."""
        return name_of(self.similarity)

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Draw the similarity, or a sequence of results of `compute`; see `torchmetrics.Metric.plot`.

        Returns
        -------
        figure, axes
        """
        figure, axes = self._plot(val, ax)
        axes.set_ylabel(name_of(self.similarity))
        return figure, axes
