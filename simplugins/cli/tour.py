# SPDX-License-Identifier: Apache-2.0
"""The computations and figures of the demo: both kinds of RSM on real activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins.compute.pair import match
from simplugins.data import load_photos
from simplugins.measures.several_measures import compute_rsms
from simplugins.plotting import heatmaps
from simplugins.rsm.rsm import RSM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYERS = ("block10", "block15")
KERNELS = ("linear", "cosine", "rbf")
KINDS = ("spatio-semantic", "semantic")
_RIGHT, _WRONG = "#19d3a2", "#ff7f0e"


def photo_rsms(*, progress: bool = False) -> dict[tuple[str, str], RSM]:
    """Compute all six measures on both bundled layers, labelled by photograph.

    Returns
    -------
    dict of (layer, measure) to RSM
    """
    photos = load_photos()
    labels = photos["photo_names"][photos["photo"]]
    rsms: dict[tuple[str, str], RSM] = {}
    for layer in LAYERS:
        for kind in KINDS:
            measures = [f"{kind}-{kernel}" for kernel in KERNELS]
            title = f"{layer}, {kind}" if progress else False
            results = compute_rsms(photos[layer], measures, labels=labels, progress=title)
            rsms |= {(layer, measure): rsm for measure, rsm in results.items()}
    return rsms


def nearest_neighbour_hits(rsm: RSM) -> int:
    """Count the inputs whose most similar other input has the same label; ties go to the first.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import compute_rsm
    >>> nearest_neighbour_hits(compute_rsm(np.eye(3)[[0, 0, 1, 1, 2]], labels=["a", "a", "b", "b", "b"]))
    4
    """
    if rsm.labels is None:
        raise ValueError("the RSM has no labels to count nearest neighbours by")
    off_diagonal = np.where(np.eye(len(rsm), dtype=bool), -np.inf, rsm.values)
    labels = np.asarray(rsm.labels)
    return int(((labels[off_diagonal.argmax(1)] == labels) & (labels != "")).sum())


def rsms_figure(rsms: dict[tuple[str, str], RSM], kernel: str = "rbf") -> Figure:
    """Draw the RSMs of both kinds side by side, one row per layer.

    The two RSMs of a layer share their colours, so that brightness can be compared.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 9), layout="constrained")
    grid = figure.subplots(len(LAYERS), len(KINDS))
    for layer, row in zip(LAYERS, grid, strict=True):
        pair = [rsms[layer, f"{kind}-{kernel}"] for kind in KINDS]
        limits = [heatmaps.color_limits(rsm) for rsm in pair]
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        for kind, rsm, axes in zip(KINDS, pair, row, strict=True):
            image = axes.imshow(rsm.values, vmin=low, vmax=high, interpolation="nearest")
            heatmaps.label_axis(axes, "y", rsm.labels, "crop")
            heatmaps.label_axis(axes, "x", rsm.labels, "crop")
            if kind != KINDS[0]:
                axes.set_yticks([])
            if layer != LAYERS[-1]:
                axes.set_xticks([])
            hits = nearest_neighbour_hits(rsm)
            axes.set_title(f"{kind}, {layer}\n{hits} of {len(rsm)} nearest neighbours right", fontsize=10)
        figure.colorbar(image, ax=row, label=f"similarity ({kernel})", extend="max", shrink=0.9)
    return figure


@dataclass(frozen=True, eq=False, repr=False)
class CropMatch:
    """The matching of two overlapping crops, and the true correspondence of their positions.

    Attributes
    ----------
    thumbnails : pair of (96, 96, 3) uint8 arrays
    starts, ends : (S, 2) arrays
        Row and column of each position of the first crop, and of its match in the second.
    shared : (S,) bool array
        Whether the second crop shows the same place.
    right : (S,) bool array
        Whether it does and the match lies within 1.5 cells of that place.
    size : int
        Cells along a side of the map.
    """

    thumbnails: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    starts: NDArray[Any]
    ends: NDArray[Any]
    shared: NDArray[np.bool_]
    right: NDArray[np.bool_]
    size: int

    def __repr__(self) -> str:
        return f"CropMatch: {self.right.sum()} of {self.shared.sum()} shared places matched with themselves"


def match_crops(first: int = 9, second: int = 10, layer: str = "block10") -> CropMatch:
    """Match two crops of one photograph, and check the matches by the shift between the crops."""
    photos = load_photos()
    size = photos[layer].shape[-1]
    columns = match(photos[layer][first], photos[layer][second]).columns
    starts, ends = (np.stack(np.divmod(p, size), axis=1) for p in (np.arange(size**2), columns))
    boxes = photos["boxes"]
    shift = (boxes[second, :2] - boxes[first, :2]) * size / boxes[first, 2]
    truth = starts - shift
    shared = ((truth > -0.5) & (truth < size - 0.5)).all(1)
    right = shared & (np.hypot(*(ends - truth).T) <= 1.5)
    thumbnails = photos["thumbnails"][first], photos["thumbnails"][second]
    return CropMatch(thumbnails, starts, ends, shared, right, size)


def match_figure(crops: CropMatch) -> Figure:
    """Draw two crops, with lines between matched positions of the places that both show."""
    from matplotlib.figure import Figure
    from matplotlib.patches import ConnectionPatch

    figure = Figure(figsize=(9.6, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    pixels = crops.thumbnails[0].shape[0] / crops.size
    for axes, thumbnail in zip((left, right), crops.thumbnails, strict=True):
        axes.imshow(thumbnail, interpolation="bicubic")
        axes.set_axis_off()
    starts, ends = ((places[:, ::-1] + 0.5) * pixels - 0.5 for places in (crops.starts, crops.ends))
    every_other = crops.starts.sum(1) % 2 == 0
    for start, end, is_right in zip(starts, ends, crops.right, strict=True):
        _dot(left, start, is_right)
        _dot(right, end, is_right)
    for k in np.flatnonzero(crops.shared & every_other):
        line = ConnectionPatch(
            tuple(starts[k]),
            tuple(ends[k]),
            "data",
            "data",
            axesA=left,
            axesB=right,
            color=_RIGHT if crops.right[k] else _WRONG,
            linewidth=0.7,
            alpha=0.8,
        )
        figure.add_artist(line)
    figure.suptitle(
        f"{crops.right.sum()} of the {crops.shared.sum()} places that both crops show are matched with themselves "
        f"(within 1.5 cells)\ngreen: with themselves, orange: elsewhere; every second one is drawn",
        fontsize=10,
    )
    return figure


def _dot(axes: Axes, place: NDArray[Any], is_right: bool) -> None:
    axes.plot(*place, "o", markersize=2.5, color=_RIGHT if is_right else "white", markeredgewidth=0, alpha=0.9)
