# SPDX-License-Identifier: Apache-2.0
"""torch_cka: RSMs in place of a network's layers, and its CKA without networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_cka import CKA

LEAST_INPUTS = 4
"""Smallest batch for which the unbiased HSIC of Song et al. is defined."""


class Layers(nn.Module):
    """A module whose layers return stored features of inputs.

    Parameters
    ----------
    name : str
        Name of the network in torch_cka.
    inputs : (N,) int64 tensor
        A number per input, in ascending order.
    features : mapping of str to (N, R) float32 tensor
        By layer, in the order of inputs.
    """

    def __init__(self, name: str, inputs: Tensor, features: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.name = name
        self.layer_names = tuple(features)
        self.layers = nn.ModuleList(nn.Embedding.from_pretrained(rows) for rows in features.values())  # type: ignore[no-untyped-call]
        self.inputs: Tensor
        self.register_buffer("inputs", inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Call each layer for the given inputs, (B,) int64, and return these.

        Raises
        ------
        ValueError
            If there are fewer than 4, or some that the module does not know.
        """
        if len(inputs) < LEAST_INPUTS:
            raise ValueError(
                f"batch_size: torch_cka computes debiased CKA, which needs at least {LEAST_INPUTS} inputs per batch, "
                f"got {len(inputs)}: choose a size that leaves no smaller last batch, or drop_last=True"
            )
        places = torch.searchsorted(self.inputs, inputs).clamp(max=len(self.inputs) - 1)
        if (self.inputs[places] != inputs).any():
            raise ValueError(
                f"the loader has inputs that {self.name} does not have: give the RSMs of both networks the same "
                f"labels, or none"
            )
        for layer in self.layers:
            layer(places)
        return inputs

    def named_modules(self, *_: Any, **__: Any) -> Iterator[tuple[str, nn.Module]]:
        """Yield layers by name without the module itself, because torch_cka compares everything listed here."""
        yield from zip(self.layer_names, self.layers, strict=True)

    def __repr__(self) -> str:
        return self.name


class Results(CKA):
    """The state of torch_cka's CKA after ``compare``, for ``export`` and ``plot_results``.

    Parameters
    ----------
    values : (L1, L2) float32 tensor
    first, second : mapping
        The "Name", "Layers" and "Dataset" of the networks of rows and of columns.
    """

    def __init__(self, values: Tensor, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
        self.hsic_matrix = values
        self.model1_info = dict(first)
        self.model2_info = dict(second)

    def compare(self, *_: Any, **__: Any) -> None:
        """Raise a TypeError: there are no networks.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError(
            "this CKA holds results of simplugins and has no networks to compare: use export() or plot_results()"
        )
