# SPDX-License-Identifier: Apache-2.0
"""Representations of the images in the networks: RSMs of layers, and predicted class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from make_demo_data import normalise
from networks import MOST_POSITIONS, NETWORKS
from numpy.typing import NDArray
from scipy.special import softmax

from paper.datasets import Dataset, scale_all
from paper.design import CASES, Case
from paper.keeping import Keeper, Seconds
from paper.photographs import Array
from simplugins import RSM, Activations, compute_rsms, record

LARGE = 1000
"""Layers with more positions than this use few inputs, because their matchings take long."""

BATCH = 1
"""Batch size of the networks: on a CPU with few cores, larger batches are slower."""

_LOGITS = "_fc"


@dataclass(frozen=True)
class Layer:
    """A layer of a network.

    Attributes
    ----------
    network : str
    block : int
    side, channels : int
        Size of its maps.
    """

    network: str
    block: int
    side: int
    channels: int

    @property
    def large(self) -> bool:
        """Whether its maps are too large to use all inputs."""
        return self.side**2 > LARGE

    @property
    def module(self) -> str:
        """Name of the module in the model."""
        return f"_blocks.{self.block}"

    def __str__(self) -> str:
        return f"{self.network}, block {self.block} ({self.side} × {self.side})"


@dataclass(frozen=True, eq=False)
class Network:
    """A pretrained network.

    Attributes
    ----------
    name : str
    model : torch.nn.Module
    pixels : int
        Side of the images that it was trained on.
    layers : sequence of Layer
        The last block of each map size, largest affordable maps first.
    left_out : sequence of int
        Sides of the maps that are too large.
    """

    name: str
    model: torch.nn.Module
    pixels: int
    layers: Sequence[Layer]
    left_out: Sequence[int]

    def record(self, images: Sequence[NDArray[np.uint8]], modules: Sequence[str], title: str) -> dict[str, Activations]:
        """Return the activations of modules for images, by name."""
        inputs = normalise(scale_all(images, self.pixels))
        return record(self.model, inputs, modules, batch_size=BATCH, progress=f"{title}: {self.name}")


@dataclass(frozen=True, eq=False)
class Representations:
    """A data set as the networks represent it.

    Attributes
    ----------
    data : Dataset
    rsms : dict of Layer to dict of (str, str) to RSM
        By kind and kernel; of the `few` images for layers with large maps.
    seconds : dict of Layer to dict of str to Seconds
        The time to compute the RSMs of each kind.
    probabilities : dict of str to (N, classes) array
        By network.
    """

    data: Dataset
    rsms: dict[Layer, dict[tuple[str, str], RSM]]
    seconds: dict[Layer, dict[str, Seconds]]
    probabilities: dict[str, NDArray[np.float64]]

    def inputs(self, layer: Layer) -> Dataset:
        """Return the inputs of a layer's RSMs."""
        return self.data.fewer() if layer.large else self.data

    def probabilities_of(self, layer: Layer) -> NDArray[np.float64]:
        """Return the predictions for the inputs of a layer's RSMs."""
        probabilities = self.probabilities[layer.network]
        return probabilities[self.data.few] if layer.large else probabilities


def load_networks() -> list[Network]:
    """Load the pretrained networks and determine their layers."""
    return [_load(name) for name in NETWORKS]


def _load(name: str) -> Network:
    architecture, weights, pixels = NETWORKS[name]
    model: torch.nn.Module = EfficientNet.from_name(architecture)
    model.load_state_dict(torch.load(weights.get_model_file_path(), map_location="cpu", weights_only=True))
    blank = torch.zeros(1, 3, pixels, pixels)
    by_side: dict[int, Layer] = {}
    for module, maps in record(model, blank, "_blocks.*").items():
        side = round(float(maps.positions[0]) ** 0.5)
        by_side[side] = Layer(name, int(module.rpartition(".")[2]), side, maps.channels)
    affordable = [layer for side, layer in by_side.items() if side**2 <= MOST_POSITIONS]
    return Network(name, model, pixels, affordable, [side for side in by_side if side**2 > MOST_POSITIONS])


def represent(data: Dataset, networks: Sequence[Network], keeper: Keeper) -> Representations:
    """Record the responses of the networks to a data set, and compute the RSMs of all layers and kinds."""
    warm_up()
    result = Representations(data, {}, {}, {})
    for network in networks:
        recorded = record_layers(data, network)
        logits = recorded[_LOGITS].array()[:, 0].astype(np.float64)
        result.probabilities[network.name] = softmax(logits, axis=1)
        for layer in network.layers:
            result.rsms[layer], result.seconds[layer] = _rsms_of(data, layer, recorded[layer.module], keeper)
    return result


def record_layers(data: Dataset, network: Network) -> dict[str, Activations]:
    """Return the activations of a network's layers and its logits, by module; few inputs for large maps."""
    large, small = ([layer.module for layer in network.layers if layer.large is is_large] for is_large in (True, False))
    recorded = network.record(data.images, [*small, _LOGITS], data.name)
    if large:
        recorded |= network.record(data.fewer().images, large, f"{data.name}, few")
    return recorded


def compute_case(maps: Activations | Array, case: Case, progress: str | bool = False) -> dict[str, RSM]:
    """Compute the RSMs of a kind, by measure."""
    measures = [f"{case.family}-{kernel}" for kernel in case.kernels]
    rsms: dict[str, RSM] = compute_rsms(maps, measures, center=case.center, progress=progress)
    return rsms


def warm_up() -> None:
    """Compute small RSMs of all kinds, so that compilation does not count as their time."""
    maps = np.random.default_rng(0).random((6, 8, 5, 5), np.float32)
    for case in CASES.values():
        compute_case(maps, case)


def _rsms_of(
    data: Dataset, layer: Layer, maps: Activations, keeper: Keeper
) -> tuple[dict[tuple[str, str], RSM], dict[str, Seconds]]:
    """Return the RSMs of a layer by kind and kernel, and their time by kind."""
    rsms: dict[tuple[str, str], RSM] = {}
    seconds: dict[str, Seconds] = {}
    for kind, case in CASES.items():

        def compute(kind: str = kind, case: Case = case) -> dict[str, RSM]:
            return compute_case(maps, case, f"{data.name}: {layer}, {kind}")

        computed, seconds[kind] = keeper.rsms(f"{data.name} {layer} {kind}", compute)
        rsms |= {(kind, kernel): computed[f"{case.family}-{kernel}"] for kernel in case.kernels}
    return rsms, seconds
