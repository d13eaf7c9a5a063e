# SPDX-License-Identifier: Apache-2.0
"""The methods of a report in words, and what to cite."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata

from simplugins import __version__
from simplugins._common.formatting import counted
from simplugins.comparisons.method import method_label
from simplugins.reporting.report_analysis import Analysis
from simplugins.reporting.report_networks import Network
from simplugins.reporting.report_options import KINDS, SEMANTIC, ReportOptions

PAPER = (
    "“Decoupling Semantic Similarity from Spatial Alignment for Neural Networks”, Advances in Neural Information "
    "Processing Systems 37 (NeurIPS 2024), arXiv:2410.23107."
)

_KERNELS = {
    "linear": "the aligned inner product",
    "cosine": "the aligned inner product divided by the norms of both responses",
    "rbf": "a Gaussian of the distance after alignment, whose squared bandwidth is the median of the squared distances",
}

_PACKAGES = ("numpy", "scipy", "numba", "torch", "matplotlib")


def methods(analysis: Analysis, options: ReportOptions) -> list[str]:
    """Return the paragraphs of the methods."""
    return [
        " ".join(_networks(analysis.networks)),
        " ".join(_rsms(analysis, options)),
        " ".join(_comparisons(analysis, options)),
    ]


def _networks(networks: Sequence[Network]) -> list[str]:
    sentences = []
    for network in networks:
        layers = ", ".join(f"{name} ({_shape(network, name)})" for name in network.layers)
        parameters = f" of {network.facts['parameters']} parameters" if "parameters" in network.facts else ""
        sentences.append(
            f"{network.origin} The report uses {counted(len(network.layers), 'layer')} of {network.name}{parameters}, "
            f"for {counted(network.inputs, 'input')}: {layers}."
        )
    return sentences


def _shape(network: Network, name: str) -> str:
    layer = network.layers[name]
    low, high = int(layer.positions.min()), int(layer.positions.max())
    positions = counted(low, "position") if low == high else f"{low} to {high} positions"
    return f"{positions}, {counted(layer.channels, 'channel')}"


def _rsms(analysis: Analysis, options: ReportOptions) -> list[str]:
    rsm = next(rsm for (_, _, kind), rsm in analysis.rsms.items() if kind == SEMANTIC)
    dtypes = sorted({str(each.metadata.get("dtype")) for each in analysis.rsms.values()} - {"None"})
    sentences = [
        f"Representational similarity matrices were computed with simplugins {__version__} "
        f"({rsm.metadata.get('engine', 'cpu')} engine, {' and '.join(dtypes)} activations).",
        f"Semantic RSMs ({options.measure(SEMANTIC)}) compare each pair of inputs after matching their positions: the "
        f"one-to-one matching of concept vectors (the channels at one position) that "
        f"{'maximises' if rsm.matching == 'optimal' else 'approximately maximises'} the sum of inner products, by the "
        f"matching {rsm.matching!r}; similarity is {_KERNELS[options.kernel]}.",
        "Spatio-semantic RSMs do the same without matching: each position is compared with itself.",
        "Two controls ignore locations without matching: “second-order” compares the second moments of the concept "
        "vectors (bilinear pooling), “mean-pooled” their means.",
    ]
    if options.center or options.normalize:
        sentences.append(f"Activations were prepared with center={options.center!r}, normalize={options.normalize!r}.")
    if analysis.unavailable:
        missing = sorted({kind for _, _, kind in analysis.unavailable}, key=KINDS.index)
        sentences.append(f"Not available for all layers: {', '.join(missing)}.")
    return sentences


def _comparisons(analysis: Analysis, options: ReportOptions) -> list[str]:
    method = options.resolved_method()
    label = method_label(method.name, method.options)
    sentences = [f"RSMs were compared by {label}."]
    tables = [*analysis.within.values(), *analysis.between.values()]
    if tables and (calibration := tables[0].calibration) is not None:
        how = "all" if calibration.exact else "random"
        sentences.append(
            f"Tables of layers were calibrated by {calibration.permutations} {how} permutations of the inputs, the "
            f"same for all pairs of layers; a cell is significant at {calibration.alpha:g} if it exceeds that quantile "
            f"of the largest value of each permuted table, which accounts for the search over layers."
        )
    sentences.append(
        f"Intervals are {100 * options.confidence:g} % percentile intervals from {options.resamples} bootstrap "
        f"resamples of the inputs, the same for all cells."
    )
    if analysis.retrievals:
        sentences.append(
            "Retrieval ranks all other inputs by their similarity to each query; those with the same label are "
            "relevant. Its intervals come from 1,000 resamples of the queries."
        )
    if options.groups is not None:
        sentences.append("Inputs of the same group were resampled and permuted together.")
    return [*sentences, f"The seed of all random draws was {options.seed}."]


def software() -> str:
    """Return the versions of the packages that the numbers depend on."""
    versions = [f"simplugins {__version__}", f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(versions) + f", on {platform.system()} ({platform.machine()})"


def citations() -> list[str]:
    """Return what to cite."""
    return [PAPER, f"simplugins, version {__version__}: software for semantic representational similarity matrices."]
