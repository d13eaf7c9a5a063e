# SPDX-License-Identifier: Apache-2.0
"""torchmetrics: a similarity of networks as its metric."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from simplugins import NetworkSimilarity


class SimilarityMetric(Metric):
    """How similar two networks' responses to the same inputs are, given in batches.

    It keeps all activations until it is computed, as matching needs all pairs of inputs.

    Parameters
    ----------
    similarity : NetworkSimilarity
    layout : {"auto", "nd", "ntd", "nchw", "nhwc"}
        Of the activations of both networks.
    **options
        Of `torchmetrics.Metric`.
    """

    is_differentiable = False
    full_state_update = False

    def __init__(self, similarity: NetworkSimilarity, layout: str = "auto", **options: Any) -> None:
        super().__init__(**options)
        self.similarity, self.layout = similarity, layout
        self.add_state("x", default=[], dist_reduce_fx="cat")
        self.add_state("y", default=[], dist_reduce_fx="cat")

    @property
    def higher_is_better(self) -> bool | None:
        """Whether larger numbers mean more similar; None if that is not known."""
        return self.similarity.larger_is_more_similar

    def update(self, x: Tensor, y: Tensor) -> None:
        """Take a batch.

        Parameters
        ----------
        x, y : (B, ...) tensor
            Responses of the two networks to the same B inputs. They are copied as they are: float16 stays float16.

        Raises
        ------
        ValueError
            If the inputs differ in number.
        """
        if len(x) != len(y):
            raise ValueError(
                f"expected the responses of both networks to the same inputs; got {len(x)} of the first network, "
                f"{len(y)} of the second"
            )
        self.x.append(x.detach().clone())
        self.y.append(y.detach().clone())

    def compute(self) -> Tensor:
        """Return the similarity of all inputs that were given, a tensor of no dimensions.

        Raises
        ------
        TypeError, ValueError
            For bad input, as `simplugins.compute_rsm`; also if none was given.
        """
        value = self.similarity(dim_zero_cat(self.x), dim_zero_cat(self.y), self.layout)
        return torch.tensor(value, dtype=self.dtype, device=self.device)

    def extra_repr(self) -> str:
        """Return what the similarity is called."""
        return self.similarity.name

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Draw the similarity, or a sequence of what `compute` returned; see `torchmetrics.Metric.plot`.

        Returns
        -------
        figure, axes
        """
        figure, axes = self._plot(val, ax)
        axes.set_ylabel(self.similarity.name)
        return figure, axes
